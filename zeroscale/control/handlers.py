"""Executes the commands of the control protocol on the running proxy.

Uses the proxy only through `control.interfaces`, and a client only as a function that sends it an event.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from msgspec.structs import replace
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from zeroscale.control import protocol
from zeroscale.control.interfaces import ProxyControl, ServerControl
from zeroscale.control.protocol import RequestError
from zeroscale.errors import ServerUnavailable, suggest
from zeroscale.reports import ProxyReport, ServerReport

Send = Callable[[object], Deferred[None]]
"""Sends an event to the client; fires when the client can take another one."""

WATCH_INTERVAL = 1.0
"""Seconds between two reports of a watch while nothing changes: countdowns in the report go on."""

MIN_WATCH_INTERVAL = 0.1
"""Minimum seconds between two reports of a watch, however often the state changes: no reader is faster."""

MAX_BACKLOG = 256 * 1024
"""Characters of output queued for a client that reads more slowly than its server writes; further lines are skipped."""

MAX_NAMES = 20
"""Names of servers listed in one message at most."""


class TimedEvent:
    """An event that one coroutine awaits, with a timeout.

    :param clock: runs the timeout.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._is_set = False
        self._waiting: Deferred[None] | None = None
        self._timer: IDelayedCall | None = None

    def set(self) -> None:
        """Wake the waiter; without a waiter, the next `wait()` returns at once."""
        waiting = self._waiting
        if waiting is None:
            self._is_set = True
            return
        self._clear_wait()
        waiting.callback(None)

    def wait(self, seconds: float | None) -> Deferred[None]:
        """Wait for the event, and clear it.

        :param seconds: fires after this time at the latest; None: no limit.
        """
        if self._is_set:
            self._is_set = False
            return succeed(None)
        self._waiting = Deferred(lambda _: self._clear_wait())
        if seconds is not None:
            self._timer = self._clock.callLater(seconds, self.set)
        return self._waiting

    def _clear_wait(self) -> None:
        self._waiting = None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


class Backlog:
    """Lines of output queued for a client, up to `MAX_BACKLOG` characters; lines beyond that are only counted."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque()
        self._characters = 0
        self._skipped = 0

    def add(self, line: str) -> None:
        """Queue a line, or count it as skipped."""
        if self._characters + len(line) > MAX_BACKLOG:
            self._skipped += 1
        else:
            self._lines.append(line)
            self._characters += len(line) + 1

    def take(self) -> dict[str, object] | None:
        """Remove and return all lines, and how many were skipped after them; None if there is neither."""
        if not self._lines and not self._skipped:
            return None
        taken = {"lines": list(self._lines), "skipped": self._skipped}
        self._lines.clear()
        self._characters = self._skipped = 0
        return taken


class CommandHandler:
    """Executes requests of all clients.

    :param proxy: the proxy that they control.
    :param clock: times the reports of a watch.
    """

    def __init__(self, proxy: ProxyControl, clock: IReactorTime) -> None:
        self._proxy = proxy
        self._clock = clock

    async def perform(self, request: protocol.AnyRequest, send: Send, operator: str = "") -> object:
        """Execute a request. Cancelling ends a stream.

        :param send: sends the events of a stream.
        :param operator: name of the client's account; "" if it is not known.
        :returns: the result, to be encoded.
        :raises ZeroscaleError: the request cannot be executed; the message says why.
        """
        match request:
            case protocol.StatusRequest():
                return await self._status(request, send)
            case protocol.WakeRequest():
                return await self._wake(request, send, operator)
            case protocol.HistoryRequest():
                return await self._proxy.history(self._names(request.server), request.seconds, request.limit)
            case protocol.StatsRequest():
                return await self._proxy.history_stats(self._names(request.server), request.seconds)
            case protocol.ReloadRequest():
                return {"changes": list(await self._proxy.reload())}
            case protocol.NotifyRequest():
                return await self._proxy.test_notifications(request.name)
            case protocol.LogsRequest():
                return await self._logs(request, send)
            case protocol.ConsoleRequest():
                server = self._server(request.server)
                return {"server": server.name, "answer": await server.console(request.line)}
        server = self._server(request.server)
        match request:
            case protocol.SleepRequest(cancel=True):
                server.cancel_stop()
            case protocol.SleepRequest(after=after, at=at) if after is not None or at is not None:
                server.plan_stop(after=after, at=at, operator=operator)
            case protocol.SleepRequest():
                server.sleep(now=request.now, operator=operator)
            case protocol.KeepAwakeRequest():
                server.keep_awake(request.seconds, operator=operator)
            case protocol.ReleaseRequest():
                server.release()
            case protocol.LockoutRequest():
                server.lock_out(request.message, operator=operator)
        return server.report()

    async def _status(self, request: protocol.StatusRequest, send: Send) -> ProxyReport:
        if not request.watch:
            return self._report(request.server)
        pause = TimedEvent(self._clock)
        change = TimedEvent(self._clock)
        watched = None if request.server is None else self._server(request.server).name
        end = self._proxy.watch(lambda name: change.set() if watched in (None, name) else None)
        try:
            while True:
                await send(self._report(request.server))
                await pause.wait(MIN_WATCH_INTERVAL)
                await change.wait(WATCH_INTERVAL - MIN_WATCH_INTERVAL)
        finally:
            end()

    async def _wake(self, request: protocol.WakeRequest, send: Send, operator: str) -> ServerReport:
        server = self._server(request.server)
        ready = server.wake(force=request.force, operator=operator)
        if not request.wait:
            if ready.called:
                await _named(ready, server.name)
            elif request.force:
                ready.addErrback(_ignore, ServerUnavailable)  # waits on: else a lockout would count after a stop
            else:
                _cancel(ready)
            return server.report()
        change = TimedEvent(self._clock)
        ready.addBoth(_set_event, change)
        end = self._proxy.watch(lambda name: change.set() if name == server.name else None)
        pause = TimedEvent(self._clock)
        try:
            while not ready.called:
                await send(server.report())
                await pause.wait(MIN_WATCH_INTERVAL)
                if not ready.called:
                    await change.wait(WATCH_INTERVAL - MIN_WATCH_INTERVAL)
            await _named(ready, server.name)
        finally:
            end()
            if not ready.called:
                _cancel(ready)
        return server.report()

    async def _logs(self, request: protocol.LogsRequest, send: Send) -> object:
        server = self._server(request.server)
        backlog = Backlog()
        for line in server.recent_output():
            backlog.add(line)
        lines = backlog.take() or {"lines": [], "skipped": 0}
        if not request.follow:
            return lines
        output = TimedEvent(self._clock)

        def receive(line: str) -> None:
            backlog.add(line)
            output.set()

        end = server.subscribe_output(receive)
        try:
            await send(lines)
            while True:
                await output.wait(None)
                while (new_lines := backlog.take()) is not None:
                    await send(new_lines)
        finally:
            end()

    def _report(self, name: str | None) -> ProxyReport:
        report = self._proxy.report()
        if name is None:
            return report
        server = self._server(name)
        return replace(report, servers=tuple(each for each in report.servers if each.name == server.name))

    def _names(self, name: str | None) -> list[str]:
        """Return the name of one server, or the names of all."""
        return sorted(self._proxy.servers) if name is None else [self._server(name).name]

    def _server(self, name: str | None) -> ServerControl:
        servers = self._proxy.servers
        if name is not None:
            if name in servers:
                return servers[name]
            for server in servers.values():
                if server.former_name == name:
                    return server
            hint = suggest(name, servers, show=str, most=3) or f"there are: {_list_names(list(servers))}"
            raise RequestError("unknown_server", f"there is no server {name!r}; {hint}")
        if len(servers) == 1:
            return next(iter(servers.values()))
        if not servers:
            raise RequestError("which_server", "there is no server")
        names = _list_names(list(servers))
        raise RequestError("which_server", f"there are {len(servers)} servers: say which one: {names}")


def _list_names(names: list[str]) -> str:
    listed = ", ".join(names[:MAX_NAMES])
    return listed + (f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else "")


def _set_event(result: Failure | None, event: TimedEvent) -> Failure | None:
    event.set()
    return result


async def _named(ready: Deferred[None], server: str) -> None:
    """Await the end of a start; the reason of a failure begins with the server's name.

    :raises ServerUnavailable: it has failed.
    """
    try:
        await ready
    except ServerUnavailable as error:
        raise ServerUnavailable(f"{server}: {error}") from None


def _cancel(waiting: Deferred[None]) -> None:
    waiting.addErrback(_ignore, CancelledError)
    waiting.cancel()


def _ignore(failure: Failure, kind: type[Exception]) -> None:
    failure.trap(kind)
