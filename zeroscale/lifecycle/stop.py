"""How one server is stopped: it is asked to, and if that does not help, the ladder is climbed.

When which rung comes is `ladder`'s. It knows no status, and not what comes of it: that is the lifecycle's.
"""

from __future__ import annotations

import contextlib
import logging
import signal
from collections.abc import Callable

from zeroscale.errors import PluginError, ZeroscaleError
from zeroscale.lifecycle.escalation import ScheduledStep, StopStep, stop_steps
from zeroscale.lifecycle.interfaces import AdaptedPlugin, LifecyclePolicy
from zeroscale.lifecycle.shielded_call import ShieldedCall

WARN_AGAIN = 60.0
"""Seconds between two warnings, at least, about a server that does not stop."""


class StopAttempt:
    """One stop.

    :param name: the server's, for the log.
    :param plugin: whose it is.
    :param policy: how long each rung may take.
    :param log: where its story is told.
    :param now: the monotonic clock's reading, in seconds.
    :ivar request_failed: it could not be asked, the last time.
    """

    def __init__(
        self,
        name: str,
        plugin: AdaptedPlugin,
        policy: LifecyclePolicy,
        log: logging.LoggerAdapter[logging.Logger],
        now: float,
    ) -> None:
        self._name = name
        self._plugin = plugin
        self._policy = policy
        self._log = log
        self._began = now
        self._steps: list[ScheduledStep] = list(stop_steps(policy.stop_timeout, policy.kill_timeout))
        self.request_failed = False

    async def request_stop(
        self,
        starting: ShieldedCall[None] | None,
        frozen: bool,
        pausing: ShieldedCall[None] | None,
        lives: Callable[[], None],
    ) -> None:
        """Asks it to stop.

        :param starting: the plugin's `start()`, where that has not returned.
        :param frozen: it is paused; it is resumed first.
        :param pausing: the plugin's `pause()`.
        :param lives: called where it has come up meanwhile.
        :raises ZeroscaleError: it cannot be asked.
        """
        self.request_failed = False
        if starting is not None and not (self._plugin.can_signal or self._plugin.interruptible_start):
            # Until its start() has returned, such a plugin's stop() may well do nothing.
            if await self._came_up(starting):
                lives()
            starting = None
        if frozen:
            await self._thaw(pausing)
        try:
            await ShieldedCall(self._plugin.stop()).wait()
        except ZeroscaleError:
            if starting is None or starting.done:
                raise
        if starting is None:
            return
        too_early = not starting.done
        if await self._came_up(starting):
            lives()
            if too_early:
                await ShieldedCall(self._plugin.stop()).wait()

    async def _thaw(self, pausing: ShieldedCall[None] | None) -> None:
        if pausing is not None:
            with contextlib.suppress(ZeroscaleError):  # then it is not frozen; its operator has been told
                await pausing.wait()
        try:
            await ShieldedCall(self._plugin.resume()).wait()
        except ZeroscaleError as error:
            self._log.warning("%s is asked to stop though it could not be resumed: %s", self._name, error)

    async def _came_up(self, starting: ShieldedCall[None]) -> bool:
        try:
            await starting.wait()
        except ZeroscaleError as error:
            self._log.info("%s had not been started: %s", self._name, error)
            return False
        return True

    @property
    def only_waiting_left(self) -> bool:
        """Nothing is left to be done but to wait."""
        return not (self._steps and self._plugin.can_signal) or self._steps[0].step is StopStep.unanswered

    def skip_to_sigterm(self, now: float) -> bool:
        """Somebody cannot wait: SIGTERM comes at once. Returns whether there is one to come still."""
        if not self._steps or self._steps[0].step is not StopStep.terminate:
            return False
        self._steps = list(stop_steps(self._policy.stop_timeout, self._policy.kill_timeout, hurried=True))
        self._began = now
        return True

    def seconds_to_next_step(self, now: float) -> float:
        """Seconds until the next rung."""
        if self._steps:
            return max(0.0, self._began + self._steps[0].after - now)
        return max(self._policy.stop_timeout, WARN_AGAIN)

    def next_step(self, now: float) -> bool:
        """It has not stopped: the next rung. Returns whether it is one that it has not answered."""
        rung = self._steps.pop(0).step if self._steps else StopStep.unanswered
        seconds = now - self._began
        if rung is StopStep.unanswered:
            self._log.warning("%s has not stopped for %.0f s; waiting on, it may be saving", self._name, seconds)
            return True
        if not self._plugin.can_signal:
            self._log.warning("%s has not stopped for %.0f s, and its plugin sends no signals", self._name, seconds)
        elif rung is StopStep.terminate:
            self._log.warning("%s has not stopped for %.0f s: sending SIGTERM, on which it saves", self._name, seconds)
            self._send(signal.SIGTERM)
        else:
            self._log.error("%s ignores SIGTERM: sending SIGKILL, as was asked; data may be lost", self._name)
            self._send(signal.SIGKILL)
        return False

    def _send(self, number: signal.Signals) -> None:
        try:
            self._plugin.signal(number)
        except PluginError as error:
            self._log.error("%s: %s could not be sent: %s", self._name, number.name, error)
