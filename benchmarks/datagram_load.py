"""The load of datagrams: clients that each send numbered datagrams, which the server returns.

    python -m benchmarks.datagram_load PORT --sessions 500 --rate 10000 --seconds 3 --size 64

Prints a line "sending" when each client was answered once, and then one JSON object: `sent`, `received`, and
`misordered`, those that came after one with a higher number, or twice. One thread; only the standard library.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import select
import socket
import struct
import time

NUMBER = struct.Struct("!II")
GREET_TIMEOUT = 0.2
GREETINGS = 50
PATIENCE = 0.5
"""Seconds without a datagram after which the missing ones count as lost."""


class Client:
    """One client; `received` datagrams came back, the last of which had number `last`."""

    def __init__(self, port: int, number: int, padding: bytes) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.connect(("127.0.0.1", port))
        self.number, self.padding = number, padding
        self.sent = self.received = self.misordered = self.last = 0

    def greet(self) -> None:
        """Send the first datagram until it is answered."""
        self.sock.settimeout(GREET_TIMEOUT)
        for _ in range(GREETINGS):
            self.sock.send(NUMBER.pack(self.number, 0))
            with contextlib.suppress(TimeoutError):
                self.sock.recv(65535)
                break
        else:
            raise ConnectionError("no answer")
        self.sock.setblocking(False)

    def send(self) -> None:
        """Send the next datagram."""
        self.sent += 1
        self.sock.send(NUMBER.pack(self.number, self.sent) + self.padding)

    def receive(self) -> None:
        """Count one that came back."""
        try:
            number, count = NUMBER.unpack_from(self.sock.recv(65535))
        except BlockingIOError:
            return
        if count == 0:
            return  # the answer to a repeated greeting
        if number != self.number:
            raise ConnectionError("another client's datagram")
        self.received += 1
        if count <= self.last:
            self.misordered += 1
        self.last = count


def run(clients: list[Client], rate: float, seconds: float) -> None:
    """Send in turn, evenly spread, and receive."""
    by_descriptor = {client.sock.fileno(): client for client in clients}
    began = quiet = time.perf_counter()
    sent = 0
    with select.epoll() as epoll:
        for descriptor in by_descriptor:
            epoll.register(descriptor, select.EPOLLIN)
        while True:
            now = time.perf_counter()
            if now - began < seconds:
                for _ in range(min(int((now - began) * rate) - sent, 32)):
                    clients[sent % len(clients)].send()
                    sent += 1
                quiet = now
            elif now - quiet > PATIENCE:
                return
            for descriptor, _ in epoll.poll(0.001):
                by_descriptor[descriptor].receive()
                quiet = now


def main() -> None:
    """Run the load, and print what came back."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("--sessions", type=int, default=500)
    parser.add_argument("--rate", type=float, default=10_000)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--size", type=int, default=64)
    options = parser.parse_args()
    padding = bytes(options.size - NUMBER.size)
    clients = [Client(options.port, number, padding) for number in range(options.sessions)]
    for client in clients:
        client.greet()
    print("sending", flush=True)
    run(clients, options.rate, options.seconds)
    sums = {name: sum(getattr(client, name) for client in clients) for name in ("sent", "received", "misordered")}
    print(json.dumps(sums), flush=True)


if __name__ == "__main__":
    main()
