"""The policy of a lifecycle, and its collaborators as interfaces."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from zeroscale.lifecycle.idle_policy import IdlePolicy
from zeroscale.status import ProbeResult, Status

Logger = logging.Logger | logging.LoggerAdapter[logging.Logger]


class AdaptedPlugin(Protocol):
    """A plugin as the lifecycle calls it; `plugin_adapter.PluginAdapter` implements and describes it."""

    can_signal: bool
    can_wait: bool
    can_pause: bool
    can_adopt: bool

    @property
    def is_remote(self) -> bool: ...

    @property
    def is_load_balanced(self) -> bool: ...

    @property
    def server_address(self) -> tuple[str, int] | None: ...

    interruptible_start: bool

    def start(self) -> Deferred[None]: ...
    def stop(self) -> Deferred[None]: ...
    def pause(self) -> Deferred[None]: ...
    def resume(self) -> Deferred[None]: ...
    def wait(self) -> Deferred[int | None]: ...
    def send(self, line: str) -> Deferred[str | None]: ...
    def players(self) -> Deferred[int | None]: ...
    def adopt(self) -> Deferred[bool]: ...
    def signal(self, signal_number: int) -> None: ...
    def fake_status(self) -> bytes | None: ...
    def on_output(self, take_line: Callable[[str], None]) -> None: ...
    def on_found(self, found: Callable[[], None]) -> None: ...
    def on_paused(self, paused: Callable[[], None]) -> None: ...
    def close(self) -> Deferred[None]: ...


class Probe(Protocol):
    """Asks the real server; see `probes`."""

    def accepts_connections(self) -> Deferred[bool]: ...
    def ask(self) -> Deferred[ProbeResult]: ...


class Readiness(Protocol):
    """Waits until the real server answers for the first time; see `probes.readiness`."""

    def run(self) -> Deferred[ProbeResult]: ...
    def ready_line_seen(self) -> None: ...
    def ready_line_missed(self) -> None: ...
    @property
    def problem(self) -> str | None: ...


class StartHistory(Protocol):
    """Past starts and crashes; see `state.start_history`."""

    @property
    def estimate(self) -> float | None: ...
    @property
    def crashes(self) -> int: ...
    def record_start(self, seconds: float) -> None: ...
    def record_crash(self, reason: str) -> int: ...
    def clear_crashes(self) -> None: ...


class StatusCache(Protocol):
    """The real server's last status; see `state.status_cache`."""

    @property
    def current(self) -> Mapping[str, object] | None: ...
    def store(self, status: Mapping[str, object]) -> None: ...


class LifecycleStats(Protocol):
    """Counts what happens to a server; see `stats.StatsRecorder`."""

    def status_changed(self, status: Status, now: float) -> None: ...
    def woken(self, reason: str) -> None: ...
    def started(self, seconds: float) -> None: ...
    def crashed(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecyclePolicy:
    """When and how one server is started and stopped. Durations are seconds.

    :ivar idle: when the server may stop.
    :ivar pause_when_idle: pause an idle server instead of stopping it, where its plugin can.
    :ivar pause_stop_after: how long it stays paused before it is stopped; None: for ever.
    :ivar start_timeout: how long a start may take without output of the server.
    :ivar stop_timeout: how long each step of a stop may take.
    :ivar kill_timeout: how long after SIGTERM a server is sent SIGKILL; None: never.
    :ivar max_crashes: after how many in a row the server is not started again.
    :ivar ask_players: the server itself can tell how many players are on it, and is asked before it is stopped.
    :ivar ready_line: a line of output that matches means that the server answers now.
    """

    idle: IdlePolicy
    pause_when_idle: bool = False
    pause_stop_after: float | None = None
    start_timeout: float
    stop_timeout: float
    kill_timeout: float | None
    max_crashes: int
    ask_players: bool
    ready_line: re.Pattern[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleDependencies:
    """The collaborators of a lifecycle.

    :ivar clock: monotonic.
    :ivar plugin: the first plugin.
    :ivar make_plugin: makes another one, after the first has failed.
    :ivar probe: asks the server.
    :ivar make_readiness: makes the wait for the first answer of one start.
    :ivar start_history: past starts and crashes.
    :ivar status_cache: the server's last status.
    :ivar keep_awake_reason: why the operator keeps an idle server running; None: the operator does not.
    :ivar lockout: why nobody may wake the server now, in the operator's words; None: anybody may.
    :ivar stats: counts what happens to the server.
    :ivar on_output: called with each line of the server's output.
    :ivar start_obstacle: why the server must not be started now, as far as files tell; None: it may be.
    :ivar on_address: called with the host and port of the server that runs now; None: those of the configuration.
    :ivar logger: for everything that happens to the server.
    """

    clock: IReactorTime
    plugin: AdaptedPlugin
    make_plugin: Callable[[], AdaptedPlugin]
    probe: Probe
    make_readiness: Callable[[], Readiness]
    start_history: StartHistory
    status_cache: StatusCache
    stats: LifecycleStats
    start_obstacle: Callable[[], str | None]
    logger: logging.Logger
    keep_awake_reason: Callable[[], str | None] = lambda: None
    lockout: Callable[[], str | None] = lambda: None
    on_output: Callable[[str], None] = lambda _: None
    on_address: Callable[[tuple[str, int] | None], None] = lambda _: None
