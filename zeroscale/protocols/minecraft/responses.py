"""Encode replies to clients since 1.7: the Status Response and the login's Disconnect.

Source: docs/protocol.md, "Status", "Login", "Kick text".
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping

from zeroscale.protocols.conversation import Component, StatusReply
from zeroscale.protocols.minecraft import packets, text_component, versions
from zeroscale.protocols.minecraft.description import with_text_first

LONGEST_JSON = 32767
"""UTF-16 units of JSON that clients accept in a status, and old ones in a kick."""

NIL_UUID = "00000000-0000-0000-0000-000000000000"
"""The UUID of a line of the tooltip: clients require one."""

SHORT_TEXT = 1000
"""Characters of a text that was too long for its limit."""

SHORT_NAME = 100
"""The same for the version's text."""

_recent: deque[tuple[tuple[int, bool], StatusReply, bytes]] = deque(maxlen=32)
"""The last replies and their encoding: a sleeping server sends the same reply to thousands of clients."""


def encode_status(reply: StatusReply, protocol: int) -> bytes:
    """Return the Status Response.

    Equal replies are encoded once, so a reply must not change in place. An extra key that JSON cannot express in 32767
    UTF-16 units is left out. For the whole to fit, the sample is left out first, then the icon. Where the extra keys
    have no room even then, they go, and the others are tried again.

    :param protocol: the asking client's protocol number, shown unless the reply has one.
    """
    shown = protocol if reply.protocol is None else reply.protocol
    key = shown, protocol >= versions.ANY_COLOR
    for known_key, known_reply, encoded in _recent:
        if known_key == key and known_reply == reply:
            return encoded
    encoded = packets.frame(0x00, packets.string(_fitting_json(reply, *key)))
    _recent.appendleft((key, reply, encoded))
    return encoded


def encode_kick(reason: Component) -> bytes:
    """Return the login's Disconnect; a reason that is too long is cut and loses its colours."""
    # Servers send an object or an array; whether every client accepts a bare string is not certain.
    whole = {"text": reason} if isinstance(reason, str) else text_component.clean(reason)
    text = _fitting(whole)
    if text is None:
        text = json.dumps({"text": text_component.plain(reason)[:SHORT_TEXT]})
    return packets.frame(0x00, packets.string(text))


def _fitting_json(reply: StatusReply, protocol: int, any_color: bool) -> str:
    for candidate in _candidates(reply, protocol, any_color):
        text = _fitting(candidate)
        if text is not None:
            return text
    return json.dumps(
        {
            "version": {"name": reply.version_name[:SHORT_NAME], "protocol": protocol},
            "players": {"max": reply.maximum, "online": reply.online},
            "description": {"text": text_component.plain(reply.description)[:SHORT_TEXT]},
        }
    )


def _candidates(reply: StatusReply, protocol: int, any_color: bool) -> Iterator[dict[str, object]]:
    """Yield the status: whole first, then with less and less in it."""
    players: dict[str, object] = {"max": reply.maximum, "online": reply.online}
    lines = [line for entry in reply.sample for line in entry.split("\n")]  # since 1.16 an entry is one line
    sample = {"sample": [{"name": line, "id": NIL_UUID} for line in lines]} if lines else {}
    bare: dict[str, object] = {
        "version": {"name": reply.version_name, "protocol": protocol},
        "players": players,
        "description": with_text_first(reply.description, rgb=any_color),
    }
    whole = bare | {"players": players | sample}
    icon = {} if reply.favicon is None else {"favicon": reply.favicon}
    ours = bare.keys() | {"favicon"}
    extra = {key: value for key, value in reply.extra.items() if key not in ours and _fitting(value) is not None}
    for rest in (extra, {}):
        yield whole | icon | rest
        yield bare | icon | rest
        yield bare | rest


def _fitting(value: object) -> str | None:
    """Return compact JSON; None for a value that JSON cannot express in `LONGEST_JSON`."""
    text = _json(value)
    return text if text is not None and packets.utf16_length(text) <= LONGEST_JSON else None


def _json(value: object) -> str | None:
    """Return compact JSON; None for a value that JSON cannot express."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_as_dict)
    except (TypeError, ValueError, RecursionError):
        return None


def _as_dict(value: object) -> object:
    """Convert a mapping that is no dict, for `json.dumps`."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON")
