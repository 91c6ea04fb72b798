"""The load of `benchmarks.status`: requests the status of one server repeatedly, as the server list of a client does.

    python -m benchmarks.status_load PORT SECONDS CONNECTIONS

Each question is a connection of its own: handshake, status request, reply, ping, pong, close. CONNECTIONS of them are
open at any time. Prints one JSON object: `answers`, `seconds`, `failures`, `cpu_seconds` of the load itself, and
`p50`, `p90`, `p99`, `worst` of the seconds from the first connect() to the whole status reply.
"""

from __future__ import annotations

import json
import selectors
import socket
import struct
import sys
import time
from dataclasses import dataclass

SOURCES = 100
"""Loopback source addresses, used in turn: one alone would run out of ports, because of TIME_WAIT."""

PROTOCOL_NUMBER = 765
STATUS_REQUEST = b"\x01\x00"
PING = b"\x09\x01" + struct.pack(">q", 0x0123456789ABCDEF)
PONG_LENGTH = len(PING)


@dataclass(slots=True)
class Question:
    """One open connection.

    :ivar began: when it was opened.
    :ivar received: bytes of the status reply, then of the pong.
    :ivar expected: length of the status reply; 0 until it is known.
    :ivar pinged: whether the status reply is complete, and the ping sent.
    """

    began: float
    received: bytearray
    expected: int = 0
    pinged: bool = False


class Load:
    """Asks one server.

    :ivar latencies: seconds from connect to the complete reply, for each answer.
    :ivar failures: number of questions without an answer.
    """

    def __init__(self, port: int) -> None:
        self.latencies: list[float] = []
        self.failures = 0
        self._port = port
        self._asked = 0
        self._selector = selectors.DefaultSelector()
        host = b"127.0.0.1"
        handshake = b"\x00" + _varint(PROTOCOL_NUMBER) + bytes([len(host)]) + host + struct.pack(">H", port) + b"\x01"
        self._request = bytes([len(handshake)]) + handshake + STATUS_REQUEST

    def run(self, seconds: float, connections: int) -> float:
        """Ask for a time, on a number of connections at once; return the seconds that it took."""
        began = time.perf_counter()
        deadline = began + seconds
        for _ in range(connections):
            self._ask()
        while time.perf_counter() < deadline:
            for key, _ in self._selector.select(1):
                assert isinstance(key.fileobj, socket.socket)
                if self._proceed(key.fileobj, key.data):
                    self._selector.unregister(key.fileobj)
                    key.fileobj.close()
                    self._ask()
        return time.perf_counter() - began

    def _ask(self) -> None:
        self._asked += 1
        client = socket.socket()
        client.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
        client.bind((f"127.0.2.{1 + self._asked % SOURCES}", 0))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        question = Question(time.perf_counter(), bytearray())
        client.connect(("127.0.0.1", self._port))  # on loopback the kernel accepts at once
        client.setblocking(False)
        client.send(self._request)
        self._selector.register(client, selectors.EVENT_READ, question)

    def _proceed(self, client: socket.socket, question: Question) -> bool:
        """Read what has arrived; return whether the question is finished."""
        try:
            data = client.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self.failures += 1
            return True
        question.received += data
        if question.pinged:
            return len(question.received) >= PONG_LENGTH
        if not question.expected:
            question.expected = _frame_length(question.received)
        if not question.expected or len(question.received) < question.expected:
            return False
        self.latencies.append(time.perf_counter() - question.began)
        del question.received[: question.expected]
        question.pinged = True
        client.send(PING)
        return False


def _frame_length(data: bytearray) -> int:
    """Return the length of the first frame including its length field; 0 if that is incomplete."""
    length = 0
    for index, byte in enumerate(data):
        length |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return index + 1 + length
    return 0


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def main() -> None:
    """Run the load of the command line."""
    port, seconds, connections = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    load = Load(port)
    took = load.run(seconds, connections)
    ordered = sorted(load.latencies) or [0.0]
    result = {
        "answers": len(load.latencies),
        "seconds": took,
        "failures": load.failures,
        "cpu_seconds": time.process_time(),
        **{name: ordered[int(part * (len(ordered) - 1))] for name, part in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))},
        "worst": ordered[-1],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
