"""How real Bedrock clients joined (see tests/fixtures/README.md), and a small client for the tests."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from zeroscale.protocols.bedrock.offline import MAGIC, Opening, RakNetListener

KEY = bytes(range(16))
HOST, PORT = "127.0.0.1", 50000
GUID = 4711

JOINS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent.parent / "fixtures" / "bedrock_joins.json").read_text(encoding="utf-8")
)
JOIN_NAMES = [f"{join['client']}, {'cookie' if join['cookie'] else 'no cookie'}" for join in JOINS]


def datagrams(join: dict[str, Any]) -> list[tuple[float, bytes]]:
    """Return a client's datagrams with their times; the zeros at their ends are not stored."""
    return [(now, bytes.fromhex(data).ljust(size, b"\x00")) for now, data, size in join["datagrams"]]


def first_request(size: int = 1400, protocol: int = 11) -> bytes:
    return (b"\x05" + MAGIC + bytes((protocol,))).ljust(size, b"\x00")


def second_request(cookie: bytes = b"", mtu: int = 1400, guid: int = 99) -> bytes:
    cookie = cookie + b"\x00" if cookie else b""
    return b"\x07" + MAGIC + cookie + b"\x04\x80\xff\xff\xfe\x4a\xbc" + struct.pack(">Hq", mtu, guid)


def opening(*, cookie: bool = True, host: str = HOST) -> Opening:
    """Open a connection as a client does."""
    listener = RakNetListener(KEY, GUID, cookie=cookie)
    reply = listener.answer(first_request(), host, PORT, 0.0, b"")
    assert not isinstance(reply, Opening)
    opened = listener.answer(second_request(reply.datagrams[0][26:30] if cookie else b""), host, PORT, 0.0, b"")
    assert isinstance(opened, Opening)
    return opened


def sent(number: int, *frames: bytes) -> bytes:
    """Return a datagram of a client's."""
    return b"\x84" + number.to_bytes(3, "little") + b"".join(frames)


def reliable(message: bytes, number: int = 0) -> bytes:
    """Return a reliable, ordered frame."""
    index = number.to_bytes(3, "little")
    return b"\x60" + struct.pack(">H", len(message) * 8) + index + index + b"\x00" + message


def unreliable(message: bytes) -> bytes:
    return b"\x00" + struct.pack(">H", len(message) * 8) + message


def fragment(part: bytes, count: int, index: int, message: int = 0) -> bytes:
    head = b"\x50" + struct.pack(">H", len(part) * 8) + index.to_bytes(3, "little")
    return head + struct.pack(">IHI", count, message, index) + part


CONNECTION_REQUEST = b"\x09" + struct.pack(">qq", 99, 123456) + b"\x00"


def incoming(*times: int) -> bytes:
    """Return a New Incoming Connection that returns times."""
    return b"\x13" + b"\x04\x80\xff\xff\xfe\x4a\xbc" * 21 + struct.pack(">qq", *times)


def request_settings(protocol: int) -> bytes:
    return b"\xfe\x06\xc1\x01" + struct.pack(">i", protocol)


def acknowledge(number: int) -> bytes:
    return b"\xc0\x00\x01\x01" + number.to_bytes(3, "little")
