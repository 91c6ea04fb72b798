from __future__ import annotations

from zeroscale.lifecycle.escalation import LONGEST_BACK_OFF, StopStep, back_off, stop_steps


def rungs(*arguments: float | None, hurried: bool = False) -> list[tuple[float, StopStep]]:
    stop, kill = arguments
    assert stop is not None
    return [(step.after, step.step) for step in stop_steps(stop, kill, hurried=hurried)]


def test_nothing_is_killed_unless_somebody_asked_for_it() -> None:
    assert rungs(150.0, None) == [(150.0, StopStep.terminate), (300.0, StopStep.unanswered)]


def test_a_kill_comes_so_long_after_the_unanswered_sigterm() -> None:
    assert rungs(150.0, 200.0) == [(150.0, StopStep.terminate), (300.0, StopStep.unanswered), (350.0, StopStep.kill)]


def test_an_impatient_kill_comes_before_sigterm_is_called_unanswered() -> None:
    assert rungs(150.0, 10.0) == [(150.0, StopStep.terminate), (160.0, StopStep.kill), (300.0, StopStep.unanswered)]


def test_who_hurries_gets_sigterm_at_once_and_nothing_else_sooner() -> None:
    assert rungs(150.0, None, hurried=True) == [(0.0, StopStep.terminate), (150.0, StopStep.unanswered)]


def test_the_first_crash_may_be_tried_again_at_once_and_later_ones_wait_longer_and_longer() -> None:
    waits = [back_off(crashes, 50) for crashes in range(1, 20)]
    assert waits[:4] == [0.0, 10.0, 20.0, 40.0]
    assert waits == sorted(wait for wait in waits if wait is not None)
    assert waits[-1] == LONGEST_BACK_OFF


def test_after_as_many_crashes_as_it_may_have_it_stays_down() -> None:
    assert back_off(4, 5) is not None
    assert back_off(5, 5) is None
    assert back_off(6, 5) is None
