"""Reads the history of servers: what happened, and its sums. Blocks; bounded by what is asked for."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from zeroscale.history.database import open_to_read, reading
from zeroscale.history.values import FILE, Activity, HistoryEntry, HistoryPage, HistoryStats, UsageStats

DAY = 86400.0

USAGE_SECONDS = DAY
"""The latest measurements that count, in seconds: what a server uses changes over the years."""

ENTRIES = """
SELECT at, event, cause, name, address, operator, detail, seconds, count, NULL, 0, 0, id
FROM entries WHERE at >= :since
UNION ALL
SELECT at, 'session', '', name, address, '', '', seconds, count, state, to_server, to_client, id
FROM sessions WHERE at >= :since OR (state <> 'sum' AND at + seconds >= :since)
ORDER BY at DESC, id DESC LIMIT :limit
"""

OVERLAP = "max(0, min(at + seconds, :until) - max(at, :since))"
"""Seconds of a row that are in the time that was asked for."""


def read_history(directories: Iterable[tuple[str, Path]], since: float, limit: int) -> HistoryPage:
    """Return the newest entries of some servers.

    :param directories: names of servers, with their state directories.
    :param since: begin, in seconds since 1970.
    :param limit: number of entries at most.
    :raises ControlError: a history cannot be read.
    """
    found: list[HistoryEntry] = []
    more = False
    for server, directory in directories:
        path = directory / FILE
        connection = open_to_read(path)
        if connection is None:
            continue
        with reading(path), closing(connection):
            rows = connection.execute(ENTRIES, {"since": since, "limit": limit + 1}).fetchall()
        found = sorted([*found, *(_entry(server, row) for row in reversed(rows))], key=lambda entry: entry.at)
        more |= len(found) > limit
        found = found[-limit:]
    return HistoryPage(tuple(found), more)


def read_stats(directories: Iterable[tuple[str, Path]], since: float, until: float) -> tuple[HistoryStats, ...]:
    """Return the sums of some servers.

    :param directories: names of servers, with their state directories.
    :param since: begin, in seconds since 1970.
    :param until: end, in seconds since 1970.
    :raises ControlError: a history cannot be read.
    """
    found = []
    for server, directory in directories:
        path = directory / FILE
        connection = open_to_read(path)
        if connection is None:
            found.append(HistoryStats(server=server, since=since, until=until))
            continue
        with reading(path), closing(connection):
            found.append(_stats(connection, server, since, until))
    return tuple(found)


def _entry(server: str, row: tuple[object, ...]) -> HistoryEntry:
    at, event, cause, name, address, operator, detail, seconds, count, state, to_server, to_client, _id = row
    return HistoryEntry(
        server=server,
        at=_number(at),
        event=str(event),
        cause=str(cause),
        name=str(name),
        address=str(address),
        operator=str(operator),
        detail=str(detail),
        seconds=None if seconds is None else _number(seconds),
        at_least=state == "lost",
        open=state == "open",
        count=int(_number(count)),
        to_server=int(_number(to_server)),
        to_client=int(_number(to_client)),
    )


def _stats(connection: sqlite3.Connection, server: str, since: float, until: float) -> HistoryStats:
    window = {"since": since, "until": until}

    def rows(query: str) -> list[tuple[float, ...]]:
        return connection.execute(query, window).fetchall()

    def sums(query: str) -> dict[str, float]:
        return dict(connection.execute(query, window).fetchall())

    begun = "at >= :since AND at < :until"
    activity = sums(f"SELECT activity, total({OVERLAP}) FROM periods GROUP BY activity")
    asleep, awake, paused = (
        activity.get(each.value, 0.0) for each in (Activity.asleep, Activity.awake, Activity.paused)
    )
    counts = sums(f"SELECT event, total(count) FROM entries WHERE {begun} GROUP BY event")
    starts = [
        each
        for (each,) in rows(f"SELECT seconds FROM entries WHERE event = 'woken' AND seconds IS NOT NULL AND {begun}")
    ]
    [(sessions, players)] = rows(
        f"SELECT total(count), count(DISTINCT nullif(name, '')) FROM sessions"
        f" WHERE ({begun}) OR (state <> 'sum' AND {OVERLAP} > 0)"
    )
    [(player_seconds,)] = rows(
        f"SELECT total(CASE WHEN state = 'sum' THEN (CASE WHEN {begun} THEN seconds ELSE 0 END) ELSE {OVERLAP} END)"
        " FROM sessions"
    )
    wakes = int(counts.get("woken", 0))
    days = (asleep + awake + paused) / DAY
    return HistoryStats(
        server=server,
        since=since,
        until=until,
        asleep=asleep,
        awake=awake,
        paused=paused,
        wakes=wakes,
        wakes_per_day=wakes / days if days >= 1 else None,
        starts=len(starts),
        start_median=_median(sorted(starts)),
        start_slowest=max(starts, default=None),
        sessions=int(sessions),
        players=int(players),
        player_seconds=player_seconds,
        failures=int(counts.get("failed", 0)),
        refused=int(counts.get("refused", 0)),
        usage=_usage(connection, asleep, paused),
    )


def _usage(connection: sqlite3.Connection, asleep: float, paused: float) -> UsageStats | None:
    sampled = cpu_seconds = memory_seconds = 0.0
    for seconds, cpu, memory in connection.execute("SELECT seconds, cpu, memory FROM usage ORDER BY at DESC"):
        sampled += seconds
        cpu_seconds += cpu
        memory_seconds += memory * seconds
        if sampled >= USAGE_SECONDS:
            break
    if not sampled:
        return None
    cpu, memory = cpu_seconds / sampled, memory_seconds / sampled
    return UsageStats(
        sampled=sampled,
        cpu=cpu,
        memory=memory,
        cpu_seconds_saved=cpu * (asleep + paused),
        memory_hours_saved=memory * asleep / 3600,
    )


def _median(ordered: list[float]) -> float | None:
    if not ordered:
        return None
    middle = len(ordered) // 2
    return (ordered[middle] + ordered[~middle]) / 2


def _number(value: object) -> float:
    """Return a number of a column; SQLite's columns have no types that bind."""
    return value if isinstance(value, int | float) and math.isfinite(value) else 0.0
