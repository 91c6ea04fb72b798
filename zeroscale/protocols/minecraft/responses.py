"""What a server says to a client since 1.7 before it plays: the status's JSON and the login's Disconnect."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping

from zeroscale.protocols.conversation import Component, StatusReply
from zeroscale.protocols.minecraft import packets, text_component

LONGEST_JSON = 32767
"""UTF-16 units of a status's JSON that clients read (docs/protocol.md, "Status"); old clients read no longer kick."""

NOBODY = "00000000-0000-0000-0000-000000000000"
"""The UUID of a hover line: clients demand one."""

SHORT_TEXT = 1000
SHORT_NAME = 100

_recent: deque[tuple[int, StatusReply, bytes]] = deque(maxlen=32)
"""The last replies and what they became: a sleeping server gives the same one thousands of times in a row."""


def encode_status(reply: StatusReply, protocol: int) -> bytes:
    """The Status Response. An equal reply asked for again costs a comparison, so replies must not change in place.

    What does not fit 32767 UTF-16 units is left out: the icon first, then the extra keys, then the hover lines.

    :param protocol: the asking client's protocol number, which the reply shows unless it has one of its own.
    """
    shown = protocol if reply.protocol is None else reply.protocol
    for known_protocol, known_reply, encoded in _recent:
        if known_protocol == shown and known_reply == reply:
            return encoded
    encoded = packets.frame(0x00, packets.string(_fitting_json(reply, shown)))
    _recent.appendleft((shown, reply, encoded))
    return encoded


def encode_kick(reason: Component) -> bytes:
    """The login's Disconnect; a reason that is too long is cut and loses its colours."""
    # Every server ever sent an object or an array; a bare string is only said to be read by every client.
    whole = {"text": reason} if isinstance(reason, str) else text_component.clean(reason)
    text = _json(whole)
    if text is None or packets.utf16_length(text) > LONGEST_JSON:
        text = json.dumps({"text": text_component.plain(reason)[:SHORT_TEXT]})
    return packets.frame(0x00, packets.string(text))


def _fitting_json(reply: StatusReply, protocol: int) -> str:
    for candidate in _candidates(reply, protocol):
        text = _json(candidate)
        if text is not None and packets.utf16_length(text) <= LONGEST_JSON:
            return text
    return json.dumps(
        {
            "version": {"name": reply.version_name[:SHORT_NAME], "protocol": protocol},
            "players": {"max": reply.maximum, "online": reply.online},
            "description": text_component.plain(reply.description)[:SHORT_TEXT],
        }
    )


def _candidates(reply: StatusReply, protocol: int) -> Iterator[dict[str, object]]:
    """The whole status, then always less of it."""
    players: dict[str, object] = {"max": reply.maximum, "online": reply.online}
    lines = [line for entry in reply.sample for line in entry.split("\n")]  # 1.16 and later want one line an entry
    sample = {"sample": [{"name": line, "id": NOBODY} for line in lines]} if lines else {}
    bare: dict[str, object] = {
        "version": {"name": reply.version_name, "protocol": protocol},
        "players": players | sample,
        "description": text_component.clean(reply.description),
    }
    extra = {key: value for key, value in reply.extra.items() if key not in bare and key != "favicon"}
    if reply.favicon is not None:
        yield bare | {"favicon": reply.favicon} | extra
    yield bare | extra
    yield bare
    yield bare | {"players": players}


def _json(value: object) -> str | None:
    """Compact JSON; None for what has none."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_thawed)
    except (TypeError, ValueError, RecursionError):
        return None


def _thawed(value: object) -> object:
    """What `json` does not know by itself: mappings and sequences that are no dict and no list."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON")
