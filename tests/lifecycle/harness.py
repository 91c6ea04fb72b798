"""A lifecycle with fake collaborators and a fake clock."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping

from msgspec.structs import replace
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from zeroscale.errors import BackendError, PluginError, StartRefused
from zeroscale.events import Cause, CauseKind
from zeroscale.lifecycle.idle_monitor import PlayerSession
from zeroscale.lifecycle.idle_policy import IdlePolicy
from zeroscale.lifecycle.interfaces import LifecycleDependencies, LifecyclePolicy, Needs
from zeroscale.lifecycle.lifecycle import ServerLifecycle
from zeroscale.lifecycle.stats import StatsRecorder
from zeroscale.status import ClientInfo, PlayerSign, ProbeResult, Status

PLAYER = Cause(CauseKind.login, ClientInfo("Ada", "203.0.113.7:51234"))
OPERATOR = Cause(CauseKind.operator, operator="max")
EPOCH = 1_700_000_000.0
"""The time of the wall clock at the beginning."""

LOGGER = logging.getLogger("tests.lifecycle")


class FakePlugin:
    """A plugin and its server's process; the test decides when calls return, and when the process exits."""

    can_signal = True
    can_wait = True
    can_pause = True
    can_adopt = True
    interruptible_start = False
    sigterm_arguments: str | None = "-a stop=SIGTERM"
    is_remote = False
    is_load_balanced = False

    def __init__(self, harness: LifecycleHarness) -> None:
        self.harness = harness
        self.calls: list[str] = []
        self.signals: list[int] = []
        self.starting: Deferred[None] | None = None
        self.stopping: Deferred[None] | None = None
        self.waiting: Deferred[int | None] | None = None
        self.adoptable = False
        self.found_stopping = False
        self.doubtful = False
        self.alive = False
        self.online: int | None = None
        self.used: tuple[float, int] | None = None
        self.console: Callable[[str], Deferred[str | None]] = lambda line: succeed(None)
        self.write_line: Callable[[str], None] = lambda line: None
        self.report_found: Callable[[], None] = lambda: None
        self.report_paused: Callable[[], None] = lambda: None
        self.closing: Deferred[None] = succeed(None)
        self.address: tuple[str, int] | PluginError | None = None
        self.pausing: Deferred[None] = succeed(None)
        self.pause_fails: PluginError | None = None
        self.signal_fails: PluginError | None = None
        self.resume_fails: PluginError | None = None
        self.adopting: Deferred[None] = succeed(None)

    @property
    def server_address(self) -> tuple[str, int] | None:
        if isinstance(self.address, PluginError):
            raise self.address
        return self.address

    def start(self) -> Deferred[None]:
        self.calls.append("start")
        if self.harness.start_fails is not None:
            return fail(self.harness.start_fails)
        self.harness.process_started()
        self.alive = True
        if self.harness.slow_start:
            self.starting = Deferred()
            return self.starting
        return succeed(None)

    def stop(self) -> Deferred[None]:
        self.calls.append("stop")
        self.stopping = Deferred()
        return self.stopping

    def pause(self) -> Deferred[None]:
        self.calls.append("pause")
        return self.pausing if self.pause_fails is None else fail(self.pause_fails)

    def resume(self) -> Deferred[None]:
        self.calls.append("resume")
        return succeed(None) if self.resume_fails is None else fail(self.resume_fails)

    def wait(self) -> Deferred[int | None]:
        def cancelled(_: object) -> None:
            self.waiting = None

        self.waiting = Deferred(cancelled)
        return self.waiting

    def send(self, line: str) -> Deferred[str | None]:
        self.calls.append(f"send {line}")
        return self.console(line)

    def players(self) -> Deferred[int | None]:
        return succeed(self.online)

    def usage(self) -> Deferred[tuple[float, int] | None]:
        return succeed(self.used)

    def adopt(self) -> Deferred[Status | None]:
        self.calls.append("adopt")
        if self.harness.adopt_fails is not None:
            return fail(self.harness.adopt_fails)
        found: Deferred[Status | None] = Deferred(lambda _: None)

        def looked(_: None) -> None:
            if self.adoptable and not self.alive:
                self.harness.process_started()
                self.alive = True
            if not found.called:
                status = Status.stopping if self.found_stopping else Status.running
                found.callback(status if self.adoptable else None)

        self.adopting.addCallback(looked)
        return found

    def signal(self, signal_number: int) -> None:
        self.signals.append(signal_number)
        if self.signal_fails is not None:
            raise self.signal_fails

    def doubt(self) -> bool:
        self.calls.append("doubt")
        doubtful, self.doubtful = self.doubtful, False
        if doubtful:
            self.adoptable = self.alive = False
        return doubtful

    def fake_status(self) -> bytes | None:
        return b"asleep"

    def on_output(self, take_line: Callable[[str], None]) -> None:
        self.write_line = take_line

    def on_found(self, found: Callable[[], None]) -> None:
        self.report_found = found

    def on_paused(self, paused: Callable[[], None]) -> None:
        self.report_paused = paused

    def close(self) -> Deferred[None]:
        self.calls.append("close")
        return self.closing

    def exit(self, code: int | None = 0) -> None:
        """Let the process exit."""
        self.alive = False
        starting, self.starting = self.starting, None
        if starting is not None and not starting.called:
            starting.errback(PluginError("it ended while it started"))
        waiting, self.waiting = self.waiting, None
        if waiting is not None and not waiting.called:
            waiting.callback(code)

    def start_returns(self) -> None:
        """Let `start()` return."""
        starting, self.starting = self.starting, None
        if starting is not None and not starting.called:
            starting.callback(None)

    def stop_returns(self) -> None:
        """Let `stop()` return."""
        stopping, self.stopping = self.stopping, None
        if stopping is not None:
            stopping.callback(None)


class FakePlayerList:
    """Understands "N on", behind the name of a log in brackets."""

    COMMAND = "who"

    def message(self, line: str) -> str:
        return line.removeprefix("[log] ")

    def count(self, answer: str) -> int | None:
        number, _, rest = answer.partition(" ")
        return int(number) if rest == "on" else None

    def shown(self, answer: str) -> str:
        return answer.strip()


class FakeProbe:
    def __init__(self) -> None:
        self.accepts: bool | StartRefused = False
        self.answer: ProbeResult | BackendError | TimeoutError = ProbeResult({"description": "real"}, 0)
        self.questions: list[Deferred[ProbeResult]] = []
        self.asked = 0
        self.slow = False

    def accepts_connections(self) -> Deferred[bool]:
        return fail(self.accepts) if isinstance(self.accepts, StartRefused) else succeed(self.accepts)

    def ask(self) -> Deferred[ProbeResult]:
        self.asked += 1
        if self.slow:
            self.questions.append(Deferred())
            return self.questions[-1]
        return succeed(self.answer) if isinstance(self.answer, ProbeResult) else fail(self.answer)


class FakeReadiness:
    problem: str | None = None
    hindered = False

    def __init__(self) -> None:
        self.ran: Deferred[ProbeResult] = Deferred()
        self.hurried = 0
        self.expecting = 0
        self.lineless_calls = 0

    def run(self) -> Deferred[ProbeResult]:
        return self.ran

    def ready_line_seen(self) -> None:
        self.hurried += 1

    def ready_line_expected(self) -> None:
        self.expecting += 1

    def ready_line_missed(self) -> None:
        self.lineless_calls += 1


class FakeStartHistory:
    def __init__(self) -> None:
        self.starts: list[float] = []
        self.crashes = 0
        self.estimate: float | None = None

    def record_start(self, seconds: float) -> None:
        self.starts.append(seconds)

    def record_crash(self, reason: str) -> int:
        self.crashes += 1
        return self.crashes

    def clear_crashes(self) -> None:
        self.crashes = 0


class FakeStatusCache:
    def __init__(self) -> None:
        self.current: Mapping[str, object] | None = None
        self.stored: list[Mapping[str, object]] = []

    def store(self, status: Mapping[str, object]) -> None:
        self.stored.append(status)


class LifecycleHarness:
    """A lifecycle whose collaborators are fakes, with a fake clock.

    :ivar flag_file: the text of a lockout that is not reported to the lifecycle.
    :ivar looks: how often the lockout was looked at.
    :ivar current: the plugin in use.
    :ivar plugin: the plugin that was made last; with a swap pending, not the one in use.
    """

    def __init__(
        self,
        *,
        idle: float = 60.0,
        start_timeout: float = 300.0,
        stop_timeout: float = 150.0,
        kill_timeout: float | None = None,
        max_crashes: int = 3,
        ask_players: bool = True,
        pause_when_idle: bool = False,
        pause_stop_after: float | None = None,
        opened: bool = True,
        player_sign: PlayerSign = PlayerSign.connection,
        name: str = "test",
        clock: Clock | None = None,
        plugin_type: type[FakePlugin] = FakePlugin,
    ) -> None:
        self.plugin_type = plugin_type
        self.clock = clock or Clock()
        self.needs: Needs | None = None
        self.probe = FakeProbe()
        self.start_history = FakeStartHistory()
        self.status_cache = FakeStatusCache()
        self.stats = StatsRecorder(Status.stopped, self.clock.seconds())
        self.output: list[str] = []
        self.looks = 0
        self.plugins: list[FakePlugin] = []
        self.replaced: list[FakePlugin] = []
        self.readinesses: list[FakeReadiness] = []
        self.slow_start = False
        self.can_wait = self.can_signal = True
        self.start_obstacle: str | None = None
        self.listener: str | None = None
        self.adopt_fails: PluginError | None = None
        self.start_fails: PluginError | None = None
        self.keep_awake_reason: str | None = None
        self.busy: Callable[[], Deferred[str | None]] = lambda: succeed(None)
        self.schedule_reason: Callable[[], str | None] = lambda: None
        self.schedule_lockout: Callable[[], str | None] = lambda: None
        self.flag_file: str | None = None
        self._lockout: str | None = None
        self.addresses: list[tuple[str, int] | None] = []
        self.policy = LifecyclePolicy(
            idle=IdlePolicy(idle, player_sign=player_sign),
            start_timeout=start_timeout,
            stop_timeout=stop_timeout,
            kill_timeout=kill_timeout,
            max_crashes=max_crashes,
            ask_players=ask_players,
            pause_when_idle=pause_when_idle,
            pause_stop_after=pause_stop_after,
            ready_line=re.compile("Done"),
        )
        dependencies = LifecycleDependencies(
            clock=self.clock,
            plugin=self.make_plugin(),
            make_plugin=self.make_plugin,
            probe=self.probe,
            make_readiness=self.readiness,
            start_history=self.start_history,
            status_cache=self.status_cache,
            stats=self.stats,
            on_output=self.output.append,
            start_obstacle=lambda: self.start_obstacle,
            listener=lambda: self.listener,
            player_list=FakePlayerList(),
            keep_awake_reason=lambda: self.keep_awake_reason,
            schedule_reason=self.look_for_schedule_reason,
            busy=self.ask_whether_busy,
            lockout=self.look_for_lockout,
            on_address=self.addresses.append,
            wall_clock=lambda: EPOCH + self.clock.seconds(),
            logger=LOGGER,
            needs=lambda: self.needs,
        )
        self.dependencies = dependencies
        self.lifecycle = ServerLifecycle(name, self.policy, dependencies)
        if opened:
            self.opening = Deferred.fromCoroutine(self.lifecycle.open())

    def replace(self) -> FakePlugin:
        """Schedule a swap of the plugin, as a new configuration does."""
        return self.replace_with()

    def replace_with(self, adopting: Deferred[None] | None = None, *, adoptable: bool = False) -> FakePlugin:
        """The same, with a plugin whose `adopt()` returns `adoptable` once `adopting` has fired."""
        plugin = self.construct()
        plugin.adopting = adopting or succeed(None)
        plugin.adoptable = adoptable

        def replaced() -> None:
            self.replaced.append(plugin)
            self.current = plugin

        self.lifecycle.replace_dependencies(replace(self.dependencies, plugin=plugin), replaced)
        return plugin

    def make_plugin(self) -> FakePlugin:
        self.current = self.construct()
        return self.current

    def construct(self) -> FakePlugin:
        plugin = self.plugin_type(self)
        plugin.can_wait, plugin.can_signal = self.can_wait, self.can_signal
        self.plugins.append(plugin)
        return plugin

    def readiness(self) -> FakeReadiness:
        self.readinesses.append(FakeReadiness())
        return self.readinesses[-1]

    def process_started(self) -> None:
        assert not any(plugin.alive for plugin in self.plugins), "two servers on one world"

    @property
    def lockout(self) -> str | None:
        """The text of a lockout by the operator's command."""
        return self._lockout

    @lockout.setter
    def lockout(self, text: str | None) -> None:
        self._lockout = text
        self.lifecycle.look_again()

    def ask_whether_busy(self) -> Deferred[str | None]:
        return self.busy()

    def look_for_schedule_reason(self) -> str | None:
        return self.schedule_reason()

    def look_for_lockout(self) -> str | None:
        self.looks += 1
        texts = self._lockout, self.flag_file, self.schedule_lockout()
        return next((text for text in texts if text is not None), None)

    @property
    def plugin(self) -> FakePlugin:
        return self.plugins[-1]

    def status(self) -> Status:
        return self.lifecycle.view.status

    def become_ready(self) -> None:
        """Let the server answer for the first time."""
        self.readinesses[-1].ran.callback(ProbeResult({"description": "real"}, 0))

    def running(self) -> LifecycleHarness:
        self.lifecycle.wake(PLAYER)
        self.become_ready()
        assert self.status() is Status.running
        return self

    def stopping(self) -> LifecycleHarness:
        self.running()
        self.clock.advance(60.0)
        assert self.status() is Status.stopping
        return self

    def in_state(self, state: Status) -> LifecycleHarness:
        if state is Status.starting:
            self.lifecycle.wake(PLAYER)
        elif state is not Status.stopped:
            self.running()
        if state is Status.failed:
            self.plugin.exit(1)
        elif state is Status.paused:
            self.clock.advance(60.0)
        elif state is Status.stopping:
            self.lifecycle.sleep(OPERATOR)
        assert self.status() is state
        return self

    def join(self) -> PlayerSession:
        """Join a running server."""
        sessions: list[PlayerSession] = []
        self.lifecycle.admit().addCallback(sessions.append)
        (session,) = sessions
        return session

    def wait_to_join(self) -> list[PlayerSession | str]:
        """Join a server that may not run; what is returned gets the session, or the reason why not."""
        outcome: list[PlayerSession | str] = []
        waiting = self.lifecycle.admit()
        waiting.addCallbacks(outcome.append, lambda failure: outcome.append(failure.getErrorMessage()))
        return outcome
