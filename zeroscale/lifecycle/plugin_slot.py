"""The current plugin of a lifecycle, and its replacement: after a failure, or by a new configuration.

Does not use the server's status.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from zeroscale.errors import PluginError
from zeroscale.lifecycle.interfaces import AdaptedPlugin, LifecycleDependencies, Logger
from zeroscale.lifecycle.shielded_call import ShieldedCall
from zeroscale.status import Status

LONGEST_CLOSE = 5.0
"""Seconds for a plugin's `close()`: it only closes connections, so nothing is lost where it takes longer."""


class PluginSlot:
    """Holds one plugin at a time, with the dependencies that belong to it.

    :param dependencies: those of the first plugin.
    :param log: the server's log.
    :param found: called when the plugin sees its server run without having started or resumed it.
    :param paused: called when the plugin sees its server paused without having paused it.
    :param replaced: called when the dependencies are others, before all who wait for that.
    :ivar dependencies: those of the current plugin.
    :ivar plugin: the current plugin.
    :ivar adoption: the search for a running server that `adopt_in_background` began, until it has ended.
    """

    def __init__(
        self,
        dependencies: LifecycleDependencies,
        log: Logger,
        found: Callable[[], None],
        paused: Callable[[], None],
        replaced: Callable[[], None] = lambda: None,
    ) -> None:
        self._log = log
        self._found = found
        self._paused = paused
        self._replaced = replaced
        self._failed = False
        self._closing: ShieldedCall[None] | None = None
        self._pending: tuple[LifecycleDependencies, Callable[[], None]] | None = None
        self.dependencies = dependencies
        self.plugin = dependencies.plugin
        self.adoption: ShieldedCall[Status | None] | None = None

    async def adopt(self) -> Status | None:
        """Let the plugin adopt a server that an earlier proxy has started.

        :returns: its status, `running` or `stopping`; None: there is none.

        From now on the plugin may call `found` and `paused`.
        """
        plugin = self.plugin
        self._connect_callbacks()
        try:
            return await plugin.adopt()
        except PluginError as error:
            self._log.warning("could not check whether the server still runs: %s", error)
            return None

    def adopt_in_background(
        self,
        adopted: Callable[[Status], None],
        failed: Callable[[Failure], None],
        *,
        otherwise: Status | None = None,
    ) -> None:
        """Do `adopt` without waiting for it. A start in the meantime can wait for it: see `adoption`.

        :param adopted: called with the status of the server, where there is one and the plugin is still the same.
        :param failed: called with an unexpected error.
        :param otherwise: the status where `adopt` finds none; None: `adopted` is not called then.
        """
        search: Deferred[Status | None] = Deferred.fromCoroutine(self.adopt())
        adoption = self.adoption = ShieldedCall(search)

        def on_result(found: Status | None) -> None:
            if self.adoption is adoption:
                self.adoption = None
                if (status := found or otherwise) is not None:
                    adopted(status)

        def on_failure(failure: Failure) -> None:
            if self.adoption is adoption:
                self.adoption = None
                failed(failure)

        adoption.wait().addCallbacks(on_result, on_failure)

    def mark_failed(self) -> None:
        """Note that the plugin must be replaced before the next start: its state may not allow one."""
        self._failed = True

    def replace_if_failed(self) -> None:
        """Replace a failed plugin by a new one of the same configuration.

        :raises ZeroscaleError: the new plugin cannot be made.
        """
        if not self._failed:
            return
        former, self.plugin = self.plugin, self.dependencies.make_plugin()
        self._failed = False
        self._close(former)
        self._connect_callbacks()

    def schedule_swap(self, dependencies: LifecycleDependencies, swapped: Callable[[], None]) -> None:
        """Schedule the plugin's replacement by one of another configuration; `swap_pending` does it.

        :param swapped: called when that is done.
        """
        self._pending = (dependencies, swapped)

    def swap_pending(self) -> bool:
        """Do the swap that is scheduled, if there is one; call this only while the server does not run.

        :returns: whether there was one.
        """
        if self._pending is None:
            return False
        (self.dependencies, swapped), self._pending = self._pending, None
        self._replaced()
        former, self.plugin = self.plugin, self.dependencies.plugin
        self._failed = False
        self.adoption = None
        self._close(former)
        swapped()
        return True

    def close(self) -> Deferred[None]:
        """Close the plugin; fires when that is done, has failed or has taken too long."""
        self.adoption = None
        if self._closing is None:
            self._closing = ShieldedCall(self._close(self.plugin))
        return self._closing.wait()

    def _connect_callbacks(self) -> None:
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
            self._log.warning("its plugin could not be closed: %s", failure.getErrorMessage())

        return plugin.close().addTimeout(LONGEST_CLOSE, self.dependencies.clock).addErrback(failed)
