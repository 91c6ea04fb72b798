"""Values of the history: what is written, and what `zeroscalectl history --json` and `stats --json` show."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

FILE = "history.sqlite3"
"""The name of a server's history in its state directory."""


class Activity(Enum):
    """Whether a server uses the machine."""

    asleep = "asleep"
    """It does not run."""
    awake = "awake"
    """It runs, starts or stops."""
    paused = "paused"
    """It uses memory, but no processor."""


class Row(Struct, frozen=True):
    """One row to write. A row that was written before, of the same table and key, is replaced.

    :ivar table: the table.
    :ivar key: what tells it from the other rows of this table while zeroscale runs.
    :ivar values: the values of the table's columns.
    :ivar final: it is not written again.
    """

    table: str
    key: int
    values: tuple[object, ...]
    final: bool = True


class HistoryEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that happened to a server. What does not apply has its default, and is left out of the JSON.

    :ivar server: the server's name.
    :ivar at: when it began, in seconds since 1970.
    :ivar event: `woken`, `found`, `session`, `paused`, `stopped`, `failed`, `given_up` or `refused`.
    :ivar cause: of a wake, a pause or a stop: why, in one word, as in the events; of a failure: `start`, `run` or
        `stop`, during which it happened; of a refusal: the rule.
    :ivar name: the player's name.
    :ivar address: the player's address, without the port.
    :ivar operator: the name of the operator's account.
    :ivar detail: more words.
    :ivar seconds: how long it took: the start, the stop, the session; None: that is not known.
    :ivar at_least: the end of the session is not known, since zeroscale was killed; it took `seconds` or longer.
    :ivar open: the session has not ended.
    :ivar count: how many of these there were, where one entry stands for many; 0: they are counted in an earlier one.
    :ivar to_server: bytes that the player sent.
    :ivar to_client: bytes that the player was sent.
    """

    server: str
    at: float
    event: str
    cause: str = ""
    name: str = ""
    address: str = ""
    operator: str = ""
    detail: str = ""
    seconds: float | None = None
    at_least: bool = False
    open: bool = False
    count: int = 1
    to_server: int = 0
    to_client: int = 0


class HistoryPage(Struct, frozen=True, omit_defaults=True):
    """A part of the history.

    :ivar entries: the newest ones, in the order of time.
    :ivar more: whether there are older ones that were asked for, but left out.
    """

    entries: tuple[HistoryEntry, ...]
    more: bool = False


class UsageStats(Struct, frozen=True, kw_only=True):
    """What a server has used while it ran without a player, and what it therefore has not used while it slept.

    :ivar sampled: seconds in which it was measured.
    :ivar cpu: CPU seconds that it used in a second.
    :ivar memory: bytes of memory.
    :ivar cpu_seconds_saved: CPU seconds that it would have used while it slept or was paused.
    :ivar memory_hours_saved: bytes of memory that it would have used while it slept, times hours.
    """

    sampled: float
    cpu: float
    memory: float
    cpu_seconds_saved: float
    memory_hours_saved: float


class HistoryStats(Struct, frozen=True, kw_only=True):
    """Sums of one server's history. Durations are seconds.

    :ivar server: the server's name.
    :ivar since: begin of the time that was asked for, in seconds since 1970.
    :ivar until: its end.
    :ivar asleep: how long the server did not run while zeroscale did.
    :ivar awake: how long it ran, started or stopped.
    :ivar paused: how long it was paused.
    :ivar wakes: how often it was woken.
    :ivar wakes_per_day: the same by days in which zeroscale ran; None: it did not run for a day.
    :ivar starts: number of starts that became ready.
    :ivar start_median: how long half of them took at most; None: there was none.
    :ivar start_slowest: how long the slowest took.
    :ivar sessions: number of players' sessions, and of connections.
    :ivar players: number of different names.
    :ivar player_seconds: how long players were on, summed up.
    :ivar failures: how often it failed.
    :ivar refused: number of refused logins.
    :ivar usage: None: it was never measured while it ran without a player.
    """

    server: str
    since: float
    until: float
    asleep: float = 0.0
    awake: float = 0.0
    paused: float = 0.0
    wakes: int = 0
    wakes_per_day: float | None = None
    starts: int = 0
    start_median: float | None = None
    start_slowest: float | None = None
    sessions: int = 0
    players: int = 0
    player_seconds: float = 0.0
    failures: int = 0
    refused: int = 0
    usage: UsageStats | None = None
