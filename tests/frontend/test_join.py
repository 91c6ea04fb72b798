"""A player's way in: held, let through, relayed, or told why not; and whatever happens on it, nothing stays behind."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from frontend.harness import (
    Attempt,
    Handover,
    Scene,
    Transport,
    answer,
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

from zeroscale.frontend import context
from zeroscale.frontend import login_hold as hold
from zeroscale.frontend.decision import JoinPolicy
from zeroscale.frontend.join import CONNECT_ATTEMPTS, RECONNECT_AFTER
from zeroscale.frontend.login_hold import DRAIN_TIMEOUT, KEEPALIVE_EVERY, MOST_UNANSWERED
from zeroscale.relay import Outcome
from zeroscale.status import Status

MakeScene = Callable[..., Scene]

ANSWERING = JoinPolicy(holds=True, hold_limit=300.0, wake_on_answer=True)
KICKING = JoinPolicy(holds=False, hold_limit=300.0)


def test_a_login_wakes_is_held_and_joined(scene: Scene) -> None:
    client = scene.player()
    assert scene.server.woken == ["Steve (203.0.113.7:40000)"]
    assert len(scene.server.waiters) == 1
    assert client.received == b""
    assert len(scene.context.pending_connections) == 0
    scene.advance(3)
    assert scene.attempts == []
    scene.become(Status.running)
    assert (scene.attempts[0].host, scene.attempts[0].port) == ("127.0.0.1", 25575)
    backend = scene.accept()
    (handover,) = scene.relays.handovers
    assert (handover.client, handover.backend, handover.early) == (client, backend, login())
    assert not handover.client_finished
    assert scene.timers == []
    scene.advance(3600)
    assert scene.server.players == 1
    handover.end()
    scene.assert_over(client, "closed")
    scene.assert_log("Steve (203.0.113.7:40000): closed after 3603.0 s (")


def test_a_transfer_is_a_login(scene: Scene) -> None:
    client = scene.connect()
    client.send(login(intent=3))
    assert scene.server.woken == ["Steve (203.0.113.7:40000)"]
    client.vanish()


def test_a_login_byte_by_byte(scene: Scene) -> None:
    client = scene.connect()
    for byte in login():
        client.send(bytes([byte]))
    scene.become(Status.running)
    scene.accept()
    assert scene.relays.handovers[0].early == login()
    scene.relays.handovers[0].end()
    scene.assert_over(client, "closed")


@pytest.mark.parametrize("outcome", Outcome)
def test_the_relays_word_is_the_outcome(scene: Scene, outcome: Outcome) -> None:
    scene.server.status = Status.running
    client = scene.player()
    scene.accept()
    scene.relays.handovers[0].end(outcome)
    scene.assert_over(client, outcome.value)


def test_a_running_server_is_joined_at_once(scene: Scene) -> None:
    scene.server.status = Status.running
    client = scene.player()
    scene.accept()
    assert scene.server.woken == []
    assert scene.server.players == 1
    assert len(scene.context.pending_connections) == 0
    scene.relays.handovers[0].end()
    scene.assert_over(client, "closed")


# The hold


def test_a_held_client_is_kept_alive_for_as_long_as_it_takes(scene: Scene) -> None:
    client = scene.player()
    for count in range(1, 41):
        scene.advance(KEEPALIVE_EVERY)
        asked = requests(client.received)
        assert len(asked) == count == len(packets(client.received))
        client.send(answer(asked[-1]))
    scene.become(Status.running)
    scene.accept()
    assert scene.relays.handovers[0].early == login(), "the answers are swallowed"
    scene.relays.handovers[0].end()
    scene.assert_over(client, "closed")


@pytest.mark.parametrize("late", [0.0, DRAIN_TIMEOUT - 0.1])
def test_a_stray_answer_is_waited_for(scene: Scene, late: float) -> None:
    client = scene.player()
    scene.advance(KEEPALIVE_EVERY)
    scene.become(Status.running)
    scene.advance(late)
    assert scene.attempts == []
    number = requests(client.received)[0]
    client.send(answer(number)[:2])
    assert scene.attempts == []
    client.send(answer(number)[2:])
    scene.accept()
    assert scene.relays.handovers[0].early == login()
    scene.advance(100)
    assert len(requests(client.received)) == 1
    scene.relays.handovers[0].end()
    scene.assert_over(client, "closed")


def test_a_stray_answer_is_not_waited_for_for_ever(scene: Scene) -> None:
    client = scene.player()
    scene.advance(KEEPALIVE_EVERY)
    scene.become(Status.running)
    scene.advance(DRAIN_TIMEOUT + 0.1)
    assert client.reset
    assert scene.attempts == []
    scene.assert_over(client, "silent")


def test_a_held_client_that_stops_answering_is_closed(scene: Scene) -> None:
    client = scene.player()
    scene.advance(KEEPALIVE_EVERY)
    client.send(answer(requests(client.received)[0]))
    scene.advance(MOST_UNANSWERED * KEEPALIVE_EVERY + 0.1)
    assert not client.closed
    scene.advance(KEEPALIVE_EVERY)
    assert client.reset
    assert len(requests(client.received)) == 1 + MOST_UNANSWERED
    scene.assert_over(client, "silent")


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
def test_who_says_what_it_was_not_asked_is_closed(scene: Scene, strays: Callable[[int], bytes], ready: bool) -> None:
    client = scene.player()
    scene.advance(KEEPALIVE_EVERY)
    if ready:
        scene.become(Status.running)
    client.send(strays(requests(client.received)[0]))
    assert client.reading is False or client.dead()
    assert scene.relays.handovers == []
    scene.assert_over(client, "refused")


@pytest.mark.parametrize("said", [b"\x00", packet(0x10, bytes(20)), b"\x01"])
def test_more_than_a_login_wakes_nothing(scene: Scene, said: bytes) -> None:
    client = scene.connect()
    client.send(login() + said)
    assert scene.server.woken == []
    scene.assert_over(client, "refused")


def test_more_than_a_login_is_refused_while_it_is_held(scene: Scene) -> None:
    client = scene.player()
    client.send(b"\x00")
    assert len(scene.server.woken) == 1
    scene.assert_over(client, "refused")


def test_more_than_a_login_goes_to_a_server_that_runs(scene: Scene) -> None:
    scene.server.status = Status.running
    client = scene.player()
    client.send(packet(0x10, bytes(20)))
    scene.accept()
    assert scene.relays.handovers[0].early == login() + packet(0x10, bytes(20))
    scene.relays.handovers[0].end()
    scene.assert_over(client, "closed")


@pytest.mark.parametrize("how", ["finish", "vanish"])
def test_a_player_who_gives_up_is_noticed_at_once_and_the_server_starts_on(scene: Scene, how: str) -> None:
    client = scene.player()
    scene.advance(10)
    getattr(client, how)()
    assert scene.server.waiters == []
    scene.assert_over(client, "left")
    assert scene.server.status is Status.starting
    scene.become(Status.running)
    assert scene.server.visits == []


def test_a_player_who_gives_up_and_does_not_read_is_let_go_at_once_too(scene: Scene) -> None:
    client = scene.player()
    client.blocked = True
    scene.advance(KEEPALIVE_EVERY)
    client.finish()
    assert scene.server.waiters == []
    scene.become(Status.running)
    assert scene.attempts == []
    scene.advance(10)
    scene.assert_over(client, "left")


@pytest.mark.parametrize(("protocol", "patience"), [(5, 17.0), (47, 27.0), (340, 27.0), (393, 300.0), (769, 300.0)])
def test_how_long_a_client_is_held(scene: Scene, protocol: int, patience: float) -> None:
    client = scene.player(protocol=protocol)
    while scene.reactor.seconds() < patience - 1:
        before = len(client.received)
        scene.advance(1)
        for number in requests(client.received[before:]):
            client.send(answer(number))
    assert client.open
    scene.advance(1)
    assert b"too long starting Steve" in client.received
    client.finish()
    scene.assert_over(client, "held-too-long")
    assert scene.server.status is Status.starting


def test_the_operators_limit(make_scene: MakeScene) -> None:
    scene = make_scene(policy=JoinPolicy(holds=True, hold_limit=0.0))
    client = scene.player()
    assert scene.server.woken
    assert b"too long starting Steve" in client.received
    client.finish()
    scene.assert_over(client, "held-too-long")


def test_an_older_client_is_held_in_silence(scene: Scene) -> None:
    client = scene.player(protocol=340)
    scene.advance(26)
    assert client.received == b""
    scene.become(Status.running)
    scene.accept()
    scene.relays.handovers[0].end()
    scene.assert_over(client, "closed")


def test_an_older_client_may_be_sent_empty_frames(make_scene: MakeScene) -> None:
    scene = make_scene(legacy_hold=True)
    client = scene.player(protocol=340)
    scene.advance(290)
    assert client.received == bytes(int(290 // KEEPALIVE_EVERY))
    client.vanish()
    scene.assert_over(client, "left")


def test_many_are_joined_in_the_order_in_which_they_came(scene: Scene) -> None:
    names = [f"player{number}" for number in range(20)]
    for name in names:
        scene.player(name)
    assert scene.server.view.waiting == 20
    scene.become(Status.running)
    for attempt in list(scene.attempts):
        attempt.accept()
    assert [handover.early for handover in scene.relays.handovers] == [login(name) for name in names]
    assert scene.server.players == 20
    for handover in scene.relays.handovers:
        handover.end()
    scene.settle()
    assert scene.outcomes == {"closed": 20}
    scene.assert_nothing_left()


def test_too_many_of_one_address_wait_already(make_scene: MakeScene) -> None:
    scene = make_scene(per_address=2)
    waiting = [scene.player(), scene.player()]
    woken = len(scene.server.woken)
    late = scene.player()
    assert b"too many players" in late.received
    assert len(scene.server.woken) == woken
    assert scene.outcomes == {"kicked": 1}
    elsewhere = scene.player(host="203.0.113.8")
    assert elsewhere.received == b""
    waiting[0].finish()
    assert scene.player().received == b"", "there is room again"


def test_who_sits_behind_a_tunnel_has_no_bound_of_its_own_and_all_have_one(
    make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "MOST_HELD", 3)
    scene = make_scene(per_address=1)
    waiting = [scene.player(host="127.0.0.1") for _ in range(3)]
    assert [client.received for client in waiting] == [b"", b"", b""]
    assert b"too many players" in scene.player(host="203.0.113.8").received


# Waking once answered


@pytest.fixture
def answering(make_scene: MakeScene) -> Scene:
    return make_scene(policy=ANSWERING)


@pytest.mark.parametrize("state", [Status.stopped, Status.paused, Status.failed])
def test_it_wakes_only_once_the_client_has_answered(answering: Scene, state: Status) -> None:
    answering.server.status = state
    answering.server.retry_at = 0.0
    client = answering.player()
    (number,) = requests(client.received)
    answering.advance(1)
    assert answering.server.woken == []
    assert len(answering.context.pending_connections) == 1, "it has not shown yet that it is a player"
    client.send(answer(number))
    assert answering.server.woken == ["Steve (203.0.113.7:40000)"]
    assert len(answering.context.pending_connections) == 0
    answering.advance(KEEPALIVE_EVERY)
    client.send(answer(requests(client.received)[-1]))
    assert len(answering.server.woken) == 1
    answering.become(Status.running)
    answering.accept()
    answering.relays.handovers[0].end()
    answering.assert_over(client, "closed")


def test_a_scanner_never_answers(answering: Scene) -> None:
    client = answering.player()
    answering.advance((MOST_UNANSWERED + 1) * KEEPALIVE_EVERY)
    assert answering.server.woken == []
    answering.assert_over(client, "silent")


def test_a_scanner_makes_room_for_a_player(make_scene: MakeScene) -> None:
    scene = make_scene(policy=ANSWERING, per_address=1)
    scanner, player = scene.player(), scene.player("Alex")
    scene.settle()
    assert scanner.closed and not player.closed
    player.vanish()
    assert scene.outcomes == {"crowded-out": 1, "left": 1}
    scene.assert_nothing_left()


@pytest.mark.parametrize("how", ["finish", "vanish"])
def test_a_scanner_that_leaves(answering: Scene, how: str) -> None:
    client = answering.player()
    getattr(client, how)()
    assert answering.server.woken == []
    answering.assert_over(client, "left")


@pytest.mark.parametrize("legacy_hold", [True, False])
def test_a_client_that_cannot_be_asked_wakes_at_once(make_scene: MakeScene, legacy_hold: bool) -> None:
    scene = make_scene(policy=ANSWERING, legacy_hold=legacy_hold)
    client = scene.player(protocol=47)
    assert len(scene.server.woken) == 1
    client.vanish()
    scene.assert_over(client, "left")


def test_who_is_not_held_is_told_once_it_has_answered(make_scene: MakeScene) -> None:
    scene = make_scene(policy=JoinPolicy(holds=False, hold_limit=300.0, wake_on_answer=True))
    client = scene.player()
    (number,) = requests(client.received)
    assert scene.server.woken == [] and client.open
    client.send(answer(number))
    scene.settle()
    assert b"kick stopped Steve" in client.received
    assert len(scene.server.woken) == 1
    client.finish()
    scene.assert_over(client, "kicked")


# Kicked why not


def test_join_kick(make_scene: MakeScene) -> None:
    scene = make_scene(policy=KICKING)
    client = scene.player()
    assert packets(client.received) == [(0, b'\x1d{"text":"kick stopped Steve"}')]
    assert len(scene.server.woken) == 1
    client.finish()
    scene.assert_over(client, "kicked")


def test_a_server_that_may_not_be_started_again_yet(scene: Scene) -> None:
    scene.server.status = Status.failed
    scene.server.retry_at = 60.0
    client = scene.player()
    assert b"kick failed Steve" in client.received
    assert scene.server.woken == []
    client.finish()
    scene.assert_over(client, "kicked")


def test_those_who_wait_are_told_at_once_that_it_failed(scene: Scene) -> None:
    client = scene.player()
    scene.advance(5)
    scene.become(Status.failed)
    assert b"kick failed Steve" in client.received
    client.finish()
    scene.assert_over(client, "kicked")
    assert "(it ended while it started)" in scene.lines[0]


def test_a_server_that_fails_to_be_woken(scene: Scene) -> None:
    scene.server.wakes_to = Status.failed
    client = scene.player()
    assert b"kick failed Steve" in client.received
    client.finish()
    scene.assert_over(client, "kicked")


def test_those_who_wait_are_told_of_our_own_end(scene: Scene) -> None:
    client = scene.player()
    scene.server.refuse("the proxy is shutting down")
    scene.settle()
    assert b"Sorry: the proxy is shutting down." in client.received
    client.finish()
    scene.assert_over(client, "kicked")


def test_who_comes_at_our_own_end_is_told(scene: Scene) -> None:
    scene.server.status = Status.running
    scene.server.closing = True
    client = scene.player()
    assert b"Sorry: the proxy is shutting down." in client.received
    client.finish()
    scene.assert_over(client, "kicked")


def test_a_server_that_does_not_stop(scene: Scene) -> None:
    scene.server.status = Status.stopping
    scene.server.stop_timed_out = True
    client = scene.player()
    assert b"kick stopping Steve" in client.received
    client.finish()
    scene.assert_over(client, "kicked")


# Connecting


@pytest.mark.parametrize("held", [True, False])
def test_a_refused_connection_is_tried_again(scene: Scene, held: bool) -> None:
    scene.server.status = Status.stopped if held else Status.running
    client = scene.player()
    scene.become(Status.running)
    for _ in range(CONNECT_ATTEMPTS - 1):
        scene.refuse()
        assert scene.server.players == 0, "nobody who cannot get in keeps it up"
        scene.advance(RECONNECT_AFTER)
    scene.accept()
    assert len(scene.server.complaints) == CONNECT_ATTEMPTS - 1
    assert scene.server.players == 1
    scene.relays.handovers[0].end()
    scene.assert_over(client, "closed")


def test_a_server_that_refuses_every_time(scene: Scene) -> None:
    scene.server.status = Status.running
    client = scene.player()
    for _ in range(CONNECT_ATTEMPTS):
        scene.refuse()
        scene.advance(RECONNECT_AFTER)
    assert b"kick running Steve" in client.received
    client.finish()
    scene.assert_over(client, "kicked")
    assert "the server does not take connections" in scene.lines[0]


def test_a_server_that_is_found_to_have_stopped_is_woken(scene: Scene) -> None:
    scene.server.status = Status.running
    client = scene.player()
    scene.refuse()
    scene.become(Status.stopped)
    scene.advance(RECONNECT_AFTER)
    assert len(scene.server.woken) == 1
    scene.advance(KEEPALIVE_EVERY)
    client.send(answer(requests(client.received)[0]))
    scene.become(Status.running)
    scene.accept()
    assert scene.relays.handovers[0].early == login()
    scene.relays.handovers[0].end()
    scene.assert_over(client, "closed")


def test_a_held_client_may_be_held_again_within_its_limit(make_scene: MakeScene) -> None:
    scene = make_scene(policy=JoinPolicy(holds=True, hold_limit=20.0))
    client = scene.player(protocol=340)
    scene.advance(15)
    scene.become(Status.running)
    scene.refuse()
    scene.become(Status.stopping)
    scene.advance(4.9)
    assert client.open
    scene.advance(0.2)
    assert b"too long stopping Steve" in client.received
    client.finish()
    scene.assert_over(client, "held-too-long")


def test_a_server_that_is_found_to_have_failed(make_scene: MakeScene) -> None:
    scene = make_scene(policy=KICKING)
    scene.server.status = Status.running
    client = scene.player()
    scene.refuse()
    scene.become(Status.stopped)
    scene.advance(RECONNECT_AFTER)
    assert b"kick stopped Steve" in client.received
    assert len(scene.server.woken) == 1
    client.finish()
    scene.assert_over(client, "kicked")


def test_we_have_no_descriptor_for_the_connection(scene: Scene) -> None:
    scene.server.status = Status.running
    client = scene.player()
    scene.attempts[0].refuse(error.ConnectBindError(24, "Too many open files"))
    scene.settle()
    assert b"Sorry: this proxy is full." in client.received
    assert scene.server.complaints == [], "the server is not to blame"
    client.finish()
    scene.assert_over(client, "full")


@pytest.mark.parametrize("how", ["finish", "vanish"])
@pytest.mark.parametrize("held", [True, False])
def test_a_player_who_leaves_while_the_server_is_connected_to(scene: Scene, how: str, held: bool) -> None:
    scene.server.status = Status.stopped if held else Status.running
    client = scene.player()
    scene.become(Status.running)
    assert scene.server.players == 1
    getattr(client, how)()
    assert scene.attempts[0].cancelled
    scene.assert_over(client, "left")


@pytest.mark.parametrize("how", ["finish", "vanish"])
def test_a_player_who_leaves_before_the_next_attempt(scene: Scene, how: str) -> None:
    scene.server.status = Status.running
    client = scene.player()
    scene.refuse()
    getattr(client, how)()
    scene.assert_over(client, "left")


@pytest.mark.parametrize("how", ["finish", "vanish"])
def test_a_player_who_leaves_while_it_is_drained(scene: Scene, how: str) -> None:
    client = scene.player()
    scene.advance(KEEPALIVE_EVERY)
    scene.become(Status.running)
    assert scene.server.players == 1
    getattr(client, how)()
    scene.assert_over(client, "left")


# The hand-over


@pytest.fixture
def flushing(scene: Scene) -> Scene:
    scene.server.status = Status.running
    scene.relays.at_once = False
    return scene


def test_a_player_who_is_lost_while_its_connection_is_flushed(flushing: Scene) -> None:
    client = flushing.player()
    flushing.accept()
    flushing.relays.handovers[0].lose_client()
    flushing.assert_over(client, "left")


def test_a_server_that_is_lost_meanwhile_is_tried_again(flushing: Scene) -> None:
    client = flushing.player()
    flushing.accept()
    flushing.relays.handovers[0].lose_backend()
    flushing.settle()
    assert flushing.server.complaints == ["it closed the connection at once"]
    assert client.reading, "a player who leaves now must be noticed"
    flushing.advance(RECONNECT_AFTER)
    flushing.accept()
    flushing.relays.handovers[1].end()
    flushing.assert_over(client, "closed")


def test_the_proxy_is_full(flushing: Scene) -> None:
    client = flushing.player()
    backend = flushing.accept()
    flushing.relays.handovers[0].refuse()
    flushing.settle()
    assert backend.closed
    assert b"Sorry: this proxy is full." in client.received
    client.finish()
    flushing.assert_over(client, "full")
    assert "(no descriptors left)" in flushing.lines[0]


# Whatever happens

SMALL = settings(max_examples=200, deadline=None)

which = st.integers(0, 3)
step = st.one_of(
    st.tuples(
        st.just("send"), which, st.sampled_from([login(), login(), login(protocol=340), status(), status() + ping()])
    ),
    st.tuples(
        st.just("send"), which, st.sampled_from([login()[:9], login()[9:], packet(9, b"x"), b"\xfe", b"\x01\xfa"])
    ),
    st.tuples(st.just("answer"), which, st.sampled_from([1, 1, 2])),
    st.tuples(st.sampled_from(["finish", "vanish", "block", "unblock"]), which),
    st.tuples(st.just("become"), st.sampled_from(Status)),
    st.tuples(st.just("become"), st.just(Status.running)),
    st.tuples(st.sampled_from(["accept", "accept", "refuse"]), which),
    st.tuples(st.sampled_from(["flushed", "flushed", "full", "lose_client", "lose_backend", "end"]), which),
    st.tuples(st.just("advance"), st.sampled_from([0.0, 0.5, 5.0, 7.0, 7.0, 30.0, 400.0])),
    st.tuples(st.just("connect")),
)


class Storm:
    """Does one thing after another to clients, server and relay, wherever it can be done."""

    def __init__(self, scene: Scene, said: list[bytes]) -> None:
        self.scene = scene
        scene.relays.at_once = False
        for data in said:
            scene.connect().send(data)

    def do(self, what: str, *arguments: object) -> None:
        getattr(self, what)(*arguments)
        self.scene.settle()
        self.holds()

    def holds(self) -> None:
        """What is true at any time."""
        scene = self.scene
        clients = [client.protocol for client in scene.clients]
        assert sum(scene.outcomes.values()) == sum(client._outcome is not None for client in clients)
        assert scene.server.players <= sum(not client.closed for client in scene.clients)
        assert len(scene.server.waiters) <= sum(not client.closed for client in scene.clients)
        assert not any("fault" in line for line in scene.lines), scene.lines

    def connect(self) -> None:
        if len(self.scene.clients) < 4:
            self.scene.connect()

    def client(self, index: int) -> Transport:
        return self.scene.clients[index % len(self.scene.clients)]

    def attempts(self, index: int) -> list[Attempt]:
        found = [attempt for attempt in self.scene.attempts if attempt.open]
        return [found[index % len(found)]] if found else []

    def handovers(self, index: int, *, flushing: bool) -> list[Handover]:
        found = [handover for handover in self.scene.relays.live if handover.flushing.called != flushing]
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

    def become(self, state: Status) -> None:
        self.scene.server.become(state)

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
        self.scene.advance(seconds)

    def calm(self) -> None:
        """Everybody leaves; the relay ends what it has."""
        for client in self.scene.clients:
            client.vanish()
        for handover in self.scene.relays.live:
            handover.end(Outcome.aborted)
        self.scene.settle()
        assert all(client.closed for client in self.scene.clients)
        assert sum(self.scene.outcomes.values()) == len(self.scene.clients)
        told = [line for line in self.scene.lines if " after " in line]
        assert len(told) == len(self.scene.clients)
        self.scene.assert_nothing_left()


@pytest.mark.slow
@SMALL
@given(
    state=st.sampled_from(Status) | st.just(Status.running),
    said=st.lists(st.sampled_from([login(), login(), login(protocol=340), status(), b""]), min_size=1, max_size=4),
    steps=st.lists(step, min_size=20, max_size=50),
    generic=st.booleans(),
    wake_on_answer=st.booleans(),
    holds=st.booleans(),
    per_address=st.sampled_from([2, 64]),
)
def test_whatever_happens_nothing_stays_behind(
    state: Status,
    said: list[bytes],
    steps: list[tuple[str, object]],
    generic: bool,
    wake_on_answer: bool,
    holds: bool,
    per_address: int,
) -> None:
    policy = JoinPolicy(holds=holds, hold_limit=40.0, wake_on_answer=wake_on_answer)
    scene = Scene(generic=generic, policy=policy, per_address=per_address)
    scene.server.status = state
    with logged(scene.lines):
        storm = Storm(scene, said)
        for what, *arguments in steps:
            storm.do(what, *arguments)
        storm.calm()


def test_the_numbers_fit_together() -> None:
    """A client gives up after 30 s of silence: none of our silences is as long."""
    assert hold.KEEPALIVE_EVERY * 2 < 30
    assert DRAIN_TIMEOUT + KEEPALIVE_EVERY < 30
