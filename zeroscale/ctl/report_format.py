"""Format reports as text: a card for one server, a table for several. Pure.

Names, and texts that others have written, are untrusted: what would move a terminal's cursor is replaced.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec import Struct

from zeroscale.ctl.format import format_size
from zeroscale.ctl.terminal import clean, paint
from zeroscale.event_text import cause_text, format_duration
from zeroscale.events import Cause, CauseKind
from zeroscale.reports import LastEvent, PlannedStopReport, PortReport, ServerReport
from zeroscale.status import ClientInfo, Status

COLOURS = {
    Status.stopped: "faint",
    Status.starting: "yellow",
    Status.running: "green",
    Status.stopping: "yellow",
    Status.paused: "cyan",
    Status.failed: "red",
}
NAMES_SHOWN = 5
"""The most players named in one row of the table."""

LABEL_WIDTH = 12
INDENT = " " * (LABEL_WIDTH + 3)

LONGEST_CELL = 24
"""Characters of a name, a port or a host in the table, at most."""

LEAST_NOTES = 30
"""Columns that the notes of the table have at least before hosts are shown."""

SOON = 3600.0
"""Seconds to a planned stop that the table tells of."""

DOWN = (Status.stopped, Status.failed)

FAILED = "failed"
"""The kind of a `LastEvent` that is not in `CauseKind`."""

ClockTime = Callable[[float], str]
"""Returns what the clock showed so many seconds ago."""


class ReportStyle(Struct, frozen=True):
    """How text is shown.

    :ivar colour: with escape sequences for colours.
    :ivar width: columns of the terminal; None: lines may have any length.
    :ivar clock_time: see `ClockTime`.
    """

    clock_time: ClockTime
    colour: bool = False
    width: int | None = None


def show(servers: Sequence[ServerReport], style: ReportStyle) -> Iterator[str]:
    """Return the lines to print."""
    if len(servers) == 1:
        yield from card(servers[0], style)
    elif servers:
        yield from table(servers, style)
    else:
        yield "There is no server."


def visible_state(servers: Iterable[ServerReport]) -> object:
    """Return what must differ for reports to be printed again where lines cannot be overwritten."""
    return [
        (
            each.name,
            each.status,
            [player.name for player in each.players],
            each.waiting,
            [(reason.kind, reason.text if reason.seconds is None else "") for reason in each.awake],
            each.keep_awake_reason,
            each.lockout,
            [(stop.kind, stop.operator) for stop in each.planned_stops],
        )
        for each in servers
    ]


def card(server: ServerReport, style: ReportStyle) -> Iterator[str]:
    """Return the lines for one server."""
    status = paint(server.status.value, COLOURS[server.status] if style.colour else None)
    name = paint(clean(server.name), "bold" if style.colour else None)
    yield f"{name} ({clean(server.plugin)}): {status} for {format_duration(server.status_age)}"
    for label, *texts in _facts(server, style.clock_time):
        lines = [line for text in texts for line in _wrapped(clean(text), style.width)]
        yield f"  {label:<{LABEL_WIDTH}} {lines[0]}"
        yield from (INDENT + line for line in lines[1:])


def table(servers: Sequence[ServerReport], style: ReportStyle) -> Iterator[str]:
    """Return a table with one row for each server."""
    head = ("NAME", "STATUS", "FOR", "PLAYERS", "LISTENS", "HOSTS", "")
    rows = [_row(server) for server in servers]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head) - 1)]
    shown = list(range(len(head)))
    hosts = head.index("HOSTS")
    is_narrow = style.width is not None and sum(widths) + 2 * len(widths) + LEAST_NOTES > style.width
    if is_narrow or not any(row[hosts] for row in rows):
        shown.remove(hosts)
    yield _aligned([head[column] for column in shown], [widths[column] for column in shown[:-1]], style, None)
    for server, row in zip(servers, rows, strict=True):
        colour = COLOURS[server.status] if style.colour else None
        yield _aligned([row[column] for column in shown], [widths[column] for column in shown[:-1]], style, colour)


def _facts(server: ServerReport, clock_time: ClockTime) -> Iterator[tuple[str, ...]]:
    """Return the label of each fact, and its texts, each of which begins a line."""
    if server.listen:
        yield "Listens", _where(server.listen, server.hosts), *map(_further_port, server.ports[1:])
    if server.needs:
        yield "Needs", ", ".join(server.needs)
    if server.awake:
        yield "Awake", *(reason.text for reason in server.awake)
    elif server.keep_awake_reason is not None:
        yield "Once it runs", server.keep_awake_reason
    if server.lockout is not None:
        yield "Locked out", *filter(None, (server.lockout, server.keep_asleep_reason))
    if server.players:
        players = (f"{each.name or each.address} ({format_duration(each.seconds)})" for each in server.players)
        yield "Players", f"{len(server.players)}: {', '.join(players)}"
    elif server.status is Status.running:
        yield "Players", "none"
    if server.waiting:
        yield "Waiting", f"{len(server.waiting)}: {_names(server.waiting, len(server.waiting))}"
    if server.draining:
        yield "Removed", "from the configuration; it is stopped once no player is on"
    for stop in server.planned_stops:
        yield "Planned", planned_text(stop, is_down=server.status in DOWN)
    for label, event, is_stop in (("Last wake", server.last_wake, False), ("Last stop", server.last_stop, True)):
        if event is not None:
            ago = f"{format_duration(event.ago)} ago ({clock_time(event.ago)})"
            yield label, f"{_cause(event, is_stop=is_stop)}, {ago}"
    if (refused := server.last_refusal) is not None:
        ago = f"{format_duration(refused.ago)} ago ({clock_time(refused.ago)})"
        yield "Last refused", f"{refused.player or 'a player without a name'}: {refused.detail or refused.kind}, {ago}"
    if server.uptime is not None:
        yield "Up", f"for {format_duration(server.uptime)}"
    yield "Slept", f"{format_duration(server.slept)} in all"
    if server.last_start is not None or server.estimate is not None:
        last = "" if server.last_start is None else f"took {format_duration(server.last_start)}; "
        coming = "" if server.estimate is None else f"the next takes about {format_duration(server.estimate)}"
        yield "Last start", (last + coming).removesuffix("; ") if last else f"none; {coming}"
    if server.last_error is not None:
        ago = "" if server.last_error_ago is None else f"{format_duration(server.last_error_ago)} ago: "
        yield "Last error", ago + server.last_error
    if server.status is Status.failed:
        yield "Tried again", _next_try(server)
    sent = f"{format_size(server.stats.to_backend)} to the server, {format_size(server.stats.to_client)} to clients"
    yield "Relayed", sent


def _row(server: ServerReport) -> tuple[str, ...]:
    hosts = server.hosts[0] if server.hosts else ""
    more = f" +{len(server.hosts) - 1}" if len(server.hosts) > 1 else ""
    return (
        _cut(clean(server.name), LONGEST_CELL),
        server.status.value,
        " ".join(format_duration(server.status_age).split()[:2]),
        str(len(server.players)) if server.players else "-",
        _listens(server),
        _cut(clean(hosts), LONGEST_CELL - len(more)) + more,
        "; ".join(map(clean, _notes(server))),
    )


def _listens(server: ServerReport) -> str:
    number = len(server.ports) - 1
    more = f" +{number}" if number > 0 else ""
    return _cut(clean(", ".join(server.listen)), LONGEST_CELL - len(more)) + more


def _where(listen: Sequence[str], hosts: Sequence[str]) -> str:
    return ", ".join(listen) + (f", for {', '.join(hosts)}" if hosts else "")


def _further_port(port: PortReport) -> str:
    protocol = "" if port.protocol == "none" else f" ({port.protocol})"
    facts = ["1 client" if port.clients == 1 else f"{port.clients or 'no'} clients"]
    if not port.wakes:
        facts.append("does not wake it" + (", but keeps it awake" if port.keeps_awake else ""))
    elif not port.keeps_awake:
        facts.append("does not keep it awake")
    return f"{_where(port.listen, port.hosts)}{protocol}: {', '.join(facts)}"


def _notes(server: ServerReport) -> Iterator[str]:
    """Return what matters most: why it is awake, or why it is not."""
    if server.draining:
        yield "removed"
    if server.status is Status.failed:
        yield server.last_error or "failed"
    if server.lockout is not None:
        yield server.keep_asleep_reason or "locked out"
    if server.status not in DOWN:
        yield from (planned_text(stop) for stop in server.planned_stops if stop.seconds < SOON)
    if server.awake:
        yield server.awake[0].text
    elif server.status is not Status.failed and (stop := _stop_of(server)) is not None:
        yield _cause(stop, is_stop=True)
    if server.waiting and server.status is not Status.starting:
        yield f"waiting: {_names(server.waiting, NAMES_SHOWN)}"


def _stop_of(server: ServerReport) -> LastEvent | None:
    """Return the stop since which it sleeps; None: that is not known, as after a power cut."""
    wake, stop = server.last_wake, server.last_stop
    return None if stop is None or (wake is not None and wake.ago < stop.ago) else stop


def _cause(event: LastEvent, *, is_stop: bool) -> str:
    """Return why it happened; a newer zeroscale may have kinds that are not known here."""
    if event.kind == FAILED or event.kind not in CauseKind.__members__:
        return f"{event.kind}: {event.detail}" if event.detail else event.kind
    return cause_text(
        Cause(CauseKind(event.kind), ClientInfo(event.player), event.operator, event.detail), stop=is_stop
    )


def planned_text(stop: PlannedStopReport, *, is_down: bool = False) -> str:
    """Return a planned stop in words.

    :param is_down: the server does not run, and is stopped only if it has been woken by then.
    """
    time = format_duration(stop.seconds) + (" if it runs then" if is_down else "")
    if stop.kind == "operator":
        return f"it is stopped in {time}, by operator {stop.operator}".removesuffix(" ")
    return f"it is {'restarted' if stop.kind == 'restart' else 'stopped'} in {time}: {stop.detail}"


def _next_try(server: ServerReport) -> str:
    if server.retry_in is None:
        return "not automatically: fix the cause, then `zeroscalectl release` or `wake`"
    return f"at the next login, from {format_duration(server.retry_in)} on" if server.retry_in else "at the next login"


def _names(names: Iterable[str], most: int) -> str:
    known = [name or "unknown" for name in names]
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return ", ".join(known[:most]) + more


def _wrapped(text: str, width: int | None) -> Sequence[str]:
    if width is None:
        return [text]
    return textwrap.wrap(text, max(width - len(INDENT), LEAST_NOTES), break_on_hyphens=False) or [""]


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def _aligned(cells: Sequence[str], widths: Sequence[int], style: ReportStyle, status_colour: str | None) -> str:
    *columns, notes = cells
    padded = [f"{cell:<{width}}" for cell, width in zip(columns, widths, strict=True)]
    if style.width is not None:
        notes = _cut(notes, max(style.width - sum(widths) - 2 * len(widths), LEAST_NOTES // 2))
    padded[1] = paint(padded[1], status_colour)
    return "  ".join([*padded, notes]).rstrip()
