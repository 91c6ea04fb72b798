"""Listening ports: which are open, and which server a client is routed to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from client_hellos import client_hello
from harness import FakeReactor, proxy_config, running_reactor, stub_config
from ports import free_ports

from zeroscale.config.model import PortConfig
from zeroscale.errors import ConfigError, ProtocolError
from zeroscale.frontend.connection_limits import PendingConnections
from zeroscale.frontend.context import FrontendContext
from zeroscale.frontend.waiting_places import WaitingPlaces
from zeroscale.protocols.conversation import ClientRecognised, Connected, HealthCheckRequested, HostNamed
from zeroscale.protocols.minecraft.dispatch import MinecraftConversation
from zeroscale.protocols.minecraft.text_component import plain
from zeroscale.proxy.managed_server import ManagedServer
from zeroscale.proxy.ports import PortManager, ports_by_listen
from zeroscale.system.background_file import FileWriter


class Relays:
    def hand_over(self, *arguments: Any, **more: Any) -> Any:
        raise NotImplementedError

    def relay_socket(self, *arguments: Any, **more: Any) -> Any:
        raise NotImplementedError


class World:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.reactor: Any = FakeReactor()
        self.context = FrontendContext(self.reactor, Relays(), PendingConnections(64, 1000), WaitingPlaces(64), 5.0)
        self.manager = PortManager(self.reactor, self.context)

    def server(self, name: str, *listen: str, **values: Any) -> ManagedServer:
        config = stub_config(name, "1", 2, self.directory, listen=listen, **values)
        return ManagedServer(config, proxy_config(self.directory, config), self.reactor, FileWriter())

    @property
    def open(self) -> list[int]:
        return [port for port, *_ in self.reactor.tcpServers]

    def listener(self, index: int) -> Any:
        factory = self.reactor.tcpServers[index][1]
        while not hasattr(factory, "route"):
            factory = factory.wrappedFactory
        return factory

    def routed_to(self, index: int, host: str) -> str | None:
        backend = self.listener(index).route(host)
        return None if backend is None else backend.server.view.name


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def by_port(*servers: ManagedServer) -> Any:
    return ports_by_listen([port for server in servers for port in server.ports])


@pytest_twisted.ensureDeferred
async def test_servers_that_share_a_port_open_it_once(world: World) -> Any:
    survival = world.server("survival", "tcp:1001", hosts=("Survival.example.org.",))
    creative = world.server("creative", "tcp:1001", "tcp:1002", hosts=("*.creative.example.org",))
    anybody = world.server("anybody", "tcp:1001")
    await world.manager.open(by_port(survival, creative, anybody))
    assert world.open == [1001, 1002]
    assert world.routed_to(0, "survival.example.org") == "survival"
    assert world.routed_to(0, "x.creative.example.org") == "creative"
    assert world.routed_to(0, "") == "anybody"
    assert world.routed_to(1, "survival.example.org") is None


@pytest_twisted.ensureDeferred
async def test_later_connections_are_routed_to_the_new_servers(world: World) -> Any:
    former, later = world.server("former", "tcp:1001"), world.server("later", "tcp:1001")
    await world.manager.open(by_port(former))
    await world.manager.open(by_port(later))
    assert (world.open, world.routed_to(0, "")) == ([1001], "former")
    await world.manager.route_to(by_port(later))
    assert (world.open, world.routed_to(0, "")) == ([1001], "later")


@pytest_twisted.ensureDeferred
async def test_conversations_and_limits_are_those_of_the_server_behind_the_port(world: World) -> Any:
    wiki = world.server("wiki", "tcp:1001", wake_on="http", wake_timeout=3.0, health_check=("192.0.2.1",))
    cache = world.server("cache", "tcp:1002", wake_on="data", wake_timeout=2.0)
    demo = {"plugin": "demo", "plugin_positional": (), "plugin_keywords": {}}
    game = world.server("game", "tcp:1003", health_check=("192.0.2.2",), **demo)
    await world.manager.open(by_port(wiki, cache, game))
    http, data, minecraft = (world.listener(index) for index in range(3))
    assert (http.timeout, data.timeout, minecraft.timeout) == (3.0, 2.0, None)
    assert [str(network) for network in [*http.health_check, *minecraft.health_check]] == [
        "192.0.2.1/32",
        "192.0.2.2/32",
    ]
    assert list(data.make_conversation().receive(b"x")) == [ClientRecognised()]
    with pytest.raises(ProtocolError, match="not HTTP"):
        http.make_conversation().receive(b"\0")
    assert isinstance(minecraft.make_conversation(), MinecraftConversation)
    await world.manager.route_to({"tcp:1001": [cache.ports[0]]})
    assert (http.timeout, list(http.health_check)) == (2.0, [])
    assert list(http.make_conversation().receive(b"\0")) == [ClientRecognised()]


@pytest_twisted.ensureDeferred
async def test_a_further_port_has_a_conversation_and_limits_of_its_own(world: World) -> Any:
    web = PortConfig(
        listen=("tcp:1002",), server_port=81, protocol="http", wakes=True, wake_timeout=2.0, health_path="/healthz"
    )
    game = world.server("game", "tcp:1001", wake_on="data", wake_timeout=9.0, ports=(web,))
    await world.manager.open(by_port(game))
    assert [world.listener(index).timeout for index in (0, 1)] == [9.0, 2.0]
    made = world.listener(1).make_conversation()
    assert list(made.opened()) == [Connected(may_be_check=True)]
    *_, client = made.receive(b"GET / HTTP/1.1\r\nAccept: text/html\r\n\r\n")
    assert client == ClientRecognised(0.0, "page")


@pytest_twisted.ensureDeferred
async def test_a_plugin_may_say_that_its_server_speaks_http(world: World) -> Any:
    web = world.server("web", "tcp:1001", plugin="stub_server:Web", health_path="/healthz")
    await world.manager.open(by_port(web))
    made = world.listener(0).make_conversation()
    assert list(made.opened()) == [Connected(may_be_check=True)]
    [event] = made.receive(b"GET /healthz HTTP/1.1\r\n\r\n")
    assert isinstance(event, HealthCheckRequested)


@pytest_twisted.ensureDeferred
async def test_all_ports_open_or_none(tmp_path: Path) -> Any:
    port, busy = free_ports(2)
    world = World(tmp_path)
    manager = PortManager(running_reactor(), world.context)
    other = PortManager(running_reactor(), world.context)
    await other.open(by_port(world.server("other", f"tcp:{busy}")))
    both = world.server("both", f"tcp:{port}", f"tcp:{busy}")
    with pytest.raises(ConfigError, match=f"cannot listen on 'tcp:{busy}': Address already in use"):
        await manager.open(by_port(both))
    await other.open(by_port(world.server("again", f"tcp:{port}")))
    await other.route_to(by_port())
    await manager.open(by_port(both))
    await manager.close()


@pytest_twisted.ensureDeferred
async def test_messages_for_unknown_hosts_are_those_of_the_first_server(world: World) -> Any:
    texts = {"unknown_host_kick": "Not here, {player}"}
    demo = {"plugin": "demo", "plugin_positional": (), "plugin_keywords": {}}
    first = world.server("first", "tcp:1001", hosts=("a.example.org",), texts=texts, **demo)
    second = world.server("second", "tcp:1001", hosts=("b.example.org",), **demo)
    await world.manager.open(by_port(first, second))
    messages = world.listener(0).messages()
    assert plain(messages.unknown_host_kick("c.example.org", "Steve")) == "Not here, Steve"


def received(world: World, index: int, data: bytes) -> list[Any]:
    """The events of a client of a port."""
    conversation = world.listener(index).make_conversation()
    return [*conversation.opened(), *conversation.receive(data)]


def get(host: str, path: str = "/") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\n\r\n".encode()


@pytest_twisted.ensureDeferred
async def test_web_servers_that_share_a_port_have_their_own_settings(world: World) -> Any:
    web: dict[str, Any] = {"plugin": "stub_server:Web"}
    note = {"page_note": "A note of the wiki"}
    wiki = world.server(
        "wiki", "tcp:1001", hosts=("wiki.example.org",), waiting="page", wake_timeout=2.0, texts=note, **web
    )
    shop = world.server("shop", "tcp:1001", hosts=("*.example.org",), health_path="/up", wake_timeout=4.0, **web)
    await world.manager.open(by_port(wiki, shop))
    assert world.listener(0).timeout == 4.0
    wanted = [HostNamed("wiki.example.org"), Connected(), ClientRecognised(0.0, "page")]
    assert received(world, 0, get("wiki.example.org")) == wanted
    client = world.listener(0).make_conversation()
    client.receive(get("wiki.example.org"))
    assert b"<p>A note of the wiki</p>" in client.kick("Waking up")
    assert world.routed_to(0, "wiki.example.org") == "wiki"
    wanted = [HostNamed("a.example.org"), Connected(may_be_check=True), Connected(), ClientRecognised(None, "page")]
    assert received(world, 0, get("A.example.org:80")) == wanted
    assert world.routed_to(0, "a.example.org") == "shop"
    assert received(world, 0, get("example.com")) == [HostNamed("example.com")]
    assert world.routed_to(0, "example.com") is None
    [check] = received(world, 0, get("10.0.0.1", "/up"))
    assert isinstance(check, HealthCheckRequested)
    anything = world.server("anything", "tcp:1001", wake_on="http")
    await world.manager.route_to(by_port(wiki, anything))
    assert received(world, 0, get("example.com")) == [
        HostNamed("example.com"),
        Connected(),
        ClientRecognised(None, "page"),
    ]
    assert world.routed_to(0, "example.com") == "anything"


@pytest_twisted.ensureDeferred
async def test_a_server_with_its_port_alone_need_not_know_the_host(world: World) -> Any:
    web = world.server("web", "tcp:1001", wake_on="http")
    named = world.server("named", "tcp:1002", wake_on="http", hosts=("a.example.org",))
    await world.manager.open(by_port(web, named))
    assert received(world, 0, b"") == [Connected()]
    assert received(world, 1, get("b.example.org")) == [HostNamed("b.example.org")]


@pytest_twisted.ensureDeferred
async def test_further_ports_share_a_port_by_host(world: World) -> Any:
    both = (
        PortConfig(listen=("tcp:1001",), server_port=3, protocol="http", hosts=("map.example.org",), wakes=True),
        PortConfig(listen=("tcp:1001",), server_port=4, protocol="http", hosts=("stats.example.org",), wakes=True),
    )
    game = world.server("game", "tcp:1002", ports=both)
    wiki = world.server("wiki", "tcp:1001", wake_on="http")
    await world.manager.open(by_port(game, wiki))
    backends = [
        world.listener(1).route(host).port for host in ("map.example.org", "stats.example.org", "x.example.org")
    ]
    assert backends == [3, 4, wiki.backend.port]
    assert received(world, 1, get("map.example.org"))[0] == HostNamed("map.example.org")


@pytest_twisted.ensureDeferred
async def test_tls_servers_share_a_port_by_the_server_name(world: World) -> Any:
    mail = world.server("mail", "tcp:1001", wake_on="tls", hosts=("mail.example.org",))
    chat = world.server("chat", "tcp:1001", wake_on="tls")
    await world.manager.open(by_port(mail, chat))
    assert received(world, 0, client_hello("mail.example.org")) == [
        HostNamed("mail.example.org"),
        Connected(),
        ClientRecognised(),
    ]
    with pytest.raises(ProtocolError, match="not TLS"):
        received(world, 0, get("mail.example.org"))
