"""The public API of one real server's lifecycle: for clients, operator commands, startup and shutdown.

The outputs of its state machine are in `transitions`. Uses no socket, no client connection and no game protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, fail, succeed

from zeroscale.errors import PluginError, ServerUnavailable
from zeroscale.events import Cause, Refused, ServerEvent
from zeroscale.lifecycle.awake_reasons import awake_reasons
from zeroscale.lifecycle.idle_monitor import UNKNOWN_CLIENT, PlayerSession
from zeroscale.lifecycle.idle_policy import IdlePolicy
from zeroscale.lifecycle.interfaces import LifecycleDependencies, LifecyclePolicy
from zeroscale.lifecycle.observers import Observers
from zeroscale.lifecycle.shutdown import PROXY_EXITS, RETIRED
from zeroscale.lifecycle.transitions import ServerTransitions
from zeroscale.reports import AwakeReason
from zeroscale.server_log import ServerLog
from zeroscale.status import ClientInfo, ServerSnapshot, Status

WARN_AGAIN = 60.0
"""Seconds between two warnings, at least, about a server that takes no connections."""


class ServerLifecycle:
    """Starts a server when a player joins, and stops it when it has been idle.

    :param name: the server's name.
    :param policy: when and how the server is started and stopped.
    :param dependencies: the collaborators.
    """

    def __init__(self, name: str, policy: LifecyclePolicy, dependencies: LifecycleDependencies) -> None:
        self.name = name
        self._clock = dependencies.clock
        self._log = ServerLog(dependencies.logger, name)
        self._unreachable_warned_at = float("-inf")
        transitions = self._transitions = ServerTransitions(
            name,
            policy,
            dependencies,
            self._log,
            lambda: self._observers.notify(self.view),
            lambda: self._session_observers.notify(None),
        )
        self._observers: Observers[ServerSnapshot] = Observers(transitions.log_fault)
        self._session_observers: Observers[None] = Observers(transitions.log_fault)
        self._view = transitions.view
        self._record = transitions.record
        self._machine = transitions.machine
        self._waiters = transitions.waiters
        self._slot = transitions.slot
        self._idle_monitor = transitions.idle_monitor
        self._shutdown = transitions.shutdown
        self._events = transitions.events
        self._last_refusal: Refused | None = None

    @property
    def view(self) -> ServerSnapshot:
        """The server as it is now; the same object until something in it changes.

        A change of a flag file or of the game's own files, and the first bytes that show a connection to be a player's,
        are seen within a second.
        """
        return self._view.get()

    def look_again(self) -> None:
        """Note that the estimate, the lockout or the cached status may be others: the next view has what is so then."""
        self._view.look_again()

    @property
    def sessions(self) -> Sequence[PlayerSession]:
        """The players on the server, in the order in which they joined."""
        return self._idle_monitor.sessions

    @property
    def waiting(self) -> Sequence[str]:
        """The names of the players waiting for the server."""
        return self._waiters.names

    @property
    def awake_reasons(self) -> Sequence[AwakeReason]:
        """Why the server does not sleep; the first one counts."""
        return awake_reasons(self._transitions.awake_facts())

    @property
    def idle_check_at(self) -> float | None:
        """When the server is asked for players and then stopped; None while players are on it, or it does not run."""
        return self._idle_monitor.check_at

    @property
    def last_start(self) -> float | None:
        """How many seconds the last start took; None before there was one."""
        return self._record.last_start

    @property
    def last_error(self) -> tuple[str, float] | None:
        """Why the server failed last, for the operator, and when; None: it has not failed."""
        return self._record.last_error

    @property
    def last_refusal(self) -> Refused | None:
        """The last login that a rule has refused, of those that were noted; None: there was none."""
        return self._last_refusal

    def add_observer(self, changed: Callable[[ServerSnapshot], None]) -> Callable[[], None]:
        """Register `changed`, to be called with the new snapshot at every change of status.

        :returns: a function that ends that.
        """
        return self._observers.add(changed)

    def add_session_observer(self, changed: Callable[[], None]) -> None:
        """Register `changed`, to be called whenever a player has joined or left."""
        self._session_observers.add(lambda _: changed())

    def add_event_observer(self, callback: Callable[[ServerEvent], None], *, clients: bool = True) -> None:
        """Register `callback`, to be called with each event of the server from now on; see `events`.

        :param clients: whether it needs `Joined`, `Left` and `Refused`; it may get them all the same.
        """
        self._events.add_observer(callback, clients=clients)

    # For clients

    def wake(self, cause: Cause, *, ignore_lockout: bool = False) -> None:
        """Start the server where it does not run and may be started.

        :param cause: why; a start is counted by its kind.
        :param ignore_lockout: start it though its operator has locked it.
        """
        if self._shutdown.in_progress or (self._view.get().lockout is not None and not ignore_lockout):
            return
        if self._record.status is Status.failed and not self._record.may_be_retried:
            return
        if self._record.status is Status.starting:
            # should it be a server that was found, and does not run after all
            self._record.start_wanted = self._record.start_wanted or cause
        if self._transitions.opened:
            self._machine.wake(cause)
        else:
            self._record.start_wanted = self._record.start_wanted or cause

    def admit(self, client: ClientInfo = UNKNOWN_CLIENT) -> Deferred[PlayerSession]:
        """Wait until the server is ready, and count one more player from then on.

        :param client: the player.
        :returns: fires with the player's session, in the order of the calls; fails with `ServerUnavailable` as soon
            as it is certain that the server will not become ready. May be cancelled.
        """
        if self._shutdown.in_progress:
            return fail(ServerUnavailable(self._shutdown.reason))
        if self._record.status is Status.running:
            return succeed(self._idle_monitor.add_session(client))
        if self._record.status is not Status.starting and (lockout := self._view.get().lockout) is not None:
            return fail(ServerUnavailable(lockout))
        if self._record.status is Status.failed or self._record.stop_timed_out:
            return fail(ServerUnavailable(self._record.reason or "the server cannot be started"))
        return self._waiters.add(client)

    def refused(self, client: ClientInfo, reason: str, detail: str = "") -> None:
        """Note that a rule has refused a login. The caller bounds how often that is noted.

        :param reason: the rule, in one word.
        :param detail: the same in words.
        """
        event = Refused(server=self.name, at=self._events.now, client=client, reason=reason, detail=detail)
        self._last_refusal = event
        self._events.emit(event)

    def unreachable(self, reason: str) -> None:
        """Note that a running server has not taken a connection.

        That is a crash where the plugin cannot see the server's process, or doubts what it sees, and else only worth a
        warning.
        """
        if self._record.status is not Status.running or self._shutdown.left:
            return
        if not self._slot.plugin.can_wait or self._transitions.doubts():
            self._machine.crashed("it does not answer any more", reason)
            return
        now = self._clock.seconds()
        if now - self._unreachable_warned_at >= WARN_AGAIN:
            self._unreachable_warned_at = now
            self._log.warning("does not accept connections: %s", reason)

    def fake_status(self) -> bytes | None:
        """Return the plugin's own reply to clients while the server does not run; None: it has none."""
        try:
            return self._slot.plugin.fake_status()
        except PluginError as error:
            self._log.error("%s", error)
            return None

    # For the operator

    def send(self, line: str) -> Deferred[str | None]:
        """Write one line to the server's console.

        :returns: fires with the server's answer, where it gives one; fails with `PluginError` where the server does
            not run, or has no console.
        """
        if self._record.is_down:
            return fail(PluginError(f"{self.name} does not run"))
        return self._slot.plugin.send(line)

    def usage(self) -> Deferred[tuple[float, int] | None]:
        """Ask the plugin what the server uses.

        :returns: fires with its CPU seconds since its start and its bytes of memory; None: that is not known. Fails
            with `PluginError`.
        """
        return succeed(None) if self._record.is_down else self._slot.plugin.usage()

    def start_for_operator(self, cause: Cause) -> Deferred[None]:
        """Start the server in spite of a lockout or of past failures.

        :param cause: why.
        :returns: fires once the server is ready; fails with `ServerUnavailable`, whose text is for the operator. May be
            cancelled: the server is started all the same, unless it is still stopping and locked.
        """
        if self._shutdown.in_progress:
            return fail(ServerUnavailable(self._shutdown.reason))
        if self._record.status is Status.running:
            return succeed(None)
        self._machine.release()
        ready = self._waiters.add_observer(cause, ignore_lockout=True)
        self.wake(cause, ignore_lockout=True)
        return ready

    def allow_retry(self) -> None:
        """Allow a failed server to be started again."""
        self._machine.release()

    def sleep(self, cause: Cause, reason: str = "its operator has put the server to sleep") -> None:
        """Stop the server now, even with players on it.

        :param cause: why.
        :param reason: the same, for players who wait for the server.
        """
        self._record.start_wanted = None
        self._waiters.reject(reason)
        self._machine.stop(cause)

    def restart(self, cause: Cause) -> None:
        """Stop a running server, even with players on it, and start it again; not if it is locked by then.

        :param cause: why.
        """
        if self._record.status is Status.running and not self._shutdown.in_progress:
            self._machine.stop(cause)
            self.wake(cause)

    def unrelayed_players(self) -> Deferred[str | None]:
        """Ask a running server for players that this proxy does not relay.

        :returns: fires with why it may not count as empty; None: it does, as far as the server can tell.
        """
        return self._transitions.unrelayed_players() if self._record.status is Status.running else succeed(None)

    def sleep_when_empty(self, cause: Cause) -> None:
        """Stop or pause the server now, without waiting for the idle time, unless it says that players are on it.

        :param cause: why.
        """
        self._idle_monitor.ask_now(cause)

    def sleep_once_not_needed(self, cause: Cause) -> None:
        """Do the same as soon as no other server needs it.

        :param cause: why.
        """
        self._idle_monitor.ask_once_not_needed(cause)

    @property
    def is_put_to_sleep(self) -> bool:
        """Whether it stops, or is about to for another cause than its idle time, and is not wanted again."""
        if self._record.status is Status.stopping:
            return self._record.start_wanted is None
        return self._record.status is Status.running and self._idle_monitor.is_asked_to_stop

    def skip_to_sigterm(self) -> None:
        """Send SIGTERM at once to a server that is being stopped."""
        self._transitions.skip_to_sigterm()

    def restart_idle_timer(self) -> None:
        """Compute anew when the server may stop, after a reason to keep it running has gone."""
        self._idle_monitor.restart_timer()

    # For servers that need it, and that it needs; see `proxy.needs`

    @property
    def needs_others(self) -> bool:
        """Whether it does not sleep, so that what it needs is kept running."""
        return not self._record.is_down and not self._shutdown.left

    @property
    def uses_others(self) -> bool:
        """Whether there may be a server that uses what it needs: not while it waits for that."""
        return self.needs_others and not self._transitions.waits_for_needs

    @property
    def needed_by(self) -> Sequence[str]:
        """The names of the servers that need it now."""
        return self._transitions.needed_by

    @property
    def can_be_left(self) -> bool:
        """Whether the next zeroscale can take over the server if this one leaves it running."""
        return self._slot.plugin.can_adopt

    def start_for_dependent(self, cause: Cause) -> Deferred[None]:
        """Start the server for another one that needs it, where it does not run and may be started.

        :param cause: why.
        :returns: fires once the server is ready; fails with `ServerUnavailable`, whose text is for the operator. May be
            cancelled: the server is started all the same.
        """
        if self._shutdown.in_progress:
            return fail(ServerUnavailable(self._shutdown.reason))
        if self._record.status is Status.running:
            return succeed(None)
        if self._record.status is not Status.starting and (lockout := self._view.get().lockout) is not None:
            return fail(ServerUnavailable(lockout))
        is_refused = self._record.status is Status.failed and not self._record.may_be_retried
        if is_refused or self._record.stop_timed_out:
            reason = self._record.reason or "it cannot be started"
            return fail(ServerUnavailable(self._record.detail or reason, reason))
        ready = self._waiters.add_observer(cause)
        self.wake(cause)
        return ready

    def dependents_changed(self) -> None:
        """Note that servers that need it have started or stopped: if none needs it any more, its idle time begins."""
        needs = self._transitions.needs
        if needs is not None and not needs.are_dependents_put_to_sleep:
            self._idle_monitor.withdraw()
        self._idle_monitor.dependents_changed()

    # Beginning, end and configuration

    async def open(self) -> None:
        """Adopt a running server that an earlier proxy has started; from now on the server may be started."""
        found: Status | None = None
        plugin = None
        while plugin is not self._slot.plugin:  # replaced while it was asked
            plugin = self._slot.plugin
            found = await self._slot.adopt()
        self._transitions.opened = True
        if found is not None and not self._shutdown.in_progress:
            self._transitions.server_adopted(found)
        elif (cause := self._record.start_wanted or self._waiters.cause) is not None:
            self._machine.wake(cause)

    def close(self, *, leave: bool = False) -> Deferred[None]:
        """Stop the server, or leave it running, because the proxy exits.

        :param leave: leave a running server as it is, where the next zeroscale can adopt it.
        :returns: fires when the server has stopped or was left, and its plugin is closed.
        """
        self._shutdown.proxy_exits = True
        self._record.start_wanted = None
        is_up = self._record.status in (Status.starting, Status.running, Status.paused)
        if leave and is_up and not self._transitions.waits_to_begin:
            if self._slot.plugin.can_adopt:
                return self._shutdown.leave(self._transitions.start_call)
            self._log.warning("stopped, not left running: its plugin cannot take it over again")
        return self._stop_for_good(self._shutdown.begin(PROXY_EXITS))

    def retire(self) -> Deferred[None]:
        """Stop the server, not pause it, once no players are on it, because it is not configured any more.

        :returns: fires when the server has stopped and its plugin is closed.
        """
        self._record.start_wanted = None
        closed = self._shutdown.begin(RETIRED)
        if self._record.status is Status.running:
            self._idle_monitor.apply_policy(IdlePolicy(0.0, player_sign=self._transitions.policy.idle.player_sign))
            return closed
        return self._stop_for_good(closed)

    def reinstate(self) -> bool:
        """Undo `retire`, without effect on the players; the Deferred that it returned never fires then.

        :returns: whether that was possible: the server still runs, and the proxy is not shutting down.
        """
        if self._record.status is not Status.running or not self._shutdown.revoke():
            return False
        self._idle_monitor.apply_policy(self._transitions.policy.idle)
        return True

    def apply_policy(self, policy: LifecyclePolicy) -> None:
        """Use another policy from now on."""
        self._transitions.policy = policy
        self._idle_monitor.apply_policy(policy.idle)

    def replace_dependencies(self, dependencies: LifecycleDependencies, replaced: Callable[[], None]) -> None:
        """Use another plugin and other collaborators from the next start on.

        :param replaced: called when they are in use: at once, where the server does not run.
        """
        self._slot.schedule_swap(dependencies, replaced)
        if self._record.is_down:
            self._transitions.swap_plugin()

    def _stop_for_good(self, closed: Deferred[None]) -> Deferred[None]:
        self._machine.stop(self._shutdown.cause)
        if self._record.is_down:
            self._shutdown.server_gone()
        return closed
