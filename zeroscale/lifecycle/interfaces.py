"""The policy of a lifecycle, and its collaborators as interfaces."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from zeroscale.events import Cause
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
    def is_remote(self) -> bool:
        """Whether the server runs on another machine or in a container."""

    @property
    def is_load_balanced(self) -> bool:
        """Whether a load balancer may take connections for a server that does not run."""

    @property
    def server_address(self) -> tuple[str, int] | None:
        """Host and port of the server that runs now; None: those of the configuration."""

    interruptible_start: bool
    sigterm_arguments: str | None

    def start(self) -> Deferred[None]:
        """Start the server; may not be cancelled."""

    def stop(self) -> Deferred[None]:
        """Stop the server; may not be cancelled."""

    def pause(self) -> Deferred[None]:
        """Pause the server."""

    def resume(self) -> Deferred[None]:
        """Resume the paused server."""

    def wait(self) -> Deferred[int | None]:
        """Wait for the exit of the server; fires with its exit code, where that is known."""

    def send(self, line: str) -> Deferred[str | None]:
        """Write a line to the console; fires with the answer, where there is one."""

    def players(self) -> Deferred[int | None]:
        """Return the number of players, where it is known."""

    def usage(self) -> Deferred[tuple[float, int] | None]:
        """Return the server's CPU seconds and bytes of memory, where they are known."""

    def adopt(self) -> Deferred[Status | None]:
        """Take over a running server; fires with `running` or `stopping`, or None if there is none."""

    def signal(self, signal_number: int) -> None:
        """Send a signal to the server's processes."""

    def doubt(self) -> bool:
        """Return whether a server that does not answer may not run, though the plugin has found it running."""

    def fake_status(self) -> bytes | None:
        """Return what a client is sent while the server does not run."""

    def on_output(self, take_line: Callable[[str], None]) -> None:
        """Register `take_line`, to be called with each line of output."""

    def on_found(self, found: Callable[[], None]) -> None:
        """Register `found`, to be called when the plugin sees the server run without having started it."""

    def on_paused(self, paused: Callable[[], None]) -> None:
        """Register `paused`, to be called when the plugin sees the server paused without having paused it."""

    def close(self) -> Deferred[None]:
        """Close the plugin, not the server."""


class Probe(Protocol):
    """Asks the real server; see `probes`."""

    def accepts_connections(self) -> Deferred[bool]:
        """Return whether something takes a connection on the server's port; fails with `StartRefused`."""

    def ask(self) -> Deferred[ProbeResult]:
        """Ask the server for its status and players; fails with `BackendError`."""


class Readiness(Protocol):
    """Waits until the real server answers for the first time; see `probes.readiness`."""

    def run(self) -> Deferred[ProbeResult]:
        """Wait for the first answer."""

    def ready_line_seen(self) -> None:
        """Ask at once: the server has written its ready line."""

    def ready_line_expected(self) -> None:
        """Ask less often: the server's output is seen, and its ready line is yet to come."""

    def ready_line_missed(self) -> None:
        """Do not wait for the ready line: it was written before."""

    @property
    def problem(self) -> str | None:
        """Why the server does not answer yet, as far as that is known."""

    @property
    def hindered(self) -> bool:
        """Whether the server cannot be asked, for a reason other than itself."""


class PlayerList(Protocol):
    """Lists the players by a command to the server's console; `protocols.minecraft.player_list` implements it."""

    COMMAND: str

    def message(self, line: str, /) -> str:
        """Return the text of a line of output, without what the log writes before it."""

    def count(self, answer: str, /) -> int | None:
        """Return the number of players in the answer to the command; None: it is not understood."""

    def shown(self, answer: str, /) -> str:
        """Return an answer as one line for a message."""


class StartHistory(Protocol):
    """Past starts and crashes; see `state.start_history`."""

    @property
    def estimate(self) -> float | None:
        """How many seconds a start takes; None before one is known."""

    @property
    def crashes(self) -> int:
        """How many crashes in a row there were."""

    def record_start(self, seconds: float) -> None:
        """Store how long a start took."""

    def record_crash(self, reason: str) -> int:
        """Store one more crash; return how many there were in a row."""

    def clear_crashes(self) -> None:
        """Forget the crashes."""


class StatusCache(Protocol):
    """The real server's last status; see `state.status_cache`."""

    @property
    def current(self) -> Mapping[str, object] | None:
        """The last status, decoded; None before there was one."""

    def store(self, status: Mapping[str, object]) -> None:
        """Store a status."""


class LifecycleStats(Protocol):
    """Counts what happens to a server; see `stats.StatsRecorder`."""

    def status_changed(self, status: Status, now: float) -> None:
        """Count time for this status from now on."""

    def woken(self, reason: str) -> None:
        """Count a wake, by its reason in one word."""

    def started(self, seconds: float) -> None:
        """Count a start that took so many seconds."""

    def crashed(self) -> None:
        """Count a failure."""


class Needs(Protocol):
    """The servers that one server needs, and those that need it; see `proxy.needs`."""

    def start(self, cause: Cause) -> Deferred[None]:
        """Start the servers that it needs.

        :param cause: why the server itself is started.
        :returns: fires once all of them are ready; fails with `ServerUnavailable`. May be cancelled.
        """

    @property
    def missing(self) -> Sequence[str]:
        """The names of the servers that it needs and that are not ready."""

    @property
    def estimate(self) -> float | None:
        """In how many seconds all servers that it needs are ready, if they are started now; None: not known."""

    @property
    def lockout(self) -> str | None:
        """Why a server that it needs must not be started, for players; None: each runs, or may be started."""

    @property
    def needed_by(self) -> Sequence[str]:
        """The names of the servers that need it now: those that do not sleep."""

    @property
    def are_dependents_put_to_sleep(self) -> bool:
        """Whether all of those stop, or are about to, so that it may do so after them."""

    def look(self) -> None:
        """Note that the server is not put to sleep after all, or is released."""

    def stop_dependents(self, cause: Cause, *, tell: bool) -> Deferred[None] | None:
        """Wait until no server uses this one any more.

        :param cause: why this one is stopped.
        :param tell: stop them; else they are stopped anyway.
        :returns: fires then; None: none uses it. May be cancelled.
        """


class LifecyclePolicy(Struct, frozen=True, kw_only=True):
    """When and how one server is started and stopped. Durations are seconds.

    :ivar idle: when the server may stop.
    :ivar pause_when_idle: pause an idle server instead of stopping it, where its plugin can.
    :ivar pause_stop_after: how long it stays paused before it is stopped; None: for ever.
    :ivar start_timeout: how long a start may take without output of the server.
    :ivar stop_timeout: how long each step of a stop may take.
    :ivar kill_timeout: how long after SIGTERM a server is sent SIGKILL; None: never.
    :ivar max_crashes: after how many in a row the server is not started again.
    :ivar ask_players: ask the server itself for its number of players before it is stopped.
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


class LifecycleDependencies(Struct, frozen=True, kw_only=True):
    """The collaborators of a lifecycle.

    :ivar clock: monotonic.
    :ivar wall_clock: returns seconds since 1970, for the time of an event.
    :ivar plugin: the first plugin.
    :ivar make_plugin: makes another one, after the first has failed.
    :ivar probe: asks the server.
    :ivar make_readiness: makes the wait for the first answer of one start.
    :ivar start_history: past starts and crashes.
    :ivar status_cache: the server's last status.
    :ivar keep_awake_reason: why the operator keeps an idle server running; None: the operator does not.
    :ivar schedule_reason: why the configuration keeps an idle server running now; None: it does not.
    :ivar busy: asks why an idle server without players is to be kept running; fires with None if it is not.
    :ivar lockout: why the server must not be woken now, in the operator's words; None: it may be.
    :ivar stats: counts what happens to the server.
    :ivar on_output: called with each line of the server's output.
    :ivar start_obstacle: why the server must not be started now, judged by its files; None: it may be.
    :ivar listener: who listens on the server's port, for a message; None: not known.
    :ivar player_list: asks the server's console who is on; None: there is no such command.
    :ivar on_address: called with the host and port of the server that runs now; None: those of the configuration.
    :ivar logger: for everything that happens to the server.
    :ivar needs: returns the servers that it needs, and that need it; None: there are none.
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
    wall_clock: Callable[[], float] = lambda: 0.0
    keep_awake_reason: Callable[[], str | None] = lambda: None
    schedule_reason: Callable[[], str | None] = lambda: None
    busy: Callable[[], Deferred[str | None]] = lambda: succeed(None)
    lockout: Callable[[], str | None] = lambda: None
    on_output: Callable[[str], None] = lambda _: None
    listener: Callable[[], str | None] = lambda: None
    player_list: PlayerList | None = None
    on_address: Callable[[tuple[str, int] | None], None] = lambda _: None
    needs: Callable[[], Needs | None] = lambda: None
