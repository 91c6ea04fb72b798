"""Every state by every input: where it leads and what is done."""

from __future__ import annotations

import inspect

import pytest

from zeroscale.lifecycle.state_machine import Effects, Inputs, Machine

STATES = ("stopped", "starting", "running", "stopping", "paused", "failed")
INPUTS = tuple(name for name, _ in inspect.getmembers(Inputs, inspect.isfunction) if not name.startswith("_"))

MOVES: dict[tuple[str, str], tuple[str, str]] = {
    ("stopped", "wake"): ("starting", "start"),
    ("stopped", "found"): ("starting", "take_over"),
    ("starting", "ready"): ("running", "run"),
    ("starting", "sleep"): ("stopping", "stop"),
    ("starting", "deadline"): ("stopping", "give_up_starting"),
    ("starting", "ended"): ("stopped", "rest"),
    ("starting", "crashed"): ("failed", "fail"),
    ("running", "sleep"): ("stopping", "stop"),
    ("running", "pause"): ("paused", "freeze"),
    ("running", "ended"): ("stopped", "rest"),
    ("running", "crashed"): ("failed", "fail"),
    ("stopping", "wake"): ("stopping", "remember"),
    ("stopping", "deadline"): ("stopping", "climb"),
    ("stopping", "ended"): ("stopped", "rest"),
    ("stopping", "crashed"): ("failed", "fail"),
    ("paused", "wake"): ("starting", "thaw"),
    ("paused", "sleep"): ("stopping", "stop"),
    ("paused", "deadline"): ("stopping", "stop"),
    ("paused", "ended"): ("stopped", "rest"),
    ("paused", "crashed"): ("failed", "fail"),
    ("failed", "wake"): ("starting", "start"),
    ("failed", "found"): ("starting", "take_over"),
    ("failed", "release"): ("stopped", "forgive"),
}
"""What moves; every other pair is to do nothing at all."""

WAY_TO: dict[str, tuple[str, ...]] = {
    "stopped": (),
    "starting": ("wake",),
    "running": ("wake", "ready"),
    "stopping": ("wake", "sleep"),
    "paused": ("wake", "ready", "pause"),
    "failed": ("wake", "crashed"),
}


class Noted(Effects):
    """Notes what is done, and does nothing."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def start(self) -> None:
        self.done.append("start")

    def take_over(self) -> None:
        self.done.append("take_over")

    def thaw(self) -> None:
        self.done.append("thaw")

    def run(self) -> None:
        self.done.append("run")

    def freeze(self) -> None:
        self.done.append("freeze")

    def stop(self) -> None:
        self.done.append("stop")

    def give_up_starting(self) -> None:
        self.done.append("give_up_starting")

    def climb(self) -> None:
        self.done.append("climb")

    def remember(self) -> None:
        self.done.append("remember")

    def rest(self) -> None:
        self.done.append("rest")

    def fail(self, reason: str, detail: str) -> None:
        self.done.append("fail")

    def forgive(self) -> None:
        self.done.append("forgive")


def say(machine: Inputs, name: str) -> None:
    arguments = ("why", "and how") if name == "crashed" else ()
    getattr(machine, name)(*arguments)


def at(state: str) -> tuple[Inputs, Noted]:
    effects = Noted()
    machine = Machine(effects)
    for name in WAY_TO[state]:
        say(machine, name)
    assert state_of(machine) == state
    effects.done.clear()
    return machine, effects


def state_of(machine: Inputs) -> str:
    name: str = machine.__automat_transitioner__._state.name  # type: ignore[attr-defined]  # automat offers no other way
    return name


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", INPUTS)
def test_every_pair_is_declared_and_leads_where_it_should(state: str, name: str) -> None:
    machine, effects = at(state)
    say(machine, name)
    to, done = MOVES.get((state, name), (state, None))
    assert state_of(machine) == to
    assert effects.done == ([] if done is None else [done])


def test_the_table_has_no_move_for_an_input_that_does_not_exist() -> None:
    assert {name for _, name in MOVES} <= set(INPUTS)
    assert {state for state, _ in MOVES} <= set(STATES)
