"""Bedrock ports: what is shown of the real server while it sleeps, and how it is asked while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from datagram_server import BEDROCK, bedrock
from harness import proxy_config, stub_config
from msgspec.structs import replace
from probes.udp_server import udp_server
from protocols.bedrock.joins import first_request, reliable, request_settings, second_request, sent
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.task import deferLater

from zeroscale.config.model import PortConfig
from zeroscale.frontend.interfaces import Server
from zeroscale.protocols.bedrock.disconnect import encode
from zeroscale.protocols.bedrock.port import BedrockPort
from zeroscale.protocols.bedrock.status import ping, read_pong
from zeroscale.protocols.proxy_protocol import V2_FIXED
from zeroscale.proxy import bedrock_factory
from zeroscale.proxy.managed_server import ManagedServer
from zeroscale.proxy.server_port import ServerPort
from zeroscale.status import ServerSnapshot, Status
from zeroscale.system.background_file import FileWriter

KEY = bytes(range(16))
PING = ping(b"12345678")
ASLEEP = ServerSnapshot("game", Status.stopped, 0.0, estimate=30.0)
HOST = "203.0.113.7"


class World:
    """A port whose real server is a socket of the test."""

    def __init__(self, directory: Path, server_port: int = 19133, **values: Any) -> None:
        port = PortConfig(listen=("udp:19132",), server_port=server_port, protocol="bedrock", wakes=True)
        config = stub_config("game", 25565, 25566, directory, ports=(replace(port, **values),), texts={}, motd="beside")
        self.server = ManagedServer(config, proxy_config(directory, config), cast("Any", reactor), FileWriter())
        self.port: ServerPort = self.server.ports[1]
        self.now = 100.0
        self.fake = SimpleNamespace(view=ASLEEP)
        self.port.backend.server = cast("Server", self.fake)
        self.conversation: BedrockPort = bedrock_factory.conversation(self.port, KEY, lambda: self.now)

    def run(self) -> None:
        self.fake.view = replace(ASLEEP, status=Status.running, since=self.now)
        assert list(self.conversation.server_ready(self.now)) == []

    def stop(self) -> None:
        self.fake.view = ASLEEP

    def asleep(self) -> list[str]:
        [pong] = self.conversation.receive(PING, HOST, 1, self.now).datagrams
        return read_pong(pong, b"12345678").decode().split(";")

    def running(self) -> list[str]:
        datagrams = self.conversation.answer_running(PING, HOST, 1, self.now).datagrams
        return read_pong(datagrams[0], b"12345678").decode().split(";") if datagrams else []

    async def known(self) -> list[str]:
        """Wait for the real server's pong."""
        for _ in range(500):
            if found := self.running():
                return found
            await deferLater(cast("Any", reactor), 0.01)
        raise AssertionError("no pong")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_before_the_server_was_ever_seen(world: World) -> None:
    fields = world.asleep()
    assert fields[:6] == ["MCPE", "§3zZz §7Asleep. §fJoin to wake it§7 (about 30 s)", "2225", "1.26.60", "0", "10"]
    assert fields[10:12] == ["19132", "19132"]


@ensureDeferred
async def test_asleep_as_the_real_server_was(tmp_path: Path) -> None:
    async with udp_server(lambda datagram: list(bedrock(datagram))) as real:
        world = World(tmp_path, real.port)
        world.run()
        assert (await world.known())[1] == "§aA Bedrock server"
        world.stop()
        for each in (world, World(tmp_path, real.port)):
            fields = each.asleep()
            assert fields[2:6] == ["2193", "1.26.51", "0", "7"]
            assert fields[1].startswith("§3zZz")
            assert fields[7] == "§aA Bedrock server", "our text is in the line that all clients show"
            assert fields[10:12] == ["19133", "19133"], "it names a port that is not its own"
            each.server.answers.flush()


@ensureDeferred
async def test_the_second_line_where_our_texts_replace_its_motd(tmp_path: Path) -> None:
    async with udp_server(lambda datagram: list(bedrock(datagram))) as real:
        world = World(tmp_path, real.port)
        world.server.config = replace(world.server.config, motd="replace")
        world.run()
        await world.known()
        world.stop()
        assert world.asleep()[7] == ""


@ensureDeferred
async def test_its_own_port_is_shown_as_that_of_the_clients(tmp_path: Path) -> None:
    status = ""

    def answer(datagram: bytes) -> Sequence[bytes]:
        [pong] = bedrock(datagram)
        head = pong[: 1 + 8 + 8 + 16]
        return [head + len(status).to_bytes(2) + status.encode()]

    async with udp_server(answer) as real:
        status = BEDROCK.replace("19133", str(real.port)).replace("§", "")
        world = World(tmp_path, real.port)
        world.run()
        assert (await world.known())[10:12] == ["19132", "19132"]
        world.stop()
        assert world.asleep()[10:12] == ["19132", "19132"]


@ensureDeferred
async def test_a_server_whose_motd_has_a_semicolon(tmp_path: Path) -> None:
    def answer(datagram: bytes) -> Sequence[bytes]:
        [pong] = bedrock(datagram)
        return [pong.replace(b" Bedrock", b";Bedrock")]

    async with udp_server(answer) as real:
        world = World(tmp_path, real.port)
        world.run()
        assert (await world.known())[1:3] == ["§aA", "Bedrock server"]
        world.stop()
        assert world.asleep()[2:6] == ["2225", "1.26.60", "0", "10"]


@ensureDeferred
async def test_the_real_server_is_asked_once_a_second(tmp_path: Path) -> None:
    async with udp_server(lambda datagram: list(bedrock(datagram))) as real:
        world = World(tmp_path, real.port)
        world.run()
        await world.known()
        for _ in range(20):
            assert world.running()
            await deferLater(cast("Any", reactor), 0)
        world.now += bedrock_factory.ASK_EVERY - 0.01
        assert world.running()
        assert len(real.received) == 1
        world.now += 0.01
        assert world.running()
        await real.count(2)
        world.now += bedrock_factory.FRESH + 1
        assert world.running() == [], "the last one is old"


@ensureDeferred
async def test_a_server_that_does_not_run_is_not_asked(tmp_path: Path) -> None:
    async with udp_server(lambda datagram: list(bedrock(datagram))) as real:
        world = World(tmp_path, real.port)
        for status in (Status.starting, Status.failed):
            world.fake.view = replace(ASLEEP, status=status)
            world.conversation.server_ready(world.now)
        world.now += bedrock_factory.ASK_EVERY
        await deferLater(cast("Any", reactor), 0.05)
        assert real.received == []
        world.run()
        await real.count(1)
        await world.known()


@ensureDeferred
async def test_a_server_that_is_silent_is_asked_one_question_at_a_time(tmp_path: Path) -> None:
    async with udp_server(lambda datagram: ()) as real:
        world = World(tmp_path, real.port)
        world.run()
        world.now += bedrock_factory.ASK_EVERY
        assert world.running() == []
        await real.count(2)
        assert len(set(real.received)) == 1, "the same ping again"
        world.stop()


@ensureDeferred
async def test_what_is_kept_of_it_does_not_change_with_its_players(tmp_path: Path) -> None:
    async with udp_server(lambda datagram: list(bedrock(datagram))) as real:
        world = World(tmp_path, real.port)
        world.run()
        await world.known()
    assert world.server.answers.load("bedrock-udp-19132") == BEDROCK.replace(";3;7;", ";0;7;").encode()


@ensureDeferred
async def test_what_is_shown_follows_the_state_the_time_and_the_real_server(tmp_path: Path) -> None:
    async with udp_server(lambda datagram: list(bedrock(datagram))) as real:
        world = World(tmp_path, real.port)
        shown = [world.asleep()]
        view = replace(ASLEEP, status=Status.starting, since=world.now)
        world.fake.view = view
        shown.append(world.asleep())
        assert "ready in about 30 s" in shown[-1][1]
        world.now += 10
        shown.append(world.asleep())
        assert "ready in about 20 s" in shown[-1][1]
        world.run()
        await world.known()
        world.fake.view = view
        shown.append(world.asleep())
        assert shown[-1][5] == "7"
        assert shown == [list(each) for each in dict.fromkeys(map(tuple, shown))]


@ensureDeferred
async def test_a_pong_of_the_last_run_answers_no_ping(tmp_path: Path) -> None:
    async with udp_server(lambda datagram: list(bedrock(datagram))) as real:
        world = World(tmp_path, real.port)
        world.run()
        await world.known()
        world.now += 0.5
        world.fake.view = replace(ASLEEP, status=Status.running, since=world.now)
        assert world.running() == []


@ensureDeferred
async def test_a_server_that_opens_this_port_after_its_main_one(tmp_path: Path) -> None:
    async with udp_server(lambda datagram: ()) as free:
        port = free.port
    world = World(tmp_path, port)
    world.run()
    async with udp_server(lambda datagram: list(bedrock(datagram)), port) as real:
        await real.count(1)
        assert (await world.known())[1] == "§aA Bedrock server"


@ensureDeferred
async def test_geyser_is_named_a_client_by_the_header_of_a_ping(tmp_path: Path) -> None:
    async with udp_server(lambda datagram: ()) as real:
        world = World(tmp_path, real.port, send_proxy_protocol="v2")
        world.run()
        await real.count(1)
        world.stop()
    header = real.received[0]
    assert header[12:14] == b"\x21\x12", "it speaks for a client over UDP"
    assert header[V2_FIXED:].startswith(bytes((127, 0, 0, 1)) * 2)
    assert header[V2_FIXED + 12 :][9:25] == PING[9:25]


def joined(world: World) -> None:
    reply = world.conversation.receive(first_request(), HOST, 1, world.now).datagrams[0]
    world.conversation.receive(second_request(reply[26:30]), HOST, 1, world.now)
    assert world.conversation.receive(sent(0, reliable(request_settings(2225))), HOST, 1, world.now).wake


def told(world: World) -> bytes:
    [reply] = world.conversation.tick(world.now + 9)
    return reply.reply.datagrams[0]


def test_a_held_player_is_told_how_long_it_takes(world: World) -> None:
    world.fake.view = replace(ASLEEP, status=Status.starting, since=world.now)
    joined(world)
    text = "§eThe server is waking up.\n§7Please join again in about 20 s."
    assert told(world).endswith(encode(2225, text))


def test_a_held_player_is_told_once_the_server_runs(world: World) -> None:
    joined(world)
    world.fake.view = replace(ASLEEP, status=Status.running, since=world.now)
    [reply] = world.conversation.server_ready(world.now)
    world.stop()
    assert reply.reply.datagrams[0].endswith(encode(2225, "§aThe server is awake.\n§7Please join again now."))


def test_a_held_player_is_told_why_the_start_has_failed(world: World) -> None:
    joined(world)
    world.fake.view = replace(ASLEEP, status=Status.failed, reason="its port is taken", retry_at=world.now + 30)
    [reply] = world.conversation.server_ready(world.now)
    assert b"its port is taken" in reply.reply.datagrams[0]


def test_a_port_that_does_not_wake_says_so(tmp_path: Path) -> None:
    world = World(tmp_path, wakes=False)
    joined(world)
    assert b"Only its operator can wake it." in told(world)


def test_without_the_cookie(tmp_path: Path) -> None:
    world = World(tmp_path, cookie=False)
    reply = world.conversation.receive(first_request(), HOST, 1, world.now).datagrams[0]
    assert reply[25] == 0
    assert world.conversation.receive(second_request(), HOST, 1, world.now).datagrams


@pytest.mark.parametrize(
    ("listen", "port"), [("udp:19132", 19132), ("udp:19132:interface=127.0.0.1", 19132), ("systemd:name=game", None)]
)
def test_the_port_that_clients_use(listen: str, port: int | None) -> None:
    assert bedrock_factory.listen_port(PortConfig(listen=(listen,), server_port=1)) == port


def test_each_port_is_a_server_of_its_own(tmp_path: Path) -> None:
    assert World(tmp_path).asleep()[6] == World(tmp_path).asleep()[6]
    other = World(tmp_path)
    other.port.config = replace(other.port.config, listen=("udp:19134",))
    again = bedrock_factory.conversation(other.port, KEY, lambda: 0.0)
    assert again.receive(PING, HOST, 1, 0.0).datagrams != other.conversation.receive(PING, HOST, 1, 0.0).datagrams
