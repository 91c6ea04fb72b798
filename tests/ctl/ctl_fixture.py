"""A fake proxy behind a real admin socket, and `zeroscalectl` in a thread that connects to it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from control.fake_proxy import FakeProxy
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from zeroscale.control.server import ControlServer
from zeroscale.control.socket_path import ControlSocket
from zeroscale.ctl.main import main

DEADLINE = 20.0
LOOKS_EVERY = 0.01


class Screen(io.StringIO):
    """What is printed; a terminal or not."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@dataclass(frozen=True)
class Run:
    """One run of the command."""

    code: int
    out: str
    err: str


class CtlHarness:
    """An admin socket with a fake proxy, and `zeroscalectl` run in a thread.

    :ivar out: what the command that runs has printed.
    """

    def __init__(self, directory: Path, reactor: Any) -> None:
        self.path = directory / "control.sock"
        self.proxy = FakeProxy("survival")
        self.out = Screen(False)
        self.err = Screen(False)
        self._reactor = reactor
        self._server = ControlServer(self.proxy, reactor, ControlSocket(self.path), required=True)

    async def open(self) -> None:
        await self._server.start()

    async def close(self) -> None:
        await self._server.stop()

    def run(self, *words: str, terminal: bool = False) -> Deferred[Run]:
        """Runs the command; one at a time."""
        self.out, self.err = Screen(terminal), Screen(terminal)
        return deferToThread(self._run, words, self.out, self.err)

    def _run(self, words: tuple[str, ...], out: Screen, err: Screen) -> Run:
        command, *rest = words
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([command, "--socket", str(self.path), *rest])
        return Run(code, out.getvalue(), err.getvalue())

    async def until(self, true: Callable[[], object]) -> None:
        """Waits until something is true."""
        for _ in range(int(DEADLINE / LOOKS_EVERY)):
            if true():
                return
            await deferLater(self._reactor, LOOKS_EVERY)
        raise AssertionError(f"it did not come true; printed: {self.out.getvalue()!r} {self.err.getvalue()!r}")
