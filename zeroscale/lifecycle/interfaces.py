"""What a lifecycle works with: its policy, and its collaborators as interfaces named for what is asked of them."""

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


class AdaptedPlugin(Protocol):
    """What the lifecycle asks of a plugin; `bridge.PluginAdapter` says what each of these means."""

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
    """Asking the real server."""

    def connects(self) -> Deferred[bool]: ...
    def ask(self) -> Deferred[ProbeResult]: ...


class Readiness(Protocol):
    """Waiting for the real server to answer for the first time."""

    def run(self) -> Deferred[ProbeResult]: ...
    def ready_line_seen(self) -> None: ...
    def ready_line_missed(self) -> None: ...
    @property
    def problem(self) -> str | None: ...


class StartHistory(Protocol):
    """What is remembered of past starts and crashes."""

    @property
    def estimate(self) -> float | None: ...
    @property
    def crashes(self) -> int: ...
    def record_start(self, seconds: float) -> None: ...
    def record_crash(self, reason: str) -> int: ...
    def clear_crashes(self) -> None: ...


class StatusCache(Protocol):
    """The real server's last status."""

    @property
    def current(self) -> Mapping[str, object] | None: ...
    def store(self, status: Mapping[str, object]) -> None: ...


class LifecycleStats(Protocol):
    """What is counted of a server's life."""

    def status_changed(self, status: Status, now: float) -> None: ...
    def woken(self, reason: str) -> None: ...
    def started(self, seconds: float) -> None: ...
    def crashed(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecyclePolicy:
    """How one server is to be treated. Durations are seconds.

    :ivar idle: when it may sleep.
    :ivar pause_when_idle: an idle server is frozen where its plugin can, not stopped.
    :ivar pause_stop_after: how long it stays frozen before it is stopped after all; None: for ever.
    :ivar start_timeout: how long a start may take without a word from the server.
    :ivar stop_timeout: how long each rung of the ladder may take.
    :ivar kill_timeout: how long SIGTERM has before SIGKILL; None: never.
    :ivar max_crashes: after how many in a row it stays down.
    :ivar ask_players: whether the server can say who is on, so that it is asked before it is stopped.
    :ivar ready_line: a line of output that matches means that it answers now.
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
    """What a lifecycle works with.

    :ivar clock: monotonic.
    :ivar plugin: the first plugin.
    :ivar make_plugin: makes a new one, in the place of one that failed.
    :ivar probe: asks the server.
    :ivar make_readiness: makes a new wait for its first answer.
    :ivar start_history: of past starts and crashes.
    :ivar status_cache: of its last status.
    :ivar keep_awake_reason: what the operator keeps it up with, though it is idle; None: nothing.
    :ivar lockout: the operator's words for why nobody may wake it now; None: anybody may.
    :ivar stats: of its life.
    :ivar on_output: called with each line of its output.
    :ivar start_obstacle: why it must not be started now, as far as files tell; None: nothing speaks against it.
    :ivar on_address: told where the server that runs now is reached; None: where the configuration says.
    :ivar logger: where its story is told.
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
