from __future__ import annotations

from zeroscale.lifecycle.escalation import LONGEST_BACK_OFF, StopStep, back_off, stop_steps


def steps(*arguments: float | None, hurried: bool = False) -> list[tuple[float, StopStep]]:
    stop, kill = arguments
    assert stop is not None
    return [(step.after, step.step) for step in stop_steps(stop, kill, hurried=hurried)]


def test_without_kill_timeout_there_is_no_sigkill() -> None:
    assert steps(150.0, None) == [(150.0, StopStep.terminate), (300.0, StopStep.unanswered)]


def test_sigkill_comes_kill_timeout_after_sigterm() -> None:
    assert steps(150.0, 200.0) == [(150.0, StopStep.terminate), (300.0, StopStep.unanswered), (350.0, StopStep.kill)]


def test_a_short_kill_timeout_comes_before_sigterm_is_unanswered() -> None:
    assert steps(150.0, 10.0) == [(150.0, StopStep.terminate), (160.0, StopStep.kill), (300.0, StopStep.unanswered)]


def test_a_hurried_stop_sends_sigterm_at_once_and_nothing_else_sooner() -> None:
    assert steps(150.0, None, hurried=True) == [(0.0, StopStep.terminate), (150.0, StopStep.unanswered)]


def test_the_first_retry_is_immediate_and_later_ones_wait_longer() -> None:
    waits = [back_off(crashes, 50) for crashes in range(1, 20)]
    assert waits[:4] == [0.0, 10.0, 20.0, 40.0]
    assert waits == sorted(wait for wait in waits if wait is not None)
    assert waits[-1] == LONGEST_BACK_OFF


def test_after_the_maximum_of_crashes_there_is_no_retry() -> None:
    assert back_off(4, 5) is not None
    assert back_off(5, 5) is None
    assert back_off(6, 5) is None
