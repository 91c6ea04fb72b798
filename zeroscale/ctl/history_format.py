"""Format entries and sums of the history as text. Pure, except that times are shown in the local time zone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from zeroscale.ctl.format import format_size
from zeroscale.ctl.terminal import clean
from zeroscale.event_text import format_duration
from zeroscale.history.values import HistoryEntry, HistoryPage, HistoryStats, UsageStats

LABEL_WIDTH = 12

DAY = 86400.0

CAUSES = {
    "schedule": "by the schedule",
    "restart": "for a restart",
    "found": "by someone else",
    "idle": "it was idle",
    "shutdown": "zeroscale exits",
    "removed": "it is not configured any more",
    "start_failed": "it did not become ready",
    "exited": "it ended by itself",
}
"""Causes in words; those of players and operators are named."""

DURING = {"start": "failed to start", "run": "crashed", "stop": "failed to stop"}
"""What failed, by the cause of a failure."""


def entry_lines(page: HistoryPage) -> Iterator[str]:
    """Return one line for each entry, and one that says that there are more."""
    if page.more:
        yield f"(older entries are left out; {len(page.entries)} are shown: see --limit)"
    width = max((len(clean(entry.server)) for entry in page.entries), default=0)
    for entry in page.entries:
        time = _local_time(entry.at).strftime("%Y-%m-%d %H:%M:%S")
        yield f"{time}  {clean(entry.server):<{width}}  {_words(entry)}"


def stats_lines(stats: HistoryStats) -> Iterator[str]:
    """Return the lines for one server."""
    asked, known = stats.until - stats.since, stats.asleep + stats.awake + stats.paused
    yield f"{clean(stats.server)}: since {_local_time(stats.since):%Y-%m-%d %H:%M}"
    for label, text in _facts(stats, asked, known):
        yield f"  {label:<{LABEL_WIDTH}} {text}"


def _facts(stats: HistoryStats, asked: float, known: float) -> Iterator[tuple[str, str]]:
    if known < asked * 0.99:
        yield "Known", f"for {format_duration(known)}, in which zeroscale ran"
    if known:
        yield "Asleep", f"{format_duration(stats.asleep)} ({stats.asleep / known:.0%})"
        yield "Awake", format_duration(stats.awake)
    if stats.paused:
        yield "Paused", format_duration(stats.paused)
    a_day = "" if stats.wakes_per_day is None else f"; {stats.wakes_per_day:.1f} a day"
    yield "Wakes", f"{stats.wakes}{a_day}"
    if stats.start_median is not None and stats.start_slowest is not None:
        yield "Starts", f"{_seconds(stats.start_median)} (median), {_seconds(stats.start_slowest)} (slowest)"
    players = f"; {_number(stats.players, 'player')}" if stats.players else ""
    yield "Players", f"{format_duration(stats.player_seconds)} in {_number(stats.sessions, 'session')}{players}"
    if stats.failures:
        yield "Failures", str(stats.failures)
    if stats.refused:
        yield "Refused", _number(stats.refused, "login")
    if stats.usage is None:
        yield "Saved", "not known: what it uses was never measured while it ran without a player"
    else:
        yield "Idle use", _idle_use(stats.usage)
        yield "Saved", _saved(stats.usage)


def _idle_use(usage: UsageStats) -> str:
    memory = format_size(round(usage.memory))
    return f"{usage.cpu:.1%} of a processor, {memory} of memory (measured for {format_duration(usage.sampled)})"


def _saved(usage: UsageStats) -> str:
    hours = format_size(round(usage.memory_hours_saved))
    return f"{usage.cpu_seconds_saved / 3600:.1f} processor hours, {hours} hours of memory"


def _words(entry: HistoryEntry) -> str:
    match entry.event:
        case "session":
            return _session(entry)
        case "woken" | "paused" | "stopped":
            words = f"{entry.event}{_many(entry, 'times')}{_cause(entry)}"
            if entry.seconds is None:
                return words
            took = "ready after" if entry.event == "woken" else "took"
            return f"{words}; {took} {_seconds(entry.seconds)}"
        case "found":
            return "found running"
        case "failed":
            detail = " | ".join(clean(line) for line in entry.detail.splitlines())
            return f"{DURING.get(entry.cause, 'failed')}{_many(entry, 'times')}" + (f": {detail}" if detail else "")
        case "given_up":
            return f"given up {clean(entry.detail)}"
        case "refused":
            who = f"{entry.count} more logins" if _is_sum(entry) else _client(entry)
            return f"refused {who}: {clean(entry.cause)}"
    return clean(f"{entry.event} {entry.detail}".strip())


def _session(entry: HistoryEntry) -> str:
    seconds = format_duration(entry.seconds or 0.0)
    if _is_sum(entry):
        words = f"{entry.count} more connections for {seconds} in all"
    elif entry.open:
        return f"{_client(entry)} is on, for {seconds} so far"
    else:
        words = f"{_client(entry)} was on for {seconds}"
    if entry.at_least:
        return f"{words} or longer: zeroscale ended before"
    moved = f"{format_size(entry.to_server)} to the server, {format_size(entry.to_client)} back"
    return f"{words}; {moved}"


def _cause(entry: HistoryEntry) -> str:
    detail = clean(entry.detail)
    if entry.cause in ("login", "connection"):
        words = f"by {_client(entry)}" if not _is_sum(entry) else f"by a {entry.cause}"
    elif entry.cause == "operator":
        words = f"by operator {clean(entry.operator)}".rstrip()
    else:
        words = CAUSES.get(entry.cause, clean(entry.cause))
        if detail and entry.cause in ("idle", "schedule"):  # the detail says it all
            words, detail = detail, ""
    joined = ": ".join(filter(None, (words, detail)))
    return f" {joined}" if joined.startswith(("by ", "for ")) else f": {joined}" if joined else ""


def _client(entry: HistoryEntry) -> str:
    name, address = clean(entry.name), clean(entry.address)
    if name and address:
        return f"{name} ({address})"
    return name or address or "a client"


def _is_sum(entry: HistoryEntry) -> bool:
    return entry.count != 1


def _many(entry: HistoryEntry, noun: str) -> str:
    return f" {entry.count} {noun}" if _is_sum(entry) else ""


def _number(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else format_duration(seconds)


def _local_time(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds).astimezone()
    except (OverflowError, OSError, ValueError):
        return datetime.fromtimestamp(0).astimezone()
