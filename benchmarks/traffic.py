"""What clients send, and how much they are answered."""

from __future__ import annotations

import struct
import sys

from benchmarks import backend

ANSWER = len(backend.ANSWER)
PROTOCOL_NUMBER = 765
HOST = b"benchmark-relay.example.org"


def _packet(content: bytes) -> bytes:
    return bytes([len(content)]) + content


def _handshake(intent: int) -> bytes:
    number = bytes([PROTOCOL_NUMBER & 0x7F | 0x80, PROTOCOL_NUMBER >> 7])
    return _packet(b"\0" + number + _packet(HOST) + struct.pack(">HB", 25565, intent))


QUESTION = bytes(backend.QUESTION)
LOGIN = _handshake(2) + _packet(b"\0" + _packet(b"Benchmark1") + bytes(16))
STATUS_REQUEST = _handshake(1) + _packet(b"\0")
PING = b"\x09\x01" + bytes(range(8))

assert len(LOGIN) == len(QUESTION), "the server counts bytes"


def frame_length(data: bytes) -> int:
    """Return the length of the first packet including its length field; while that is incomplete, a huge number."""
    length = 0
    for index, byte in enumerate(data):
        length |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return index + 1 + length
    return sys.maxsize
