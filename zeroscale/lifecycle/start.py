"""How one server comes up: started, taken over or resumed, until it has answered for the first time.

It knows no status, and not what comes of it: that is the lifecycle's.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

from zeroscale.errors import PluginError, ZeroscaleError
from zeroscale.lifecycle.interfaces import AdaptedPlugin, LifecycleDependencies, LifecyclePolicy
from zeroscale.lifecycle.shielded_call import ShieldedCall
from zeroscale.status import ProbeResult

LONGEST_LINE = 500
"""Of a line of output that is logged, in characters."""

LONGEST_START = 4.0
"""How many start time-outs a start may last that goes on talking: a mod pack of an hour is not one, a loop is."""


class StartAttempt:
    """One attempt.

    :param name: the server's, for the log.
    :param plugin: whose it is.
    :param parts: what the lifecycle works with.
    :param policy: how the server is to be treated.
    :param log: where its story is told.
    :param lives: called once there is a server: started, or found.
    :ivar started_at: when.
    :ivar adopted: it was not we who started it, or not this time.
    :ivar blocked: something spoke against a start, and none was made.
    :ivar call: the plugin's `start()`, while it has not returned.
    :ivar server_exists: there is a server, which may not answer yet.
    """

    def __init__(
        self,
        name: str,
        plugin: AdaptedPlugin,
        parts: LifecycleDependencies,
        policy: LifecyclePolicy,
        log: logging.LoggerAdapter[logging.Logger],
        lives: Callable[[], None],
    ) -> None:
        self._name = name
        self._plugin = plugin
        self._parts = parts
        self._policy = policy
        self._log = log
        self._lives = lives
        self._readiness = parts.make_readiness()
        self.started_at = parts.clock.seconds()
        self.adopted = False
        self.blocked = False
        self.server_exists = False
        self.call: ShieldedCall[None] | None = None

    @property
    def problem(self) -> str | None:
        """Why it does not answer, as far as that is known."""
        return self._readiness.problem

    async def start(self, looking: ShieldedCall[bool] | None) -> ProbeResult:
        """Starts it, unless one of ours is there already.

        :param looking: a look for such a one that has begun already.
        :returns: its first answer.
        :raises PluginError: it cannot be started.
        """
        try:
            runs = (looking is not None and await looking.wait()) or await self._plugin.adopt()
        except PluginError:
            self.blocked = True  # an API that is away, say, which is no server that crashes
            raise
        if runs:
            return await self.take_over()
        self._parts.on_address(None)  # where it was reached the last time, another may be now
        obstacle = self._parts.start_obstacle()
        if obstacle is None and not self._plugin.is_load_balanced and await self._parts.probe.connects():
            obstacle = "something else already answers on the server's port: stop it, or give another server_port"
        if obstacle is not None:
            self.blocked = True
            raise PluginError(obstacle)
        self.call = ShieldedCall(self._plugin.start())
        await self.call.wait()
        self.call = None
        return await self._first_answer()

    async def take_over(self) -> ProbeResult:
        """Watches one that was found running.

        :returns: its first answer.
        """
        self._readiness.ready_line_missed()
        self.adopted = True
        self._log.info("Found %s running, not started by this zeroscale; taking it over", self._name)
        return await self._first_answer()

    async def resume(self, pausing: ShieldedCall[None] | None) -> ProbeResult:
        """Has one that was paused go on.

        :param pausing: the plugin's `pause()`.
        :returns: its first answer.
        :raises PluginError: it does not.
        """
        self.adopted = self.server_exists = True
        self._readiness.ready_line_seen()  # it has written its ready line long ago
        if pausing is not None:
            with contextlib.suppress(ZeroscaleError):  # then it is not frozen; its operator has been told
                await pausing.wait()
        await ShieldedCall(self._plugin.resume()).wait()
        return await self._readiness.run()

    def output_received(self, line: str, deadline: float) -> float:
        """It has written a line of output before it has answered.

        :param deadline: until when it has to answer.
        :returns: until when it has now: whoever goes on talking is not stuck, for a while.
        """
        self._log.debug("| %s", line[:LONGEST_LINE])
        if self._policy.ready_line is not None and self._policy.ready_line.search(line):
            self._readiness.ready_line_seen()
        timeout = self._policy.start_timeout
        return max(deadline, min(self._parts.clock.seconds() + timeout, self.started_at + LONGEST_START * timeout))

    async def _first_answer(self) -> ProbeResult:
        self.server_exists = True
        self._lives()
        self._parts.on_address(self._plugin.server_address)
        return await self._readiness.run()
