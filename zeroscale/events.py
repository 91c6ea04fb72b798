"""Events: what happened to a server, to whom and why. The log, the history and notifications are made from them.

Values only. The names of the events (`EVENTS`) are public: they are in the log's JSON lines, in the history, in
notifications and in the configuration.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar

from msgspec import Struct

from zeroscale.status import ClientInfo

NOBODY = ClientInfo()
"""No client: the cause is not one."""


class CauseKind(Enum):
    """Why a server was woken or stopped, in one word."""

    login = "login"
    """A player joined."""
    connection = "connection"
    """A client of a protocol without names connected."""
    operator = "operator"
    """An operator's command."""
    schedule = "schedule"
    """A time of the configuration."""
    restart = "restart"
    """A scheduled restart."""
    dependency = "dependency"
    """A server that needs it is started, or one that it needs is stopped."""
    found = "found"
    """The server ran, or stopped, without zeroscale."""
    idle = "idle"
    """There was no player for the idle time, or it was paused for long enough."""
    shutdown = "shutdown"
    """zeroscale exits."""
    removed = "removed"
    """The server is not configured any more."""
    start_failed = "start_failed"
    """The server did not become ready."""
    exited = "exited"
    """The server ended by itself."""


class Cause(Struct, frozen=True):
    """Why a server was woken or stopped.

    :ivar kind: why, in one word.
    :ivar client: the client that caused it.
    :ivar operator: name of the operator's account; "" if it is not known, or no operator caused it.
    :ivar detail: the rest, as words that follow a colon: `no players for 15 min`, `schedule Mon-Fri 16:00-22:00`.
    """

    kind: CauseKind
    client: ClientInfo = NOBODY
    operator: str = ""
    detail: str = ""


class ServerEvent(Struct, frozen=True, kw_only=True):
    """Something that happened to a server.

    :cvar event: the event's name.
    :ivar server: the server's name.
    :ivar at: when, in seconds since 1970.
    """

    event: ClassVar[str]

    server: str
    at: float


class Woken(ServerEvent, frozen=True, kw_only=True):
    """A start began. A server that was found running has only `Ready`.

    :ivar cause: why.
    :ivar resumed: the server was paused.
    """

    event = "woken"

    cause: Cause
    resumed: bool = False


class Ready(ServerEvent, frozen=True, kw_only=True):
    """The server takes players.

    :ivar seconds: how long the start took.
    :ivar waiting: how many players waited for it.
    :ivar unnamed: they are clients of a protocol without names.
    :ivar found: it ran already, started by an earlier zeroscale or by another program.
    """

    event = "ready"

    seconds: float
    waiting: int = 0
    unnamed: bool = False
    found: bool = False


class Joined(ServerEvent, frozen=True, kw_only=True):
    """A player came onto the server; of a protocol without names, a client.

    It comes when the connection counts as a player's, a second late at most: a Minecraft server has sent 4 KiB by then.
    There is none for a client that the server has kicked at once, and no `Left` either: the access log tells of it.

    :ivar client: the player.
    :ivar players: how many are on it now.
    """

    event = "joined"

    client: ClientInfo
    players: int


class Left(ServerEvent, frozen=True, kw_only=True):
    """A player left the server.

    :ivar client: the player.
    :ivar players: how many are on it now.
    :ivar seconds: how long it was on the server.
    :ivar to_server: the bytes that it sent.
    :ivar to_client: the bytes that it was sent.
    """

    event = "left"

    client: ClientInfo
    players: int
    seconds: float
    to_server: int = 0
    to_client: int = 0


class Stopping(ServerEvent, frozen=True, kw_only=True):
    """A stop, or a pause, began.

    :ivar cause: why.
    :ivar pause: the server is paused.
    """

    event = "stopping"

    cause: Cause
    pause: bool = False


class Stopped(ServerEvent, frozen=True, kw_only=True):
    """The server does not run any more, and has not failed.

    :ivar cause: why; that of `Stopping`, where there was one.
    :ivar seconds: how long the stop took; 0 if the server ended by itself.
    """

    event = "stopped"

    cause: Cause
    seconds: float = 0.0


class Failed(ServerEvent, frozen=True, kw_only=True):
    """The server did not start, crashed, or could not be stopped.

    :ivar during: `start`, `run` or `stop`.
    :ivar reason: why, as players read it.
    :ivar detail: why, for the operator; may have the server's last lines of output.
    :ivar retry_in: seconds until it may be started again; None: not before an operator allows it.
    """

    event = "failed"

    during: str
    reason: str
    detail: str
    retry_in: float | None = None


class GivenUp(ServerEvent, frozen=True, kw_only=True):
    """The server has failed too often, and is not started again before an operator allows it.

    :ivar crashes: how often in a row.
    :ivar reason: why it failed last, as players read it.
    """

    event = "given_up"

    crashes: int
    reason: str


class Refused(ServerEvent, frozen=True, kw_only=True):
    """A rule refused a login; a bounded number of them a minute is reported.

    :ivar client: who wanted to join.
    :ivar reason: the rule, in one word, as in the metrics: `not_whitelisted`, `banned`, `rate`, `lockout` and others.
    :ivar detail: the rule in words, for the operator; "" if there are none.
    """

    event = "refused"

    client: ClientInfo
    reason: str
    detail: str = ""


EVENTS: dict[str, type[ServerEvent]] = {
    kind.event: kind for kind in (Woken, Ready, Joined, Left, Stopping, Stopped, Failed, GivenUp, Refused)
}
"""All events by their name."""
