"""One server of a running proxy: its lifecycle, its backend for clients, its files, and the operator's commands.

Assembled here. The ports that lead to it are in `ports`, changes of its configuration in `reconfigure`.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace
from twisted.internet.defer import Deferred

from zeroscale.config.model import Config, PortConfig, ServerConfig
from zeroscale.errors import ControlError
from zeroscale.events import Cause, CauseKind
from zeroscale.frontend.interfaces import Backend
from zeroscale.lifecycle.interfaces import LifecycleDependencies
from zeroscale.lifecycle.lifecycle import ServerLifecycle
from zeroscale.lifecycle.output_buffer import OutputBuffer
from zeroscale.lifecycle.stats import StatsRecorder
from zeroscale.protocols.minecraft import player_list
from zeroscale.proxy.busy_check import BusyCheck
from zeroscale.proxy.factory import ServerSettings, port_protocol, server_settings
from zeroscale.proxy.plugin_setup import PluginSetup
from zeroscale.proxy.server_port import ServerPort
from zeroscale.proxy.server_report import server_report
from zeroscale.proxy.stop_planner import StopPlanner
from zeroscale.reactor import Reactor
from zeroscale.reports import ServerReport
from zeroscale.state.operator_overrides import OperatorOverrides
from zeroscale.state.start_history import LOCK, StartHistory
from zeroscale.state.status_cache import StatusCache
from zeroscale.status import Status
from zeroscale.system.background_file import FileWriter
from zeroscale.system.files import server_directory

if TYPE_CHECKING:
    from zeroscale.proxy.answer_capture import AnswerCapture
    from zeroscale.proxy.needs import ServerNeeds
    from zeroscale.proxy.server_schedule import ServerSchedule
    from zeroscale.state.answer_cache import AnswerCache

logger = logging.getLogger("zeroscale.proxy")

SAY = "say {text}"
"""The command of a Minecraft server's console that tells all players a text."""


class ManagedServer:
    """One server. Implements `control.interfaces.ServerControl`.

    The constructor does no I/O.

    :param config: the server's configuration.
    :param proxy_config: the proxy's configuration.
    :param reactor: the clock; connects the probe.
    :param writer: writes the server's state.
    :raises ZeroscaleError: the configuration cannot be used; the message names what to change.
    :ivar config: the latest configuration of the server.
    :ivar proxy_config: the configuration of the proxy that came with it.
    :ivar lifecycle: the state machine of the server.
    :ivar ports: its ports, the main one first.
    :ivar stop_planner: plans stops of which the players are warned.
    :ivar added_at: since when zeroscale has looked after it, by the monotonic clock.
    :ivar restart_pending: a part of `config` takes effect only once the running server has stopped.
    :ivar on_replaced: called when that part has taken effect.
    :ivar needs: the servers that it needs, and that need it; None: no server has `needs`.
    """

    def __init__(self, config: ServerConfig, proxy_config: Config, reactor: Reactor, writer: FileWriter) -> None:
        self.config = config
        self.proxy_config = proxy_config
        self.restart_pending = False
        self.on_replaced: Callable[[], None] = _do_nothing
        self.added_at = reactor.seconds()
        self.needs: ServerNeeds | None = None
        self._reactor = reactor
        self._writer = writer
        self._answers: AnswerCache | None = None
        self._setup = setup = PluginSetup(config, proxy_config, reactor)
        self._address = setup.address
        directory = self._directory = server_directory(proxy_config.state_directory, config.name)
        self._stats = StatsRecorder(Status.stopped, reactor.seconds())
        self._output = OutputBuffer()
        self._overrides = OperatorOverrides(directory, writer, time.time, self._view_changed)
        self._start_history = StartHistory(directory, writer, setup.world_directory, self._view_changed)
        self._busy_check = BusyCheck(reactor.seconds)
        self._status_cache = StatusCache(directory, writer, self._fallback_status, self._view_changed)
        self._schedule: ServerSchedule | None = None
        self._capture: AnswerCapture | None = None
        settings = server_settings(config, proxy_config, setup.plugin, setup.player_lists)
        self.lifecycle = ServerLifecycle(config.name, settings.policy, self.dependencies(setup))
        self.lifecycle.add_event_observer(self._start_history.record_event, clients=False)
        main = settings.ports[0]
        backend = Backend(
            self.lifecycle,
            main.messages,
            main.join_policy,
            main.admission,
            *setup.address,
            self._stats,
            main.minecraft_options,
            config.proxy_protocol.send,
            self._start_history.record_player,
        )
        self.ports: Sequence[ServerPort] = [ServerPort(self, config.all_ports[0], backend)]
        self._ports = {("", 0): self.ports[0]}
        self.ports = self.ports_of(config)
        for port, port_settings in zip(self.ports, settings.ports, strict=True):
            port.apply(port_settings)
        self.stop_planner = StopPlanner(
            config,
            self.lifecycle,
            reactor,
            time.time,
            self._overrides,
            self._stop_warning,
            self._view_changed,
            lambda: () if self.needs is None else self.needs.users(),
        )
        self._configure_schedule()
        self._configure_capture()

    @property
    def name(self) -> str:
        """The server's name."""
        return self.config.name

    @property
    def former_name(self) -> str:
        """See `ServerControl.former_name`."""
        return self.config.former_name

    @property
    def reactor(self) -> Reactor:
        """The reactor that it runs on."""
        return self._reactor

    @property
    def speaks_minecraft(self) -> bool:
        """Whether the current plugin's server speaks the Minecraft protocol."""
        return self._setup.speaks_minecraft

    @property
    def speaks_http(self) -> bool:
        """Whether the current plugin says that its server speaks HTTP."""
        return self._setup.plugin.speaks_http

    @property
    def backend(self) -> Backend:
        """The server as the frontend sees it on its main port."""
        return self.ports[0].backend

    @property
    def answers(self) -> AnswerCache:
        """The last answers of the real server to queries over UDP."""
        if self._answers is None:
            from zeroscale.state.answer_cache import AnswerCache

            self._answers = AnswerCache(self._directory, self._writer)
        return self._answers

    def protocol_of(self, port: PortConfig) -> str:
        """Return what clients of a port speak; see `config.model.PortProtocol`."""
        return port_protocol(port, self._setup.plugin)

    def ports_of(self, config: ServerConfig) -> Sequence[ServerPort]:
        """Return the ports of a configuration that it has, or will have; one that is there already is the same object.

        A new one is listened on before `apply_settings` is called. Until then it has the settings of the main port, but
        wakes nothing and keeps nothing running.
        """
        seen: Counter[str] = Counter()
        ports: list[ServerPort] = []
        for port in config.all_ports:
            listen = "" if port.is_main else " ".join(port.listen)
            ports.append(self._port((listen, seen[listen]), port))
            seen[listen] += 1  # two with the same may differ by their hosts
        return ports

    def _port(self, key: tuple[str, int], config: PortConfig) -> ServerPort:
        port = self._ports.get(key)
        if port is None:
            backend = copy(self.backend)
            backend.proxy_version = config.send_proxy_protocol
            backend.listen = ", ".join(config.listen)
            backend.clients = 0
            backend.policy, backend.counts = replace(backend.policy, wakes=False), False
            port = self._ports[key] = ServerPort(self, config, backend)
            port.use_address(*self._address)
        return port

    @property
    def controls(self) -> Mapping[str, bool]:
        """What the current plugin starts and stops; see `plugins.api.ControlsOthers`."""
        return self._setup.plugin.controls

    @property
    def address(self) -> tuple[str, int]:
        """Configured host and port of the server that runs now, or would be started next."""
        return self._setup.address

    @property
    def needed_names(self) -> Sequence[str]:
        """The names of the servers that it needs."""
        return self.config.needs

    @property
    def is_left_at_exit(self) -> bool:
        """Whether it is left running when zeroscale exits, as far as that depends on itself."""
        return self.config.on_exit == "leave" and self.lifecycle.can_be_left

    @property
    def directory(self) -> Path:
        """Directory with the operator's files; see `factory.operator_directory`."""
        return self._setup.files.directory

    @property
    def is_down(self) -> bool:
        """Whether the server is stopped or failed, so that any change takes effect at once."""
        return self.lifecycle.view.status in (Status.stopped, Status.failed)

    @property
    def is_running(self) -> bool:
        """Whether clients can be connected to it."""
        return self.lifecycle.view.status is Status.running

    # Startup and shutdown

    def take_locks(self) -> None:
        """Take the server's locks, and read its state directory, which may have had another name.

        :raises ZeroscaleError: another process holds one of the locks.
        """
        if self.config.former_name:
            from zeroscale.process.former_directory import take_over

            state = self.proxy_config.state_directory
            take_over(state / self.config.former_name, self._directory, LOCK)
        self._start_history.open()
        self._overrides.open()
        self.stop_planner.open()
        self._warn_of_watchdog()

    async def open(self) -> None:
        """Adopt a server that still runs; from now on it may be started."""
        await self.lifecycle.open()
        if self._schedule is not None:
            self._schedule.start()

    def retire(self) -> Deferred[None]:
        """See `ServerLifecycle.retire`."""
        if self._schedule is not None:
            self._schedule.stop()
        self.stop_planner.retire()
        return self.lifecycle.retire()

    def reinstate(self) -> bool:
        """See `ServerLifecycle.reinstate`."""
        is_back = self.lifecycle.reinstate()
        if is_back:
            self.stop_planner.configure(self.config)
            if self._schedule is not None:
                self._schedule.start()
        return is_back

    def close(self) -> Deferred[None]:
        """Stop the server, or leave it running if `on_exit` says so; fires when that is done."""
        if self._schedule is not None:
            self._schedule.stop()
        self.stop_planner.close()
        leave = self.config.on_exit == "leave"
        if leave and self.needs is not None and (stopped := self.needs.stopped_at_exit()):
            logger.warning("%s is stopped, not left running: it needs %s", self.name, ", ".join(stopped))
            leave = False
        return self.lifecycle.close(leave=leave)

    def release_locks(self) -> None:
        """Write what is buffered, and release the server's locks."""
        self._status_cache.flush()
        self._overrides.close()
        self._start_history.close()

    # Used by reconfigure

    def dependencies(self, setup: PluginSetup) -> LifecycleDependencies:
        """Return what the lifecycle needs to run the server of `setup`."""
        setup.player_protocol = lambda: self._start_history.player_protocol
        setup.answers = lambda: self.answers
        return LifecycleDependencies(
            clock=self._reactor,
            wall_clock=time.time,
            plugin=setup.plugin,
            make_plugin=setup.make_plugin,
            probe=setup.probe,
            make_readiness=setup.make_readiness,
            start_history=self._start_history,
            status_cache=self._status_cache,
            stats=self._stats,
            on_output=self._output.add,
            keep_awake_reason=self._operators_keep_awake_reason,
            schedule_reason=self._schedule_reason,
            busy=lambda: self._busy_check.ask(self.config),
            lockout=partial(self._lockout, setup),
            start_obstacle=partial(self._start_obstacle, setup),
            listener=setup.listener,
            player_list=player_list if setup.speaks_minecraft else None,
            on_address=partial(self._set_address, setup),
            logger=logging.getLogger("zeroscale.server"),
            needs=lambda: self.needs,
        )

    def use_config(self, config: ServerConfig, proxy_config: Config) -> None:
        """Use another configuration; what depends on `settings` or on a plugin is changed by the two below."""
        self.config, self.proxy_config = config, proxy_config
        self.ports = self.ports_of(config)
        for port, port_config in zip(self.ports, config.all_ports, strict=True):
            port.use_config(port_config)
            port.use_address(*self._address)
        self._ports = {key: port for key, port in self._ports.items() if port in self.ports}
        self._configure_schedule()
        if self._schedule is not None:
            self._schedule.start()
        self.stop_planner.configure(config)
        self._view_changed()

    def use_setup(self, setup: PluginSetup) -> None:
        """Use another plugin from now on; the server is down."""
        self._setup = setup
        self._configure_capture()
        self._view_changed()
        self._start_history.set_world_directory(setup.world_directory)
        self._use_address(setup.address)
        self.backend.proxy_version = setup.config.proxy_protocol.send

    def apply_settings(self, settings: ServerSettings, *, admission: bool) -> None:
        """Apply settings at once.

        :param admission: also replace the admission rules, which resets their rate limits.
        """
        self.lifecycle.apply_policy(settings.policy)
        for port, port_settings in zip(self.ports, settings.ports, strict=True):
            port.apply(port_settings, admission=admission)
        self._view_changed()

    # Operator commands

    def report(self) -> ServerReport:
        """Return the current state of the server."""
        self._view_changed()  # an operator who has just laid down a flag file sees its effect
        now = self._reactor.seconds()
        return server_report(
            self.lifecycle,
            self.config,
            [port.report() for port in self.ports],
            self._stats.snapshot(now),
            self._start_history.last_events,
            now,
            time.time(),
            keep_awake_reason=self._keep_awake_reason() or self._needed_text(),
            keep_asleep_reason=self.lockout_source,
            planned_stops=self.stop_planner.planned,
        )

    def wake(self, *, force: bool = False, operator: str = "") -> Deferred[None]:
        """See `ServerControl.wake`."""
        self._view_changed()
        if not force and self.lifecycle.view.status not in (Status.running, Status.starting):
            source = self.lockout_source
            if source is not None:
                raise ControlError(f"{self.name} is not started: {source}; use --force to start it anyway")
        return self.lifecycle.start_for_operator(Cause(CauseKind.operator, operator=operator))

    def sleep(self, *, now: bool, operator: str = "") -> None:
        """See `ServerControl.sleep`."""
        self._view_changed()  # players who have just joined count, too
        view = self.lifecycle.view
        cause = Cause(CauseKind.operator, operator=operator)
        if view.status in (Status.stopped, Status.failed):
            raise ControlError(f"{self.name} does not run: it is {view.status.value}")
        if now or view.status is Status.paused:
            self.lifecycle.sleep(cause)  # also while it stops: players waiting for the next start must not start it
            return
        if view.status is Status.stopping:
            return
        if view.players:
            raise ControlError(f"{_players(view.players)} on {self.name}: use --now to stop it anyway")
        needed = self._needed_text()
        if needed is not None and self.needs is not None and not self.needs.are_dependents_put_to_sleep:
            raise ControlError(f"{self.name} is not stopped: {needed}; use --now to stop that first, and then this one")
        reason = self._keep_awake_reason()
        if reason is None and view.status is Status.starting:
            reason = self.lifecycle.awake_reasons[0].text
        if reason is not None:
            raise ControlError(f"{self.name} is not stopped: {reason}; use --now to stop it anyway")
        self.lifecycle.sleep_once_not_needed(cause)

    def plan_stop(self, *, after: float | None = None, at: str | None = None, operator: str = "") -> None:
        """See `ServerControl.plan_stop`."""
        if at is not None:
            self.stop_planner.plan_at(at, operator)
        elif after is not None:
            self.stop_planner.plan_after(after, operator)

    def warn_players(self, seconds: float, restart: bool) -> Deferred[object]:
        """See `StopPlanner.warn_players`."""
        return self.stop_planner.warn_players(seconds, restart)

    def cancel_stop(self) -> None:
        """See `ServerControl.cancel_stop`."""
        if not self.stop_planner.cancel():
            if self.stop_planner.planned:
                raise ControlError(f"its schedule stops {self.name}: use keep-awake to keep it running")
            raise ControlError(f"no stop of {self.name} is planned")

    def keep_awake(self, seconds: float | None, *, operator: str = "") -> None:
        """See `ServerControl.keep_awake`."""
        self._overrides.keep_awake(seconds, operator)
        if self._schedule is not None:
            self._schedule.look()

    def lock_out(self, message: str, *, operator: str = "") -> None:
        """See `ServerControl.lock_out`."""
        self._overrides.lock_out(message, operator)

    def release(self) -> None:
        """See `ServerControl.release`."""
        self.stop_planner.release()
        self._overrides.release()
        self.lifecycle.allow_retry()
        self.lifecycle.restart_idle_timer()
        if self._schedule is not None:
            self._schedule.look()
        if self.needs is not None:
            self.needs.look()

    def console(self, line: str) -> Deferred[str | None]:
        """See `ServerControl.console`."""
        return self.lifecycle.send(line)

    def recent_output(self) -> Sequence[str]:
        """See `ServerControl.recent_output`."""
        return self._output.lines()

    def subscribe_output(self, receive: Callable[[str], None]) -> Callable[[], None]:
        """See `ServerControl.subscribe_output`."""
        return self._output.subscribe(receive)

    # For the lifecycle

    def _view_changed(self) -> None:
        self.lifecycle.look_again()

    def _set_address(self, setup: PluginSetup, address: tuple[str, int] | None) -> None:
        host, port = address or setup.address
        setup.probe.set_address(host, port)
        self._use_address((host, port))

    def _use_address(self, address: tuple[str, int]) -> None:
        self._address = address
        for port in self.ports:
            port.use_address(*address)

    def _configure_schedule(self) -> None:
        config = self.config
        if self._schedule is not None:
            self._schedule.configure(config)
        elif config.keep_awake or config.keep_asleep:
            from zeroscale.proxy.server_schedule import ServerSchedule

            self._schedule = ServerSchedule(
                config,
                self.lifecycle,
                self._reactor,
                time.time,
                self._overrides,
                self.stop_planner,
                self._operators_keep_awake_reason,
            )

    def _configure_capture(self) -> None:
        if self._capture is None and self._setup.queried is not None:
            from zeroscale.proxy.answer_capture import AnswerCapture

            self._capture = AnswerCapture(self._reactor, self._ask_for_answers)
            self.lifecycle.add_observer(self._capture.status_changed)

    def _ask_for_answers(self) -> None:
        if self._setup.queried is not None:
            self._setup.queried.refresh()

    def _keep_awake_reason(self) -> str | None:
        return self._operators_keep_awake_reason() or self._schedule_reason()

    def _needed_text(self) -> str | None:
        names = self.lifecycle.needed_by
        return f"needed by {', '.join(names)}" if names else None

    def _schedule_reason(self) -> str | None:
        return None if self._schedule is None else self._schedule.keep_awake_reason()

    def _operators_keep_awake_reason(self) -> str | None:
        return self._setup.flag_files.keep_awake_reason() or self._overrides.keep_awake_reason()

    def _lockout(self, setup: PluginSetup) -> str | None:
        for text, _ in self._lockouts(setup):
            return text.strip() or self.backend.messages.lockout_reason
        return None

    def _lockouts(self, setup: PluginSetup) -> Iterator[tuple[str, str]]:
        """Return what keeps the server asleep, the first of which counts.

        :returns: of each the text for players, "" for the default text, and what it is, for the operator.
        """
        if (text := setup.flag_files.lockout()) is not None:
            yield text, f"{setup.flag_files.keep_asleep} exists"
        if (text := self._overrides.lockout) is not None:
            yield text, f"locked out by {self._overrides.lockout_by} (zeroscalectl release undoes that)"
        if (text := self.config.admission.lockout) is not None:
            yield text, "admission.lockout is configured"
        if self._schedule is not None and (asleep := self._schedule.asleep_until()) is not None:
            until, reason = asleep
            yield self.backend.messages.keep_asleep_reason(until), reason

    @property
    def lockout_source(self) -> str | None:
        """What locks it out, or a server that it needs, for the operator; None: nothing does."""
        for _, source in self._lockouts(self._setup):
            return source
        return None if self.needs is None or not self.is_down else self.needs.lockout_source

    def _stop_warning(self, seconds: float, restart: bool) -> str | None:
        command = self.config.stop_warning_command or (SAY if self.speaks_minecraft else None)
        text = self.backend.messages.stop_warning(seconds, restart=restart)
        return None if command is None else command.replace("{text}", text)

    def _start_obstacle(self, setup: PluginSetup) -> str | None:
        return self._start_history.lock_error() or setup.start_obstacle()

    def _fallback_status(self) -> Mapping[str, object] | None:
        return self._setup.files.fallback_status() if self.speaks_minecraft else None

    def _warn_of_watchdog(self) -> None:
        files = self._setup.files
        tick_time = files.max_tick_time
        if self.speaks_minecraft and self.config.idle_action != "stop" and tick_time > 0:
            logger.warning(
                "%s sets max-tick-time=%d: the server's watchdog ends it when it is resumed after a pause; "
                "write max-tick-time=-1 there",
                files.properties_file,
                tick_time,
            )


def _do_nothing() -> None:
    pass


def _players(number: int) -> str:
    return "one player is" if number == 1 else f"{number} players are"
