"""The actions of the state machine's transitions, and the events that become its inputs.

The only module that changes the server's status. The table of transitions is in `state_machine`, a start in `start`, a
stop in `stop`, the idle time in `idle_monitor`. Uses no socket, no client connection and no game protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from zeroscale.backoff import Backoff
from zeroscale.errors import PluginError, ServerUnavailable, StartRefused, ZeroscaleError
from zeroscale.event_text import format_duration
from zeroscale.events import Cause, CauseKind, Failed, GivenUp, Ready, Stopped, Stopping, Woken
from zeroscale.lifecycle.awake_reasons import AwakeFacts, BusyAnswer
from zeroscale.lifecycle.escalation import back_off
from zeroscale.lifecycle.event_source import EventSource
from zeroscale.lifecycle.exit_watch import ExitWatch, ProcessExit
from zeroscale.lifecycle.idle_monitor import ExpectedReason, IdleMonitor
from zeroscale.lifecycle.interfaces import AdaptedPlugin, LifecycleDependencies, LifecyclePolicy, Logger, Needs
from zeroscale.lifecycle.player_query import PlayerQuery
from zeroscale.lifecycle.plugin_slot import PluginSlot
from zeroscale.lifecycle.server_view import ServerView
from zeroscale.lifecycle.shielded_call import ShieldedCall
from zeroscale.lifecycle.shutdown import Shutdown
from zeroscale.lifecycle.start import StartAttempt
from zeroscale.lifecycle.state_machine import Inputs, Machine
from zeroscale.lifecycle.state_task import StateTask
from zeroscale.lifecycle.status_record import StatusRecord
from zeroscale.lifecycle.stop import StopAttempt
from zeroscale.lifecycle.waiters import Waiters
from zeroscale.status import ProbeResult, Status

HEALTHY_AFTER = 60.0
"""Seconds: a crash after a run of this length is not counted with earlier ones."""

FIRST_REFUSAL_DELAY = 2.0
LONGEST_REFUSAL_DELAY = 60.0
"""Seconds from a start that was refused (`StartRefused`), or failed with a server that is needed, to the next one: at
first, and at most. Each try costs those that compete for processes or disk space, and is reported as failed."""

LONGEST_RESUME = 60.0
"""Seconds: a resumed server answers within milliseconds, or not at all."""


class ServerTransitions:
    """Implements `state_machine.StateOutputs`; only the machine calls its methods.

    :param name: the server's name, for the log.
    :param policy: when and how the server is started and stopped.
    :param dependencies: the collaborators.
    :param log: the server's log.
    :param status_changed: called after each change of status.
    :param sessions_changed: called whenever a player has joined or left.
    :ivar policy: the policy in use.
    :ivar machine: the state machine.
    :ivar view: the snapshots of the server.
    :ivar record: the server's status.
    :ivar opened: the server may be started.
    :ivar waiters: the players waiting for the server.
    :ivar slot: holds the plugin.
    :ivar shutdown: whether the lifecycle is about to end.
    :ivar idle_monitor: the players on the server.
    :ivar events: passes on what happens to the server.
    """

    def __init__(
        self,
        name: str,
        policy: LifecyclePolicy,
        dependencies: LifecycleDependencies,
        log: Logger,
        status_changed: Callable[[], None],
        sessions_changed: Callable[[], None],
    ) -> None:
        self._name = name
        self._clock = dependencies.clock
        self._log = log
        self._status_changed = status_changed
        self._start_attempt: StartAttempt | None = None
        self._stop_attempt: StopAttempt | None = None
        self._pause_call: ShieldedCall[None] | None = None
        self._start_error: tuple[str, str] | None = None
        self._failure_after_stop: tuple[str, str] | None = None
        self._end_cause: Cause | None = None
        self._woken: Cause | None = None
        self._busy: BusyAnswer | None = None
        self._found_again = False
        self._is_hurried = False
        self._refusals = Backoff(FIRST_REFUSAL_DELAY, LONGEST_REFUSAL_DELAY)
        self._player_query = PlayerQuery(self._clock)
        self.policy = policy
        self.opened = False
        self.machine: Inputs = Machine(self)
        self._state_task = StateTask(self._clock, self._timed_out)
        self._exit_watch = ExitWatch(self._server_exited)
        self.view = ServerView(name, self._clock.seconds, self)
        self.record = StatusRecord(self._clock.seconds, self.view.look_again)
        self.waiters = Waiters(self.view.changed)
        self.slot = PluginSlot(dependencies, log, self._server_found, self._server_paused, self.view.look_again)
        self.shutdown = Shutdown(self.slot, self.waiters, self._detach, log)
        self.events = EventSource(log, dependencies.wall_clock, self.log_fault)
        self.idle_monitor = IdleMonitor(
            name,
            self._clock,
            policy.idle,
            lambda: Deferred.fromCoroutine(self._busy_reason()),
            self._stop_idle_server,
            log,
            self.events,
            sessions_changed,
            self.view.changed,
            needed_by=lambda: self.needed_by,
        )

    def awake_facts(self) -> AwakeFacts:
        """Return what keeps the server from sleeping now."""
        return AwakeFacts(
            status=self.record.status,
            now=self._clock.seconds(),
            waiting=self.waiters.names,
            woken=self._woken,
            waits_for=tuple(needs.missing) if self.waits_for_needs and (needs := self.needs) is not None else (),
            needed_by=tuple(self.needed_by),
            keep_awake=self._keep_awake_reason(),
            schedule=self._schedule_reason(),
            busy=self._busy,
            idle=self.idle_monitor.facts(),
        )

    @property
    def start_call(self) -> ShieldedCall[None] | None:
        """The plugin's `start()`, while it has not returned."""
        return self._start_attempt.call if self._start_attempt is not None else None

    @property
    def needs(self) -> Needs | None:
        """The servers that it needs, and that need it; None: there are none."""
        return self._dependencies.needs()

    @property
    def needed_by(self) -> Sequence[str]:
        """The names of the servers that need it now."""
        needs = self.needs
        return () if needs is None else needs.needed_by

    @property
    def waits_for_needs(self) -> bool:
        """Whether its start has not begun, as it waits for servers that it needs."""
        attempt = self._start_attempt
        return self.record.status is Status.starting and attempt is not None and attempt.waits_for_needs

    @property
    def waits_to_begin(self) -> bool:
        """The same, of a start for which there is no server yet; it may also be a resume."""
        return self.waits_for_needs and self._start_attempt is not None and not self._start_attempt.server_exists

    @property
    def needs_seconds(self) -> float | None:
        """How much of a start's duration is for the servers that it needs; None: not known."""
        if self.record.status is Status.starting and self._start_attempt is not None:
            return self._start_attempt.needs_seconds
        needs = self.needs
        return 0.0 if needs is None else needs.estimate

    def skip_to_sigterm(self) -> None:
        """Send SIGTERM at once to a server that is being stopped, or once it is its turn."""
        if self._stop_attempt is None:
            self._is_hurried = self.record.status is Status.stopping
        elif self._stop_attempt.skip_to_sigterm(self._clock.seconds()):
            self._set_step_timer()

    def unrelayed_players(self) -> Deferred[str | None]:
        """Ask the running server for players that this proxy does not relay; see `PlayerQuery.busy_reason`."""
        return Deferred.fromCoroutine(
            self._player_query.busy_reason(self._plugin, self._dependencies, ask_server=self.policy.ask_players)
        )

    def swap_plugin(self) -> None:
        """Use the plugin that is scheduled, if there is one; call this only while the server does not run."""
        if self.slot.swap_pending() and self.opened and not self.shutdown.in_progress:
            self.slot.adopt_in_background(self.server_adopted, self.log_fault)

    def server_adopted(self, status: Status) -> None:
        """Note that the plugin has adopted a server.

        :param status: `running` or `stopping`.
        """
        if self.shutdown.in_progress:
            return
        if status is Status.stopping:
            self.machine.stopping_found()
        else:
            self.machine.server_found()

    def doubts(self) -> bool:
        """Return whether the server, which does not answer, does not run after all, as far as the plugin can tell."""
        try:
            return self._plugin.doubt()
        except PluginError as error:
            self._log.error("%s", error)
            return False

    def log_fault(self, failure: Failure) -> None:
        """Log an unexpected error: a bug in zeroscale."""
        self._log.error("A fault in zeroscale itself: %s", failure.getTraceback())

    # The outputs of the state machine

    def start(self, cause: Cause) -> None:
        """Start the server."""
        self._exit_watch.clear_output()
        self._enter_woken(cause)
        self.record.start_wanted = cause  # should the server be found running, and not run after all
        try:
            self.slot.replace_if_failed()
        except ZeroscaleError as error:
            self.machine.crashed("it could not be started", str(error))
            return
        attempt = self._begin_start(self.policy.start_timeout)
        self._start_after_needs(cause, self.policy.start_timeout, lambda: attempt.start(self.slot.adoption))

    def take_over(self) -> None:
        """Use a server that was found running."""
        start_wanted = self.record.start_wanted
        self._enter(Status.starting)
        self.record.start_wanted = start_wanted
        attempt = self._begin_start(self.policy.start_timeout)
        self._await_first_answer(attempt.take_over())

    def resume(self, cause: Cause) -> None:
        """Resume a paused server."""
        self._enter_woken(cause, resumed=True)
        timeout = min(self.policy.start_timeout, LONGEST_RESUME)
        attempt = self._begin_start(timeout)
        attempt.server_exists = True
        self._start_after_needs(cause, timeout, lambda: attempt.resume(self._pause_call))

    def enter_running(self) -> None:
        """Admit the waiting players."""
        assert self._start_attempt is not None
        seconds = self._clock.seconds() - self._start_attempt.started_at
        if not self._start_attempt.adopted:
            self._dependencies.start_history.record_start(seconds)
            self._dependencies.stats.started(seconds)
            self.record.last_start = seconds
        self._refusals.reset()
        self._enter(Status.running)
        self.idle_monitor.begin()
        self.events.emit(
            Ready(
                server=self._name,
                at=self.events.now,
                seconds=seconds,
                waiting=len(self.waiters),
                unnamed=bool(self.waiters.names) and not any(self.waiters.names),
                found=self._start_attempt.taken_over,
            )
        )
        self.waiters.admit(self.idle_monitor.add_session)
        self.idle_monitor.start_timer()

    def pause(self, cause: Cause) -> None:
        """Pause the server; stop it where that fails."""
        self._enter(Status.paused)
        self.events.emit(Stopping(server=self._name, at=self.events.now, cause=cause, pause=True))
        self._state_task.set_timer(self.policy.pause_stop_after)
        pause_call = self._pause_call = ShieldedCall(self._plugin.pause())

        def failed(failure: Failure) -> None:
            is_paused = self._pause_call is pause_call and self.record.status is Status.paused
            what = "cannot be paused, and is stopped" if is_paused else "could not be paused"
            self._log.error("%s: %s", what, failure.getErrorMessage())
            if is_paused:
                self.machine.stop(cause)

        pause_call.wait().addErrback(failed)

    def stop(self, cause: Cause) -> None:
        """Ask the server to stop, after those that need it."""
        has_begun = not self.waits_to_begin
        paused = self.record.status is Status.paused or (self.waits_for_needs and has_begun)
        self._enter_stopping(cause)
        if not has_begun:
            self.machine.exited()
            return
        turn = self._turn_to_stop(cause)
        if turn is None:
            self._begin_stop(paused)
        else:
            self._log.info("is stopped once %s has stopped", ", ".join(self.needed_by))
            self._state_task.run(turn, lambda _: self._begin_stop(paused), self._stop_failed)

    def stop_paused(self) -> None:
        """Ask a server to stop that has been paused for long enough."""
        paused_for = format_duration(self._clock.seconds() - self.record.since)
        self.stop(Cause(CauseKind.idle, detail=f"paused for {paused_for}"))

    def continue_stop(self) -> None:
        """Wait for the end of a server that was found stopping; the plugin's `stop()` waits, or asks it again."""
        start_wanted = self.record.start_wanted
        self._enter_stopping(Cause(CauseKind.found, detail="an earlier zeroscale or another program has stopped it"))
        self.record.start_wanted = start_wanted
        self._plugin.on_output(self._output_received)
        self._watch_exit()
        self._begin_stop(paused=False)

    def give_up_starting(self) -> None:
        """Stop a server that has not become ready; it has failed once it is gone."""
        assert self._start_attempt is not None
        error, self._start_error = self._start_error, None
        if error is None:
            reason = f"it was not ready within {self._clock.seconds() - self._start_attempt.started_at:.0f} s"
            problem = self._start_attempt.problem
            error = reason, reason + (f": {problem}" if problem else "") + self._exit_watch.last_output
        self.stop(Cause(CauseKind.start_failed, detail=error[0]))
        self._failure_after_stop = error
        self.waiters.reject(*error)

    def escalate(self) -> None:
        """Do the next step with a server that does not stop."""
        attempt = self._stop_attempt
        assert attempt is not None
        plugin = self._plugin
        if attempt.take_request():
            self._set_step_timer()
            self._request_stop(attempt, paused=False)
            return
        if self.shutdown.proxy_exits and attempt.only_waiting_left and plugin.is_remote and plugin.can_adopt:
            self.shutdown.abandon()
            return
        if attempt.next_step(self._clock.seconds()):
            self.record.note_stop_timed_out("it does not stop")
            self.waiters.reject("the server does not stop; its operator has to fix it")
        self._set_step_timer()

    def wake_after_stop(self, cause: Cause) -> None:
        """Start the server again once it has stopped."""
        if self.record.start_wanted is None:
            self._log.debug("will be started again once it has stopped")
            self.record.start_wanted = cause

    def enter_stopped(self) -> None:
        """Note that the server has stopped, and start it again if a player waits."""
        start_wanted = self.record.start_wanted or self.waiters.cause
        cause = self._end_cause or Cause(CauseKind.exited)
        seconds = self._clock.seconds() - self.record.since if self.record.status is Status.stopping else 0.0
        runs_again = self._enter_down(Status.stopped)
        self.events.emit(Stopped(server=self._name, at=self.events.now, cause=cause, seconds=seconds))
        self._dependencies.start_history.clear_crashes()
        lockout = self.view.get().lockout
        if runs_again:
            self.machine.server_found()
        elif lockout is not None and not self.waiters.ignore_lockout:
            self.waiters.reject(lockout)
        elif start_wanted is not None and not self.shutdown.in_progress:
            self.machine.wake(start_wanted)
        self.shutdown.server_gone()

    def fail(self, reason: str, detail: str) -> None:
        """Note that the server has failed, and when it may be started again.

        :param reason: why, for players.
        :param detail: why, for the operator.
        """
        self.slot.mark_failed()
        history = self._dependencies.start_history
        if self.record.status is Status.running and self._clock.seconds() - self.record.since >= HEALTHY_AFTER:
            history.clear_crashes()
        attempt = self._start_attempt
        # A start that was not even tried is no crash, and trying it again costs nothing.
        blocked = attempt is not None and attempt.blocked
        crashes = history.crashes if blocked else history.record_crash(detail)
        delay = 0.0 if blocked else back_off(crashes, self.policy.max_crashes)
        if attempt is not None and attempt.refused:
            delay = next(self._refusals)
        else:
            self._refusals.reset()
        during = self._activity
        runs_again = self._enter_down(Status.failed)
        self.record.explain_failure(reason, detail, delay)
        at = self.events.now
        self.events.emit(Failed(server=self._name, at=at, during=during, reason=reason, detail=detail, retry_in=delay))
        if delay is None:
            self.events.emit(GivenUp(server=self._name, at=at, crashes=crashes, reason=reason))
        if not blocked:
            self._dependencies.stats.crashed()
        if runs_again:
            self.machine.server_found()
        else:
            self.waiters.reject(reason, detail)
        self.shutdown.server_gone()

    def clear_failures(self) -> None:
        """Forget past crashes."""
        self._dependencies.start_history.clear_crashes()
        self._enter(Status.stopped)

    # Changes of status

    def _enter(self, status: Status) -> None:
        self.record.enter(status)
        self._dependencies.stats.status_changed(status, self.record.since)
        self._found_again = False
        self._woken = None
        self._busy = None
        self._end_cause = None
        self._is_hurried = False
        self._failure_after_stop = None
        if self._start_attempt is not None:
            self._start_attempt.abandon()
        self._state_task.cancel()
        self.idle_monitor.pause_timer()
        if self.record.is_down:
            self.idle_monitor.reset()
            self._exit_watch.stop()
            self._start_attempt = None
            self._stop_attempt = None
            self._pause_call = None
            self.swap_plugin()
        self._status_changed()

    def _enter_woken(self, cause: Cause, *, resumed: bool = False) -> None:
        self._enter(Status.starting)
        self._woken = cause
        self._dependencies.stats.woken(cause.kind.value)
        self.events.emit(Woken(server=self._name, at=self.events.now, cause=cause, resumed=resumed))

    def _enter_stopping(self, cause: Cause) -> None:
        self._enter(Status.stopping)
        self._end_cause = cause
        self.events.emit(Stopping(server=self._name, at=self.events.now, cause=cause))

    @property
    def _activity(self) -> str:
        """What the server was doing, for `Failed.during`."""
        if self.record.status is Status.starting or self._failure_after_stop is not None:
            return "start"
        return "stop" if self.record.status is Status.stopping else "run"

    def _enter_down(self, status: Status) -> bool:
        """Enter `stopped` or `failed`; return whether the plugin has seen the server started again before."""
        found_again, plugin = self._found_again, self._plugin
        self._enter(status)
        return found_again and plugin is self._plugin and not self.shutdown.in_progress

    def _detach(self) -> None:
        self._state_task.cancel()
        self.idle_monitor.pause_timer()
        self._exit_watch.stop()

    # Starting

    def _timed_out(self) -> None:
        attempt = self._start_attempt
        if self.record.status is Status.starting and attempt is not None and attempt.hindered:
            # It may answer, and have players: it is not stopped because we cannot ask it.
            self._log.warning("not known whether it is ready: %s", attempt.problem)
            self._state_task.set_timer(self.policy.start_timeout)
            return
        if self.record.status is Status.starting and attempt is not None and attempt.taken_over and self.doubts():
            self.machine.exited()  # it is started if a player has come
            return
        self.machine.timed_out()

    def _begin_start(self, timeout: float) -> StartAttempt:
        self._start_attempt = StartAttempt(self._plugin, self._dependencies, self.policy, self._log, self._watch_exit)
        self._plugin.on_output(self._output_received)
        self._state_task.set_timer(timeout)
        return self._start_attempt

    def _await_first_answer(self, answer: Coroutine[Deferred[Any], Any, ProbeResult | None]) -> None:
        self._state_task.run(Deferred.fromCoroutine(answer), self._answered, self._start_failed)

    def _start_after_needs(
        self, cause: Cause, timeout: float, start: Callable[[], Coroutine[Deferred[Any], Any, ProbeResult | None]]
    ) -> None:
        needs, attempt = self.needs, self._start_attempt
        if needs is None or attempt is None:
            self._await_first_answer(start())
            return
        self._state_task.set_timer(None)  # each server that it needs has a start time-out of its own
        begins = partial(self._state_task.set_timer, timeout)
        self._await_first_answer(attempt.after_needs(needs, cause, begins, start))

    def _answered(self, answer: ProbeResult | None) -> None:
        if answer is None:
            self.machine.stopping_found()
            return
        self._player_query.cache_status(answer, self._dependencies)
        self.machine.ready()

    def _start_failed(self, failure: Failure) -> None:
        value = failure.value  # `ServerUnavailable`: of another server, which this one needs
        reason = value.reason if isinstance(value, ServerUnavailable) else "it could not be started"
        error = reason, self._error_message(failure)
        if self._start_attempt is not None and self._start_attempt.server_exists:
            self._start_error = error
            self.machine.timed_out()  # it is stopped before it has failed
        else:
            self.machine.crashed(*error)

    def _output_received(self, line: str) -> None:
        self._exit_watch.add_output(line)
        self._player_query.output_received(line)
        self._dependencies.on_output(line)
        if self._stop_attempt is not None:
            self._stop_attempt.output_received()
        deadline = self._state_task.deadline
        if self.record.status is Status.starting and self._start_attempt is not None and deadline is not None:
            self._state_task.extend_timer(self._start_attempt.output_received(line, deadline))

    # Stopping

    def _turn_to_stop(self, cause: Cause) -> Deferred[None] | None:
        """Return what fires once no server uses this one any more; None: none does."""
        needs = self.needs
        if needs is None or cause.kind is CauseKind.start_failed:  # what does not become ready is not used
            return None
        return needs.stop_dependents(cause, tell=not self.shutdown.in_progress)

    def _begin_stop(self, paused: bool) -> None:
        attempt = StopAttempt(self._plugin, self.policy, self._log, self._clock.seconds())
        self._stop_attempt = attempt
        if self._is_hurried:
            attempt.skip_to_sigterm(self._clock.seconds())
        self._set_step_timer()
        self._request_stop(attempt, paused)

    def _request_stop(self, attempt: StopAttempt, paused: bool) -> None:
        request = attempt.request_stop(self.start_call, paused, self._pause_call, self._watch_exit)
        self._state_task.run(Deferred.fromCoroutine(request), self._stop_requested, self._stop_failed)

    def _stop_requested(self, _: None) -> None:
        if not self._exit_watch.is_active:
            self._server_exited(ProcessExit())  # nothing else reports it

    def _stop_failed(self, failure: Failure) -> None:
        message = self._error_message(failure)
        can_signal = self._plugin.can_signal
        is_known = self._exit_watch.is_active or (failure.check(StartRefused) and not can_signal)
        if self._stop_attempt is None or not is_known:
            self.machine.crashed("it could not be stopped", message)
            return
        self._log.error("could not be asked to stop: %s", message)
        self.skip_to_sigterm()
        if not can_signal:
            self._stop_attempt.request_later(self._clock.seconds())
            self._set_step_timer()

    def _set_step_timer(self) -> None:
        assert self._stop_attempt is not None
        self._state_task.set_timer(self._stop_attempt.seconds_to_next_step(self._clock.seconds()))

    # What the plugin sees of the server

    def _watch_exit(self) -> None:
        self._exit_watch.start(self._plugin)

    def _server_exited(self, end: ProcessExit) -> None:
        if self.record.status is Status.stopping:
            if not end.clean:
                self._log.warning("crashed while stopping: %s%s", end.description, end.last_output)
            if self._stop_attempt is not None:
                self._stop_attempt.server_ended(self._clock.seconds())
            if self._failure_after_stop is not None:
                self.machine.crashed(*self._failure_after_stop)
            else:
                self.machine.exited()
            return
        adopted = self._start_attempt is not None and self._start_attempt.adopted
        reason = end.crash_reason(self.record.status, adopted=adopted)
        if reason is None:
            self._end_cause = Cause(CauseKind.exited, detail=end.description)
            self.machine.exited()
        else:
            self.machine.crashed(reason, f"{reason} ({end.description}){end.last_output}")

    def _server_found(self) -> None:
        if self.shutdown.in_progress or not self.opened:
            return
        if self.record.is_down:
            # It may be stopping, if the plugin could not look for it at the beginning.
            self.slot.adopt_in_background(self.server_adopted, self.log_fault, otherwise=Status.running)
        elif self.record.status is Status.paused:
            self.machine.wake(Cause(CauseKind.found))
        else:
            # Another program has restarted the server, and its start was reported before the exit of the former one.
            self._found_again = True

    def _server_paused(self) -> None:
        # A retired server would not stop before it is resumed; at the proxy's exit it is left as it is.
        if self.record.status is Status.running and not self.shutdown.in_progress:
            self.machine.pause(Cause(CauseKind.found))

    # Running

    def _stop_idle_server(self, cause: Cause) -> None:
        if self.shutdown.in_progress:
            self.machine.stop(self.shutdown.cause)
        elif self.policy.pause_when_idle and self._plugin.can_pause:
            self.machine.pause(cause)
        else:
            self.machine.stop(cause)

    async def _busy_reason(self) -> str | None:
        kept: str | None = self._keep_awake_reason()
        if kept is None and (scheduled := self._schedule_reason()) is not None:
            kept = ExpectedReason(scheduled)
        if kept is not None:
            return kept
        reason = await self.unrelayed_players()
        if reason is None and not self.shutdown.in_progress and (busy := await self._dependencies.busy()) is not None:
            reason = ExpectedReason(busy)
        self._busy = None if reason is None else BusyAnswer(str(reason), self._clock.seconds())
        if reason is not None and self.needs is not None:
            self.needs.look()  # what it needs may have been put to sleep with it
        return reason

    # Only its players keep a retired server running.

    def _keep_awake_reason(self) -> str | None:
        return None if self.shutdown.in_progress else self._dependencies.keep_awake_reason()

    def _schedule_reason(self) -> str | None:
        return None if self.shutdown.in_progress else self._dependencies.schedule_reason()

    @property
    def _dependencies(self) -> LifecycleDependencies:
        return self.slot.dependencies

    @property
    def _plugin(self) -> AdaptedPlugin:
        return self.slot.plugin

    def _error_message(self, failure: Failure) -> str:
        if not failure.check(ZeroscaleError):
            self.log_fault(failure)
        return failure.getErrorMessage()
