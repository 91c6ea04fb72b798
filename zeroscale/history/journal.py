"""Converts the events of one server into rows of its history: bounded in number, durations by the monotonic clock.

Beyond so many rows in a minute, events are summed up in one row for each kind. Does no I/O.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import count

from msgspec import Struct

from zeroscale.event_text import failures_text, without_port
from zeroscale.events import (
    NOBODY,
    Cause,
    Failed,
    GivenUp,
    Joined,
    Left,
    Ready,
    Refused,
    ServerEvent,
    Stopped,
    Stopping,
    Woken,
)
from zeroscale.hidden_addresses import without_addresses
from zeroscale.history.values import Activity, Row
from zeroscale.status import ClientInfo

MINUTE = 60.0
PER_MINUTE = 30
PER_ADDRESS = 5
"""Rows of one table in a minute, in all and for one address. 30 are 4 KB, and 6 MB in a day."""

MOST_OPEN = 1000
"""Open sessions that have a row of their own."""

MOST_SUMS = 32
"""Kinds of events that are summed up, such as reasons of refusals; further ones are summed up together."""

LONGEST_DETAIL = 2000
LONGEST_NAME = 200
"""Characters: the last lines of a server's output; a name, an address or a word."""


class _Session(Struct):
    key: int
    at: float
    began: float
    client: ClientInfo


class _Sum(Struct):
    """Events of one kind that have no row of their own."""

    at: float
    count: int = 0
    seconds: float = 0.0
    to_server: int = 0
    to_client: int = 0


class ServerJournal:
    """The rows of one server.

    :param clock: the monotonic clock.
    :param wall: returns the seconds since 1970.
    :param since: when zeroscale began to look after the server, by the monotonic clock.
    :param addresses: whether rows have the addresses of clients.
    """

    def __init__(self, clock: Callable[[], float], wall: Callable[[], float], since: float, *, addresses: bool) -> None:
        self._clock = clock
        self._wall = wall
        self._addresses = addresses
        self._rows: list[Row] = []
        self._keys = count(1)
        self._activity = Activity.asleep
        self._period_key = next(self._keys)
        self._period_began = since
        self._period_at: float | None = None
        self._wake: tuple[int, tuple[object, ...]] | None = None
        self._sessions: dict[ClientInfo, _Session] = {}
        self._minute_began = since
        self._counts: Counter[str] = Counter()
        self._sums: dict[tuple[str, str], _Sum] = {}

    @property
    def activity(self) -> Activity:
        """What the server does, by the events so far."""
        return self._activity

    def take(self) -> list[Row]:
        """Return the rows to write, and forget them."""
        rows, self._rows = self._rows, []
        return rows

    def record(self, event: ServerEvent) -> None:
        """Take an event of the server."""
        self._begin(event.at)
        if self._clock() - self._minute_began >= MINUTE:
            self._end_minute()
        match event:
            case Woken():
                self._change(Activity.awake, event.at)
                self._end_wake(None)
                self._woken(event)
            case Ready():
                self._ready(event)
            case Joined():
                self._joined(event)
            case Left():
                self._left(event)
            case Stopping():
                if event.pause:
                    self._end_wake(None)
                    self._change(Activity.paused, event.at)
                    self._entry(event.at, "paused", event.cause)
            case Stopped():
                self._end_wake(None)
                self._change(Activity.asleep, event.at)
                self._entry(event.at, "stopped", event.cause, seconds=event.seconds)
            case Failed():
                if event.during != "stop":
                    self._end_wake(None)
                    self._change(Activity.asleep, event.at)
                self._entry(event.at, "failed", word=event.during, detail=event.detail or event.reason)
            case GivenUp():
                self._entry(event.at, "given_up", detail=f"{failures_text(event.crashes)}: {event.reason}")
            case Refused():
                self._entry(event.at, "refused", word=event.reason, client=event.client, detail=event.detail)

    def used(self, seconds: float, cpu: float, memory: float) -> None:
        """Record what the server has used in a time without a player that ends now.

        :param seconds: how long that was.
        :param cpu: CPU seconds.
        :param memory: bytes, on average.
        """
        self._put("usage", (self._wall() - seconds, seconds, cpu, memory))

    def flush(self, *, final: bool = False) -> None:
        """Make rows of everything that goes on: the activity, open sessions, sums.

        :param final: zeroscale ends, or the server is not looked after any more.
        """
        self._begin(self._wall())
        self._end_minute()
        for session in self._sessions.values():
            state = "lost" if final else "open"
            self._put_session(session, self._clock() - session.began, state, final=final)
        self._put_period(final=final)
        if final:
            self._sessions.clear()
            self._end_wake(None)

    def _begin(self, at: float) -> None:
        """Begin the first period: only now is it known what the wall clock says, which may be set after the start."""
        if self._period_at is None:
            self._period_at = at - (self._clock() - self._period_began)

    def _change(self, activity: Activity, at: float) -> None:
        if activity is self._activity:
            return
        self._put_period(final=True)
        self._activity = activity
        self._period_key = next(self._keys)
        self._period_began, self._period_at = self._clock(), at

    def _put_period(self, *, final: bool) -> None:
        seconds = self._clock() - self._period_began
        values = (self._period_at, seconds, self._activity.value)
        self._rows.append(Row("periods", self._period_key, values, final))

    def _woken(self, event: Woken) -> None:
        if not self._has_room("entries", event.cause.client):
            self._sum("woken", event.cause.kind.value, event.at)
            return
        values = self._entry_values(event.at, "woken", event.cause)
        self._wake = (next(self._keys), values)
        self._rows.append(Row("entries", *self._wake, final=False))

    def _ready(self, event: Ready) -> None:
        if event.found:
            self._change(Activity.awake, event.at)
            self._end_wake(None)
            self._entry(event.at, "found")
        else:
            self._end_wake(event.seconds)

    def _end_wake(self, seconds: float | None) -> None:
        """Write the row of the last wake once more, with the duration of the start; None: it did not become ready."""
        if self._wake is not None:
            key, values = self._wake
            self._wake = None
            self._rows.append(Row("entries", key, (*values[:-2], seconds, values[-1])))

    def _joined(self, event: Joined) -> None:
        known = event.client in self._sessions  # clients without an address cannot be told apart
        if known or len(self._sessions) >= MOST_OPEN or not self._has_room("sessions", event.client):
            self._sum("session", "", event.at)
            return
        session = _Session(next(self._keys), event.at, self._clock(), event.client)
        self._sessions[event.client] = session
        self._put_session(session, 0.0, "open", final=False)

    def _left(self, event: Left) -> None:
        session = self._sessions.pop(event.client, None)
        if session is None:
            total = self._sum("session", "", event.at, 0)
            total.seconds += event.seconds
            total.to_server += event.to_server
            total.to_client += event.to_client
        else:
            # `Joined` comes once the connection is known to be a player's.
            session.at -= max(0.0, event.seconds - (self._clock() - session.began))
            self._put_session(session, event.seconds, "ended", event.to_server, event.to_client, final=True)

    def _put_session(
        self, session: _Session, seconds: float, state: str, to_server: int = 0, to_client: int = 0, *, final: bool
    ) -> None:
        name, address = session.client.name[:LONGEST_NAME], self._address(session.client)
        values = (session.at, seconds, state, name, address, to_server, to_client, 1)
        self._rows.append(Row("sessions", session.key, values, final))

    def _entry(
        self,
        at: float,
        event: str,
        cause: Cause | None = None,
        *,
        word: str = "",
        client: ClientInfo = NOBODY,
        detail: str = "",
        seconds: float | None = None,
    ) -> None:
        if not self._has_room("refusals" if event == "refused" else "entries", client):
            self._sum(event, cause.kind.value if cause else word, at)
            return
        values = self._entry_values(at, event, cause, word=word, client=client, detail=detail, seconds=seconds)
        self._put("entries", values)

    def _entry_values(
        self,
        at: float,
        event: str,
        cause: Cause | None = None,
        *,
        word: str = "",
        client: ClientInfo = NOBODY,
        detail: str = "",
        seconds: float | None = None,
        number: int = 1,
    ) -> tuple[object, ...]:
        operator = ""
        if cause is not None:
            word, client, operator, detail = cause.kind.value, cause.client, cause.operator, cause.detail
        name, address = client.name[:LONGEST_NAME], self._address(client)
        if not self._addresses:
            # The first cut leaves more, since a part of an address at its end could not be recognised.
            detail = without_addresses(detail[: 5 * LONGEST_DETAIL])
        detail = detail[:LONGEST_DETAIL]
        return (at, event, word[:LONGEST_NAME], name, address, operator[:LONGEST_NAME], detail, seconds, number)

    def _put(self, table: str, values: tuple[object, ...]) -> None:
        self._rows.append(Row(table, next(self._keys), values))

    def _has_room(self, table: str, client: ClientInfo) -> bool:
        """Count a row, and return whether there may be one more in this minute."""
        counted = [(table, PER_MINUTE)]
        if client.limit_key is not None:
            counted.append((f"{table} {client.limit_key}", PER_ADDRESS))
        if any(self._counts[key] >= most for key, most in counted):
            return False
        self._counts.update(key for key, _most in counted)
        return True

    def _sum(self, event: str, word: str, at: float, number: int = 1) -> _Sum:
        """Count an event that gets no row of its own."""
        key = (event, word)
        if key not in self._sums and len(self._sums) >= MOST_SUMS:
            key = (event, "")
        total = self._sums.setdefault(key, _Sum(at))
        total.count += number
        return total

    def _end_minute(self) -> None:
        """Write the sums of the last minute, and begin another one."""
        for (event, word), each in self._sums.items():
            if event == "session":
                values = (each.at, each.seconds, "sum", "", "", each.to_server, each.to_client, each.count)
                self._put("sessions", values)
            else:
                self._put("entries", self._entry_values(each.at, event, word=word, number=each.count))
        self._sums.clear()
        self._counts.clear()
        self._minute_began = self._clock()

    def _address(self, client: ClientInfo) -> str:
        """Return the client's address without the port, if addresses are kept."""
        if not self._addresses:
            return ""
        return without_port(client.address)[:LONGEST_NAME]
