"""Events in words and as fields: for the log, notifications and the history. Pure.

Names of clients are untrusted: one that could be taken for anything else is quoted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from zeroscale.characters import INVISIBLE
from zeroscale.events import (
    Cause,
    CauseKind,
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
from zeroscale.status import ClientInfo

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
NEAR = 6 * 86400.0
"""Seconds within which the day of the week tells the date."""

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
_QUOTED = rf"[ '\"\\{INVISIBLE}]"


def format_duration(seconds: float) -> str:
    """Return a duration in its two largest units."""
    rest = max(0, round(seconds))
    values: list[str] = []
    for name, size in _UNITS:
        count, rest = divmod(rest, size)
        if count or (name == "s" and not values):
            values.append(f"{count} {name}")
        elif values:
            values.append("")
        if len(values) == 2:
            break
    return " ".join(part for part in values if part)


def format_moment(at: float, now: float, local_time: Callable[[float], Sequence[int]]) -> str:
    """Return a moment as `22:00` if it is on the same day as now, as `Tue 22:00` or as `2026-12-09 22:00`.

    :param at: in seconds since 1970.
    :param now: in seconds since 1970.
    :param local_time: such as `time.localtime`.
    """
    year, month, day, hour, minute, _, weekday, *_ = local_time(at)
    clock = f"{hour:02}:{minute:02}"
    if (year, month, day) == tuple(local_time(now)[:3]):
        return clock
    if abs(at - now) < NEAR:
        return f"{DAYS[weekday]} {clock}"
    return f"{year}-{month:02}-{day:02} {clock}"


def count_of(number: int, thing: str) -> str:
    """Return a number of things: `1 player`, `2 players`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def client_text(client: ClientInfo, *, addresses: bool = True) -> str:
    """Return a client's name and address, without its port, as far as they are known.

    :param addresses: whether addresses are shown.
    """
    address = without_port(client.address) if addresses else ""
    if not client.name:
        return address or "a client"
    name = quoted_name(client.name)
    return f"{name} ({address})" if address else name


def quoted_name(name: str) -> str:
    """Return a name as it is where it is plain, else in quotes, with escapes in place of what cannot be seen."""
    if name.isprintable() and not re.search(_QUOTED, name):
        return name
    return re.sub(f"[{INVISIBLE}]", lambda found: ascii(found[0])[1:-1], repr(name))


def cause_text(cause: Cause, *, stop: bool = False, addresses: bool = True) -> str:
    """Return why a server was woken or stopped: `Ada (203.0.113.7) joined`, `no players for 15 min`.

    :param stop: it was stopped or paused.
    :param addresses: whether addresses are shown.
    """
    match cause.kind:
        case CauseKind.login:
            return f"{client_text(cause.client, addresses=addresses)} joined"
        case CauseKind.connection:
            return f"{client_text(cause.client, addresses=addresses)} connected"
        case CauseKind.operator:
            text = f"{'stopped' if stop else 'woken'} by operator {cause.operator}".rstrip()
            return f"{text}: {cause.detail}" if cause.detail else text
        case CauseKind.found:
            return cause.detail or "by another program"
        case CauseKind.shutdown:
            return cause.detail or "zeroscale exits"
        case CauseKind.removed:
            return cause.detail or "not configured any more"
        case CauseKind.exited:
            return f"it exited by itself ({cause.detail})" if cause.detail else "it exited by itself"
        case CauseKind.start_failed:
            return cause.detail or "it did not become ready"
        case CauseKind.schedule | CauseKind.restart | CauseKind.dependency | CauseKind.idle:
            return cause.detail or cause.kind.value


def event_text(event: ServerEvent, *, addresses: bool = True) -> str:
    """Return an event in words, without the server's name.

    :param addresses: whether addresses are shown. Texts that others have written may have some all the same: the last
        output of a server, for example.
    """
    match event:
        case Woken(cause=cause, resumed=resumed):
            return f"{'resuming' if resumed else 'starting'}: {cause_text(cause, addresses=addresses)}"
        case Ready(seconds=seconds, waiting=waiting, unnamed=unnamed, found=found):
            text = "ready: it ran already" if found else f"ready after {precise_duration(seconds)}"
            return f"{text}, {count_of(waiting, 'connection' if unnamed else 'player')} waiting" if waiting else text
        case Joined(client=client, players=players) if client.name:
            return f"{quoted_name(client.name)} joined ({count_of(players, 'player')})"
        case Joined(client=client, players=players):
            return f"{client_text(client, addresses=addresses)} connected ({count_of(players, 'connection')})"
        case Left(client=client, players=players, seconds=seconds) if client.name:
            return f"{quoted_name(client.name)} left after {format_duration(seconds)} ({count_of(players, 'player')})"
        case Left(client=client, players=players, seconds=seconds):
            who = client_text(client, addresses=addresses)
            return f"{who} disconnected after {format_duration(seconds)} ({count_of(players, 'connection')})"
        case Stopping(cause=cause, pause=pause):
            return f"{'pausing' if pause else 'stopping'}: {cause_text(cause, stop=True, addresses=addresses)}"
        case Stopped(cause=Cause(kind=CauseKind.exited) as cause):
            return f"stopped: {cause_text(cause, stop=True, addresses=addresses)}"
        case Stopped(seconds=seconds):
            return f"stopped after {precise_duration(seconds)}"
        case Failed(during=during, detail=detail, retry_in=retry_in):
            later = f"; it may be started again in {format_duration(retry_in)}" if retry_in else ""
            return f"{failure_text(during)}: {detail}{later}"
        case GivenUp(crashes=crashes):
            return f"given up {failures_text(crashes)}: it is not started again before zeroscalectl release or wake"
        case Refused(client=client, reason=reason, detail=detail):
            return f"{client_text(client, addresses=addresses)} refused: {detail or reason}"
    raise TypeError(f"not an event: {event!r}")


def failure_text(during: str) -> str:
    """Return what has failed.

    :param during: `start`, `run` or `stop`.
    """
    return "crashed" if during == "run" else f"{during} failed"


def failures_text(number: int) -> str:
    """Return after how many failures a server is given up."""
    return f"after {count_of(number, 'failure')} in a row"


def event_fields(event: ServerEvent) -> dict[str, object]:
    """Return the facts of an event, for a log with fields: flat, and without those that are not known."""
    fields: dict[str, object] = {"event": event.event}
    for name in event.__struct_fields__:
        value = getattr(event, name)
        match value:
            case Cause():
                fields |= {"cause": value.kind.value, "operator": value.operator, "detail": value.detail}
                fields |= _client_fields(value.client)
            case ClientInfo():
                fields |= _client_fields(value)
            case float() if name != "at":
                fields[name] = round(value, 3)
            case _ if name != "at":
                fields[name] = value
    return {name: value for name, value in fields.items() if value is not None and value != ""}


def _client_fields(client: ClientInfo) -> dict[str, object]:
    return {"player": client.name, "peer": client.address}


def precise_duration(seconds: float) -> str:
    """Return a duration as `34.2 s`; a minute and more as `format_duration`."""
    return f"{seconds:.1f} s" if seconds < 60 else format_duration(seconds)


def without_port(address: str) -> str:
    """Return the host of `203.0.113.7:51234` or `[2001:db8::1]:51234`; another address as it is."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        return address
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1]
    return address if ":" in host else host
