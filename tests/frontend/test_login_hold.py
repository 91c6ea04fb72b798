"""A held client: when it is sent requests, when it is kicked, when it is relayed."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from zeroscale.errors import ProtocolError
from zeroscale.frontend.login_hold import DRAIN_TIMEOUT, KEEPALIVE_EVERY, MOST_UNANSWERED, LoginHold
from zeroscale.frontend.timer import Deadlines
from zeroscale.protocols.conversation import HoldAnswered
from zeroscale.protocols.tcp import TcpConversation


class Asked(TcpConversation):
    """Answers are what is received, a byte each."""

    def __init__(self, *, asks: bool = True, early: bool = False) -> None:
        super().__init__()
        self.unanswered = 0
        self._asks = asks
        self._early = early

    def hold(self) -> tuple[()]:
        if self._early:
            raise ProtocolError("more than its login")
        return ()

    def keepalive(self) -> bytes:
        self.unanswered += self._asks
        return b"?" if self._asks else b"\x00"

    def receive(self, data: bytes) -> tuple[HoldAnswered, ...]:
        self.unanswered -= len(data)
        return (HoldAnswered(),) * len(data)


class Held:
    """A hold and what came of it."""

    def __init__(self, conversation: Asked) -> None:
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock)
        self.sent: list[bytes] = []
        self.silent = 0
        self.conversation = conversation
        self.hold = LoginHold(conversation, self.sent.append, self.clock, self.deadlines, self._hold_timed_out)

    def _hold_timed_out(self) -> None:
        self.silent += 1

    def answer(self, count: int = 1) -> None:
        self.hold.client_sent(answered=bool(self.conversation.receive(b"!" * count)))


@pytest.fixture
def held() -> Held:
    return Held(Asked())


def first_answer(held: Held) -> Deferred[None]:
    return Deferred.fromCoroutine(held.hold.first_answer())


def drained(held: Held) -> Deferred[bool]:
    return Deferred.fromCoroutine(held.hold.drained())


def result(deferred: Deferred[bool]) -> bool:
    results: list[bool] = []
    deferred.addCallback(results.append)
    (found,) = results
    return found


def test_it_is_asked_at_intervals_until_the_end(held: Held) -> None:
    held.hold.begin()
    held.clock.advance(KEEPALIVE_EVERY - 0.1)
    assert held.sent == []
    held.clock.advance(0.1)
    assert held.sent == [b"?"]
    held.answer()
    held.clock.advance(KEEPALIVE_EVERY)
    assert held.sent == [b"?", b"?"]
    held.hold.end()
    held.hold.end()
    assert len(held.deadlines) == 0


def test_it_can_be_asked_at_once(held: Held) -> None:
    held.hold.begin(at_once=True)
    assert held.sent == [b"?"]
    held.clock.advance(KEEPALIVE_EVERY)
    assert held.sent == [b"?", b"?"]


def test_it_may_begin_again(held: Held) -> None:
    held.hold.begin()
    held.hold.end()
    held.hold.begin()
    held.clock.advance(KEEPALIVE_EVERY)
    assert held.sent == [b"?"]


def test_a_client_that_stops_answering_is_reported_once(held: Held) -> None:
    held.hold.begin()
    held.clock.pump([KEEPALIVE_EVERY] * (MOST_UNANSWERED + 1))
    assert (len(held.sent), held.silent) == (MOST_UNANSWERED, 1)
    assert len(held.deadlines) == 0


def test_a_client_that_sent_more_than_its_login_is_not_held() -> None:
    held = Held(Asked(early=True))
    with pytest.raises(ProtocolError):
        held.hold.begin(at_once=True)
    assert held.sent == []
    assert len(held.deadlines) == 0


def test_the_first_answer(held: Held) -> None:
    held.hold.begin(at_once=True)
    waiting = first_answer(held)
    held.hold.client_sent(answered=False)
    before = waiting.called
    held.answer()
    assert (before, waiting.called) == (False, True)
    held.clock.advance(KEEPALIVE_EVERY)
    assert first_answer(held).called, "once is enough"


def test_a_client_that_cannot_answer_is_not_waited_for() -> None:
    held = Held(Asked(asks=False))
    held.hold.begin(at_once=True)
    assert held.sent == [b"\x00"]
    assert first_answer(held).called


def test_drained_when_the_last_answer_has_come(held: Held) -> None:
    assert result(drained(held)) is True
    held.hold.begin()
    held.clock.pump([KEEPALIVE_EVERY] * 2)
    held.hold.end()
    waiting = drained(held)
    held.answer()
    assert not waiting.called
    held.answer()
    assert result(waiting) is True
    assert len(held.deadlines) == 0


def test_not_drained_in_time(held: Held) -> None:
    held.hold.begin(at_once=True)
    held.hold.end()
    waiting = drained(held)
    held.clock.advance(DRAIN_TIMEOUT)
    assert result(waiting) is False
    held.answer()
    held.hold.client_sent(answered=False)
    assert len(held.deadlines) == 0


def test_what_waits_can_be_cancelled(held: Held) -> None:
    held.hold.begin(at_once=True)
    held.hold.end()
    for waiting in (first_answer(held), drained(held)):
        waiting.addErrback(lambda failure: None)
        waiting.cancel()
        assert waiting.called
    held.answer()
    assert len(held.deadlines) == 0
