"""Format entries and sums of the history as text. Pure, except that times are shown in the local time zone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from zeroscale.ctl.format import format_size
from zeroscale.ctl.terminal import clean
from zeroscale.event_text import cause_text, client_text, count_of, failure_text, format_duration, precise_duration
from zeroscale.events import Cause, CauseKind
from zeroscale.history.values import HistoryEntry, HistoryPage, HistoryStats, UsageStats
from zeroscale.status import ClientInfo

LABEL_WIDTH = 12

DAY = 86400.0


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
        yield (
            "Starts",
            f"{precise_duration(stats.start_median)} (median), {precise_duration(stats.start_slowest)} (slowest)",
        )
    players = f"; {count_of(stats.players, 'player')}" if stats.players else ""
    yield "Players", f"{format_duration(stats.player_seconds)} in {count_of(stats.sessions, 'session')}{players}"
    if stats.failures:
        yield "Failures", str(stats.failures)
    if stats.refused:
        yield "Refused", count_of(stats.refused, "login")
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
    detail = " | ".join(clean(line) for line in entry.detail.splitlines())
    match entry.event:
        case "session":
            return _session(entry)
        case "woken" | "paused" | "stopped":
            return _change(entry)
        case "found":
            return "found running"
        case "failed":
            return f"{clean(failure_text(entry.cause))}{_times(entry)}" + (f": {detail}" if detail else "")
        case "given_up":
            return f"given up {detail}"
        case "refused":
            who = f"{entry.count} more logins" if _is_sum(entry) else _client(entry)
            return f"{who} refused: {detail or clean(entry.cause)}"
    return f"{clean(entry.event)} {detail}".strip()


def _change(entry: HistoryEntry) -> str:
    words = f"{entry.event}{_times(entry)}"
    if not _is_sum(entry):
        cause = _cause(entry)
        words = cause if cause.startswith(f"{words} ") else f"{words}: {cause}"
    if entry.seconds is None:
        return words
    took = "ready after" if entry.event == "woken" else "took"
    return f"{words}; {took} {precise_duration(entry.seconds)}"


def _cause(entry: HistoryEntry) -> str:
    try:
        kind = CauseKind(entry.cause)
    except ValueError:  # of a newer zeroscale
        return clean(entry.cause)
    client = ClientInfo(entry.name, entry.address)
    cause = Cause(kind, client, entry.operator, entry.detail)
    return clean(cause_text(cause, stop=entry.event != "woken"))


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


def _client(entry: HistoryEntry) -> str:
    return clean(client_text(ClientInfo(entry.name, entry.address)))


def _is_sum(entry: HistoryEntry) -> bool:
    return entry.count != 1


def _times(entry: HistoryEntry) -> str:
    return f" {entry.count} times" if _is_sum(entry) else ""


def _local_time(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds).astimezone()
    except (OverflowError, OSError, ValueError):
        return datetime.fromtimestamp(0).astimezone()
