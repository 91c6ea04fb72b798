"""A client's connection: what is answered, what is refused, how each ends, and that nothing of it is left."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable
from typing import Any

import pytest
from frontend.harness import (
    HANDSHAKE_TIMEOUT,
    FrontendHarness,
    handshake,
    legacy_login,
    legacy_text,
    logged,
    login,
    packet,
    packets,
    ping,
    status,
)
from msgspec.structs import replace
from twisted.internet.address import UNIXAddress

from zeroscale.access_lists import AccessList
from zeroscale.frontend.admission import Admission, Limits, Rules
from zeroscale.frontend.closing import LINGER
from zeroscale.frontend.connection import HEADER_WAIT
from zeroscale.frontend.decision import JoinPolicy
from zeroscale.frontend.messages import Messages
from zeroscale.protocols import sniffing
from zeroscale.protocols.proxy_protocol import SIGNATURE, Endpoint, Version, encode, local_header
from zeroscale.protocols.tcp import CAPACITY, HttpConversation, PageFor, TcpConversation
from zeroscale.protocols.virtual_hosts import HttpHostConversation
from zeroscale.relay import Outcome
from zeroscale.status import ClientInfo, Status

CLIENT_HELLO = bytes.fromhex("1603010035010000310303" + "11" * 32 + "000004130113020100000400170000")
PONG = packet(1, bytes.fromhex("1122334455667788"))
ASLEEP = [Status.stopped, Status.starting, Status.stopping, Status.paused, Status.failed]

LEGACY_PING = b"\xfe\x01\xfa\x00\x0b" + "MC|PingHost".encode("utf-16-be") + b"\x00\x09\x4e\x00\x01\x00h\x00\x00\x63\xdd"

MakeHarness = Callable[..., FrontendHarness]


@pytest.mark.parametrize("state", ASLEEP)
def test_a_status_request_is_answered_without_a_wake(harness: FrontendHarness, state: Status) -> None:
    harness.server.status = state
    client = harness.connect()
    client.send(status())
    harness.settle()
    ((packet_id, body),) = packets(client.received)
    assert packet_id == 0
    assert f"MOTD {state.value}".encode() in body
    assert b'"protocol":769' in body
    assert client.open
    client.send(ping())
    harness.settle()
    assert client.received.endswith(PONG)
    assert not client.reset
    harness.assert_over(client, "status")
    assert harness.server.wakes == []
    assert harness.attempts == []


def test_a_client_that_does_not_read_its_pong_is_not_waited_for_for_ever(harness: FrontendHarness) -> None:
    client = harness.connect()
    client.blocked = True
    client.send(status() + ping())
    harness.advance(LINGER + 0.1)
    assert client.reset
    harness.assert_over(client, "status")


def test_a_client_without_a_ping_is_closed_in_time(harness: FrontendHarness) -> None:
    client = harness.connect()
    client.send(status())
    harness.advance(HANDSHAKE_TIMEOUT - 0.1)
    assert client.open
    harness.advance(0.2)
    assert client.finished and not client.closed
    harness.advance(LINGER)
    assert client.reset
    harness.assert_over(client, "status")


def test_a_client_that_leaves_after_its_status_was_answered(harness: FrontendHarness) -> None:
    client = harness.connect()
    client.send(status())
    client.finish()
    harness.settle()
    assert b"MOTD stopped" in client.received
    harness.assert_over(client, "status")


def test_a_ping_without_a_status(harness: FrontendHarness) -> None:
    client = harness.connect()
    client.send(handshake(1) + ping())
    harness.settle()
    assert client.received == PONG
    client.finish()
    harness.assert_over(client, "ping")


VALID = {"status": status(), "status and ping": status() + ping(), "ping": handshake(1) + ping()}
BAD = {
    "a second status": packet(0),
    "a second ping": ping() * 2,
    "HTTP": b"GET / HTTP/1.1\r\n\r\n",
    "noise": b"\xff" * 40,
}


@pytest.mark.parametrize("valid", VALID)
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("size", [None, 1])
def test_what_is_valid_is_answered_before_what_is_not(
    harness: FrontendHarness, valid: str, bad: str, size: int | None
) -> None:
    client = harness.connect()
    sent = VALID[valid] + BAD[bad]
    for begin in range(0, len(sent), size or len(sent)):
        client.send(sent[begin : begin + (size or len(sent))])
    harness.settle()
    answered = [packet_id for packet_id, _ in packets(client.received)]
    assert answered == {"status": [0], "status and ping": [0, 1], "ping": [1]}[valid] + [1] * (
        (valid, bad) == ("status", "a second ping")
    )
    assert client.finished or client.closed
    assert not client.reset
    assert harness.server.wakes == []
    client.finish()
    harness.assert_over(client, "ping" if valid == "ping" else "status")


def test_a_client_that_broke_the_protocol_after_its_status_is_not_waited_for(harness: FrontendHarness) -> None:
    client = harness.connect()
    client.send(status() + packet(0))
    harness.advance(LINGER + 0.1)
    assert b"MOTD stopped" in client.received
    harness.assert_over(client, "status")
    harness.assert_log("survival: 203.0.113.7:40000: status after 0.0 s (closed then: a second status request)")


@pytest.mark.parametrize("bad", [b"x", b"\xfe\x01\xfa", bytes(2000)])
def test_a_legacy_ping_is_answered_before_what_is_not_valid(harness: FrontendHarness, bad: bytes) -> None:
    client = harness.connect()
    client.send(LEGACY_PING + bad)
    harness.settle()
    assert "MOTD stopped" in legacy_text(client.received)
    assert client.finished
    client.finish()
    harness.assert_over(client, "status")


def test_status_and_ping_in_one_piece(harness: FrontendHarness) -> None:
    client = harness.connect()
    client.send(status() + ping())
    harness.settle()
    assert [packet_id for packet_id, _ in packets(client.received)] == [0, 1]
    client.finish()
    harness.assert_over(client, "status")


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="HTTP"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
        pytest.param(b"\xff" * 40, id="noise"),
        pytest.param(handshake(7), id="an intent that there is not"),
    ],
)
@pytest.mark.parametrize("size", [None, 1])
def test_garbage_is_one_line_and_wakes_nothing(harness: FrontendHarness, sent: bytes, size: int | None) -> None:
    client = harness.connect()
    for begin in range(0, len(sent), size or len(sent)):
        client.send(sent[begin : begin + (size or len(sent))])
    harness.settle()
    assert client.reset
    assert harness.server.wakes == []
    harness.assert_over(client, "refused")


@pytest.mark.parametrize("sent", [b"", handshake(1)[:9], handshake(2), login()[:-1]])
def test_half_a_handshake_is_given_its_time(harness: FrontendHarness, sent: bytes) -> None:
    client = harness.connect()
    client.send(sent)
    harness.advance(HANDSHAKE_TIMEOUT - 0.1)
    assert not client.closed
    harness.advance(0.2)
    assert client.reset
    assert harness.server.wakes == []
    harness.assert_over(client, "too-slow")


def test_a_slow_trickle_is_given_no_more(harness: FrontendHarness) -> None:
    client = harness.connect()
    for byte in login()[:10]:
        client.send(bytes([byte]))
        harness.advance(0.6)
    harness.assert_over(client, "too-slow")


@pytest.mark.parametrize("how", ["finish", "vanish"])
@pytest.mark.parametrize("sent", [b"", handshake(1), login()[:-1]])
def test_a_client_that_leaves_early(harness: FrontendHarness, how: str, sent: bytes) -> None:
    client = harness.connect()
    client.send(sent)
    getattr(client, how)()
    harness.assert_over(client, "left")


def test_a_client_that_leaves_and_does_not_read_is_not_waited_for_for_ever(harness: FrontendHarness) -> None:
    client = harness.connect()
    client.blocked = True
    client.send(status())
    client.finish()
    harness.advance(LINGER - 0.1)
    assert not client.closed
    harness.advance(0.2)
    assert client.reset
    harness.assert_over(client, "status")


def test_a_kick_is_not_lost_to_what_the_client_still_sends(make_harness: MakeHarness) -> None:
    harness = make_harness()
    harness.server.status = Status.failed
    client = harness.connect()
    client.blocked = True
    client.send(login())
    harness.settle()
    client.send(b"x" * 100000)
    assert client.reading, "bytes that nobody reads would reset the connection"
    client.unblock()
    harness.settle()
    assert packets(client.received) == [(0, b'\x1c{"text":"kick failed Steve"}')]
    assert client.finished
    client.finish()
    harness.assert_over(client, "kicked")


def test_a_client_that_never_closes_is_not_waited_for_for_ever(harness: FrontendHarness) -> None:
    harness.server.status = Status.failed
    client = harness.player()
    assert client.finished
    harness.advance(LINGER + 0.1)
    harness.assert_over(client, "kicked")


# Legacy


def test_a_lone_fe_is_a_ping_after_a_short_while(harness: FrontendHarness) -> None:
    client = harness.connect()
    client.send(b"\xfe")
    harness.settle()
    assert client.received == b""
    harness.advance(0.5)
    assert legacy_text(client.received) == "MOTD stopped\u00a70\u00a720"
    assert client.finished
    client.finish()
    harness.assert_over(client, "status")


def test_more_after_a_lone_fe_restarts_the_while(harness: FrontendHarness) -> None:
    client = harness.connect()
    client.send(b"\xfe")
    harness.advance(0.2)
    client.send(b"\x01")
    harness.advance(0.2)
    assert client.received == b""
    harness.advance(0.2)
    assert "\x00MOTD stopped\x00" in legacy_text(client.received)
    client.finish()
    harness.assert_over(client, "status")
    assert harness.server.wakes == []


def test_a_legacy_login_wakes_and_is_kicked(harness: FrontendHarness) -> None:
    client = harness.connect()
    client.send(legacy_login())
    harness.settle()
    assert harness.server.wakes == ["login: Notch (203.0.113.7:40000)"]
    assert legacy_text(client.received) == "kick stopped Notch"
    client.finish()
    harness.assert_over(client, "kicked")


# While the server runs


@pytest.fixture
def awake(harness: FrontendHarness) -> FrontendHarness:
    harness.server.status = Status.running
    return harness


@pytest.mark.parametrize("sent", [status(), status() + ping(), b"\xfe\x01\xfa"])
def test_a_running_server_answers_its_status_without_a_session(awake: FrontendHarness, sent: bytes) -> None:
    client = awake.connect()
    client.send(sent)
    awake.advance(0.5)
    assert client.received == b""
    backend = awake.accept()
    (handover,) = awake.relays.handovers
    assert (handover.client, handover.backend, handover.early) == (client, backend, sent)
    assert awake.server.sessions == [] and awake.server.wakes == []
    handover.end()
    awake.assert_over(client, "status")


def test_a_status_that_the_server_answers_slowly_is_left_to_it(awake: FrontendHarness) -> None:
    client = awake.connect()
    client.send(status())
    awake.advance(HANDSHAKE_TIMEOUT - 1)
    awake.accept()
    awake.advance(10 * HANDSHAKE_TIMEOUT)
    awake.relays.handovers[0].end()
    awake.assert_over(client, "status")


def test_a_ping_during_the_connect_is_for_the_server(awake: FrontendHarness) -> None:
    client = awake.connect()
    client.send(status())
    client.send(ping())
    awake.accept()
    (handover,) = awake.relays.handovers
    assert handover.early == status() + ping()
    assert client.received == b""
    handover.end()
    awake.assert_over(client, "status")


@pytest.mark.parametrize("pings", [True, False])
def test_a_running_server_that_does_not_take_it_is_answered_for(awake: FrontendHarness, pings: bool) -> None:
    client = awake.connect()
    client.send(status() + (ping() if pings else b""))
    awake.refuse()
    assert b"MOTD running" in client.received
    assert client.received.endswith(PONG) == pings == client.closed
    assert awake.server.failures == ["127.0.0.1:25575: Connection was refused by other side: 111: Connection refused"]
    client.finish()
    awake.assert_over(client, "status")


def test_a_status_that_cannot_be_relayed_is_answered_by_us(awake: FrontendHarness) -> None:
    awake.relays.at_once = False
    client = awake.connect()
    client.send(status())
    backend = awake.accept()
    awake.relays.handovers[0].refuse()
    awake.settle()
    assert backend.closed
    assert awake.server.failures == [], "the server is not to blame"
    assert b"MOTD running" in client.received
    client.send(ping())
    awake.settle()
    assert client.received.endswith(PONG)
    client.finish()
    awake.assert_over(client, "status")


@pytest.mark.parametrize("how", ["finish", "vanish"])
def test_a_client_that_leaves_while_its_status_is_passed_on(awake: FrontendHarness, how: str) -> None:
    client = awake.connect()
    client.send(status())
    (attempt,) = awake.attempts
    getattr(client, how)()
    assert attempt.cancelled
    awake.assert_over(client, "left")


@pytest.mark.parametrize("valid", [status(), status() + ping()])
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("at_once", [True, False])
def test_a_running_server_judges_what_follows_a_status(
    awake: FrontendHarness, valid: bytes, bad: bytes, at_once: bool
) -> None:
    client = awake.connect()
    for piece in [valid + bad] if at_once else [valid, bad]:
        client.send(piece)
    client.send(b"later")
    awake.accept()
    (handover,) = awake.relays.handovers
    assert handover.early == valid + bad, "what comes later is not read before the relay has the connection"
    handover.end()
    awake.assert_over(client, "status")


@pytest.mark.parametrize(("valid", "answers"), [(status(), [0]), (status() + ping(), [0, 1])])
def test_a_violation_is_closed_by_us_where_the_server_does_not_answer(
    awake: FrontendHarness, valid: bytes, answers: list[int]
) -> None:
    client = awake.connect()
    client.send(valid + packet(0))
    awake.refuse()
    assert [packet_id for packet_id, _ in packets(client.received)] == answers
    assert client.finished or client.closed
    client.finish()
    awake.assert_over(client, "status")


# Any protocol


def test_a_generic_client_is_answered_with_what_the_plugin_has_for_it(generic: FrontendHarness) -> None:
    generic.server.fake = b"asleep, come again\n"
    client = generic.connect()
    generic.settle()
    assert client.received == b"asleep, come again\n"
    assert generic.server.wakes == ["connection:  (203.0.113.7:40000)"]
    client.send(b"hello?")
    assert client.finished
    client.finish()
    generic.assert_over(client, "answered")


def test_a_generic_client_is_answered_and_does_not_wake_what_may_not_be_started(generic: FrontendHarness) -> None:
    generic.server.fake = b"out of order\n"
    generic.server.status = Status.failed
    client = generic.connect()
    generic.settle()
    assert client.received == b"out of order\n"
    assert generic.server.wakes == []
    client.finish()
    generic.assert_over(client, "answered")


def test_a_generic_client_is_relayed_at_once_while_the_server_runs(generic: FrontendHarness) -> None:
    generic.server.fake = b"asleep"
    generic.server.status = Status.running
    client = generic.connect()
    generic.accept()
    assert client.received == b""
    generic.relays.handovers[0].end()
    generic.assert_over(client, "closed")


def test_early_bytes_are_bounded_and_never_lost(generic: FrontendHarness) -> None:
    client = generic.connect()
    sent = bytes(range(256)) * 1024
    for begin in range(0, len(sent), 4096):
        client.send(sent[begin : begin + 4096])
    assert not client.reading
    assert len(client.protocol.conversation.replay_bytes) == 65536
    generic.advance(100)
    assert not client.closed
    generic.set_status(Status.running)
    generic.accept()
    (handover,) = generic.relays.handovers
    assert handover.early == sent[:65536]
    handover.end()
    generic.assert_over(client, "closed")


def test_a_generic_clients_end_of_sending_is_kept_for_the_server(generic: FrontendHarness) -> None:
    client = generic.connect()
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    client.finish()
    generic.advance(60)
    assert not client.closed
    generic.set_status(Status.running)
    generic.accept()
    (handover,) = generic.relays.handovers
    assert handover.early == b"GET / HTTP/1.0\r\n\r\n"
    assert handover.client_finished
    handover.end()
    generic.assert_over(client, "closed")


def test_a_generic_client_that_had_finished_is_closed_at_last_when_it_is_refused(generic: FrontendHarness) -> None:
    client = generic.connect()
    client.send(b"hello")
    client.finish()
    generic.set_status(Status.failed)
    generic.assert_over(client, "kicked")


def test_a_full_generic_client_is_read_again_so_that_it_is_closed_in_peace(generic: FrontendHarness) -> None:
    client = generic.connect()
    client.send(b"x" * 65536)
    client.send(b"y")
    client.finish()
    assert not client.reading
    generic.set_status(Status.failed)
    generic.assert_over(client, "kicked")
    assert not client.reset


# Any protocol whose clients have to show what they are


def showing(make_harness: MakeHarness, **options: Any) -> FrontendHarness:
    """A server that TLS clients wake, within 3 s."""
    return make_harness(make_conversation=lambda: TcpConversation(sniffer=sniffing.tls), timeout=3.0, **options)


def test_a_recognised_client_wakes_and_all_its_bytes_are_kept(make_harness: MakeHarness) -> None:
    harness = showing(make_harness)
    client = harness.connect()
    for byte in CLIENT_HELLO:
        assert harness.server.wakes == []
        client.send(bytes([byte]))
    client.send(b"more")
    harness.advance(60)
    assert harness.server.wakes == ["connection:  (203.0.113.7:40000)"]
    harness.set_status(Status.running)
    harness.accept()
    (handover,) = harness.relays.handovers
    assert handover.early == CLIENT_HELLO + b"more"
    handover.end()
    harness.assert_over(client, "closed")
    assert not harness.server.sessions[0].silent


@pytest.mark.parametrize("state", ASLEEP)
def test_a_client_that_does_not_show_itself_in_time_wakes_nothing(make_harness: MakeHarness, state: Status) -> None:
    harness = showing(make_harness)
    harness.server.status = state
    client = harness.connect()
    client.send(CLIENT_HELLO[:40])
    harness.advance(2.9)
    assert not client.closed
    harness.advance(0.2)
    assert harness.server.wakes == []
    harness.assert_over(client, "too-slow")
    assert "nothing that wakes the server" in harness.lines[0]


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.0\r\n\r\n", b"\0" * 10, b"SSH-2.0-x\r\n"])
def test_garbage_wakes_nothing(make_harness: MakeHarness, sent: bytes) -> None:
    harness = showing(make_harness)
    client = harness.connect()
    client.send(sent)
    assert harness.server.wakes == []
    harness.assert_over(client, "refused")


@pytest.mark.parametrize("how", ["finish", "vanish"])
def test_a_port_scan_wakes_nothing(make_harness: MakeHarness, how: str) -> None:
    harness = showing(make_harness)
    client = harness.connect()
    getattr(client, how)()
    assert harness.server.wakes == []
    harness.assert_over(client, "left")


def test_a_client_of_a_running_server_is_relayed_before_its_first_byte(make_harness: MakeHarness) -> None:
    harness = showing(make_harness)
    harness.server.status = Status.running
    client = harness.connect()
    client.send(b"no TLS at all")
    harness.accept()
    (handover,) = harness.relays.handovers
    assert handover.early == b"no TLS at all"
    handover.end()
    harness.assert_over(client, "closed")
    assert not harness.server.sessions[0].silent


def test_a_silent_relayed_connection_ends_as_a_silent_session(make_harness: MakeHarness) -> None:
    harness = showing(make_harness)
    harness.server.status = Status.running
    client = harness.connect()
    harness.accept()
    harness.relays.handovers[0].end()  # of early bytes there are none, and none came
    harness.assert_over(client, "closed")
    assert harness.server.sessions[0].silent


def test_a_connection_that_leaves_before_the_relay_is_a_silent_session(make_harness: MakeHarness) -> None:
    harness = showing(make_harness)
    harness.server.status = Status.running
    client = harness.connect()
    client.vanish()
    harness.assert_over(client, "left")
    assert [session.silent for session in harness.server.sessions] == [True]


def test_a_client_that_waits_for_the_server_is_relayed_once_it_runs(make_harness: MakeHarness) -> None:
    harness = showing(make_harness)
    client = harness.connect()
    harness.advance(2.0)
    harness.set_status(Status.running)  # another client has started it
    harness.advance(1.5)
    harness.accept()
    harness.relays.handovers[0].end()
    harness.assert_over(client, "closed")


@pytest.mark.parametrize("sent", [b"", CLIENT_HELLO])
def test_a_lost_running_server_is_woken_only_for_a_recognised_client(make_harness: MakeHarness, sent: bytes) -> None:
    harness = showing(make_harness)
    harness.server.status = Status.running
    client = harness.connect()
    client.send(sent)
    harness.refuse()
    harness.server.status = Status.stopped
    harness.advance(1.0)
    assert bool(harness.server.wakes) is bool(sent)
    client.finish()
    client.vanish()
    harness.settle()
    harness.assert_nothing_left()


@pytest.mark.parametrize("state", Status)
def test_a_health_check_is_accepted_closed_and_nothing_else(make_harness: MakeHarness, state: Status) -> None:
    harness = make_harness(generic=True, health_check=(ipaddress.ip_network("203.0.113.0/24"),))
    harness.server.status = state
    client = harness.connect()
    client.send(CLIENT_HELLO)
    assert harness.server.wakes == [] and harness.attempts == [] and harness.server.sessions == []
    assert client.received == b"" and not client.reset
    harness.assert_over(client, "health-check")


def test_a_health_check_of_a_minecraft_port_is_closed_at_once_too(make_harness: MakeHarness) -> None:
    harness = make_harness(health_check=(ipaddress.ip_network("203.0.113.0/24"),))
    harness.assert_over(harness.connect(), "health-check")


def test_other_addresses_wake(make_harness: MakeHarness) -> None:
    harness = make_harness(generic=True, health_check=(ipaddress.ip_network("198.51.100.0/24"),))
    harness.connect()
    assert len(harness.server.wakes) == 1


# HTTP health checks by their path

HEALTH_CHECK = b"GET /healthz HTTP/1.1\r\nHost: a\r\nUser-Agent: kube-probe/1.31\r\nAccept: text/html\r\n\r\n"
OTHER_REQUEST = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
CHECKED_WITHIN = 3.0


def checked(make_harness: MakeHarness, state: Status = Status.stopped, **options: Any) -> FrontendHarness:
    """An HTTP server with health checks, in some state; browsers see the page."""
    harness = make_harness(
        make_conversation=lambda: HttpConversation(page="browsers", retry_after=lambda: 20.0, health_path="/healthz"),
        timeout=CHECKED_WITHIN,
        **options,
    )
    harness.server.status = state
    return harness


def assert_only_answered(harness: FrontendHarness, client: Any) -> None:
    """It was answered with 200, and nothing else came of it."""
    harness.settle()
    assert client.received.startswith(b"HTTP/1.1 200 OK\r\n") and client.received.count(b"HTTP/1.1") == 1
    assert b"\r\nConnection: close\r\n" in client.received
    assert client.finished and not client.reset
    client.finish()
    harness.assert_over(client, "health-check")
    assert harness.server.wakes == [] and harness.server.admitted == [] and harness.attempts == []
    assert harness.counts.snapshot(0.0).logins == 0


@pytest.mark.parametrize("state", Status)
@pytest.mark.parametrize("size", [1, 1000])
def test_a_health_check_is_answered_in_every_state(make_harness: MakeHarness, state: Status, size: int) -> None:
    harness = checked(make_harness, state)
    client = harness.connect()
    for at in range(0, len(HEALTH_CHECK), size):
        client.send(HEALTH_CHECK[at : at + size])
    assert_only_answered(harness, client)


def test_only_the_first_request_of_a_checker_is_answered(make_harness: MakeHarness) -> None:
    harness = checked(make_harness)
    client = harness.connect()
    client.send(HEALTH_CHECK + OTHER_REQUEST + HEALTH_CHECK)
    client.send(OTHER_REQUEST)
    assert_only_answered(harness, client)


def test_no_limit_of_an_address_counts_health_checks(make_harness: MakeHarness) -> None:
    admission = Admission(Rules(wake="nobody"), Limits(statuses=1, logins=1, wakes=1))
    harness = checked(make_harness, admission=admission)
    for _ in range(50):
        client = harness.connect()
        client.send(HEALTH_CHECK)
        client.finish()
    harness.settle()
    assert harness.outcomes == {"health-check": 50}
    assert all(client.received.startswith(b"HTTP/1.1 200 ") for client in harness.clients)
    assert len(harness.context.pending_connections) == 0


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize("sent", [OTHER_REQUEST + HEALTH_CHECK, b"\x16\x03\x01", b"SSH-2.0-x\r\n", b"\0"])
def test_anything_else_reaches_the_running_server_at_once_and_as_it_was_sent(
    make_harness: MakeHarness, sent: bytes, size: int
) -> None:
    harness = checked(make_harness, Status.running)
    client = harness.connect()
    harness.settle()
    assert harness.attempts == []
    for at in range(0, len(sent), size):
        client.send(sent[at : at + size])
    harness.accept()
    (handover,) = harness.relays.handovers
    assert handover.early == sent
    handover.end()
    harness.assert_over(client, "closed")
    assert not harness.server.sessions[0].silent


def test_a_request_that_is_no_check_is_relayed_before_its_end(make_harness: MakeHarness) -> None:
    harness = checked(make_harness, Status.running)
    client = harness.connect()
    client.send(b"GET /hea")
    harness.settle()
    assert harness.attempts == []
    client.send(b"t")
    harness.accept()
    assert harness.relays.handovers[0].early == b"GET /heat"
    harness.relays.handovers[0].end()
    harness.assert_over(client, "closed")


@pytest.mark.parametrize("sent", [b"", b"GET /heal"])
def test_a_client_that_waits_for_the_running_server_is_relayed_in_time(make_harness: MakeHarness, sent: bytes) -> None:
    harness = checked(make_harness, Status.running)
    client = harness.connect()
    client.send(sent)
    harness.advance(CHECKED_WITHIN - 0.1)
    assert harness.attempts == []
    harness.advance(0.2)
    harness.accept()
    assert harness.relays.handovers[0].early == sent
    harness.relays.handovers[0].end()
    harness.assert_over(client, "closed")


def test_a_check_that_comes_too_late_is_relayed(make_harness: MakeHarness) -> None:
    harness = checked(make_harness, Status.running)
    client = harness.connect()
    harness.advance(CHECKED_WITHIN)
    client.send(HEALTH_CHECK)
    harness.accept()
    assert client.received == b""
    assert harness.relays.handovers[0].early == HEALTH_CHECK
    harness.relays.handovers[0].end()
    harness.assert_over(client, "closed")


@pytest.mark.parametrize(
    ("sent", "outcome"), [(b"", "too-slow"), (b"GET /heal", "too-slow"), (b"\x16\x03\x01", "refused")]
)
def test_what_shows_no_request_wakes_nothing_while_checks_are_looked_for(
    make_harness: MakeHarness, sent: bytes, outcome: str
) -> None:
    harness = checked(make_harness)
    client = harness.connect()
    client.send(sent)
    harness.advance(CHECKED_WITHIN)
    harness.assert_over(client, outcome)
    assert harness.server.wakes == []


def test_any_other_request_wakes(make_harness: MakeHarness) -> None:
    harness = checked(make_harness)
    client = harness.connect()
    client.send(OTHER_REQUEST)
    assert len(harness.server.wakes) == 1
    harness.set_status(Status.running)
    harness.accept()
    assert harness.relays.handovers[0].early == OTHER_REQUEST
    harness.relays.handovers[0].end()
    harness.assert_over(client, "closed")


@pytest.mark.parametrize("how", ["finish", "vanish"])
@pytest.mark.parametrize("state", [Status.stopped, Status.running])
def test_a_client_that_leaves_while_it_may_be_a_check(make_harness: MakeHarness, state: Status, how: str) -> None:
    harness = checked(make_harness, state)
    client = harness.connect()
    client.send(b"GET ")
    getattr(client, how)()
    harness.assert_over(client, "left")
    assert harness.server.admitted == []


CHECKERS = {
    "an address of health checkers": {"health_check": (ipaddress.ip_network("203.0.113.0/24"),)},
    "a proxy's own connection": {},
}


def checker(harness: FrontendHarness, who: str) -> Any:
    """Connect one of `CHECKERS`."""
    if who == "an address of health checkers":
        return harness.connect()
    behind_a_proxy(harness).listener.reject_header = True
    client = harness.connect(TRUSTED_PROXY)
    client.send(local_header())
    return client


@pytest.mark.parametrize(("who", "options"), CHECKERS.items(), ids=CHECKERS)
@pytest.mark.parametrize("state", [Status.stopped, Status.running])
def test_a_known_checker_gets_its_answer(
    make_harness: MakeHarness, state: Status, who: str, options: dict[str, Any]
) -> None:
    harness = checked(make_harness, state, **options)
    client = checker(harness, who)
    assert client.open
    client.send(HEALTH_CHECK)
    assert_only_answered(harness, client)


@pytest.mark.parametrize(("who", "options"), CHECKERS.items(), ids=CHECKERS)
@pytest.mark.parametrize("state", [Status.stopped, Status.running])
@pytest.mark.parametrize("does", ["asks something else", "sends no request", "waits", "leaves"])
def test_a_known_checker_never_reaches_the_server(
    make_harness: MakeHarness, does: str, state: Status, who: str, options: dict[str, Any]
) -> None:
    harness = checked(make_harness, state, **options)
    client = checker(harness, who)
    match does:
        case "asks something else":
            client.send(OTHER_REQUEST)
        case "sends no request":
            client.send(b"\x16\x03\x01")
        case "waits":
            harness.advance(CHECKED_WITHIN)
        case "leaves":
            client.vanish()
    harness.assert_over(client, "health-check")
    assert not client.reset
    assert harness.server.wakes == [] and harness.server.admitted == [] and harness.attempts == []


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("state", [Status.stopped, Status.running])
def test_a_check_through_a_proxy_has_a_header_before_it(
    make_harness: MakeHarness, state: Status, version: Version
) -> None:
    harness = behind_a_proxy(checked(make_harness, state))
    client = harness.connect(TRUSTED_PROXY)
    for byte in encode(version, Endpoint("203.0.113.9", 5000), Endpoint("192.0.2.1", 80)) + HEALTH_CHECK:
        client.send(bytes([byte]))
    assert_only_answered(harness, client)
    assert harness.lines[0].startswith("survival: 203.0.113.9:5000: health-check")


# Several web servers on one port

SITE = b"GET / HTTP/1.1\r\nHost: site.example.org\r\n\r\n"
ELSEWHERE = SITE.replace(b"site", b"other")


def shared(make_harness: MakeHarness, state: Status = Status.stopped, **options: Any) -> FrontendHarness:
    """A port with one web server for one host, in some state."""

    def conversation(host: str) -> HttpConversation | None:
        known = host == "site.example.org"
        return HttpConversation(retry_after=lambda: 20.0, health_path="/healthz") if known else None

    harness = make_harness(
        make_conversation=lambda: HttpHostConversation(conversation, ["/healthz"]),
        route=lambda host, backend: backend if host == "site.example.org" else None,
        timeout=CHECKED_WITHIN,
        **options,
    )
    harness.server.status = state
    return harness


@pytest.mark.parametrize("size", [1, 1000])
def test_a_web_client_wakes_the_server_of_its_host(make_harness: MakeHarness, size: int) -> None:
    harness = shared(make_harness)
    client = harness.connect()
    for at in range(0, len(SITE), size):
        assert harness.server.wakes == []
        client.send(SITE[at : at + size])
    harness.settle()
    assert len(harness.server.wakes) == 1
    harness.set_status(Status.running)
    harness.accept()
    assert harness.relays.handovers[0].early == SITE
    assert harness.counts.snapshot(0.0).logins == 1


@pytest.mark.parametrize("size", [1, 1000])
def test_a_running_web_server_gets_its_clients_once_they_have_named_it(make_harness: MakeHarness, size: int) -> None:
    harness = shared(make_harness, Status.running)
    client = harness.connect()
    for at in range(0, len(SITE), size):
        harness.settle()
        assert harness.attempts == []
        client.send(SITE[at : at + size])
    harness.settle()
    client.send(b"more")
    harness.accept()
    assert harness.relays.handovers[0].early == SITE + b"more"
    assert harness.server.wakes == []


@pytest.mark.parametrize("state", Status)
@pytest.mark.parametrize(
    ("sent", "status", "outcome"),
    [
        (ELSEWHERE, b"421", "unknown-host"),
        (ELSEWHERE.replace(b"GET", b"POST") + b"x" * 100000, b"421", "unknown-host"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400", "refused"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400", "refused"),
        (b"GET / HTTP/1.0\r\n\r\n", b"421", "unknown-host"),
        (b"GET /healthz HTTP/1.0\r\n\r\n", b"200", "health-check"),
    ],
)
def test_a_web_client_of_no_server_is_answered_and_wakes_nothing(
    make_harness: MakeHarness, state: Status, sent: bytes, status: bytes, outcome: str
) -> None:
    harness = shared(make_harness, state)
    client = harness.connect()
    client.send(sent)
    harness.settle()
    assert client.received.startswith(b"HTTP/1.1 " + status + b" ")
    assert client.finished and not client.reset
    client.finish()
    harness.assert_over(client, outcome)
    assert harness.context.unrouted == {outcome: 1}
    assert harness.server.wakes == [] and harness.attempts == []


@pytest.mark.parametrize("state", [Status.stopped, Status.running])
@pytest.mark.parametrize("sent", [b"", SITE[:-2], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x00"])
def test_a_client_that_names_no_host_of_a_shared_port_is_closed(
    make_harness: MakeHarness, state: Status, sent: bytes
) -> None:
    harness = shared(make_harness, state)
    client = harness.connect()
    client.send(sent)
    harness.advance(CHECKED_WITHIN)
    if not client.closed:
        client.finish()
    assert client.received == b""
    outcome = "unknown-host" if sent.startswith(b"PRI") else "refused" if sent.startswith(b"\x16") else "too-slow"
    harness.assert_over(client, outcome)
    assert harness.server.wakes == [] and harness.attempts == []


def test_limits_of_the_server_hold_on_a_shared_port(make_harness: MakeHarness) -> None:
    harness = shared(make_harness, admission=Admission(Rules(wake="nobody")))
    client = harness.connect()
    client.send(SITE)
    harness.settle()
    assert client.received.startswith(b"HTTP/1.1 503 ") and harness.server.wakes == []
    check = harness.connect()
    check.send(b"GET /healthz HTTP/1.1\r\nHost: site.example.org\r\n\r\n")
    harness.settle()
    assert check.received.startswith(b"HTTP/1.1 200 ")
    assert harness.counts.snapshot(0.0).outcomes == {"unavailable": 1, "health-check": 1}
    assert harness.context.unrouted == {}


def test_a_network_of_health_checkers_on_a_shared_port(make_harness: MakeHarness) -> None:
    harness = shared(make_harness, Status.running, health_check=(ipaddress.ip_network("203.0.113.0/24"),))
    client = harness.connect()
    harness.settle()
    assert client.closed and harness.outcomes == {"health-check": 1}


def test_a_request_after_a_proxy_header_on_a_shared_port(make_harness: MakeHarness) -> None:
    harness = shared(make_harness)
    harness.listener.accept_from = [ipaddress.ip_network("203.0.113.0/24")]
    client = harness.connect()
    client.send(b"PROXY TCP4 192.0.2.9 192.0.2.1 5000 80\r\n" + SITE)
    harness.settle()
    assert len(harness.server.wakes) == 1
    harness.set_status(Status.running)
    harness.accept()
    assert harness.relays.handovers[0].early == SITE


# What a waiting client gets


def test_a_client_is_held_though_the_plugin_has_something_for_it(make_harness: MakeHarness) -> None:
    harness = make_harness(generic=True, policy=JoinPolicy(holds=True, hold_limit=300.0, waiting="hold"))
    harness.server.fake = b"asleep, come again\n"
    client = harness.connect()
    harness.advance(10)
    assert client.received == b"" and client.open
    assert len(harness.server.wakes) == 1


def test_a_client_is_closed_though_the_plugin_has_nothing_for_it(make_harness: MakeHarness) -> None:
    harness = make_harness(generic=True, policy=JoinPolicy(holds=True, hold_limit=300.0, waiting="answer"))
    client = harness.connect()
    harness.settle()
    assert len(harness.server.wakes) == 1
    client.finish()
    harness.assert_over(client, "answered")


def web(make_harness: MakeHarness, page: PageFor = "browsers", **options: Any) -> FrontendHarness:
    """An HTTP server whose visitors see a page."""
    return make_harness(
        make_conversation=lambda: HttpConversation(
            page=page, retry_after=lambda: 20.0, page_note=lambda: "it reloads itself"
        ),
        policy=JoinPolicy(holds=True, hold_limit=300.0, waiting="page"),
        **options,
    )


PROGRAMS = {
    "curl": b"GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n",
    "HEAD": b"HEAD / HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n",
    "JSON": b'POST /api HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\nContent-Length: 8\r\n\r\n{"a": 1}',
    "form": b"POST / HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\nContent-Length: 3\r\n\r\na=b",
    "WebSocket": b"GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
}


def test_a_browser_sees_a_page_and_wakes(make_harness: MakeHarness) -> None:
    harness = web(make_harness)
    harness.server.fake = b"not this"
    client = harness.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n")
    harness.settle()
    assert client.received.startswith(b"HTTP/1.1 503 ")
    assert b'http-equiv="refresh"' in client.received
    assert b"kick stopped" in client.received and b"it reloads itself" in client.received
    assert len(harness.server.wakes) == 1
    client.finish()
    harness.assert_over(client, "page")


@pytest.mark.parametrize("sent", PROGRAMS.values(), ids=PROGRAMS)
def test_what_is_no_visit_of_a_page_is_held_and_reaches_the_server_as_it_was_sent(
    make_harness: MakeHarness, sent: bytes
) -> None:
    harness = web(make_harness)
    client = harness.connect()
    for byte in sent:
        client.send(bytes([byte]))
    harness.advance(200)
    assert client.received == b"" and client.open
    assert len(harness.server.wakes) == 1
    harness.set_status(Status.running)
    harness.accept()
    (handover,) = harness.relays.handovers
    assert handover.early == sent
    handover.end()
    harness.assert_over(client, "closed")


def test_with_page_only_a_program_gets_a_text_at_once(make_harness: MakeHarness) -> None:
    harness = web(make_harness, "everyone")
    client = harness.connect()
    client.send(PROGRAMS["curl"])
    harness.settle()
    assert client.received.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: 20\r\n" in client.received
    assert client.received.endswith(b"\r\n\r\nkick stopped \n")
    client.finish()
    harness.assert_over(client, "unavailable")


def test_a_large_upload_is_held_with_bounded_bytes(make_harness: MakeHarness) -> None:
    harness = web(make_harness)
    client = harness.connect()
    client.send(PROGRAMS["JSON"])
    client.send(b"x" * CAPACITY)
    client.send(b"y" * CAPACITY)
    harness.settle()
    assert not client.reading
    harness.set_status(Status.running)
    harness.accept()
    (handover,) = harness.relays.handovers
    assert handover.early == PROGRAMS["JSON"] + b"x" * CAPACITY
    handover.end()
    harness.assert_over(client, "closed")


@pytest.mark.parametrize("name", ["curl", "WebSocket", "HTTP/2"])
@pytest.mark.parametrize("how", ["too long", "too many", "failed"])
def test_a_client_that_is_held_in_vain_gets_a_503_if_it_understands_one(
    make_harness: MakeHarness, name: str, how: str
) -> None:
    harness = web(make_harness, per_address=1 if how == "too many" else 64)
    if how == "too many":
        harness.connect().send(PROGRAMS["JSON"])
    client = harness.connect()
    client.send(PROGRAMS[name])
    if how == "too long":
        harness.advance(300)
    elif how == "failed":
        harness.set_status(Status.failed)
    harness.settle()
    understands = name != "HTTP/2"
    assert client.received.startswith(b"HTTP/1.1 503 ") is understands
    assert (b"\r\nRetry-After: 20\r\n" in client.received) is understands
    assert client.finished
    kicked = "unavailable" if understands else "kicked"
    assert harness.outcomes == {"held-too-long" if how == "too long" else kicked: 1}


# Who


def test_an_unknown_host(make_harness: MakeHarness) -> None:
    hosts = []
    harness = make_harness(route=lambda host, backend: hosts.append(host))
    client = harness.connect()
    client.send(status(host="Elsewhere.Example.Org."))
    assert hosts == ["elsewhere.example.org"]
    harness.assert_over(client, "unknown-host")
    assert harness.context.unrouted == {"unknown-host": 1}
    assert "'elsewhere.example.org'" in harness.lines[0]


def test_an_unknown_host_is_answered_if_configured(make_harness: MakeHarness) -> None:
    harness = make_harness(route=lambda host, backend: None, messages=Messages())
    harness.context.answer_unknown_host = True
    asks, joins = harness.connect(), harness.connect()
    asks.send(status() + ping())
    joins.send(login())
    harness.settle()
    assert b"zeroscale" not in asks.received
    assert asks.received.endswith(PONG)
    assert b"There is no server of this name here" in joins.received
    asks.finish()
    joins.finish()
    harness.settle()
    assert harness.outcomes == {"status": 1, "unknown-host": 1}
    assert harness.server.wakes == []


def test_the_host_is_asked_for_once(make_harness: MakeHarness) -> None:
    hosts = []

    def route(host: str, backend: Any) -> Any:
        hosts.append(host)
        return backend

    harness = make_harness(route=route)
    client = harness.connect()
    client.send(status() + ping())
    client.finish()
    assert hosts == ["play.example.org"]


@pytest.mark.parametrize(
    ("address", "host", "peer"),
    [
        ("203.0.113.7", "203.0.113.7", "203.0.113.7:40000"),
        ("::ffff:203.0.113.7", "203.0.113.7", "203.0.113.7:40000"),
        ("2001:db8:0:0::1", "2001:db8::1", "[2001:db8::1]:40000"),
        ("fe80::1%eth0", "fe80::1", "[fe80::1]:40000"),
    ],
)
def test_addresses_as_bans_know_them(harness: FrontendHarness, address: str, host: str, peer: str) -> None:
    client = harness.connect(address)
    assert client.protocol.record.address.host == host
    client.vanish()
    assert harness.lines[0].startswith(f"{peer}: left after ")


def test_a_unix_socket_has_no_address(harness: FrontendHarness) -> None:
    address = harness.listener.buildProtocol(UNIXAddress(None)).record.address
    assert (address.host, address.peer) == ("local", "local")


def test_the_oldest_connection_of_an_address_is_evicted(make_harness: MakeHarness) -> None:
    harness = make_harness(per_address=2)
    first, second, other = harness.connect(), harness.connect(), harness.connect("203.0.113.8")
    third = harness.connect()
    harness.settle()
    assert [client.closed for client in (first, second, other, third)] == [True, False, False, False]
    harness.assert_log("203.0.113.7:40000: crowded-out")
    third.send(login())
    harness.settle()
    assert harness.server.wakes == ["login: Steve (203.0.113.7:40003)"]
    harness.connect()
    harness.settle()
    assert not second.closed, "who has logged in takes no room"


@pytest.mark.parametrize(
    "sent", [status() + b"\x01\x00", login(name="x" * 17), login() + b"\x01\x00"], ids=["status", "name", "tail"]
)
def test_a_connection_that_its_client_does_not_close_still_counts_as_pending(
    make_harness: MakeHarness, sent: bytes
) -> None:
    harness = make_harness(per_address=2)
    clients = [harness.connect() for _ in range(4)]
    for client in clients:
        client.send(sent)
        harness.settle()
    assert [client.closed for client in clients] == [True, True, False, False]
    assert len(harness.context.pending_connections) == 2
    for client in clients[2:]:
        client.vanish()
    assert len(harness.context.pending_connections) == 0


def test_the_oldest_of_all_connections_is_evicted(make_harness: MakeHarness) -> None:
    harness = make_harness(total=2, trusted=(ipaddress.ip_network("203.0.113.0/24"),))
    clients = [harness.connect() for _ in range(3)]
    harness.settle()
    assert [client.closed for client in clients] == [True, False, False]


@pytest.mark.parametrize("at_once", [True, False])
def test_a_relayed_status_still_counts_as_pending(make_harness: MakeHarness, at_once: bool) -> None:
    harness = make_harness(per_address=1)
    harness.server.status = Status.running
    harness.relays.at_once = at_once
    client = harness.connect()
    client.send(status())
    harness.accept()
    (handover,) = harness.relays.handovers
    late = harness.connect()
    harness.settle()
    if at_once:
        assert handover.aborted and not client.closed, "the relay has it, and closes it"
        handover.end(Outcome.aborted)
    harness.settle()
    assert client.closed and not late.closed
    late.vanish()
    assert harness.outcomes == {"crowded-out": 1, "left": 1}
    harness.assert_nothing_left()


# The log


def test_the_story_of_a_connection_at_debug(harness: FrontendHarness) -> None:
    lines: list[str] = []
    with logged(lines, logging.DEBUG):
        harness.connect().send(status() + ping())
    assert lines == [
        "survival: New connection from 203.0.113.7:40000, server is stopped",
        "survival: Answered the status of 203.0.113.7:40000 for the server",
        "survival: 203.0.113.7:40000: status after 0.0 s",
    ]


def ends(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if hasattr(record, "outcome")]


@pytest.mark.parametrize(
    "state, sent, level",
    [
        (Status.stopped, status() + ping(), logging.DEBUG),
        (Status.stopped, b"\xff\xff\xff\xff", logging.DEBUG),
        (Status.stopped, b"", logging.DEBUG),
        (Status.stopped, login("Steve"), logging.INFO),
        (Status.running, login("Steve"), logging.DEBUG),
    ],
    ids=["status", "garbage", "nothing", "left while it waited", "a player's, of which the lifecycle tells"],
)
def test_only_the_end_of_a_client_that_joins_is_news(
    harness: FrontendHarness, caplog: pytest.LogCaptureFixture, state: Status, sent: bytes, level: int
) -> None:
    harness.server.status = state
    client = harness.connect()
    client.send(sent)
    if state is Status.running:
        harness.accept()
        harness.relays.handovers[0].end()
        harness.settle()
    else:
        client.vanish()
    [record] = ends(caplog)
    assert record.levelno == level


def test_the_end_of_a_player_who_was_relayed_but_has_not_joined_is_news(
    harness: FrontendHarness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.server.status = Status.running
    harness.player("Steve")
    harness.accept()
    [session] = harness.server.sessions
    session.announced = False  # its server has kicked it at once
    harness.relays.handovers[0].end()
    harness.settle()
    [record] = ends(caplog)
    assert (record.levelno, record.getMessage()) == (
        logging.INFO,
        "survival: Steve (203.0.113.7:40000): closed after 0.0 s, and has not joined "
        "(48 bytes to the server, 7 to the client)",
    )


def test_the_end_of_a_connection_without_a_name_is_news(
    generic: FrontendHarness, caplog: pytest.LogCaptureFixture
) -> None:
    generic.server.status = Status.running
    generic.connect().send(b"GET / HTTP/1.1\r\n")
    generic.accept()
    generic.relays.handovers[0].end()
    generic.settle()
    [record] = ends(caplog)
    assert (record.levelno, record.getMessage().partition(" after ")[0]) == (
        logging.INFO,
        "survival: 203.0.113.7:40000: closed",
    )


def test_the_end_of_a_refused_login_is_no_news_where_an_event_tells_of_it(
    make_harness: MakeHarness, caplog: pytest.LogCaptureFixture
) -> None:
    harness = make_harness(admission=Admission(Rules("nobody")))
    for _ in range(7):
        harness.player()
    assert [record.levelno for record in ends(caplog)] == [logging.DEBUG] * 6 + [logging.INFO]


def test_the_line_at_the_end_has_fields(harness: FrontendHarness, caplog: pytest.LogCaptureFixture) -> None:
    harness.server.status = Status.running
    harness.player("Steve")
    harness.accept()
    harness.advance(2.0)
    harness.relays.handovers[0].end()
    harness.settle()
    [record] = ends(caplog)
    sent = {name: vars(record)[name] for name in ("server", "peer", "player", "outcome", "seconds", "host", "protocol")}
    assert sent == {
        "server": "survival",
        "peer": "203.0.113.7:40000",
        "player": "Steve",
        "outcome": "closed",
        "seconds": 2.0,
        "host": "play.example.org",
        "protocol": 769,
    }
    assert (vars(record)["to_server"], vars(record)["to_client"]) == (len(login()), 7)


def test_the_fields_of_an_unrouted_client(harness: FrontendHarness, caplog: pytest.LogCaptureFixture) -> None:
    harness.connect().send(b"\xff\xff\xff\xff")
    [record] = ends(caplog)
    assert (vars(record)["peer"], vars(record)["outcome"], vars(record)["player"]) == (
        "203.0.113.7:40000",
        "refused",
        None,
    )
    assert not {"server", "host", "protocol", "to_server"} & set(vars(record))


def test_a_flood_of_one_address_is_no_flood_of_lines(harness: FrontendHarness) -> None:
    lines: list[str] = []
    with logged(lines, logging.DEBUG):
        for _ in range(100):
            harness.connect().send(status() + ping())
        for _ in range(20):
            harness.connect().send(b"\xff\xff\xff\xff")
        assert len(lines) == 3 * 10
        harness.connect("203.0.113.8").vanish()
        assert len(lines) == 31
        harness.advance(1)
        assert lines[31:] == ["203.0.113.7: 110 more connections within a second: 90 status, 20 refused"]
    assert harness.outcomes == {"status": 100, "refused": 20, "left": 1}


def test_a_fault_of_ours_is_logged_and_closes_the_connection(
    harness: FrontendHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness.server, "admit", lambda _: 1 / 0)
    client = harness.player()
    assert client.reset
    assert harness.outcomes == {"fault": 1}
    assert "A fault in zeroscale itself: Traceback" in harness.lines[0]
    assert "ZeroDivisionError" in harness.lines[0]
    harness.assert_nothing_left()


TRUSTED_PROXY = "10.0.0.1"


def behind_a_proxy(harness: FrontendHarness) -> FrontendHarness:
    harness.listener.accept_from = [ipaddress.ip_network("10.0.0.0/8")]
    return harness


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_player_behind_a_proxy_has_its_own_address(make_harness: MakeHarness, version: Version) -> None:
    harness = behind_a_proxy(make_harness())
    client = harness.connect(TRUSTED_PROXY)
    sent = encode(version, Endpoint("203.0.113.9", 5000), Endpoint("192.0.2.1", 25565)) + login()
    for at in range(len(sent)):
        client.send(sent[at : at + 1])
    harness.settle()
    assert harness.server.wakes == ["login: Steve (203.0.113.9:5000)"]
    harness.set_status(Status.running)
    harness.accept()
    (handover,) = harness.relays.handovers
    assert handover.early == login()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_real_server_gets_the_header_first(make_harness: MakeHarness, version: Version) -> None:
    harness = make_harness()
    harness.backend = replace(harness.backend, proxy_version=version)
    harness.server.status = Status.running
    harness.player()
    harness.accept()
    (handover,) = harness.relays.handovers
    source, destination = Endpoint("203.0.113.7", 40000), Endpoint("198.51.100.1", 25565)
    assert handover.early == encode(version, source, destination) + login()


@pytest.mark.parametrize("sent", [login(), b"PROXY TCP4 203.0.113.9\r\n", SIGNATURE + bytes(4)])
def test_a_trusted_proxy_without_a_whole_header_is_cut_off(make_harness: MakeHarness, sent: bytes) -> None:
    harness = behind_a_proxy(make_harness())
    client = harness.connect(TRUSTED_PROXY)
    client.send(sent)
    harness.assert_over(client, "refused")
    assert "PROXY" in harness.lines[0]
    assert harness.server.wakes == []


def test_a_trusted_proxy_that_sends_nothing_is_closed_in_time(make_harness: MakeHarness) -> None:
    harness = behind_a_proxy(make_harness(generic=True))
    client = harness.connect(TRUSTED_PROXY)
    harness.advance(HANDSHAKE_TIMEOUT)
    harness.assert_over(client, "too-slow")
    assert harness.server.wakes == []


@pytest.mark.parametrize("generic", [True, False])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_header_from_another_address_is_refused(make_harness: MakeHarness, generic: bool, version: Version) -> None:
    harness = behind_a_proxy(make_harness(generic=generic))
    harness.listener.reject_header = generic
    client = harness.connect("203.0.113.66")
    client.send(encode(version, Endpoint("203.0.113.9", 5000), Endpoint("192.0.2.1", 25565)) + login())
    harness.assert_over(client, "refused")
    assert "203.0.113.66" in harness.lines[0]
    assert harness.server.wakes == []


def test_another_address_needs_no_header(make_harness: MakeHarness) -> None:
    harness = behind_a_proxy(make_harness(generic=True))
    harness.listener.reject_header = True
    speaks, waits, hesitates, creeps = (harness.connect() for _ in range(4))
    speaks.send(b"GET / HTTP/1.1\r\n")
    hesitates.send(b"PRO")
    creeps.send(b"PROX")
    harness.settle()
    assert len(harness.server.wakes) == 1
    harness.advance(HEADER_WAIT)
    assert len(harness.server.wakes) == 2
    assert not (waits.closed or hesitates.closed)
    hesitates.send(b"POSE")
    harness.settle()
    assert len(harness.server.wakes) == 3
    harness.advance(HANDSHAKE_TIMEOUT)
    assert creeps.closed
    assert "too-slow" in harness.lines[-1]
    assert len(harness.server.wakes) == 3
    harness.set_status(Status.running)
    for attempt in harness.attempts:
        attempt.accept()
    harness.settle()
    assert sorted(handover.early for handover in harness.relays.handovers) == [b"", b"GET / HTTP/1.1\r\n", b"PROPOSE"]


def test_a_health_check_of_a_proxy_wakes_nothing(make_harness: MakeHarness) -> None:
    harness = behind_a_proxy(make_harness(generic=True))
    harness.listener.reject_header = True
    client = harness.connect(TRUSTED_PROXY)
    client.send(local_header())
    harness.assert_over(client, "health-check")
    assert harness.server.wakes == []


def test_all_behind_one_proxy_have_no_common_bound(make_harness: MakeHarness) -> None:
    harness = behind_a_proxy(make_harness(per_address=1))
    silent = [harness.connect(TRUSTED_PROXY) for _ in range(3)]
    assert not any(client.closed for client in silent)
    for client in silent:
        client.send(encode("v2", Endpoint("203.0.113.9", 5000), Endpoint("192.0.2.1", 25565)))
    harness.settle()
    assert [client.closed for client in silent] == [True, True, False]


def test_a_check_whose_header_names_its_own_connection_wakes_nothing(make_harness: MakeHarness) -> None:
    harness = behind_a_proxy(make_harness(generic=True))
    harness.listener.reject_header = True
    client = harness.connect(TRUSTED_PROXY)
    ours = client.getHost()
    client.send(encode("v1", Endpoint(TRUSTED_PROXY, 40000), Endpoint(ours.host, ours.port)))
    harness.assert_over(client, "health-check")
    assert harness.server.wakes == []


def test_a_health_check_of_a_minecraft_server_is_logged_as_one(make_harness: MakeHarness) -> None:
    harness = behind_a_proxy(make_harness())
    client = harness.connect(TRUSTED_PROXY)
    client.send(local_header())
    client.vanish()
    harness.assert_over(client, "health-check")


def test_a_proxys_own_status_question_is_answered(make_harness: MakeHarness) -> None:
    harness = behind_a_proxy(make_harness())
    client = harness.connect(TRUSTED_PROXY)
    client.send(local_header() + status())
    client.finish()
    harness.settle()
    assert b"MOTD stopped" in client.received
    assert harness.outcomes == {"status": 1}


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_an_unexpected_header_is_named_for_minecraft(harness: FrontendHarness, version: Version) -> None:
    client = harness.connect()
    client.send(encode(version, Endpoint("203.0.113.9", 5000), Endpoint("192.0.2.1", 25565)) + login())
    harness.assert_over(client, "refused")
    assert "proxy_protocol.accept_from" in harness.lines[0]


def test_it_is_the_client_behind_a_proxy_that_is_judged(make_harness: MakeHarness) -> None:
    denied = Admission(Rules(deny=AccessList(["203.0.113.9", TRUSTED_PROXY])), Limits(statuses=1.0))
    harness = behind_a_proxy(make_harness(admission=denied))

    def behind(host: str, sent: bytes) -> None:
        client = harness.connect(TRUSTED_PROXY)
        client.send(encode("v2", Endpoint(host, 5000), Endpoint("192.0.2.1", 25565)) + sent)
        harness.settle()

    behind("203.0.113.9", login())
    assert (harness.server.wakes, dict(harness.counts.snapshot(0.0).refusals)) == ([], {"denied": 1})
    for host in ("203.0.113.1", "203.0.113.2", "203.0.113.1"):
        behind(host, status())
    assert harness.outcomes.get("limited") == 1
    behind("203.0.113.1", login())
    assert harness.server.wakes == ["login: Steve (203.0.113.1:5000)"]
    assert harness.server.admitted == [ClientInfo("Steve", "203.0.113.1:5000", "203.0.113.1")]


def test_our_header_does_not_count_as_the_clients_bytes(make_harness: MakeHarness) -> None:
    harness = showing(make_harness)
    harness.backend = replace(harness.backend, proxy_version="v2")
    harness.server.status = Status.running
    harness.connect()
    harness.accept()
    (handover,) = harness.relays.handovers
    assert handover.early == encode("v2", Endpoint("203.0.113.7", 40000), Endpoint("198.51.100.1", 25565))
    assert harness.counts.snapshot(0.0).to_backend == 0
    handover.end()
    harness.settle()
    assert [session.silent for session in harness.server.sessions] == [True]
    assert "(0 bytes to the server, 7 to the client)" in harness.lines[0]
    assert (harness.counts.snapshot(0.0).to_backend, harness.counts.snapshot(0.0).to_client) == (0, 7)
