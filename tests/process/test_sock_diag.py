"""Asking the kernel for listening sockets, on real sockets."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct

import pytest
from ports import free_port

from zeroscale.process import sock_diag


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "0.0.0.0"),
        ("::1", "::1"),
        ("::", "::"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
    ],
)
def test_the_listening_sockets_of_a_port(address: str, shown: str) -> None:
    port = free_port()
    assert sock_diag.listeners(port) == []
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as server:
        server.bind((address, port))
        assert sock_diag.listeners(port) == []
        server.listen()
        [found] = sock_diag.listeners(port) or []
        assert (found.inode, found.user_id) == (os.fstat(server.fileno()).st_ino, os.geteuid())
        assert found.address == ipaddress.ip_address(shown)
    assert sock_diag.listeners(port) == []


def test_several_sockets_on_one_port() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)), socket.create_server(("127.0.0.2", port)):
        found = sock_diag.listeners(port) or []
    assert sorted(str(listener.address) for listener in found) == ["127.0.0.1", "127.0.0.2"]


def test_connections_are_not_among_them() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        server.accept()[0].close()
        assert sock_diag.listeners(client.getsockname()[1]) == []


@pytest.mark.parametrize(("name", "value"), [("NETLINK_SOCK_DIAG", 31), ("SOCK_DIAG_BY_FAMILY", 99)])
def test_where_the_kernel_does_not_know_the_question(name: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sock_diag, name, value)
    assert sock_diag.listeners(25565) is None


def test_on_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_NETLINK")
    assert sock_diag.listeners(25565) is None


class Kernel(socket.socket):
    """Answers each question with the same bytes."""

    answer = b""

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        super().recv(bufsize, flags)
        return self.answer


HEADER = struct.Struct("=IHHII")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0",
        HEADER.pack(0, sock_diag.SOCK_DIAG_BY_FAMILY, 0, socket.AF_INET, 0),
        HEADER.pack(HEADER.size, sock_diag.SOCK_DIAG_BY_FAMILY, 0, socket.AF_INET, 0),
        HEADER.pack(HEADER.size, sock_diag.NLMSG_DONE, 0, 99, 0),
    ],
)
def test_an_answer_that_is_not_understood_is_none(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Kernel, "answer", answer)
    monkeypatch.setattr(socket, "socket", Kernel)
    assert sock_diag.listeners(25565) is None
