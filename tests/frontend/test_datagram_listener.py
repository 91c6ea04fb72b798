"""One UDP port from the first datagram to the end of a session, with real sockets and a fake lifecycle."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterator, Sequence
from time import monotonic

import pytest
import regex
from frontend.datagram_harness import DatagramHarness, datagram_harness
from relay.datagram_fixture import DEADLINE, datagram_socket

from zeroscale.access_lists import AccessList
from zeroscale.errors import ProtocolError
from zeroscale.frontend.admission import Admission, Rules
from zeroscale.frontend.connection_limits import Network
from zeroscale.frontend.datagram_hold import MOST_DATAGRAMS
from zeroscale.frontend.datagram_listener import TAKEN_OVER, DatagramSettings
from zeroscale.frontend.leftover_clients import LONGEST, SILENCE
from zeroscale.protocols.conversation import Component
from zeroscale.protocols.datagrams import NO_REPLY, ClientReply, Reply, WakeRequested
from zeroscale.protocols.udp import PatternConversation, UdpConversation, WakeRule
from zeroscale.status import PlayerSign, Status


class Talker:
    """A conversation whose replies the test chooses, by the datagram; b"bad" breaks the protocol, b"?..." is a query.

    :ivar told: what `server_ready` returns.
    """

    def __init__(self) -> None:
        self.replies: dict[bytes, Reply] = {}
        self.told: list[ClientReply] = []
        self.due: list[ClientReply] = []
        self.next_timeout = math.inf
        self.refusals: list[Component] = []

    def receive(self, datagram: bytes, host: str, port: int, now: float) -> Reply:
        if datagram == b"bad":
            raise ProtocolError("bad")
        return self.replies.get(datagram, NO_REPLY)

    def tick(self, now: float) -> Sequence[ClientReply]:
        self.next_timeout = math.inf
        return self.due

    def server_ready(self, now: float) -> Sequence[ClientReply]:
        return self.told

    def refuse(self, host: str, port: int, message: Component, now: float) -> Reply:
        self.refusals.append(message)
        return Reply((b"no",), proved=True)

    def opens_session(self, datagram: bytes) -> bool:
        return not datagram.startswith(b"?")

    def answer_running(self, datagram: bytes, host: str, port: int, now: float) -> Reply:
        return Reply((datagram[1:],))


@pytest.fixture
def harness() -> Iterator[DatagramHarness]:
    """A port that three datagrams within 10 s wake."""
    with datagram_harness() as harness:
        yield harness


@pytest.fixture
def holding() -> Iterator[DatagramHarness]:
    """A port that one datagram wakes, and that keeps what clients send while the server starts."""
    with datagram_harness(UdpConversation(WakeRule(1, 10.0)), hold=True) as harness:
        yield harness


@pytest.fixture
def talker() -> Talker:
    return Talker()


@pytest.fixture
def talking(talker: Talker) -> Iterator[DatagramHarness]:
    """A port whose conversation is the test's."""
    with datagram_harness(talker) as harness:
        yield harness


def wake(harness: DatagramHarness, times: int = 3) -> None:
    for _ in range(times):
        harness.client.send(b"wake")
    harness.until(lambda: harness.server.wakes)


def session(harness: DatagramHarness) -> None:
    """Open the client's session to the running server."""
    harness.client.send(b"hello")
    assert harness.receive(harness.game) == b"hello"


def all_dropped(harness: DatagramHarness) -> int:
    return sum(harness.listener.report().dropped.values())


# Asleep


def test_three_datagrams_wake_the_server_and_the_client_waits(harness: DatagramHarness) -> None:
    for _ in range(2):
        harness.client.send(b"x")
    harness.until(lambda: harness.dropped("asleep") == 2)
    assert harness.server.wakes == []
    harness.client.send(b"x")
    harness.until(lambda: harness.server.wakes)
    host, port = harness.client.getsockname()
    assert harness.server.wakes == [f"connection:  ({host}:{port})"]
    assert [client.address for client in harness.server.admitted] == [f"{host}:{port}"]
    assert harness.server.admitted[0].sign is PlayerSign.client_bytes
    harness.set_status(Status.running)
    assert [player.ended for player in harness.server.sessions] == [True]  # it is not on the server


def test_several_clients_of_an_address_wait_once(harness: DatagramHarness) -> None:
    wake(harness)
    others = [harness.new_client() for _ in range(3)]
    for other in others:
        for _ in range(3):
            other.send(b"x")
    harness.until(lambda: harness.dropped("asleep") == 12)
    assert len(harness.server.waiters) == 1


def test_a_port_that_does_not_wake_wakes_nothing(harness: DatagramHarness) -> None:
    harness.backend.policy = harness.backend.policy.__class__(holds=True, hold_limit=1.0, wakes=False)
    for _ in range(5):
        harness.client.send(b"x")
    harness.until(lambda: harness.dropped("asleep") == 5)
    assert (harness.server.wakes, harness.server.admitted) == ([], [])


def test_health_checkers_wake_nothing(harness: DatagramHarness) -> None:
    networks: list[Network] = [ipaddress.ip_network("127.0.0.0/8")]
    harness.listener.configure(None, DatagramSettings(health_check=networks))
    for _ in range(5):
        harness.client.send(b"x")
    harness.until(lambda: harness.dropped("health-check") == 5)
    assert harness.server.wakes == []


def test_a_denied_address_wakes_nothing_and_is_counted(harness: DatagramHarness) -> None:
    harness.backend.admission = Admission(Rules(deny=AccessList(["127.0.0.1"])))
    for _ in range(3):
        harness.client.send(b"x")
    harness.until(lambda: harness.server.refusals)
    assert harness.server.wakes == []
    assert [reason for _, reason in harness.server.refusals] == ["denied"]
    assert harness.stats.snapshot(0.0).refusals == {"denied": 1}


def test_a_locked_server_is_not_woken_and_takes_no_newcomers(harness: DatagramHarness) -> None:
    harness.server.lockout = "closed"
    for _ in range(3):
        harness.client.send(b"x")
    harness.until(lambda: harness.server.refusals)
    assert harness.server.wakes == []
    harness.set_status(Status.running)
    dropped = harness.dropped("refused")
    harness.client.send(b"x")
    harness.until(lambda: harness.dropped("refused") == dropped + 1)
    assert harness.listener.report().sessions == 0


def test_a_locked_server_that_runs_answers_and_says_why_it_takes_nobody(
    talking: DatagramHarness, talker: Talker
) -> None:
    talking.server.lockout = "closed"
    talking.set_status(Status.running)
    talker.replies = {b"hello": Reply((b"hi",)), b"join": Reply(wake=WakeRequested("Steve"))}
    for sent, answer in ((b"?query", b"query"), (b"hello", b"hi"), (b"join", b"no")):
        talking.client.send(sent)
        assert talking.receive(talking.client) == answer
    assert talker.refusals == ["kick running Steve"]
    assert [reason for _, reason in talking.server.refusals] == ["lockout"]
    assert talking.listener.report().sessions == 0


# Held until it is ready


def test_what_a_client_has_sent_is_given_to_the_server_when_it_is_ready(holding: DatagramHarness) -> None:
    holding.client.send(b"0")
    holding.until(lambda: holding.server.wakes)
    other = holding.new_client()
    for number in range(1, 4):
        holding.client.send(b"%d" % number)
        other.send(b"other %d" % number)
    last = holding.new_client()
    last.send(b"last")
    holding.until(lambda: holding.listener.holds == 3)
    holding.set_status(Status.running)
    received = [holding.receive_from(holding.game) for _ in range(8)]
    first = received[0][1]
    assert [data for data, sender in received if sender == first] == [b"0", b"1", b"2", b"3"]
    assert [data for data, sender in received if sender != first] == [b"other 1", b"other 2", b"other 3", b"last"]
    holding.game.sendto(b"welcome", first)
    assert holding.receive(holding.client) == b"welcome"
    assert holding.server.players == 3


def test_without_hold_what_comes_while_it_starts_is_dropped(harness: DatagramHarness) -> None:
    wake(harness)
    harness.client.send(b"too early")
    harness.until(lambda: harness.dropped("asleep") == 4)
    harness.set_status(Status.running)
    session(harness)


def test_what_came_while_the_server_stopped_is_sent_once_it_runs_again(holding: DatagramHarness) -> None:
    holding.set_status(Status.running)
    holding.set_status(Status.stopping)
    holding.client.send(b"too early")
    holding.until(lambda: holding.server.wakes)
    holding.server.status = Status.stopped  # the lifecycle starts it again before the reactor's next turn
    holding.listener.status_changed(holding.server.view)
    holding.set_status(Status.starting)
    holding.client.send(b"still")
    holding.until(lambda: holding.socket.port.last_datagram and holding.listener.holds)
    holding.set_status(Status.running)
    assert holding.receive(holding.game) == b"too early"
    assert holding.receive(holding.game) == b"still"


def test_what_was_kept_is_sent_before_what_comes_just_when_the_server_is_ready(holding: DatagramHarness) -> None:
    other = holding.new_client()
    for number, client in enumerate((holding.client, other), 1):
        client.send(b"kept")
        holding.until(lambda number=number: holding.listener.holds == number)  # type: ignore[misc]
    holding.server.status = Status.running
    holding.listener.status_changed(holding.server.view)
    holding.client.send(b"next")
    deadline = monotonic() + DEADLINE
    while not holding.socket.port.has_waiting:  # before the reactor's next turn
        assert monotonic() < deadline
    holding.server.set_status(Status.running)
    received = [holding.receive_from(holding.game) for _ in range(3)]
    first = received[0][1]
    assert [data for data, sender in received if sender == first] == [b"kept", b"next"]
    assert holding.listener.holds == 0
    assert [player.ended for player in holding.server.sessions] == [True, False, False]


def test_what_gives_its_place_to_later_datagrams_is_counted_as_dropped(holding: DatagramHarness) -> None:
    for _ in range(MOST_DATAGRAMS + 3):
        holding.client.send(b"x")
    holding.until(lambda: holding.dropped("hold-full") == 3)


def test_a_client_that_has_woken_the_server_counts_at_once() -> None:
    with datagram_harness(UdpConversation(WakeRule(3, 10.0)), hold=True) as harness:
        for number in range(3):
            decided = all_dropped(harness) + harness.listener.holds
            harness.client.send(b"%d" % number)
            harness.until(
                lambda decided=decided: all_dropped(harness) + harness.listener.holds > decided  # type: ignore[misc]
            )
        harness.set_status(Status.running)
        assert harness.receive(harness.game) == b"2"
        harness.until(lambda: harness.server.sessions[-1].moved() == (1, 0))


def test_what_is_answered_is_neither_kept_nor_counted_as_dropped(talker: Talker) -> None:
    talker.replies = {b"query": Reply((b"info",)), b"join": Reply(wake=WakeRequested())}
    with datagram_harness(talker, hold=True) as harness:
        harness.client.send(b"join")
        harness.until(lambda: harness.listener.holds == 1)
        harness.client.send(b"query")
        assert harness.receive(harness.client) == b"info"
        assert harness.dropped("asleep") == 0
        harness.set_status(Status.running)
        assert harness.receive(harness.game) == b"join"
        harness.client.send(b"move")
        assert harness.receive(harness.game) == b"move"


def test_what_was_held_is_dropped_when_the_start_fails(holding: DatagramHarness) -> None:
    wake(holding, 1)
    holding.set_status(Status.failed)
    assert holding.dropped("asleep") == 1
    holding.set_status(Status.running)
    session(holding)  # and nothing before


# Running


def test_a_session_is_relayed_and_counts_once_its_client_has_met_the_rule(harness: DatagramHarness) -> None:
    harness.set_status(Status.running)
    session(harness)
    [player] = harness.server.sessions
    assert player.moved() == (0, 0)
    for _ in range(2):
        harness.client.send(b"hello")
        _, sender = harness.receive_from(harness.game)
    harness.until(lambda: player.moved() == (15, 0))
    harness.game.sendto(b"world!", sender)
    assert harness.receive(harness.client) == b"world!"
    harness.until(lambda: player.moved() == (15, 6))
    totals = harness.listener.report()
    assert (totals.to_server, totals.to_client, totals.sessions, harness.backend.clients) == (3, 1, 1, 1)


def test_a_client_that_sends_seldom_does_not_count(harness: DatagramHarness) -> None:
    harness.set_status(Status.running)
    for _ in range(4):
        session(harness)
        harness.clock.advance(11.0)
        assert harness.server.sessions[0].moved() == (0, 0)


def pattern_met_by_three_datagrams(after: float) -> bool:
    """Whether a client that never sends what a pattern matches counts, so many seconds after we have listened."""
    with datagram_harness(PatternConversation(regex.compile(b"join"), lambda: 0.0)) as harness:
        harness.set_status(Status.running)
        harness.clock.advance(after)
        session(harness)
        for _ in range(2):
            session(harness)
        return harness.server.sessions[-1].moved() != (0, 0)


def test_a_client_that_has_joined_through_an_earlier_zeroscale_counts_without_the_pattern() -> None:
    assert pattern_met_by_three_datagrams(after=TAKEN_OVER - 1)
    assert not pattern_met_by_three_datagrams(after=TAKEN_OVER)


def test_a_session_that_is_idle_ends_and_was_left_when_its_client_was_last_heard(harness: DatagramHarness) -> None:
    harness.set_status(Status.running)
    for _ in range(3):
        session(harness)
    heard = harness.clock.seconds()
    [player] = harness.server.sessions
    for _ in range(5):
        harness.clock.advance(15.0)
    harness.until(lambda: player.ended)
    assert (player.away_since, player.silent) == (heard, False)
    assert harness.stats.snapshot(0.0).outcomes == {"idle": 1}
    assert harness.stats.snapshot(0.0).to_backend == 15


def test_a_server_that_is_gone_is_reported_and_the_next_datagram_is_a_newcomers(harness: DatagramHarness) -> None:
    harness.set_status(Status.running)
    harness.game.close()
    harness.client.send(b"hello")
    harness.until(lambda: harness.server.failures)
    assert harness.server.players == 0
    assert harness.backend.clients == 0


def test_a_query_is_answered_by_the_conversation_and_opens_no_session(talking: DatagramHarness) -> None:
    talking.set_status(Status.running)
    talking.client.send(b"?info")
    assert talking.receive(talking.client) == b"info"
    assert talking.listener.report().sessions == 0
    session(talking)
    [player] = talking.server.sessions
    talking.until(lambda: player.moved() == (5, 0))  # no rule: it counts by its bytes at once


def test_a_session_that_cannot_be_opened_is_counted_and_raises_nothing(harness: DatagramHarness) -> None:
    harness.backend.host = "255.255.255.255"  # which the kernel refuses
    harness.set_status(Status.running)
    harness.client.send(b"x")
    harness.until(lambda: harness.dropped("unsent") == 1)
    assert harness.server.sessions == []


def test_an_address_that_changes_is_used_for_the_next_session(harness: DatagramHarness) -> None:
    harness.set_status(Status.running)
    session(harness)
    with datagram_socket() as other:
        harness.backend.port = other.getsockname()[1]
        client = harness.new_client()
        client.send(b"moved")
        assert harness.receive(other) == b"moved"


def test_the_first_datagram_begins_with_a_header_that_names_the_client(harness: DatagramHarness) -> None:
    harness.backend.proxy_version = "v2"
    harness.set_status(Status.running)
    harness.client.send(b"hello")
    port = harness.client.getsockname()[1]
    own = harness.socket.port.address[1]
    header = b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x0c" + bytes([127, 0, 0, 1]) * 2
    header += port.to_bytes(2, "big") + own.to_bytes(2, "big")
    assert harness.receive(harness.game) == header + b"hello"
    session(harness)
    harness.until(lambda: harness.listener.report().to_server == 2)
    [player] = harness.server.sessions
    harness.client.send(b"hello")
    harness.receive(harness.game)
    harness.until(lambda: player.moved() == (15, 0))  # without the header


# The end of the server


def test_players_stay_connected_until_the_server_has_stopped(harness: DatagramHarness) -> None:
    harness.set_status(Status.running)
    for _ in range(3):
        session(harness)
    other = harness.new_client()
    other.send(b"seldom")
    assert harness.receive(harness.game) == b"seldom"
    harness.set_status(Status.stopping)
    harness.until(lambda: harness.server.players == 1)
    session(harness)
    harness.set_status(Status.stopped)
    harness.until(lambda: harness.server.players == 0)


def test_what_a_player_still_sends_does_not_wake_the_server_again(harness: DatagramHarness) -> None:
    harness.set_status(Status.running)
    for _ in range(3):
        session(harness)
    harness.set_status(Status.stopped)
    harness.until(lambda: harness.backend.clients == 0)
    for number in range(1, 11):
        harness.client.send(b"still here")
        harness.until(lambda number=number: harness.dropped("left-over") == number)  # type: ignore[misc]
        harness.clock.advance(1.0)
    assert harness.server.wakes == []
    harness.clock.advance(SILENCE)
    wake(harness)


def test_a_protocol_that_knows_a_join_takes_a_player_again_at_once(talking: DatagramHarness, talker: Talker) -> None:
    talking.set_status(Status.running)
    for _ in range(3):
        session(talking)
    talking.set_status(Status.stopped)
    talking.until(lambda: talking.backend.clients == 0)
    talker.replies = {b"join": Reply(wake=WakeRequested("Steve"))}
    talking.client.send(b"join")
    talking.until(lambda: talking.server.wakes)


def test_a_client_that_goes_on_and_on_wakes_the_server_in_the_end(harness: DatagramHarness) -> None:
    harness.set_status(Status.running)
    for _ in range(3):
        session(harness)
    harness.set_status(Status.failed)
    harness.until(lambda: harness.backend.clients == 0)
    began = harness.clock.seconds()
    while not harness.server.wakes:
        decided = all_dropped(harness)
        harness.client.send(b"still here")
        harness.until(lambda decided=decided: all_dropped(harness) > decided)  # type: ignore[misc]
        harness.clock.advance(1.0)
    assert LONGEST <= harness.clock.seconds() - began <= LONGEST + 5


# Answers


def test_answers_that_are_longer_than_the_question_are_limited_unless_the_address_is_proved(
    talking: DatagramHarness, talker: Talker
) -> None:
    talker.replies = {b"long": Reply((b"longer",)), b"same": Reply((b"size",)), b"proved": Reply((bytes(100),), True)}
    for _ in range(20):
        talking.client.send(b"long")
    talking.until(lambda: talking.dropped("answer-limit") == 10)
    assert talking.listener.report().answers == 10
    for _ in range(20):
        talking.client.send(b"same")
        talking.client.send(b"proved")
    talking.until(lambda: talking.listener.report().answers == 50)


def test_a_conversation_answers_later_and_at_its_own_time(talking: DatagramHarness, talker: Talker) -> None:
    host, port = talking.client.getsockname()
    talker.replies = {b"join": Reply((b"wait",), True, WakeRequested("Steve"))}
    talker.due = [ClientReply(host, port, Reply((b"pong",), True)), ClientReply("192.0.2.1", 1, Reply((b"lost",)))]
    talker.told = [ClientReply(host, port, Reply((b"again",), True))]
    talker.next_timeout = talking.clock.seconds() + 5.0
    talking.client.send(b"join")
    assert talking.receive(talking.client) == b"wait"
    assert talking.server.wakes == [f"login: Steve ({host}:{port})"]
    talking.clock.advance(5.0)
    assert talking.receive(talking.client) == b"pong"
    talking.set_status(Status.running)
    assert talking.receive(talking.client) == b"again"


def test_clients_are_told_when_the_start_fails(talking: DatagramHarness, talker: Talker) -> None:
    host, port = talking.client.getsockname()
    talker.replies = {b"join": Reply((b"wait",), True, WakeRequested("Steve"))}
    talking.client.send(b"join")
    assert talking.receive(talking.client) == b"wait"
    talker.told = [ClientReply(host, port, Reply((b"failed",), True))]
    talking.set_status(Status.failed)
    assert talking.receive(talking.client) == b"failed"


def test_a_refused_client_is_told_why(talking: DatagramHarness, talker: Talker) -> None:
    talking.backend.admission = Admission(Rules(deny=AccessList(["Steve"])))
    talker.replies = {b"join": Reply(wake=WakeRequested("Steve"))}
    talking.client.send(b"join")
    assert talking.receive(talking.client) == b"no"
    assert talker.refusals == ["refusal denied Steve"]
    assert talking.server.wakes == []


def test_what_breaks_the_protocol_is_counted(talking: DatagramHarness) -> None:
    talking.client.send(b"bad")
    talking.until(lambda: talking.dropped("refused") == 1)


def test_a_closed_listener_ignores_newcomers_and_leaves_sessions_alone(harness: DatagramHarness) -> None:
    harness.set_status(Status.running)
    session(harness)
    harness.listener.close()
    harness.new_client().send(b"x")
    session(harness)
    assert harness.listener.report().sessions == 1
