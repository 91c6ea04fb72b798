"""A million numbered datagrams there and back through a whole proxy."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import sys
from pathlib import Path
from time import monotonic

import pytest
from peers.harness import HERE, PeerHarness
from peers.udp_proxy import UdpProxy

NUMBER = struct.Struct("!II")
PADDING = bytes(48)
UNDERWAY = 100
"""Datagrams at once: so few that no socket's buffer is full, whatever size the machine gives it."""

SILENCE = 10.0


class Client:
    """A client that numbers what it sends; `last` is the number that came back last."""

    def __init__(self, port: int, number: int) -> None:
        self.number = number
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.settimeout(1)
        self.sock.connect(("127.0.0.1", port))
        self.sent = self.last = 0

    def join(self) -> None:
        """Send a datagram until it is answered."""
        for _ in range(30):
            self.sock.send(NUMBER.pack(self.number, 0))
            with contextlib.suppress(TimeoutError):
                self.sock.recv(65535)
                break
        else:
            raise AssertionError("no answer")

    def send(self) -> None:
        """Send the next datagram."""
        self.sent += 1
        self.sock.send(NUMBER.pack(self.number, self.sent) + PADDING)

    def receive(self) -> int:
        """Take one that came back, and return 1; 0: it answers a datagram of `join`."""
        datagram = self.sock.recv(65535)
        number, order = NUMBER.unpack_from(datagram)
        assert number == self.number, "another client's"
        if order == 0:
            return 0
        assert len(datagram) == NUMBER.size + len(PADDING), "merged or cut"
        assert order > self.last, "reordered or doubled"
        self.last = order
        return 1


@pytest.mark.slow
def test_a_million_numbered_datagrams_each_way(harness: PeerHarness, tmp_path: Path) -> None:
    sessions, count = 500, 1_000_000
    command = [sys.executable, "-IS", str(HERE / "datagram_echo.py"), "{port}"]
    proxy = harness.track(UdpProxy(tmp_path, command, ""))
    with contextlib.ExitStack() as stack, select.epoll() as epoll:
        clients = [Client(proxy.port, number) for number in range(sessions)]
        by_descriptor = {stack.enter_context(client.sock).fileno(): client for client in clients}
        for descriptor, client in by_descriptor.items():
            client.join()
            epoll.register(descriptor, select.EPOLLIN)
        sent = received = 0
        quiet = monotonic()
        while received < count:
            while sent < count and sent - received < UNDERWAY:
                clients[sent % sessions].send()
                sent += 1
            for descriptor, _ in epoll.poll(0.1):
                received += by_descriptor[descriptor].receive()
                quiet = monotonic()
            assert monotonic() < quiet + SILENCE, f"{sent - received} of {sent} are lost: {proxy.status()}"
        [port] = proxy.status()["ports"]
    assert port["clients"] == sessions
    assert proxy.wakes() == 1
    proxy.end()
