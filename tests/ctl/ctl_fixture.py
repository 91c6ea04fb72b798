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
        self._servers: list[ControlServer] = []

    async def open(self) -> None:
        await self._listen(self.path, self.proxy)

    async def add(self, path: Path, *names: str) -> FakeProxy:
        """Add another proxy with servers of these names."""
        path.parent.mkdir(parents=True, exist_ok=True)
        await self._listen(path, proxy := FakeProxy(*names))
        return proxy

    async def _listen(self, path: Path, proxy: FakeProxy) -> None:
        self._servers.append(ControlServer(proxy, self._reactor, ControlSocket(path), required=True))
        await self._servers[-1].start()

    async def close(self) -> None:
        while self._servers:
            await self.close_last()

    async def close_last(self) -> None:
        """Close the socket of the proxy that was added last."""
        await self._servers.pop().stop()

    def run(self, *words: str, terminal: bool = False, chosen: bool = True) -> Deferred[Run]:
        """Runs the command; one at a time.

        :param chosen: with the socket of `proxy`; else the command looks for one.
        """
        self.out, self.err = Screen(terminal), Screen(terminal)
        command, *rest = words
        line = [command, *(["--socket", str(self.path)] if chosen else []), *rest]
        return deferToThread(self._run, line, self.out, self.err)

    def _run(self, line: list[str], out: Screen, err: Screen) -> Run:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(line)
        return Run(code, out.getvalue(), err.getvalue())

    async def until(self, true: Callable[[], object]) -> None:
        """Waits until something is true."""
        for _ in range(int(DEADLINE / LOOKS_EVERY)):
            if true():
                return
            await deferLater(self._reactor, LOOKS_EVERY)
        raise AssertionError(f"it did not come true; printed: {self.out.getvalue()!r} {self.err.getvalue()!r}")
