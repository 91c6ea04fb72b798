"""How a server is stopped that does not stop: which rung comes when. Pure.

Seconds from the first request to stop.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from zeroscale.backoff import backoff_delay


class StopStep(Enum):
    """One step of the stop_steps."""

    terminate = "SIGTERM"
    unanswered = "SIGTERM is unanswered"
    kill = "SIGKILL"


@dataclass(frozen=True, slots=True)
class ScheduledStep:
    """A rung, and when it is reached."""

    after: float
    step: StopStep


def stop_steps(stop_timeout: float, kill_timeout: float | None, *, hurried: bool = False) -> tuple[ScheduledStep, ...]:
    """The steps after the plugin's own stop, in their order.

    :param stop_timeout: how long the plugin's own stop has, and SIGTERM after it.
    :param kill_timeout: how long SIGTERM has before SIGKILL; None: there is no SIGKILL, the operator did not ask.
    :param hurried: somebody cannot wait: SIGTERM comes at once, everything else as long after it as ever.
    """
    terminate_at = 0.0 if hurried else stop_timeout
    steps = [
        ScheduledStep(terminate_at, StopStep.terminate),
        ScheduledStep(terminate_at + stop_timeout, StopStep.unanswered),
    ]
    if kill_timeout is not None:
        steps.append(ScheduledStep(terminate_at + kill_timeout, StopStep.kill))
    return tuple(sorted(steps, key=lambda step: step.after))


def back_off(crashes: int, maximum: int) -> float | None:
    """How long after its latest crash a server may be started again.

    The first retry is free: the usual crash is a one-off, and the player who comes next should get in.

    :param crashes: how many in a row, this one counted.
    :param maximum: at how many it stays down.
    :returns: seconds, or None: not until told otherwise.
    """
    if crashes >= maximum:
        return None
    if crashes <= 1:
        return 0.0
    return backoff_delay(crashes - 1, FIRST_BACK_OFF, LONGEST_BACK_OFF)


FIRST_BACK_OFF = 10.0
LONGEST_BACK_OFF = 600.0
