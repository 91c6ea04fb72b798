"""A fake proxy and fake servers for tests of the control protocol: they record the commands they get."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from twisted.internet.defer import Deferred, succeed

from zeroscale.errors import ControlError
from zeroscale.history.values import HistoryPage, HistoryStats
from zeroscale.reports import (
    NotificationReport,
    PlannedStopReport,
    PlayerReport,
    ProxyReport,
    RelayReport,
    ServerReport,
    ServerStats,
)
from zeroscale.status import Status

NOTHING_COUNTED = ServerStats(
    seconds_by_status={Status.stopped: 60.0},
    wakes={"login": 1},
    start_durations=((5.0, 0), (10.0, 1)),
    starts=1,
    start_seconds=7.5,
    crashes=0,
    outcomes={"status": 3},
    refusals={"banned": 1},
    pings=3,
    logins=2,
    to_backend=2048,
    to_client=3 * 1024 * 1024,
)


class FakeServer:
    """A server that records its commands.

    :ivar asked: the commands so far, as text.
    :ivar operators: the account names of those who woke it or put it to sleep.
    :ivar refuses: the error of every command; None: commands succeed.
    :ivar keeps_asleep: the error of a wake without force; None: it succeeds.
    :ivar ready: fires when the server is ready.
    """

    def __init__(self, name: str, status: Status = Status.stopped) -> None:
        self.name = name
        self.former_name = ""
        self.status = status
        self.asked: list[str] = []
        self.operators: list[str] = []
        self.refuses: str | None = None
        self.keeps_asleep: str | None = None
        self.ready: Deferred[None] = Deferred()
        self.output = ["first", "second"]
        self.subscribers: list[Callable[[str], None]] = []
        self.players: tuple[PlayerReport, ...] = ()
        self.answer: str | None = None
        self.fields: dict[str, object] = {}
        self.restarts: tuple[PlannedStopReport, ...] = ()

    def report(self) -> ServerReport:
        fields: dict[str, object] = {"status_age": 60.0, "players": self.players, "estimate": 20.0, **self.fields}
        return ServerReport(name=self.name, plugin="demo", status=self.status, stats=NOTHING_COUNTED, **fields)  # type: ignore[arg-type]

    def wake(self, *, force: bool = False, operator: str = "") -> Deferred[None]:
        if self.keeps_asleep and not force:
            raise ControlError(self.keeps_asleep)
        self._ask("wake by force" if force else "wake")
        self.operators.append(operator)
        self.status = Status.starting
        waiting: Deferred[None] = Deferred(lambda _: self.asked.append("waits no more"))
        self.ready.addCallbacks(lambda _: waiting.callback(None), waiting.errback)
        return waiting

    def sleep(self, *, now: bool, operator: str = "") -> None:
        self.operators.append(operator)
        self._ask("sleep now" if now else "sleep")
        self.status = Status.stopping

    def plan_stop(self, *, after: float | None = None, at: str | None = None, operator: str = "") -> None:
        self.operators.append(operator)
        self._ask(f"stop at {at}" if at else f"stop in {after}")
        self.fields["planned_stops"] = (PlannedStopReport(seconds=after or 3600.0, kind="operator", operator="max"),)

    def cancel_stop(self) -> None:
        self._ask("cancel")
        self.fields["planned_stops"] = self.restarts

    def keep_awake(self, seconds: float | None, *, operator: str = "") -> None:
        self.operators.append(operator)
        self._ask(f"keep awake {seconds}")
        self.fields["keep_awake_reason"] = "its operator says so"

    def release(self) -> None:
        self._ask("release")

    def lock_out(self, message: str, *, operator: str = "") -> None:
        self.operators.append(operator)
        self._ask(f"lock out {message!r}")
        self.fields["lockout"] = message or "locked"

    def console(self, line: str) -> Deferred[str | None]:
        self._ask(f"console {line}")
        return succeed(self.answer)

    def recent_output(self) -> Sequence[str]:
        return self.output

    def subscribe_output(self, receive: Callable[[str], None]) -> Callable[[], None]:
        self.subscribers.append(receive)
        return lambda: self.subscribers.remove(receive)

    def says(self, line: str) -> None:
        for each in list(self.subscribers):
            each(line)

    def _ask(self, what: str) -> None:
        if self.refuses is not None:
            raise ControlError(self.refuses)
        self.asked.append(what)


class FakeProxy:
    """A proxy of fake servers.

    :ivar changes: the result of a reload, or its error.
    """

    def __init__(self, *names: str) -> None:
        self.servers = {name: FakeServer(name) for name in names}
        self.changes: list[str] | Exception = []
        self.observers: list[Callable[[str], None]] = []
        self.uptime = 3600.0
        self.asked: list[tuple[object, ...]] = []
        self.page: HistoryPage | Exception = HistoryPage(())
        self.tests = [NotificationReport("hook", ""), NotificationReport("chat", "HTTP 404\x1b")]
        self.sums: list[HistoryStats] = []

    def add(self, name: str) -> None:
        self.servers[name] = FakeServer(name)

    def report(self) -> ProxyReport:
        return ProxyReport(
            version="1.2.3",
            uptime=self.uptime,
            servers=tuple(server.report() for _, server in sorted(self.servers.items())),
            relays=(RelayReport("splice", 1, 2, 3, 4, 5),),
            pending_connections=0,
            unrouted={"left": 1},
        )

    def reload(self) -> Deferred[Sequence[str]]:
        if isinstance(self.changes, Exception):
            raise self.changes
        return succeed(self.changes)

    def test_notifications(self, name: str | None) -> Deferred[Sequence[NotificationReport]]:
        self.asked.append(("notify", name))
        return succeed(self.tests)

    def history(self, names: Sequence[str], seconds: float, limit: int) -> Deferred[msgspec.Raw]:
        self.asked.append(("history", tuple(names), seconds, limit))
        if isinstance(self.page, Exception):
            raise self.page
        return succeed(msgspec.Raw(msgspec.json.encode(self.page)))

    def history_stats(self, names: Sequence[str], seconds: float) -> Deferred[msgspec.Raw]:
        self.asked.append(("stats", tuple(names), seconds))
        return succeed(msgspec.Raw(msgspec.json.encode(self.sums)))

    def watch(self, changed: Callable[[str], None]) -> Callable[[], None]:
        self.observers.append(changed)
        return lambda: self.observers.remove(changed)

    def changed(self, name: str) -> None:
        for each in list(self.observers):
            each(name)
