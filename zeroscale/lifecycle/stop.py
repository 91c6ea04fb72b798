"""One stop of a server: by its plugin, then by signals where that does not help.

Uses no status. `escalation` computes when a step is due.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable

from zeroscale.backoff import Backoff
from zeroscale.errors import PluginError, ZeroscaleError
from zeroscale.lifecycle.escalation import ScheduledStep, StopStep, stop_steps
from zeroscale.lifecycle.interfaces import AdaptedPlugin, LifecyclePolicy, Logger
from zeroscale.lifecycle.shielded_call import ShieldedCall

WARN_AGAIN = 60.0
"""Seconds between two warnings, at least, about a server that does not stop."""

FIRST_RETRY = 2.0
LONGEST_RETRY = 60.0
"""Seconds until a plugin's `stop()`, or a signal, that has failed is tried again: at first, and at most."""

OBEYS_WITHIN = 10.0
"""Seconds from SIGTERM to the end of a server that obeys it; a later end may have another reason."""


class StopAttempt:
    """One stop.

    :param plugin: stops the server.
    :param policy: has the time-outs of the steps.
    :param log: the server's log.
    :param now: the monotonic clock's reading, in seconds.
    """

    def __init__(self, plugin: AdaptedPlugin, policy: LifecyclePolicy, log: Logger, now: float) -> None:
        self._plugin = plugin
        self._policy = policy
        self._log = log
        self._began = now
        self._steps: list[ScheduledStep] = list(stop_steps(policy.stop_timeout, policy.kill_timeout))
        self._retries = Backoff(FIRST_RETRY, LONGEST_RETRY)
        self._retry_at: float | None = None
        self._has_reacted = False
        self._is_hurried = False
        self._ignored_until: float | None = None

    async def request_stop(
        self,
        start_call: ShieldedCall[None] | None,
        paused: bool,
        pause_call: ShieldedCall[None] | None,
        on_server: Callable[[], None],
    ) -> None:
        """Call the plugin's `stop()`; call it again if the server comes up only after it.

        :param start_call: the plugin's `start()`, where that has not returned.
        :param paused: the server is paused; it is resumed first.
        :param pause_call: the plugin's `pause()`, which may not have returned.
        :param on_server: called where `start()` returns now: there is a server.
        :raises ZeroscaleError: the plugin cannot stop it.
        """
        if start_call is not None and not (self._plugin.can_signal or self._plugin.interruptible_start):
            # The stop() of such a plugin may do nothing before its start() has returned.
            if await self._has_started(start_call):
                on_server()
            start_call = None
        if paused:
            await self._resume(pause_call)
        try:
            await ShieldedCall(self._plugin.stop()).wait()
        except ZeroscaleError:
            if start_call is None or start_call.done:
                raise
        if start_call is None:
            return
        too_early = not start_call.done
        if await self._has_started(start_call):
            on_server()
            if too_early:
                await ShieldedCall(self._plugin.stop()).wait()

    async def _resume(self, pause_call: ShieldedCall[None] | None) -> None:
        if pause_call is not None:
            with contextlib.suppress(ZeroscaleError):  # has been logged; the server is not paused then
                await pause_call.wait()
        try:
            await ShieldedCall(self._plugin.resume()).wait()
        except ZeroscaleError as error:
            self._log.warning("asked to stop though it could not be resumed: %s", error)

    async def _has_started(self, start_call: ShieldedCall[None]) -> bool:
        try:
            await start_call.wait()
        except ZeroscaleError as error:
            self._log.info("not started: %s", error)
            return False
        return True

    @property
    def only_waiting_left(self) -> bool:
        """Whether nothing is left to do but to wait for the server."""
        return not self._plugin.can_signal or self._steps[0].step is StopStep.unanswered

    def take_request(self) -> bool:
        """Return whether `request_stop` is to be called again now, and not `next_step`; forget it then."""
        if self._retry_at is None or self._retry_at >= self._began + self._steps[0].after:
            return False
        self._retry_at = None
        return True

    def request_later(self, now: float) -> None:
        """Note that `request_stop` has failed, and is to be called again: nothing else can stop the server."""
        self._retry_at = now + next(self._retries)

    def output_received(self) -> None:
        """Note that the server has written a line: it may have reacted to `stop()`, and be saving."""
        self._has_reacted = True

    def server_ended(self, now: float) -> None:
        """Propose to stop the server by SIGTERM, if it has ignored `stop()` for its whole time, and obeyed SIGTERM."""
        arguments, ignored_until = self._plugin.sigterm_arguments, self._ignored_until
        if arguments is None or ignored_until is None or now - ignored_until > OBEYS_WITHIN:
            return
        self._log.warning(
            "did not react to its stop for %.0f s, and ended %.1f s after SIGTERM. With %s it gets SIGTERM at once, "
            "and players wait less",
            ignored_until - self._began,
            now - ignored_until,
            arguments,
        )

    def skip_to_sigterm(self, now: float) -> bool:
        """Make SIGTERM due at once.

        :returns: whether it was still to come.
        """
        if self._steps[0].step is not StopStep.terminate:
            return False
        self._is_hurried = True
        self._steps = list(stop_steps(self._policy.stop_timeout, self._policy.kill_timeout, hurried=True))
        self._began = now
        return True

    def seconds_to_next_step(self, now: float) -> float:
        """Return how long to wait before `next_step`, or before `request_stop` if that is next."""
        due = self._began + self._steps[0].after
        return max(0.0, (due if self._retry_at is None else min(due, self._retry_at)) - now)

    def next_step(self, now: float) -> bool:
        """Do the next step with a server that has not stopped.

        :returns: whether the server has not reacted to SIGTERM in time.
        """
        step = self._steps.pop(0).step
        seconds = now - self._began
        if not self._steps:
            again = seconds + max(self._policy.stop_timeout, WARN_AGAIN)
            self._steps.append(ScheduledStep(again, StopStep.unanswered))
        if step is StopStep.unanswered:
            self._log.warning("has not stopped for %.0f s; still waiting, as it may be saving", seconds)
            return True
        if not self._plugin.can_signal:
            self._log.warning("has not stopped for %.0f s, and its plugin sends no signals", seconds)
        elif step is StopStep.terminate:
            self._log.warning("has not stopped for %.0f s: sending SIGTERM, on which it saves", seconds)
            if self._send(step, signal.SIGTERM, seconds) and not (self._has_reacted or self._is_hurried):
                self._ignored_until = now
        else:
            self._log.error("ignores SIGTERM: sending SIGKILL after kill_timeout; data may be lost")
            self._ignored_until = None
            self._send(step, signal.SIGKILL, seconds)
        return False

    def _send(self, step: StopStep, number: signal.Signals, seconds: float) -> bool:
        """Send a signal, or try it again later; return whether it was sent."""
        try:
            self._plugin.signal(number)
        except PluginError as error:
            self._log.error("%s could not be sent: %s", number.name, error)
            self._steps.append(ScheduledStep(seconds + next(self._retries), step))
            self._steps.sort(key=lambda each: each.after)
            return False
        return True
