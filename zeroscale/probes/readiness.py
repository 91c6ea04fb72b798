"""Waiting, quietly, until a starting server is ready: by its first answer, or by a line that it writes.

It is not disturbed meanwhile: plain connects until it accepts, then a question now and then. How it is asked is the
probe's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from zeroscale.errors import BackendError
from zeroscale.probes.base import NoReply, Probe
from zeroscale.status import ProbeResult

logger = logging.getLogger(__name__)

CONNECT_EVERY = 0.2
"""Seconds between two plain connects to a server that does not accept yet."""

QUESTION_EVERY = 5.0
"""Seconds between two questions to a starting server: Forge logs a line for each (lazymc#103)."""

GRACE = 0.02
"""Seconds that a question asked before the ready line has to be answered after it: an answer takes 1 ms."""

RETRIES_AFTER_LINE = (0.01, 0.04, 0.1, 0.25, 0.6, 1.0)
"""Seconds between questions after the ready line that were closed without a reply. Vanilla closes them so where the
status is off, but also from its line until its first status has been made (its handshake handler asks for both):
milliseconds, perhaps a slow tick. Two seconds later it is off."""

LINELESS_GRACE = 30.0
"""Seconds from accepting until a server with its status off, whose ready line nobody can see, counts as ready."""


class Readiness:
    """Waits until a starting server answers for the first time. For one start; make a new one for the next.

    :param clock: tells when to ask again.
    :param probe: asks.
    :param status_disabled: whether the server is told not to answer the server list; asked late, for a server's first
        start writes its configuration.
    :param question_every: seconds between two questions.
    """

    def __init__(
        self,
        clock: IReactorTime,
        probe: Probe,
        *,
        status_disabled: Callable[[], bool] = lambda: False,
        question_every: float = QUESTION_EVERY,
    ) -> None:
        self._clock = clock
        self._probe = probe
        self._status_disabled = status_disabled
        self._question_every = question_every
        self._ready_line = False
        self._pause: Deferred[None] | None = None
        self._question: Deferred[ProbeResult] | None = None
        self._grace: IDelayedCall | None = None
        self._abandoned = False
        self._problem: str | None = None

    @property
    def problem(self) -> str | None:
        """Why it was not ready when it was last asked, for the message of whoever loses patience."""
        return self._problem

    def run(self) -> Deferred[ProbeResult]:
        """Waits for as long as it takes. May be cancelled at any moment, and leaves nothing behind."""
        return Deferred.fromCoroutine(self._run())

    def ready_line_seen(self) -> None:
        """The server has written its ready line: the next question comes at once."""
        if self._ready_line:
            return
        self._ready_line = True
        if self._pause is not None:
            self._wake()
        elif self._question is not None:
            self._grace = self._clock.callLater(GRACE, self._abandon)

    def ready_line_missed(self) -> None:
        """Its ready line may have been written before we looked: no matter, it is asked."""

    async def _run(self) -> ProbeResult:
        retries = iter(RETRIES_AFTER_LINE)
        while True:
            while not await self._probe.connects():
                self._problem = "it does not accept connections"
                await self._sleep(CONNECT_EVERY)
            if self._status_disabled():
                return await self._line()
            asked_at = self._clock.seconds()
            asked_early = not self._ready_line
            try:
                answer = await self._ask()
            except (BackendError, TimeoutError) as error:
                self._problem = str(error)
                delay: float | None = max(asked_at + self._question_every - self._clock.seconds(), CONNECT_EVERY)
                if self._ready_line and isinstance(error, NoReply):
                    delay = 0.0 if asked_early else next(retries, None)
            else:
                if answer is not None:
                    return answer
                delay = 0.0
            if delay is None:
                logger.warning("It has written its ready line and does not answer the server list: taken for ready")
                return ProbeResult()
            if delay > 0:
                await self._sleep(delay)

    async def _line(self) -> ProbeResult:
        """The status is off: its ready line is all that will tell."""
        logger.info("Its status is off (enable-status=false): it is ready when it says so")
        if not self._ready_line:
            await self._sleep(LINELESS_GRACE)
        if not self._ready_line:
            logger.warning("It accepts connections for %.0f s without a ready line: taken for ready", LINELESS_GRACE)
        return ProbeResult()

    async def _ask(self) -> ProbeResult | None:
        """One question; None: it was asked before the ready line, and hangs."""
        self._question = self._probe.ask()
        try:
            return await self._question
        except CancelledError:
            if not self._abandoned:
                raise
            return None
        finally:
            self._question = None
            self._abandoned = False
            if self._grace is not None and self._grace.active():
                self._grace.cancel()

    def _abandon(self) -> None:
        if self._question is not None:
            self._abandoned = True
            self._question.cancel()

    async def _sleep(self, seconds: float) -> None:
        """Until the time is over, or the ready line comes."""
        self._pause = Deferred()
        call = self._clock.callLater(seconds, self._wake)
        try:
            await self._pause
        finally:
            self._pause = None
            if call.active():
                call.cancel()

    def _wake(self) -> None:
        pause, self._pause = self._pause, None
        if pause is not None:
            pause.callback(None)


class LineReadiness:
    """Waits for a starting server's ready line, and then until it accepts. For one start. See `parts.Readiness`.

    :param clock: tells when to try again.
    :param probe: connects.
    """

    def __init__(self, clock: IReactorTime, probe: Probe) -> None:
        self._clock = clock
        self._probe = probe
        self._line: Deferred[None] = Deferred()
        self._lineless = False

    @property
    def problem(self) -> str | None:
        """Why it was not ready yet."""
        return "it does not accept connections" if self._line.called else "it has not written its ready line"

    def run(self) -> Deferred[ProbeResult]:
        """Waits for as long as it takes. May be cancelled at any moment, and leaves nothing behind."""
        return Deferred.fromCoroutine(self._run())

    def ready_line_seen(self) -> None:
        """The line is there."""
        if not self._line.called:
            self._line.callback(None)

    def ready_line_missed(self) -> None:
        """It ran before we looked: its line may have been written then, and accepting for a while is as good."""
        self._lineless = True

    async def _run(self) -> ProbeResult:
        if self._lineless:
            await self._accepts()
            await self._wait_for_line(LINELESS_GRACE)
        else:
            await self._wait_for_line(None)
        await self._accepts()
        return ProbeResult()

    async def _accepts(self) -> None:
        while not await self._probe.connects():
            await _pause(self._clock, CONNECT_EVERY)

    async def _wait_for_line(self, at_most: float | None) -> None:
        waiting: Deferred[None] = Deferred()

        def over(_: object) -> None:
            if not waiting.called:
                waiting.callback(None)

        self._line.addCallback(over)
        call = None if at_most is None else self._clock.callLater(at_most, over, None)
        try:
            await waiting
        finally:
            if call is not None and call.active():
                call.cancel()
        if not self._line.called:
            logger.warning("It accepts connections for %.0f s without a ready line: taken for ready", LINELESS_GRACE)


async def _pause(clock: IReactorTime, seconds: float) -> None:
    paused: Deferred[None] = Deferred()
    call = clock.callLater(seconds, paused.callback, None)
    try:
        await paused
    finally:
        if call.active():
            call.cancel()
