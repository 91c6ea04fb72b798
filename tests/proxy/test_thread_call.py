"""A blocking call beside the reactor."""

from __future__ import annotations

import threading

import pytest
import pytest_twisted
from harness import FakeReactor, running_reactor

from zeroscale.proxy.thread_call import call_in_thread


@pytest_twisted.ensureDeferred
async def test_the_reactor_goes_on() -> None:
    reactor = running_reactor()
    may_end = threading.Event()
    reactor.callLater(0, may_end.set)
    ended = []
    await call_in_thread(reactor, lambda: ended.append(may_end.wait(30.0)))
    assert ended == [True]


@pytest_twisted.ensureDeferred
async def test_what_is_raised() -> None:
    def call() -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        await call_in_thread(running_reactor(), call)


def test_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    called: list[bool] = []
    done = call_in_thread(FakeReactor(), lambda: called.append(True))
    assert done.called and called == [True]
