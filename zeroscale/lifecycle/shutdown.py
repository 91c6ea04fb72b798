"""The end of a lifecycle: the proxy exits, or the server was removed from its configuration.

Uses no status: the lifecycle decides whether the server is stopped or left running.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed

from zeroscale.events import Cause, CauseKind
from zeroscale.lifecycle.interfaces import Logger
from zeroscale.lifecycle.plugin_slot import PluginSlot
from zeroscale.lifecycle.shielded_call import ShieldedCall
from zeroscale.lifecycle.waiters import Waiters

PROXY_EXITS = "the proxy is shutting down"
RETIRED = "this server has been removed from the proxy"


class Shutdown:
    """Rejects players, and reports when the server has stopped and its plugin is closed.

    :param slot: holds the plugin that is closed at the end.
    :param waiters: the players to reject.
    :param detach: cancels all work, timers and waits that concern the server.
    :param log: the server's log.
    :ivar in_progress: the server must not be started any more.
    :ivar proxy_exits: the proxy itself exits; this is never revoked.
    :ivar left: the server was left running; its events are ignored from now on.
    :ivar reason: why players are rejected, for them to read.
    """

    def __init__(self, slot: PluginSlot, waiters: Waiters, detach: Callable[[], None], log: Logger) -> None:
        self._slot = slot
        self._waiters = waiters
        self._detach = detach
        self._log = log
        self._pending: list[Deferred[None]] = []
        self.in_progress = False
        self.proxy_exits = False
        self.left = False
        self.reason = PROXY_EXITS

    @property
    def cause(self) -> Cause:
        """Why the server is stopped for good."""
        return Cause(CauseKind.shutdown if self.proxy_exits else CauseKind.removed)

    def begin(self, reason: str) -> Deferred[None]:
        """Allow no more starts.

        :returns: fires when `server_gone` has been called and the plugin is closed.
        """
        self._reject(reason)
        gone: Deferred[None] = Deferred()
        self._pending.append(gone)
        return gone.addCallback(lambda _: self._slot.close())

    def leave(self, start_call: ShieldedCall[None] | None) -> Deferred[None]:
        """Leave the server running, for the next zeroscale to adopt.

        :param start_call: the plugin's `start()`, where that has not returned. It is waited for: a server that it is
            about to start would be lost.
        :returns: fires when the plugin is closed.
        """
        self._reject(self.reason)
        self._log.info("left running, for the next zeroscale to take over")
        self.left = True
        self._detach()
        if start_call is None or self._slot.plugin.interruptible_start:
            started = succeed(None)
        else:
            started = start_call.wait().addErrback(lambda _: None)
        return started.addCallback(lambda _: self._slot.close())

    def abandon(self) -> None:
        """Stop waiting for a server that can stop, or be adopted, without this process.

        Its API or its machine may never answer again.
        """
        self._log.warning("has not stopped; it is left to stop by itself, for the next zeroscale to take over")
        self.left = True
        self._detach()
        self.server_gone()

    def server_gone(self) -> None:
        """Note that the server does not run any more."""
        pending, self._pending = self._pending, []
        for gone in pending:
            gone.callback(None)

    def revoke(self) -> bool:
        """Allow starts again; the Deferred that `begin` returned never fires then.

        :returns: whether that was possible; not when the proxy exits.
        """
        if not self.in_progress or self.proxy_exits:
            return False
        self.in_progress = False
        self.reason = PROXY_EXITS
        self._pending.clear()
        return True

    def _reject(self, reason: str) -> None:
        self.in_progress = True
        self.reason = reason
        self._waiters.reject(reason)
