"""The plugin that a lifecycle works with, from one to the next: a new one for one that failed, or another altogether.

It knows when a plugin is done with, and nothing of what its server does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from zeroscale.errors import PluginError
from zeroscale.lifecycle.interfaces import AdaptedPlugin, LifecycleDependencies
from zeroscale.lifecycle.shielded_call import ShieldedCall

LONGEST_CLOSE = 5.0
"""Seconds a plugin has to let go of its connections: nothing that could be lost hangs on it."""

Logger = logging.Logger | logging.LoggerAdapter[logging.Logger]


class PluginSlot:
    """One server's.

    :param name: the server's, for the log.
    :param parts: what the lifecycle works with at first.
    :param log: where its story is told.
    :param found: called when the plugin sees that its server runs though it did not start or resume it.
    :param paused: called when it sees that somebody else has frozen it.
    :ivar dependencies: what the lifecycle works with now.
    :ivar plugin: the plugin now.
    """

    def __init__(
        self,
        name: str,
        parts: LifecycleDependencies,
        log: Logger,
        found: Callable[[], None],
        paused: Callable[[], None],
    ) -> None:
        self._name = name
        self._log = log
        self._found = found
        self._paused = paused
        self.dependencies = parts
        self.plugin = parts.plugin
        self._worn_out = False
        self._closing: ShieldedCall[None] | None = None
        self._next: tuple[LifecycleDependencies, Callable[[], None]] | None = None

    async def adopt(self) -> bool:
        """Whether a server of ours, started by an earlier proxy, is there; then it is this plugin's now.

        From here on the plugin may say what it sees.
        """
        plugin = self.plugin
        self._listen()
        try:
            return await plugin.adopt()
        except PluginError as error:
            self._log.warning("Could not look for a server of ours that still runs: %s", error)
            return False

    def mark_failed(self) -> None:
        """It has failed: after a failure a plugin's own checks may make start() return without starting."""
        self._worn_out = True

    def replace_if_failed(self) -> None:
        """Has a new one in the place of one that is worn out.

        :raises ZeroscaleError: there cannot be one.
        """
        if not self._worn_out:
            return
        former, self.plugin = self.plugin, self.dependencies.make_plugin()
        self._worn_out = False
        self._close(former)
        self._listen()

    def schedule_swap(self, parts: LifecycleDependencies, replaced: Callable[[], None]) -> None:
        """Another one is to take its place.

        :param replaced: called when it has; see `take_next`.
        """
        self._next = (parts, replaced)

    def swap_pending(self) -> bool:
        """Has it taken its place, if there is one that is to; to be called once its server is gone."""
        if self._next is None:
            return False
        (self.dependencies, replaced), self._next = self._next, None
        former, self.plugin = self.plugin, self.dependencies.plugin
        self._worn_out = False
        self._close(former)
        replaced()
        return True

    def close(self) -> Deferred[None]:
        """It is done with; fires when it has let go, or has taken too long for it."""
        if self._closing is None:
            self._closing = ShieldedCall(self._close(self.plugin))
        return self._closing.wait()

    def _listen(self) -> None:
        plugin = self.plugin

        def found() -> None:
            if self.plugin is plugin:
                self._found()

        def paused() -> None:
            if self.plugin is plugin:
                self._paused()

        plugin.on_found(found)
        plugin.on_paused(paused)

    def _close(self, plugin: AdaptedPlugin) -> Deferred[None]:
        def failed(failure: Failure) -> None:
            self._log.warning("%s: its plugin could not be closed: %s", self._name, failure.getErrorMessage())

        return plugin.close().addTimeout(LONGEST_CLOSE, self.dependencies.clock).addErrback(failed)
