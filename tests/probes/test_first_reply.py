"""Asking in several ways that overlap."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from zeroscale.errors import BackendError
from zeroscale.probes.base import NotAccepting, SilentStatus
from zeroscale.probes.first_reply import FirstReply

PATIENCE, LIMIT = 5.0, 15.0


class Questions:
    """Asks in the ways "a", "b" and "c"; each question ends when the test says so, or after `LIMIT` seconds."""

    def __init__(self, *at_once: Exception | str, after_refusal: bool = True) -> None:
        self.clock = Clock()
        self.asked: list[tuple[float, str]] = []
        self.open: list[tuple[str, Deferred[str]]] = []
        self.cancelled: list[str] = []
        self._at_once = list(at_once)
        self.search: FirstReply[str, str] = FirstReply(
            self.clock, "abc", self._ask, patience=PATIENCE, limit=LIMIT, after_refusal=after_refusal
        )
        self.outcome: list[object] = []
        self.running = self.search.run()
        self.running.addBoth(self.outcome.append)

    def _ask(self, way: str) -> Deferred[str]:
        self.asked.append((self.clock.seconds(), way))
        if self._at_once:
            now = self._at_once.pop(0)
            return succeed(now) if isinstance(now, str) else fail(now)
        question: Deferred[str] = Deferred(lambda _: self.cancelled.append(way))
        question.addTimeout(LIMIT, self.clock, self._timed_out)
        self.open.append((way, question))
        return question

    def _timed_out(self, _: object, timeout: float) -> str:
        raise SilentStatus(f"nothing within {timeout:g} s")

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([0.5] * round(seconds * 2))

    @property
    def failure(self) -> Exception:
        (outcome,) = self.outcome
        assert isinstance(outcome, Failure)
        assert isinstance(outcome.value, Exception)
        return outcome.value


def test_the_first_way_is_enough() -> None:
    questions = Questions("reply")
    assert questions.outcome == [("a", "reply")]
    assert questions.asked == [(0.0, "a")]
    assert questions.clock.getDelayedCalls() == []


def test_the_next_way_is_asked_as_soon_as_one_has_failed() -> None:
    questions = Questions(BackendError("closed"), BackendError("closed"), "reply")
    assert questions.outcome == [("c", "reply")]
    assert [way for _, way in questions.asked] == ["a", "b", "c"]
    assert questions.search.refused_at == {"a": 0.0, "b": 0.0}
    assert questions.clock.getDelayedCalls() == []


def test_the_next_way_is_asked_after_some_silence_and_the_first_stays_open() -> None:
    questions = Questions()
    questions.pass_time(12)
    assert questions.asked == [(0.0, "a"), (5.0, "b"), (10.0, "c")]
    assert questions.cancelled == []
    questions.open[0][1].callback("slow")
    assert questions.outcome == [("a", "slow")]
    assert questions.cancelled == ["b", "c"]
    assert questions.search.refused_at == {}
    assert questions.clock.getDelayedCalls() == []


def test_every_way_has_the_whole_limit_and_the_search_ends() -> None:
    questions = Questions()
    questions.pass_time(2 * PATIENCE + LIMIT - 0.5)
    assert questions.outcome == []
    # the first ways were asked again, should the server have come up in between
    assert [way for _, way in questions.asked] == ["a", "b", "c", "a", "b"]
    questions.open[2][1].callback("slow")
    assert questions.outcome == [("c", "slow")]


def test_nothing_but_silence_is_a_failure() -> None:
    questions = Questions()
    questions.pass_time(2 * PATIENCE + LIMIT)
    assert isinstance(questions.failure, SilentStatus)
    assert questions.clock.getDelayedCalls() == []
    assert len(questions.asked) == 5


def test_the_failure_of_the_first_way_is_reported() -> None:
    questions = Questions(BackendError("first"), BackendError("second"), BackendError("third"))
    assert str(questions.failure) == "first"
    assert questions.clock.getDelayedCalls() == []


def test_one_silent_way_keeps_the_search_open() -> None:
    questions = Questions(BackendError("closed"), BackendError("closed"))
    questions.pass_time(PATIENCE)
    assert questions.outcome == []
    assert questions.asked == [(0.0, "a"), (0.0, "b"), (0.0, "c"), (5.0, "a")]
    questions.open[1][1].callback("up now")
    assert questions.outcome == [("a", "up now")]


def test_when_the_last_open_question_fails_the_search_ends() -> None:
    questions = Questions(BackendError("first"), BackendError("second"))
    questions.pass_time(1)
    questions.open[0][1].errback(BackendError("third"))
    assert str(questions.failure) == "first"
    assert questions.clock.getDelayedCalls() == []


def test_a_failed_question_does_not_wait_for_a_silent_one() -> None:
    questions = Questions()
    questions.pass_time(6)
    questions.open[1][1].errback(BackendError("closed"))
    assert questions.asked == [(0.0, "a"), (5.0, "b"), (6.0, "c")]
    questions.pass_time(5)
    assert questions.asked[3:] == [(11.0, "a")]


def test_a_server_that_takes_no_connection_is_not_asked_in_other_ways() -> None:
    questions = Questions(NotAccepting("refused"))
    assert str(questions.failure) == "refused"
    assert len(questions.asked) == 1


@pytest.mark.parametrize("seconds", [0, 6, 24.5])
def test_a_cancelled_search_leaves_nothing_behind(seconds: float) -> None:
    questions = Questions()
    questions.pass_time(seconds)
    open_now = [way for way, question in questions.open if not question.called]
    questions.running.cancel()
    assert isinstance(questions.failure, CancelledError)
    assert questions.cancelled[-len(open_now) :] == open_now
    assert questions.clock.getDelayedCalls() == []


def test_where_a_refusal_ends_the_search_other_ways_are_asked_after_silence_only() -> None:
    questions = Questions(BackendError("refused"), after_refusal=False)
    assert str(questions.failure) == "refused"
    assert questions.asked == [(0.0, "a")]
    assert questions.clock.getDelayedCalls() == []
    questions = Questions(after_refusal=False)
    questions.pass_time(6)
    questions.open[1][1].errback(BackendError("refused"))
    assert (questions.asked, questions.outcome) == ([(0.0, "a"), (5.0, "b")], [])
    questions.pass_time(4)
    assert questions.asked[2:] == [(10.0, "c")]
    questions.open[0][1].callback("slow")
    assert questions.outcome == [("a", "slow")]
