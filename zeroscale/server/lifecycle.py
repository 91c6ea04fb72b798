"""One real server's life: the only place that calls its plugin, and the only one that writes its status.

Where each input leads is in `transitions`; who keeps it up in `vigil`; how it is stopped that does not stop in
`ladder`. Here is what is done, on a clock, a probe and a plugin that are handed in. It knows no socket, no client
and no protocol.
"""

from __future__ import annotations

import logging
import signal
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from zeroscale.errors import PluginError, ServerUnavailable, ZeroscaleError
from zeroscale.server import exits
from zeroscale.server.ladder import Rung, Step, back_off, ladder
from zeroscale.server.parts import Parts, Plugin, Policy, Readiness
from zeroscale.server.transitions import Effects, Inputs, Machine
from zeroscale.server.vigil import NOBODY, Vigil, Visit
from zeroscale.server.waiters import Waiters
from zeroscale.status import Answer, ServerView, Status, Visitor

LINES_KEPT = 20
"""Of the server's output, for the reason of a crash: enough for the head of a Java stack trace."""

LONGEST_LINE = 500
"""Of a kept line, in characters."""

LONGEST_START = 4.0
"""How many start time-outs a start may last that goes on talking: a mod pack of an hour is not one, a loop is."""

HEALTHY_AFTER = 60.0
"""Seconds: a server that ran so long was well, and its crash is not one more of those before."""

LONGEST_RESUME = 60.0
"""Seconds: a resumed server answers within milliseconds, or it is not well."""

WARN_AGAIN = 60.0
"""Seconds between two warnings, at least, about a server that does not stop, or takes no connections."""

LONGEST_CLOSE = 5.0
"""Seconds a plugin has to let go of its connections: nothing that could be lost hangs on it."""

MIRROR_EVERY = 180.0
"""Seconds between two looks at a running server's own status for keeping it."""


class Lifecycle(Effects):
    """A server, from asleep to asleep.

    :param name: its name.
    :param policy: how it is to be treated.
    :param parts: what it works with.
    """

    def __init__(self, name: str, policy: Policy, parts: Parts) -> None:
        self.name = name
        self._policy = policy
        self._parts = parts
        self._clock = parts.clock
        self._log = logging.LoggerAdapter(parts.logger, {"server": name})
        self._status = Status.stopped
        self._since = self._clock.seconds()
        self._reason: str | None = None
        self._detail: str | None = None
        self._retry_at: float | None = None
        self._unstoppable = False
        self._wanted = False
        self._closing = False
        self._opened = False
        self._waiters = Waiters()
        self._looking: Deferred[bool] | None = None
        self._farewell = "the proxy is shutting down"
        self._next: tuple[Parts, Callable[[], None]] | None = None
        self._closers: list[Deferred[None]] = []
        self._watchers: list[Callable[[ServerView], None]] = []
        self._visit_watchers: list[Callable[[], None]] = []
        self._last_start: float | None = None
        self._last_error: tuple[str, float] | None = None
        self._plugin = parts.plugin
        self._worn_out = False
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._timer: IDelayedCall | None = None
        self._task: Deferred[None] | None = None
        self._start_call: Deferred[None] | None = None
        self._pause_call: Deferred[None] | None = None
        self._gone_call: Deferred[int | None] | None = None
        self._readiness: Readiness | None = None
        self._began = 0.0
        self._adopted = False
        self._hindered = False
        self._found_again = False
        self._condemned: tuple[str, str] | None = None
        self._steps: list[Step] = []
        self._mirrored_at = float("-inf")
        self._unreachable_at = float("-inf")
        self._vigil = Vigil(
            name, parts.clock, policy.idle, self._somebody_there, self._may_sleep, self._log, self._visits_changed
        )
        self._machine: Inputs = Machine(self)

    # What others ask

    @property
    def view(self) -> ServerView:
        """The server as it is now."""
        return ServerView(
            name=self.name,
            status=self._status,
            since=self._since,
            estimate=self._parts.records.estimate,
            reason=self._reason,
            detail=self._detail,
            retry_at=self._retry_at,
            unstoppable=self._unstoppable,
            lockout=self._parts.lockout(),
            waiting=len(self._waiters),
            players=self._vigil.players,
            mirrored=self._parts.mirror.current,
        )

    @property
    def visits(self) -> Sequence[Visit]:
        """Those of who is relayed to it, in the order in which they were let in."""
        return self._vigil.visits

    @property
    def waiting(self) -> Sequence[str]:
        """The names of those who are held for it."""
        return self._waiters.names

    @property
    def asks_at(self) -> float | None:
        """When it is asked whether it may sleep; None while that is not to be."""
        return self._vigil.asks_at

    @property
    def last_start(self) -> float | None:
        """How many seconds its last start took; None before there was one."""
        return self._last_start

    @property
    def last_error(self) -> tuple[str, float] | None:
        """Why it failed last, and when; None: it has not."""
        return self._last_error

    def watch(self, changed: Callable[[ServerView], None]) -> None:
        """Has `changed` called with the new view at every change of status."""
        self._watchers.append(changed)

    def watch_visits(self, changed: Callable[[], None]) -> None:
        """Has `changed` called whenever a player has come or gone."""
        self._visit_watchers.append(changed)

    async def open(self) -> None:
        """Looks whether a server of ours, started by an earlier proxy, is there, and takes it over."""
        found = await self._look()
        self._opened = True
        if found and not self._closing:
            self._machine.found()
        elif self._waiters or self._wanted:
            self._machine.wake()

    async def _look(self) -> bool:
        plugin = self._plugin
        self._listen_to_plugin()
        try:
            return await plugin.adopt()
        except PluginError as error:
            self._log.warning("Could not look for a server of ours that still runs: %s", error)
            return False

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
            self._parts.counts.woken(reason)
        if self._opened:
            self._machine.wake()
        else:
            self._wanted = True

    def admit(self, visitor: Visitor = NOBODY) -> Deferred[Visit]:
        """Waits until the server is ready, and counts one more player from that moment on.

        :param visitor: who it is.
        :returns: fires with the visit, in the order of the calls; fails with `ServerUnavailable` as soon as it is
            certain that the server will not become ready. May be cancelled.
        """
        if self._status is Status.running and not self._closing:
            return succeed(self._vigil.join(visitor))
        if self._closing:
            return _unavailable(self._farewell)
        if self._status is not Status.starting and (lockout := self._parts.lockout()) is not None:
            return _unavailable(lockout)
        if self._status is Status.failed or self._unstoppable:
            return _unavailable(self._reason or "the server cannot be started")
        return self._waiters.add(visitor)

    def unreachable(self, reason: str) -> None:
        """A running server did not take a connection. Where nobody can see its process, that is its end."""
        if self._status is Status.running:
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
        self._closing = True
        self._wanted = False
        self._waiters.disappoint(self._farewell)
        if leave and self._status in (Status.starting, Status.running, Status.paused):
            if self._plugin.can_adopt:
                return self._leave().addCallback(lambda _: self._close_plugin())
            self._log.warning("%s is stopped, not left: its plugin cannot take it over again", self.name)
        closed: Deferred[None] = Deferred()
        self._closers.append(closed)
        self._machine.sleep()
        self._tell_closers()
        return closed.addCallback(lambda _: self._close_plugin())

    def hurry(self) -> None:
        """Somebody cannot wait for a stop: SIGTERM comes at once."""
        if self._status is Status.stopping and self._steps and self._steps[0].rung is Rung.terminate:
            self._steps = list(ladder(self._policy.stop_timeout, self._policy.kill_timeout, hurried=True))
            self._began = self._clock.seconds()
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
        ready = self._waiters.add_onlooker()
        self.wake("its operator", "operator", held_down=True)
        return ready

    def forgive_failures(self) -> None:
        """A server that has failed may be tried again."""
        self._machine.release()

    def sleep(self) -> None:
        """Its operator has it stop now, whoever is on it."""
        self._wanted = False
        self._waiters.disappoint("its operator has put the server to sleep")
        self._machine.sleep()

    def reconsider(self, *, at_once: bool = False) -> None:
        """What kept it up may not do so any more.

        :param at_once: its idle time is over; it is only asked whether anybody is on it.
        """
        self._vigil.reconsider(at_once=at_once)

    def retire(self) -> Deferred[None]:
        """It is not to be served any more: no more starts; it is stopped once nobody is on it.

        :returns: fires when it is gone.
        """
        self._closing = True
        self._farewell = "this server is not served here any more"
        self._wanted = False
        self._waiters.disappoint(self._farewell)
        closed: Deferred[None] = Deferred()
        self._closers.append(closed)
        if self._status is Status.running:
            self._vigil.follow(replace(self._policy.idle, idle_shutdown=0.0, minimum_online=0.0))
        else:
            self._machine.sleep()
        self._tell_closers()
        return closed.addCallback(lambda _: self._close_plugin())

    def follow(self, policy: Policy) -> None:
        """It is to be treated otherwise from now on."""
        self._policy = policy
        self._vigil.follow(policy.idle)

    def replace_parts(self, parts: Parts, replaced: Callable[[], None]) -> None:
        """It is to be another one from its next start on.

        :param replaced: called when it is; at once, where it does not run.
        """
        self._next = (parts, replaced)
        if self._status in (Status.stopped, Status.failed):
            self._take_next_parts()

    def _take_next_parts(self) -> None:
        if self._next is None:
            return
        (self._parts, replaced), self._next = self._next, None
        former, self._plugin = self._plugin, self._parts.plugin
        self._worn_out = False
        self._close_plugin(former)
        if self._opened:
            looking = self._looking = Deferred.fromCoroutine(self._look())

            def looked(found: bool) -> None:
                if found and self._looking is looking and not self._closing:
                    self._machine.found()

            looking.addCallbacks(looked, self._fault)
        replaced()

    def _fault(self, failure: Failure) -> None:
        self._log.error("A fault in zeroscale itself: %s", failure.getTraceback())

    # What the machine's transitions do

    def start(self) -> None:
        self._began = self._clock.seconds()
        self._lines.clear()
        self._adopted = False
        self._enter(Status.starting)
        if self._worn_out:
            # A plugin's own guards may wedge it: the seed's start() returns silently while its status is stale.
            worn_out = self._plugin
            try:
                self._plugin = self._parts.construct()
            except ZeroscaleError as error:
                self._machine.crashed("it could not be started", str(error))
                return
            self._worn_out = False
            self._close_plugin(worn_out)
            self._listen_to_plugin()
        self._log.info("Starting %s", self.name)
        self._readiness = self._parts.readiness()
        self._plugin.on_output(self._output)
        self._set_timer(self._policy.start_timeout)
        self._work(self._start(), self._machine.ready)

    def take_over(self) -> None:
        self._began = self._clock.seconds()
        self._enter(Status.starting)
        self._readiness = self._parts.readiness()
        self._readiness.lineless()
        self._plugin.on_output(self._output)
        self._set_timer(self._policy.start_timeout)
        self._work(self._watch_found(), self._machine.ready)

    def thaw(self) -> None:
        self._began = self._clock.seconds()
        self._enter(Status.starting)
        self._log.info("Resuming %s", self.name)
        self._readiness = self._parts.readiness()
        self._readiness.hurry()  # it has written its ready line long ago
        self._set_timer(min(self._policy.start_timeout, LONGEST_RESUME))
        self._work(self._resume(), self._machine.ready)

    def run(self) -> None:
        now = self._clock.seconds()
        seconds = now - self._began
        if not self._adopted:
            self._parts.records.started(seconds)
            self._parts.counts.started(seconds)
            self._last_start = seconds
        self._adopted = True  # a later resume of this very process is no start either
        self._enter(Status.running)
        self._vigil.begin()
        self._log.info("%s is online, after %.1f s", self.name, seconds)
        self._waiters.let_in(self._vigil.join)
        self._vigil.watch()

    def freeze(self) -> None:
        self._enter(Status.paused)
        self._log.info("Pausing %s", self.name)
        self._set_timer(self._policy.pause_stop_after)
        call = self._pause_call = self._plugin.pause()

        def failed(failure: Failure) -> None:
            self._log.error("%s cannot be paused, and is stopped: %s", self.name, failure.getErrorMessage())
            self._machine.sleep()

        _shield(call).addErrback(failed)

    def stop(self) -> None:
        thaw_first = self._status is Status.paused
        self._enter(Status.stopping)
        self._log.info("Stopping %s", self.name)
        self._began = self._clock.seconds()
        self._steps = list(ladder(self._policy.stop_timeout, self._policy.kill_timeout))
        self._await_step()
        self._work(self._ask_to_stop(thaw_first), self._asked_to_stop)

    def give_up_starting(self) -> None:
        reason = f"it was not ready within {self._clock.seconds() - self._began:.0f} s"
        problem = self._readiness.problem if self._readiness is not None else None
        condemned = (reason, reason + (f": {problem}" if problem else "") + exits.last_words(self._lines))
        self._log.error("%s: %s", self.name, condemned[1])
        self.stop()
        self._condemned = condemned
        self._waiters.disappoint(reason)

    def climb(self) -> None:
        rung = self._steps.pop(0).rung if self._steps else Rung.unanswered
        seconds = self._clock.seconds() - self._began
        if rung is Rung.unanswered:
            self._log.warning("%s has not stopped for %.0f s; waiting on, it may be saving", self.name, seconds)
            self._unstoppable = True
            self._reason = "it does not stop"
            self._waiters.disappoint("the server does not stop; its operator has to look after it")
        elif not self._plugin.can_signal:
            self._log.warning("%s has not stopped for %.0f s, and its plugin sends no signals", self.name, seconds)
        elif rung is Rung.terminate:
            self._log.warning("%s has not stopped for %.0f s: sending SIGTERM, on which it saves", self.name, seconds)
            self._send_signal(signal.SIGTERM)
        else:
            self._log.error("%s ignores SIGTERM: sending SIGKILL, as was asked; data may be lost", self.name)
            self._send_signal(signal.SIGKILL)
        self._await_step()

    def remember(self) -> None:
        if not self._wanted:
            self._log.debug("Will start %s again once it has stopped", self.name)
        self._wanted = True

    def rest(self) -> None:
        wanted = self._wanted or bool(self._waiters)
        found_again = self._found_again
        self._enter(Status.stopped)
        self._log.info("%s is offline", self.name)
        self._parts.records.cleared()
        lockout = self._parts.lockout()
        if found_again and not self._closing:
            self._machine.found()
        elif lockout is not None and not self._waiters.watched:
            self._waiters.disappoint(lockout)
        elif wanted and not self._closing:
            self._machine.wake()
        self._tell_closers()

    def fail(self, reason: str, detail: str) -> None:
        self._worn_out = True
        if self._status is Status.running and self._clock.seconds() - self._since >= HEALTHY_AFTER:
            self._parts.records.cleared()
        hindered, self._hindered = self._hindered, False
        # What was not even started has not crashed, and looking whether it may be now costs nothing.
        crashes = self._parts.records.crashes if hindered else self._parts.records.crashed(detail)
        wait = 0.0 if hindered else back_off(crashes, self._policy.max_crashes)
        found_again = self._found_again
        self._enter(Status.failed)
        self._reason = reason
        self._detail = detail
        self._retry_at = None if wait is None else self._clock.seconds() + wait
        self._parts.counts.crashed()
        self._last_error = (detail, self._clock.seconds())
        self._log.error("%s failed: %s", self.name, detail)
        if wait is None:
            self._log.error("%s has failed %d times in a row, and stays down until told otherwise", self.name, crashes)
        elif wait > 0:
            self._log.info("%s may be started again in %.0f s", self.name, wait)
        if found_again and not self._closing:
            self._machine.found()
        else:
            self._waiters.disappoint(reason)
        self._tell_closers()

    def forgive(self) -> None:
        self._parts.records.cleared()
        self._enter(Status.stopped)

    # Starting

    async def _start(self) -> None:
        if await self._plugin.adopt():
            self._adopted = True
            if self._readiness is not None:
                self._readiness.lineless()
            self._log.info("Found %s running, not started by this zeroscale; taking it over", self.name)
        else:
            self._parts.moved(None)  # where it was reached the last time, another may be now
            obstacle = self._parts.obstacle()
            if obstacle is None and await self._parts.probe.connects():
                obstacle = "something else already answers on the server's port: stop it, or give another server_port"
            if obstacle is not None:
                self._hindered = True
                raise PluginError(obstacle)
            self._start_call = self._plugin.start()
            await _shield(self._start_call)
            self._start_call = None
        self._await_end()
        self._parts.moved(self._plugin.server_address)
        await self._first_answer()

    async def _watch_found(self) -> None:
        self._adopted = True
        self._log.info("Found %s running, not started by this zeroscale; taking it over", self.name)
        self._await_end()
        self._parts.moved(self._plugin.server_address)
        await self._first_answer()

    async def _resume(self) -> None:
        if self._pause_call is not None:
            await _shield(self._pause_call)
        await _shield(self._plugin.resume())
        await self._first_answer()

    async def _first_answer(self) -> None:
        assert self._readiness is not None
        self._keep_status(await self._readiness.run())

    def _output(self, line: str) -> None:
        self._lines.append(line[:LONGEST_LINE])
        self._parts.output(line)
        if self._status is not Status.starting:
            return
        self._log.debug("| %s", line[:LONGEST_LINE])
        now = self._clock.seconds()
        if self._timer is not None and self._timer.active():
            end = min(now + self._policy.start_timeout, self._began + LONGEST_START * self._policy.start_timeout)
            if end > self._timer.getTime():
                self._timer.reset(end - now)
        if self._readiness is not None and self._policy.ready_line is not None and self._policy.ready_line.search(line):
            self._readiness.hurry()

    def _await_end(self) -> None:
        if not self._plugin.can_wait or self._gone_call is not None:
            return
        call = self._gone_call = self._plugin.wait()

        def gone(code: int | None) -> None:
            if self._gone_call is call:
                self._gone(code, exits.in_words(code), exits.last_words(self._lines))

        def failed(failure: Failure) -> None:
            if self._gone_call is call and not failure.check(CancelledError):
                self._gone(None, failure.getErrorMessage(), "", clean=False)

        call.addCallbacks(gone, failed)

    def _gone(self, code: int | None, words: str, quoted: str, *, clean: bool | None = None) -> None:
        clean = exits.is_clean(code) if clean is None else clean
        if self._status is Status.stopping:
            if not clean:
                self._log.warning("%s ended badly while stopping: %s%s", self.name, words, quoted)
            if self._condemned is not None:
                self._machine.crashed(*self._condemned)
            else:
                self._machine.ended()
        elif clean and (self._status is Status.running or (self._status is Status.starting and self._adopted)):
            # Also a server that was stopping when its proxy died, and was taken over: who waits wakes the next one.
            self._log.info("%s ended by itself (%s)", self.name, words)
            self._machine.ended()
        else:
            when = {Status.starting: "while it started", Status.paused: "while it was paused"}
            reason = f"it ended {when.get(self._status, 'while it ran')}"
            self._machine.crashed(reason, f"{reason} ({words}){quoted}")

    # What the plugin sees that others do

    def _listen_to_plugin(self) -> None:
        plugin = self._plugin

        def found() -> None:
            if self._plugin is plugin:
                self._found()

        def paused() -> None:
            if self._plugin is plugin:
                self._paused()

        plugin.on_found(found)
        plugin.on_paused(paused)

    def _found(self) -> None:
        if self._closing or not self._opened:
            return
        if self._status in (Status.stopped, Status.failed):
            self._machine.found()
        elif self._status is Status.paused:
            self._log.info("%s was resumed by somebody else", self.name)
            self._machine.wake()
        else:
            # Its end has been seen but not yet told: somebody restarted it, and this is the next one.
            self._found_again = True

    def _paused(self) -> None:
        if self._status is Status.running:
            self._log.info("%s was paused by somebody else", self.name)
            self._machine.pause()

    def _close_plugin(self, plugin: Plugin | None = None) -> Deferred[None]:
        def failed(failure: Failure) -> None:
            self._log.warning("%s: its plugin could not be closed: %s", self.name, failure.getErrorMessage())

        closing = (plugin or self._plugin).close()
        return closing.addTimeout(LONGEST_CLOSE, self._clock).addErrback(failed)

    # Stopping

    async def _ask_to_stop(self, thaw_first: bool) -> None:
        if self._start_call is not None and not (self._plugin.can_signal or self._plugin.interruptible_start):
            # Until its start() has returned, such a plugin's stop() may well do nothing.
            try:
                await _shield(self._start_call)
            except ZeroscaleError as error:
                self._log.warning("%s had not been started: %s", self.name, error)
        if thaw_first:
            if self._pause_call is not None:
                await _shield(self._pause_call)
            await _shield(self._plugin.resume())
        await _shield(self._plugin.stop())

    def _asked_to_stop(self) -> None:
        if self._gone_call is None:
            self._gone(None, "", "")

    def _await_step(self) -> None:
        if self._steps:
            self._set_timer(max(0.0, self._began + self._steps[0].after - self._clock.seconds()))
        else:
            self._set_timer(max(self._policy.stop_timeout, WARN_AGAIN))

    def _send_signal(self, signal_number: signal.Signals) -> None:
        try:
            self._plugin.signal(signal_number)
        except PluginError as error:
            self._log.error("%s: %s could not be sent: %s", self.name, signal_number.name, error)

    # Running

    def _may_sleep(self) -> None:
        if self._policy.pauses and self._plugin.can_pause:
            self._machine.pause()
        else:
            self._machine.sleep()

    async def _somebody_there(self) -> str | None:
        """Why it must not be stopped though nobody is relayed, or None."""
        kept_awake = self._parts.kept_awake()
        if kept_awake is not None:
            return kept_awake
        try:
            players = await self._plugin.players()
            if not players and self._policy.asks:
                answer = await self._parts.probe.ask()
                self._keep_status(answer)
                players = answer.players
        except (ZeroscaleError, TimeoutError) as error:
            return f"it does not say who is on ({error})"
        return f"{players} on it that did not come through here" if players else None

    def _keep_status(self, answer: Answer) -> None:
        now = self._clock.seconds()
        fresh_start = self._status is Status.starting
        if answer.status is not None and (fresh_start or now - self._mirrored_at >= MIRROR_EVERY):
            self._mirrored_at = now
            self._parts.mirror.store(answer.status)

    # Common to all states

    def _leave(self) -> Deferred[None]:
        self._log.info("Leaving %s running, for the next zeroscale to take over", self.name)
        self._let_go()
        self._forget_end()
        # A start() that has not returned is on its way to a server that would be lost.
        if self._start_call is None or self._plugin.interruptible_start:
            return succeed(None)
        return _shield(self._start_call).addErrback(lambda _: None)

    def _let_go(self) -> None:
        """Leaves off everything that a state has us do."""
        self._set_timer(None)
        self._vigil.rest()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    def _enter(self, status: Status) -> None:
        self._status = status
        self._since = self._clock.seconds()
        self._parts.counts.status_changed(status, self._since)
        self._reason = None
        self._detail = None
        self._retry_at = None
        self._unstoppable = False
        self._wanted = False
        self._found_again = False
        self._condemned = None
        self._let_go()
        if status in (Status.stopped, Status.failed):
            self._vigil.forget()
            self._readiness = None
            self._start_call = None
            self._pause_call = None
            self._steps = []
            self._forget_end()
            self._take_next_parts()
        view = self.view
        for changed in self._watchers:
            changed(view)

    def _visits_changed(self) -> None:
        for changed in self._visit_watchers:
            changed()

    def _forget_end(self) -> None:
        gone, self._gone_call = self._gone_call, None
        if gone is not None:
            gone.cancel()

    def _work(self, work: Coroutine[Any, Any, None], done: Callable[[], None]) -> None:
        """Does a state's work; leaving the state cancels it. What it ends with is an input for the machine."""
        # Set before the callbacks are added: they may leave the state, at once.
        task = self._task = Deferred.fromCoroutine(work)

        # What was cancelled may end with anything: Twisted's connectors have an error of their own for it.
        def succeeded(_: None) -> None:
            if self._task is task:
                done()

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
        if self._status is Status.stopping:
            if self._gone_call is not None:
                self._log.error("%s could not be asked to stop: %s", self.name, message)
                self.hurry()
                return
            self._machine.crashed("it could not be stopped", message)
        else:
            self._machine.crashed("it could not be started", message)

    def _set_timer(self, seconds: float | None) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        if seconds is not None:
            self._timer = self._clock.callLater(seconds, self._machine.deadline)

    def _may_retry(self) -> bool:
        return self._retry_at is not None and self._clock.seconds() >= self._retry_at

    def _tell_closers(self) -> None:
        if self._status in (Status.stopped, Status.failed):
            closers, self._closers = self._closers, []
            for closer in closers:
                closer.callback(None)


T = TypeVar("T")


def _unavailable(reason: str) -> Deferred[Any]:
    return fail(ServerUnavailable(reason))


def _shield(call: Deferred[T]) -> Deferred[T]:
    """Fires as `call` does; cancelling it leaves `call` alone, and what that says later is not asked for any more."""
    shielded: Deferred[T] = Deferred()

    def fired(result: T) -> T:
        if not shielded.called:
            shielded.callback(result)
        return result

    def failed(failure: Failure) -> None:
        if not shielded.called:
            shielded.errback(failure)

    call.addCallbacks(fired, failed)
    return shielded
