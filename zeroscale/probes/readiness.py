"""Wait until a starting server is ready: until its first status reply, or until its ready line.

The server is disturbed as little as possible: plain connections until it accepts one, then checks that get fewer with
time, and few where its ready line will show when the next one is due.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from zeroscale.errors import BackendError, StartRefused
from zeroscale.probes.base import NoReply, ServerProbe, SilentStatus, Stage
from zeroscale.status import ProbeResult

logger = logging.getLogger("zeroscale.server")

Logger = logging.Logger | logging.LoggerAdapter[logging.Logger]

ANSWER_GRACE = 0.02
"""Seconds after the ready line in which an earlier check may still be answered: an answer takes 1 ms."""

RETRIES_AFTER_LINE = (0.01, 0.04, 0.1, 0.25, 0.6, 1.0)
"""Seconds between checks after the ready line that were closed without a reply. Vanilla closes them where the status is
off, but also until its first status is made (docs/protocol.md, "Status"), which takes some milliseconds.
Two seconds later the status is taken as off; a single check takes longer where the server answers only some of the
questions by closing."""

NO_LINE_GRACE = 30.0
"""Seconds from accepting until a server without a visible ready line, and with its status off, is taken as ready."""


class _Acceptance:
    """Asks by a plain connection whether the server accepts one.

    :param clock: times the questions.
    :ivar hindrance: why the last question could not be asked; None: it could.
    """

    def __init__(self, clock: IReactorTime, probe: ServerProbe) -> None:
        self._clock = clock
        self._probe = probe
        self._began = 0.0
        self.hindrance: str | None = None

    async def __call__(self) -> bool:
        try:
            accepted = await self._probe.accepts_connections()
        except StartRefused as error:
            self.hindrance = str(error)
            return False
        self.hindrance = None
        return accepted

    def begin(self) -> None:
        """Ask often from now on: the server may accept soon."""
        self._began = self._clock.seconds()

    @property
    def interval(self) -> float:
        """Seconds until the next question."""
        return self._probe.connection_pace.interval(self._clock.seconds() - self._began)

    @property
    def problem(self) -> str:
        """Why it did not accept the last one."""
        return self.hindrance or self._probe.acceptance_problem or "it does not accept connections"


class Readiness:
    """Waits for a starting server's first answer. Serves one start.

    :param clock: schedules the checks.
    :param probe: checks the server.
    :param status_disabled: returns whether the server has its status off; called after the server accepts, since the
        first start writes server.properties.
    :param log: the server's log.
    """

    def __init__(
        self,
        clock: IReactorTime,
        probe: ServerProbe,
        *,
        status_disabled: Callable[[], bool] = lambda: False,
        log: Logger = logger,
    ) -> None:
        self._log = log
        self._clock = clock
        self._probe = probe
        self._accepts_connections = _Acceptance(clock, probe)
        self._status_disabled = status_disabled
        self._began = 0.0
        self._ready_line = self._line_expected = False
        self._pause: Deferred[None] | None = None
        self._grace: IDelayedCall | None = None
        self._checks: dict[Deferred[ProbeResult], None] = {}
        self._answer: ProbeResult | None = None
        self._fault: Failure | None = None
        self._problem: str | None = None

    @property
    def problem(self) -> str | None:
        """Why the server was not ready at the last check, for the message of a start timeout."""
        return self._problem

    @property
    def hindered(self) -> bool:
        """Whether the server could not be asked, for a reason other than itself."""
        return self._accepts_connections.hindrance is not None

    def run(self) -> Deferred[ProbeResult]:
        """Wait without a limit. May be cancelled at any time, and then leaves nothing behind."""
        return Deferred.fromCoroutine(self._run())

    def ready_line_seen(self) -> None:
        """Check the server at once: it has written its ready line. An earlier check stays open."""
        if self._ready_line:
            return
        self._ready_line = self._line_expected = True
        self._accepts_connections.begin()
        if self._checks:
            self._grace = self._clock.callLater(ANSWER_GRACE, self._wake)
        else:
            self._wake()

    def ready_line_missed(self) -> None:
        """Do nothing: a ready line that was written before the wait is not needed here."""

    def ready_line_expected(self) -> None:
        """Check the server less often: its output is seen, and so will be its ready line."""
        self._line_expected = True

    async def _run(self) -> ProbeResult:
        self._began = self._clock.seconds()
        self._accepts_connections.begin()
        try:
            return await self._wait_for_answer()
        finally:
            for check in list(self._checks):
                check.cancel()

    async def _wait_for_answer(self) -> ProbeResult:
        retries = iter(RETRIES_AFTER_LINE)
        while True:
            while not self._has_ended and not await self._accepts_connections():
                self._problem = self._accepts_connections.problem
                await self._sleep(self._accepts_connections.interval)
            if self._fault is not None:
                self._fault.raiseException()
            if self._answer is not None:
                return self._answer
            pace = self._probe.check_pace
            if pace is None:
                return ProbeResult()
            if self._status_disabled():
                return await self._wait_for_line()
            asked_at = self._clock.seconds()
            before_ready_line = not self._ready_line
            error = await self._check()
            delay: float | None = 0.0
            if error is not None:
                self._problem = str(error)
                now = self._clock.seconds()
                interval = pace.longest if self._line_expected else pace.interval(now - self._began)
                delay = max(asked_at + interval - now, pace.shortest)
                if before_ready_line:
                    delay = 0.0 if self._ready_line else delay
                elif isinstance(error, NoReply):
                    took_long = self._clock.seconds() - asked_at > sum(RETRIES_AFTER_LINE)
                    delay = None if took_long else next(retries, None)
                elif isinstance(error, SilentStatus):
                    delay = None
            if delay is None:
                self._log.warning("it wrote its ready line but does not answer the server list: taken as ready")
                return ProbeResult()
            if delay > 0 and not self._has_ended:
                await self._sleep(delay)

    @property
    def _has_ended(self) -> bool:
        return self._answer is not None or self._fault is not None

    async def _wait_for_line(self) -> ProbeResult:
        self._log.info("its status is off (enable-status=false): waiting for its ready line")
        if not self._ready_line:
            await self._sleep(NO_LINE_GRACE)
        if not self._ready_line:
            _log_missing_line(self._log)
        return ProbeResult()

    async def _check(self) -> Exception | None:
        """Check once, until the check has ended, the ready line is seen, or an earlier check has brought the answer.

        :returns: why the check has failed; None: it has not.
        """
        errors: list[Exception] = []
        ended = self._pause = Deferred()
        check = self._probe.ask(Stage.said_ready if self._ready_line else Stage.starting)
        self._checks[check] = None

        def end(outcome: ProbeResult | Failure) -> None:
            del self._checks[check]
            if isinstance(outcome, ProbeResult):
                if outcome.may_be_starting:
                    errors.append(NoReply("it answers only the ping of before 1.7"))
                else:
                    self._answer = outcome
                    self._wake()
            elif isinstance(outcome.value, BackendError | TimeoutError):
                errors.append(outcome.value)
            elif not outcome.check(CancelledError):
                self._fault = outcome
                self._wake()
            if self._pause is ended:
                self._wake()

        check.addBoth(end)
        try:
            await ended
        finally:
            self._pause = None
            if self._grace is not None and self._grace.active():
                self._grace.cancel()
        return errors[0] if errors else None

    async def _sleep(self, seconds: float) -> None:
        """Wait for the time, for the ready line, or for the answer to an earlier check."""
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
    """Waits for a starting server's ready line, and then until it accepts a connection. Serves one start.

    :param clock: schedules the connections.
    :param probe: connects to the server.
    :param log: the server's log.
    """

    def __init__(self, clock: IReactorTime, probe: ServerProbe, *, log: Logger = logger) -> None:
        self._log = log
        self._clock = clock
        self._accepts_connections = _Acceptance(clock, probe)
        self._line: Deferred[None] = Deferred()
        self._line_missed = False

    @property
    def problem(self) -> str | None:
        """Why the server is not ready."""
        if self._accepts_connections.hindrance is not None or self._line.called:
            return self._accepts_connections.problem
        return "it has not written its ready line"

    @property
    def hindered(self) -> bool:
        """Whether the server could not be asked, for a reason other than itself."""
        return self._accepts_connections.hindrance is not None

    def run(self) -> Deferred[ProbeResult]:
        """Wait without a limit. May be cancelled at any time, and then leaves nothing behind."""
        return Deferred.fromCoroutine(self._run())

    def ready_line_seen(self) -> None:
        """Go on: the server has written its ready line."""
        if not self._line.called:
            self._accepts_connections.begin()
            self._line.callback(None)

    def ready_line_expected(self) -> None:
        """Do nothing: its ready line is waited for in any case."""

    def ready_line_missed(self) -> None:
        """Also take a server as ready that accepts connections for `NO_LINE_GRACE`: it may have written its line."""
        self._line_missed = True

    async def _run(self) -> ProbeResult:
        self._accepts_connections.begin()
        if self._line_missed:
            await self._accepts()
            await self._wait_for_line(NO_LINE_GRACE)
        else:
            await self._wait_for_line(None)
        await self._accepts()
        return ProbeResult()

    async def _accepts(self) -> None:
        while not await self._accepts_connections():
            await _pause(self._clock, self._accepts_connections.interval)

    async def _wait_for_line(self, limit: float | None) -> None:
        waiting: Deferred[None] = Deferred()

        def end(_: object) -> None:
            if not waiting.called:
                waiting.callback(None)

        self._line.addCallback(end)
        call = None if limit is None else self._clock.callLater(limit, end, None)
        try:
            await waiting
        finally:
            if call is not None and call.active():
                call.cancel()
        if not self._line.called:
            _log_missing_line(self._log)


def _log_missing_line(log: Logger) -> None:
    log.warning("it has accepted connections for %.0f s without a ready line: taken as ready", NO_LINE_GRACE)


async def _pause(clock: IReactorTime, seconds: float) -> None:
    paused: Deferred[None] = Deferred()
    call = clock.callLater(seconds, paused.callback, None)
    try:
        await paused
    finally:
        if call.active():
            call.cancel()
