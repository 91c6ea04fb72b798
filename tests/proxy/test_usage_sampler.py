"""What a server uses while no player is on it, sampled on a clock set by hand."""

from __future__ import annotations

import pytest
from twisted.internet.base import DelayedCall
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from zeroscale.errors import PluginError
from zeroscale.events import NOBODY, Cause, CauseKind, Failed, Joined, Left, Ready, Stopping
from zeroscale.proxy.usage_sampler import INTERVAL, REPORT_INTERVAL, UsageSampler

MEMORY = 1000


class Server:
    """A server that uses a tenth of a processor while it is idle, and a whole one while players are on it.

    :ivar recorded: what was recorded: seconds, CPU seconds, memory.
    :ivar answer: what the next sample is answered with; None: what it has used.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.cpu = 0.0
        self.players = 0
        self.asked = 0
        self.reports = 0
        self.recorded: list[tuple[float, float, float]] = []
        self.answer: Deferred[tuple[float, int] | None] | None = None
        self.sampler = UsageSampler("s", self.clock, self._read, self._record, self._report)

    def passes(self, seconds: int) -> None:
        for _ in range(seconds):
            self.cpu += 1.0 if self.players else 0.1
            self.clock.advance(1)

    def is_ready(self) -> None:
        self.sampler.record_event(Ready(server="s", at=0.0, seconds=1.0))

    def joins(self) -> None:
        self.players += 1
        self.sampler.record_event(Joined(server="s", at=0.0, client=NOBODY, players=self.players))

    def leaves(self) -> None:
        self.players -= 1
        self.sampler.record_event(Left(server="s", at=0.0, client=NOBODY, players=self.players, seconds=1.0))
        self.clock.advance(0)

    def stops(self) -> None:
        self.sampler.record_event(Stopping(server="s", at=0.0, cause=Cause(CauseKind.idle)))

    def sums(self) -> tuple[float, float]:
        """Return the seconds and the CPU seconds that were recorded, rounded."""
        return sum(each[0] for each in self.recorded), round(sum(each[1] for each in self.recorded), 3)

    def _read(self) -> Deferred[tuple[float, int] | None]:
        self.asked += 1
        answer, self.answer = self.answer, None
        return succeed((self.cpu, MEMORY)) if answer is None else answer

    def _record(self, seconds: float, cpu: float, memory: float) -> None:
        self.recorded.append((seconds, cpu, memory))

    def _report(self) -> None:
        self.reports += 1


def test_an_idle_server_from_ready_to_its_stop() -> None:
    server = Server()
    server.is_ready()
    server.passes(150)
    server.stops()
    assert server.asked == 4
    assert server.sums() == (150, 15.0)
    assert server.recorded[0][2] == MEMORY
    assert server.clock.getDelayedCalls() == []


def test_there_is_no_timer_while_it_does_not_run() -> None:
    server = Server()
    server.joins()
    server.leaves()
    server.stops()
    server.passes(600)
    assert (server.asked, server.recorded) == (0, [])
    assert server.clock.getDelayedCalls() == []


def test_only_the_time_without_players_counts() -> None:
    server = Server()
    server.is_ready()
    server.passes(90)
    server.joins()
    server.passes(500)
    server.joins()
    server.leaves()
    server.leaves()
    server.passes(45)
    server.stops()
    assert server.sums() == (135, 13.5)


def test_a_short_visit_leaves_something_to_measure() -> None:
    server = Server()
    server.is_ready()
    server.passes(1)
    server.joins()
    server.passes(1)
    server.leaves()
    server.passes(6)
    server.stops()
    assert server.sums() == (3, 0.3)


def test_players_that_come_and_go_all_the_time_cost_few_samples() -> None:
    server = Server()
    server.is_ready()
    for _ in range(300):
        server.joins()
        server.passes(1)
        server.leaves()
    assert server.asked < 300 / 5 + 5
    server.stops()
    assert server.sums()[1] <= server.sums()[0] * 0.1 + 0.001, "a time in which a player was on does not count"


def test_connections_that_come_and_go_all_the_time_do_not_set_the_timer_each(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    server.is_ready()
    resets: list[float] = []
    reset = DelayedCall.reset

    def count(call: DelayedCall, seconds: float) -> None:
        resets.append(seconds)
        reset(call, seconds)

    monkeypatch.setattr(DelayedCall, "reset", count)
    for _ in range(1000):
        server.joins()
        server.clock.advance(0.001)
        server.leaves()
    assert len(resets) == 1


def test_sums_are_recorded_at_times() -> None:
    server = Server()
    server.is_ready()
    server.passes(round(REPORT_INTERVAL) * 2)
    assert server.reports == 2
    assert server.sums()[0] == REPORT_INTERVAL * 2
    assert len(server.recorded) == 2


def test_sums_are_recorded_when_they_are_asked_for() -> None:
    server = Server()
    server.is_ready()
    server.sampler.report()
    server.passes(130)
    for _ in range(2):
        server.sampler.report()
    assert len(server.recorded) == 1
    assert server.sums() == (120, 12.0)
    server.passes(20)
    server.stops()
    assert server.sums() == (150, 15.0)


def test_what_is_not_known_does_not_count() -> None:
    server = Server()
    server.answer = succeed(None)
    server.is_ready()
    server.passes(round(INTERVAL) + 1)
    assert server.recorded == []
    server.answer = fail(PluginError("no"))
    server.passes(round(INTERVAL))
    server.passes(2 * round(INTERVAL) - 1)
    server.stops()
    assert server.sums() == (INTERVAL, 6.0)


def test_a_process_that_has_ended_takes_its_seconds_with_it() -> None:
    server = Server()
    server.is_ready()
    server.cpu = -100.0
    server.passes(round(INTERVAL))
    server.stops()
    assert server.sums() == (INTERVAL, 0.0)


def test_a_late_answer_is_waited_for_and_none_is_asked_for_twice() -> None:
    server = Server()
    server.is_ready()
    late = server.answer = Deferred()
    server.passes(3 * round(INTERVAL))
    assert server.asked == 2
    late.callback((2.0, MEMORY))
    last = server.answer = Deferred()
    server.passes(30)
    server.stops()
    assert server.recorded == []
    last.callback((3.0, MEMORY))
    assert server.sums() == (210, 3.0)


def test_a_stop_at_once_asks_nothing() -> None:
    server = Server()
    server.is_ready()
    server.passes(round(INTERVAL) + 30)
    cancelled: list[object] = []
    server.answer = Deferred(cancelled.append)
    server.sampler.stop(now=True)
    assert server.asked == 2
    assert server.sums() == (INTERVAL, 6.0)
    server.is_ready()
    assert server.asked == 3
    server.sampler.stop(now=True)
    assert len(cancelled) == 1
    assert server.clock.getDelayedCalls() == []


def test_a_crash_ends_the_samples_and_a_failed_stop_does_not() -> None:
    server = Server()
    server.is_ready()
    server.sampler.record_event(Failed(server="s", at=0.0, during="stop", reason="", detail=""))
    assert len(server.clock.getDelayedCalls()) == 1
    server.sampler.record_event(Failed(server="s", at=0.0, during="run", reason="", detail=""))
    assert server.clock.getDelayedCalls() == []
