"""The states of a server and what moves it between them: the whole table, and nothing else.

What the transitions do is in `lifecycle`; here one can read where each input leads from each state.
"""

from __future__ import annotations

from typing import Protocol

from automat import TypeMachineBuilder


class Inputs(Protocol):
    """What can happen to a server."""

    def wake(self) -> None:
        """Somebody wants in."""

    def found(self) -> None:
        """A server that an earlier proxy started is there."""

    def ready(self) -> None:
        """It answers."""

    def sleep(self) -> None:
        """It is to stop: it is idle, it was told to, or we end ourselves."""

    def pause(self) -> None:
        """It has been frozen: it is idle, and thaws faster than it starts."""

    def ended(self) -> None:
        """It is gone, as servers go."""

    def crashed(self, reason: str, detail: str) -> None:
        """It is gone as servers should not go, or it could not be started.

        :param reason: why, for players.
        :param detail: why, for the operator.
        """

    def deadline(self) -> None:
        """The state has lasted as long as it may."""

    def release(self) -> None:
        """The operator says that a failed server may be tried again."""


class Effects:
    """What a transition does; each is called right after its transition, in the new state."""

    def start(self) -> None:
        """Begin a start."""
        raise NotImplementedError

    def take_over(self) -> None:
        """Begin to watch a server that was found running."""
        raise NotImplementedError

    def thaw(self) -> None:
        """Resume a paused server, and see whether it answers."""
        raise NotImplementedError

    def run(self) -> None:
        """Let in who waits."""
        raise NotImplementedError

    def freeze(self) -> None:
        """Note that it is paused."""
        raise NotImplementedError

    def stop(self) -> None:
        """Begin to stop it."""
        raise NotImplementedError

    def give_up_starting(self) -> None:
        """The start took too long: stop it, and call it failed."""
        raise NotImplementedError

    def climb(self) -> None:
        """It does not stop: the next rung of the ladder."""
        raise NotImplementedError

    def remember(self) -> None:
        """Somebody wants in once the stop is done."""
        raise NotImplementedError

    def rest(self) -> None:
        """It is gone; start again where somebody wants in."""
        raise NotImplementedError

    def fail(self, reason: str, detail: str) -> None:
        """It is gone, and should not be; tell those who wait."""
        raise NotImplementedError

    def forgive(self) -> None:
        """Its crashes are forgotten."""
        raise NotImplementedError


def _crash(inputs: Inputs, effects: Effects, reason: str, detail: str) -> None:
    effects.fail(reason, detail)


builder = TypeMachineBuilder(Inputs, Effects)

stopped = builder.state("stopped")
starting = builder.state("starting")
running = builder.state("running")
stopping = builder.state("stopping")
paused = builder.state("paused")
failed = builder.state("failed")

# Nothing moves: said of each pair, so that a pair nobody thought of is an error and not a silence.
for state, inputs in (
    (stopped, (Inputs.ready, Inputs.sleep, Inputs.pause, Inputs.ended, Inputs.deadline, Inputs.release)),
    (starting, (Inputs.wake, Inputs.found, Inputs.pause, Inputs.release)),
    (running, (Inputs.wake, Inputs.found, Inputs.ready, Inputs.deadline, Inputs.release)),
    (stopping, (Inputs.found, Inputs.ready, Inputs.sleep, Inputs.pause, Inputs.release)),
    (paused, (Inputs.found, Inputs.ready, Inputs.pause, Inputs.release)),
    (failed, (Inputs.ready, Inputs.sleep, Inputs.pause, Inputs.ended, Inputs.deadline)),
):
    for nothing in inputs:
        state.upon(nothing).loop().returns(None)
stopped.upon(Inputs.crashed).loop().returns(None)
failed.upon(Inputs.crashed).loop().returns(None)

# What moves.
stopped.upon(Inputs.wake).to(starting)(lambda _, effects: effects.start())
stopped.upon(Inputs.found).to(starting)(lambda _, effects: effects.take_over())

starting.upon(Inputs.ready).to(running)(lambda _, effects: effects.run())
starting.upon(Inputs.sleep).to(stopping)(lambda _, effects: effects.stop())
starting.upon(Inputs.deadline).to(stopping)(lambda _, effects: effects.give_up_starting())
starting.upon(Inputs.ended).to(stopped)(lambda _, effects: effects.rest())
starting.upon(Inputs.crashed).to(failed)(_crash)

running.upon(Inputs.sleep).to(stopping)(lambda _, effects: effects.stop())
running.upon(Inputs.pause).to(paused)(lambda _, effects: effects.freeze())
running.upon(Inputs.ended).to(stopped)(lambda _, effects: effects.rest())
running.upon(Inputs.crashed).to(failed)(_crash)

stopping.upon(Inputs.wake).loop()(lambda _, effects: effects.remember())
stopping.upon(Inputs.deadline).loop()(lambda _, effects: effects.climb())
stopping.upon(Inputs.ended).to(stopped)(lambda _, effects: effects.rest())
stopping.upon(Inputs.crashed).to(failed)(_crash)

paused.upon(Inputs.wake).to(starting)(lambda _, effects: effects.thaw())
paused.upon(Inputs.sleep).to(stopping)(lambda _, effects: effects.stop())
paused.upon(Inputs.deadline).to(stopping)(lambda _, effects: effects.stop())
paused.upon(Inputs.ended).to(stopped)(lambda _, effects: effects.rest())
paused.upon(Inputs.crashed).to(failed)(_crash)

failed.upon(Inputs.wake).to(starting)(lambda _, effects: effects.start())
failed.upon(Inputs.found).to(starting)(lambda _, effects: effects.take_over())
failed.upon(Inputs.release).to(stopped)(lambda _, effects: effects.forgive())

Machine = builder.build()
"""Called with the effects, makes a machine in the state `stopped`."""
