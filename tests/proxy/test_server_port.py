"""The ports of one server: addresses, protocols, settings, and what a reload keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness import FakeReactor, proxy_config, stub_config

from zeroscale.config.model import AdmissionConfig, PortConfig, ServerConfig
from zeroscale.protocols.conversation import ClientRecognised
from zeroscale.protocols.minecraft.text_component import plain
from zeroscale.proxy.managed_server import ManagedServer
from zeroscale.proxy.reconfigure import apply_change, prepare_change
from zeroscale.reports import DatagramReport
from zeroscale.status import PlayerSign
from zeroscale.system.background_file import FileWriter

MAP = PortConfig(listen=("8123",), server_port=8100, protocol="http")
BEDROCK = PortConfig(listen=("udp:19132",), server_port=19133, protocol="bedrock", wakes=True)
ELSEWHERE = PortConfig(listen=("8124",), server_host="192.0.2.7", server_port=81, keeps_awake=True)


class World:
    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def config(self, *ports: PortConfig, **values: Any) -> ServerConfig:
        return stub_config("game", 25565, 25566, self.directory, ports=ports, **values)

    def server(self, *ports: PortConfig, **values: Any) -> ManagedServer:
        config = self.config(*ports, **values)
        return ManagedServer(config, proxy_config(self.directory, config), FakeReactor(), FileWriter())

    def change(self, server: ManagedServer, config: ServerConfig) -> str:
        change = prepare_change(server, config, proxy_config(self.directory, config))
        assert change is not None
        return apply_change(server, change)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


DEMO = {"plugin": "demo", "plugin_keywords": {}}


def test_a_port_without_a_host_is_where_the_main_port_is(world: World) -> None:
    server = world.server(MAP, ELSEWHERE, server_host="192.0.2.1")
    assert [(port.backend.host, port.backend.port) for port in server.ports] == [
        ("192.0.2.1", 25566),
        ("192.0.2.1", 8100),
        ("192.0.2.7", 81),
    ]
    server.ports[1].use_address("192.0.2.99", 4)  # as of a container that has another one after each start
    assert (server.ports[1].backend.host, server.ports[1].backend.port) == ("192.0.2.99", 8100)


def test_all_ports_share_a_lifecycle_and_what_is_counted(world: World) -> None:
    main, *others = [port.backend for port in world.server(MAP, BEDROCK).ports]
    assert all(each.server is main.server and each.stats is main.stats for each in others)


def test_protocols_and_what_shows_a_player(world: World) -> None:
    server = world.server(MAP, BEDROCK, ELSEWHERE, **DEMO)
    assert [port.protocol for port in server.ports] == ["minecraft", "http", "bedrock", "none"]
    signs = [port.backend.sign for port in server.ports]
    assert signs == [None, PlayerSign.client_bytes, PlayerSign.server_bytes, PlayerSign.connection]


def test_a_further_port_wakes_and_counts_as_it_says(world: World) -> None:
    ports = world.server(MAP, BEDROCK, ELSEWHERE).ports
    assert [(port.backend.policy.wakes, port.backend.counts) for port in ports] == [
        (True, True),
        (False, False),
        (True, True),
        (False, True),
    ]


def test_rules_that_need_names_do_not_count_where_clients_have_none(world: World) -> None:
    server = world.server(MAP, admission=AdmissionConfig(wake="whitelist"), **DEMO)
    main, port = (each.backend.admission for each in server.ports)
    assert main is not port
    assert not port.knows_name("Ada")


def test_a_reload_keeps_the_ports_that_stay(world: World) -> None:
    server = world.server(MAP, BEDROCK)
    main, web, game = server.ports
    changed = PortConfig(listen=MAP.listen, server_port=8101, protocol="http", wakes=True)
    assert world.change(server, world.config(changed, ELSEWHERE)) == "ports"
    assert server.ports[:2] == [main, web]
    assert (web.backend.port, web.backend.policy.wakes, web.backend.counts) == (8101, True, True)
    assert game not in server.ports
    assert (server.ports[2].config, server.ports[2].backend.counts) == (ELSEWHERE, True)


def test_a_further_port_may_be_a_unix_socket_and_says_nothing_about_the_server(world: World) -> None:
    main, admin = world.server(PortConfig(listen=("8125",), server_port=None, server_path="/run/admin.sock")).ports
    assert (admin.backend.host, main.backend.is_main, admin.backend.is_main) == ("/run/admin.sock", True, False)
    admin.use_address("192.0.2.99", 4)
    assert admin.backend.host == "/run/admin.sock"


def test_how_clients_of_further_ports_are_treated(world: World) -> None:
    """The plugin's own reply, which `auto` means for the main port, is not in the protocol of another port."""
    app = PortConfig(listen=("8126",), server_port=81, protocol="http", wakes=True)
    held = PortConfig(listen=("8127",), server_port=82, protocol="http", wakes=True, waiting="hold")
    voice = PortConfig(listen=("8128",), server_port=83, wakes=True, keeps_awake=False)
    ports = world.server(MAP, app, held, voice, ELSEWHERE).ports
    policies = [port.backend.policy for port in ports]
    assert [(each.waiting, each.explains, each.for_players) for each in policies] == [
        ("auto", False, True),
        ("page", True, False),
        ("page", False, True),
        ("hold", False, True),
        ("hold", False, True),
        ("hold", False, True),
    ]


def test_texts_say_whether_a_visit_wakes_the_server(world: World) -> None:
    bedrock = PortConfig(listen=("udp:19133",), server_port=19134, protocol="bedrock")
    query = PortConfig(listen=("udp:27016",), server_port=27017, protocol="source-query")
    ports = world.server(MAP, BEDROCK, bedrock, query, **DEMO).ports
    asleep = ports[0].backend.server.view
    words = [plain(port.backend.messages.kick(asleep, 0.0, "Ada")).partition("\n")[0] for port in ports]
    assert words == ["The server was asleep.", "Asleep", "The server was asleep.", "The server is asleep.", "Waking up"]


def test_the_sums_of_all_udp_ports_are_reported(world: World) -> None:
    [main, bedrock] = world.server(
        PortConfig(listen=("udp:1", "udp:2"), server_port=3, protocol="bedrock"), **DEMO
    ).ports
    assert main.report().datagrams is None
    assert bedrock.report().datagrams == DatagramReport()
    bedrock.datagrams["udp:1"] = lambda: DatagramReport(to_server=1, answers=2, dropped={"asleep": 3})
    bedrock.datagrams["udp:2"] = lambda: DatagramReport(to_server=4, sessions=5, dropped={"asleep": 6, "refused": 7})
    dropped = {"asleep": 9, "refused": 7}
    assert bedrock.report().datagrams == DatagramReport(to_server=5, answers=2, sessions=5, dropped=dropped)


def test_a_new_port_does_nothing_before_it_has_its_settings(world: World) -> None:
    """A reload listens on it first: whoever connects then must not be taken for a player."""
    server = world.server()
    server.backend.relaying(lambda: (0, 0))
    [_, port] = server.ports_of(world.config(MAP))
    assert (port.backend.policy.wakes, port.backend.counts, port.backend.clients) == (False, False, 0)
    assert (server.backend.policy.wakes, server.backend.counts) == (True, True)


def test_only_clients_that_wake_are_checked_by_the_rules_of_wakes(world: World) -> None:
    """Else visits of a page would use up the wakes of a player at the same address."""
    wakes = AdmissionConfig(wakes_per_minute=1.0)
    further = PortConfig(listen=("8126",), server_port=81, protocol="minecraft", wakes=True)
    asleep_map = PortConfig(listen=("8127",), server_port=82, protocol="minecraft")
    main, waking, other, web = world.server(further, asleep_map, MAP, admission=wakes, **DEMO).ports
    assert waking.backend.admission is main.backend.admission
    for port in (other, web):
        assert port.backend.admission is not main.backend.admission
        view = port.backend.server.view
        checked = [port.backend.admission.check_wake(ClientRecognised(), "192.0.2.1", view, 0.0) for _ in range(3)]
        assert checked == [None] * 3
