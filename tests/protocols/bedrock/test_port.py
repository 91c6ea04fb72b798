"""A Bedrock port as its listener uses it: asleep, waking, and while the real server runs."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocols.bedrock.joins import (
    GUID,
    HOST,
    KEY,
    acknowledge,
    first_request,
    reliable,
    request_settings,
    second_request,
    sent,
    unreliable,
)

from zeroscale.errors import ProtocolError
from zeroscale.protocols.bedrock.disconnect import encode
from zeroscale.protocols.bedrock.offline import RakNetListener
from zeroscale.protocols.bedrock.port import HOLD, LOOK_EVERY, MOST_PINGS, PING_WAITS, BedrockPort
from zeroscale.protocols.bedrock.status import ping, read_pong
from zeroscale.protocols.conversation import Component
from zeroscale.protocols.datagrams import NO_REPLY, ClientReply, DatagramConversation, Reply, WakeRequested

PING = ping(b"12345678")
PONG = b"\x1c" + b"87654321" + bytes(8) + PING[9:25] + b"\x00\x09MCPE;real"
JOIN = sent(0, reliable(request_settings(2225)))


class Server:
    """The real server, and what we say of it."""

    def __init__(self) -> None:
        self.message: Component = {"text": "Waking up", "color": "yellow"}
        self.pong: bytes | None = None
        self.asked: list[float] = []

    def status(self, now: float) -> bytes:
        return b"MCPE;asleep"

    def join_again(self, now: float) -> Component:
        return self.message

    def ask(self, now: float) -> None:
        self.asked.append(now)

    def latest(self, now: float) -> bytes | None:
        return self.pong


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def port(server: Server) -> BedrockPort:
    return made(server)


def made(server: Server) -> BedrockPort:
    return BedrockPort(RakNetListener(KEY, GUID), server, server)


def opened(tested: DatagramConversation, now: float = 0.0, port: int = 1) -> None:
    reply = tested.receive(first_request(), HOST, port, now).datagrams[0]
    assert tested.receive(second_request(reply[26:30]), HOST, port, now).datagrams


def joined(tested: DatagramConversation, now: float = 0.0, port: int = 1) -> Reply:
    opened(tested, now, port)
    return tested.receive(JOIN, HOST, port, now)


def told(message: str) -> bytes:
    return encode(2225, message)


def texts(replies: Sequence[ClientReply]) -> list[bytes]:
    return [datagram for each in replies for datagram in each.reply.datagrams]


def test_asleep_pings_are_answered_and_wake_nothing(port: BedrockPort, server: Server) -> None:
    for first in (b"\x01", b"\x02"):
        reply = port.receive(first + PING[1:], HOST, 1, 0.0)
        assert (read_pong(reply.datagrams[0], b"12345678"), reply.proved, reply.wake) == (b"MCPE;asleep", False, None)
    assert (port.next_timeout, server.asked) == (math.inf, [])


def test_only_a_join_wakes(port: BedrockPort) -> None:
    assert port.receive(first_request(), HOST, 1, 0.0).wake is None
    reply = joined(port)
    assert (reply.wake, reply.proved) == (WakeRequested(), True)
    assert port.receive(JOIN, HOST, 1, 0.1).wake is None


def test_a_held_client_is_told_at_the_end_of_the_hold(port: BedrockPort) -> None:
    joined(port)
    port.receive(sent(1, unreliable(b"\x00" + bytes(8))), HOST, 1, 4.0)
    assert port.next_timeout == HOLD
    assert port.tick(HOLD - 0.1) == []
    [datagram] = texts(port.tick(HOLD))
    assert datagram.endswith(told("§eWaking up"))


def test_held_clients_are_told_once_the_server_is_ready(port: BedrockPort, server: Server) -> None:
    joined(port)
    joined(port, port=2)
    server.message = "Join now"
    replies = port.server_ready(2.0)
    assert [each.port for each in replies] == [1, 2]
    assert all(datagram.endswith(told("Join now")) for datagram in texts(replies))
    assert server.asked == [2.0], "what it is shown as when it sleeps again"


def test_what_ends_a_held_connection_arrives_while_the_server_runs(port: BedrockPort) -> None:
    joined(port)
    port.server_ready(2.0)
    assert port.answer_running(acknowledge(0), HOST, 1, 2.1).proved
    assert port.answer_running(sent(2), HOST, 1, 2.2) == NO_REPLY
    assert port.tick(2.5) == []
    assert port.next_timeout == math.inf


def test_a_client_whose_handshake_was_interrupted_by_the_end_of_the_start(port: BedrockPort, server: Server) -> None:
    reply = port.receive(first_request(), HOST, 1, 0.0).datagrams[0]
    port.server_ready(1.0)
    server.message = "Join now"
    request = second_request(reply[26:30])
    assert not port.opens_session(request)
    assert port.answer_running(request, HOST, 1, 1.0).datagrams
    joining = port.answer_running(JOIN, HOST, 1, 1.0)
    assert joining.datagrams[-1].endswith(told("Join now"))
    assert joining.wake == WakeRequested(), "during a lockout it is refused"
    assert port.refuse(HOST, 1, "No", 1.0) == Reply((), True), "it is told once"


def test_a_refused_client_is_told_at_once(port: BedrockPort) -> None:
    joined(port)
    [datagram] = port.refuse(HOST, 1, "No", 0.0).datagrams
    assert datagram.endswith(told("No"))
    assert port.refuse(HOST, 2, "No", 0.0) == NO_REPLY


def test_only_a_first_request_opens_a_session(port: BedrockPort) -> None:
    assert port.opens_session(first_request())
    for datagram in (b"", b"\x05", b"\x05" + bytes(40), PING, JOIN, second_request(b"abcd"), acknowledge(1)):
        assert not port.opens_session(datagram)


def test_what_is_left_of_connections_to_a_server_that_has_stopped(port: BedrockPort) -> None:
    for datagram in (JOIN, acknowledge(1)):
        assert port.receive(datagram, HOST, 1, 0.0) == NO_REPLY
        assert port.answer_running(datagram, HOST, 1, 0.0) == NO_REPLY


def test_pings_of_a_running_server_are_answered_with_its_pong(port: BedrockPort, server: Server) -> None:
    server.pong = PONG
    reply = port.answer_running(PING, HOST, 1, 5.0)
    assert read_pong(reply.datagrams[0], b"12345678") == b"MCPE;real"
    assert not reply.proved
    assert server.asked == [5.0]


def test_a_ping_waits_for_the_pong(port: BedrockPort, server: Server) -> None:
    assert port.answer_running(PING, HOST, 1, 5.0) == NO_REPLY
    assert port.answer_running(ping(b"abcdefgh"), HOST, 1, 5.0) == NO_REPLY
    assert port.next_timeout == pytest.approx(5.0 + LOOK_EVERY)
    assert port.tick(5.0 + LOOK_EVERY) == []
    server.pong = PONG
    [reply] = port.tick(5.0 + 2 * LOOK_EVERY)
    assert (reply.host, reply.port) == (HOST, 1)
    assert read_pong(reply.reply.datagrams[0], b"abcdefgh") == b"MCPE;real"
    assert port.next_timeout == math.inf


def test_pings_wait_for_a_bounded_time_in_a_bounded_number(port: BedrockPort, server: Server) -> None:
    for number in range(MOST_PINGS + 1):
        port.answer_running(PING, HOST, number, 5.0)
    assert port.tick(5.0 + PING_WAITS) == []
    assert port.next_timeout == math.inf
    port.answer_running(PING, HOST, 1, 9.0)
    server.pong = PONG
    assert len(port.tick(9.0 + LOOK_EVERY)) == 1


def test_at_most_so_many_pings_are_answered_late(port: BedrockPort, server: Server) -> None:
    for number in range(MOST_PINGS + 1):
        port.answer_running(PING, HOST, number, 5.0)
    server.pong = PONG
    assert len(port.tick(6.0)) == MOST_PINGS


@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([PING, JOIN, first_request(), acknowledge(1)]))))
def test_any_datagrams(datagrams: list[bytes]) -> None:
    tested = made(Server())
    for number, datagram in enumerate(datagrams):
        for take in (tested.receive, tested.answer_running):
            with contextlib.suppress(ProtocolError):
                assert take(datagram, HOST, number % 3, number * 0.1).wake is None
        tested.opens_session(datagram)
        tested.tick(number * 0.1)
