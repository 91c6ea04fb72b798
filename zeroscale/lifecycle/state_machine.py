"""The states of a server, and the transitions between them: the whole table.

The outputs, implemented in `transitions`, carry the transitions out.
"""

from __future__ import annotations

from typing import Protocol

from automat import TypeMachineBuilder

from zeroscale.events import Cause


class Inputs(Protocol):
    """What can happen to a server."""

    def wake(self, cause: Cause) -> None:
        """Note that a player, the operator or a schedule requests the server.

        :param cause: why.
        """

    def server_found(self) -> None:
        """Note that the server runs, started by an earlier proxy or by another program."""

    def stopping_found(self) -> None:
        """Note that the server is stopping, as an earlier proxy or another program has asked it to."""

    def ready(self) -> None:
        """Note that the server answers."""

    def stop(self, cause: Cause) -> None:
        """Stop the server.

        :param cause: why: it is idle, its operator requests it, or the proxy exits, for example.
        """

    def pause(self, cause: Cause) -> None:
        """Pause the idle server, or note that another program has paused it.

        :param cause: why.
        """

    def exited(self) -> None:
        """Note that the server has exited cleanly, as after a stop."""

    def crashed(self, reason: str, detail: str) -> None:
        """Note that the server has crashed, or could not be started or stopped.

        :param reason: why, for players.
        :param detail: why, for the operator.
        """

    def timed_out(self) -> None:
        """Note that the timer of the state has run out."""

    def release(self) -> None:
        """Allow a failed server to be started again."""


class StateOutputs(Protocol):
    """What a transition does; each is called right after its transition, in the new state."""

    def start(self, cause: Cause) -> None:
        """Start the server."""

    def take_over(self) -> None:
        """Use a server that was found running."""

    def resume(self, cause: Cause) -> None:
        """Resume a paused server, and wait until it answers."""

    def enter_running(self) -> None:
        """Admit the waiting players."""

    def pause(self, cause: Cause) -> None:
        """Pause the server."""

    def stop(self, cause: Cause) -> None:
        """Ask the server to stop."""

    def stop_paused(self) -> None:
        """Ask a server to stop that has been paused for long enough."""

    def continue_stop(self) -> None:
        """Wait for the end of a server that was found stopping."""

    def give_up_starting(self) -> None:
        """Stop a server that has not become ready in time; it has failed once it is gone."""

    def escalate(self) -> None:
        """Do the next step with a server that does not stop."""

    def wake_after_stop(self, cause: Cause) -> None:
        """Start the server again once it has stopped."""

    def enter_stopped(self) -> None:
        """Start the server again if a player waits."""

    def fail(self, reason: str, detail: str) -> None:
        """Note the failure, and reject the waiting players."""

    def clear_failures(self) -> None:
        """Forget past crashes."""


def _start(inputs: Inputs, outputs: StateOutputs, cause: Cause) -> None:
    outputs.start(cause)


def _stop(inputs: Inputs, outputs: StateOutputs, cause: Cause) -> None:
    outputs.stop(cause)


def _fail(inputs: Inputs, outputs: StateOutputs, reason: str, detail: str) -> None:
    outputs.fail(reason, detail)


builder = TypeMachineBuilder(Inputs, StateOutputs)  # type: ignore[type-abstract]  # it makes no instance of it

stopped = builder.state("stopped")
starting = builder.state("starting")
running = builder.state("running")
stopping = builder.state("stopping")
paused = builder.state("paused")
failed = builder.state("failed")

# Inputs without effect, listed one by one: a pair of state and input that is missing in this file is an error.
for state, inputs in (
    (stopped, (Inputs.ready, Inputs.stop, Inputs.pause, Inputs.exited, Inputs.timed_out, Inputs.release)),
    (starting, (Inputs.wake, Inputs.server_found, Inputs.pause, Inputs.release)),
    (running, (Inputs.wake, Inputs.server_found, Inputs.ready, Inputs.timed_out, Inputs.release)),
    (stopping, (Inputs.server_found, Inputs.ready, Inputs.stop, Inputs.pause, Inputs.release)),
    (paused, (Inputs.server_found, Inputs.ready, Inputs.pause, Inputs.release)),
    (failed, (Inputs.ready, Inputs.stop, Inputs.pause, Inputs.exited, Inputs.timed_out)),
):
    for ignored in inputs:
        state.upon(ignored).loop().returns(None)
for state in (running, stopping, paused):
    state.upon(Inputs.stopping_found).loop().returns(None)
stopped.upon(Inputs.crashed).loop().returns(None)
failed.upon(Inputs.crashed).loop().returns(None)

stopped.upon(Inputs.wake).to(starting)(_start)
stopped.upon(Inputs.server_found).to(starting)(lambda _, outputs: outputs.take_over())
stopped.upon(Inputs.stopping_found).to(stopping)(lambda _, outputs: outputs.continue_stop())

starting.upon(Inputs.ready).to(running)(lambda _, outputs: outputs.enter_running())
starting.upon(Inputs.stopping_found).to(stopping)(lambda _, outputs: outputs.continue_stop())
starting.upon(Inputs.stop).to(stopping)(_stop)
starting.upon(Inputs.timed_out).to(stopping)(lambda _, outputs: outputs.give_up_starting())
starting.upon(Inputs.exited).to(stopped)(lambda _, outputs: outputs.enter_stopped())
starting.upon(Inputs.crashed).to(failed)(_fail)

running.upon(Inputs.stop).to(stopping)(_stop)
running.upon(Inputs.pause).to(paused)(lambda _, outputs, cause: outputs.pause(cause))
running.upon(Inputs.exited).to(stopped)(lambda _, outputs: outputs.enter_stopped())
running.upon(Inputs.crashed).to(failed)(_fail)

stopping.upon(Inputs.wake).loop()(lambda _, outputs, cause: outputs.wake_after_stop(cause))
stopping.upon(Inputs.timed_out).loop()(lambda _, outputs: outputs.escalate())
stopping.upon(Inputs.exited).to(stopped)(lambda _, outputs: outputs.enter_stopped())
stopping.upon(Inputs.crashed).to(failed)(_fail)

paused.upon(Inputs.wake).to(starting)(lambda _, outputs, cause: outputs.resume(cause))
paused.upon(Inputs.stop).to(stopping)(_stop)
paused.upon(Inputs.timed_out).to(stopping)(lambda _, outputs: outputs.stop_paused())
paused.upon(Inputs.exited).to(stopped)(lambda _, outputs: outputs.enter_stopped())
paused.upon(Inputs.crashed).to(failed)(_fail)

failed.upon(Inputs.wake).to(starting)(_start)
failed.upon(Inputs.server_found).to(starting)(lambda _, outputs: outputs.take_over())
failed.upon(Inputs.stopping_found).to(stopping)(lambda _, outputs: outputs.continue_stop())
failed.upon(Inputs.release).to(stopped)(lambda _, outputs: outputs.clear_failures())

Machine = builder.build()
"""Called with the outputs, makes a machine in the state `stopped`."""
