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

    def server_found(self) -> None:
        """A server that an earlier proxy started is there."""

    def ready(self) -> None:
        """It answers."""

    def stop(self) -> None:
        """It is to stop: it is idle, it was told to, or we end ourselves."""

    def pause(self) -> None:
        """It has been frozen: it is idle, and thaws faster than it starts."""

    def exited(self) -> None:
        """It is gone, as servers go."""

    def crashed(self, reason: str, detail: str) -> None:
        """It is gone as servers should not go, or it could not be started.

        :param reason: why, for players.
        :param detail: why, for the operator.
        """

    def timed_out(self) -> None:
        """The state has lasted as long as it may."""

    def release(self) -> None:
        """The operator says that a failed server may be tried again."""


class StateOutputs:
    """What a transition does; each is called right after its transition, in the new state."""

    def start(self) -> None:
        """Begin a start."""
        raise NotImplementedError

    def take_over(self) -> None:
        """Begin to watch a server that was found running."""
        raise NotImplementedError

    def resume(self) -> None:
        """Resume a paused server, and see whether it answers."""
        raise NotImplementedError

    def enter_running(self) -> None:
        """Let in who waits."""
        raise NotImplementedError

    def pause(self) -> None:
        """Note that it is paused."""
        raise NotImplementedError

    def stop(self) -> None:
        """Begin to stop it."""
        raise NotImplementedError

    def give_up_starting(self) -> None:
        """The start took too long: stop it, and call it failed."""
        raise NotImplementedError

    def escalate(self) -> None:
        """It does not stop: the next rung of the ladder."""
        raise NotImplementedError

    def wake_after_stop(self) -> None:
        """Somebody wants in once the stop is done."""
        raise NotImplementedError

    def enter_stopped(self) -> None:
        """It is gone; start again where somebody wants in."""
        raise NotImplementedError

    def fail(self, reason: str, detail: str) -> None:
        """It is gone, and should not be; tell those who wait."""
        raise NotImplementedError

    def clear_failures(self) -> None:
        """Its crashes are forgotten."""
        raise NotImplementedError


def _crash(inputs: Inputs, outputs: StateOutputs, reason: str, detail: str) -> None:
    outputs.fail(reason, detail)


builder = TypeMachineBuilder(Inputs, StateOutputs)

stopped = builder.state("stopped")
starting = builder.state("starting")
running = builder.state("running")
stopping = builder.state("stopping")
paused = builder.state("paused")
failed = builder.state("failed")

# Nothing moves: said of each pair, so that a pair nobody thought of is an error and not a silence.
for state, inputs in (
    (stopped, (Inputs.ready, Inputs.stop, Inputs.pause, Inputs.exited, Inputs.timed_out, Inputs.release)),
    (starting, (Inputs.wake, Inputs.server_found, Inputs.pause, Inputs.release)),
    (running, (Inputs.wake, Inputs.server_found, Inputs.ready, Inputs.timed_out, Inputs.release)),
    (stopping, (Inputs.server_found, Inputs.ready, Inputs.stop, Inputs.pause, Inputs.release)),
    (paused, (Inputs.server_found, Inputs.ready, Inputs.pause, Inputs.release)),
    (failed, (Inputs.ready, Inputs.stop, Inputs.pause, Inputs.exited, Inputs.timed_out)),
):
    for nothing in inputs:
        state.upon(nothing).loop().returns(None)
stopped.upon(Inputs.crashed).loop().returns(None)
failed.upon(Inputs.crashed).loop().returns(None)

# What moves.
stopped.upon(Inputs.wake).to(starting)(lambda _, outputs: outputs.start())
stopped.upon(Inputs.server_found).to(starting)(lambda _, outputs: outputs.take_over())

starting.upon(Inputs.ready).to(running)(lambda _, outputs: outputs.enter_running())
starting.upon(Inputs.stop).to(stopping)(lambda _, outputs: outputs.stop())
starting.upon(Inputs.timed_out).to(stopping)(lambda _, outputs: outputs.give_up_starting())
starting.upon(Inputs.exited).to(stopped)(lambda _, outputs: outputs.enter_stopped())
starting.upon(Inputs.crashed).to(failed)(_crash)

running.upon(Inputs.stop).to(stopping)(lambda _, outputs: outputs.stop())
running.upon(Inputs.pause).to(paused)(lambda _, outputs: outputs.pause())
running.upon(Inputs.exited).to(stopped)(lambda _, outputs: outputs.enter_stopped())
running.upon(Inputs.crashed).to(failed)(_crash)

stopping.upon(Inputs.wake).loop()(lambda _, outputs: outputs.wake_after_stop())
stopping.upon(Inputs.timed_out).loop()(lambda _, outputs: outputs.escalate())
stopping.upon(Inputs.exited).to(stopped)(lambda _, outputs: outputs.enter_stopped())
stopping.upon(Inputs.crashed).to(failed)(_crash)

paused.upon(Inputs.wake).to(starting)(lambda _, outputs: outputs.resume())
paused.upon(Inputs.stop).to(stopping)(lambda _, outputs: outputs.stop())
paused.upon(Inputs.timed_out).to(stopping)(lambda _, outputs: outputs.stop())
paused.upon(Inputs.exited).to(stopped)(lambda _, outputs: outputs.enter_stopped())
paused.upon(Inputs.crashed).to(failed)(_crash)

failed.upon(Inputs.wake).to(starting)(lambda _, outputs: outputs.start())
failed.upon(Inputs.server_found).to(starting)(lambda _, outputs: outputs.take_over())
failed.upon(Inputs.release).to(stopped)(lambda _, outputs: outputs.clear_failures())

Machine = builder.build()
"""Called with the outputs, makes a machine in the state `stopped`."""
