"""A session's client and times."""

from __future__ import annotations

import socket

from zeroscale.relay.datagram_session import DatagramClient, DatagramSession


def test_the_local_address_is_the_bound_one_unless_it_came_with_the_datagram() -> None:
    assert DatagramClient(("127.0.0.1", 1), b"").local_host("192.0.2.1") == "192.0.2.1"
    assert DatagramClient(("127.0.0.1", 1), bytes([127, 0, 0, 2])).local_host("0.0.0.0") == "127.0.0.2"
    assert DatagramClient(("::1", 1, 0, 0), bytes(15) + b"\1").local_host("::") == "::1"


def test_a_client_is_equal_to_what_the_loop_looks_up() -> None:
    assert {DatagramClient(("127.0.0.1", 1), b""): 1}[("127.0.0.1", 1), b""] == 1  # type: ignore[index]


def test_the_last_datagram_is_that_of_either_side() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        session = DatagramSession(None, DatagramClient(("127.0.0.1", 1), b""), sock, socket.AF_INET, 5.0)
        assert session.last == 5.0
        session.answered = 7.0
        assert session.last == 7.0
