"""One server: its reports, and the operator's commands."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from harness import client, greeting, proxy_config, run, running_reactor, stub_config, until
from ports import free_ports
from stub_server import OnlyKnownNumber
from stub_server import Server as StubServer

from zeroscale.errors import ControlError, PluginError, ServerUnavailable
from zeroscale.protocols.minecraft.client import LoginClient
from zeroscale.proxy.managed_server import ManagedServer
from zeroscale.proxy.service import ProxyService
from zeroscale.status import Status


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
    await server.wake()
    await server.wake()
    assert (status(server), dict(server.report().stats.wakes)) == (Status.running, {"operator": 1})
    assert await run(greeting(world.listen)) == b""
    server.release()
    assert server.report().lockout is None
    assert await run(greeting(world.listen)) == b"one\n"


@pytest_twisted.ensureDeferred
async def test_a_failed_start_is_reported_to_the_waiting_operator(world: World) -> None:
    server = await world.start(plugin_keywords={"refuses": "no luck"}, max_crashes=1)
    with pytest.raises(ServerUnavailable, match="it could not be started"):
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
    await server.wake()
    context = client(world.listen)
    reader, _ = await run(context.__aenter__())
    assert await run(reader.readline()) == b"one\n"
    with pytest.raises(ControlError, match="one player is on one: use --now to stop it anyway"):
        server.sleep(now=False)
    await run(context.__aexit__(None, None, None))
    await until(lambda: not server.report().players)
    server.keep_awake(None)
    with pytest.raises(ControlError, match="one is not stopped: its operator keeps it awake; use --now"):
        server.sleep(now=False)
    server.release()
    server.sleep(now=False)
    await until(lambda: status(server) is Status.stopped)


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
    server.keep_awake(3600.0)
    assert await run(greeting(world.listen)) == b"one\n"
    await until(lambda: (server.report().idle_in or 0.0) > 1.0)
    assert (status(server), server.report().keep_awake_reason) == (
        Status.running,
        "its operator keeps it awake for another 60 min",
    )
    server.release()
    await until(lambda: status(server) is Status.stopped)


@pytest_twisted.ensureDeferred
async def test_overrides_survive_a_restart_of_the_proxy(world: World) -> None:
    server = await world.start()
    server.lock_out("Moving.")
    server.keep_awake(None)
    await world.proxies.pop().stop()
    again = await world.start()
    assert (again.report().lockout, again.report().keep_awake_reason) == ("Moving.", "its operator keeps it awake")


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
    with pytest.raises(PluginError, match="this server has no console"):
        await server.console("say hello")
    assert server.recent_output() == ()


@pytest_twisted.ensureDeferred
async def test_a_lockout_of_the_configuration(world: World) -> None:
    from zeroscale.config.model import AdmissionConfig

    server = await world.start(admission=AdmissionConfig(lockout="Closed for the season."))
    assert server.report().lockout == "Closed for the season."
    assert await run(greeting(world.listen)) == b""
    assert status(server) is Status.stopped


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("way", ["configuration", "command", "file"])
async def test_a_lockout_without_a_text_has_the_configured_default(world: World, way: str) -> None:
    from zeroscale.config.model import AdmissionConfig

    admission = AdmissionConfig(lockout=" ") if way == "configuration" else AdmissionConfig()
    server = await world.start(admission=admission, texts={"lockout_reason": "Closed."})
    if way == "command":
        server.lock_out("")
    elif way == "file":
        (server.directory / "zeroscale.keep-asleep").write_text("\n")
    assert server.report().lockout == "Closed."


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
