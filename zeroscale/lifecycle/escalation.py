"""When to send which signal to a server that does not stop, and when to start a crashed server again.

Pure. Times are seconds from the first request to stop.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from zeroscale.backoff import backoff_delay


class StopStep(Enum):
    """A step taken against a server that does not stop."""

    terminate = "SIGTERM"
    unanswered = "SIGTERM is unanswered"
    kill = "SIGKILL"


class ScheduledStep(Struct, frozen=True):
    """A step, and when it is due."""

    after: float
    step: StopStep


def stop_steps(stop_timeout: float, kill_timeout: float | None, *, hurried: bool = False) -> tuple[ScheduledStep, ...]:
    """Return the steps after the plugin's own stop, in their order.

    :param stop_timeout: how long the plugin's own stop may take, and SIGTERM after it.
    :param kill_timeout: how long after SIGTERM comes SIGKILL; None: never, as the operator did not ask for it.
    :param hurried: SIGTERM comes at once, and the other steps follow it after their usual times.
    """
    terminate_at = 0.0 if hurried else stop_timeout
    steps = [
        ScheduledStep(terminate_at, StopStep.terminate),
        ScheduledStep(terminate_at + stop_timeout, StopStep.unanswered),
    ]
    if kill_timeout is not None:
        steps.append(ScheduledStep(terminate_at + kill_timeout, StopStep.kill))
    return tuple(sorted(steps, key=lambda step: step.after))


FIRST_BACK_OFF = 10.0
LONGEST_BACK_OFF = 600.0


def back_off(crashes: int, maximum: int) -> float | None:
    """Return the delay from a server's latest crash to its next start.

    The first retry needs no wait: most crashes happen once, and the next player should get in.

    :param crashes: how many in a row, with the latest.
    :param maximum: at how many the server is not started again.
    :returns: seconds; None: not before the operator allows it.
    """
    if crashes >= maximum:
        return None
    if crashes <= 1:
        return 0.0
    return backoff_delay(crashes - 1, FIRST_BACK_OFF, LONGEST_BACK_OFF)
