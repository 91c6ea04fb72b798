"""Encode replies to clients since 1.7: the Status Response and the login's Disconnect.

Source: docs/protocol.md, "Status", "Login", "Kick text".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache

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

LONGEST_NUMBER = 20
"""Characters of a protocol number, for which room is kept: 64 bits with a sign."""

MOST_KEPT = 32
"""Encoded replies that are kept, each at most 96 KiB: a sleeping server sends the same one to thousands of clients."""


@lru_cache(MOST_KEPT)
def encode_status(reply: StatusReply, protocol: int) -> bytes:
    """Return the Status Response.

    The packet is kept for the next client, so the reply must not change in place. Its JSON is kept, too: clients choose
    the protocol number, so another one must not cost another encoding. An extra key that JSON cannot express in 32767
    UTF-16 units is left out. For the whole to fit, the sample is left out first, then the icon. Where the extra keys
    have no room even then, they go, and the others are tried again.

    :param protocol: the asking client's protocol number, shown unless the reply has one.
    """
    before, after = _json_around_protocol(reply, protocol >= versions.ANY_COLOR)
    shown = protocol if reply.protocol is None else reply.protocol
    return packets.frame(0x00, packets.string(f"{before}{shown}{after}"))


def encode_kick(reason: Component) -> bytes:
    """Return the login's Disconnect; a reason that is too long is cut and loses its colours."""
    # Servers send an object or an array; whether every client accepts a bare string is not certain.
    whole = {"text": reason} if isinstance(reason, str) else text_component.clean(reason)
    text = _fitting(whole)
    if text is None:
        text = json.dumps({"text": text_component.plain(reason)[:SHORT_TEXT]})
    return packets.frame(0x00, packets.string(text))


@lru_cache(MOST_KEPT)
def _json_around_protocol(reply: StatusReply, any_color: bool) -> tuple[str, str]:
    """Return the JSON before the protocol number and after it."""
    before = _before_protocol(reply.version_name)
    room = LONGEST_JSON - LONGEST_NUMBER - packets.utf16_length(before + _after_protocol(""))
    for candidate in _candidates(reply, any_color):
        text = _fitting(candidate, room)
        if text is not None:
            return before, _after_protocol(text)
    least = {
        "players": {"max": reply.maximum, "online": reply.online},
        "description": {"text": text_component.plain(reply.description)[:SHORT_TEXT]},
    }
    return _before_protocol(reply.version_name[:SHORT_NAME]), _after_protocol(json.dumps(least))


def _before_protocol(version_name: str) -> str:
    return f'{{"version":{{"name":{json.dumps(version_name, ensure_ascii=False)},"protocol":'


def _after_protocol(text: str) -> str:
    """Return what follows the protocol number: the end of `version`, and the other keys."""
    return "}," + text.removeprefix("{")


def _candidates(reply: StatusReply, any_color: bool) -> Iterator[dict[str, object]]:
    """Yield the status without its version: whole first, then with less and less in it."""
    players: dict[str, object] = {"max": reply.maximum, "online": reply.online}
    lines = [line for entry in reply.sample for line in entry.split("\n")]  # since 1.16 an entry is one line
    sample = {"sample": [{"name": line, "id": NIL_UUID} for line in lines]} if lines else {}
    bare: dict[str, object] = {
        "players": players,
        "description": with_text_first(reply.description, rgb=any_color),
    }
    whole = bare | {"players": players | sample}
    icon = {} if reply.favicon is None else {"favicon": reply.favicon}
    own = {*bare, "version", "favicon"}
    extra = {key: value for key, value in reply.extra.items() if key not in own and _fitting(value) is not None}
    for rest in (extra, {}):
        yield whole | icon | rest
        yield bare | icon | rest
        yield bare | rest


def _fitting(value: object, longest: int = LONGEST_JSON) -> str | None:
    """Return compact JSON; None for a value that JSON cannot express in so many UTF-16 units."""
    text = _json(value)
    return text if text is not None and packets.utf16_length(text) <= longest else None


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
