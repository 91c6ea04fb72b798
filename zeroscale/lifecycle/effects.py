"""The course of one real server's life: what its transitions do, and what becomes an input for them.

The only place that writes its status. Where each input leads is in `transitions`; how it comes up is `starting`'s, how
it is stopped `stopping`'s, who keeps it up `vigil`'s, and which plugin it has `incumbent`'s. It knows no socket, no
client and no protocol.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from zeroscale.errors import ZeroscaleError
from zeroscale.lifecycle import exit_codes as exits
from zeroscale.lifecycle.escalation import back_off
from zeroscale.lifecycle.idle_monitor import IdleMonitor
from zeroscale.lifecycle.interfaces import AdaptedPlugin, LifecycleDependencies, LifecyclePolicy
from zeroscale.lifecycle.observers import Observers
from zeroscale.lifecycle.player_query import PlayerQuery
from zeroscale.lifecycle.plugin_slot import PluginSlot
from zeroscale.lifecycle.shielded_call import ShieldedCall
from zeroscale.lifecycle.start import LONGEST_LINE, StartAttempt
from zeroscale.lifecycle.state_machine import Inputs, Machine, StateOutputs
from zeroscale.lifecycle.stop import StopAttempt
from zeroscale.lifecycle.waiters import Waiters
from zeroscale.status import ProbeResult, ServerSnapshot, Status

LINES_KEPT = 20
"""Of the server's output, for the reason of a crash: enough for the head of a Java stack trace."""

HEALTHY_AFTER = 60.0
"""Seconds: a server that ran so long was well, and its crash is not one more of those before."""

LONGEST_RESUME = 60.0
"""Seconds: a resumed server answers within milliseconds, or it is not well."""

DOWN = (Status.stopped, Status.failed)

T = TypeVar("T")


class Course(StateOutputs):
    """A server, from asleep to asleep.

    :param name: its name.
    :param policy: how it is to be treated.
    :param parts: what it works with.
    """

    def __init__(self, name: str, policy: LifecyclePolicy, parts: LifecycleDependencies) -> None:
        self.name = name
        self._policy = policy
        self._clock = parts.clock
        self._log = logging.LoggerAdapter(parts.logger, {"server": name})
        self._incumbent = PluginSlot(name, parts, self._log, self._found, self._paused)
        self._status = Status.stopped
        self._since = self._clock.seconds()
        self._reason: str | None = None
        self._detail: str | None = None
        self._retry_at: float | None = None
        self._last_start: float | None = None
        self._last_error: tuple[str, float] | None = None
        self._wanted = False
        self._closing = False
        self._at_our_end = False
        self._opened = False
        self._waiters = Waiters()
        self._closers: list[Deferred[None]] = []
        self._watchers: Observers[ServerSnapshot] = Observers(self._fault)
        self._visit_watchers: Observers[None] = Observers(self._fault)
        self._questions = PlayerQuery(parts.clock)
        self._timer: IDelayedCall | None = None
        self._task: Deferred[Any] | None = None
        self._looking: ShieldedCall[bool] | None = None
        self._starting: StartAttempt | None = None
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._pausing: ShieldedCall[None] | None = None
        self._stopping: StopAttempt | None = None
        self._stop_timed_out = False
        self._left = False
        self._gone_call: Deferred[int | None] | None = None
        self._found_again = False
        self._verdict: tuple[str, str] | None = None
        self._condemned: tuple[str, str] | None = None
        self._vigil = IdleMonitor(
            name,
            parts.clock,
            policy.idle,
            self._somebody_there,
            self._may_sleep,
            self._log,
            lambda: self._visit_watchers.notify(None),
        )
        self._machine: Inputs = Machine(self)

    @property
    def view(self) -> ServerSnapshot:
        """The server as it is now."""
        return ServerSnapshot(
            name=self.name,
            status=self._status,
            since=self._since,
            estimate=self._parts.start_history.estimate,
            reason=self._reason,
            detail=self._detail,
            retry_at=self._retry_at,
            stop_timed_out=self._stop_timed_out,
            lockout=self._parts.lockout(),
            waiting=len(self._waiters),
            players=self._vigil.players,
            cached_status=self._parts.status_cache.current,
        )

    @property
    def _parts(self) -> LifecycleDependencies:
        return self._incumbent.dependencies

    @property
    def _plugin(self) -> AdaptedPlugin:
        return self._incumbent.plugin

    # What the machine's transitions do

    def start(self) -> None:
        self._lines.clear()
        self._enter(Status.starting)
        try:
            self._incumbent.replace_if_failed()
        except ZeroscaleError as error:
            self._machine.crashed("it could not be started", str(error))
            return
        self._log.info("Starting %s", self.name)
        starting = self._begin(self._policy.start_timeout)
        self._work(starting.start(self._looking), self._answered)

    def take_over(self) -> None:
        self._enter(Status.starting)
        starting = self._begin(self._policy.start_timeout)
        self._work(starting.take_over(), self._answered)

    def resume(self) -> None:
        self._enter(Status.starting)
        self._log.info("Resuming %s", self.name)
        starting = self._begin(min(self._policy.start_timeout, LONGEST_RESUME))
        self._work(starting.resume(self._pausing), self._answered)

    def enter_running(self) -> None:
        assert self._starting is not None
        seconds = self._clock.seconds() - self._starting.started_at
        if not self._starting.adopted:
            self._parts.start_history.record_start(seconds)
            self._parts.stats.started(seconds)
            self._last_start = seconds
        self._enter(Status.running)
        self._vigil.begin()
        self._log.info("%s is online, after %.1f s", self.name, seconds)
        self._waiters.admit(self._vigil.add_session)
        self._vigil.start_timer()

    def pause(self) -> None:
        self._enter(Status.paused)
        self._log.info("Pausing %s", self.name)
        self._set_timer(self._policy.pause_stop_after)
        pausing = self._pausing = ShieldedCall(self._plugin.pause())

        def failed(failure: Failure) -> None:
            still = self._pausing is pausing and self._status is Status.paused
            what = "cannot be paused, and is stopped" if still else "could not be paused"
            self._log.error("%s %s: %s", self.name, what, failure.getErrorMessage())
            if still:
                self._machine.stop()

        pausing.wait().addErrback(failed)

    def stop(self) -> None:
        frozen = self._status is Status.paused
        self._enter(Status.stopping)
        self._log.info("Stopping %s", self.name)
        self._stopping = StopAttempt(self.name, self._plugin, self._policy, self._log, self._clock.seconds())
        self._await_step()
        self._ask_to_stop(frozen)

    def give_up_starting(self) -> None:
        assert self._starting is not None
        verdict, self._verdict = self._verdict, None
        if verdict is None:
            reason = f"it was not ready within {self._clock.seconds() - self._starting.started_at:.0f} s"
            problem = self._starting.problem
            detail = reason + (f": {problem}" if problem else "") + exits.quote_output(self._lines)
            verdict = reason, detail
        self._log.error("%s: %s", self.name, verdict[1])
        self.stop()
        self._condemned = verdict
        self._waiters.reject(verdict[0])

    def escalate(self) -> None:
        assert self._stopping is not None
        if self._at_our_end and self._stopping.only_waiting_left and self._plugin.is_remote and self._plugin.can_adopt:
            self._abandon()
            return
        if self._stopping.next_step(self._clock.seconds()):
            self._stop_timed_out = True
            self._reason = "it does not stop"
            self._waiters.reject("the server does not stop; its operator has to look after it")
        if self._stopping.request_failed and not self._plugin.can_signal:
            self._ask_to_stop(frozen=False)  # there is nothing else that could help
        self._await_step()

    def wake_after_stop(self) -> None:
        if not self._wanted:
            self._log.debug("Will start %s again once it has stopped", self.name)
        self._wanted = True

    def enter_stopped(self) -> None:
        wanted = self._wanted or bool(self._waiters)
        found_again = self._found_again
        plugin = self._plugin
        self._enter(Status.stopped)
        self._log.info("%s is offline", self.name)
        self._parts.start_history.clear_crashes()
        lockout = self._parts.lockout()
        if found_again and plugin is self._plugin and not self._closing:
            self._machine.server_found()
        elif lockout is not None and not self._waiters.has_observers:
            self._waiters.reject(lockout)
        elif wanted and not self._closing:
            self._machine.wake()
        self._tell_closers()

    def fail(self, reason: str, detail: str) -> None:
        self._incumbent.mark_failed()
        if self._status is Status.running and self._clock.seconds() - self._since >= HEALTHY_AFTER:
            self._parts.start_history.clear_crashes()
        # What was not even started has not crashed, and looking whether it may be now costs nothing.
        hindered = self._starting is not None and self._starting.blocked
        crashes = self._parts.start_history.crashes if hindered else self._parts.start_history.record_crash(detail)
        wait = 0.0 if hindered else back_off(crashes, self._policy.max_crashes)
        found_again = self._found_again
        plugin = self._plugin
        self._enter(Status.failed)
        self._reason = reason
        self._detail = detail
        self._retry_at = None if wait is None else self._clock.seconds() + wait
        self._parts.stats.crashed()
        self._last_error = (detail, self._clock.seconds())
        self._log.error("%s failed: %s", self.name, detail)
        if wait is None:
            self._log.error("%s has failed %d times in a row, and stays down until told otherwise", self.name, crashes)
        elif wait > 0:
            self._log.info("%s may be started again in %.0f s", self.name, wait)
        if found_again and plugin is self._plugin and not self._closing:
            self._machine.server_found()
        else:
            self._waiters.reject(reason)
        self._tell_closers()

    def clear_failures(self) -> None:
        self._parts.start_history.clear_crashes()
        self._enter(Status.stopped)

    # Looking round

    def _look_round(self) -> None:
        """Looks whether a server of ours is there already; nobody waits for that but a start."""
        running: Deferred[bool] = Deferred.fromCoroutine(self._incumbent.adopt())
        looking = self._looking = ShieldedCall(running)

        def looked(found: bool) -> None:
            if self._looking is looking:
                self._looking = None
                if found and not self._closing:
                    self._machine.server_found()

        def failed(failure: Failure) -> None:
            if self._looking is looking:
                self._looking = None
                self._fault(failure)

        looking.wait().addCallbacks(looked, failed)

    # StartAttempt

    def _begin(self, timeout: float) -> StartAttempt:
        self._starting = StartAttempt(self.name, self._plugin, self._parts, self._policy, self._log, self._await_end)
        self._plugin.on_output(self._output)
        self._set_timer(timeout)
        return self._starting

    def _answered(self, answer: ProbeResult) -> None:
        self._questions.cache_status(answer, self._parts)
        self._machine.ready()

    def _output(self, line: str) -> None:
        self._lines.append(line[:LONGEST_LINE])
        self._parts.on_output(line)
        timer = self._timer
        if self._status is Status.starting and self._starting is not None and timer is not None and timer.active():
            end = self._starting.output_received(line, timer.getTime())
            if end > timer.getTime():
                timer.reset(end - self._clock.seconds())

    def _await_end(self) -> None:
        if not self._plugin.can_wait or self._gone_call is not None:
            return
        call = self._gone_call = self._plugin.wait()

        def gone(code: int | None) -> None:
            if self._gone_call is call:
                self._gone(code, exits.describe(code), exits.quote_output(self._lines))

        def failed(failure: Failure) -> None:
            if self._gone_call is call and not failure.check(CancelledError):
                self._gone(None, failure.getErrorMessage(), "", clean=False)

        call.addCallbacks(gone, failed)

    def _gone(self, code: int | None, words: str, quoted: str, *, clean: bool | None = None) -> None:
        clean = exits.is_clean(code) if clean is None else clean
        adopted = self._starting is not None and self._starting.adopted
        if self._status is Status.stopping:
            if not clean:
                self._log.warning("%s ended badly while stopping: %s%s", self.name, words, quoted)
            if self._condemned is not None:
                self._machine.crashed(*self._condemned)
            else:
                self._machine.exited()
        elif clean and (self._status is Status.running or (self._status is Status.starting and adopted)):
            # Also a server that was stopping when its proxy died, and was taken over: who waits wakes the next one.
            self._log.info("%s ended by itself (%s)", self.name, words)
            self._machine.exited()
        else:
            when = {Status.starting: "while it started", Status.paused: "while it was paused"}
            reason = f"it ended {when.get(self._status, 'while it ran')}"
            self._machine.crashed(reason, f"{reason} ({words}){quoted}")

    # What the plugin sees that others do

    def _found(self) -> None:
        if self._closing or not self._opened:
            return
        if self._status in DOWN:
            self._machine.server_found()
        elif self._status is Status.paused:
            self._log.info("%s was resumed by somebody else", self.name)
            self._machine.wake()
        else:
            # Its end has been seen but not yet told: somebody restarted it, and this is the next one.
            self._found_again = True

    def _paused(self) -> None:
        # At our end it is left alone; on its way out it will not go before it is resumed, whoever does that.
        if self._status is Status.running and not self._closing:
            self._log.info("%s was paused by somebody else", self.name)
            self._machine.pause()

    # StopAttempt

    def _ask_to_stop(self, frozen: bool) -> None:
        assert self._stopping is not None
        starting = self._starting.call if self._starting is not None else None
        asking = self._stopping.request_stop(starting, frozen, self._pausing, self._await_end)
        self._work(asking, self._asked_to_stop)

    def _asked_to_stop(self, _: None) -> None:
        if self._gone_call is None:
            self._gone(None, "", "")

    def _await_step(self) -> None:
        assert self._stopping is not None
        self._set_timer(self._stopping.seconds_to_next_step(self._clock.seconds()))

    # Running

    def _may_sleep(self) -> None:
        if self._policy.pause_when_idle and self._plugin.can_pause and not self._closing:
            self._machine.pause()
        else:
            self._machine.stop()

    async def _somebody_there(self) -> str | None:
        # One that is on its way out is kept up by its players alone.
        kept_awake = None if self._closing else self._parts.keep_awake_reason()
        return kept_awake or await self._questions.busy_reason(self._plugin, self._parts, asks=self._policy.ask_players)

    # Common to all states

    def _enter(self, status: Status) -> None:
        self._status = status
        self._since = self._clock.seconds()
        self._parts.stats.status_changed(status, self._since)
        self._reason = None
        self._detail = None
        self._retry_at = None
        self._stop_timed_out = False
        self._wanted = False
        self._found_again = False
        self._condemned = None
        self._let_go()
        if status in DOWN:
            self._vigil.reset()
            self._starting = None
            self._pausing = None
            self._stopping = None
            self._forget_end()
            self._take_next_parts()
        self._watchers.notify(self.view)

    def _let_go(self) -> None:
        """Leaves off everything that a state has us do."""
        self._set_timer(None)
        self._vigil.pause_timer()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    def _take_next_parts(self) -> None:
        if self._incumbent.swap_pending():
            self._looking = None
            if self._opened and not self._closing:
                self._look_round()

    def _forget_end(self) -> None:
        gone, self._gone_call = self._gone_call, None
        if gone is not None:
            gone.cancel()

    def _work(self, work: Coroutine[Any, Any, T], done: Callable[[T], None]) -> None:
        """Does a state's work; leaving the state cancels it. What it ends with is an input for the machine."""
        # Set before the callbacks are added: they may leave the state, at once.
        task = self._task = Deferred.fromCoroutine(work)

        # What was cancelled may end with anything: Twisted's connectors have an error of their own for it.
        def succeeded(result: T) -> None:
            if self._task is task:
                done(result)

        def failed(failure: Failure) -> None:
            if self._task is task:
                self._task_failed(failure)

        task.addCallbacks(succeeded, failed)

    def _task_failed(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        if not failure.check(ZeroscaleError):
            self._fault(failure)
        message = failure.getErrorMessage()
        if self._stopping is not None:
            if self._gone_call is None:
                self._machine.crashed("it could not be stopped", message)
                return
            self._log.error("%s could not be asked to stop: %s", self.name, message)
            self._stopping.request_failed = True
            if self._stopping.skip_to_sigterm(self._clock.seconds()):
                self._await_step()
        elif self._starting is not None and self._starting.server_exists:
            self._verdict = "it could not be started", message
            self._machine.timed_out()
        else:
            self._machine.crashed("it could not be started", message)

    def _set_timer(self, seconds: float | None) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        if seconds is not None:
            self._timer = self._clock.callLater(seconds, self._machine.timed_out)

    def _abandon(self) -> None:
        """At our own end, of a stop that takes too long: its API may be away for ever, or its machine.

        It ends as well, and is found again, where nobody of ours waits for its end.
        """
        self._log.warning(
            "%s has not stopped; it is left to end without us, for the next zeroscale to take over", self.name
        )
        self._left = True
        self._let_go()
        self._forget_end()
        self._release_closers()

    def _tell_closers(self) -> None:
        if self._status in DOWN:
            self._release_closers()

    def _release_closers(self) -> None:
        closers, self._closers = self._closers, []
        for closer in closers:
            closer.callback(None)

    def _fault(self, failure: Failure) -> None:
        self._log.error("A fault in zeroscale itself: %s", failure.getTraceback())
