"""Blocking calls in threads, of which one is there from the start, and more only where they can be had."""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from zeroscale.system import worker_threads
from zeroscale.system.worker_threads import MOST_THREADS, WorkerThreads


class Limit:
    """Refuses further threads while it is `reached`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached = False
        start = threading.Thread.start

        def start_or_refuse(thread: threading.Thread) -> None:
            if self.reached:
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", start_or_refuse)


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Limit:
    return Limit(monkeypatch)


@pytest.fixture
def workers() -> Iterator[WorkerThreads]:
    workers = WorkerThreads()
    yield workers
    workers.shutdown()
    assert not alive()


def alive() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "zeroscale-worker"]


def test_results_and_errors(workers: WorkerThreads) -> None:
    assert workers.submit(divmod, 7, 2).result(10) == (3, 1)
    assert workers.submit(int, "11", base=2).result(10) == 3
    for error in (ValueError("wrong"), SystemExit(3)):

        def fail(error: BaseException = error) -> None:
            raise error

        assert workers.submit(fail).exception(10) is error
    assert workers.submit(int).result(10) == 0, "the thread goes on"


def test_calls_run_at_the_same_time_up_to_a_bound(workers: WorkerThreads) -> None:
    together = threading.Barrier(MOST_THREADS + 1)
    calls = [workers.submit(together.wait, 10) for _ in range(MOST_THREADS)]
    last = workers.submit(int)
    together.wait(10)
    assert sorted(call.result(10) for call in calls) != []
    assert last.result(10) == 0
    assert len(alive()) <= MOST_THREADS


def test_where_no_further_thread_can_be_had_the_first_one_makes_all_calls(
    workers: WorkerThreads, limit: Limit, caplog: pytest.LogCaptureFixture
) -> None:
    workers.start()
    limit.reached = True
    release = threading.Event()
    calls = [workers.submit(release.wait, 10) for _ in range(20)]
    assert len(alive()) == 1
    release.set()
    assert all(call.result(10) for call in calls)
    assert caplog.records == []


def test_without_any_thread_a_call_is_an_error_until_one_can_be_had(
    workers: WorkerThreads, limit: Limit, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    limit.reached = True
    workers.start()
    for _ in range(3):
        with pytest.raises(BlockingIOError, match="no more processes or threads are allowed: raise TasksMax="):
            workers.submit(int)
    limit.reached = False
    assert workers.submit(int).result(10) == 0
    [error, success] = caplog.messages
    assert error.startswith("Host names cannot be looked up now: no more processes or threads are allowed")
    assert success == "Host names can be looked up again"


def test_further_threads_end_when_they_are_not_needed(workers: WorkerThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_threads, "LONGEST_IDLE", 0.01)
    workers.start()
    [first] = alive()
    together = threading.Barrier(3)
    calls = [workers.submit(together.wait, 10) for _ in range(3)]
    further = [each for each in alive() if each is not first]
    for call in calls:
        call.result(10)
    for each in further:
        each.join(10)
    assert alive() == [first]
    assert workers.submit(int).result(10) == 0


def test_a_cancelled_call_is_not_made(workers: WorkerThreads, limit: Limit) -> None:
    workers.start()
    limit.reached = True
    release = threading.Event()
    blocking = workers.submit(release.wait, 10)
    cancelled = workers.submit(pytest.fail, "was called")
    assert cancelled.cancel()
    release.set()
    assert blocking.result(10)
    assert workers.submit(int).result(10) == 0


def test_after_the_shutdown_no_call_is_taken() -> None:
    workers = WorkerThreads()
    done = workers.submit(int)
    workers.shutdown(wait=True)
    assert done.result(0) == 0
    with pytest.raises(RuntimeError, match="after shutdown"):
        workers.submit(int)


def test_asyncio_uses_it(limit: Limit) -> None:
    used: list[object] = []

    async def use() -> None:
        workers = WorkerThreads()
        workers.start()
        limit.reached = True
        loop = asyncio.get_running_loop()
        loop.set_default_executor(workers)
        used.append(await asyncio.to_thread(threading.current_thread) in alive())
        found = await loop.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
        used.append({entry[4][1] for entry in found})
        limit.reached = False  # asyncio.run() ends the executor in a thread of its own

    thread = threading.Thread(target=asyncio.run, args=(use(),))  # this one has a running loop already
    thread.start()
    thread.join(20)
    assert used == [True, {80}]
    assert not alive()


def test_a_call_that_hangs_does_not_delay_the_end_of_the_process() -> None:
    script = (
        "import threading; from zeroscale.system.worker_threads import WorkerThreads; began = threading.Event();"
        "WorkerThreads().submit(lambda: (began.set(), threading.Event().wait())); began.wait()"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=20)
