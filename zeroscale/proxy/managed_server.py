"""One server of a running proxy: its life, how clients reach it, and what its operator may do. Put together here.

It listens nowhere: which ports lead to it is `doors`' and `service`'s to know.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from zeroscale.config.model import Config, ServerConfig
from zeroscale.errors import ControlError
from zeroscale.frontend.admission import Admission
from zeroscale.frontend.interfaces import Backend
from zeroscale.frontend.messages import Messages
from zeroscale.lifecycle.interfaces import LifecycleDependencies, LifecyclePolicy
from zeroscale.lifecycle.lifecycle import ServerLifecycle
from zeroscale.lifecycle.output_buffer import OutputBuffer
from zeroscale.lifecycle.plugin_adapter import PluginAdapter
from zeroscale.lifecycle.stats import StatsRecorder
from zeroscale.minecraft.server_files import ServerFiles, session_lock_holder
from zeroscale.probes.minecraft import MinecraftProbe
from zeroscale.probes.readiness import Readiness
from zeroscale.probes.tcp import TcpProbe
from zeroscale.proxy import tcp_factory as any_server
from zeroscale.proxy.factory import admission, constructor, home_of, minecraft_options, policy, session_policy, texts
from zeroscale.reports import PlayerReport, ServerReport
from zeroscale.state.flag_files import DEFAULT_TEXT, FlagFiles
from zeroscale.state.operator_overrides import OperatorOverrides
from zeroscale.state.start_history import StartHistory
from zeroscale.state.status_cache import StatusCache
from zeroscale.status import Status
from zeroscale.system.files import server_directory

logger = logging.getLogger(__name__)

PROCESS_FIELDS = (
    "plugin",
    "plugin_positional",
    "plugin_keywords",
    "working_directory",
    "server_host",
    "server_port",
    "proxy_protocol",
    "ready",
)
"""What a running server cannot change: it is another one once it has stopped."""


@dataclass(frozen=True, slots=True)
class Change:
    """What one server is to be from now on, made by `Hosted.prepare`. All that can fail has not.

    :ivar config: what it is told.
    :ivar whole: what the whole proxy is told.
    :ivar plugin: the plugin that it is to have.
    :ivar make_plugin: makes one more.
    :ivar policy: how it is to be treated.
    :ivar texts: what its players are to read.
    :ivar admission: who may come.
    :ivar changed: the fields that are not what they were.
    :ivar late: those of them that a running server cannot change.
    """

    config: ServerConfig
    whole: Config
    plugin: PluginAdapter
    make_plugin: Callable[[], PluginAdapter]
    policy: LifecyclePolicy
    texts: Messages
    admission: Admission
    changed: Sequence[str]
    late: Sequence[str]


class Hosted:
    """One server. Implements `control.contract.Server`.

    :ivar config: what it was told.
    :ivar lifecycle: its life.
    :ivar place: how clients reach it.
    :ivar speaks_minecraft: its clients speak Minecraft's protocol.
    :ivar address: where its server listens, as far as it was told: the one that runs, where one does.
    :ivar is_to_be_another: what it was told last cannot be before the one that runs has stopped.
    :ivar on_another: called when it is, then.
    """

    def __init__(self, config: ServerConfig, whole: Config, reactor: Any) -> None:
        """Makes it, and touches nothing.

        :raises ZeroscaleError: it cannot be made; the message names what to change.
        """
        self.config = config
        self._whole = whole
        self._reactor = reactor
        directory = server_directory(whole.state_directory, config.name)
        self._counts = StatsRecorder(Status.stopped, reactor.seconds())
        self._scrollback = OutputBuffer()
        self._wishes = OperatorOverrides(directory, time.time)
        make_plugin = constructor(config, whole)
        plugin = make_plugin()
        self.speaks_minecraft = plugin.speaks_minecraft
        self.is_to_be_another = False
        self.on_another: Callable[[], None] = lambda: None
        self.address = config.server_host, config.server_port
        self._files, self._keep_files = self._files_of(home_of(config, whole, plugin))
        self._records = StartHistory(directory, self._world(plugin, self._files))
        self._mirror = StatusCache(directory, lambda: self._files.fallback_status() if self.speaks_minecraft else None)
        parts = self._parts(config, plugin, make_plugin, self._files, self._keep_files)
        self.lifecycle = ServerLifecycle(config.name, policy(config, plugin), parts)
        self.place = Backend(
            self.lifecycle,
            texts(config) if self.speaks_minecraft else any_server.texts(config),
            session_policy(config),
            admission(config, whole, self._files if self.speaks_minecraft else None),
            *self.address,
            self._counts,
            minecraft_options(config),
            config.proxy_protocol.send,
        )

    @property
    def name(self) -> str:
        """Its name."""
        return self.config.name

    @property
    def home(self) -> Path:
        """Where its operator's files are; see `home_of`."""
        return self._files.directory

    @property
    def is_down(self) -> bool:
        """It does not run, so that it can be another one at once."""
        return self.lifecycle.view.status in (Status.stopped, Status.failed)

    @property
    def is_running(self) -> bool:
        """Clients can be on it."""
        return self.lifecycle.view.status is Status.running

    # Its beginning and its end

    def open(self) -> None:
        """Takes the server's locks, and reads what is kept of it.

        :raises ZeroscaleError: somebody else has them.
        """
        self._records.open()
        self._wishes.open()
        self._warn_of_pausing()

    def close(self) -> Deferred[None]:
        """Has the server stopped, or left as it is, as was asked; fires when that is done."""
        return self.lifecycle.close(leave=self.config.on_exit == "leave")

    def let_go(self) -> None:
        """Gives the server's locks back."""
        self._mirror.flush()
        self._wishes.close()
        self._records.close()

    def prepare(self, config: ServerConfig, whole: Config) -> Change | None:
        """It is to be as this says: sees whether it can, and changes nothing.

        :returns: what `become` does; None: it is so already.
        :raises ZeroscaleError: it cannot be.
        """
        if config == self.config:
            return None
        changed = [name for name in config.__struct_fields__ if getattr(config, name) != getattr(self.config, name)]
        late = [name for name in changed if name in PROCESS_FIELDS]
        if config.proxy_protocol.send == self.config.proxy_protocol.send and "proxy_protocol" in late:
            late.remove("proxy_protocol")  # whose headers are believed is the door's to know
        make_plugin = constructor(config, whole)
        plugin = make_plugin()
        minecraft = plugin.speaks_minecraft
        files = ServerFiles(home_of(config, whole, plugin)) if minecraft else None
        return Change(
            config=config,
            whole=whole,
            plugin=plugin,
            make_plugin=make_plugin,
            policy=policy(config, plugin),
            texts=texts(config) if minecraft else any_server.texts(config),
            admission=admission(config, whole, files),
            changed=changed,
            late=late,
        )

    def become(self, change: Change) -> str:
        """Is so from now on, at once but for what a running server cannot change.

        :returns: what has changed, in words.
        """
        former, self.config, self._whole = self.config, change.config, change.whole
        if change.late:
            self.is_to_be_another = True
            config, plugin = change.config, change.plugin
            files = self._files_of(home_of(config, change.whole, plugin))
            parts = self._parts(config, plugin, change.make_plugin, *files)
            self.lifecycle.replace_dependencies(parts, lambda: self._be_another(change, *files))
        if self.is_to_be_another and change.plugin.speaks_minecraft != self.speaks_minecraft:
            # Even what could change at once would be for another protocol than is spoken there now.
            return f"from its next start on {', '.join(change.changed)}"
        self.lifecycle.apply_policy(change.policy)
        self.place.messages = change.texts
        self.place.policy = session_policy(change.config)
        self.place.minecraft_options = minecraft_options(change.config)
        if change.config.admission != former.admission:
            self.place.admission = change.admission
        late = change.late if self.is_to_be_another else ()
        at_once = [name for name in change.changed if name not in late]
        return ", ".join([*at_once, f"from its next start on {', '.join(late)}"] if late else at_once)

    # What its operator may do

    def report(self) -> ServerReport:
        """The server as it is now."""
        now = self._reactor.seconds()
        view = self.lifecycle.view
        seconds = now - view.since
        tally = self._counts.snapshot(now)
        error = self.lifecycle.last_error
        asks_at = self.lifecycle.idle_check_at
        return ServerReport(
            name=self.name,
            plugin=self.config.plugin,
            status=view.status,
            status_age=seconds,
            players=tuple(
                PlayerReport(session.client.name, session.client.address, now - session.joined_at)
                for session in self.lifecycle.sessions
            ),
            waiting=tuple(self.lifecycle.waiting),
            idle_in=None if asks_at is None else max(0.0, asks_at - now),
            keep_awake_reason=self._kept_awake(),
            lockout=view.lockout,
            uptime=seconds if view.status is Status.running else None,
            slept=sum(tally.seconds_by_status[status] for status in (Status.stopped, Status.paused)),
            last_start=self.lifecycle.last_start,
            estimate=view.estimate,
            retry_in=None if view.retry_at is None else max(0.0, view.retry_at - now),
            last_error=None if error is None else error[0],
            last_error_ago=None if error is None else now - error[1],
            stats=tally,
        )

    def wake(self) -> Deferred[None]:
        """See `control.contract.Server.wake`."""
        return self.lifecycle.start_for_operator()

    def sleep(self, *, now: bool) -> None:
        """See `control.contract.Server.sleep`."""
        view = self.lifecycle.view
        if view.status in (Status.stopped, Status.failed):
            raise ControlError(f"{self.name} does not run: it is {view.status.value}")
        if now or view.status is Status.paused:
            self.lifecycle.sleep()  # also one that stops: nobody is waited for who would have it start again
            return
        if view.status is Status.stopping:
            return
        if view.players:
            raise ControlError(f"{_players(view.players)} on {self.name}: --now stops it all the same")
        kept = self._kept_awake()
        if kept is not None:
            raise ControlError(f"{self.name} is not stopped: {kept}; --now stops it all the same")
        if view.status is Status.starting:
            raise ControlError(f"{self.name} is starting, and somebody waits for it: --now stops it all the same")
        self.lifecycle.restart_idle_timer(at_once=True)

    def keep_awake(self, seconds: float | None) -> None:
        """See `control.contract.Server.keep_awake`."""
        self._wishes.keep_awake(seconds)

    def lock_out(self, message: str) -> None:
        """See `control.contract.Server.lock_out`."""
        self._wishes.lock_out(message)

    def release(self) -> None:
        """See `control.contract.Server.release`."""
        self._wishes.release()
        self.lifecycle.allow_retry()
        self.lifecycle.restart_idle_timer()

    def console(self, line: str) -> Deferred[str | None]:
        """See `control.contract.Server.console`."""
        return self.lifecycle.send(line)

    def recent_output(self) -> Sequence[str]:
        """The last lines of its output."""
        return self._scrollback.lines()

    def subscribe_output(self, take_line: Callable[[str], None]) -> Callable[[], None]:
        """See `control.contract.Server.follow`."""
        return self._scrollback.subscribe(take_line)

    # What it is made of

    def _files_of(self, home: Path) -> tuple[ServerFiles, FlagFiles]:
        return ServerFiles(home), FlagFiles(home)

    def _world(self, plugin: PluginAdapter, files: ServerFiles) -> Path | None:
        """The world that only one server may have; None where it has none, or only we keep anything of it."""
        kept = server_directory(self._whole.state_directory, self.name)
        return files.directory if plugin.speaks_minecraft and files.directory != kept else None

    def _parts(
        self,
        config: ServerConfig,
        plugin: PluginAdapter,
        make_plugin: Callable[[], PluginAdapter],
        files: ServerFiles,
        keep_files: FlagFiles,
    ) -> LifecycleDependencies:
        minecraft = plugin.speaks_minecraft
        probe = self._probe(config, files if minecraft else None)
        told = config.server_host, config.server_port
        return LifecycleDependencies(
            clock=self._reactor,
            plugin=plugin,
            make_plugin=make_plugin,
            probe=probe,
            make_readiness=lambda: (
                Readiness(self._reactor, probe, status_disabled=lambda: not files.enable_status)
                if minecraft
                else any_server.readiness(config, self._reactor, probe)
            ),
            start_history=self._records,
            status_cache=self._mirror,
            stats=self._counts,
            on_output=self._scrollback.add,
            keep_awake_reason=self._kept_awake,
            lockout=lambda: keep_files.lockout() or self._wishes.lockout or self._lockout(),
            start_obstacle=lambda: self._records.world_lock_error() or (_obstacle(files) if minecraft else None),
            on_address=lambda address: self._moved(address or told, probe),
            logger=logging.getLogger(plugin.module),
        )

    def _moved(self, address: tuple[str, int], probe: MinecraftProbe | TcpProbe) -> None:
        """It is reached there now; also by those who have waited since before."""
        probe.set_address(*address)
        self.place.host, self.place.port = address

    def _probe(self, config: ServerConfig, files: ServerFiles | None) -> MinecraftProbe | TcpProbe:
        if files is None:
            return any_server.probe(config, self._reactor)
        return MinecraftProbe(
            self._reactor,
            config.server_host,
            config.server_port,
            header=any_server.probe_header(config),
            status_disabled=lambda: not files.enable_status,
        )

    def _be_another(self, change: Change, files: ServerFiles, keep_files: FlagFiles) -> None:
        """The one that ran is gone. What has been said since of the rest counts."""
        latest = self.config
        self.speaks_minecraft = change.plugin.speaks_minecraft
        self.is_to_be_another = False
        self._files, self._keep_files = files, keep_files
        self._records.set_world_directory(self._world(change.plugin, files))
        self.address = self.place.host, self.place.port = change.config.server_host, change.config.server_port
        self.place.proxy_version = change.config.proxy_protocol.send
        self.lifecycle.apply_policy(policy(latest, change.plugin))
        self.place.messages = texts(latest) if self.speaks_minecraft else any_server.texts(latest)
        self.place.policy = session_policy(latest)
        self.place.minecraft_options = minecraft_options(latest)
        self.place.admission = admission(latest, self._whole, files if self.speaks_minecraft else None)
        self.on_another()

    def _lockout(self) -> str | None:
        """What the configuration has to say to all who come; None where it lets them in."""
        words = self.config.admission.lockout
        return None if words is None else words.strip() or DEFAULT_TEXT

    def _kept_awake(self) -> str | None:
        return self._keep_files.keep_awake_reason() or self._wishes.keep_awake_reason()

    def _warn_of_pausing(self) -> None:
        tick_time = self._files.max_tick_time
        if self.speaks_minecraft and self.config.idle_action != "stop" and tick_time > 0:
            logger.warning(
                "%s says max-tick-time=%d: the server's own watchdog ends it when it is resumed after a pause; "
                "write max-tick-time=-1 there",
                self._files.properties_file,
                tick_time,
            )


def _obstacle(files: ServerFiles) -> str | None:
    holder = session_lock_holder(files.level_directory)
    if holder is None:
        return None
    who = f"process {holder}" if holder else "another process"
    return f"{who} has this world open (it holds {files.level_directory / 'session.lock'}): stop that server first"


def _players(number: int) -> str:
    return "one player is" if number == 1 else f"{number} players are"
