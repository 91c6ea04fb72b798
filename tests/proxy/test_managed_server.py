"""One server: its reports, and the operator's commands."""

from __future__ import annotations

import asyncio
import os
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_twisted
from datagram_server import INFO, RULES, serving, source
from harness import DEADLINE, FakeReactor, client, greeting, proxy_config, run, running_reactor, stub_config, until
from ports import free_port, free_ports
from stub_server import OnlyKnownNumber, WithConsole
from stub_server import Server as StubServer
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from zeroscale.config.model import AdmissionConfig, PortConfig
from zeroscale.ctl.game_connection import Address
from zeroscale.ctl.query_ping import ServerEntry, ask_source
from zeroscale.errors import ControlError, PluginError, ServerUnavailable
from zeroscale.events import Cause, CauseKind
from zeroscale.frontend.messages import DEFAULTS
from zeroscale.lifecycle.interfaces import LifecycleDependencies
from zeroscale.protocols.minecraft.client import LoginClient
from zeroscale.proxy.factory import server_settings
from zeroscale.proxy.managed_server import ManagedServer
from zeroscale.proxy.plugin_setup import PluginSetup
from zeroscale.proxy.reconfigure import apply_change, prepare_change
from zeroscale.proxy.service import ProxyService
from zeroscale.reports import AwakeKind
from zeroscale.state.flag_files import KEEP_ASLEEP
from zeroscale.status import ServerSnapshot, Status
from zeroscale.system.background_file import FileWriter


class World:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.listen, self.port = free_ports(2)
        self.proxies: list[ProxyService] = []

    async def start(self, **values: Any) -> ManagedServer:

        config = proxy_config(self.directory, stub_config("one", self.listen, self.port, self.directory, **values))
        self.proxies.append(ProxyService(config, running_reactor()))
        await self.proxies[-1].start()
        return self.proxies[-1].servers["one"]

    async def restart(self) -> None:
        """Stop the proxy, and start another one with the same configuration."""
        config = self.proxies[-1].servers["one"].proxy_config
        await self.proxies.pop().stop()
        self.proxies.append(ProxyService(config, running_reactor()))
        await self.proxies[-1].start()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    for proxy in world.proxies:
        pytest_twisted.blockon(proxy.stop())
    assert StubServer.running == set()


def status(server: ManagedServer) -> Status:
    return server.report().status


@pytest_twisted.ensureDeferred
async def test_reports_from_asleep_to_idle(world: World) -> None:
    server = await world.start()
    asleep = server.report()
    assert (asleep.name, asleep.plugin) == ("one", "stub_server:Server")
    assert (asleep.status, asleep.players) == (Status.stopped, ())
    assert (asleep.uptime, asleep.idle_in, asleep.last_start, asleep.last_error) == (None, None, None, None)
    context = client(world.listen)
    reader, _ = await run(context.__aenter__())
    assert await run(reader.readline()) == b"one\n"
    awake = server.report()
    [player] = awake.players
    assert (awake.status, awake.idle_in, player.name) == (Status.running, None, "")
    assert player.address.startswith("127.0.0.1:")
    await until(lambda: server.report().stats.to_client == len(b"one\n"))
    assert awake.uptime is not None and awake.last_start is not None and awake.estimate == awake.last_start
    assert (awake.stats.logins, awake.stats.starts, dict(awake.stats.wakes)) == (1, 1, {"connection": 1})
    await run(context.__aexit__(None, None, None))
    await until(lambda: server.report().stats.outcomes)
    idle = server.report()
    assert idle.stats.to_client == len(b"one\n")
    assert idle.players == ()
    assert idle.idle_in is not None and 3500 < idle.idle_in <= 3600
    assert dict(idle.stats.outcomes) == {"closed": 1}
    assert world.proxies[-1].report().unrouted == {}, "they are those that found no server"


@pytest_twisted.ensureDeferred
async def test_the_operator_can_wake_it_during_a_lockout(world: World) -> None:
    server = await world.start()
    server.lock_out("Back at eight.")
    assert await run(greeting(world.listen)) == b""
    assert (status(server), server.report().lockout) == (Status.stopped, "Back at eight.")
    await server.wake(force=True)
    await server.wake()
    assert (status(server), dict(server.report().stats.wakes)) == (Status.running, {"operator": 1})
    assert await run(greeting(world.listen)) == b""
    server.release()
    assert server.report().lockout is None
    assert await run(greeting(world.listen)) == b"one\n"


@pytest.mark.parametrize(
    ("lock", "source"),
    [
        (lambda server: server.lock_out("Later."), "locked out by its operator"),
        (lambda server: (server.directory / KEEP_ASLEEP).touch(), rf"/.*/{KEEP_ASLEEP} exists"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_wake_without_force_names_what_keeps_it_asleep(
    world: World, lock: Callable[[ManagedServer], object], source: str
) -> None:
    server = await world.start()
    lock(server)
    with pytest.raises(ControlError, match=f"one is not started: {source}.*; use --force to start it anyway"):
        await server.wake()
    assert status(server) is Status.stopped
    await server.wake(force=True)
    assert status(server) is Status.running


@pytest_twisted.ensureDeferred
async def test_a_failed_start_is_reported_to_the_waiting_operator(world: World) -> None:
    server = await world.start(plugin_keywords={"refuses": "no luck"}, max_crashes=1)
    with pytest.raises(ServerUnavailable, match="no luck"):
        await server.wake()
    report = server.report()
    assert (report.status, report.last_error, report.retry_in) == (Status.failed, "no luck", None)
    assert report.stats.crashes == 1
    with pytest.raises(ControlError, match="one does not run: it is failed"):
        server.sleep(now=False)
    server.release()
    await until(lambda: status(server) is Status.stopped)
    with pytest.raises(ServerUnavailable):
        await server.wake()


@pytest_twisted.ensureDeferred
async def test_the_operator_puts_it_to_sleep(world: World) -> None:
    server = await world.start()
    with pytest.raises(ControlError, match="one does not run: it is stopped"):
        server.sleep(now=True)
    ready = server.wake(operator="max")
    with pytest.raises(ControlError, match="one is not stopped: starting for operator max; use --now to stop it any"):
        server.sleep(now=False)
    await ready
    context = client(world.listen)
    reader, _ = await run(context.__aenter__())
    assert await run(reader.readline()) == b"one\n"
    with pytest.raises(ControlError, match="one player is on one: use --now to stop it anyway"):
        server.sleep(now=False)
    await run(context.__aexit__(None, None, None))
    await until(lambda: not server.report().players)
    server.keep_awake(None)
    with pytest.raises(
        ControlError, match="one is not stopped: kept awake by its operator until it is released; use --now"
    ):
        server.sleep(now=False)
    server.release()
    server.sleep(now=False)
    await until(lambda: status(server) is Status.stopped)


@pytest.mark.parametrize("command", ["tell all: {text}", None])
@pytest_twisted.ensureDeferred
async def test_players_are_warned_of_a_planned_stop(world: World, command: str | None) -> None:
    WithConsole.sent.clear()
    server = await world.start(
        plugin="stub_server:WithConsole", stop_warning_command=command, stop_warnings=(0.2,), restart="0 5 * * *"
    )
    context = client(world.listen)
    reader, _ = await run(context.__aenter__())
    assert await run(reader.readline()) == b"one\n"
    server.stop_planner.stop_with_warnings(Cause(CauseKind.schedule), "later")
    await until(lambda: status(server) is Status.stopped)
    await run(context.__aexit__(None, None, None))
    assert WithConsole.sent == ([] if command is None else ["tell all: The server stops in 1 s."])


@pytest_twisted.ensureDeferred
async def test_the_operator_plans_a_stop_and_cancels_it(world: World) -> None:
    server = await world.start()
    with pytest.raises(ControlError, match="no stop of one is planned"):
        server.cancel_stop()
    server.plan_stop(after=600.0, operator="max")
    [stop] = server.report().planned_stops
    assert (stop.kind, stop.operator) == ("operator", "max") and 590 < stop.seconds <= 600
    server.plan_stop(at="00:00", operator="max")
    [stop] = server.report().planned_stops
    assert 0 < stop.seconds <= 90000
    server.cancel_stop()
    assert server.report().planned_stops == ()
    server.plan_stop(after=600.0)
    server.release()
    assert server.report().planned_stops == ()
    await server.wake()
    server.plan_stop(after=0.1, operator="max")
    await until(lambda: status(server) is Status.stopped)
    last = server.report().last_stop
    assert last is not None and (last.kind, last.operator) == ("operator", "max")


@pytest_twisted.ensureDeferred
async def test_a_stop_by_the_schedule_is_not_cancelled(world: World) -> None:
    server = await world.start()
    await server.wake()
    server.stop_planner.plan_scheduled(time.time() + 600.0, Cause(CauseKind.schedule), "it sleeps")
    with pytest.raises(ControlError, match="its schedule stops one: use keep-awake"):
        server.cancel_stop()


@pytest_twisted.ensureDeferred
async def test_a_server_that_is_not_configured_any_more_is_not_restarted_until_it_is_again(world: World) -> None:
    server = await world.start(restart="0 5 * * *")
    await server.wake()
    session = await server.lifecycle.admit()
    assert [each.kind for each in server.report().planned_stops] == ["restart"]
    server.retire()
    assert server.report().planned_stops == ()
    assert server.reinstate()
    assert [each.kind for each in server.report().planned_stops] == ["restart"]
    session.end()


@pytest_twisted.ensureDeferred
async def test_a_planned_stop_survives_a_restart_of_zeroscale(world: World) -> None:
    server = await world.start()
    server.plan_stop(after=600.0, operator="max")
    await world.proxies.pop().stop()
    server = await world.start()
    [stop] = server.report().planned_stops
    assert (stop.kind, stop.operator) == ("operator", "max") and 500 < stop.seconds <= 600


@pytest_twisted.ensureDeferred
async def test_a_busy_command_keeps_an_idle_server_running(world: World) -> None:
    busy = world.directory / "busy"
    busy.touch()
    server = await world.start(idle_shutdown=0.0, busy_command=("sh", "-c", "echo >> runs; test -e busy"))
    assert await run(greeting(world.listen)) == b"one\n"
    await until((world.directory / "runs").exists)
    await until(lambda: server.report().idle_in)
    assert status(server) is Status.running
    busy.unlink()
    change = prepare_change(
        server, msgspec.structs.replace(server.config, busy_command=("test", "-e", "busy")), server.proxy_config
    )
    assert change is not None
    apply_change(server, change)
    await until(lambda: status(server) is Status.stopped)


@pytest_twisted.ensureDeferred
async def test_a_player_whose_first_byte_has_just_come_keeps_the_operator_from_stopping_it(world: World) -> None:
    server = await world.start(wake_on="data")
    await server.wake()
    context = client(world.listen)
    reader, writer = await run(context.__aenter__())
    writer.write(b"x")
    assert await run(reader.readline()) == b"one\n"
    with pytest.raises(ControlError, match="one player is on one"):
        server.sleep(now=False)
    await run(context.__aexit__(None, None, None))


@pytest_twisted.ensureDeferred
async def test_sleep_now_disconnects_players(world: World) -> None:
    server = await world.start()
    context = client(world.listen)
    reader, _ = await run(context.__aenter__())
    assert await run(reader.readline()) == b"one\n"
    server.sleep(now=True)
    server.sleep(now=False)
    await until(lambda: status(server) is Status.stopped)
    assert await run(reader.read()) == b""
    await run(context.__aexit__(None, None, None))


@pytest_twisted.ensureDeferred
async def test_sleep_now_cancels_waiting_wakes(world: World) -> None:
    server = await world.start()
    await server.wake()
    await run(asyncio.sleep(0))  # callbacks that are due run now
    server.sleep(now=True)
    assert status(server) is Status.stopping
    waiting = server.wake()
    server.sleep(now=True)
    with pytest.raises(ServerUnavailable, match="its operator has put the server to sleep"):
        await waiting
    await until(lambda: status(server) is Status.stopped)
    assert StubServer.running == set()


@pytest_twisted.ensureDeferred
async def test_keep_awake_prevents_the_idle_stop(world: World) -> None:
    server = await world.start(idle_shutdown=0.0)
    server.keep_awake(3600.0, operator="max")
    assert await run(greeting(world.listen)) == b"one\n"
    await until(lambda: (server.report().idle_in or 0.0) > 1.0)
    assert status(server) is Status.running
    assert str(server.report().keep_awake_reason).startswith("kept awake by max until ")
    server.release()
    await until(lambda: status(server) is Status.stopped)


@pytest_twisted.ensureDeferred
async def test_overrides_survive_a_restart_of_the_proxy(world: World) -> None:
    server = await world.start()
    server.lock_out("Moving.")
    server.keep_awake(None)
    await world.proxies.pop().stop()
    again = await world.start()
    assert (again.report().lockout, again.report().keep_awake_reason) == (
        "Moving.",
        "kept awake by its operator until it is released",
    )


@pytest_twisted.ensureDeferred
async def test_the_plugin_can_set_the_address(world: World) -> None:
    [elsewhere] = free_ports(1)
    server = await world.start(plugin_keywords={"greeting": "moved\n", "moves": str(elsewhere)})
    context = client(world.listen)
    reader, _ = await run(context.__aenter__())
    assert await run(reader.readline()) == b"moved\n"
    assert (server.backend.host, server.backend.port) == ("127.0.0.1", elsewhere)
    await run(context.__aexit__(None, None, None))


@pytest_twisted.ensureDeferred
async def test_a_server_without_a_console(world: World) -> None:
    server = await world.start()
    with pytest.raises(PluginError, match="one does not run"):
        await server.console("say hello")
    await server.wake()
    with pytest.raises(PluginError, match=r"this server has no console .*; see zeroscalectl logs"):
        await server.console("say hello")
    assert server.recent_output() == ()


@pytest_twisted.ensureDeferred
async def test_a_lockout_of_the_configuration(world: World) -> None:
    server = await world.start(admission=AdmissionConfig(lockout="Closed for the season."))
    assert server.report().lockout == "Closed for the season."
    with pytest.raises(ControlError, match=r"admission\.lockout is configured"):
        await server.wake()
    assert await run(greeting(world.listen)) == b""
    assert status(server) is Status.stopped


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("way", ["configuration", "command", "file"])
async def test_a_lockout_without_a_text_has_the_configured_default(world: World, way: str) -> None:
    admission = AdmissionConfig(lockout=" ") if way == "configuration" else AdmissionConfig()
    server = await world.start(admission=admission, texts={"lockout_reason": "Closed."})
    if way == "command":
        server.lock_out("")
    elif way == "file":
        (server.directory / "zeroscale.keep-asleep").write_text("\n")
    assert server.report().lockout == "Closed."


ALWAYS = ("00:00-24:00",)


@pytest_twisted.ensureDeferred
async def test_a_schedule_keeps_it_asleep_unless_its_operator_starts_it(world: World) -> None:
    server = await world.start(keep_asleep=ALWAYS, timezone="UTC")
    assert server.report().lockout == "This server sleeps."
    with pytest.raises(ControlError, match="one is not started: the schedule 00:00-24:00 keeps it asleep; use --force"):
        await server.wake()
    assert await run(greeting(world.listen)) == b""
    assert status(server) is Status.stopped
    server.lock_out("A backup.")
    assert server.report().lockout == "A backup."
    await server.wake(force=True)
    assert status(server) is Status.running


@pytest_twisted.ensureDeferred
async def test_a_schedule_keeps_it_awake_unless_its_operator_stops_it(world: World) -> None:
    server = await world.start(keep_awake=ALWAYS, idle_shutdown=0.0, minimum_online_time=0.0)
    await until(lambda: status(server) is Status.running)
    assert (server.report().keep_awake_reason, dict(server.report().stats.wakes)) == (
        "schedule 00:00-24:00",
        {"schedule": 1},
    )
    with pytest.raises(ControlError, match="one is not stopped: schedule 00:00-24:00; use --now"):
        server.sleep(now=False)
    server.sleep(now=True)
    await until(lambda: status(server) is Status.stopped)
    await world.restart()
    server = world.proxies[-1].servers["one"]
    await deferLater(running_reactor(), 0.0, lambda: None)
    assert status(server) is Status.stopped
    server.release()
    await until(lambda: status(server) is Status.running)


@pytest_twisted.ensureDeferred
async def test_a_server_that_answers_only_known_numbers_is_asked_with_that_of_the_last_player(world: World) -> None:
    OnlyKnownNumber.asked.clear()
    server = await world.start(
        plugin="stub_server:OnlyKnownNumber",
        plugin_keywords={"ready_line": "Done"},
        idle_shutdown=0.0,
        minimum_online_time=0.0,
    )
    login = LoginClient("localhost", world.listen, OnlyKnownNumber.number, "Steve").request()
    context = client(world.listen)
    reader, writer = await run(context.__aenter__())
    writer.write(login)
    assert await run(reader.readexactly(len(login))) == login
    assert OnlyKnownNumber.asked[-2:] == [-1, 758]
    OnlyKnownNumber.asked.clear()
    await run(context.__aexit__(None, None, None))
    await until(lambda: status(server) is Status.stopped)
    assert OnlyKnownNumber.asked == [758]
    assert server.lifecycle.view.cached_status == {"description": "hello", "players": {"max": 20, "online": 0}}


class Managed:
    """A server that is never started, with a fake clock."""

    def __init__(self, directory: Path, **values: Any) -> None:
        self.directory = directory
        self.reactor = FakeReactor()
        config = stub_config("one", 25565, 25566, directory, **{"plugin": "stub_server:Minecraft", **values})
        self.server = ManagedServer(config, proxy_config(directory, config), self.reactor, FileWriter())

    @property
    def view(self) -> ServerSnapshot:
        return self.server.lifecycle.view

    def lockout(self) -> str | None:
        return self.view.lockout

    def change(self, **values: Any) -> None:
        """Reload with another configuration."""
        config = msgspec.structs.replace(self.server.config, **values)
        change = prepare_change(self.server, config, self.server.proxy_config)
        assert change is not None
        apply_change(self.server, change)

    def dependencies(self) -> LifecycleDependencies:
        """Return what the lifecycle calls."""
        return self.server.dependencies(PluginSetup(self.server.config, self.server.proxy_config, self.reactor))


@pytest.fixture
def managed(tmp_path: Path) -> Iterator[Managed]:
    (tmp_path / "server.properties").write_text("motd=hello\n")
    managed = Managed(tmp_path)
    managed.server.take_locks()
    yield managed
    managed.server.release_locks()


def test_the_operators_commands_and_a_reload_are_seen_at_once(managed: Managed) -> None:
    assert managed.lockout() is None
    managed.server.lock_out("A backup.")
    assert managed.lockout() == "A backup."
    managed.server.release()
    assert managed.lockout() is None
    managed.change(admission=AdmissionConfig(lockout=" "))
    assert managed.lockout() == DEFAULTS["lockout_reason"]
    managed.change(texts={"lockout_reason": "Closed."})
    assert managed.lockout() == "Closed."
    managed.change(admission=AdmissionConfig())
    assert managed.lockout() is None


def test_times_of_a_reload_are_seen_at_once(managed: Managed) -> None:
    managed.change(keep_asleep=ALWAYS)
    assert managed.lockout() == "This server sleeps."
    managed.change(texts={"keep_asleep_reason": "Good night[ until {until}]!"})
    assert managed.lockout() == "Good night!"
    managed.change(keep_awake=ALWAYS, keep_asleep=())
    assert (managed.lockout(), managed.server.report().keep_awake_reason) == (None, "schedule 00:00-24:00")
    managed.change(keep_awake=())
    assert managed.server.report().keep_awake_reason is None


@pytest.mark.parametrize("end", [ManagedServer.retire, ManagedServer.close])
def test_the_schedule_ends_with_the_server(managed: Managed, end: Callable[[ManagedServer], object]) -> None:
    managed.change(keep_awake=("Mon 12:00-12:01",))
    assert len(managed.reactor.getDelayedCalls()) == 1
    end(managed.server)
    assert managed.reactor.getDelayedCalls() == []


def test_each_part_of_a_reload_is_seen_at_once(managed: Managed) -> None:
    server, old = managed.server, managed.server.proxy_config
    other = managed.directory / "other"
    other.mkdir()
    (other / "server.properties").write_text("motd=another\n")
    config = msgspec.structs.replace(
        server.config,
        admission=AdmissionConfig(lockout=""),
        texts={"lockout_reason": "Closed."},
        working_directory=other,
    )
    setup = PluginSetup(config, old, managed.reactor)
    assert managed.lockout() is None
    server.use_config(config, old)
    assert (managed.lockout(), managed.view.cached_status) == (DEFAULTS["lockout_reason"], {"description": "hello"})
    server.use_setup(setup)
    assert (managed.lockout(), managed.view.cached_status) == (DEFAULTS["lockout_reason"], {"description": "another"})
    server.apply_settings(server_settings(config, old, setup.plugin, setup.player_lists), admission=False)
    assert managed.lockout() == "Closed."


def test_another_directorys_files_are_seen_at_once(managed: Managed) -> None:
    other = managed.directory / "other"
    other.mkdir()
    (other / "server.properties").write_text("motd=another\n")
    (other / "zeroscale.keep-asleep").write_text("Moved.")
    assert (managed.view.cached_status, managed.lockout()) == ({"description": "hello"}, None)
    managed.change(working_directory=other)
    assert (managed.view.cached_status, managed.view.lockout) == ({"description": "another"}, "Moved.")


def test_a_start_and_a_status_of_the_server_are_seen_at_once(managed: Managed) -> None:
    dependencies = managed.dependencies()
    assert (managed.view.estimate, managed.view.cached_status) == (None, {"description": "hello"})
    dependencies.start_history.record_start(20.0)
    assert managed.view.estimate == 20.0
    dependencies.status_cache.store({"description": "real"})
    assert managed.view.cached_status == {"description": "real"}


def test_what_was_stored_before_is_seen_once_the_state_directory_is_read(managed: Managed) -> None:
    managed.dependencies().start_history.record_start(20.0)
    managed.server.lock_out("A backup.")
    managed.server.release_locks()
    later = Managed(managed.directory)
    assert (later.view.estimate, later.view.lockout) == (None, None)
    later.server.take_locks()
    assert (later.view.estimate, later.view.lockout) == (20.0, "A backup.")
    later.server.release_locks()


@pytest.mark.parametrize("changed", ["zeroscale.keep-asleep", "server.properties", "server-icon.png"])
def test_an_unchanged_view_costs_no_stat_calls_and_a_changed_file_is_seen_within_a_second(
    managed: Managed, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    first = managed.view
    reply = managed.server.backend.messages.status(first, managed.reactor.seconds())
    icon = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII5s", 13, b"IHDR", 64, 64, b"\x08\x06\x00\x00\x00")
    (managed.directory / changed).write_bytes(icon if changed.endswith("png") else b"motd=changed\n")
    with monkeypatch.context() as patched:
        for name in ("stat", "lstat", "open"):
            patched.setattr(os, name, None)
        for _ in range(7):
            managed.reactor.advance(0.125)
            assert managed.view is first
            assert managed.server.backend.messages.status(managed.view, managed.reactor.seconds()) is reply
    managed.reactor.advance(0.125)
    assert managed.view is not first
    assert managed.server.backend.messages.status(managed.view, managed.reactor.seconds()) is not reply
    assert managed.reactor.getDelayedCalls() == []


def test_an_operator_sees_a_flag_file_at_once(managed: Managed) -> None:
    assert managed.server.report().lockout is None
    (managed.directory / "zeroscale.keep-asleep").write_text("A backup.")
    assert managed.server.report().lockout == "A backup."
    (managed.directory / "zeroscale.keep-asleep").unlink()
    assert managed.server.report().lockout is None


@pytest_twisted.ensureDeferred
async def test_the_last_wake_and_stop_are_reported_after_a_restart(world: World) -> None:
    server = await world.start(idle_shutdown=3600.0)
    await server.wake(operator="max")
    [awake] = server.report().awake
    assert awake.kind is AwakeKind.idle_time
    server.sleep(now=True, operator="eve")
    await until(lambda: status(server) is Status.stopped)
    await world.proxies.pop().stop()
    again = await world.start()
    wake, stop = again.report().last_wake, again.report().last_stop
    assert wake is not None and (wake.kind, wake.operator) == ("operator", "max")
    assert stop is not None and (stop.kind, stop.operator, stop.pause) == ("operator", "eve", False)


@pytest_twisted.ensureDeferred
async def test_what_it_answers_to_queries_is_stored_soon_after_it_is_ready(world: World) -> None:
    with serving(source()) as queried:
        port = PortConfig(listen=(f"udp:{free_port()}",), server_port=queried.port, protocol="source-query")
        server = await world.start(ports=(port,))
        await server.wake()
        await until(lambda: server.answers.load(f"source-query-rules-{queried.port}"))
    assert server.answers.load(f"source-query-rules-{queried.port}") == RULES


@pytest_twisted.ensureDeferred
async def test_a_port_that_is_queried_from_asleep_to_idle(world: World) -> None:
    with serving(source()) as queried:
        listen = free_port()
        port = PortConfig(listen=(f"udp:{listen}",), server_port=queried.port, protocol="source-query")
        server = await world.start(ports=(port,), idle_shutdown=0.2)

        async def entry() -> ServerEntry:
            asked = asyncio.to_thread(ask_source, Address("127.0.0.1", listen), DEADLINE)
            return await Deferred.fromFuture(asyncio.ensure_future(asked))

        asleep = await entry()
        assert (asleep.name, asleep.players) == ("one - zZz Asleep. Join to wake it", 0)
        assert status(server) is Status.stopped
        await server.wake()
        running = await entry()
        assert (running.name, running.players, list(running.names)) == ("Meadows", 2, ["Ada", "Bob\ufffd"])
        await until(lambda: "2 (Ada, Bob\ufffd)" in str(server.report().awake))
        assert status(server) is Status.running
        queried.answer = source(INFO.replace(b"\x03\x20\x01", b"\x00\x20\x00"))
        server.release()  # it is asked again at once, not in 5 s
        await until(lambda: status(server) is Status.stopped)
        asleep = await entry()
        assert asleep.name.startswith("Meadows - zZz Asleep. Join to wake it")
        assert (asleep.map, asleep.players, asleep.maximum, list(asleep.names)) == ("Midgard", 0, 32, [])
