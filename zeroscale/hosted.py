"""One server of a running proxy: its life, how clients reach it, and what its operator may do. Put together here.

It listens nowhere: which ports lead to it is `doors`' and `service`'s to know.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from zeroscale import any_server
from zeroscale.access import Names, ServerLists
from zeroscale.bridge import BridgedPlugin
from zeroscale.config import Config, LimitsConfig, ServerConfig
from zeroscale.errors import ConfigError, ControlError
from zeroscale.front.admission import Admission, Limits, Rules
from zeroscale.front.newcomers import Network
from zeroscale.front.place import Place
from zeroscale.front.session import Policy as SessionPolicy
from zeroscale.front.texts import Texts
from zeroscale.plugins import construct, find_plugin
from zeroscale.protocols.base import Treatment
from zeroscale.server.gamefiles import GameFiles, session_lock_holder
from zeroscale.server.gamelists import GameLists
from zeroscale.server.generic_probe import GenericProbe
from zeroscale.server.idle import IdlePolicy
from zeroscale.server.keepfiles import DEFAULT_TEXT, KeepFiles
from zeroscale.server.lifecycle import Lifecycle
from zeroscale.server.mirror import Mirror
from zeroscale.server.parts import Parts, Policy
from zeroscale.server.probe import MinecraftProbe, Readiness
from zeroscale.server.records import Records
from zeroscale.server.scrollback import Scrollback
from zeroscale.server.storage import server_directory
from zeroscale.server.tally import Counts
from zeroscale.server.wishes import Wishes
from zeroscale.status import PlayerReport, ServerReport, Status

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


class Hosted:
    """One server. Implements `control.contract.Server`.

    :ivar config: what it was told.
    :ivar lifecycle: its life.
    :ivar place: how clients reach it.
    :ivar speaks_minecraft: its clients speak Minecraft's protocol.
    """

    def __init__(self, config: ServerConfig, whole: Config, reactor: Any) -> None:
        """Makes it, and touches nothing.

        :raises ZeroscaleError: it cannot be made; the message names what to change.
        """
        self.config = config
        self._whole = whole
        self._reactor = reactor
        self._address = config.server_host, config.server_port
        self._sends = config.proxy_protocol.send
        directory = server_directory(whole.state_directory, config.name)
        self._counts = Counts(Status.stopped, reactor.seconds())
        self._scrollback = Scrollback()
        self._wishes = Wishes(directory, time.time)
        make_plugin = constructor(config, whole)
        plugin = make_plugin()
        self.speaks_minecraft = plugin.speaks_minecraft
        home = home_of(config, whole, plugin)
        self._files = GameFiles(home)
        self._keep_files = KeepFiles(home)
        has_world = self.speaks_minecraft and home != directory
        self._records = Records(directory, home if has_world else None)
        self._mirror = Mirror(directory, lambda: self._files.fallback_status() if self.speaks_minecraft else None)
        self.lifecycle = Lifecycle(config.name, self._policy(plugin), self._parts(plugin, make_plugin))
        self._admission = self._make_admission(config, whole)
        self.place = self._make_place()

    @property
    def name(self) -> str:
        """Its name."""
        return self.config.name

    @property
    def home(self) -> Path:
        """Where its operator's files are; see `home_of`."""
        return self._files.directory

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

    def change(self, config: ServerConfig, whole: Config) -> str | None:
        """It is to be as this says: at once, but for what a running server cannot change.

        :returns: what has changed, in words; None where nothing has.
        :raises ZeroscaleError: it cannot be; then nothing has changed.
        """
        self._whole = whole
        if config == self.config:
            return None
        changed = [name for name in config.__struct_fields__ if getattr(config, name) != getattr(self.config, name)]
        late = [name for name in changed if name in PROCESS_FIELDS]
        if config.proxy_protocol.send == self.config.proxy_protocol.send and "proxy_protocol" in late:
            late.remove("proxy_protocol")  # whose headers are believed is the door's to know
        make_plugin = constructor(config, whole)
        plugin = make_plugin()
        if config.admission != self.config.admission:
            self._admission = self._make_admission(config, whole)
        self.config = config
        self.lifecycle.follow(self._policy(plugin))
        self.place = self._make_place()
        if not late:
            return ", ".join(changed)
        home = home_of(config, whole, plugin)
        if self._files.directory != home:
            self._files = GameFiles(home)
            self._keep_files = KeepFiles(home)
        self.lifecycle.replace_parts(self._parts(plugin, make_plugin), lambda: self._be_another(plugin))
        if self.lifecycle.view.status in (Status.stopped, Status.failed):
            return ", ".join(changed)
        at_once = [name for name in changed if name not in late]
        return ", ".join([*at_once, f"from its next start on {', '.join(late)}"])

    # What its operator may do

    def report(self) -> ServerReport:
        """The server as it is now."""
        now = self._reactor.seconds()
        view = self.lifecycle.view
        seconds = now - view.since
        tally = self._counts.tally(now)
        error = self.lifecycle.last_error
        asks_at = self.lifecycle.asks_at
        return ServerReport(
            name=self.name,
            plugin=self.config.plugin,
            status=view.status,
            seconds=seconds,
            players=tuple(
                PlayerReport(visit.visitor.name, visit.visitor.address, now - visit.joined_at)
                for visit in self.lifecycle.visits
            ),
            waiting=tuple(self.lifecycle.waiting),
            idle_in=None if asks_at is None else max(0.0, asks_at - now),
            kept_awake=self._kept_awake(),
            lockout=view.lockout,
            uptime=seconds if view.status is Status.running else None,
            slept=sum(tally.seconds_in[status] for status in (Status.stopped, Status.paused)),
            last_start=self.lifecycle.last_start,
            estimate=view.estimate,
            retry_in=None if view.retry_at is None else max(0.0, view.retry_at - now),
            last_error=None if error is None else error[0],
            last_error_ago=None if error is None else now - error[1],
            tally=tally,
        )

    def wake(self) -> Deferred[None]:
        """See `control.contract.Server.wake`."""
        return self.lifecycle.start_for_operator()

    def sleep(self, *, now: bool) -> None:
        """See `control.contract.Server.sleep`."""
        view = self.lifecycle.view
        if view.status in (Status.stopped, Status.failed):
            raise ControlError(f"{self.name} does not run: it is {view.status.value}")
        if view.status is Status.stopping:
            return
        if now or view.status is Status.paused:
            self.lifecycle.sleep()
            return
        if view.players:
            raise ControlError(f"{_players(view.players)} on {self.name}: --now stops it all the same")
        kept = self._kept_awake()
        if kept is not None:
            raise ControlError(f"{self.name} is not stopped: {kept}; --now stops it all the same")
        if view.status is Status.starting:
            raise ControlError(f"{self.name} is starting, and somebody waits for it: --now stops it all the same")
        self.lifecycle.reconsider(at_once=True)

    def keep_awake(self, seconds: float | None) -> None:
        """See `control.contract.Server.keep_awake`."""
        self._wishes.keep_awake(seconds)

    def lock_out(self, message: str) -> None:
        """See `control.contract.Server.lock_out`."""
        self._wishes.lock_out(message)

    def release(self) -> None:
        """See `control.contract.Server.release`."""
        self._wishes.release()
        self.lifecycle.forgive_failures()
        self.lifecycle.reconsider()

    def console(self, line: str) -> Deferred[str | None]:
        """See `control.contract.Server.console`."""
        return self.lifecycle.send(line)

    def lines(self) -> Sequence[str]:
        """The last lines of its output."""
        return self._scrollback.lines()

    def follow(self, take_line: Callable[[str], None]) -> Callable[[], None]:
        """See `control.contract.Server.follow`."""
        return self._scrollback.follow(take_line)

    # What it is made of

    def _parts(self, plugin: BridgedPlugin, make_plugin: Callable[[], BridgedPlugin]) -> Parts:
        config, files, keep_files = self.config, self._files, self._keep_files
        minecraft = plugin.speaks_minecraft
        probe = self._probe(minecraft)
        return Parts(
            clock=self._reactor,
            plugin=plugin,
            construct=make_plugin,
            probe=probe,
            readiness=lambda: (
                Readiness(self._reactor, probe, status_disabled=lambda: not files.enable_status)
                if minecraft
                else any_server.readiness(config, self._reactor, probe)
            ),
            records=self._records,
            mirror=self._mirror,
            counts=self._counts,
            output=self._scrollback.add,
            kept_awake=self._kept_awake,
            lockout=lambda: keep_files.lockout() or self._wishes.lockout or self._lockout(),
            obstacle=lambda: _obstacle(files) if minecraft else None,
            moved=lambda address: self._moved(address, probe),
            logger=logging.getLogger(plugin.module),
        )

    def _moved(self, address: tuple[str, int] | None, probe: MinecraftProbe | GenericProbe) -> None:
        """It is reached there now; None: where it was told."""
        self._address = address or (self.config.server_host, self.config.server_port)
        probe.move(*self._address)
        self.place.host, self.place.port = self._address

    def _probe(self, minecraft: bool) -> MinecraftProbe | GenericProbe:
        config, files = self.config, self._files
        if not minecraft:
            return any_server.probe(config, self._reactor)
        return MinecraftProbe(
            self._reactor,
            config.server_host,
            config.server_port,
            header=any_server.probe_header(config),
            status_disabled=lambda: not files.enable_status,
        )

    def _policy(self, plugin: BridgedPlugin) -> Policy:
        config, minecraft = self.config, plugin.speaks_minecraft
        return Policy(
            idle=IdlePolicy(config.idle_shutdown, config.minimum_online_time, short_visits=minecraft),
            pauses=config.idle_action != "stop",
            pause_stop_after=config.pause_stop_after if config.idle_action == "pause+stop" else None,
            start_timeout=config.start_timeout,
            stop_timeout=config.stop_timeout,
            kill_timeout=config.kill_timeout,
            max_crashes=config.max_crashes,
            asks=minecraft,
            ready_line=any_server.ready_line(config) or _pattern(config, plugin.ready_line),
        )

    def _make_place(self) -> Place:
        config = self.config
        return Place(
            self.lifecycle,
            texts(config) if self.speaks_minecraft else any_server.texts(config),
            SessionPolicy(
                holds=config.join == "hold",
                hold_limit=config.start_timeout if config.hold_limit is None else config.hold_limit,
                wake_on_answer=config.wake_after == "answer",
                waiting=config.waiting,
            ),
            self._admission,
            *self._address,
            self._counts,
            Treatment(config.legacy_hold, config.transfer_as_login),
            self._sends,
        )

    def _be_another(self, plugin: BridgedPlugin) -> None:
        self.speaks_minecraft = plugin.speaks_minecraft
        self._address = self.config.server_host, self.config.server_port
        self._sends = self.config.proxy_protocol.send
        self._admission = self._make_admission(self.config, self._whole)
        self.place = self._make_place()

    def _make_admission(self, config: ServerConfig, whole: Config) -> Admission:
        return admission(config, whole, self._files if self.speaks_minecraft else None)

    def _lockout(self) -> str | None:
        """What the configuration has to say to all who come; None where it lets them in."""
        words = self.config.admission.lockout
        return None if words is None else words.strip() or DEFAULT_TEXT

    def _kept_awake(self) -> str | None:
        return self._keep_files.kept_awake() or self._wishes.kept_awake()

    def _warn_of_pausing(self) -> None:
        tick_time = self._files.max_tick_time
        if self.speaks_minecraft and self.config.idle_action != "stop" and tick_time > 0:
            logger.warning(
                "%s says max-tick-time=%d: the server's own watchdog ends it when it is resumed after a pause; "
                "write max-tick-time=-1 there",
                self._files.properties_file,
                tick_time,
            )


def constructor(server: ServerConfig, config: Config) -> Callable[[], BridgedPlugin]:
    """What makes a server's plugin.

    :raises ConfigError: there is no such plugin. What it makes raises that as well, for what does not fit it.
    """
    plugin_class = find_plugin(server.plugin)
    offered: Mapping[str, object] = {
        "working_directory": str(server.directory),
        "server_host": server.server_host,
        "server_port": server.server_port,
        "state_directory": server_directory(config.state_directory, server.name),
    }

    def make() -> BridgedPlugin:
        return BridgedPlugin(construct(plugin_class, server.plugin_positional, server.plugin_keywords, offered))

    return make


def home_of(server: ServerConfig, config: Config, plugin: BridgedPlugin) -> Path:
    """Where the files are by which a server's operator says something: its working directory, if that is here.

    Of a server elsewhere, of which nobody has said that its directory is to be seen here, it is what we keep of it.
    """
    if plugin.is_elsewhere and server.working_directory is None:
        return server_directory(config.state_directory, server.name)
    return server.directory


def texts(server: ServerConfig) -> Texts:
    """What a server's players read.

    :raises ConfigError: a text that cannot be.
    """
    return Texts(server.texts, status_protocol=server.status_protocol, motd=server.motd)


def admission(server: ServerConfig, config: Config, files: GameFiles | None) -> Admission:
    """Who may wake a server.

    :param files: its directory's, where it is a Minecraft server.
    :raises ConfigError: only its players' names could tell, which this kind of server has not.
    """
    asked = server.admission
    if files is None and asked.wake not in ("anyone", "nobody"):
        raise ConfigError(
            f"server {server.name!r}: admission.wake {asked.wake!r} needs a Minecraft server, whose players have "
            "names; for others say 'anyone' or 'nobody', and list addresses in admission.allow or admission.deny"
        )
    return Admission(
        Rules(asked.wake, asked.server_lists, Names(asked.allow), Names(asked.deny)),
        Limits(asked.status_per_minute, asked.logins_per_minute, asked.wakes_per_minute),
        lists=ServerLists if files is None else GameLists(files).read,
        wall_clock=time.time,
        trusted=trusted(config.limits),
    )


def trusted(limits: LimitsConfig) -> Sequence[Network]:
    """The networks that have no limit for each address."""
    return [ipaddress.ip_network(network, strict=False) for network in limits.trusted]


def accept_from(server: ServerConfig) -> Sequence[Network]:
    """The networks that have to send PROXY headers."""
    return [ipaddress.ip_network(network, strict=False) for network in server.proxy_protocol.accept_from]


def health_check(server: ServerConfig) -> Sequence[Network]:
    """The networks that only look whether anybody listens."""
    return [ipaddress.ip_network(network, strict=False) for network in server.health_check]


def _pattern(server: ServerConfig, ready_line: str | None) -> re.Pattern[str] | None:
    if ready_line is None:
        return None
    try:
        return re.compile(ready_line)
    except re.error as error:
        raise ConfigError(f"server {server.name!r}: ready_line is no regular expression: {error}") from None


def _obstacle(files: GameFiles) -> str | None:
    holder = session_lock_holder(files.level_directory)
    if holder is None:
        return None
    who = f"process {holder}" if holder else "another process"
    return f"{who} has this world open (it holds {files.level_directory / 'session.lock'}): stop that server first"


def _players(number: int) -> str:
    return "one player is" if number == 1 else f"{number} players are"
