"""Every state by every input: the next state, and the output."""

from __future__ import annotations

import inspect

import pytest

from zeroscale.events import Cause, CauseKind
from zeroscale.lifecycle.state_machine import Inputs, Machine, StateOutputs

STATES = ("stopped", "starting", "running", "stopping", "paused", "failed")
INPUTS = tuple(name for name, _ in inspect.getmembers(Inputs, inspect.isfunction) if not name.startswith("_"))

TRANSITIONS: dict[tuple[str, str], tuple[str, str]] = {
    ("stopped", "wake"): ("starting", "start"),
    ("stopped", "server_found"): ("starting", "take_over"),
    ("stopped", "stopping_found"): ("stopping", "continue_stop"),
    ("starting", "stopping_found"): ("stopping", "continue_stop"),
    ("starting", "ready"): ("running", "enter_running"),
    ("starting", "stop"): ("stopping", "stop"),
    ("starting", "timed_out"): ("stopping", "give_up_starting"),
    ("starting", "exited"): ("stopped", "enter_stopped"),
    ("starting", "crashed"): ("failed", "fail"),
    ("running", "stop"): ("stopping", "stop"),
    ("running", "pause"): ("paused", "pause"),
    ("running", "exited"): ("stopped", "enter_stopped"),
    ("running", "crashed"): ("failed", "fail"),
    ("stopping", "wake"): ("stopping", "wake_after_stop"),
    ("stopping", "timed_out"): ("stopping", "escalate"),
    ("stopping", "exited"): ("stopped", "enter_stopped"),
    ("stopping", "crashed"): ("failed", "fail"),
    ("paused", "wake"): ("starting", "resume"),
    ("paused", "stop"): ("stopping", "stop"),
    ("paused", "timed_out"): ("stopping", "stop_paused"),
    ("paused", "exited"): ("stopped", "enter_stopped"),
    ("paused", "crashed"): ("failed", "fail"),
    ("failed", "wake"): ("starting", "start"),
    ("failed", "server_found"): ("starting", "take_over"),
    ("failed", "stopping_found"): ("stopping", "continue_stop"),
    ("failed", "release"): ("stopped", "clear_failures"),
}
"""The transitions with an output; every other pair has no effect."""

INPUTS_TO_REACH: dict[str, tuple[str, ...]] = {
    "stopped": (),
    "starting": ("wake",),
    "running": ("wake", "ready"),
    "stopping": ("wake", "stop"),
    "paused": ("wake", "ready", "pause"),
    "failed": ("wake", "crashed"),
}


class RecordedOutputs(StateOutputs):
    """Records which outputs are called."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def start(self, cause: Cause) -> None:
        self.calls.append("start")

    def take_over(self) -> None:
        self.calls.append("take_over")

    def resume(self, cause: Cause) -> None:
        self.calls.append("resume")

    def enter_running(self) -> None:
        self.calls.append("enter_running")

    def pause(self, cause: Cause) -> None:
        self.calls.append("pause")

    def stop(self, cause: Cause) -> None:
        self.calls.append("stop")

    def stop_paused(self) -> None:
        self.calls.append("stop_paused")

    def continue_stop(self) -> None:
        self.calls.append("continue_stop")

    def give_up_starting(self) -> None:
        self.calls.append("give_up_starting")

    def escalate(self) -> None:
        self.calls.append("escalate")

    def wake_after_stop(self, cause: Cause) -> None:
        self.calls.append("wake_after_stop")

    def enter_stopped(self) -> None:
        self.calls.append("enter_stopped")

    def fail(self, reason: str, detail: str) -> None:
        self.calls.append("fail")

    def clear_failures(self) -> None:
        self.calls.append("clear_failures")


def send(machine: Inputs, name: str) -> None:
    arguments: dict[str, tuple[object, ...]] = {"crashed": ("why", "and how")}
    cause = (Cause(CauseKind.operator),) if name in ("wake", "stop", "pause") else ()
    getattr(machine, name)(*arguments.get(name, cause))


def machine_in(state: str) -> tuple[Inputs, RecordedOutputs]:
    outputs = RecordedOutputs()
    machine = Machine(outputs)
    for name in INPUTS_TO_REACH[state]:
        send(machine, name)
    assert state_of(machine) == state
    outputs.calls.clear()
    return machine, outputs


def state_of(machine: Inputs) -> str:
    name: str = machine.__automat_transitioner__._state.name  # type: ignore[attr-defined]  # automat offers no other way
    return name


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", INPUTS)
def test_every_pair_is_declared_and_leads_where_it_should(state: str, name: str) -> None:
    machine, outputs = machine_in(state)
    send(machine, name)
    to, output = TRANSITIONS.get((state, name), (state, None))
    assert state_of(machine) == to
    assert outputs.calls == ([] if output is None else [output])


def test_the_tests_table_names_only_existing_inputs_and_states() -> None:
    assert {name for _, name in TRANSITIONS} <= set(INPUTS)
    assert {state for state, _ in TRANSITIONS} <= set(STATES)
