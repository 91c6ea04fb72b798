"""One real server's life, as the rest of the house knows it: what may be asked of it, and what its operator may say.

What then becomes of it is in `course`. It knows no socket, no client and no protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

from zeroscale.errors import PluginError, ServerUnavailable
from zeroscale.lifecycle.effects import DOWN, Course
from zeroscale.lifecycle.idle_monitor import NOBODY, PlayerSession
from zeroscale.lifecycle.interfaces import LifecycleDependencies, LifecyclePolicy
from zeroscale.status import ClientInfo, ServerSnapshot, Status

WARN_AGAIN = 60.0
"""Seconds between two warnings, at least, about a server that takes no connections."""

SHUTTING_DOWN = "the proxy is shutting down"
NOT_SERVED = "this server is not served here any more"


class ServerLifecycle(Course):
    """A server, from asleep to asleep.

    :param name: its name.
    :param policy: how it is to be treated.
    :param parts: what it works with.
    """

    def __init__(self, name: str, policy: LifecyclePolicy, parts: LifecycleDependencies) -> None:
        super().__init__(name, policy, parts)
        self._farewell = SHUTTING_DOWN
        self._unreachable_at = float("-inf")

    # What others ask

    @property
    def sessions(self) -> Sequence[PlayerSession]:
        """Those of who is relayed to it, in the order in which they were let in."""
        return self._vigil.sessions

    @property
    def waiting(self) -> Sequence[str]:
        """The names of those who are held for it."""
        return self._waiters.names

    @property
    def idle_check_at(self) -> float | None:
        """When it is asked whether it may sleep; None while that is not to be."""
        return self._vigil.check_at

    @property
    def last_start(self) -> float | None:
        """How many seconds its last start took; None before there was one."""
        return self._last_start

    @property
    def last_error(self) -> tuple[str, float] | None:
        """Why it failed last, and when; None: it has not."""
        return self._last_error

    def add_observer(self, changed: Callable[[ServerSnapshot], None]) -> None:
        """Has `changed` called with the new view at every change of status."""
        self._watchers.add(changed)

    def add_session_observer(self, changed: Callable[[], None]) -> None:
        """Has `changed` called whenever a player has come or gone."""
        self._visit_watchers.add(lambda _: changed())

    async def open(self) -> None:
        """Looks whether a server of ours, started by an earlier proxy, is there, and takes it over."""
        found, plugin = False, None
        while plugin is not self._plugin:  # another one may have taken its place meanwhile
            plugin = self._plugin
            found = await self._incumbent.adopt()
        self._opened = True
        if found and not self._closing:
            self._machine.server_found()
        elif self._waiters or self._wanted:
            self._machine.wake()

    def wake(self, who: str, reason: str = "login", *, held_down: bool = False) -> None:
        """Somebody wants in; starts the server where it does not run and may be started.

        :param who: for the log.
        :param reason: what it is counted as, in one word.
        :param held_down: start it though it is locked.
        """
        if self._closing or (self._parts.lockout() is not None and not held_down):
            return
        if self._status is Status.failed and not self._may_retry():
            return
        if self._status in (Status.stopped, Status.failed, Status.paused):
            self._log.debug("Woken by %s", who)
            self._parts.stats.woken(reason)
        if self._opened:
            self._machine.wake()
        else:
            self._wanted = True

    def admit(self, visitor: ClientInfo = NOBODY) -> Deferred[PlayerSession]:
        """Waits until the server is ready, and counts one more player from that moment on.

        :param visitor: who it is.
        :returns: fires with the visit, in the order of the calls; fails with `ServerUnavailable` as soon as it is
            certain that the server will not become ready. May be cancelled.
        """
        if self._status is Status.running and not self._closing:
            return succeed(self._vigil.add_session(visitor))
        if self._closing:
            return _unavailable(self._farewell)
        if self._status is not Status.starting and (lockout := self._parts.lockout()) is not None:
            return _unavailable(lockout)
        if self._status is Status.failed or self._stop_timed_out:
            return _unavailable(self._reason or "the server cannot be started")
        return self._waiters.add(visitor)

    def unreachable(self, reason: str) -> None:
        """A running server did not take a connection. Where nobody can see its process, that is its end."""
        if self._status is Status.running and not self._left:
            if self._plugin.can_wait:
                now = self._clock.seconds()
                if now - self._unreachable_at >= WARN_AGAIN:
                    self._unreachable_at = now
                    self._log.warning("The server did not take a connection: %s", reason)
            else:
                self._machine.crashed("it does not answer any more", reason)

    def fake_status(self) -> bytes | None:
        """What the plugin would have a client sent that comes while the server does not run."""
        try:
            return self._plugin.fake_status()
        except PluginError as error:
            self._log.error("%s", error)
            return None

    def send(self, line: str) -> Deferred[str | None]:
        """Types one line on the server's console.

        :returns: its answer, where it gives one; fails with `PluginError` where the server does not run, or has no
            console.
        """
        if self._status in (Status.stopped, Status.failed):
            return fail(PluginError(f"{self.name} does not run"))
        return self._plugin.send(line)

    def close(self, *, leave: bool = False) -> Deferred[None]:
        """Our own end: no more starts, those who wait are told.

        :param leave: leave a server that runs as it is, for the next zeroscale to take over.
        :returns: fires when the server is gone, or left.
        """
        self._at_our_end = True
        if leave and self._status in (Status.starting, Status.running, Status.paused):
            if self._plugin.can_adopt:
                self._closing = True
                self._wanted = False
                self._waiters.reject(self._farewell)
                return self._leave().addCallback(lambda _: self._close_plugin())
            self._log.warning("%s is stopped, not left: its plugin cannot take it over again", self.name)
        closed = self._end(self._farewell)
        self._machine.stop()
        self._tell_closers()
        return closed

    def skip_to_sigterm(self) -> None:
        """Somebody cannot wait for a stop: SIGTERM comes at once."""
        if self._stopping is not None and self._stopping.skip_to_sigterm(self._clock.seconds()):
            self._await_step()

    # What its operator says

    def start_for_operator(self) -> Deferred[None]:
        """Starts it whatever holds it down; a failed one is forgiven first.

        :returns: fires once it is ready; fails with `ServerUnavailable`. May be cancelled, and starts all the same.
        """
        if self._status is Status.running and not self._closing:
            return succeed(None)
        if self._closing:
            return _unavailable(self._farewell)
        self._machine.release()
        ready = self._waiters.add_observer()
        self.wake("its operator", "operator", held_down=True)
        return ready

    def allow_retry(self) -> None:
        """A server that has failed may be tried again."""
        self._machine.release()

    def sleep(self) -> None:
        """Its operator has it stop now, whoever is on it."""
        self._wanted = False
        self._waiters.reject("its operator has put the server to sleep")
        self._machine.stop()

    def restart_idle_timer(self, *, at_once: bool = False) -> None:
        """What kept it up may not do so any more.

        :param at_once: its idle time is over; it is only asked whether anybody is on it.
        """
        self._vigil.restart_timer(at_once=at_once)

    def retire(self) -> Deferred[None]:
        """It is not to be served any more: no more starts; it is stopped, not paused, once nobody is on it.

        :returns: fires when it is gone.
        """
        closed = self._end(NOT_SERVED)
        if self._status is Status.running:
            self._vigil.apply_policy(replace(self._policy.idle, idle_shutdown=0.0, minimum_online=0.0))
        else:
            self._machine.stop()
        self._tell_closers()
        return closed

    def reinstate(self) -> bool:
        """It is to be served after all: whoever is on it has noticed nothing of its having been retired.

        What `retire` returned then never fires.

        :returns: whether it is; not where it is on its way down, or there, already.
        """
        if not self._closing or self._at_our_end or self._status is not Status.running:
            return False
        self._closing = False
        self._farewell = SHUTTING_DOWN
        self._closers.clear()  # our own end has not come: they are all of its retirement
        self._vigil.apply_policy(self._policy.idle)
        return True

    def apply_policy(self, policy: LifecyclePolicy) -> None:
        """It is to be treated otherwise from now on."""
        self._policy = policy
        self._vigil.apply_policy(policy.idle)

    def replace_dependencies(self, parts: LifecycleDependencies, replaced: Callable[[], None]) -> None:
        """It is to be another one from its next start on.

        :param replaced: called when it is; at once, where it does not run.
        """
        self._incumbent.schedule_swap(parts, replaced)
        if self._status in DOWN:
            self._take_next_parts()

    # How

    def _end(self, farewell: str) -> Deferred[None]:
        """No more starts; fires when it is gone, and its plugin closed."""
        self._closing = True
        self._farewell = farewell
        self._wanted = False
        self._waiters.reject(farewell)
        closed: Deferred[None] = Deferred()
        self._closers.append(closed)
        return closed.addCallback(lambda _: self._close_plugin())

    def _close_plugin(self) -> Deferred[None]:
        self._looking = None
        return self._incumbent.close()

    def _leave(self) -> Deferred[None]:
        self._log.info("Leaving %s running, for the next zeroscale to take over", self.name)
        self._left = True
        starting = self._starting.call if self._starting is not None else None
        self._let_go()
        self._forget_end()
        # A start() that has not returned is on its way to a server that would be lost.
        if starting is None or self._plugin.interruptible_start:
            return succeed(None)
        return starting.wait().addErrback(lambda _: None)

    def _may_retry(self) -> bool:
        return self._retry_at is not None and self._clock.seconds() >= self._retry_at


def _unavailable(reason: str) -> Deferred[Any]:
    return fail(ServerUnavailable(reason))
