"""Measures what a running server uses while no player is on it. One timer while the server runs."""

from __future__ import annotations

import logging
from collections.abc import Callable

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from zeroscale.events import Failed, Joined, Left, Ready, ServerEvent, Stopped, Stopping
from zeroscale.server_log import ServerLog

INTERVAL = 60.0
"""Seconds between two samples."""

SHORTEST = 5.0
"""Seconds between two samples at least; players of a busy server come and go all the time."""

SAME = 0.01
"""Seconds between two times for which the timer is not set anew: a web server has a thousand connections a second."""

REPORT_INTERVAL = 600.0
"""Seconds after which the sums are recorded, so that a crash costs little."""


class _Sample(Struct, frozen=True):
    at: float
    cpu: float
    memory: int


class UsageSampler:
    """Samples one server.

    :param name: the server's name, for the log.
    :param clock: times the samples.
    :param read: asks for the CPU seconds since the server's start, and the bytes of memory it has now.
    :param record: called with seconds without a player, the CPU seconds in them, and the bytes of memory on average.
    :param each_report: called every `REPORT_INTERVAL` seconds while the server runs, after `record`.
    """

    def __init__(
        self,
        name: str,
        clock: IReactorTime,
        read: Callable[[], Deferred[tuple[float, int] | None]],
        record: Callable[[float, float, float], None],
        each_report: Callable[[], None],
    ) -> None:
        self._log = ServerLog(logging.getLogger("zeroscale.server"), name)
        self._clock = clock
        self._read = read
        self._record = record
        self._each_report = each_report
        self._timer: IDelayedCall | None = None
        self._pending: Deferred[None] | None = None
        self._reported_at = 0.0
        self._asked_at = 0.0
        self._last: _Sample | None = None
        self._players = 0
        self._busy = False
        self._seconds = self._cpu = self._memory_seconds = 0.0

    def record_event(self, event: ServerEvent) -> None:
        """Take an event of the server, also one that does not matter."""
        match event:
            case Ready():
                self._start()
            case Joined():
                if not self._busy and self._timer is not None and self._early_in <= 0:
                    self._sample()  # the time without a player ends here
                self._players, self._busy = event.players, True
            case Left():
                self._players = event.players
                if not self._players and self._timer is not None:
                    delay = max(0.0, self._early_in)  # the time without a player begins there
                    if abs(self._timer.getTime() - self._clock.seconds() - delay) > SAME:
                        self._timer.reset(delay)
            case Stopping() | Stopped():
                self.stop()
            case Failed() if event.during != "stop":
                self.stop()

    def report(self) -> None:
        """Record what was measured since the last record."""
        if self._seconds > 0:
            self._record(self._seconds, self._cpu, self._memory_seconds / self._seconds)
        self._seconds = self._cpu = self._memory_seconds = 0.0

    def stop(self, *, now: bool = False) -> None:
        """Stop sampling, and record what is known.

        :param now: without a last sample.
        """
        timer, self._timer = self._timer, None
        if timer is not None:
            if not now:
                self._sample()
            if timer.active():
                timer.cancel()
        if now and self._pending is not None:
            self._pending.cancel()
        if self._pending is None:
            self._finish()

    def _start(self) -> None:
        self.stop(now=True)
        self._reported_at = self._clock.seconds()
        self._players, self._busy = 0, False
        self._tick()

    def _tick(self) -> None:
        self._timer = self._clock.callLater(INTERVAL, self._tick)
        self._sample()
        if self._clock.seconds() - self._reported_at >= REPORT_INTERVAL:
            self._reported_at = self._clock.seconds()
            self.report()
            self._each_report()

    @property
    def _early_in(self) -> float:
        """Seconds until a sample may be taken before its time."""
        return self._asked_at + SHORTEST - self._clock.seconds()

    def _sample(self) -> None:
        if self._pending is not None:  # the last answer is not there yet
            return
        was_busy, self._busy = self._busy, self._players > 0
        self._asked_at = self._clock.seconds()
        answer = self._read()

        def take(used: tuple[float, int] | None) -> None:
            sample = None if used is None else _Sample(self._clock.seconds(), *used)
            if not was_busy and sample is not None and self._last is not None:
                self._add(self._last, sample)
            self._last = sample

        def ignore(failure: Failure) -> None:
            self._last = None
            self._log.debug("what it uses is not known: %s", failure.getErrorMessage() or repr(failure.value))

        def done(_: None) -> None:
            self._pending = None
            if self._timer is None:
                self._finish()

        self._pending = answer.addCallbacks(take, ignore)
        self._pending.addCallback(done)

    def _add(self, before: _Sample, after: _Sample) -> None:
        seconds = after.at - before.at
        self._seconds += seconds
        # A process that has ended takes its CPU seconds with it, unless its parent has waited for it.
        self._cpu += max(0.0, after.cpu - before.cpu)
        self._memory_seconds += (before.memory + after.memory) / 2 * seconds

    def _finish(self) -> None:
        self.report()
        self._last = None
