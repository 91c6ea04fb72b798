"""A lifecycle with everything around it under the test's hand."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from zeroscale.errors import BackendError, PluginError
from zeroscale.lifecycle.idle_monitor import PlayerSession
from zeroscale.lifecycle.idle_policy import IdlePolicy
from zeroscale.lifecycle.interfaces import LifecycleDependencies, LifecyclePolicy
from zeroscale.lifecycle.lifecycle import ServerLifecycle
from zeroscale.lifecycle.stats import StatsRecorder
from zeroscale.status import ProbeResult, Status

LOGGER = logging.getLogger("tests.lifecycle")


class FakePlugin:
    """A plugin and its process, moved by hand."""

    can_signal = True
    can_wait = True
    can_pause = True
    can_adopt = True
    interruptible_start = False
    is_remote = False
    is_load_balanced = False

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.calls: list[str] = []
        self.signals: list[int] = []
        self.starting: Deferred[None] | None = None
        self.stopping: Deferred[None] | None = None
        self.waiting: Deferred[int | None] | None = None
        self.adoptable = False
        self.alive = False
        self.online: int | None = None
        self.take_line: Callable[[str], None] = lambda line: None
        self.found: Callable[[], None] = lambda: None
        self.paused: Callable[[], None] = lambda: None
        self.closing: Deferred[None] = succeed(None)
        self.address: tuple[str, int] | PluginError | None = None
        self.pausing: Deferred[None] = succeed(None)
        self.pause_fails: PluginError | None = None
        self.resume_fails: PluginError | None = None
        self.looking: Deferred[None] = succeed(None)
        self.start_fails: PluginError | None = None

    @property
    def server_address(self) -> tuple[str, int] | None:
        if isinstance(self.address, PluginError):
            raise self.address
        return self.address

    def start(self) -> Deferred[None]:
        self.calls.append("start")
        if self.start_fails is not None:
            return fail(self.start_fails)
        self.scene.born()
        self.alive = True
        if self.scene.slow_start:
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
        self.waiting = Deferred()
        return self.waiting

    def send(self, line: str) -> Deferred[str | None]:
        self.calls.append(f"send {line}")
        return succeed(None)

    def players(self) -> Deferred[int | None]:
        return succeed(self.online)

    def adopt(self) -> Deferred[bool]:
        self.calls.append("adopt")
        if self.scene.look_fails is not None:
            return fail(self.scene.look_fails)
        found: Deferred[bool] = Deferred(lambda _: None)

        def looked(_: None) -> None:
            if self.adoptable and not self.alive:
                self.scene.born()
                self.alive = True
            if not found.called:
                found.callback(self.adoptable)

        self.looking.addCallback(looked)
        return found

    def signal(self, signal_number: int) -> None:
        self.signals.append(signal_number)

    def fake_status(self) -> bytes | None:
        return b"asleep"

    def on_output(self, take_line: Callable[[str], None]) -> None:
        self.take_line = take_line

    def on_found(self, found: Callable[[], None]) -> None:
        self.found = found

    def on_paused(self, paused: Callable[[], None]) -> None:
        self.paused = paused

    def close(self) -> Deferred[None]:
        self.calls.append("close")
        return self.closing

    def end(self, code: int | None = 0) -> None:
        """The process ends."""
        self.alive = False
        starting, self.starting = self.starting, None
        if starting is not None and not starting.called:
            starting.errback(PluginError("it ended while it started"))
        waiting, self.waiting = self.waiting, None
        if waiting is not None and not waiting.called:
            waiting.callback(code)

    def started(self) -> None:
        """`start()` returns."""
        starting, self.starting = self.starting, None
        if starting is not None and not starting.called:
            starting.callback(None)

    def stopped(self) -> None:
        """`stop()` returns."""
        stopping, self.stopping = self.stopping, None
        if stopping is not None:
            stopping.callback(None)


class FakeProbe:
    def __init__(self) -> None:
        self.accepts = False
        self.answer: ProbeResult | BackendError = ProbeResult({"description": "real"}, 0)
        self.questions: list[Deferred[ProbeResult]] = []
        self.asked = 0
        self.slow = False

    def connects(self) -> Deferred[bool]:
        return succeed(self.accepts)

    def ask(self) -> Deferred[ProbeResult]:
        self.asked += 1
        if self.slow:
            self.questions.append(Deferred())
            return self.questions[-1]
        return fail(self.answer) if isinstance(self.answer, BackendError) else succeed(self.answer)


class FakeReadiness:
    problem: str | None = None

    def __init__(self) -> None:
        self.ran: Deferred[ProbeResult] = Deferred()
        self.hurried = 0
        self.linelessly = 0

    def run(self) -> Deferred[ProbeResult]:
        return self.ran

    def ready_line_seen(self) -> None:
        self.hurried += 1

    def ready_line_missed(self) -> None:
        self.linelessly += 1


class FakeRecords:
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


class FakeMirror:
    def __init__(self) -> None:
        self.current: Mapping[str, object] | None = None
        self.stored: list[Mapping[str, object]] = []

    def store(self, status: Mapping[str, object]) -> None:
        self.stored.append(status)


class Scene:
    """A lifecycle with everything around it under our hand."""

    def __init__(
        self,
        *,
        idle: float = 60.0,
        start_timeout: float = 300.0,
        stop_timeout: float = 150.0,
        kill_timeout: float | None = None,
        max_crashes: int = 3,
        asks: bool = True,
        pauses: bool = False,
        pause_stop_after: float | None = None,
        opened: bool = True,
    ) -> None:
        self.clock = Clock()
        self.probe = FakeProbe()
        self.records = FakeRecords()
        self.mirror = FakeMirror()
        self.counts = StatsRecorder(Status.stopped, self.clock.seconds())
        self.output: list[str] = []
        self.plugins: list[FakePlugin] = []
        self.replaced: list[FakePlugin] = []
        self.readinesses: list[FakeReadiness] = []
        self.slow_start = False
        self.can_wait = self.can_signal = True
        self.obstacle: str | None = None
        self.look_fails: PluginError | None = None
        self.kept_awake: str | None = None
        self.lockout: str | None = None
        self.most_alive = 0
        self.moves: list[tuple[str, int] | None] = []
        policy = LifecyclePolicy(
            idle=IdlePolicy(idle),
            start_timeout=start_timeout,
            stop_timeout=stop_timeout,
            kill_timeout=kill_timeout,
            max_crashes=max_crashes,
            ask_players=asks,
            pause_when_idle=pauses,
            pause_stop_after=pause_stop_after,
            ready_line=re.compile("Done"),
        )
        parts = LifecycleDependencies(
            clock=self.clock,
            plugin=self.construct(),
            make_plugin=self.construct,
            probe=self.probe,
            make_readiness=self.readiness,
            start_history=self.records,
            status_cache=self.mirror,
            stats=self.counts,
            on_output=self.output.append,
            start_obstacle=lambda: self.obstacle,
            keep_awake_reason=lambda: self.kept_awake,
            lockout=lambda: self.lockout,
            on_address=self.moves.append,
            logger=LOGGER,
        )
        self.parts = parts
        self.life = ServerLifecycle("test", policy, parts)
        if opened:
            self.opening = Deferred.fromCoroutine(self.life.open())

    def replace(self) -> FakePlugin:
        """The configuration says otherwise: from its next start on it is another plugin's."""
        return self.replace_with()

    def replace_with(self, looking: Deferred[None] | None = None, *, adoptable: bool = False) -> FakePlugin:
        """The same, by a plugin that looks round for so long and then finds a server, or not."""
        plugin = self.construct()
        plugin.looking = looking or succeed(None)
        plugin.adoptable = adoptable
        self.life.replace_dependencies(replace(self.parts, plugin=plugin), lambda: self.replaced.append(plugin))
        return plugin

    def construct(self) -> FakePlugin:
        plugin = FakePlugin(self)
        plugin.can_wait, plugin.can_signal = self.can_wait, self.can_signal
        self.plugins.append(plugin)
        return plugin

    def readiness(self) -> FakeReadiness:
        self.readinesses.append(FakeReadiness())
        return self.readinesses[-1]

    def born(self) -> None:
        assert not any(plugin.alive for plugin in self.plugins), "two servers on one world"

    @property
    def plugin(self) -> FakePlugin:
        return self.plugins[-1]

    def status(self) -> Status:
        return self.life.view.status

    def become_ready(self) -> None:
        self.readinesses[-1].ran.callback(ProbeResult({"description": "real"}, 0))

    def running(self) -> Scene:
        self.life.wake("a test")
        self.become_ready()
        assert self.status() is Status.running
        return self

    def stopping(self) -> Scene:
        self.running()
        self.clock.advance(60.0)
        assert self.status() is Status.stopping
        return self

    def in_state(self, state: Status) -> Scene:
        if state is Status.starting:
            self.life.wake("a test")
        elif state is not Status.stopped:
            self.running()
        if state is Status.failed:
            self.plugin.end(1)
        elif state is Status.paused:
            self.clock.advance(60.0)
        elif state is Status.stopping:
            self.life.sleep()
        assert self.status() is state
        return self

    def admitted(self) -> PlayerSession:
        visits: list[PlayerSession] = []
        self.life.admit().addCallback(visits.append)
        (visit,) = visits
        return visit

    def waiter(self) -> list[PlayerSession | str]:
        said: list[PlayerSession | str] = []
        waiting = self.life.admit()
        waiting.addCallbacks(said.append, lambda failure: said.append(failure.getErrorMessage()))
        return said
