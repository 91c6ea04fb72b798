"""Socket options and socket states."""

from __future__ import annotations

import resource
import socket
import struct

import pytest
from processes import Program, python
from relay.relay_fixture import reset, tcp_pair, unix_pair

from zeroscale.sockets import options as sockets


def tcp_info(*, retransmits: int = 0, probes: int = 0, unacked: int = 0, silent: float = 0.0) -> bytes:
    words = [0] * 24
    words[4], words[12] = unacked, int(silent * 1000)
    return struct.pack("@8B24I", 1, 0, retransmits, probes, 0, 0, 0, 0, *words)


def test_tcp_is_quick_and_notices_a_vanished_peer_within_two_minutes() -> None:
    peer, ours = tcp_pair()
    with peer, ours:
        sockets.prepare(ours)
        assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        idle, interval, probes = (
            ours.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        )
        assert idle + interval * probes <= 120
        # It kills a live peer that merely stops reading.
        assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0


def test_what_a_prepared_socket_accepts_is_prepared() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sockets.prepare(listener)
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as ours:
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == sockets.KEEPALIVE_IDLE
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == sockets.KEEPALIVE_INTERVAL
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == sockets.KEEPALIVE_PROBES


def test_a_reset_instead_of_a_fin() -> None:
    peer, ours = tcp_pair()
    with peer:
        sockets.reset_on_close(ours)
        ours.close()
        with pytest.raises(ConnectionResetError):
            peer.recv(1)


def test_unix_sockets_need_nothing() -> None:
    peer, ours = unix_pair()
    with peer, ours:
        sockets.prepare(ours)
        assert not sockets.vanished(ours)


@pytest.mark.parametrize("connect", [tcp_pair, unix_pair])
def test_what_a_peer_has_not_taken(connect: object) -> None:
    peer, ours = unix_pair() if connect is unix_pair else tcp_pair(4096)
    with peer, ours:
        assert sockets.unacknowledged(ours) == 0
        ours.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                ours.send(b"x" * 65536)
        assert sockets.unacknowledged(ours) > 0


def test_a_reset_before_the_hand_over() -> None:
    peer, ours = tcp_pair()
    with ours:
        assert not sockets.has_died(ours)
        reset(peer)
        assert sockets.has_died(ours)


def test_a_live_peer_that_does_not_read_has_not_vanished() -> None:
    peer, ours = tcp_pair(4096)
    with peer, ours:
        ours.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                ours.send(b"x" * 65536)
        assert not sockets.vanished(ours)


@pytest.mark.parametrize(
    ("info", "verdict"),
    [
        (tcp_info(), False),
        (tcp_info(silent=3600), False),  # idle: keepalive's business
        (tcp_info(retransmits=9, unacked=1, silent=121), True),
        (tcp_info(retransmits=9, unacked=1, silent=119), False),
        (tcp_info(retransmits=9, unacked=0, silent=121), False),  # what was retransmitted has arrived
        (tcp_info(probes=2, silent=121), True),
        (tcp_info(probes=1, silent=121), False),  # the kernel probes a window every 120 s at last
    ],
)
def test_which_peers_look_vanished(info: bytes, verdict: bool) -> None:
    assert sockets.looks_vanished(info) is verdict


def test_the_soft_limit_of_descriptors_is_raised_to_the_hard_one() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    code = f"""
import resource
from zeroscale.relay import raise_descriptor_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (64, {hard}))
print(raise_descriptor_limit(), resource.getrlimit(resource.RLIMIT_NOFILE)[0], raise_descriptor_limit())
"""
    with Program(python("-c", code)) as program:
        assert program.wait() == 0, program.output
    assert program.lines == [f"(64, {hard}) {hard} ({hard}, {hard})"]
