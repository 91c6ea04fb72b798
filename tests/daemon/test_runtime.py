"""What the foreground and the daemon share."""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import sys
from collections.abc import Sequence

import pytest
from processes import Program, python
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed

from zeroscale.daemon.runtime import Interrupts, install_reactor
from zeroscale.errors import ConfigError, ConfigMistakes
from zeroscale.system.privileges import Owner


class CountingProxy:
    def __init__(self) -> None:
        self.hurried = 0
        self.running: Sequence[str] = ()
        self.fatal: Deferred[None] = Deferred()
        self.reloading: Deferred[Sequence[str]] = Deferred()

    def prepare(self, owner: Owner) -> Deferred[None]:
        return succeed(None)

    def start(self) -> Deferred[None]:
        return succeed(None)

    def stop(self) -> Deferred[None]:
        return succeed(None)

    def skip_to_sigterm(self) -> None:
        self.hurried += 1

    def send_to_consoles(self, line: str) -> None:
        raise AssertionError("no signal types anything")

    def reload(self) -> Deferred[Sequence[str]]:
        return self.reloading


class LeftEarly(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize(
    ("running", "left"),
    [
        (["creative", "survival"], "left as recorded, for the next start to adopt: creative, survival"),
        ([], "no server runs"),
    ],
)
def test_interrupts_stop_then_hurry_then_leave(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, running: list[str], left: str
) -> None:
    proxy, stopped = CountingProxy(), list[signal.Signals]()
    proxy.running = running
    order: list[str] = []
    loop = asyncio.new_event_loop()
    interrupts = Interrupts(loop, stopped.append, proxy, lambda: order.append("log"))
    loop.close()

    def leave(code: int) -> None:
        order.append("exit")
        raise LeftEarly(code)

    monkeypatch.setattr("os._exit", leave)
    interrupts.interrupt(signal.SIGINT)
    assert (stopped, proxy.hurried) == ([signal.SIGINT], 0)
    interrupts.interrupt(signal.SIGTERM)
    assert (stopped, proxy.hurried) == ([signal.SIGINT], 1)
    with caplog.at_level(logging.CRITICAL), pytest.raises(LeftEarly) as ended:
        interrupts.interrupt(signal.SIGTERM)
    assert ended.value.args == (1,)
    assert order == ["log", "exit"]
    assert caplog.messages[-1:] == [f"SIGTERM a third time: {left}"]


@pytest.mark.parametrize(
    ("outcome", "messages"),
    [
        (["creative: added"], []),
        ([], ["SIGHUP: nothing has changed"]),
        (ConfigError("no such file"), ["Not reloaded: no such file"]),
        (ConfigMistakes(["one mistake", "another"]), ["Not reloaded: one mistake", "Not reloaded: another"]),
    ],
)
def test_a_hangup_reloads_and_logs_the_result(
    caplog: pytest.LogCaptureFixture, outcome: list[str] | Exception, messages: list[str]
) -> None:
    proxy, loop = CountingProxy(), asyncio.new_event_loop()
    interrupts = Interrupts(loop, lambda _: None, proxy, lambda: None)
    loop.close()
    with caplog.at_level(logging.INFO):
        interrupts.reload()
        assert caplog.messages == []
        proxy.reloading.callback(outcome) if isinstance(outcome, list) else proxy.reloading.errback(outcome)
    assert caplog.messages == messages
    assert not any(record.exc_info for record in caplog.records)


def test_the_installed_reactor_is_taken_where_it_is_asyncios() -> None:
    installed: object = install_reactor()
    assert installed is reactor


def test_the_reactors_loop_is_asyncios_current_one() -> None:
    code = (
        "import asyncio; from zeroscale.daemon.runtime import install_reactor; reactor = install_reactor()\n"
        "same = []\n"
        "loop = asyncio.get_event_loop()\n"
        "reactor.callLater(0, lambda: (same.append(asyncio.get_running_loop() is loop), reactor.stop()))\n"
        "reactor.run(); print(same)"
    )
    with Program(python("-c", code)) as program:
        assert program.wait() == 0
    assert program.lines == ["[True]"]


def test_setting_the_clock_back_delays_no_timer() -> None:
    code = (
        "import time; from zeroscale.daemon.runtime import install_reactor; reactor = install_reactor()\n"
        "wall = time.time\n"
        "reactor.callLater(0.2, reactor.stop)\n"
        "time.time = lambda: wall() - 3600\n"
        "from twisted.python import runtime; runtime.platform.seconds = runtime.seconds = time.time\n"
        "began = time.monotonic(); reactor.run(); print(time.monotonic() - began < 5, reactor.seconds() < wall() / 2)"
    )
    with Program(python("-c", code)) as program:
        assert program.wait() == 0
    assert program.lines == ["True True"]


def test_another_reactor_is_refused() -> None:
    code = (
        "from twisted.internet import selectreactor; selectreactor.install()\n"
        "from zeroscale.errors import ConfigError; from zeroscale.daemon.runtime import install_reactor\n"
        "try: install_reactor()\n"
        "except ConfigError as error: print(error)"
    )
    with Program(python("-c", code)) as program:
        assert program.wait() == 0
    assert "SelectReactor is installed already" in program.lines[0]


WITHOUT_THREADS = """
import asyncio, threading
if INSTALLED:
    from twisted.internet import asyncioreactor
    asyncioreactor.install()
from zeroscale.daemon.runtime import install_reactor

def refuse(thread):
    raise RuntimeError("can't start new thread")

install_reactor()
from zeroscale.process.oneshot import run_program
threading.Thread.start = refuse
print(asyncio.get_event_loop().run_until_complete(run_program(["sh", "-c", "exit 3"])).code)
"""


@pytest.mark.parametrize("installed", [False, True])  # True: twistd --reactor=asyncio
def test_children_are_watched_without_threads(installed: bool) -> None:
    run = subprocess.run(
        [sys.executable, "-c", f"INSTALLED = {installed}\n{WITHOUT_THREADS}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.stdout, run.stderr) == ("3\n", "")
