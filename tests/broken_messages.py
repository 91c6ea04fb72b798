"""What the open internet sends to a public port: messages of other protocols, and messages with mistakes in them."""

from __future__ import annotations

import random

OTHER_PROTOCOLS = (
    b"",
    b"GET / HTTP/1.1\r\nHost: example.net\r\nUser-Agent: scanner\r\n\r\n",
    b"POST /login HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n",
    b"SSH-2.0-Go\r\n",
    bytes.fromhex("16030101fc010001f80303") + bytes(range(64)),  # a TLS client
    bytes.fromhex("030000130ee000000000000100080003000000"),  # a remote desktop client
    b"*1\r\n$4\r\nPING\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 25565\r\n",
    b"PROXY UNKNOWN\r\n",
    bytes.fromhex("0d0a0d0a000d0a515549540a20000000"),
    b"\xff" * 12,
    b"\x80" * 12,
    b"\xfe",
    b"\xfe\x01",
    b"\xfe\x01\xfa\x00\x0b",
    b"\x02",
)


def mutated(chance: random.Random, message: bytes) -> bytes:
    """Return the message with up to three mistakes in it."""
    data = bytearray(message)
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(6):
            case 0:
                data[at : at + 1] = chance.randbytes(1)
            case 1:
                data[at:at] = chance.randbytes(chance.randrange(1, 16))
            case 2:
                del data[at : at + chance.randrange(1, 9)]
            case 3:
                del data[at:]
            case 4:
                data += data[:at]
            case 5:
                data[at : at + 1] = chance.choice((b"\x00", b"\x01", b"\x7f", b"\x80", b"\xff", b"\xfe\x01"))
    return bytes(data)
