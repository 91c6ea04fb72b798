"""Connections to the loopback, on real sockets."""

from __future__ import annotations

import socket

import pytest
from ports import free_port

from zeroscale.probes import loopback


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.3.2.1", True),
        ("::1", True),
        ("localhost", True),
        ("192.0.2.1", False),
        ("0.0.0.0", False),
        ("2001:db8::1", False),
        ("localhost.example", False),
    ],
)
def test_which_hosts_are_the_loopback(host: str, local: bool) -> None:
    assert loopback.is_loopback(host) is local


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1"])
def test_whether_a_port_is_open(host: str) -> None:
    port = free_port()
    assert loopback.accepts(host, port, b"") is False
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as server:
        assert loopback.accepts(host, port, b"") is True
        connection, _ = server.accept()
        with connection:
            assert connection.recv(100) == b""


def test_the_header_is_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert loopback.accepts("127.0.0.1", server.getsockname()[1], b"PROXY UNKNOWN\r\n") is True
        connection, _ = server.accept()
        with connection, connection.makefile("rb") as received:
            assert received.read() == b"PROXY UNKNOWN\r\n"


def test_a_full_queue_does_not_block() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        answers = [loopback.accepts("127.0.0.1", server.getsockname()[1], b"") for _ in range(4)]
    assert answers[0] is True
    assert answers[-1] is None


@pytest.mark.parametrize("host", ["localhost", "game.internal", "192.0.2.1"])
def test_other_hosts_are_not_connected_to(host: str) -> None:
    assert loopback.accepts(host, 1, b"") is None


def test_without_a_descriptor_it_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_descriptor(*_: object) -> socket.socket:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(socket, "socket", no_descriptor)
    assert loopback.accepts("127.0.0.1", 1, b"") is None


def test_a_connection_to_itself_does_not_count_and_does_not_keep_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may give a connection the port that it connects to, if that is one of its own range."""
    port = free_port()

    class OfThatPort(socket.socket):
        def setblocking(self, flag: bool, /) -> None:
            super().setblocking(flag)
            self.bind(("127.0.0.1", port))

    with monkeypatch.context() as patched:
        patched.setattr(socket, "socket", OfThatPort)
        assert loopback.accepts("127.0.0.1", port, b"") is False
    with socket.socket() as server:
        server.bind(("127.0.0.1", port))  # without SO_REUSEADDR
