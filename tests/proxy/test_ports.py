"""Ports that several servers share: who is led where, which are open, and which servers cannot share one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import pytest_twisted
from harness import tame, whole
from ports import free_ports
from twisted.internet.testing import MemoryReactorClock

from zeroscale.errors import ConfigError, ProtocolError
from zeroscale.frontend.connection_limits import PendingConnections
from zeroscale.frontend.context import FrontendContext
from zeroscale.protocols.conversation import ClientRecognised
from zeroscale.protocols.minecraft.dispatch import MinecraftConversation
from zeroscale.protocols.minecraft.text_component import plain
from zeroscale.proxy.managed_server import Hosted
from zeroscale.proxy.ports import Doors, plan


class Relays:
    def hand_over(self, *arguments: Any, **more: Any) -> Any:
        raise NotImplementedError


class World:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.reactor = cast(Any, MemoryReactorClock())
        self.house = FrontendContext(self.reactor, Relays(), PendingConnections(64, 1000), 5.0)
        self.doors = Doors(self.reactor, self.house)

    def hosted(self, name: str, *listen: str, **values: Any) -> Hosted:
        config = tame(name, "1", 2, self.directory, listen=listen, **values)
        return Hosted(config, whole(self.directory, config), self.reactor)

    @property
    def open(self) -> list[int]:
        return [port for port, *_ in self.reactor.tcpServers]

    def listener(self, index: int) -> Any:
        factory = self.reactor.tcpServers[index][1]
        while not hasattr(factory, "route"):
            factory = factory.wrappedFactory
        return factory

    def led_to(self, index: int, host: str) -> str | None:
        place = self.listener(index).route(host)
        return None if place is None else place.server.view.name


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def planned(*servers: Hosted) -> Any:
    return plan((server.config, server) for server in servers)


@pytest_twisted.ensureDeferred
async def test_servers_that_share_a_port_open_it_once(world: World) -> Any:
    survival = world.hosted("survival", "tcp:1001", hosts=("Survival.example.org.",))
    creative = world.hosted("creative", "tcp:1001", "tcp:1002", hosts=("*.creative.example.org",))
    anybody = world.hosted("anybody", "tcp:1001")
    await world.doors.open(planned(survival, creative, anybody))
    assert world.open == [1001, 1002]
    assert world.led_to(0, "survival.example.org") == "survival"
    assert world.led_to(0, "x.creative.example.org") == "creative"
    assert world.led_to(0, "") == "anybody"
    assert world.led_to(1, "survival.example.org") is None


@pytest_twisted.ensureDeferred
async def test_who_comes_later_is_led_by_the_later_plan(world: World) -> Any:
    former, later = world.hosted("former", "tcp:1001"), world.hosted("later", "tcp:1001")
    await world.doors.open(planned(former))
    await world.doors.open(planned(later))
    assert (world.open, world.led_to(0, "")) == ([1001], "former")
    await world.doors.lead_to(planned(later))
    assert (world.open, world.led_to(0, "")) == ([1001], "later")


@pytest_twisted.ensureDeferred
async def test_what_a_client_must_show_is_the_servers_that_stands_behind_its_door(world: World) -> Any:
    wiki = world.hosted("wiki", "tcp:1001", wake_on="http", wake_timeout=3.0, health_check=("192.0.2.1",))
    cache = world.hosted("cache", "tcp:1002", wake_on="data", wake_timeout=2.0)
    demo = {"plugin": "demo", "plugin_positional": (), "plugin_keywords": {}}
    game = world.hosted("game", "tcp:1003", health_check=("192.0.2.2",), **demo)
    await world.doors.open(planned(wiki, cache, game))
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
    await world.doors.lead_to({"tcp:1001": [cache]})
    assert (http.timeout, list(http.health_check)) == (2.0, [])
    assert list(http.make_conversation().receive(b"\0")) == [ClientRecognised()]


@pytest_twisted.ensureDeferred
async def test_all_doors_open_or_none(tmp_path: Path) -> Any:
    from twisted.internet import reactor

    port, busy = free_ports(2)
    world = World(tmp_path)
    doors = Doors(reactor, world.house)
    other = Doors(reactor, world.house)
    await other.open(planned(world.hosted("other", f"tcp:{busy}")))
    both = world.hosted("both", f"tcp:{port}", f"tcp:{busy}")
    with pytest.raises(ConfigError, match=f"cannot listen on 'tcp:{busy}': Address already in use"):
        await doors.open(planned(both))
    await other.open(planned(world.hosted("again", f"tcp:{port}")))
    await other.lead_to(planned())
    await doors.open(planned(both))
    await doors.close()


@pytest_twisted.ensureDeferred
async def test_messages_for_unknown_hosts_are_those_of_the_first_server(world: World) -> Any:
    texts = {"unknown_host_kick": "Not here, {player}"}
    demo = {"plugin": "demo", "plugin_positional": (), "plugin_keywords": {}}
    first = world.hosted("first", "tcp:1001", hosts=("a.example.org",), texts=texts, **demo)
    second = world.hosted("second", "tcp:1001", hosts=("b.example.org",), **demo)
    await world.doors.open(planned(first, second))
    messages = world.listener(0).messages()
    assert plain(messages.unknown_host_kick("c.example.org", "Steve")) == "Not here, Steve"
