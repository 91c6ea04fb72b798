"""Queries beside another protocol on one port."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from zeroscale.errors import ProtocolError
from zeroscale.protocols.conversation import Component
from zeroscale.protocols.datagrams import NO_REPLY, Answer, ClientReply, Reply, WakeRequested
from zeroscale.protocols.query_conversation import QueryConversation

CLIENT = ("192.0.2.7", 4711)
WAKE = Reply(wake=WakeRequested())
LATER = [ClientReply(*CLIENT, Reply((b"ready",)))]


def answer(datagram: bytes, host: str, now: float) -> Answer:
    if datagram != b"query":
        raise ProtocolError("no query")
    return Answer((f"{host} {now}".encode(),), proved=True)


class Game:
    """The other protocol."""

    next_timeout = 7.0

    def receive(self, datagram: bytes, host: str, port: int, now: float) -> Reply:
        assert (host, port, now) == (*CLIENT, 1.0)
        if datagram == b"nonsense":
            raise ProtocolError("nonsense")
        return WAKE

    def tick(self, now: float) -> Sequence[ClientReply]:
        return LATER

    def server_ready(self, now: float) -> Sequence[ClientReply]:
        return LATER

    def refuse(self, host: str, port: int, message: Component, now: float) -> Reply:
        assert message == "no"
        return LATER[0].reply

    def opens_session(self, datagram: bytes) -> bool:
        return datagram != b"ping"

    def answer_running(self, datagram: bytes, host: str, port: int, now: float) -> Reply:
        return WAKE


@pytest.mark.parametrize("other", [None, Game()])
def test_a_query_is_answered_and_never_wakes(other: Game | None) -> None:
    asked = QueryConversation(answer, other)
    for _ in range(100):
        assert asked.receive(b"query", *CLIENT, 1.0) == Reply((b"192.0.2.7 1.0",), proved=True)


def test_what_is_no_query_is_left_to_the_other_protocol() -> None:
    game = QueryConversation(answer, Game())
    assert game.receive(b"join", *CLIENT, 1.0) == WAKE
    with pytest.raises(ProtocolError, match="nonsense"):
        game.receive(b"nonsense", *CLIENT, 1.0)
    assert (game.next_timeout, game.tick(1.0), game.server_ready(1.0)) == (7.0, LATER, LATER)
    assert [game.opens_session(each) for each in (b"query", b"ping")] == [True, False]
    assert game.answer_running(b"ping", *CLIENT, 1.0) == WAKE
    assert game.refuse(*CLIENT, "no", 1.0) == LATER[0].reply


def test_without_another_protocol_it_is_a_mistake() -> None:
    alone = QueryConversation(answer)
    with pytest.raises(ProtocolError, match="no query"):
        alone.receive(b"join", *CLIENT, 1.0)
    assert (alone.next_timeout, list(alone.tick(1.0)), list(alone.server_ready(1.0))) == (math.inf, [], [])
    assert alone.opens_session(b"anything")
    assert alone.answer_running(b"anything", *CLIENT, 1.0) == alone.refuse(*CLIENT, "no", 1.0) == NO_REPLY


def test_a_client_that_only_queries_does_not_count_as_a_player() -> None:
    rule = QueryConversation(answer, Game()).rule
    assert rule is not None
    assert not any(rule.is_met_by(20 * visits, 10.0 * (visits - 1)) for visits in range(1, 100)), (
        "a browser's refreshes"
    )
    assert all(rule.is_met_by(int(20 * seconds), seconds) for seconds in range(2, 100)), "20 datagrams a second"
