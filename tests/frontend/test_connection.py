"""A client's connection: what is answered, what is refused, how each ends, and that nothing of it is left."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from frontend.harness import (
    HANDSHAKE_TIMEOUT,
    Scene,
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
from twisted.internet.address import UNIXAddress

from zeroscale.access_lists import Names
from zeroscale.frontend.admission import Admission, Limits, Rules
from zeroscale.frontend.connection import GUARD_QUIET, LINGER
from zeroscale.frontend.decision import JoinPolicy
from zeroscale.protocols import sniffing
from zeroscale.protocols.proxy_protocol import SIGNATURE, Endpoint, Version, encode, local_header
from zeroscale.protocols.tcp import HttpConversation, TcpConversation
from zeroscale.relay import Outcome
from zeroscale.status import ClientInfo, Status

CLIENT_HELLO = bytes.fromhex("1603010035010000310303" + "11" * 32 + "000004130113020100000400170000")
PONG = packet(1, bytes.fromhex("1122334455667788"))
ASLEEP = [Status.stopped, Status.starting, Status.stopping, Status.paused, Status.failed]

MakeScene = Callable[..., Scene]


@pytest.mark.parametrize("state", ASLEEP)
def test_the_server_list_is_answered_and_nothing_woken(scene: Scene, state: Status) -> None:
    scene.server.status = state
    client = scene.connect()
    client.send(status())
    scene.settle()
    ((packet_id, body),) = packets(client.received)
    assert packet_id == 0
    assert f"MOTD {state.value}".encode() in body
    assert b'"protocol":769' in body
    assert client.open
    client.send(ping())
    scene.settle()
    assert client.received.endswith(PONG)
    assert not client.reset
    scene.assert_over(client, "status")
    assert scene.server.woken == []
    assert scene.attempts == []


def test_a_client_that_does_not_read_its_pong_is_not_waited_for_for_ever(scene: Scene) -> None:
    client = scene.connect()
    client.blocked = True
    client.send(status() + ping())
    scene.advance(LINGER + 0.1)
    assert client.reset
    scene.assert_over(client, "status")


def test_a_client_without_a_ping_is_let_go_in_time(scene: Scene) -> None:
    client = scene.connect()
    client.send(status())
    scene.advance(HANDSHAKE_TIMEOUT - 0.1)
    assert client.open
    scene.advance(0.2)
    assert client.finished and not client.closed
    scene.advance(LINGER)
    assert client.reset
    scene.assert_over(client, "status")


def test_a_client_that_leaves_after_its_status_was_answered(scene: Scene) -> None:
    client = scene.connect()
    client.send(status())
    client.finish()
    scene.settle()
    assert b"MOTD stopped" in client.received
    scene.assert_over(client, "status")


def test_a_ping_without_a_status(scene: Scene) -> None:
    client = scene.connect()
    client.send(handshake(1) + ping())
    scene.settle()
    assert client.received == PONG
    client.finish()
    scene.assert_over(client, "ping")


def test_status_and_ping_in_one_piece(scene: Scene) -> None:
    client = scene.connect()
    client.send(status() + ping())
    scene.settle()
    assert [packet_id for packet_id, _ in packets(client.received)] == [0, 1]
    client.finish()
    scene.assert_over(client, "status")


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(status() + packet(0), id="a second status"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="HTTP"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
        pytest.param(b"\xff" * 40, id="noise"),
        pytest.param(handshake(7), id="an intent that there is not"),
        pytest.param(login("no good"), id="a name with a space"),
    ],
)
@pytest.mark.parametrize("size", [None, 1])
def test_garbage_is_one_line_and_wakes_nothing(scene: Scene, said: bytes, size: int | None) -> None:
    client = scene.connect()
    for begin in range(0, len(said), size or len(said)):
        client.send(said[begin : begin + (size or len(said))])
    scene.settle()
    assert client.reset
    assert scene.server.woken == []
    scene.assert_over(client, "refused")


@pytest.mark.parametrize("said", [b"", handshake(1)[:9], handshake(2), login()[:-1]])
def test_half_a_handshake_is_given_its_time(scene: Scene, said: bytes) -> None:
    client = scene.connect()
    client.send(said)
    scene.advance(HANDSHAKE_TIMEOUT - 0.1)
    assert not client.closed
    scene.advance(0.2)
    assert client.reset
    assert scene.server.woken == []
    scene.assert_over(client, "too-slow")


def test_a_slow_trickle_is_given_no_more(scene: Scene) -> None:
    client = scene.connect()
    for byte in login()[:10]:
        client.send(bytes([byte]))
        scene.advance(0.6)
    scene.assert_over(client, "too-slow")


@pytest.mark.parametrize("how", ["finish", "vanish"])
@pytest.mark.parametrize("said", [b"", handshake(1), login()[:-1]])
def test_a_client_that_leaves_early(scene: Scene, how: str, said: bytes) -> None:
    client = scene.connect()
    client.send(said)
    getattr(client, how)()
    scene.assert_over(client, "left")


def test_a_client_that_leaves_and_does_not_read_is_not_waited_for_for_ever(scene: Scene) -> None:
    client = scene.connect()
    client.blocked = True
    client.send(status())
    client.finish()
    scene.advance(LINGER - 0.1)
    assert not client.closed
    scene.advance(0.2)
    assert client.reset
    scene.assert_over(client, "status")


def test_a_kick_is_not_lost_to_what_the_client_still_sends(make_scene: MakeScene) -> None:
    scene = make_scene()
    scene.server.status = Status.failed
    client = scene.connect()
    client.blocked = True
    client.send(login())
    scene.settle()
    client.send(b"x" * 100000)
    assert client.reading, "bytes that nobody reads would reset the connection"
    client.unblock()
    scene.settle()
    assert packets(client.received) == [(0, b'\x1c{"text":"kick failed Steve"}')]
    assert client.finished
    client.finish()
    scene.assert_over(client, "kicked")


def test_a_client_that_never_closes_is_not_waited_for_for_ever(scene: Scene) -> None:
    scene.server.status = Status.failed
    client = scene.player()
    assert client.finished
    scene.advance(LINGER + 0.1)
    scene.assert_over(client, "kicked")


# Legacy


def test_a_lone_fe_is_a_ping_after_a_short_while(scene: Scene) -> None:
    client = scene.connect()
    client.send(b"\xfe")
    scene.settle()
    assert client.received == b""
    scene.advance(0.5)
    assert legacy_text(client.received) == "MOTD stopped\u00a70\u00a720"
    assert client.finished
    client.finish()
    scene.assert_over(client, "status")


def test_more_after_a_lone_fe_restarts_the_while(scene: Scene) -> None:
    client = scene.connect()
    client.send(b"\xfe")
    scene.advance(0.2)
    client.send(b"\x01")
    scene.advance(0.2)
    assert client.received == b""
    scene.advance(0.2)
    assert "\x00MOTD stopped\x00" in legacy_text(client.received)
    client.finish()
    scene.assert_over(client, "status")
    assert scene.server.woken == []


def test_a_legacy_login_wakes_and_is_kicked(scene: Scene) -> None:
    client = scene.connect()
    client.send(legacy_login())
    scene.settle()
    assert scene.server.woken == ["Notch (203.0.113.7:40000)"]
    assert legacy_text(client.received) == "kick stopped Notch"
    client.finish()
    scene.assert_over(client, "kicked")


# While the server runs


@pytest.fixture
def awake(scene: Scene) -> Scene:
    scene.server.status = Status.running
    return scene


@pytest.mark.parametrize("said", [status(), status() + ping(), b"\xfe\x01\xfa"])
def test_the_running_server_answers_for_itself_and_counts_nobody(awake: Scene, said: bytes) -> None:
    client = awake.connect()
    client.send(said)
    awake.advance(0.5)
    assert client.received == b""
    backend = awake.accept()
    (handover,) = awake.relays.handovers
    assert (handover.client, handover.backend, handover.early) == (client, backend, said)
    assert awake.server.visits == [] and awake.server.woken == []
    handover.end()
    awake.assert_over(client, "status")


def test_a_status_that_the_server_answers_slowly_is_left_to_it(awake: Scene) -> None:
    client = awake.connect()
    client.send(status())
    awake.advance(HANDSHAKE_TIMEOUT - 1)
    awake.accept()
    awake.advance(10 * HANDSHAKE_TIMEOUT)
    awake.relays.handovers[0].end()
    awake.assert_over(client, "status")


def test_a_ping_that_comes_while_the_server_is_connected_to_is_its(awake: Scene) -> None:
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
def test_a_running_server_that_does_not_take_it_is_answered_for(awake: Scene, pings: bool) -> None:
    client = awake.connect()
    client.send(status() + (ping() if pings else b""))
    awake.refuse()
    assert b"MOTD running" in client.received
    assert client.received.endswith(PONG) == pings == client.closed
    assert awake.server.complaints == ["127.0.0.1:25575: Connection was refused by other side: 111: Connection refused"]
    client.finish()
    awake.assert_over(client, "status")


def test_a_status_for_which_there_is_no_room_is_answered_by_us(awake: Scene) -> None:
    awake.relays.at_once = False
    client = awake.connect()
    client.send(status())
    backend = awake.accept()
    awake.relays.handovers[0].refuse()
    awake.settle()
    assert backend.closed
    assert awake.server.complaints == [], "the server is not to blame"
    assert b"MOTD running" in client.received
    client.send(ping())
    awake.settle()
    assert client.received.endswith(PONG)
    client.finish()
    awake.assert_over(client, "status")


@pytest.mark.parametrize("how", ["finish", "vanish"])
def test_a_client_that_leaves_while_its_status_is_passed_on(awake: Scene, how: str) -> None:
    client = awake.connect()
    client.send(status())
    (attempt,) = awake.attempts
    getattr(client, how)()
    assert attempt.cancelled
    awake.assert_over(client, "left")


def test_a_second_status_while_the_first_is_passed_on(awake: Scene) -> None:
    client = awake.connect()
    client.send(status())
    client.send(packet(0))
    assert awake.attempts[0].cancelled
    awake.assert_over(client, "refused")


# Any protocol


def test_a_generic_client_is_answered_with_what_the_plugin_has_for_it(generic: Scene) -> None:
    generic.server.fake = b"asleep, come again\n"
    client = generic.connect()
    generic.settle()
    assert client.received == b"asleep, come again\n"
    assert generic.server.woken == ["203.0.113.7:40000"]
    client.send(b"hello?")
    assert client.finished
    client.finish()
    generic.assert_over(client, "answered")


def test_a_generic_client_is_answered_and_does_not_wake_what_may_not_be_started(generic: Scene) -> None:
    generic.server.fake = b"out of order\n"
    generic.server.status = Status.failed
    client = generic.connect()
    generic.settle()
    assert client.received == b"out of order\n"
    assert generic.server.woken == []
    client.finish()
    generic.assert_over(client, "answered")


def test_a_generic_client_is_relayed_at_once_while_the_server_runs(generic: Scene) -> None:
    generic.server.fake = b"asleep"
    generic.server.status = Status.running
    client = generic.connect()
    generic.accept()
    assert client.received == b""
    generic.relays.handovers[0].end()
    generic.assert_over(client, "closed")


def test_early_bytes_are_bounded_and_never_lost(generic: Scene) -> None:
    client = generic.connect()
    sent = bytes(range(256)) * 1024
    for begin in range(0, len(sent), 4096):
        client.send(sent[begin : begin + 4096])
    assert not client.reading
    assert len(client.protocol.conversation.replay_bytes) == 65536
    generic.advance(100)
    assert not client.closed
    generic.become(Status.running)
    generic.accept()
    (handover,) = generic.relays.handovers
    assert handover.early == sent[:65536]
    handover.end()
    generic.assert_over(client, "closed")


def test_a_generic_clients_end_of_sending_is_kept_for_the_server(generic: Scene) -> None:
    client = generic.connect()
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    client.finish()
    generic.advance(60)
    assert not client.closed
    generic.become(Status.running)
    generic.accept()
    (handover,) = generic.relays.handovers
    assert handover.early == b"GET / HTTP/1.0\r\n\r\n"
    assert handover.client_finished
    handover.end()
    generic.assert_over(client, "closed")


def test_a_generic_client_that_had_finished_is_closed_at_last_when_it_is_refused(generic: Scene) -> None:
    client = generic.connect()
    client.send(b"hello")
    client.finish()
    generic.become(Status.failed)
    generic.assert_over(client, "kicked")


def test_a_full_generic_client_is_read_again_so_that_it_is_closed_in_peace(generic: Scene) -> None:
    client = generic.connect()
    client.send(b"x" * 65536)
    client.send(b"y")
    client.finish()
    assert not client.reading
    generic.become(Status.failed)
    generic.assert_over(client, "kicked")
    assert not client.reset


# Any protocol whose clients have to show what they are


def showing(make_scene: MakeScene, **options: Any) -> Scene:
    """A server that TLS clients wake, within 3 s."""
    return make_scene(make_conversation=lambda: TcpConversation(sniffer=sniffing.tls), timeout=3.0, **options)


def test_a_client_that_shows_itself_wakes_and_all_it_said_is_kept(make_scene: MakeScene) -> None:
    scene = showing(make_scene)
    client = scene.connect()
    for byte in CLIENT_HELLO:
        assert scene.server.woken == []
        client.send(bytes([byte]))
    client.send(b"more")
    scene.advance(60)
    assert scene.server.woken == ["203.0.113.7:40000"]
    scene.become(Status.running)
    scene.accept()
    (handover,) = scene.relays.handovers
    assert handover.early == CLIENT_HELLO + b"more"
    handover.end()
    scene.assert_over(client, "closed")
    assert not scene.server.visits[0].silent


@pytest.mark.parametrize("state", ASLEEP)
def test_a_client_that_does_not_show_itself_in_time_wakes_nothing(make_scene: MakeScene, state: Status) -> None:
    scene = showing(make_scene)
    scene.server.status = state
    client = scene.connect()
    client.send(CLIENT_HELLO[:40])
    scene.advance(2.9)
    assert not client.closed
    scene.advance(0.2)
    assert scene.server.woken == []
    scene.assert_over(client, "too-slow")
    assert "nothing that wakes the server" in scene.lines[0]


@pytest.mark.parametrize("said", [b"GET / HTTP/1.0\r\n\r\n", b"\0" * 10, b"SSH-2.0-x\r\n"])
def test_garbage_wakes_nothing(make_scene: MakeScene, said: bytes) -> None:
    scene = showing(make_scene)
    client = scene.connect()
    client.send(said)
    assert scene.server.woken == []
    scene.assert_over(client, "refused")


@pytest.mark.parametrize("how", ["finish", "vanish"])
def test_a_port_scan_wakes_nothing(make_scene: MakeScene, how: str) -> None:
    scene = showing(make_scene)
    client = scene.connect()
    getattr(client, how)()
    assert scene.server.woken == []
    scene.assert_over(client, "left")


def test_whoever_comes_while_it_runs_is_relayed_before_having_said_a_word(make_scene: MakeScene) -> None:
    scene = showing(make_scene)
    scene.server.status = Status.running
    client = scene.connect()
    client.send(b"no TLS at all")
    scene.accept()
    (handover,) = scene.relays.handovers
    assert handover.early == b"no TLS at all"
    handover.end()
    scene.assert_over(client, "closed")
    assert not scene.server.visits[0].silent


def test_whoever_says_nothing_while_it_runs_is_told_from_a_client(make_scene: MakeScene) -> None:
    scene = showing(make_scene)
    scene.server.status = Status.running
    client = scene.connect()
    scene.accept()
    scene.relays.handovers[0].end()  # of early bytes there are none, and none came
    scene.assert_over(client, "closed")
    assert scene.server.visits[0].silent


def test_whoever_leaves_before_it_is_relayed_is_told_from_a_client(make_scene: MakeScene) -> None:
    scene = showing(make_scene)
    scene.server.status = Status.running
    client = scene.connect()
    client.vanish()
    scene.assert_over(client, "left")
    assert [visit.silent for visit in scene.server.visits] == [True]


def test_whoever_waits_for_the_server_to_speak_has_it_once_it_runs(make_scene: MakeScene) -> None:
    scene = showing(make_scene)
    client = scene.connect()
    scene.advance(2.0)
    scene.become(Status.running)  # for somebody else
    scene.advance(1.5)
    scene.accept()
    scene.relays.handovers[0].end()
    scene.assert_over(client, "closed")


@pytest.mark.parametrize("said", [b"", CLIENT_HELLO])
def test_a_running_server_that_is_gone_is_woken_only_for_who_has_shown_itself(
    make_scene: MakeScene, said: bytes
) -> None:
    scene = showing(make_scene)
    scene.server.status = Status.running
    client = scene.connect()
    client.send(said)
    scene.refuse()
    scene.server.status = Status.stopped
    scene.advance(1.0)
    assert bool(scene.server.woken) is bool(said)
    client.finish()
    client.vanish()
    scene.settle()
    scene.assert_nothing_left()


@pytest.mark.parametrize("state", Status)
def test_a_health_check_is_accepted_closed_and_nothing_else(make_scene: MakeScene, state: Status) -> None:
    scene = make_scene(generic=True, health_check=(ipaddress.ip_network("203.0.113.0/24"),))
    scene.server.status = state
    client = scene.connect()
    client.send(CLIENT_HELLO)
    assert scene.server.woken == [] and scene.attempts == [] and scene.server.visits == []
    assert client.received == b"" and not client.reset
    scene.assert_over(client, "health-check")


def test_whoever_is_no_health_check_wakes(make_scene: MakeScene) -> None:
    scene = make_scene(generic=True, health_check=(ipaddress.ip_network("198.51.100.0/24"),))
    scene.connect()
    assert len(scene.server.woken) == 1


# What a waiting client gets


def test_a_client_is_held_though_the_plugin_has_something_for_it(make_scene: MakeScene) -> None:
    scene = make_scene(generic=True, policy=JoinPolicy(holds=True, hold_limit=300.0, waiting="hold"))
    scene.server.fake = b"asleep, come again\n"
    client = scene.connect()
    scene.advance(10)
    assert client.received == b"" and client.open
    assert len(scene.server.woken) == 1


def test_a_client_is_closed_though_the_plugin_has_nothing_for_it(make_scene: MakeScene) -> None:
    scene = make_scene(generic=True, policy=JoinPolicy(holds=True, hold_limit=300.0, waiting="answer"))
    client = scene.connect()
    scene.settle()
    assert len(scene.server.woken) == 1
    client.finish()
    scene.assert_over(client, "answered")


def web(make_scene: MakeScene) -> Scene:
    """An HTTP server whose visitors see a page."""
    return make_scene(
        make_conversation=lambda: HttpConversation(page=True, again=lambda: 20.0),
        policy=JoinPolicy(holds=True, hold_limit=300.0, waiting="page"),
    )


def test_a_browser_sees_a_page_and_wakes(make_scene: MakeScene) -> None:
    scene = web(make_scene)
    scene.server.fake = b"not this"
    client = scene.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n")
    scene.settle()
    assert client.received.startswith(b"HTTP/1.1 503 ")
    assert b'http-equiv="refresh"' in client.received
    assert b"kick stopped" in client.received
    assert len(scene.server.woken) == 1
    client.finish()
    scene.assert_over(client, "kicked")


def test_a_form_is_held_and_reaches_the_server(make_scene: MakeScene) -> None:
    scene = web(make_scene)
    client = scene.connect()
    form = b"POST / HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\nContent-Length: 3\r\n\r\na=b"
    client.send(form)
    scene.advance(10)
    assert client.received == b""
    scene.become(Status.running)
    scene.accept()
    (handover,) = scene.relays.handovers
    assert handover.early == form
    handover.end()
    scene.assert_over(client, "closed")


# Who


def test_a_host_that_nobody_knows(make_scene: MakeScene) -> None:
    hosts = []
    scene = make_scene(route=lambda host, backend: hosts.append(host))
    client = scene.connect()
    client.send(status(host="Elsewhere.Example.Org."))
    assert hosts == ["elsewhere.example.org"]
    scene.assert_over(client, "unknown-host")
    assert scene.context.unrouted == {"unknown-host": 1}
    assert "'elsewhere.example.org'" in scene.lines[0]


def test_a_host_that_nobody_knows_may_be_told_so(make_scene: MakeScene) -> None:
    scene = make_scene(route=lambda host, backend: None)
    scene.context.answer_unknown_host = True
    asks, joins = scene.connect(), scene.connect()
    asks.send(status() + ping())
    joins.send(login())
    scene.settle()
    assert b"zeroscale" not in asks.received
    assert asks.received.endswith(PONG)
    assert b"There is no server of this name here" in joins.received
    asks.finish()
    joins.finish()
    scene.settle()
    assert scene.outcomes == {"status": 1, "unknown-host": 1}
    assert scene.server.woken == []


def test_the_host_is_asked_for_once(make_scene: MakeScene) -> None:
    hosts = []

    def route(host: str, backend: Any) -> Any:
        hosts.append(host)
        return backend

    scene = make_scene(route=route)
    client = scene.connect()
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
def test_addresses_as_bans_know_them(scene: Scene, address: str, host: str, peer: str) -> None:
    client = scene.connect(address)
    assert client.protocol.host == host
    client.vanish()
    assert scene.lines[0].startswith(f"{peer}: left after ")


def test_a_unix_socket_has_no_address(scene: Scene) -> None:
    client = scene.listener.buildProtocol(UNIXAddress(None))
    assert (client.host, client.peer) == ("local", "local")


def test_the_oldest_of_an_address_makes_room(make_scene: MakeScene) -> None:
    scene = make_scene(per_address=2)
    first, second, other = scene.connect(), scene.connect(), scene.connect("203.0.113.8")
    third = scene.connect()
    scene.settle()
    assert [client.closed for client in (first, second, other, third)] == [True, False, False, False]
    scene.assert_log("203.0.113.7:40000: crowded-out")
    third.send(login())
    scene.settle()
    assert scene.server.woken == ["Steve (203.0.113.7:40003)"]
    scene.connect()
    scene.settle()
    assert not second.closed, "who has logged in takes no room"


def test_the_oldest_of_all_makes_room(make_scene: MakeScene) -> None:
    scene = make_scene(total=2, trusted=(ipaddress.ip_network("203.0.113.0/24"),))
    clients = [scene.connect() for _ in range(3)]
    scene.settle()
    assert [client.closed for client in clients] == [True, False, False]


@pytest.mark.parametrize("at_once", [True, False])
def test_a_status_that_is_passed_on_still_takes_room(make_scene: MakeScene, at_once: bool) -> None:
    scene = make_scene(per_address=1)
    scene.server.status = Status.running
    scene.relays.at_once = at_once
    client = scene.connect()
    client.send(status())
    scene.accept()
    (handover,) = scene.relays.handovers
    late = scene.connect()
    scene.settle()
    if at_once:
        assert handover.aborted and not client.closed, "the relay has it, and closes it"
        handover.end(Outcome.aborted)
    scene.settle()
    assert client.closed and not late.closed
    late.vanish()
    assert scene.outcomes == {"crowded-out": 1, "left": 1}
    scene.assert_nothing_left()


# The log


def test_the_story_of_a_connection_at_debug(scene: Scene) -> None:
    lines: list[str] = []
    with logged(lines, logging.DEBUG):
        scene.connect().send(status() + ping())
    assert lines == [
        "New connection from 203.0.113.7:40000, server is stopped",
        "Answered the status of 203.0.113.7:40000 in the server's place",
        "203.0.113.7:40000: status after 0.0 s",
    ]


def test_the_line_at_the_end_has_fields(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "zeroscale.access")
    scene.server.status = Status.running
    scene.player("Steve")
    scene.accept()
    scene.advance(2.0)
    scene.relays.handovers[0].end()
    scene.settle()
    [record] = caplog.records
    said = {name: vars(record)[name] for name in ("server", "peer", "player", "outcome", "seconds", "host", "protocol")}
    assert said == {
        "server": "survival",
        "peer": "203.0.113.7:40000",
        "player": "Steve",
        "outcome": "closed",
        "seconds": 2.0,
        "host": "play.example.org",
        "protocol": 769,
    }
    assert (vars(record)["to_server"], vars(record)["to_client"]) == (len(login()), 7)


def test_of_a_stranger_the_fields_say_little(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "zeroscale.access")
    scene.connect().send(b"\xff\xff\xff\xff")
    [record] = caplog.records
    assert (vars(record)["peer"], vars(record)["outcome"], vars(record)["player"]) == (
        "203.0.113.7:40000",
        "refused",
        None,
    )
    assert not {"server", "host", "protocol", "to_server"} & set(vars(record))


def test_a_flood_of_one_address_is_no_flood_of_lines(scene: Scene) -> None:
    lines: list[str] = []
    with logged(lines, logging.DEBUG):
        for _ in range(100):
            scene.connect().send(status() + ping())
        for _ in range(20):
            scene.connect().send(b"\xff\xff\xff\xff")
        assert len(lines) == 3 * 10
        scene.connect("203.0.113.8").vanish()
        assert len(lines) == 31
        scene.advance(1)
        assert lines[31:] == ["203.0.113.7: 110 more connections within a second: 90 status, 20 refused"]
    assert scene.outcomes == {"status": 100, "refused": 20, "left": 1}


def test_a_fault_of_ours_is_told_and_closes_the_connection(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene.server, "admit", lambda _: 1 / 0)
    client = scene.player()
    assert client.reset
    assert scene.outcomes == {"fault": 1}
    assert "A fault in zeroscale itself: Traceback" in scene.lines[0]
    assert "ZeroDivisionError" in scene.lines[0]
    scene.assert_nothing_left()


TRUSTED_PROXY = "10.0.0.1"


def behind_a_proxy(scene: Scene) -> Scene:
    scene.listener.accept_from = [ipaddress.ip_network("10.0.0.0/8")]
    return scene


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_player_behind_a_proxy_is_known_by_his_own_address(make_scene: MakeScene, version: Version) -> None:
    scene = behind_a_proxy(make_scene())
    client = scene.connect(TRUSTED_PROXY)
    said = encode(version, Endpoint("203.0.113.9", 5000), Endpoint("192.0.2.1", 25565)) + login()
    for at in range(len(said)):
        client.send(said[at : at + 1])
    scene.settle()
    assert scene.server.woken == ["Steve (203.0.113.9:5000)"]
    scene.become(Status.running)
    scene.accept()
    (handover,) = scene.relays.handovers
    assert handover.early == login()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_real_server_is_told_who_it_is_before_anything_else(make_scene: MakeScene, version: Version) -> None:
    scene = make_scene()
    scene.backend = replace(scene.backend, proxy_version=version)
    scene.server.status = Status.running
    scene.player()
    scene.accept()
    (handover,) = scene.relays.handovers
    source, destination = Endpoint("203.0.113.7", 40000), Endpoint("198.51.100.1", 25565)
    assert handover.early == encode(version, source, destination) + login()


@pytest.mark.parametrize("said", [login(), b"PROXY TCP4 203.0.113.9\r\n", SIGNATURE + bytes(4)])
def test_a_trusted_proxy_without_a_whole_header_is_cut_off(make_scene: MakeScene, said: bytes) -> None:
    scene = behind_a_proxy(make_scene())
    client = scene.connect(TRUSTED_PROXY)
    client.send(said)
    scene.assert_over(client, "refused")
    assert "PROXY" in scene.lines[0]
    assert scene.server.woken == []


def test_a_trusted_proxy_that_says_nothing_is_not_waited_for_for_ever(make_scene: MakeScene) -> None:
    scene = behind_a_proxy(make_scene(generic=True))
    client = scene.connect(TRUSTED_PROXY)
    scene.advance(HANDSHAKE_TIMEOUT)
    scene.assert_over(client, "too-slow")
    assert scene.server.woken == []


@pytest.mark.parametrize("generic", [True, False])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_header_from_anybody_else_is_refused(make_scene: MakeScene, generic: bool, version: Version) -> None:
    scene = behind_a_proxy(make_scene(generic=generic))
    scene.listener.reject_header = generic
    client = scene.connect("203.0.113.66")
    client.send(encode(version, Endpoint("203.0.113.9", 5000), Endpoint("192.0.2.1", 25565)) + login())
    scene.assert_over(client, "refused")
    assert "203.0.113.66" in scene.lines[0]
    assert scene.server.woken == []


def test_anybody_else_is_let_in_without_one(make_scene: MakeScene) -> None:
    scene = behind_a_proxy(make_scene(generic=True))
    scene.listener.reject_header = True
    speaks, waits, hesitates, creeps = (scene.connect() for _ in range(4))
    speaks.send(b"GET / HTTP/1.1\r\n")
    hesitates.send(b"PRO")
    creeps.send(b"PROX")
    scene.settle()
    assert len(scene.server.woken) == 1
    scene.advance(GUARD_QUIET)
    assert len(scene.server.woken) == 2
    assert not (waits.closed or hesitates.closed)
    hesitates.send(b"POSE")
    scene.settle()
    assert len(scene.server.woken) == 3
    scene.advance(HANDSHAKE_TIMEOUT)
    assert creeps.closed
    assert "too-slow" in scene.lines[-1]
    assert len(scene.server.woken) == 3
    scene.become(Status.running)
    for attempt in scene.attempts:
        attempt.accept()
    scene.settle()
    assert sorted(handover.early for handover in scene.relays.handovers) == [b"", b"GET / HTTP/1.1\r\n", b"PROPOSE"]


def test_a_proxys_look_whether_we_are_here_wakes_nothing(make_scene: MakeScene) -> None:
    scene = behind_a_proxy(make_scene(generic=True))
    scene.listener.reject_header = True
    client = scene.connect(TRUSTED_PROXY)
    client.send(local_header())
    scene.assert_over(client, "health-check")
    assert scene.server.woken == []


def test_all_behind_one_proxy_have_no_common_bound(make_scene: MakeScene) -> None:
    scene = behind_a_proxy(make_scene(per_address=1))
    silent = [scene.connect(TRUSTED_PROXY) for _ in range(3)]
    assert not any(client.closed for client in silent)
    for client in silent:
        client.send(encode("v2", Endpoint("203.0.113.9", 5000), Endpoint("192.0.2.1", 25565)))
    scene.settle()
    assert [client.closed for client in silent] == [True, True, False]


def test_a_check_whose_header_names_its_own_connection_wakes_nothing(make_scene: MakeScene) -> None:
    scene = behind_a_proxy(make_scene(generic=True))
    scene.listener.reject_header = True
    client = scene.connect(TRUSTED_PROXY)
    ours = client.getHost()
    client.send(encode("v1", Endpoint(TRUSTED_PROXY, 40000), Endpoint(ours.host, ours.port)))
    scene.assert_over(client, "health-check")
    assert scene.server.woken == []


def test_a_proxy_that_only_looks_at_a_minecraft_server_is_told_as_that(make_scene: MakeScene) -> None:
    scene = behind_a_proxy(make_scene())
    client = scene.connect(TRUSTED_PROXY)
    client.send(local_header())
    client.vanish()
    scene.assert_over(client, "health-check")


def test_a_proxys_own_status_question_is_answered(make_scene: MakeScene) -> None:
    scene = behind_a_proxy(make_scene())
    client = scene.connect(TRUSTED_PROXY)
    client.send(local_header() + status())
    client.finish()
    scene.settle()
    assert b"MOTD stopped" in client.received
    assert scene.outcomes == {"status": 1}


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_header_that_nobody_may_send_is_named_where_minecraft_is_spoken(scene: Scene, version: Version) -> None:
    client = scene.connect()
    client.send(encode(version, Endpoint("203.0.113.9", 5000), Endpoint("192.0.2.1", 25565)) + login())
    scene.assert_over(client, "refused")
    assert "proxy_protocol.accept_from" in scene.lines[0]


def test_it_is_the_client_behind_a_proxy_that_is_judged(make_scene: MakeScene) -> None:
    denied = Admission(Rules(deny=Names(["203.0.113.9", TRUSTED_PROXY])), Limits(statuses=1.0))
    scene = behind_a_proxy(make_scene(admission=denied))

    def behind(host: str, said: bytes) -> None:
        client = scene.connect(TRUSTED_PROXY)
        client.send(encode("v2", Endpoint(host, 5000), Endpoint("192.0.2.1", 25565)) + said)
        scene.settle()

    behind("203.0.113.9", login())
    assert (scene.server.woken, dict(scene.counts.snapshot(0.0).refusals)) == ([], {"denied": 1})
    for host in ("203.0.113.1", "203.0.113.2", "203.0.113.1"):
        behind(host, status())
    assert scene.outcomes.get("limited") == 1
    behind("203.0.113.1", login())
    assert scene.server.woken == ["Steve (203.0.113.1:5000)"]
    assert scene.server.visitors == [ClientInfo("Steve", "203.0.113.1:5000")]


def test_a_header_of_ours_is_no_word_of_the_clients(make_scene: MakeScene) -> None:
    scene = showing(make_scene)
    scene.backend = replace(scene.backend, proxy_version="v2")
    scene.server.status = Status.running
    scene.connect()
    scene.accept()
    (handover,) = scene.relays.handovers
    assert handover.early == encode("v2", Endpoint("203.0.113.7", 40000), Endpoint("198.51.100.1", 25565))
    assert scene.counts.snapshot(0.0).to_backend == 0
    handover.end()
    scene.settle()
    assert [visit.silent for visit in scene.server.visits] == [True]
    assert "(0 bytes to the server, 7 to the client)" in scene.lines[0]
    assert (scene.counts.snapshot(0.0).to_backend, scene.counts.snapshot(0.0).to_client) == (0, 7)
