"""Commands for a loop that waits in epoll."""

from __future__ import annotations

import os
import resource
import select
from collections.abc import Iterator

import pytest

from zeroscale.relay import command_queue
from zeroscale.relay.command_queue import MOST_COMMANDS, CommandQueue


@pytest.fixture
def epoll() -> Iterator[select.epoll]:
    with select.epoll() as epoll:
        yield epoll


@pytest.fixture
def queue(epoll: select.epoll) -> Iterator[CommandQueue]:
    queue = CommandQueue(epoll)
    yield queue
    queue.close()


def test_a_command_wakes_the_loop_once_until_its_round_begins(epoll: select.epoll, queue: CommandQueue) -> None:
    done: list[int] = []
    assert epoll.poll(0) == []
    for number in range(3):
        queue.put(lambda number=number: done.append(number))  # type: ignore[misc]
    assert [fd for fd, _ in epoll.poll(0)] == [queue.fd]
    assert epoll.poll(0) == []  # edge-triggered
    queue.put(lambda: done.append(3))
    assert epoll.poll(0) == []  # the loop is awake already
    queue.woken()
    queue.run()
    assert (done, len(queue.waiting)) == ([0, 1, 2, 3], 0)
    queue.put(lambda: None)
    assert epoll.poll(0) != []


def test_a_command_may_wait_for_the_next_round(epoll: select.epoll, queue: CommandQueue) -> None:
    queue.put(lambda: None, wake=False)
    assert (epoll.poll(0), len(queue.waiting)) == ([], 1)
    queue.wake()
    assert epoll.poll(0) != []


def test_so_many_commands_run_at_once(queue: CommandQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(MOST_COMMANDS + 1):
        queue.put(lambda: None)
    monkeypatch.setattr(command_queue, "LONGEST_COMMANDS", 10.0)
    queue.run()
    assert len(queue.waiting) == 1
    queue.put(lambda: None)
    monkeypatch.setattr(command_queue, "LONGEST_COMMANDS", 0.0)
    queue.run()
    assert len(queue.waiting) == 1


def test_what_a_command_adds_runs_in_the_next_round(queue: CommandQueue) -> None:
    queue.put(lambda: queue.put(lambda: None))
    queue.run()
    assert len(queue.waiting) == 1


def test_nothing_is_left_open_where_there_is_no_descriptor(epoll: select.epoll) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            CommandQueue(epoll)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
