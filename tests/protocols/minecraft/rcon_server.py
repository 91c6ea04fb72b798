"""An RCON server that behaves like the game's (docs/protocol.md, "RCON"): sans-I/O, and on a socket."""

from __future__ import annotations

import struct
from collections.abc import Callable

from twisted.internet.protocol import Protocol

READ_AT_ONCE = 1460
PIECE = 4096


class RconServer:
    """One connection.

    :param password: the right one.
    :param run: carries a command out.
    """

    def __init__(self, password: str, run: Callable[[str], str]) -> None:
        self._password = password
        self._run = run
        self._logged_in = False
        self.requests: list[tuple[int, int, str]] = []

    def read(self, data: bytes) -> bytes:
        """Return the replies to the bytes of one read; none to half a request, like the game."""
        data = data[:READ_AT_ONCE]
        if len(data) < 14 or int.from_bytes(data[:4], "little") != len(data) - 4:
            return b""
        request_id, kind = struct.unpack_from("<ii", data, 4)
        text = data[12:-2].decode()
        self.requests.append((request_id, kind, text))
        if kind == 3:
            self._logged_in = text == self._password
            return packet(request_id if self._logged_in else -1, 2, "")
        if not self._logged_in:
            return packet(-1, 2, "")
        if kind == 2:
            return reply(request_id, self._run(text))
        return reply(request_id, f"Unknown request {kind:x}")


class RconProtocol(Protocol):
    """The same on a socket."""

    def __init__(self, server: RconServer) -> None:
        self._server = server

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(self._server.read(data))


def packet(packet_id: int, kind: int, text: str) -> bytes:
    """One packet."""
    payload = text.encode("utf-8", "replace")
    return struct.pack("<iii", len(payload) + 10, packet_id, kind) + payload + b"\0\0"


def reply(packet_id: int, text: str) -> bytes:
    """A reply in pieces of 4096 UTF-16 units, at least one; the half of a pair that is cut becomes `?`, as in Java."""
    units = text.encode("utf-16-le")
    pieces = [units[start : start + 2 * PIECE] for start in range(0, len(units), 2 * PIECE)] or [b""]
    return b"".join(packet(packet_id, 0, piece.decode("utf-16-le", "surrogatepass")) for piece in pieces)
