"""Joining: held, relayed, or kicked with a reason; and whatever happens, nothing is left behind."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from frontend.harness import (
    Attempt,
    FrontendHarness,
    Handover,
    Transport,
    answer,
    kicks,
    legacy_login,
    legacy_text,
    logged,
    login,
    packet,
    packets,
    ping,
    requests,
    status,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import error

from zeroscale.access_lists import ListedPlayer, PlayerList, ServerLists
from zeroscale.frontend import login_hold as hold
from zeroscale.frontend.admission import Admission
from zeroscale.frontend.closing import LINGER
from zeroscale.frontend.decision import JoinPolicy
from zeroscale.frontend.join import CONNECT_ATTEMPTS, RECONNECT_AFTER
from zeroscale.frontend.login_hold import DRAIN_TIMEOUT, KEEPALIVE_EVERY, MOST_UNANSWERED
from zeroscale.relay import Outcome
from zeroscale.status import Status

MakeHarness = Callable[..., FrontendHarness]

ANSWERING = JoinPolicy(holds=True, hold_limit=300.0, wake_on_answer=True)
KICKING = JoinPolicy(holds=False, hold_limit=300.0)


def test_a_login_wakes_is_held_and_joined(harness: FrontendHarness) -> None:
    client = harness.player()
    assert harness.server.wakes == ["login: Steve (203.0.113.7:40000)"]
    assert len(harness.server.waiters) == 1
    assert client.received == b""
    assert len(harness.context.pending_connections) == 0
    harness.advance(3)
    assert harness.attempts == []
    harness.set_status(Status.running)
    assert (harness.attempts[0].host, harness.attempts[0].port) == ("127.0.0.1", 25575)
    backend = harness.accept()
    (handover,) = harness.relays.handovers
    assert (handover.client, handover.backend, handover.early) == (client, backend, login())
    assert not handover.client_finished
    assert harness.timers == 0
    harness.advance(3600)
    assert harness.server.players == 1
    handover.end()
    harness.assert_over(client, "closed")
    harness.assert_log("survival: Steve (203.0.113.7:40000): closed after 3603.0 s (")


@pytest.mark.parametrize("policy", [None, KICKING])
@pytest.mark.parametrize("status", [Status.stopped, Status.running])
def test_the_protocol_number_of_a_client_that_may_join_is_noted_before_the_wake(
    make_harness: MakeHarness, policy: JoinPolicy | None, status: Status
) -> None:
    harness = make_harness(policy=policy) if policy else make_harness()
    harness.set_status(status)
    noted: list[tuple[int, list[str]]] = []
    harness.backend.note_protocol = lambda protocol: noted.append((protocol, list(harness.server.wakes)))
    client = harness.player(protocol=758)
    assert noted == [(758, [])]
    client.vanish()


def test_the_protocol_number_of_a_client_that_a_rule_refuses_is_not_noted(make_harness: MakeHarness) -> None:
    listed = ServerLists(enforces_whitelist=True, whitelist=PlayerList([ListedPlayer("Ada", None)]))
    harness = make_harness(admission=Admission(lists=lambda: listed))
    noted: list[int] = []
    harness.backend.note_protocol = noted.append
    client = harness.player(protocol=758)
    assert noted == []
    client.vanish()


def test_a_transfer_is_a_login(harness: FrontendHarness) -> None:
    client = harness.connect()
    client.send(login(intent=3))
    assert harness.server.wakes == ["login: Steve (203.0.113.7:40000)"]
    client.vanish()


def test_a_login_byte_by_byte(harness: FrontendHarness) -> None:
    client = harness.connect()
    for byte in login():
        client.send(bytes([byte]))
    harness.set_status(Status.running)
    harness.accept()
    assert harness.relays.handovers[0].early == login()
    harness.relays.handovers[0].end()
    harness.assert_over(client, "closed")


@pytest.mark.parametrize("outcome", Outcome)
def test_the_relays_outcome_is_logged(harness: FrontendHarness, outcome: Outcome) -> None:
    harness.server.status = Status.running
    client = harness.player()
    harness.accept()
    harness.relays.handovers[0].end(outcome)
    harness.assert_over(client, outcome.value)


def test_a_running_server_is_joined_at_once(harness: FrontendHarness) -> None:
    harness.server.status = Status.running
    client = harness.player()
    harness.accept()
    assert harness.server.wakes == []
    assert harness.server.players == 1
    assert len(harness.context.pending_connections) == 0
    harness.relays.handovers[0].end()
    harness.assert_over(client, "closed")


# Names

NAMES = [
    "Миряев",
    "J\u00fcrgen",
    "名前",
    "has space",
    "\U0001f600" * 8,
    "\x1b[2J\x00",
    "'\"\\",
    "\u202eevetS\u200f",
    "\u00a7cSteve",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_running_server_judges_every_name_itself(harness: FrontendHarness, name: str) -> None:
    harness.server.status = Status.running
    client = harness.player(name)
    harness.accept()
    (handover,) = harness.relays.handovers
    assert handover.early == login(name)
    assert [admitted.name for admitted in harness.server.admitted] == [name]
    handover.end()
    harness.assert_over(client, "closed")


CONTROL_NAMES = ["\x1b[2J\x00", "Steve\x7f", "\x85"]


@pytest.mark.parametrize("name", CONTROL_NAMES)
def test_a_name_with_control_characters_wakes_nothing(harness: FrontendHarness, name: str) -> None:
    client = harness.player(name)
    assert kicks(client) == [f"refusal name {name}"]
    assert harness.server.wakes == []


@pytest.mark.parametrize("name", [name for name in NAMES if name not in CONTROL_NAMES])
def test_every_name_wakes_is_held_and_joined(harness: FrontendHarness, name: str) -> None:
    client = harness.player(name)
    assert len(harness.server.wakes) == 1
    harness.advance(KEEPALIVE_EVERY)
    client.send(answer(requests(client.received)[0]))
    harness.set_status(Status.running)
    harness.accept()
    (handover,) = harness.relays.handovers
    assert handover.early == login(name)
    handover.end()
    harness.assert_over(client, "closed")


@pytest.mark.parametrize("name", ["Миряев", "has space"])
def test_every_name_follows_the_whitelist(make_harness: MakeHarness, name: str) -> None:
    listed = ServerLists(enforces_whitelist=True, whitelist=PlayerList([ListedPlayer(name.upper(), None)]))
    harness = make_harness(admission=Admission(lists=lambda: listed))
    client, stranger = harness.player(name), harness.player("名前")
    assert len(harness.server.wakes) == 1
    assert client.received == b"" and client.open
    assert kicks(stranger) == ["refusal not_whitelisted 名前"]


def test_a_legacy_name_wakes_and_is_kicked(harness: FrontendHarness) -> None:
    client = harness.connect()
    client.send(legacy_login("名前"))
    harness.settle()
    assert legacy_text(client.received) == "kick stopped 名前"
    assert len(harness.server.wakes) == 1
    client.finish()
    harness.assert_over(client, "kicked")


@pytest.mark.parametrize("legacy", [False, True])
def test_a_login_with_more_behind_it_is_kicked_and_wakes_nothing(make_harness: MakeHarness, legacy: bool) -> None:
    """Random bytes of a scanner may begin as a login does; this holds for clients that are not held as well."""
    harness = make_harness(policy=KICKING)
    client = harness.connect()
    client.send((legacy_login("Ada") if legacy else login("Ada")) + b"d")
    harness.settle()
    text = legacy_text(client.received) if legacy else kicks(client)[0]
    assert text == "refusal unexpected Ada"
    assert harness.server.wakes == []
    client.finish()
    harness.assert_over(client, "refused")


@pytest.mark.parametrize("state", [Status.stopped, Status.running])
@pytest.mark.parametrize("name", ["", "a" * 17, "\U0001f600" * 9, "a" * 200])
@pytest.mark.parametrize("legacy", [False, True])
def test_a_name_that_the_game_does_not_read_is_a_kick(
    harness: FrontendHarness, state: Status, name: str, legacy: bool
) -> None:
    harness.server.status = state
    client = harness.connect()
    client.send(legacy_login(name) if legacy else login(name))
    harness.settle()
    text = legacy_text(client.received) if legacy else kicks(client)[0]
    assert text.rstrip() == f"refusal name {name[:17]}".rstrip()
    assert client.finished and not client.reset
    assert harness.server.wakes == [] and harness.attempts == []
    assert harness.counts.snapshot(0.0).refusals == {"name": 1}
    client.finish()
    harness.assert_over(client, "kicked")
    assert "(name: no player's name has 0 or more than 16 characters)" in harness.lines[0]


# The hold


def test_a_held_client_is_kept_alive_for_as_long_as_it_takes(harness: FrontendHarness) -> None:
    client = harness.player()
    for count in range(1, 41):
        harness.advance(KEEPALIVE_EVERY)
        asked = requests(client.received)
        assert len(asked) == count == len(packets(client.received))
        client.send(answer(asked[-1]))
    harness.set_status(Status.running)
    harness.accept()
    assert harness.relays.handovers[0].early == login(), "the answers are swallowed"
    harness.relays.handovers[0].end()
    harness.assert_over(client, "closed")


@pytest.mark.parametrize("late", [0.0, DRAIN_TIMEOUT - 0.1])
def test_a_stray_answer_is_waited_for(harness: FrontendHarness, late: float) -> None:
    client = harness.player()
    harness.advance(KEEPALIVE_EVERY)
    harness.set_status(Status.running)
    harness.advance(late)
    assert harness.attempts == []
    number = requests(client.received)[0]
    client.send(answer(number)[:2])
    assert harness.attempts == []
    client.send(answer(number)[2:])
    harness.accept()
    assert harness.relays.handovers[0].early == login()
    harness.advance(100)
    assert len(requests(client.received)) == 1
    harness.relays.handovers[0].end()
    harness.assert_over(client, "closed")


def test_a_stray_answer_is_not_waited_for_for_ever(harness: FrontendHarness) -> None:
    client = harness.player()
    harness.advance(KEEPALIVE_EVERY)
    harness.set_status(Status.running)
    number = requests(client.received)[0]
    harness.advance(DRAIN_TIMEOUT + 0.1)
    client.send(answer(number))
    assert kicks(client) == ["refusal silent Steve"]
    assert client.finished and not client.reset, "a reset would take the words with it"
    assert harness.attempts == []
    client.finish()
    harness.assert_over(client, "silent")


def test_a_held_client_that_stops_answering_is_kicked(harness: FrontendHarness) -> None:
    client = harness.player()
    harness.advance(KEEPALIVE_EVERY)
    client.send(answer(requests(client.received)[0]))
    harness.advance(MOST_UNANSWERED * KEEPALIVE_EVERY + 0.1)
    assert not client.closed
    harness.advance(KEEPALIVE_EVERY - 0.1)
    assert kicks(client) == ["refusal silent Steve"]
    assert client.finished and not client.reset
    assert len(requests(client.received)) == 1 + MOST_UNANSWERED
    harness.advance(LINGER)
    harness.assert_over(client, "silent")


@pytest.mark.parametrize(
    "strays",
    [
        pytest.param(lambda number: answer(number) * 2, id="an answer twice"),
        pytest.param(lambda number: answer(number + 1), id="another id"),
        pytest.param(lambda number: answer(number) + packet(0x10, bytes(20)), id="a play packet after it"),
        pytest.param(lambda number: packet(0x10, bytes(20)), id="a play packet"),
        pytest.param(lambda number: packet(0), id="a second login start"),
        pytest.param(lambda number: b"\xff\xff\xff\xff\xff", id="no frame"),
    ],
)
@pytest.mark.parametrize("ready", [True, False])
def test_an_unexpected_answer_is_a_kick(harness: FrontendHarness, strays: Callable[[int], bytes], ready: bool) -> None:
    client = harness.player()
    harness.advance(KEEPALIVE_EVERY)
    if ready:
        harness.set_status(Status.running)
    client.send(strays(requests(client.received)[0]))
    harness.settle()
    assert kicks(client) == ["refusal unexpected Steve"]
    assert not client.reset
    assert harness.relays.handovers == []
    client.finish()
    harness.assert_over(client, "refused")


@pytest.mark.parametrize("sent", [b"\x00", packet(0x10, bytes(20)), b"\x01"])
def test_more_than_a_login_wakes_nothing(harness: FrontendHarness, sent: bytes) -> None:
    client = harness.connect()
    client.send(login() + sent)
    harness.settle()
    assert kicks(client) == ["refusal unexpected Steve"]
    assert harness.server.wakes == []
    client.finish()
    harness.assert_over(client, "refused")


def test_more_than_a_login_is_refused_while_it_is_held(harness: FrontendHarness) -> None:
    client = harness.player()
    client.send(b"\x00")
    harness.settle()
    assert kicks(client) == ["refusal unexpected Steve"]
    assert len(harness.server.wakes) == 1
    client.finish()
    harness.assert_over(client, "refused")


def test_bytes_after_the_login_go_to_a_running_server(harness: FrontendHarness) -> None:
    harness.server.status = Status.running
    client = harness.player()
    client.send(packet(0x10, bytes(20)))
    harness.accept()
    assert harness.relays.handovers[0].early == login() + packet(0x10, bytes(20))
    harness.relays.handovers[0].end()
    harness.assert_over(client, "closed")


@pytest.mark.parametrize("how", ["finish", "vanish"])
def test_a_held_player_that_leaves_is_noticed_at_once(harness: FrontendHarness, how: str) -> None:
    client = harness.player()
    harness.advance(10)
    getattr(client, how)()
    assert harness.server.waiters == []
    harness.assert_over(client, "left")
    assert harness.server.status is Status.starting
    harness.set_status(Status.running)
    assert harness.server.sessions == []


def test_a_held_player_that_leaves_without_reading_is_closed_at_once(harness: FrontendHarness) -> None:
    client = harness.player()
    client.blocked = True
    harness.advance(KEEPALIVE_EVERY)
    client.finish()
    assert harness.server.waiters == []
    harness.set_status(Status.running)
    assert harness.attempts == []
    harness.advance(10)
    harness.assert_over(client, "left")


@pytest.mark.parametrize(("protocol", "patience"), [(5, 17.0), (47, 27.0), (340, 27.0), (393, 300.0), (769, 300.0)])
def test_how_long_a_client_is_held(harness: FrontendHarness, protocol: int, patience: float) -> None:
    client = harness.player(protocol=protocol)
    while harness.reactor.seconds() < patience - 1:
        before = len(client.received)
        harness.advance(1)
        for number in requests(client.received[before:]):
            client.send(answer(number))
    assert client.open
    harness.advance(1)
    assert b"too long starting Steve" in client.received
    client.finish()
    harness.assert_over(client, "held-too-long")
    assert harness.server.status is Status.starting


def test_the_operators_limit(make_harness: MakeHarness) -> None:
    harness = make_harness(policy=JoinPolicy(holds=True, hold_limit=0.0))
    client = harness.player()
    assert harness.server.wakes
    assert b"too long starting Steve" in client.received
    client.finish()
    harness.assert_over(client, "held-too-long")


def test_an_older_client_is_held_in_silence(harness: FrontendHarness) -> None:
    client = harness.player(protocol=340)
    harness.advance(26)
    assert client.received == b""
    harness.set_status(Status.running)
    harness.accept()
    harness.relays.handovers[0].end()
    harness.assert_over(client, "closed")


def test_an_older_client_may_be_sent_empty_frames(make_harness: MakeHarness) -> None:
    harness = make_harness(legacy_hold=True)
    client = harness.player(protocol=340)
    harness.advance(290)
    assert client.received == bytes(int(290 // KEEPALIVE_EVERY))
    client.vanish()
    harness.assert_over(client, "left")


def test_many_are_joined_in_the_order_in_which_they_came(harness: FrontendHarness) -> None:
    names = [f"player{number}" for number in range(20)]
    for name in names:
        harness.player(name)
    assert harness.server.view.waiting == 20
    harness.set_status(Status.running)
    for attempt in list(harness.attempts):
        attempt.accept()
    assert [handover.early for handover in harness.relays.handovers] == [login(name) for name in names]
    assert harness.server.players == 20
    for handover in harness.relays.handovers:
        handover.end()
    harness.settle()
    assert harness.outcomes == {"closed": 20}
    harness.assert_nothing_left()


def test_too_many_of_one_address_wait_already(make_harness: MakeHarness) -> None:
    harness = make_harness(per_address=2)
    waiting = [harness.player(), harness.player()]
    wakes = len(harness.server.wakes)
    late = harness.player()
    assert b"refusal hold_full Steve" in late.received
    assert len(harness.server.wakes) == wakes
    assert harness.outcomes == {"kicked": 1}
    elsewhere = harness.player(host="203.0.113.8")
    assert elsewhere.received == b""
    waiting[0].finish()
    assert harness.player().received == b"", "there is room again"


def test_held_clients_of_a_tunnel_have_only_the_total_bound(make_harness: MakeHarness) -> None:
    harness = make_harness(per_address=1, places=3, known_places=0)
    waiting = [harness.player(host="127.0.0.1") for _ in range(3)]
    assert [client.received for client in waiting] == [b"", b"", b""]
    assert b"refusal hold_full Steve" in harness.player(host="203.0.113.8").received


def test_a_client_of_an_address_with_many_gives_way_to_one_of_another(make_harness: MakeHarness) -> None:
    harness = make_harness(places=3, known_places=0)
    many = [harness.player(host="203.0.113.66") for _ in range(3)]
    friend = harness.player(host="203.0.113.8")
    assert friend.received == b""
    assert [b"refusal hold_full Steve" in client.received for client in many] == [False, False, True]
    assert harness.outcomes == {"kicked": 1}
    other = harness.player(host="203.0.113.9")
    assert [b"refusal hold_full Steve" in client.received for client in many] == [False, True, True]
    assert b"refusal hold_full Steve" in harness.player(host="203.0.113.10").received
    for client in (many[0], friend, other):
        client.finish()
    harness.advance(120)
    harness.assert_nothing_left()


def test_a_name_that_the_server_knows_has_a_place_when_strangers_have_taken_all_others(
    make_harness: MakeHarness,
) -> None:
    lists = ServerLists(known=PlayerList([ListedPlayer("Ada", None)]))
    harness = make_harness(places=2, known_places=1, admission=Admission(lists=lambda: lists))
    assert harness.player(host="203.0.113.66").received == b""
    assert b"refusal hold_full" in harness.player(host="203.0.113.67").received
    assert harness.player("ADA", host="203.0.113.66").received == b""
    assert b"refusal hold_full" in harness.player("ada", host="203.0.113.8").received, "one place for each name"


# Waking once answered


@pytest.fixture
def answering(make_harness: MakeHarness) -> FrontendHarness:
    return make_harness(policy=ANSWERING)


@pytest.mark.parametrize("state", [Status.stopped, Status.paused, Status.failed])
def test_it_wakes_only_once_the_client_has_answered(answering: FrontendHarness, state: Status) -> None:
    answering.server.status = state
    answering.server.retry_at = 0.0
    client = answering.player()
    (number,) = requests(client.received)
    answering.advance(1)
    assert answering.server.wakes == []
    assert len(answering.context.pending_connections) == 1, "it has not shown yet that it is a player"
    client.send(answer(number))
    assert answering.server.wakes == ["login: Steve (203.0.113.7:40000)"]
    assert len(answering.context.pending_connections) == 0
    answering.advance(KEEPALIVE_EVERY)
    client.send(answer(requests(client.received)[-1]))
    assert len(answering.server.wakes) == 1
    answering.set_status(Status.running)
    answering.accept()
    answering.relays.handovers[0].end()
    answering.assert_over(client, "closed")


def test_a_scanner_never_answers(answering: FrontendHarness) -> None:
    client = answering.player()
    answering.advance((MOST_UNANSWERED + 1) * KEEPALIVE_EVERY)
    assert answering.server.wakes == []
    answering.assert_over(client, "silent")


def test_a_scanner_is_evicted_for_a_player(make_harness: MakeHarness) -> None:
    harness = make_harness(policy=ANSWERING, per_address=1)
    scanner, player = harness.player(), harness.player("Alex")
    harness.settle()
    assert scanner.closed and not player.closed
    player.vanish()
    assert harness.outcomes == {"crowded-out": 1, "left": 1}
    harness.assert_nothing_left()


@pytest.mark.parametrize("how", ["finish", "vanish"])
def test_a_scanner_that_leaves(answering: FrontendHarness, how: str) -> None:
    client = answering.player()
    getattr(client, how)()
    assert answering.server.wakes == []
    answering.assert_over(client, "left")


@pytest.mark.parametrize("legacy_hold", [True, False])
def test_a_client_that_cannot_be_asked_wakes_at_once(make_harness: MakeHarness, legacy_hold: bool) -> None:
    harness = make_harness(policy=ANSWERING, legacy_hold=legacy_hold)
    client = harness.player(protocol=47)
    assert len(harness.server.wakes) == 1
    client.vanish()
    harness.assert_over(client, "left")


def test_a_client_that_is_not_held_is_kicked_once_it_has_answered(make_harness: MakeHarness) -> None:
    harness = make_harness(policy=JoinPolicy(holds=False, hold_limit=300.0, wake_on_answer=True))
    client = harness.player()
    (number,) = requests(client.received)
    assert harness.server.wakes == [] and client.open
    client.send(answer(number))
    harness.settle()
    assert b"kick stopped Steve" in client.received
    assert len(harness.server.wakes) == 1
    client.finish()
    harness.assert_over(client, "kicked")


# Kicked why not


def test_join_kick(make_harness: MakeHarness) -> None:
    harness = make_harness(policy=KICKING)
    client = harness.player()
    assert packets(client.received) == [(0, b'\x1d{"text":"kick stopped Steve"}')]
    assert len(harness.server.wakes) == 1
    client.finish()
    harness.assert_over(client, "kicked")


def test_a_server_that_may_not_be_started_again_yet(harness: FrontendHarness) -> None:
    harness.server.status = Status.failed
    harness.server.retry_at = 60.0
    client = harness.player()
    assert b"kick failed Steve" in client.received
    assert harness.server.wakes == []
    client.finish()
    harness.assert_over(client, "kicked")


def test_held_clients_are_kicked_at_once_when_the_start_fails(harness: FrontendHarness) -> None:
    client = harness.player()
    harness.advance(5)
    harness.set_status(Status.failed)
    assert b"kick failed Steve" in client.received
    client.finish()
    harness.assert_over(client, "kicked")
    assert "(it ended while it started)" in harness.lines[0]


def test_a_server_that_fails_to_be_woken(harness: FrontendHarness) -> None:
    harness.server.wakes_to = Status.failed
    client = harness.player()
    assert b"kick failed Steve" in client.received
    client.finish()
    harness.assert_over(client, "kicked")


def test_held_clients_are_kicked_when_the_proxy_exits(harness: FrontendHarness) -> None:
    client = harness.player()
    harness.server.refuse("the proxy is shutting down")
    harness.settle()
    assert b"refusal unavailable Steve the proxy is shutting down" in client.received
    client.finish()
    harness.assert_over(client, "kicked")


def test_a_client_that_joins_while_the_proxy_exits_is_kicked(harness: FrontendHarness) -> None:
    harness.server.status = Status.running
    harness.server.closing = True
    client = harness.player()
    assert b"refusal unavailable Steve the proxy is shutting down" in client.received
    client.finish()
    harness.assert_over(client, "kicked")


def test_a_server_that_does_not_stop(harness: FrontendHarness) -> None:
    harness.server.status = Status.stopping
    harness.server.stop_timed_out = True
    client = harness.player()
    assert b"kick stopping Steve" in client.received
    client.finish()
    harness.assert_over(client, "kicked")


# Connecting


@pytest.mark.parametrize("held", [True, False])
def test_a_refused_connection_is_tried_again(harness: FrontendHarness, held: bool) -> None:
    harness.server.status = Status.stopped if held else Status.running
    client = harness.player()
    harness.set_status(Status.running)
    for _ in range(CONNECT_ATTEMPTS - 1):
        harness.refuse()
        assert harness.server.players == 0, "nobody who cannot get in keeps it up"
        harness.advance(RECONNECT_AFTER)
    harness.accept()
    assert len(harness.server.failures) == CONNECT_ATTEMPTS - 1
    assert harness.server.players == 1
    harness.relays.handovers[0].end()
    harness.assert_over(client, "closed")


def test_a_server_that_refuses_every_time(harness: FrontendHarness) -> None:
    harness.server.status = Status.running
    client = harness.player()
    for _ in range(CONNECT_ATTEMPTS):
        harness.refuse()
        harness.advance(RECONNECT_AFTER)
    assert b"kick running Steve" in client.received
    client.finish()
    harness.assert_over(client, "kicked")
    assert "the server does not take connections" in harness.lines[0]


def test_a_server_that_is_found_to_have_stopped_is_woken(harness: FrontendHarness) -> None:
    harness.server.status = Status.running
    client = harness.player()
    harness.refuse()
    harness.set_status(Status.stopped)
    harness.advance(RECONNECT_AFTER)
    assert len(harness.server.wakes) == 1
    harness.advance(KEEPALIVE_EVERY)
    client.send(answer(requests(client.received)[0]))
    harness.set_status(Status.running)
    harness.accept()
    assert harness.relays.handovers[0].early == login()
    harness.relays.handovers[0].end()
    harness.assert_over(client, "closed")


def test_a_held_client_may_be_held_again_within_its_limit(make_harness: MakeHarness) -> None:
    harness = make_harness(policy=JoinPolicy(holds=True, hold_limit=20.0))
    client = harness.player(protocol=340)
    harness.advance(15)
    harness.set_status(Status.running)
    harness.refuse()
    harness.set_status(Status.stopping)
    harness.advance(4.9)
    assert client.open
    harness.advance(0.2)
    assert b"too long stopping Steve" in client.received
    client.finish()
    harness.assert_over(client, "held-too-long")


def test_a_server_that_is_found_to_have_failed(make_harness: MakeHarness) -> None:
    harness = make_harness(policy=KICKING)
    harness.server.status = Status.running
    client = harness.player()
    harness.refuse()
    harness.set_status(Status.stopped)
    harness.advance(RECONNECT_AFTER)
    assert b"kick stopped Steve" in client.received
    assert len(harness.server.wakes) == 1
    client.finish()
    harness.assert_over(client, "kicked")


def test_we_have_no_descriptor_for_the_connection(harness: FrontendHarness) -> None:
    harness.server.status = Status.running
    client = harness.player()
    harness.attempts[0].refuse(error.ConnectBindError(24, "Too many open files"))
    harness.settle()
    assert b"refusal proxy_full Steve" in client.received
    assert harness.server.failures == [], "the server is not to blame"
    client.finish()
    harness.assert_over(client, "full")


@pytest.mark.parametrize("how", ["finish", "vanish"])
@pytest.mark.parametrize("held", [True, False])
def test_a_player_who_leaves_while_the_server_is_connected_to(harness: FrontendHarness, how: str, held: bool) -> None:
    harness.server.status = Status.stopped if held else Status.running
    client = harness.player()
    harness.set_status(Status.running)
    assert harness.server.players == 1
    getattr(client, how)()
    assert harness.attempts[0].cancelled
    harness.assert_over(client, "left")


@pytest.mark.parametrize("how", ["finish", "vanish"])
def test_a_player_who_leaves_before_the_next_attempt(harness: FrontendHarness, how: str) -> None:
    harness.server.status = Status.running
    client = harness.player()
    harness.refuse()
    getattr(client, how)()
    harness.assert_over(client, "left")


@pytest.mark.parametrize("how", ["finish", "vanish"])
def test_a_player_who_leaves_while_it_is_drained(harness: FrontendHarness, how: str) -> None:
    client = harness.player()
    harness.advance(KEEPALIVE_EVERY)
    harness.set_status(Status.running)
    assert harness.server.players == 1
    getattr(client, how)()
    harness.assert_over(client, "left")


# The hand-over


@pytest.fixture
def flushing(harness: FrontendHarness) -> FrontendHarness:
    harness.server.status = Status.running
    harness.relays.at_once = False
    return harness


def test_a_player_who_is_lost_while_its_connection_is_flushed(flushing: FrontendHarness) -> None:
    client = flushing.player()
    flushing.accept()
    flushing.relays.handovers[0].lose_client()
    flushing.assert_over(client, "left")


def test_a_lost_server_is_tried_again(flushing: FrontendHarness) -> None:
    client = flushing.player()
    flushing.accept()
    flushing.relays.handovers[0].lose_backend()
    flushing.settle()
    assert flushing.server.failures == ["it closed the connection at once"]
    assert client.reading, "a player who leaves now must be noticed"
    flushing.advance(RECONNECT_AFTER)
    flushing.accept()
    flushing.relays.handovers[1].end()
    flushing.assert_over(client, "closed")


def test_the_proxy_is_full(flushing: FrontendHarness) -> None:
    client = flushing.player()
    backend = flushing.accept()
    flushing.relays.handovers[0].refuse()
    flushing.settle()
    assert backend.closed
    assert b"refusal proxy_full Steve" in client.received
    client.finish()
    flushing.assert_over(client, "full")
    assert "(no descriptors left)" in flushing.lines[0]


# Whatever happens

SMALL = settings(max_examples=200)

which = st.integers(0, 3)
step = st.one_of(
    st.tuples(
        st.just("send"), which, st.sampled_from([login(), login(), login(protocol=340), status(), status() + ping()])
    ),
    st.tuples(
        st.just("send"),
        which,
        st.sampled_from([login()[:9], login()[9:], status() + packet(0), packet(9, b"x"), b"\xfe", b"\x01\xfa"]),
    ),
    st.tuples(st.just("answer"), which, st.sampled_from([1, 1, 2])),
    st.tuples(st.sampled_from(["finish", "vanish", "block", "unblock"]), which),
    st.tuples(st.just("set_status"), st.sampled_from(Status)),
    st.tuples(st.just("set_status"), st.just(Status.running)),
    st.tuples(st.sampled_from(["accept", "accept", "refuse"]), which),
    st.tuples(st.sampled_from(["flushed", "flushed", "full", "lose_client", "lose_backend", "end"]), which),
    st.tuples(st.just("advance"), st.sampled_from([0.0, 0.5, 5.0, 7.0, 7.0, 30.0, 400.0])),
    st.tuples(st.just("connect")),
)


class Storm:
    """Does one thing after another to clients, server and relay, wherever it can be done."""

    def __init__(self, harness: FrontendHarness, sent: list[bytes]) -> None:
        self.harness = harness
        harness.relays.at_once = False
        for data in sent:
            harness.connect().send(data)

    def do(self, what: str, *arguments: object) -> None:
        getattr(self, what)(*arguments)
        self.harness.settle()
        self.holds()

    def holds(self) -> None:
        """What is true at any time."""
        harness = self.harness
        clients = [client.protocol for client in harness.clients]
        assert sum(harness.outcomes.values()) == sum(client.record.outcome is not None for client in clients)
        assert harness.server.players <= sum(not client.closed for client in harness.clients)
        assert len(harness.server.waiters) <= sum(not client.closed for client in harness.clients)
        assert not any("fault" in line for line in harness.lines), harness.lines

    def connect(self) -> None:
        if len(self.harness.clients) < 4:
            self.harness.connect()

    def client(self, index: int) -> Transport:
        return self.harness.clients[index % len(self.harness.clients)]

    def attempts(self, index: int) -> list[Attempt]:
        found = [attempt for attempt in self.harness.attempts if attempt.open]
        return [found[index % len(found)]] if found else []

    def handovers(self, index: int, *, flushing: bool) -> list[Handover]:
        found = [handover for handover in self.harness.relays.live if handover.flushing.called != flushing]
        return [found[index % len(found)]] if found else []

    def send(self, index: int, data: bytes) -> None:
        self.client(index).send(data)

    def answer(self, index: int, times: int) -> None:
        client = self.client(index)
        if b"zeroscale:hold" in client.received:
            for number in requests(client.received)[-1:] * times:
                client.send(answer(number))

    def finish(self, index: int) -> None:
        self.client(index).finish()

    def vanish(self, index: int) -> None:
        self.client(index).vanish()

    def block(self, index: int) -> None:
        self.client(index).blocked = True

    def unblock(self, index: int) -> None:
        self.client(index).unblock()

    def set_status(self, state: Status) -> None:
        self.harness.server.set_status(state)

    def accept(self, index: int) -> None:
        for attempt in self.attempts(index):
            attempt.accept()

    def refuse(self, index: int) -> None:
        for attempt in self.attempts(index):
            attempt.refuse()

    def flushed(self, index: int) -> None:
        for handover in self.handovers(index, flushing=True):
            handover.flushing.callback(None)

    def full(self, index: int) -> None:
        for handover in self.handovers(index, flushing=True):
            handover.refuse()

    def lose_client(self, index: int) -> None:
        for handover in self.handovers(index, flushing=True):
            handover.lose_client()

    def lose_backend(self, index: int) -> None:
        for handover in self.handovers(index, flushing=True):
            handover.lose_backend()

    def end(self, index: int) -> None:
        for handover in self.handovers(index, flushing=False):
            handover.end(Outcome.client_reset if index % 2 else Outcome.closed)

    def advance(self, seconds: float) -> None:
        self.harness.advance(seconds)

    def calm(self) -> None:
        """Everybody leaves; the relay ends what it has."""
        for client in self.harness.clients:
            client.vanish()
        for handover in self.harness.relays.live:
            handover.end(Outcome.aborted)
        self.harness.settle()
        assert all(client.closed for client in self.harness.clients)
        assert sum(self.harness.outcomes.values()) == len(self.harness.clients)
        ends = [line for line in self.harness.lines if " after " in line]
        assert len(ends) == len(self.harness.clients)
        self.harness.assert_nothing_left()


@pytest.mark.slow
@SMALL
@given(
    state=st.sampled_from(Status) | st.just(Status.running),
    sent=st.lists(st.sampled_from([login(), login(), login(protocol=340), status(), b""]), min_size=1, max_size=4),
    steps=st.lists(step, min_size=20, max_size=50),
    generic=st.booleans(),
    wake_on_answer=st.booleans(),
    holds=st.booleans(),
    per_address=st.sampled_from([2, 64]),
)
def test_whatever_happens_nothing_stays_behind(
    state: Status,
    sent: list[bytes],
    steps: list[tuple[str, object]],
    generic: bool,
    wake_on_answer: bool,
    holds: bool,
    per_address: int,
) -> None:
    policy = JoinPolicy(holds=holds, hold_limit=40.0, wake_on_answer=wake_on_answer)
    harness = FrontendHarness(generic=generic, policy=policy, per_address=per_address)
    harness.server.status = state
    with logged(harness.lines):
        storm = Storm(harness, sent)
        for what, *arguments in steps:
            storm.do(what, *arguments)
        storm.calm()


def test_the_numbers_fit_together() -> None:
    """A client gives up after 30 s of silence: none of our silences is as long."""
    assert hold.KEEPALIVE_EVERY * 2 < 30
    assert DRAIN_TIMEOUT + KEEPALIVE_EVERY < 30
