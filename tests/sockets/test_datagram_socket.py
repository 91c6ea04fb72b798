"""UDP sockets: address families, local addresses, and what the kernel dropped."""

from __future__ import annotations

import socket

import pytest

from zeroscale.sockets.datagram_socket import (
    CONTROL_SPACE,
    LOCAL_ADDRESS,
    connect_datagrams,
    dropped_by_kernel,
    listen_datagrams,
    reply_control,
)


def test_both_families_share_a_port() -> None:
    with listen_datagrams("::", 0) as six:
        port = six.getsockname()[1]
        with listen_datagrams("0.0.0.0", port) as four, connect_datagrams("127.0.0.1", port) as client:
            client.send(b"x")
            assert four.recvfrom(10) == (b"x", client.getsockname())


@pytest.mark.parametrize(("bound", "host"), [("0.0.0.0", "127.0.0.1"), ("0.0.0.0", "127.0.0.2"), ("::", "::1")])
def test_a_reply_leaves_from_the_address_that_the_datagram_came_to(bound: str, host: str) -> None:
    with listen_datagrams(bound, 0) as sock, connect_datagrams(host, sock.getsockname()[1]) as client:
        client.send(b"question")
        _, control, _, address = sock.recvmsg(100, CONTROL_SPACE)
        local = control[0][2][LOCAL_ADDRESS[sock.family]]
        assert socket.inet_ntop(sock.family, local) == host
        sock.sendmsg([b"reply"], reply_control(sock.family, local), 0, address)
        assert client.recv(100) == b"reply"  # it is connected: from another address nothing would come


def test_a_socket_on_one_address_needs_no_ancillary_data() -> None:
    with listen_datagrams("127.0.0.1", 0) as sock, connect_datagrams(*sock.getsockname()) as client:
        client.send(b"x")
        assert sock.recvmsg(100, CONTROL_SPACE)[1] == []
        assert reply_control(sock.family, b"") == ()


def test_a_reply_to_a_multicast_datagram_leaves_from_an_address_of_the_kernels_choice() -> None:
    assert reply_control(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, "ff02::1")) == ()


def test_an_unknown_scope_is_refused() -> None:
    with pytest.raises(OSError, match="no interface"):
        listen_datagrams("fe80::1%nothing", 0)


def test_a_port_in_use_is_refused() -> None:
    with listen_datagrams("127.0.0.1", 0) as sock, pytest.raises(OSError, match="in use"):
        listen_datagrams(*sock.getsockname())


def test_what_the_kernel_drops_is_counted() -> None:
    with listen_datagrams("127.0.0.1", 0) as sock, connect_datagrams(*sock.getsockname()) as client:
        assert dropped_by_kernel(sock) == 0
        for _ in range(1000):
            client.send(bytes(10_000))
        assert 0 < dropped_by_kernel(sock) < 1000
