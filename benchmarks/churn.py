"""The load of `connections` and `status`: short connections, one after the other or several at once.

    python -m benchmarks.churn generic|login|status PORT --clients 16 --seconds 3 --most 12000

One thread; only the standard library. Each client connects, asks, reads the whole answer, closes
and begins again:

- `generic` sends 64 bytes and is answered 512;
- `login` sends a Minecraft handshake and login start, 64 bytes together, and is answered 512;
- `status` sends handshake and status request, reads the reply, sends a ping, and reads the pong.

Prints one JSON object: `answers`, `failures` (connections that ended without the whole answer), `seconds`,
`cpu_seconds` of the load itself, and `p50`, `p99`, `worst`: seconds from connect() to the answer (to the status reply,
not to the pong).
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import time
from collections.abc import Callable

from benchmarks.traffic import ANSWER, LOGIN, PING, QUESTION, STATUS_REQUEST, frame_length

SOURCES = 100
"""Loopback addresses to connect from, in turn: the ports of one of them would be used up by TIME_WAIT."""

IP_BIND_ADDRESS_NO_PORT = 24

PATIENCE = 10.0
"""Seconds without any answer after which the load ends."""


class Client:
    """One connection of a client that asks once.

    :ivar missing: bytes of the answer that have not been received.
    """

    __slots__ = ("began", "missing", "sock")

    question = QUESTION

    def __init__(self, sock: socket.socket, began: float) -> None:
        self.sock = sock
        self.began = began
        self.missing = ANSWER

    def receive(self, answered: Callable[[float], None]) -> bool:
        """Read what has arrived; return whether the connection continues.

        :param answered: called with the time since connect(), once the answer is complete.
        :raises OSError: it has ended without an answer.
        """
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("closed without an answer")
        self.missing -= len(data)
        if self.missing > 0:
            return True
        answered(time.perf_counter() - self.began)
        return False


class LoginClient(Client):
    """A player who logs in."""

    __slots__ = ()

    question = LOGIN


class StatusClient(Client):
    """A server list: it asks for the status, and pings."""

    __slots__ = ("received", "took")

    question = STATUS_REQUEST

    def __init__(self, sock: socket.socket, began: float) -> None:
        super().__init__(sock, began)
        self.received = b""
        self.took = 0.0

    def receive(self, answered: Callable[[float], None]) -> bool:
        """See `Client.receive`."""
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("closed without an answer")
        self.received += data
        if self.took:
            if len(self.received) < len(PING):
                return True
            answered(self.took)
            return False
        if len(self.received) >= frame_length(self.received):
            self.took = time.perf_counter() - self.began
            self.received = b""
            self.sock.send(PING)
        return True


KINDS = {"generic": Client, "login": LoginClient, "status": StatusClient}


class Load:
    """Connections to one port.

    :ivar latencies: seconds to the answer of each finished connection.
    :ivar failures: how many ended without an answer.
    """

    def __init__(self, kind: str, port: int) -> None:
        self.latencies: list[float] = []
        self.failures = 0
        self._kind = KINDS[kind]
        self._address = ("127.0.0.1", port)
        self._opened = 0
        self._epoll = select.epoll()
        self._open: dict[int, Client] = {}

    def run(self, clients: int, seconds: float, most: int) -> float:
        """Connect for a time; return the seconds until the last connection has ended.

        :param clients: connections at once.
        :param most: how many connections to make at most.
        """
        began = time.perf_counter()
        end = began + seconds
        for _ in range(clients):
            self._connect()
        while self._open:
            events = self._epoll.poll(PATIENCE)
            if not events:
                self.failures += len(self._open)
                break
            for descriptor, _ in events:
                client = self._open[descriptor]
                try:
                    if client.receive(self.latencies.append):
                        continue
                except OSError:
                    self.failures += 1
                del self._open[descriptor]
                client.sock.close()
                if time.perf_counter() < end and self._opened < most:
                    self._connect()
        return time.perf_counter() - began

    def _connect(self) -> None:
        self._opened += 1
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((f"127.0.2.{1 + self._opened % SOURCES}", 0))
        began = time.perf_counter()
        sock.connect(self._address)  # on loopback the kernel accepts at once
        sock.send(self._kind.question)
        self._open[sock.fileno()] = self._kind(sock, began)
        self._epoll.register(sock, select.EPOLLIN)


def main() -> None:
    """Run the load of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("port", type=int)
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--most", type=int, default=1 << 31)
    options = parser.parse_args()
    load = Load(options.kind, options.port)
    cpu = time.process_time()
    took = load.run(options.clients, options.seconds, options.most)
    ordered = sorted(load.latencies) or [0.0]
    report = {
        "answers": len(load.latencies),
        "failures": load.failures,
        "seconds": took,
        "cpu_seconds": time.process_time() - cpu,
        "p50": ordered[len(ordered) // 2],
        "p99": ordered[int(0.99 * (len(ordered) - 1))],
        "worst": ordered[-1],
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
