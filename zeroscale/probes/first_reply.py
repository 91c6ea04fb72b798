"""Ask a server in several ways, which overlap, until one of them brings a reply.

A slow server is asked in the next way, too, while the question before it stays open: asking again from the beginning
would keep a reply that takes long from ever coming.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from zeroscale.probes.base import NotAccepting

Way = TypeVar("Way")
Reply = TypeVar("Reply")


class FirstReply(Generic[Way, Reply]):
    """Asks in one way after the other, each as soon as the one before has failed, or after some seconds of silence.

    Once it has asked in every way it goes on from the first one, as long as one of them may still bring a reply: a
    server that has just come up may not see earlier questions.

    :param clock: schedules the questions.
    :param ways: at least one, the best first.
    :param ask: asks in one way; the result fails if there is no reply, and may be cancelled.
    :param patience: seconds of silence after which the server is asked in the next way, too.
    :param limit: seconds that a reply may take.
    :param after_refusal: also ask in the next way once one has failed by something else than silence.
    :ivar refused_at: when each way failed last that has failed by something else than silence.
    """

    def __init__(
        self,
        clock: IReactorTime,
        ways: Sequence[Way],
        ask: Callable[[Way], Deferred[Reply]],
        *,
        patience: float,
        limit: float,
        after_refusal: bool = True,
    ) -> None:
        self._clock = clock
        self._ways = ways
        self._ask = ask
        self._patience = patience
        self._after_refusal = after_refusal
        self._ends_at = clock.seconds() + (len(ways) - 1) * patience + limit
        self._result: Deferred[tuple[Way, Reply]] = Deferred(lambda _: self._end())
        self._asked = 0
        self._open: dict[Deferred[Reply], None] = {}
        self._timer: IDelayedCall | None = None
        self._failure: Failure | None = None
        self._ended = False
        self.refused_at: dict[Way, float] = {}

    def run(self) -> Deferred[tuple[Way, Reply]]:
        """Ask.

        :returns: fires with the way that brought the first reply, and the reply; fails with the failure of the first
            way that failed. When it is cancelled, so are all questions.
        """
        self._ask_next()
        return self._result

    def _ask_next(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        if now >= self._ends_at:
            self._give_up()
            return
        way = self._ways[self._asked % len(self._ways)]
        self._asked += 1
        self._timer = self._clock.callLater(min(self._patience, self._ends_at - now), self._ask_next)
        question = self._ask(way)
        self._open[question] = None
        question.addCallbacks(
            lambda reply: self._replied(question, way, reply), lambda failure: self._failed(question, way, failure)
        )

    def _replied(self, question: Deferred[Reply], way: Way, reply: Reply) -> None:
        del self._open[question]
        if not self._ended:
            self._end()
            self._result.callback((way, reply))

    def _failed(self, question: Deferred[Reply], way: Way, failure: Failure) -> None:
        del self._open[question]
        if self._ended:
            return
        refused = not failure.check(TimeoutError)
        if refused:
            self.refused_at[way] = self._clock.seconds()
        self._failure = self._failure or failure
        useless = not self._open and failure.check(NotAccepting) is not None
        if self._asked < len(self._ways) and not useless and (self._after_refusal or not refused):
            self._cancel_timer()
            self._ask_next()
        elif not self._open:
            self._give_up()

    def _give_up(self) -> None:
        self._end()
        self._result.errback(self._failure or Failure(TimeoutError("the server did not reply")))

    def _end(self) -> None:
        self._ended = True
        self._cancel_timer()
        for question in list(self._open):
            question.cancel()

    def _cancel_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
