"""What each command of the control protocol does to the running proxy.

Knows the proxy by its contract alone, and of a client only that it can be told something, and how soon it has room for
more.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections import deque
from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from zeroscale.control import protocol
from zeroscale.control.interfaces import Proxy, Server
from zeroscale.control.protocol import RequestError
from zeroscale.reports import ProxyReport, ServerReport

Send = Callable[[object], Deferred[None]]
"""Tells the client of something; fires when it has room for more."""

WATCH_EVERY = 1.0
"""Seconds between two reports while nothing changes: countdowns count."""

WATCH_GAP = 0.1
"""Seconds between two reports at least, however much changes: nobody reads faster."""

FOLLOWED = 256 * 1024
"""Characters of output that wait for a client that reads slower than its server writes; then lines are passed over."""

NAMES_TOLD = 20
"""Names of servers in a message at most; a line is to stay a line."""


class Bell:
    """Wakes the one who waits for something to happen, or for some time to pass.

    :param clock: Twisted's IReactorTime.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._rung = False
        self._waiting: Deferred[None] | None = None
        self._timer: IDelayedCall | None = None

    def ring(self) -> None:
        """Something has happened; said before anybody waits, it is not forgotten."""
        waiting = self._waiting
        if waiting is None:
            self._rung = True
            return
        self._forget()
        waiting.callback(None)

    def wait(self, seconds: float | None) -> Deferred[None]:
        """Fires when it rings, or has rung since the last time; or after so many seconds."""
        if self._rung:
            self._rung = False
            return succeed(None)
        self._waiting = Deferred(lambda _: self._forget())
        if seconds is not None:
            self._timer = self._clock.callLater(seconds, self.ring)
        return self._waiting

    def _forget(self) -> None:
        self._waiting = None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


class Backlog:
    """Lines of output on their way to a client; of those that would be too many it knows only how many."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque()
        self._characters = 0
        self._skipped = 0

    def add(self, line: str) -> None:
        """One line more."""
        if self._characters + len(line) > FOLLOWED:
            self._skipped += 1
        else:
            self._lines.append(line)
            self._characters += len(line) + 1

    def take(self) -> dict[str, object] | None:
        """All of them, and how many are missing behind them; None when there is nothing to tell."""
        if not self._lines and not self._skipped:
            return None
        taken = {"lines": list(self._lines), "skipped": self._skipped}
        self._lines.clear()
        self._characters = self._skipped = 0
        return taken


class Commands:
    """The commands.

    :param clock: Twisted's IReactorTime.
    """

    def __init__(self, proxy: Proxy, clock: IReactorTime) -> None:
        self._proxy = proxy
        self._clock = clock

    async def perform(self, request: protocol.Command, send: Send) -> object:
        """Does what was asked; being cancelled ends it.

        :param send: takes what a stream tells before its end.
        :returns: the result, to be encoded.
        :raises ZeroscaleError: it cannot be done; the message says why.
        """
        match request:
            case protocol.Status():
                return await self._status(request, send)
            case protocol.Wake():
                return await self._wake(request, send)
            case protocol.Reload():
                return {"changes": list(await self._proxy.reload())}
            case protocol.Logs():
                return await self._logs(request, send)
            case protocol.Console():
                server = self._server(request.server)
                return {"server": server.name, "answer": await server.console(request.line)}
        server = self._server(request.server)
        match request:
            case protocol.Sleep():
                server.sleep(now=request.now)
            case protocol.KeepAwake():
                server.keep_awake(request.seconds)
            case protocol.Release():
                server.release()
            case protocol.Lockout():
                server.lock_out(request.message)
        return server.report()

    async def _status(self, request: protocol.Status, send: Send) -> ProxyReport:
        if not request.watch:
            return self._report(request.server)
        gap = Bell(self._clock)
        bell = Bell(self._clock)
        end = self._proxy.watch(lambda name: bell.ring() if request.server in (None, name) else None)
        try:
            while True:
                await send(self._report(request.server))
                await gap.wait(WATCH_GAP)
                await bell.wait(WATCH_EVERY - WATCH_GAP)
        finally:
            end()

    async def _wake(self, request: protocol.Wake, send: Send) -> ServerReport:
        server = self._server(request.server)
        ready = server.wake()
        if not request.wait:
            if ready.called:
                await ready
            else:
                _leave_off(ready)
            return server.report()
        bell = Bell(self._clock)
        ready.addBoth(_ring, bell)
        end = self._proxy.watch(lambda name: bell.ring() if name == server.name else None)
        gap = Bell(self._clock)
        try:
            while not ready.called:
                await send(server.report())
                await gap.wait(WATCH_GAP)
                if not ready.called:
                    await bell.wait(WATCH_EVERY - WATCH_GAP)
            await ready
        finally:
            end()
            if not ready.called:
                _leave_off(ready)
        return server.report()

    async def _logs(self, request: protocol.Logs, send: Send) -> object:
        server = self._server(request.server)
        backlog = Backlog()
        for line in server.lines():
            backlog.add(line)
        lines = backlog.take() or {"lines": [], "skipped": 0}
        if not request.follow:
            return lines
        bell = Bell(self._clock)

        def take_line(line: str) -> None:
            backlog.add(line)
            bell.ring()

        end = server.follow(take_line)
        try:
            await send(lines)
            while True:
                await bell.wait(None)
                while (lines_since := backlog.take()) is not None:
                    await send(lines_since)
        finally:
            end()

    def _report(self, name: str | None) -> ProxyReport:
        report = self._proxy.report()
        if name is None:
            return report
        self._server(name)
        return dataclasses.replace(report, servers=tuple(each for each in report.servers if each.name == name))

    def _server(self, name: str | None) -> Server:
        servers = self._proxy.servers
        if name is not None:
            if name in servers:
                return servers[name]
            near = difflib.get_close_matches(name, servers, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {_some(list(servers))}"
            raise RequestError("unknown_server", f"there is no server {name!r}; {hint}")
        if len(servers) == 1:
            return next(iter(servers.values()))
        if not servers:
            raise RequestError("which_server", "there is no server")
        raise RequestError("which_server", f"there are {len(servers)} servers: say which one: {_some(list(servers))}")


def _some(names: list[str]) -> str:
    told = ", ".join(names[:NAMES_TOLD])
    return told + (f" and {len(names) - NAMES_TOLD} more" if len(names) > NAMES_TOLD else "")


def _ring(outcome: Failure | None, bell: Bell) -> Failure | None:
    bell.ring()
    return outcome


def _leave_off(waiting: Deferred[None]) -> None:
    waiting.addErrback(_was_cancelled)
    waiting.cancel()


def _was_cancelled(failure: Failure) -> None:
    failure.trap(CancelledError)
