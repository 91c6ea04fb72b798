"""Format reports as text: a card for one server, a table for several. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from zeroscale.ctl.format import format_size
from zeroscale.ctl.terminal import clean, paint
from zeroscale.event_text import format_duration
from zeroscale.reports import PlannedStopReport, ProxyReport, ServerReport
from zeroscale.status import Status

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


def show(report: ProxyReport, colour: bool) -> Iterator[str]:
    """Return the lines to print."""
    if len(report.servers) == 1:
        yield from card(report.servers[0], colour)
    elif report.servers:
        yield from table(report.servers, colour)
    else:
        yield "There is no server."


def visible_state(report: ProxyReport) -> object:
    """Return what must differ for a report to be printed again where lines cannot be overwritten."""
    return [
        (
            each.name,
            each.status,
            [player.name for player in each.players],
            each.waiting,
            each.keep_awake_reason,
            each.lockout,
            [(stop.kind, stop.operator) for stop in each.planned_stops],
        )
        for each in report.servers
    ]


def card(server: ServerReport, colour: bool) -> Iterator[str]:
    """Return the lines for one server."""
    status = paint(server.status.value, COLOURS[server.status] if colour else None)
    name = paint(clean(server.name), "bold" if colour else None)
    yield f"{name} ({clean(server.plugin)}): {status} for {format_duration(server.status_age)}"
    for label, text in _facts(server):
        yield f"  {label:<{LABEL_WIDTH}} {text}"


def table(servers: Sequence[ServerReport], colour: bool) -> Iterator[str]:
    """Return a table with one row for each server."""
    head = ("NAME", "STATUS", "FOR", "PLAYERS", "SLEPT", "")
    rows = [_row(server) for server in servers]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head) - 1)]
    yield _aligned(head, widths)
    for server, row in zip(servers, rows, strict=True):
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        cells[1] = paint(cells[1], COLOURS[server.status] if colour else None)
        yield "  ".join([*cells, row[-1]]).rstrip()


def _facts(server: ServerReport) -> Iterator[tuple[str, str]]:
    if server.players:
        names = ", ".join(
            f"{clean(each.name or each.address)} ({format_duration(each.seconds)})" for each in server.players
        )
        yield "Players", f"{len(server.players)}: {names}"
    elif server.status is Status.running:
        yield "Players", "none"
    if server.waiting:
        yield "Waiting", f"{len(server.waiting)}: {_names(server.waiting, len(server.waiting))}"
    if server.draining:
        yield "Removed", "from the configuration; it is stopped once no player is on"
    if server.idle_in is not None and server.keep_awake_reason is None:
        yield "Sleeps", f"in {format_duration(server.idle_in)}, unless a player joins"
    for stop in server.planned_stops:
        yield "Planned", planned_text(stop)
    if server.keep_awake_reason is not None:
        yield "Kept awake", clean(server.keep_awake_reason)
    if server.lockout is not None:
        yield "Locked out", clean(server.lockout) or "no player may wake it"
    if server.uptime is not None:
        yield "Up", f"for {format_duration(server.uptime)}"
    yield "Slept", f"{format_duration(server.slept)} in all"
    if server.last_start is not None or server.estimate is not None:
        last = "" if server.last_start is None else f"took {format_duration(server.last_start)}; "
        coming = "" if server.estimate is None else f"the next takes about {format_duration(server.estimate)}"
        yield "Last start", (last + coming).removesuffix("; ") if last else f"none; {coming}"
    if server.last_error is not None:
        ago = "" if server.last_error_ago is None else f"{format_duration(server.last_error_ago)} ago: "
        yield "Last error", ago + clean(server.last_error)
    if server.status is Status.failed:
        yield "Tried again", _next_try(server)
    sent = f"{format_size(server.stats.to_backend)} to the server, {format_size(server.stats.to_client)} to clients"
    yield "Relayed", sent


def _row(server: ServerReport) -> tuple[str, ...]:
    notes = []
    if server.players:
        notes.append(_names([each.name or each.address for each in server.players], NAMES_SHOWN))
    if server.waiting:
        notes.append(f"waiting: {_names(server.waiting, NAMES_SHOWN)}")
    if server.draining:
        notes.append("removed")
    if server.idle_in is not None and server.keep_awake_reason is None:
        notes.append(f"sleeps in {format_duration(server.idle_in)}")
    if server.keep_awake_reason is not None:
        notes.append("kept awake")
    if server.lockout is not None:
        notes.append("locked out")
    if server.status is Status.failed:
        notes.append(clean(server.last_error or "failed"))
    players = str(len(server.players)) if server.players else "-"
    return (
        clean(server.name),
        server.status.value,
        format_duration(server.status_age),
        players,
        format_duration(server.slept),
        "; ".join(notes),
    )


def planned_text(stop: PlannedStopReport) -> str:
    """Return a planned stop in words."""
    time = format_duration(stop.seconds)
    if stop.kind == "operator":
        return f"it is stopped in {time}, by operator {clean(stop.operator)}".removesuffix(" ")
    return f"it is {'restarted' if stop.kind == 'restart' else 'stopped'} in {time}: {clean(stop.detail)}"


def _next_try(server: ServerReport) -> str:
    if server.retry_in is None:
        return "not automatically: fix the cause, then `zeroscalectl release` or `wake`"
    return f"at the next login, from {format_duration(server.retry_in)} on" if server.retry_in else "at the next login"


def _names(names: Iterable[str], most: int) -> str:
    cleaned = [clean(name) or "unknown" for name in names]
    more = f" and {len(cleaned) - most} more" if len(cleaned) > most else ""
    return ", ".join(cleaned[:most]) + more


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=False)).rstrip()
