"""What server browsers are shown of a server that does not run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datagram_server import FULL_STATISTICS, INFO, RULES, serving, source
from datagram_server import quake as quake_server
from harness import FakeReactor, proxy_config, running_reactor, stub_config, until
from hypothesis import given
from hypothesis import strategies as st
from protocols.udp_captures import SERVERS
from pytest_twisted import ensureDeferred

from zeroscale.config.model import PortConfig
from zeroscale.errors import ProtocolError
from zeroscale.probes.pace import REQUEST
from zeroscale.probes.queried_server import QueriedServer
from zeroscale.probes.source_query import SourceProbe
from zeroscale.probes.udp import UdpProbe
from zeroscale.protocols import gamespy_query, quake_query, source_query
from zeroscale.protocols.datagrams import DatagramQuery, NextRequest
from zeroscale.protocols.source_query import Question, SourceQuery
from zeroscale.proxy import query_factory, udp_factory
from zeroscale.proxy.factory import server_settings
from zeroscale.proxy.managed_server import ManagedServer
from zeroscale.proxy.plugin_setup import PluginSetup
from zeroscale.proxy.query_factory import StoredAnswers
from zeroscale.status import ProbeResult
from zeroscale.system.background_file import FileWriter

KEY = bytes(range(16))
CLIENT = ("192.0.2.7", 4711)
PROTOCOLS = ["source-query", "quake-query", "minecraft-query"]
SLEEPING = "zZz Asleep. Join to wake it"


class World:
    """A server with a further port for queries."""

    def __init__(self, directory: Path, protocol: str, **values: Any) -> None:
        self.directory = directory
        port = PortConfig(listen=("udp:27016",), server_port=27015, protocol=protocol)  # type: ignore[arg-type]
        config = stub_config("meadows", 27014, 27013, directory, ports=(port,), **values)
        self.server = ManagedServer(config, proxy_config(directory, config), FakeReactor(), FileWriter())
        self.port = self.server.ports[1]
        self.conversation = query_factory.conversation(self.port, KEY, lambda: 0.0)

    def store(self, **answers: bytes) -> None:
        stored = StoredAnswers(self.port.config, self.server.answers)
        for name, answer in answers.items():
            stored.store(name, answer)
        self.server.answers.flush()

    def ask(self, query: DatagramQuery[Any]) -> Any:
        """Ask as a client does, which is answered no more than it has asked until it has proved its address."""
        proved = False
        for _ in range(4):
            asked = query.request
            reply = self.conversation.receive(asked, *CLIENT, 0.0)
            assert reply.wake is None
            [event] = [found for each in reply.datagrams if (found := query.receive(each)) is not None]
            if not isinstance(event, NextRequest):
                proved = reply.proved
                break
            assert not reply.proved
        self.proved = proved
        return event


def source_info(world: World) -> source_query.SourceInfo:
    info: source_query.SourceInfo = world.ask(SourceQuery(Question.info)).info
    assert world.proved
    return info


def quake(world: World, question: bytes) -> Any:
    event = world.ask(quake_query.QuakeQuery(question, b"abc"))
    assert not world.proved, "the protocol proves no address, so that the caller has to limit these answers"
    return event


def statistics(world: World) -> gamespy_query.StatisticsReceived:
    event: gamespy_query.StatisticsReceived = world.ask(gamespy_query.GameSpyQuery(b"\1\2\3\4"))
    assert world.proved
    return event


def test_source_without_a_real_answer(tmp_path: Path) -> None:
    world = World(tmp_path, "source-query")
    info = source_info(world)
    assert (info.name, info.players, info.maximum) == (f"meadows - {SLEEPING}", 0, 0)
    assert world.ask(SourceQuery(Question.players)).players == ()
    assert world.ask(SourceQuery(Question.rules)).raw == source_query.NO_RULES


def test_source_from_the_last_real_answer(tmp_path: Path) -> None:
    world = World(tmp_path, "source-query")
    world.store(info=INFO, rules=RULES[:100])
    info = source_info(World(tmp_path, "source-query"))  # of the next process
    assert (info.name, info.map, info.players, info.maximum) == (f"Meadows - {SLEEPING}", "Midgard", 0, 32)
    assert world.ask(SourceQuery(Question.rules)).raw == RULES[:100]


def test_a_damaged_answer_is_as_none(tmp_path: Path) -> None:
    world = World(tmp_path, "source-query")
    world.store(info=b"\x49damaged", rules=RULES[:100])
    assert source_info(world).name == f"meadows - {SLEEPING}"


def test_quake_without_a_real_answer(tmp_path: Path) -> None:
    world = World(tmp_path, "quake-query")
    info, status = quake(world, quake_query.GET_INFO), quake(world, quake_query.GET_STATUS)
    assert info.variables["hostname"] == status.variables["sv_hostname"] == f"meadows - {SLEEPING}"
    assert (info.players, status.players) == (0, ())


def test_quake_from_the_last_real_answers(tmp_path: Path) -> None:
    world = World(tmp_path, "quake-query")
    world.store(info=SERVERS["openarena getinfo"], status=SERVERS["openarena getstatus"])
    info, status = quake(world, quake_query.GET_INFO), quake(world, quake_query.GET_STATUS)
    assert info.variables["hostname"] == status.variables["sv_hostname"] == f"Red Arena - {SLEEPING}"
    assert (info.players, info.maximum, info.variables["mapname"]) == (0, 8, "oa_dm1")
    assert status.players == ()


def test_minecraft_without_a_real_answer(tmp_path: Path) -> None:
    answer = statistics(World(tmp_path, "minecraft-query"))
    assert (answer.variables["hostname"], answer.players) == (f"meadows - {SLEEPING}", 0)


def test_minecraft_from_the_last_real_answer(tmp_path: Path) -> None:
    world = World(tmp_path, "minecraft-query")
    world.store(full=FULL_STATISTICS)
    world.conversation.receive(b"\xfe\xfd\x09\1\2\3\4", *CLIENT, 0.0)
    answer = statistics(world)
    assert (answer.variables["hostname"], answer.players) == (f"A Minecraft Server - {SLEEPING}", 0)


def test_a_text_and_motd_of_the_operator(tmp_path: Path) -> None:
    world = World(tmp_path, "source-query", motd="replace", texts={"sleeping": "&6Bin gleich\nda"})
    world.store(info=INFO)
    assert source_info(world).name == "Bin gleich da"


def test_a_long_name_leaves_room_for_our_text(tmp_path: Path) -> None:
    world = World(tmp_path, "quake-query")
    world.store(info=SERVERS["openarena getinfo"].replace(b"^1Red ^7Arena", b"x" * 60))
    shown = quake(world, quake_query.GET_INFO).variables["hostname"]
    assert shown == "x" * (quake_query.LONGEST_NAME - len(SLEEPING) - 3) + f" - {SLEEPING}"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_no_query_breaks_the_protocol(tmp_path: Path, protocol: str) -> None:
    world = World(tmp_path, protocol)
    for datagram in (b"", b"\0", b"\xff" * 5, b"\xfe\xfd", b"hello", b"\xff\xff\xff\xffq", bytes(1500)):
        with pytest.raises(ProtocolError):
            world.conversation.receive(datagram, *CLIENT, 0.0)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_before_a_challenge_answers_are_bounded(tmp_path: Path, protocol: str) -> None:
    """Without a proof of its address a client gets little; of Quake's answers the caller limits the number."""
    world = World(tmp_path, protocol)
    for datagram in (
        SourceQuery(Question.info).request,
        SourceQuery(Question.players).request,
        b"\xfe\xfd\x09\1\2\3\4",
        b"\xfe\xfd\0\1\2\3\4\0\0\0\0\0\0\0\0",
        b"\xff\xff\xff\xffgetstatus",
    ):
        try:
            reply = world.conversation.receive(datagram, *CLIENT, 0.0)
        except ProtocolError:
            continue
        assert not reply.proved
        longest = {"source-query": len(datagram), "minecraft-query": len(datagram) + 9, "quake-query": 200}[protocol]
        assert sum(map(len, reply.datagrams)) <= longest


def test_on_a_port_that_is_also_played_on_players_wake_the_server_and_queries_do_not(tmp_path: Path) -> None:
    config = stub_config("arena", "udp:27014", 27013, tmp_path, protocol="quake-query", wake_on="datagrams:2/10")
    server = ManagedServer(config, proxy_config(tmp_path, config), FakeReactor(), FileWriter())
    conversation = query_factory.conversation(server.ports[0], KEY, lambda: 0.0)
    for _ in range(10):
        reply = conversation.receive(b"\xff\xff\xff\xffgetinfo xxx", *CLIENT, 0.0)
        assert reply.datagrams
        assert reply.wake is None
    connect = b"\xff\xff\xff\xffgetchallenge"
    assert [conversation.receive(connect, *CLIENT, 0.0).wake is not None for _ in range(2)] == [False, True]


def test_the_name_of_a_minecraft_server_is_that_of_its_server_list(tmp_path: Path) -> None:
    (tmp_path / "server.properties").write_text("motd=A home\\nfor all\n")
    world = World(tmp_path, "minecraft-query", plugin="stub_server:Minecraft")
    world.store(full=FULL_STATISTICS)
    assert statistics(world).variables["hostname"] == f"A home {SLEEPING}"


def test_each_port_has_answers_of_its_own(tmp_path: Path) -> None:
    world = World(tmp_path, "source-query")
    world.store(info=INFO)
    other = PortConfig(listen=("udp:27020",), server_port=27019, protocol="source-query")
    assert StoredAnswers(world.port.config, world.server.answers).load("info") == INFO
    assert StoredAnswers(other, world.server.answers).load("info") == b""


QUERY = PortConfig(listen=("udp:27016",), server_port=27015, protocol="source-query")


def plugin_setup(directory: Path, **values: Any) -> PluginSetup:
    config = stub_config("game", "udp:27014", 27013, directory, **values)
    return PluginSetup(config, proxy_config(directory, config), FakeReactor())


def test_a_main_port_that_is_queried_is_ready_once_it_answers(tmp_path: Path) -> None:
    made = plugin_setup(tmp_path, protocol="source-query")
    assert isinstance(made.probe, QueriedServer)
    assert made.probe.check_pace == REQUEST
    assert isinstance(made.probe.main, SourceProbe)


def test_whether_it_is_ready_is_asked_of_the_main_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp_factory, "readiness", lambda config, reactor, probe, log: probe)
    made = plugin_setup(tmp_path, ports=(QUERY,))
    assert isinstance(made.probe, QueriedServer)
    assert isinstance(made.make_readiness(), UdpProbe)


def test_a_server_without_a_queried_port_has_a_plain_probe(tmp_path: Path) -> None:
    other = PortConfig(listen=("8123",), server_port=8100, protocol="http")
    assert plugin_setup(tmp_path, ports=(other,)).queried is None


@pytest.mark.parametrize(
    ("values", "asked"),
    [
        ({"protocol": "source-query"}, True),
        ({"ports": (QUERY,)}, True),
        ({"plugin": "stub_server:Minecraft"}, True),
        ({}, False),
    ],
)
def test_a_server_that_says_who_is_on_is_asked_before_it_is_stopped(
    tmp_path: Path, values: dict[str, Any], asked: bool
) -> None:
    made = plugin_setup(tmp_path, **values)
    settings = server_settings(made.config, proxy_config(tmp_path, made.config), made.plugin, made.player_lists)
    assert settings.policy.ask_players == asked


@pytest.mark.parametrize("ready", ["connect", "line:ready"])
@ensureDeferred
async def test_real_answers_are_stored_for_each_port(tmp_path: Path, ready: str) -> None:
    """Who is on is asked of the main port, where that is queried, whatever shows that the server is ready."""
    with serving(source()) as main, serving(quake_server) as further:
        config = stub_config(
            "game",
            "udp:27014",
            main.port,
            tmp_path,
            ready=ready,
            protocol="source-query",
            ports=(PortConfig(listen=("udp:27016",), server_port=further.port, protocol="quake-query"),),
        )
        server = ManagedServer(config, proxy_config(tmp_path, config), running_reactor(), FileWriter())
        made = PluginSetup(config, server.proxy_config, server.reactor)
        server.dependencies(made)
        assert made.queried is not None
        assert isinstance(made.queried.main, SourceProbe) == (ready == "connect")
        result = await made.queried.ask()
        assert result == ProbeResult(players=2, player_names=("Ada", "Bob\ufffd"))
        stored = [StoredAnswers(port.config, server.answers) for port in server.ports]
        await until(lambda: stored[1].load("status"))
    assert stored[0].load("info").startswith(b"I\x11Meadows")
    assert stored[0].load("rules") == RULES
    assert b"Red ^7Arena" in stored[1].load("info")


@given(begin=st.sampled_from((b"", b"\xff\xff\xff\xff", b"\xfe\xfd", b"\xfe\xfd\0")), rest=st.binary(max_size=80))
def test_whatever_a_stranger_sends_wakes_nothing_and_proves_nothing(
    tmp_path_factory: pytest.TempPathFactory, begin: bytes, rest: bytes
) -> None:
    for protocol in PROTOCOLS:
        world = WORLDS.get(protocol) or WORLDS.setdefault(protocol, World(tmp_path_factory.mktemp("state"), protocol))
        try:
            reply = world.conversation.receive(begin + rest, *CLIENT, 0.0)
        except ProtocolError:
            continue
        assert (reply.wake, reply.proved) == (None, False)
        assert sum(map(len, reply.datagrams)) <= len(rest) + 300


WORLDS: dict[str, World] = {}
"""For all examples: a conversation keeps nothing of one."""
