"""Reloads while players are connected: servers are added, changed, removed, and untouched ones not disturbed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_twisted
from harness import client, greeting, proxy_config, run, running_reactor, stub_config, until
from ports import free_ports
from stub_server import Server as StubServer
from stub_server import WithConsole

from zeroscale.config.model import AdmissionConfig, Config, LimitsConfig, ProxyProtocolConfig, ServerConfig
from zeroscale.errors import ConfigError, ConfigMistakes, ControlError, ServerUnavailable, ZeroscaleError
from zeroscale.events import Cause, CauseKind, ServerEvent, Stopping, Woken
from zeroscale.proxy.service import ProxyService
from zeroscale.status import Status
from zeroscale.system.lock_file import Lock


class World:
    """One proxy that reads its configuration from `config`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config: Config = proxy_config(directory)
        self.proxy: ProxyService | None = None

    def server(self, name: str, at: int, port: int, **values: Any) -> ServerConfig:
        return stub_config(name, at, port, self.directory, **values)

    def configure(self, *servers: ServerConfig, **values: Any) -> None:
        self.config = proxy_config(self.directory, *servers, **values)

    async def start(self, *servers: ServerConfig) -> ProxyService:

        self.configure(*servers)
        self.proxy = ProxyService(
            self.config, running_reactor(), lambda: self.config, self.directory / "zeroscale.toml"
        )
        await self.proxy.start()
        return self.proxy

    def status(self, name: str) -> Status | None:
        assert self.proxy is not None
        server = self.proxy.servers.get(name)
        return None if server is None else server.lifecycle.view.status


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    if world.proxy is not None:
        pytest_twisted.blockon(world.proxy.stop())
    assert StubServer.running == set()


async def answer(port: int, data: bytes) -> bytes:
    """Connect, send the data, and return the first line of the answer."""
    async with client(port) as (reader, writer):
        writer.write(data)
        return await reader.readline()


@pytest_twisted.ensureDeferred
async def test_a_new_server_is_added_and_a_removed_one_is_drained(world: World) -> None:
    first, second, a, b = free_ports(4)
    proxy = await world.start(world.server("first", first, a))
    async with Client(first) as player:
        assert await player.line() == b"first\n"
        world.configure(world.server("second", second, b))
        assert await proxy.reload() == ["second: added", "first: removed; it is stopped when no player is left on it"]
        assert [(each.name, each.draining) for each in proxy.report().servers] == [("first", True), ("second", False)]
        assert await run(greeting(second)) == b"second\n"
        with pytest.raises(ConnectionError):
            await run(greeting(first))
        assert await player.echo(b"still here\n") == b"still here\n"
        assert StubServer.running == {a, b}
    await until(lambda: StubServer.running == {b})


@pytest_twisted.ensureDeferred
async def test_an_observer_gets_the_events_of_all_servers_also_of_later_ones(world: World) -> None:
    first, second, a, b = free_ports(4)
    proxy = await world.start(world.server("first", first, a))
    events: list[ServerEvent] = []
    proxy.add_event_observer(events.append)
    before = time.time()
    await run(greeting(first))
    world.configure(world.server("first", first, a), world.server("second", second, b))
    await proxy.reload()
    await run(greeting(second))
    for name in ("first", "second"):
        await until(lambda name=name: "left" in [each.event for each in events if each.server == name])  # type: ignore[misc]
        assert [each.event for each in events if each.server == name] == ["woken", "ready", "joined", "left"]
    assert all(before - 1 < each.at < time.time() + 1 for each in events)
    woken = events[0]
    assert isinstance(woken, Woken) and woken.cause.kind is CauseKind.connection
    proxy.servers["first"].sleep(now=True, operator="max")
    assert isinstance(events[-1], Stopping) and events[-1].cause == Cause(CauseKind.operator, operator="max")


@pytest_twisted.ensureDeferred
async def test_a_sleeping_server_is_removed_at_once(world: World) -> None:
    first, second, a, b = free_ports(4)
    proxy = await world.start(world.server("first", first, a), world.server("second", second, b))
    world.configure(world.server("second", second, b))
    assert await proxy.reload() == ["first: removed"]
    assert not (world.directory / "state" / "first" / "lock").exists()


@pytest_twisted.ensureDeferred
async def test_a_server_on_the_port_of_a_draining_one_is_added_later(world: World) -> None:
    listen, later, port = free_ports(3)
    proxy = await world.start(world.server("former", listen, port))
    async with Client(listen) as player:
        assert await player.line() == b"former\n"
        world.configure(world.server("later", later, port))
        assert await proxy.reload() == [
            "later: will be added once the server that uses its name, port or world has stopped",
            "former: removed; it is stopped when no player is left on it",
        ]
        assert (world.status("former"), world.status("later")) == (Status.running, None)
    await until(lambda: world.status("later") is Status.stopped)
    assert await run(greeting(later)) == b"later\n"


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("changed", [False, True])
async def test_a_draining_server_that_is_added_again_is_reinstated(world: World, changed: bool) -> None:
    listen, port, later = free_ports(3)
    proxy = await world.start(world.server("one", listen, port))
    async with Client(listen) as player:
        assert await player.line() == b"one\n"
        world.configure()
        await proxy.reload()
        world.configure(world.server("one", listen, later if changed else port))
        assert await proxy.reload() == [
            "one: added again; it is still running",
            *(["one: changed: from its next start on server"] if changed else []),
        ]
        assert [(each.name, each.draining) for each in proxy.report().servers] == [("one", False)]
        assert await run(greeting(listen)) == b"one\n"
        assert await player.echo(b"on\n") == b"on\n"
    proxy.servers["one"].sleep(now=True)
    await until(lambda: world.status("one") is Status.stopped)
    assert await run(greeting(listen)) == b"one\n"
    assert StubServer.running == {later if changed else port}


@pytest_twisted.ensureDeferred
async def test_a_reinstated_server_can_be_removed_again(world: World) -> None:
    listen, port = free_ports(2)
    one = world.server("one", listen, port)
    proxy = await world.start(one)
    async with Client(listen) as player:
        assert await player.line() == b"one\n"
        for servers in ([], [one], []):
            world.configure(*servers)
            [change] = await proxy.reload()
        assert change == "one: removed; it is stopped when no player is left on it"
        assert await player.echo(b"on\n") == b"on\n"
    await until(lambda: proxy.report().servers == ())
    assert StubServer.running == set()


@pytest_twisted.ensureDeferred
async def test_a_stopping_server_that_is_added_again_is_added_once_it_has_stopped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen, port = free_ports(2)
    one = world.server("one", listen, port)
    proxy = await world.start(one)
    stopping = asyncio.Event()
    monkeypatch.setattr(StubServer, "stop_gate", stopping)
    async with Client(listen) as player:
        assert await player.line() == b"one\n"
        world.configure()
        await proxy.reload()
    await until(lambda: world.status("one") is Status.stopping)
    world.configure(one)
    assert await proxy.reload() == ["one: will be added once the server that uses its name, port or world has stopped"]
    stopping.set()
    await until(lambda: [each.draining for each in proxy.report().servers] == [False])
    assert await run(greeting(listen)) == b"one\n"


@pytest_twisted.ensureDeferred
async def test_accepted_headers_change_at_once_and_sent_headers_at_the_next_start(world: World) -> None:
    listen, port = free_ports(2)
    proxy = await world.start(world.server("one", listen, port))
    async with Client(listen) as player:
        assert await player.line() == b"one\n"
        believing = ProxyProtocolConfig(accept_from=("127.0.0.1",))
        world.configure(world.server("one", listen, port, proxy_protocol=believing))
        assert await proxy.reload() == ["one: changed: proxy_protocol"]
        assert await run(answer(listen, b"PROXY TCP4 203.0.113.9 192.0.2.1 5000 80\r\n")) == b"one\n"
        with pytest.raises(ConnectionResetError):
            await run(answer(listen, b"without"))
        sending = ProxyProtocolConfig(accept_from=("127.0.0.1",), send="v1")
        world.configure(world.server("one", listen, port, proxy_protocol=sending))
        assert await proxy.reload() == ["one: changed: from its next start on proxy_protocol"]
        assert await player.echo(b"on\n") == b"on\n"


@pytest_twisted.ensureDeferred
async def test_a_server_listens_on_another_port_at_once(world: World) -> None:
    listen, other, port = free_ports(3)
    proxy = await world.start(world.server("one", listen, port))
    async with Client(listen) as player:
        assert await player.line() == b"one\n"
        world.configure(world.server("one", other, port))
        assert await proxy.reload() == ["one: changed: listen"]
        assert await run(greeting(other)) == b"one\n"
        with pytest.raises(ConnectionError):
            await run(greeting(listen))
        assert await player.echo(b"on\n") == b"on\n"


@pytest_twisted.ensureDeferred
async def test_restart_fields_change_at_the_next_start(world: World) -> None:
    listen, port, other = free_ports(3)
    proxy = await world.start(world.server("one", listen, port))
    async with Client(listen) as player:
        assert await player.line() == b"one\n"
        changed = world.server("one", listen, other, plugin_keywords={"greeting": "changed\n"}, idle_shutdown=1800.0)
        world.configure(changed)
        assert await proxy.reload() == ["one: changed: idle_shutdown, from its next start on server, plugin_arguments"]
        assert await run(greeting(listen)) == b"one\n"
        assert await player.echo(b"on\n") == b"on\n"
    proxy.servers["one"].sleep(now=True)
    await until(lambda: world.status("one") is Status.stopped)
    assert await run(greeting(listen)) == b"changed\n"
    assert StubServer.running == {other}


@pytest_twisted.ensureDeferred
async def test_restart_fields_of_a_sleeping_server_change_at_once(world: World) -> None:
    listen, port = free_ports(2)
    proxy = await world.start(world.server("one", listen, port))
    world.configure(world.server("one", listen, port, plugin_keywords={"greeting": "changed\n"}))
    assert await proxy.reload() == ["one: changed: plugin_arguments"]
    assert await run(greeting(listen)) == b"changed\n"


@pytest_twisted.ensureDeferred
async def test_a_shorter_idle_time_takes_effect_at_once(world: World) -> None:
    listen, port = free_ports(2)
    proxy = await world.start(world.server("one", listen, port))
    assert await run(greeting(listen)) == b"one\n"
    await until(lambda: proxy.servers["one"].report().idle_in is not None)
    world.configure(world.server("one", listen, port, idle_shutdown=0.0))
    assert await proxy.reload() == ["one: changed: idle_shutdown"]
    await until(lambda: world.status("one") is Status.stopped)


@pytest_twisted.ensureDeferred
async def test_an_unchanged_configuration_changes_nothing(world: World) -> None:
    listen, port = free_ports(2)
    proxy = await world.start(world.server("one", listen, port))
    assert await proxy.reload() == []


@pytest_twisted.ensureDeferred
async def test_settings_of_the_whole_proxy(world: World) -> None:
    listen, port = free_ports(2)
    server = world.server("one", listen, port)
    proxy = await world.start(server)
    world.configure(server, relay="transport", unknown_host="answer")
    assert await proxy.reload() == ["unknown_host: changed", "relay: changes at the next start of zeroscale"]


@pytest_twisted.ensureDeferred
async def test_only_the_limits_that_wait_for_the_next_start_are_reported_so(world: World) -> None:
    listen, port = free_ports(2)
    server = world.server("one", listen, port)
    proxy = await world.start(server)
    world.configure(server, limits=LimitsConfig(handshake_timeout=2.0))
    assert await proxy.reload() == ["limits.handshake_timeout: changed"]
    world.configure(server, limits=LimitsConfig(handshake_timeout=2.0, total=7))
    assert await proxy.reload() == ["limits: changes at the next start of zeroscale"]


@pytest_twisted.ensureDeferred
async def test_a_mistake_changes_nothing(world: World) -> None:
    listen, new, port, other = free_ports(4)
    one = world.server("one", listen, port)
    proxy = await world.start(one)
    wrong = [
        (world.server("two", new, other, plugin_keywords={"greeting": "impossible"}), "no such greeting"),
        (world.server("two", new, other, plugin_keywords={"greting": "x"}), "did you mean 'greeting'"),
        (world.server("two", listen, other), "listens on .* as well"),
        (world.server("two", new, other, working_directory=Path("/nowhere")), "does not exist"),
        (world.server("two", 0, other, listen=(f"tcp:{listen}",)), "cannot listen on"),
    ]
    for two, complaint in wrong:
        world.configure(world.server("one", listen, port, idle_shutdown=1.0), two)
        with pytest.raises(ZeroscaleError, match=complaint):
            await proxy.reload()
        assert (list(proxy.servers), proxy.servers["one"].config) == (["one"], one)
        with pytest.raises(ConnectionError):
            await run(greeting(new))
        assert not (world.directory / "state" / "two" / "lock").exists()
    assert await run(greeting(listen)) == b"one\n"


@pytest_twisted.ensureDeferred
async def test_a_proxy_without_a_file_cannot_reload(world: World) -> None:
    world.proxy = ProxyService(world.config, running_reactor())
    await world.proxy.start()
    with pytest.raises(ConfigError, match="cannot reload: zeroscale was started without"):
        await world.proxy.reload()


@pytest_twisted.ensureDeferred
async def test_stopping_does_not_wait_for_players_of_a_server_that_was_removed(world: World) -> None:
    listen, port = free_ports(2)
    proxy = await world.start(world.server("one", listen, port))
    async with Client(listen) as player:
        assert await player.line() == b"one\n"
        world.configure()
        await proxy.reload()
        world.proxy = None
        await proxy.stop()
        assert StubServer.running == set()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Return an event that all starts wait for."""
    gate = asyncio.Event()
    monkeypatch.setattr(StubServer, "gate", gate)
    return gate


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("moves", [False, True])
async def test_a_server_changed_during_its_start_keeps_its_address(
    world: World, gate: asyncio.Event, moves: bool
) -> None:
    listen, port, other, moved = free_ports(4)
    keywords = {"greeting": "one\n", "moves": str(moved) if moves else ""}
    proxy = await world.start(world.server("one", listen, port, plugin_keywords=keywords))
    held = run(greeting(listen))
    await until(lambda: world.status("one") is Status.starting)
    world.configure(world.server("one", listen, other, plugin_keywords=keywords, idle_shutdown=1800.0))
    await proxy.reload()
    gate.set()
    assert await held == b"one\n"
    assert await run(greeting(listen)) == b"one\n"
    assert StubServer.running == {moved if moves else port}


@pytest_twisted.ensureDeferred
async def test_a_protocol_changes_at_the_next_start(world: World) -> None:
    listen, port = free_ports(2)
    proxy = await world.start(world.server("one", listen, port))
    async with Client(listen) as player:
        assert await player.line() == b"one\n"
        admission = AdmissionConfig(wake="whitelist")
        world.configure(world.server("one", listen, port, plugin="stub_server:Minecraft", admission=admission))
        assert await proxy.reload() == ["one: changed: from its next start on plugin, admission"]
        assert await run(greeting(listen)) == b"one\n"
    proxy.servers["one"].sleep(now=True)
    await until(lambda: world.status("one") is Status.stopped)
    assert (await run(answer(listen, LEGACY_PING)))[:1] == b"\xff"


LEGACY_PING = b"\xfe\x01"


@pytest_twisted.ensureDeferred
async def test_a_change_that_fails_is_found_before_anything_is_changed(world: World) -> None:
    listen, new, port, other = free_ports(4)
    one = world.server("one", listen, port)
    proxy = await world.start(one)
    keywords = {"greeting": "one\n", "ready_line": "("}
    world.configure(world.server("two", new, other), world.server("one", listen, port, plugin_keywords=keywords))
    with pytest.raises(ConfigMistakes, match="ready_line is not a regular expression"):
        await proxy.reload()
    assert (list(proxy.servers), proxy.servers["one"].config) == (["one"], one)
    assert not (world.directory / "state" / "two" / "lock").exists()
    with pytest.raises(ConnectionError):
        await run(greeting(new))
    assert await run(greeting(listen)) == b"one\n"


@pytest_twisted.ensureDeferred
async def test_the_state_directory_changes_at_the_next_start(world: World) -> None:
    listen, new, port, other = free_ports(4)
    proxy = await world.start(world.server("one", listen, port))
    world.configure(world.server("one", listen, port), world.server("two", new, other))
    world.config = msgspec.structs.replace(world.config, state_directory=world.directory / "elsewhere")
    assert await proxy.reload() == ["two: added", "state_directory: changes at the next start of zeroscale"]
    assert await proxy.reload() == ["state_directory: changes at the next start of zeroscale"]
    assert (world.directory / "state" / "two" / "lock").exists()
    assert not (world.directory / "elsewhere").exists()


@pytest_twisted.ensureDeferred
async def test_a_reload_waits_for_the_startup(world: World, gate: asyncio.Event) -> None:
    listen, port = free_ports(2)
    world.configure(world.server("one", listen, port, plugin="stub_server:Adoptable"))
    proxy = world.proxy = ProxyService(
        world.config, running_reactor(), lambda: world.config, world.directory / "zeroscale.toml"
    )
    starting = proxy.start()
    world.configure(world.server("one", listen, port, plugin="stub_server:Adoptable", idle_shutdown=1.0))
    reloading = proxy.reload()
    assert not reloading.called
    assert proxy.servers["one"].config.idle_shutdown == 3600.0
    gate.set()
    await starting
    assert await reloading == ["one: changed: idle_shutdown"]


@pytest_twisted.ensureDeferred
async def test_the_world_lock_moves_with_the_working_directory(world: World) -> None:
    listen, port = free_ports(2)
    first, second = world.directory / "first", world.directory / "second"
    for directory in (first, second):
        directory.mkdir()
    before = world.server("one", listen, port, plugin="stub_server:Minecraft", working_directory=first)
    proxy = await world.start(before)
    assert (first / ".zeroscale.lock").exists()
    other = Lock(second / ".zeroscale.lock")
    other.acquire()
    world.configure(world.server("one", listen, port, plugin="stub_server:Minecraft", working_directory=second))
    assert await proxy.reload() == ["one: changed: working_directory"]
    assert not (first / ".zeroscale.lock").exists()
    with pytest.raises(ServerUnavailable):
        await proxy.servers["one"].wake()
    assert "another server of this zeroscale holds" in str(proxy.servers["one"].report().last_error)
    other.release()
    waking = proxy.servers["one"].wake()
    await until(lambda: StubServer.running == {port})
    assert (second / ".zeroscale.lock").exists()
    proxy.servers["one"].sleep(now=True)
    with pytest.raises(ServerUnavailable):
        await waking


@pytest_twisted.ensureDeferred
async def test_a_server_on_the_address_of_a_running_one_is_added_later(world: World) -> None:
    listen, new, port, other = free_ports(4)
    proxy = await world.start(world.server("one", listen, port))
    async with Client(listen) as player:
        assert await player.line() == b"one\n"
        world.configure(world.server("one", listen, other), world.server("two", new, port))
        assert await proxy.reload() == [
            "two: will be added once the server that uses its name, port or world has stopped",
            "one: changed: from its next start on server",
        ]
        assert await player.echo(b"on\n") == b"on\n"
    proxy.servers["one"].sleep(now=True)
    await until(lambda: world.status("two") is Status.stopped)
    assert await run(greeting(new)) == b"two\n"


MC = {"controls": "container mc"}


@pytest_twisted.ensureDeferred
async def test_two_servers_with_one_container_are_a_mistake_that_changes_nothing(world: World) -> None:
    listen, other, a, b = free_ports(4)
    one = world.server("one", listen, a, plugin_keywords=MC)
    proxy = await world.start(one)
    world.configure(one, world.server("two", other, b, plugin_keywords=MC))
    with pytest.raises(ConfigMistakes, match=r"servers\.two\.plugin_arguments: container mc is servers\.one's as well"):
        await proxy.reload()
    assert list(proxy.servers) == ["one"]


@pytest_twisted.ensureDeferred
async def test_a_new_server_waits_for_the_container_of_a_draining_one(world: World) -> None:
    listen, other, a, b = free_ports(4)
    proxy = await world.start(world.server("one", listen, a, plugin_keywords=MC))
    async with Client(listen) as player:
        assert await player.echo(b"on\n") == b"on\n"
        world.configure(world.server("two", other, b, plugin_keywords=MC))
        assert await proxy.reload() == [
            "two: will be added once the server that uses container mc has stopped",
            "one: removed; it is stopped when no player is left on it",
        ]
        assert await player.echo(b"on\n") == b"on\n"
        assert world.status("two") is None
    await until(lambda: world.status("two") is Status.stopped)
    assert list(proxy.servers) == ["two"]


@pytest_twisted.ensureDeferred
async def test_two_servers_exchange_their_containers_once_both_have_stopped(world: World) -> None:
    first, second, a, b = free_ports(4)

    def servers(one: str, two: str) -> list[ServerConfig]:
        return [
            world.server("one", first, a, plugin_keywords={"controls": one}),
            world.server("two", second, b, plugin_keywords={"controls": two}),
        ]

    proxy = await world.start(*servers("x", "y"))
    async with Client(first) as player:
        assert await player.echo(b"on\n") == b"on\n"
        async with Client(second) as other:
            assert await other.echo(b"on\n") == b"on\n"
            world.configure(*servers("y", "x"))
            assert await proxy.reload() == [
                "one: will be added once the server that uses y has stopped",
                "two: will be added once the server that uses x has stopped",
                "one: removed; it is stopped when no player is left on it",
                "two: removed; it is stopped when no player is left on it",
            ]
            assert await other.echo(b"on\n") == b"on\n"
        await until(lambda: world.status("two") is None)
        assert await player.echo(b"on\n") == b"on\n"
    await until(lambda: sorted(proxy.servers) == ["one", "two"] and not any(s.draining for s in proxy.report().servers))
    assert [server.controls for _, server in sorted(proxy.servers.items())] == [{"y": True}, {"x": True}]


@pytest_twisted.ensureDeferred
async def test_a_server_changes_to_a_container_that_nobody_uses_at_its_next_start(world: World) -> None:
    listen, port = free_ports(2)
    proxy = await world.start(world.server("one", listen, port, plugin_keywords=MC))
    async with Client(listen) as player:
        assert await player.echo(b"on\n") == b"on\n"
        world.configure(world.server("one", listen, port, plugin_keywords={"controls": "container new"}))
        assert await proxy.reload() == ["one: changed: from its next start on plugin_arguments"]
        assert await player.echo(b"on\n") == b"on\n"


@pytest.mark.slow
@pytest_twisted.ensureDeferred
async def test_200_players_notice_nothing_of_50_reloads(world: World) -> None:
    listen, other, port, other_port = free_ports(4)
    busy = world.server("busy", listen, port)
    proxy = await world.start(busy)
    assert await run(greeting(listen)) == b"busy\n"
    done = asyncio.Event()

    sent = [0] * 200

    async def play(number: int) -> None:
        """Send and compare until `done` is set."""
        async with client(listen) as (reader, writer):
            assert await reader.readline() == b"busy\n"
            while not done.is_set():
                data = bytes((number + sent[number] + offset) % 251 for offset in range(64)) * 8
                writer.write(data)
                assert await reader.readexactly(len(data)) == data
                sent[number] += len(data)
                await asyncio.sleep(0.01)

    players = [run(play(number)) for number in range(len(sent))]
    await until(lambda: min(sent) > 0)
    for number in range(50):
        match number % 3:
            case 0:
                world.configure(busy, world.server("other", other, other_port))
            case 1:
                world.configure(busy, world.server("other", other, other_port, idle_shutdown=float(number)))
            case _:
                world.configure(busy)
        before = sum(sent)
        [change] = await proxy.reload()
        assert change.startswith("other: ")
        await until(lambda before=before: sum(sent) > before)  # type: ignore[misc]
    done.set()
    for player in players:
        await player
    await until(lambda: proxy.servers["busy"].report().stats.to_backend == sum(sent))
    assert proxy.servers["busy"].report().stats.crashes == 0


class Client:
    """A client of a relayed connection, in asyncio, for tests that run in Twisted."""

    def __init__(self, port: int) -> None:
        self._context = client(port)

    async def __aenter__(self) -> Client:
        self.reader, self.writer = await run(self._context.__aenter__())
        return self

    async def __aexit__(self, *exc: object) -> None:
        await run(self._context.__aexit__(None, None, None))

    async def line(self) -> bytes:
        line: bytes = await run(self.reader.readline())
        return line

    async def echo(self, data: bytes) -> bytes:
        self.writer.write(data)
        return await self.line()


# Servers that need others


@pytest_twisted.ensureDeferred
async def test_a_need_that_reloads_add_and_remove(world: World) -> None:
    listen, of_db, a, b = free_ports(4)
    app, db = world.server("app", listen, a), world.server("db", of_db, b, idle_shutdown=0.0)
    proxy = await world.start(app, db)
    assert await run(greeting(listen)) == b"app\n"
    assert StubServer.running == {a}
    needing = msgspec.structs.replace(app, needs=("db",))
    world.configure(needing, db)
    assert await proxy.reload() == ["app: changed: needs"]
    await until(lambda: world.status("db") is Status.running)
    report = proxy.servers["db"].report()
    assert ([reason.text for reason in report.awake], report.keep_awake_reason) == (["needed by app"], "needed by app")
    with pytest.raises(ControlError, match=r"^db is not stopped: needed by app; use --now to stop that first"):
        proxy.servers["db"].sleep(now=False)
    world.configure(app, db)
    await proxy.reload()
    await until(lambda: StubServer.running == {a})
    world.configure(needing, db)
    await proxy.reload()
    await until(lambda: world.status("db") is Status.running)
    world.configure(app)
    assert await proxy.reload() == ["app: changed: needs", "db: removed"]
    await until(lambda: list(proxy.servers) == ["app"])
    assert StubServer.running == {a}


@pytest_twisted.ensureDeferred
async def test_all_are_put_to_sleep(world: World) -> None:
    listen, of_db, a, b = free_ports(4)
    app = world.server("app", listen, a, needs=("db",), idle_shutdown=600.0)
    proxy = await world.start(app, world.server("db", of_db, b, idle_shutdown=600.0))
    assert await run(greeting(listen)) == b"app\n"
    await until(lambda: not proxy.servers["app"].report().players)
    for name in ("app", "db"):
        proxy.servers[name].sleep(now=False)
    await until(lambda: not StubServer.running)


@pytest_twisted.ensureDeferred
async def test_a_lockout_of_what_is_needed(world: World) -> None:
    listen, of_db, a, b = free_ports(4)
    proxy = await world.start(world.server("app", listen, a, needs=("db",)), world.server("db", of_db, b))
    app, db = proxy.servers["app"], proxy.servers["db"]
    db.lock_out("closed for repairs", operator="max")
    report = app.report()
    source = "db, which it needs: locked out by max (zeroscalectl release undoes that)"
    assert (report.lockout, report.keep_asleep_reason) == ("closed for repairs", source)
    with pytest.raises(ControlError) as refused:
        app.wake()
    assert str(refused.value) == f"app is not started: {source}; use --force to start it anyway"
    await app.wake(force=True)
    assert StubServer.running == {a, b}
    assert app.report().lockout is None
    app.sleep(now=True)
    db.sleep(now=True)
    await until(lambda: not StubServer.running)
    db.release()
    assert await run(greeting(listen)) == b"app\n"


@pytest_twisted.ensureDeferred
async def test_a_server_is_not_left_running_without_what_it_needs(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    listen, of_db, a, b = free_ports(4)
    left = {"on_exit": "leave", "plugin": "stub_server:Adoptable"}
    app = world.server("app", listen, a, needs=("db",), **left)
    proxy = await world.start(app, world.server("db", of_db, b, on_exit="leave"))
    assert await run(greeting(listen)) == b"app\n"
    await proxy.stop()
    assert StubServer.running == set()
    assert "app is stopped, not left running: it needs db" in caplog.messages


@pytest_twisted.ensureDeferred
async def test_players_are_warned_of_the_stop_of_what_their_server_needs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WithConsole, "sent", [])
    listen, of_db, a, b = free_ports(4)
    console = {"plugin": "stub_server:WithConsole", "stop_warning_command": "say {text}"}
    app = world.server("app", listen, a, needs=("db",), **console)
    proxy = await world.start(app, world.server("db", of_db, b, stop_warnings=(0.3,)))
    async with Client(listen) as player:
        assert await player.line() == b"app\n"
        proxy.servers["db"].plan_stop(after=0.3, operator="max")
        await until(lambda: WithConsole.sent)
        assert StubServer.running == {a, b}
        await until(lambda: not StubServer.running)
    assert WithConsole.sent == ["say The server stops in 1 s."]


@pytest_twisted.ensureDeferred
async def test_a_reload_asks_only_the_plugins_of_new_and_changed_servers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, a, b = free_ports(4)
    proxy = await world.start(world.server("first", first, a))
    asked: list[str] = []
    monkeypatch.setattr(StubServer, "check", lambda plugin: asked.append(""), raising=False)
    world.configure(world.server("first", first, a), world.server("second", second, b))
    assert await proxy.reload() == ["second: added"]
    assert len(asked) == 1
    await proxy.reload()
    assert len(asked) == 1
    world.configure(world.server("first", first, a, idle_shutdown=900.0), world.server("second", second, b))
    await proxy.reload()
    assert len(asked) == 2


@pytest_twisted.ensureDeferred
async def test_which_servers_run(world: World) -> None:
    first, second, a, b = free_ports(4)
    proxy = await world.start(world.server("first", first, a), world.server("second", second, b))
    assert proxy.running == []
    async with Client(second) as player:
        assert await player.line() == b"second\n"
        assert proxy.running == ["second"]
