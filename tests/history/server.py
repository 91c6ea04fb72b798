"""A server that makes events."""

from __future__ import annotations

from history.times import Times

from zeroscale.events import (
    Cause,
    CauseKind,
    Failed,
    Joined,
    Left,
    Ready,
    Refused,
    ServerEvent,
    Stopped,
    Stopping,
    Woken,
)
from zeroscale.history.journal import ServerJournal
from zeroscale.status import ClientInfo

ADA = ClientInfo("Ada", "203.0.113.7:51234", "203.0.113.7")
BOB = ClientInfo("Bob", "[2001:db8::1]:51234", "2001:db8::/64")


class Server:
    """Events of one server at the time of the clocks."""

    def __init__(self, times: Times, journal: ServerJournal) -> None:
        self.times = times
        self.journal = journal

    def wakes(self, client: ClientInfo = ADA) -> None:
        self._record(Woken(server="s", at=self.times.wall(), cause=Cause(CauseKind.login, client)))

    def is_ready(self, seconds: float = 1.0, *, found: bool = False) -> None:
        self._record(Ready(server="s", at=self.times.wall(), seconds=seconds, found=found))

    def joins(self, client: ClientInfo = ADA, players: int = 1) -> None:
        self._record(Joined(server="s", at=self.times.wall(), client=client, players=players))

    def leaves(self, client: ClientInfo = ADA, seconds: float = 1.0, players: int = 0) -> None:
        self._record(
            Left(
                server="s",
                at=self.times.wall(),
                client=client,
                players=players,
                seconds=seconds,
                to_server=100,
                to_client=2000,
            )
        )

    def pauses(self) -> None:
        self._record(Stopping(server="s", at=self.times.wall(), cause=Cause(CauseKind.idle), pause=True))

    def stops(self, cause: Cause = Cause(CauseKind.idle, detail="no players for 15 min")) -> None:  # noqa: B008
        self._record(Stopping(server="s", at=self.times.wall(), cause=cause))
        self._record(Stopped(server="s", at=self.times.wall(), cause=cause, seconds=2.0))

    def refuses(self, client: ClientInfo, reason: str = "banned") -> None:
        self._record(Refused(server="s", at=self.times.wall(), client=client, reason=reason))

    def fails(self, during: str) -> None:
        self._record(
            Failed(server="s", at=self.times.wall(), during=during, reason="it broke", detail="exit code 1\nlast line")
        )

    def _record(self, event: ServerEvent) -> None:
        self.journal.record(event)
