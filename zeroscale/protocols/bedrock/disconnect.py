"""The Disconnect packet, by which a Bedrock client that has not joined yet is told something, by protocol number.

Sans-I/O. Source: docs/protocol.md, "Bedrock".
"""

from __future__ import annotations

import zlib

from zeroscale.protocols.bedrock.login import WRAPPER
from zeroscale.protocols.minecraft.packets import frame, string, varint

DISCONNECT = 0x05

NETWORK_SETTINGS, REASON, FILTERED_MESSAGE = 554, 622, 712
"""The protocols since which batches before the login are not compressed, and the packet has a reason and a second text.
Newer numbers than all known ones use the newest layout."""

LONGEST_MESSAGE = 280
"""Bytes of the text, so that the whole fits into one datagram; it is cut."""


def encode(protocol: int, message: str) -> bytes:
    """Return the message that ends a client's join, with a text for the player.

    :param protocol: the client's protocol number.
    :param message: lines of text, with section-sign codes, cut after `LONGEST_MESSAGE` bytes.
    """
    text = string(message.encode("utf-8", "replace")[:LONGEST_MESSAGE].decode("utf-8", "ignore"))
    fields = [b"\x00", text]  # whether to hide it
    if protocol >= REASON:
        fields.insert(0, varint(0))  # unknown; the text is shown with any reason
    if protocol >= FILTERED_MESSAGE:
        fields.append(string(""))  # what is shown in its place where the player filters texts
    batch = frame(DISCONNECT, *fields)
    if protocol < NETWORK_SETTINGS:
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        batch = deflater.compress(batch) + deflater.flush()
    return bytes((WRAPPER,)) + batch
