"""What a notification says: an event as words, as a flat table of values, as JSON, as a message of Discord. Pure.

Names, reasons and lines of output are untrusted: they bring no control characters, and no markup of Discord's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import ClassVar

from msgspec.structs import replace

from zeroscale.characters import DIRECTIONS, HIGH_CONTROLS, LINE_SEPARATORS, SURROGATES
from zeroscale.event_text import cause_text, format_duration
from zeroscale.events import Cause, CauseKind, Failed, Ready, Refused, ServerEvent, Stopped, Stopping, Woken
from zeroscale.hidden_addresses import without_addresses
from zeroscale.message_template import Template
from zeroscale.protocols.minecraft.text_component import plain
from zeroscale.status import ClientInfo

LONGEST_VALUE = 2000
"""Characters of one value: the last lines of output of a server that has failed are a few hundred."""

LONGEST_TITLE = 256
LONGEST_DESCRIPTION = 4096
"""Characters of a title and a text in an embed of Discord's (its documentation, "Embed Limits")."""

UNKNOWN = {"player": "A client", "players": "0", "waiting": "0"}
"""What a text has for a value that is empty: of a protocol without names, no client has one."""

COLORS = {"ready": 0x57F287, "joined": 0x57F287, "failed": 0xED4245, "given_up": 0xED4245, "refused": 0xFEE75C}
OTHER_COLOR = 0x5865F2
"""Discord's own green, red, yellow and blue."""

_CONTROLS = re.compile(f"[\x00-\x1f\xa7{HIGH_CONTROLS}{DIRECTIONS}{LINE_SEPARATORS}{SURROGATES}]+")
_MARKUP = re.compile(r"[\\*_~`|<>\[\]()#:@-]")


class NotificationTest(ServerEvent, frozen=True, kw_only=True):
    """An operator tests a notification. No server is concerned: the name is the notification's."""

    event: ClassVar[str] = "test"


VARIABLES: dict[str, tuple[str, ...]] = {
    "woken": ("player", "address", "operator", "cause", "detail"),
    "ready": ("duration", "waiting"),
    "joined": ("player", "address", "players"),
    "left": ("player", "address", "players", "duration"),
    "stopping": ("player", "address", "operator", "cause", "detail"),
    "stopped": ("player", "address", "operator", "cause", "detail", "duration"),
    "failed": ("during", "reason", "detail", "retry"),
    "given_up": ("crashes", "reason"),
    "refused": ("player", "address", "reason", "detail"),
    "test": (),
}
"""The variables that the text of an event may have, besides `server` and `event`."""

DEFAULT_TEXTS = {
    "woken": "{server} is starting[: {cause}]",
    "ready": "{server} is ready[ after {duration}][, {waiting} waiting]",
    "joined": "{player} joined {server}[, {players} on it]",
    "left": "{player} left {server} after {duration}[, {players} on it]",
    "stopping": "{server} is stopping[: {cause}]",
    "stopped": "{server} has stopped[: {cause}]",
    "failed": "{server} has failed: {reason}[; it may be started again in {retry}]",
    "given_up": "{server} has failed {crashes} times in a row, and is not started again: {reason}",
    "refused": "{player} was refused by {server}: {detail}",
    "test": "This is a test of {server}",
}
"""What is said of an event for which the operator has no text."""


def templates(texts: Mapping[str, str]) -> Mapping[str, Template]:
    """Return the templates of all events.

    :param texts: the operator's own texts, by the events' names.
    :raises ConfigError: one has a variable that is not its event's.
    """
    return {
        event: Template(texts.get(event, default), event, {"server", "event", *VARIABLES[event]})
        for event, default in DEFAULT_TEXTS.items()
    }


def sendable(event: ServerEvent, *, addresses: bool) -> ServerEvent:
    """Return an event with texts of bounded length that UTF-8 can encode.

    :param addresses: whether it keeps addresses: its own ones, and those in its texts.
    """
    names = [name for name in event.__struct_fields__ if name != "server"]  # which the operator has chosen
    return replace(event, **{name: _sendable(getattr(event, name), addresses) for name in names})


def words(event: ServerEvent, texts: Mapping[str, Template], escape: Callable[[str], str] = str) -> str:
    """Return an event as one line.

    :param texts: the templates of all events.
    :param escape: makes a value harmless where the text has markup.
    """
    values = {name: escape(clean(value)) for name, value in _variables(event).items()}
    return plain(texts[event.event].fill(values, UNKNOWN))


def as_table(identifier: str, event: ServerEvent, texts: Mapping[str, Template]) -> dict[str, object]:
    """Return what is sent: `id`, `event`, `time`, `server`, `text`, and the values that the event has besides."""
    moment = datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds")
    return {
        "id": identifier,
        "event": event.event,
        "time": moment.replace("+00:00", "Z"),
        "server": event.server,
        "text": words(event, texts),
        **_values(event),
    }


def as_json(table: Mapping[str, object]) -> bytes:
    """Return it as the JSON that a webhook or a command gets."""
    return json.dumps(table).encode()


def as_variables(table: Mapping[str, object]) -> dict[str, str]:
    """Return it as environment variables: `ZEROSCALE_` and the name in upper case."""
    return {f"ZEROSCALE_{name.upper()}": clean(_as_text(value)) for name, value in table.items()}


def as_discord(event: ServerEvent, texts: Mapping[str, Template]) -> bytes:
    """Return the body for a webhook of Discord: one embed, which mentions nobody."""
    embed = {
        "title": escape_markup(clean(event.server))[:LONGEST_TITLE],
        "description": words(event, texts, escape_markup)[:LONGEST_DESCRIPTION],
        "color": COLORS.get(event.event, OTHER_COLOR),
        "timestamp": datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds"),
    }
    return json.dumps({"embeds": [embed], "allowed_mentions": {"parse": []}}).encode()


def clean(text: str) -> str:
    """Return a text of others on one line: a blank for control characters, not too long."""
    return _CONTROLS.sub(" ", text)[:LONGEST_VALUE]


def escape_markup(text: str) -> str:
    """Return a text that Discord shows as it is: without bold, links, mentions and the like."""
    return _MARKUP.sub(r"\\\g<0>", text)


def _sendable(value: object, addresses: bool) -> object:
    match value:
        case ClientInfo():
            client = replace(value, name=_encodable(value.name), address=_encodable(value.address))
            return client if addresses else replace(client, address="", limit_key=None)
        case Cause():
            return replace(
                value,
                client=_sendable(value.client, addresses),
                operator=_encodable(value.operator),
                detail=_sendable(value.detail, addresses),
            )
        case str():
            # The first cut leaves more, since a part of an address at its end could not be recognised.
            return _encodable(value if addresses else without_addresses(value[: 5 * LONGEST_VALUE]))
    return value


def _encodable(text: str) -> str:
    return text[:LONGEST_VALUE].encode("utf-8", "replace").decode()


def _values(event: ServerEvent) -> dict[str, object]:
    """Return the values of an event in one table; empty texts are left out."""
    found: dict[str, object] = {}
    for name in event.__struct_fields__:
        value = getattr(event, name)
        match value:
            case ClientInfo():
                found |= {"player": value.name, "address": value.address}
            case Cause():
                found |= {"cause": value.kind.value, "player": value.client.name, "address": value.client.address}
                found |= {"operator": value.operator, "detail": value.detail}
            case float() if name != "at":
                found[name] = round(value, 3)
            case _ if name not in ("server", "at"):
                found[name] = value
    return {
        name: value[:LONGEST_VALUE] if isinstance(value, str) else value for name, value in found.items() if value != ""
    }


def _variables(event: ServerEvent) -> dict[str, str]:
    """Return the values of `VARIABLES` for an event, as text."""
    values = _values(event)
    seconds = values.get("seconds")
    if isinstance(seconds, float):
        values["duration"] = f"{seconds:.1f} s" if seconds < 10 else format_duration(seconds)
    match event:
        case Ready(found=True):  # nothing is known of its start
            values["duration"] = ""
        case Woken(cause=cause) | Stopping(cause=cause) | Stopped(cause=cause):
            values["cause"] = _cause_words(cause)
        case Failed(retry_in=float() as retry_in) if retry_in > 0:
            values["retry"] = format_duration(retry_in)
        case Refused(reason=reason, detail=detail):
            values["detail"] = detail or reason
    named = {name: _as_text(values.get(name, "")) for name in VARIABLES[event.event]}
    return {"server": event.server, "event": event.event, **named}


def _cause_words(cause: Cause) -> str:
    if cause.kind is CauseKind.operator:
        return f"by {cause.operator or 'an operator'}"
    return cause_text(cause, stop=True, addresses=False)


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.3f}"
    return "" if value is None else str(value)
