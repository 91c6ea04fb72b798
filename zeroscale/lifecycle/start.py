"""One start of a server, until its first answer: by the plugin, by adoption, or by a resume.

Uses no status: the lifecycle decides what a failure or a success means.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from zeroscale.errors import PluginError, ServerUnavailable, StartRefused, ZeroscaleError
from zeroscale.events import Cause
from zeroscale.lifecycle.interfaces import AdaptedPlugin, LifecycleDependencies, LifecyclePolicy, Logger, Needs
from zeroscale.lifecycle.shielded_call import ShieldedCall
from zeroscale.status import ProbeResult, Status

LONGEST_LINE = 500
"""Of a line of output that is logged or quoted, in characters."""

LONGEST_START = 4.0
"""Limit of a start while the server writes output, in start time-outs: a server in a loop writes for ever."""


class StartAttempt:
    """One attempt.

    :param plugin: starts the server.
    :param dependencies: those of the lifecycle.
    :param policy: has the start time-out and the ready line.
    :param log: the server's log.
    :param on_server: called once there is a server, which may not answer yet.
    :ivar started_at: when the attempt began, without the time for which it waited for other servers.
    :ivar waits_for_needs: it waits for the servers that this one needs; nothing was done with this one yet.
    :ivar needs_seconds: how long that takes, or has taken; None: not known.
    :ivar adopted: the server was found running, or is being resumed.
    :ivar taken_over: the server was found running.
    :ivar blocked: the plugin's `start()` was not called, for a reason other than the server itself.
    :ivar refused: no server can be started now, whatever the server is, or one that this one needs cannot.
    :ivar call: the plugin's `start()`, while it has not returned.
    :ivar server_exists: there is a server, which may not answer yet.
    """

    def __init__(
        self,
        plugin: AdaptedPlugin,
        dependencies: LifecycleDependencies,
        policy: LifecyclePolicy,
        log: Logger,
        on_server: Callable[[], None],
    ) -> None:
        self._plugin = plugin
        self._dependencies = dependencies
        self._policy = policy
        self._log = log
        self._on_server = on_server
        self._readiness = dependencies.make_readiness()
        self.started_at = dependencies.clock.seconds()
        self.waits_for_needs = False
        self.needs_seconds: float | None = 0.0
        self.adopted = False
        self.taken_over = False
        self.blocked = False
        self.refused = False
        self.server_exists = False
        self.call: ShieldedCall[None] | None = None
        self._is_abandoned = False

    def abandon(self) -> None:
        """Do nothing more with the server, though the cancelled call that is awaited may have a result all the same.

        A call of asyncio that has just ended has one: its cancellation has no effect.
        """
        self._is_abandoned = True

    @property
    def problem(self) -> str | None:
        """Why the server does not answer yet, as far as that is known."""
        return self._readiness.problem

    @property
    def hindered(self) -> bool:
        """Whether the server cannot be asked whether it is ready, for a reason other than itself."""
        return self._readiness.hindered

    async def after_needs(
        self,
        needs: Needs,
        cause: Cause,
        begins: Callable[[], None],
        start: Callable[[], Coroutine[Deferred[Any], Any, ProbeResult | None]],
    ) -> ProbeResult | None:
        """Start the servers that this one needs, and then this one.

        :param cause: why.
        :param begins: called when they are ready.
        :param start: `start` or `resume`.
        :raises ServerUnavailable: one of them cannot be started.
        """
        if needs.missing:
            self.waits_for_needs = True
            self.needs_seconds = needs.estimate
            try:
                await needs.start(cause)
            except ServerUnavailable:
                self.blocked = self.refused = True
                raise
            self._check_abandoned()
            self.waits_for_needs = False
        now = self._dependencies.clock.seconds()
        self.needs_seconds, self.started_at = now - self.started_at, now
        begins()
        return await start()

    async def start(self, adoption: ShieldedCall[Status | None] | None) -> ProbeResult | None:
        """Start the server, unless the plugin finds it running.

        :param adoption: a search for a running server that was begun before.
        :returns: the server's first answer; None: the plugin has found it stopping.
        :raises PluginError: it cannot be started.
        """
        try:
            found = (None if adoption is None else await adoption.wait()) or await self._plugin.adopt()
        except PluginError:
            self.blocked = True  # by an API that does not answer, say: that is no crash of the server
            raise
        self._check_abandoned()
        if found is Status.stopping:
            return None
        if found is not None:
            return await self.take_over()
        self._dependencies.on_address(None)  # the address of the last run may be another server's now
        try:
            obstacle = await self._obstacle()
            self._check_abandoned()
            if obstacle is not None:
                self.blocked = True
                raise PluginError(obstacle)
            self.call = ShieldedCall(self._plugin.start())
            await self.call.wait()
        except StartRefused:
            self.blocked = self.refused = True
            raise
        self.call = None
        return await self._first_answer()

    async def take_over(self) -> ProbeResult:
        """Wait for the first answer of a server that was found running.

        :returns: that answer.
        """
        self._readiness.ready_line_missed()
        self.adopted = self.taken_over = True
        self._log.debug("found running, not started by this zeroscale")
        return await self._first_answer()

    async def resume(self, pause_call: ShieldedCall[None] | None) -> ProbeResult:
        """Resume a paused server.

        :param pause_call: the plugin's `pause()`, which may not have returned.
        :returns: the server's first answer.
        :raises PluginError: it cannot be resumed.
        """
        self.adopted = self.server_exists = True
        self._readiness.ready_line_seen()  # its ready line was written before the pause
        if pause_call is not None:
            with contextlib.suppress(ZeroscaleError):  # has been logged; the server is not paused then
                await pause_call.wait()
            self._check_abandoned()
        await ShieldedCall(self._plugin.resume()).wait()
        return await self._readiness.run()

    def output_received(self, line: str, deadline: float) -> float:
        """Log a line of output that came before the first answer, and look for the ready line.

        :param deadline: when the start times out.
        :returns: when it times out now: later, as a server that writes output is not stuck.
        """
        self._log.debug("| %s", line[:LONGEST_LINE])
        if self._policy.ready_line is not None:
            if self._policy.ready_line.search(line):
                self._readiness.ready_line_seen()
            else:
                self._readiness.ready_line_expected()
        timeout = self._policy.start_timeout
        now = self._dependencies.clock.seconds()
        return max(deadline, min(now + timeout, self.started_at + LONGEST_START * timeout))

    def _check_abandoned(self) -> None:
        if self._is_abandoned:
            raise CancelledError

    async def _obstacle(self) -> str | None:
        obstacle = self._dependencies.start_obstacle()
        if obstacle is not None or self._plugin.is_load_balanced:
            return obstacle
        if await self._dependencies.probe.accepts_connections():
            listener = self._dependencies.listener() or "something else"
            return f"{listener} already answers on the server's port: stop it, or give another server_port"
        return None

    async def _first_answer(self) -> ProbeResult:
        self.server_exists = True
        self._on_server()
        self._dependencies.on_address(self._plugin.server_address)
        return await self._readiness.run()
