from __future__ import annotations

from twisted.internet.task import Clock

from zeroscale.events import Cause, CauseKind
from zeroscale.lifecycle.status_record import StatusRecord
from zeroscale.status import Status


def test_a_new_server_is_stopped() -> None:
    record = StatusRecord(Clock().seconds)
    assert (record.status, record.since, record.is_down, record.may_be_retried) == (Status.stopped, 0.0, True, False)
    assert (record.last_start, record.last_error) == (None, None)


def test_a_failure_is_explained_until_the_next_status_and_its_last_error_remains() -> None:
    clock = Clock()
    record = StatusRecord(clock.seconds)
    clock.advance(5.0)
    record.enter(Status.failed)
    record.explain_failure("it crashed", "exit code 1", 10.0)
    assert (record.is_down, record.reason, record.detail, record.retry_at) == (True, "it crashed", "exit code 1", 15.0)
    retried = []
    for seconds in (9.9, 0.1):
        clock.advance(seconds)
        retried.append(record.may_be_retried)
    assert retried == [False, True]
    record.enter(Status.starting)
    assert (record.since, record.is_down, record.may_be_retried) == (15.0, False, False)
    assert (record.reason, record.detail, record.last_error) == (None, None, ("exit code 1", 5.0))


def test_without_a_delay_the_failed_server_may_not_be_retried() -> None:
    clock = Clock()
    record = StatusRecord(clock.seconds)
    record.enter(Status.failed)
    record.explain_failure("it crashed", "exit code 1", None)
    clock.advance(1e6)
    assert not record.may_be_retried


def test_each_change_is_reported() -> None:
    seen: list[str] = []
    record = StatusRecord(Clock().seconds, lambda: seen.append("changed"))
    seen.clear()
    record.enter(Status.stopping)
    record.note_stop_timed_out("it does not stop")
    assert (record.stop_timed_out, record.reason, len(seen)) == (True, "it does not stop", 2)
    record.enter(Status.failed)
    record.explain_failure("it crashed", "exit code 1", None)
    assert len(seen) == 4


def test_a_change_of_status_forgets_a_wanted_start_and_a_stop_that_timed_out() -> None:
    record = StatusRecord(Clock().seconds)
    record.enter(Status.stopping)
    record.start_wanted = Cause(CauseKind.operator)
    record.note_stop_timed_out("it does not stop")
    record.enter(Status.stopped)
    assert [record.start_wanted, record.stop_timed_out, record.reason] == [None, False, None]
