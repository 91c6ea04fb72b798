"""Labels, and their tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zeroscale.config import loader
from zeroscale.errors import ConfigMistakes
from zeroscale.plugins.docker.labels import is_described, tables_of


def described(
    name: str = "mc",
    *,
    networks: tuple[str, ...] = ("games_default",),
    mode: str = "games_default",
    published: dict[str, Any] | None = None,
    exposed: tuple[str, ...] = (),
    compose: str | None = None,
    **labels: str,
) -> dict[str, Any]:
    """An inspection, as of a container that does not run."""
    keys = {f"zeroscale.{key.replace('__', '.')}": text for key, text in labels.items()}
    if compose is not None:
        keys["com.docker.compose.project"] = compose
    return {
        "Id": "06bfc506a8ea",
        "Name": f"/{name}",
        "Config": {"Labels": {**keys, "other.host": "x"}, "ExposedPorts": {port: {} for port in exposed}},
        "HostConfig": {"NetworkMode": mode, "PortBindings": published or {}},
        "NetworkSettings": {"Networks": {network: {"IPAddress": ""} for network in networks}},
    }


def read(*inspections: dict[str, Any], engine_host: str = "127.0.0.1", **extra: str) -> Any:
    tables, wrong = tables_of(inspections, ["25565"], extra, engine_host)
    assert wrong == []
    return tables


def complaint(*inspections: dict[str, Any]) -> str:
    _, [wrong] = tables_of(inspections, ["25565"], {})
    return wrong


def test_a_host_is_enough() -> None:
    assert read(described(host="mc.example.org")) == {
        "mc": {
            "plugin": "docker",
            "plugin_arguments": {"container": "mc", "network": "games_default"},
            "listen": ["25565"],
            "hosts": ["mc.example.org"],
            "server": "mc:25565",
        }
    }


def test_what_has_neither_host_nor_listen_is_no_server() -> None:
    assert read(described(), described("two", idle_shutdown="5"), {"Id": "three"}) == {}
    assert not is_described(None)


def test_everything_that_can_be_set() -> None:
    tables = read(
        described(
            "games-mc-1",
            host="a.example.org, *.mc.example.org",
            listen="25570, 25571",
            port="25566",
            protocol="minecraft",
            network="proxy",
            health="no",
            console="rcon-cli",
            idle_shutdown="15m",
            max_crashes="3",
            legacy_hold="true",
            texts__sleeping="Join to wake",
            admission__wake="known",
        ),
        base_url="unix:///run/podman/podman.sock",
    )
    assert tables == {
        "games-mc-1": {
            "plugin": "docker",
            "plugin_arguments": {
                "container": "games-mc-1",
                "base_url": "unix:///run/podman/podman.sock",
                "network": "proxy",
                "protocol": "minecraft",
                "health": "no",
                "console": "rcon-cli",
            },
            "listen": ["25570", "25571"],
            "hosts": ["a.example.org", "*.mc.example.org"],
            "server": "games-mc-1:25566",
            "idle_shutdown": "15m",
            "max_crashes": "3",
            "legacy_hold": "true",
            "texts": {"sleeping": "Join to wake"},
            "admission": {"wake": "known"},
        }
    }


def test_a_name_of_its_own() -> None:
    named = described("games-mc-1", host="mc.example.org")
    named["Config"]["Labels"]["zeroscale.name"] = "survival"
    assert list(read(named)) == ["survival"]


@pytest.mark.parametrize(
    ("inspection", "server", "network"),
    [
        (described(host="h", mode="host", networks=("host",)), "127.0.0.1:25565", None),
        (described(host="h", network="host", networks=("host",)), "127.0.0.1:25565", "host"),
        (described(host="h", published={"25565/tcp": [{"HostIp": "", "HostPort": "25570"}]}), "127.0.0.1:25570", None),
        (
            described(host="h", published={"25565/tcp": [{"HostIp": "0.0.0.0", "HostPort": "25570"}]}),
            "127.0.0.1:25570",
            None,
        ),
        (
            described(host="h", published={"25565/tcp": [{"HostIp": "10.0.0.7", "HostPort": "25570"}]}),
            "10.0.0.7:25570",
            None,
        ),
        (described(host="h", published={"25565/tcp": [{"HostIp": "::1", "HostPort": "1"}]}), "[::1]:1", None),
        (described(host="h", published={"25565/tcp": [{"HostPort": "0"}]}), "mc:25565", "games_default"),
        (described(host="h", published={"25565/tcp": None, "1/udp": []}), "mc:25565", "games_default"),
        (described(host="h", exposed=("6379/tcp", "6379/udp")), "mc:6379", "games_default"),
        (described(host="h", exposed=("1/tcp", "2/tcp")), "mc:25565", "games_default"),
        (described(host="h", networks=("a", "b"), network="b"), "mc:25565", "b"),
        (described(host="h", networks=("a", "p_default"), compose="p"), "mc:25565", "p_default"),
    ],
)
def test_where_its_server_is(inspection: dict[str, Any], server: str, network: str | None) -> None:
    table = read(inspection)["mc"]
    assert (table["server"], table["plugin_arguments"].get("network")) == (server, network)


def test_what_an_engine_elsewhere_publishes_is_there() -> None:
    published = described(host="h", published={"25565/tcp": [{"HostPort": "25570"}]})
    assert read(published, engine_host="engine.example.org")["mc"]["server"] == "engine.example.org:25570"


@pytest.mark.parametrize(
    ("inspection", "message"),
    [
        (
            described(host="h", port="minecraft"),
            "container mc: zeroscale.port='minecraft' is not a port, such as 25565",
        ),
        (described(host="h", port="70000"), "container mc: zeroscale.port='70000' is not a port, such as 25565"),
        (
            described(listen="unix:/run/x"),
            "container mc: zeroscale.listen='unix:/run/x' is not a port, such as 25565 or udp:19132",
        ),
        (
            described(host="h", protocol="bedrock"),
            "container mc: zeroscale.protocol='bedrock': zeroscale speaks minecraft, http; leave it out for all others",
        ),
        (
            described(host="h", networks=("b", "a")),
            "container mc: it is in several networks: name one with zeroscale.network: a, b",
        ),
        (
            described(host="h", networks=("none",)),
            "container mc: it is in no network, and publishes no port: its server cannot be reached",
        ),
        (
            described(host="h", idle_shutdwn="5"),
            "container mc: zeroscale.idle_shutdwn is not known: did you mean idle_shutdown?",
        ),
        (described(host="h", plugin="command"), "container mc: zeroscale.plugin may not be set here"),
        (described(host="h", plugin_arguments="x"), "container mc: zeroscale.plugin_arguments may not be set here"),
    ],
)
def test_a_mistake_names_its_container_and_label(inspection: dict[str, Any], message: str) -> None:
    assert complaint(inspection) == message


def test_two_of_one_name() -> None:
    one, two = described("one", host="a"), described("two", host="b")
    for each in (one, two):
        each["Config"]["Labels"]["zeroscale.name"] = "mc"
    tables, [wrong] = tables_of([two, one], ["25565"], {})
    assert tables["mc"]["hosts"] == ["a"]
    assert wrong == "container two: there is a server 'mc' already: give it another zeroscale.name"


def test_a_table_is_what_the_reader_takes(tmp_path: Path) -> None:
    inspection = described(host="mc.example.org", admission__wake="known", texts__sleeping="Zzz", legacy_hold="true")
    inspection["Config"]["Labels"]["zeroscale.idle-shutdown"] = "15m"
    server = loader.parse_server("mc", read(inspection)["mc"], tmp_path)
    assert (server.server_host, server.server_port, server.listen) == ("mc", 25565, ("25565",))
    assert (server.idle_shutdown, server.admission.wake, server.legacy_hold) == (900, "known", True)
    assert server.plugin_keywords == {"container": "mc", "network": "games_default"}
    assert server.texts == {"sleeping": "Zzz"}


def test_a_web_server_has_its_page_and_its_path_of_health_checks(tmp_path: Path) -> None:
    inspection = described(listen="8080", protocol="http", waiting="page", health_path="/healthz")
    server = loader.parse_server("web", read(inspection)["mc"], tmp_path)
    assert (server.plugin_keywords["protocol"], server.waiting, server.health_path) == ("http", "page", "/healthz")
    with pytest.raises(ConfigMistakes, match=r"health_path: .* is not a path such as /healthz"):
        loader.parse_server("web", read(described(listen="8080", health_path="healthz"))["mc"], tmp_path)


def test_one_key_in_two_spellings_is_a_mistake(tmp_path: Path) -> None:
    inspection = described(host="mc.example.org", idle_shutdown="15m")
    inspection["Config"]["Labels"]["zeroscale.idle-shutdown"] = "15m"
    with pytest.raises(ConfigMistakes, match="idle_shutdown: is there twice, also as idle-shutdown"):
        loader.parse_server("mc", read(inspection)["mc"], tmp_path)


def test_no_label_reaches_into_our_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    inspection = described(host="h", admission__lockout='{env = "SECRET"}', texts__sleeping='{env = "SECRET"}')
    server = loader.parse_server("mc", read(inspection)["mc"], tmp_path)
    assert (server.admission.lockout, server.texts["sleeping"]) == ('{env = "SECRET"}', '{env = "SECRET"}')


MAP: dict[str, Any] = {"ports__map__listen": "8123", "ports__map__port": "8100", "ports__map__protocol": "http"}
VOICE: dict[str, Any] = {"ports__voice__listen": "udp:24454", "ports__voice__port": "24455"}


def addresses(*inspections: dict[str, Any], engine_host: str = "127.0.0.1") -> list[object]:
    """The listen values and addresses of further ports."""
    [table] = read(*inspections, engine_host=engine_host).values()
    return [(port["listen"], port["server"]) for port in table["ports"]]


def test_a_container_whose_main_port_is_for_datagrams(tmp_path: Path) -> None:
    labels: dict[str, Any] = {"listen": "udp:19132", "protocol": "bedrock", "idle_shutdown": "15m"}
    exposed = ("19132/udp", "22/tcp")
    published = {"19132/udp": [{"HostIp": "127.0.0.1", "HostPort": "19134"}]}
    assert read(described("bds", exposed=exposed, published=published, **labels)) == {
        "bds": {
            "plugin": "docker",
            "plugin_arguments": {"container": "bds"},
            "listen": ["udp:19132"],
            "protocol": "bedrock",
            "server": "127.0.0.1:19134",
            "idle_shutdown": "15m",
        }
    }
    [(_, inside)] = read(described("bds", exposed=exposed, **labels)).items()
    assert (inside["server"], inside["plugin_arguments"]["network"]) == ("bds:19132", "games_default")
    [(_, several)] = read(described("bds", exposed=("1/udp", "2/udp"), **labels)).items()
    assert several["server"] == "bds:19132"
    table = read(described("bds", exposed=exposed, published=published, **labels))["bds"]
    server = loader.parse_server("bds", table, tmp_path)
    assert (server.protocol, server.listen, server.server_port) == ("bedrock", ("udp:19132",), 19134)


@pytest.mark.parametrize("listen", ["udp:", "udp:1 25565", "25565 udp:1", "udp:unix:/x"])
def test_ports_of_one_kind_only(listen: str) -> None:
    message = f"zeroscale.listen={listen!r} is not a port, such as 25565 or udp:19132"
    assert complaint(described(listen=listen)) == f"container mc: {message}"


def test_further_ports_are_where_the_main_port_is() -> None:
    inside = [(["8123"], "8100"), (["udp:24454"], "24455")]
    assert addresses(described(listen="25565", **MAP, **VOICE)) == inside
    on_host = described(listen="25565", mode="host", networks=("host",), **MAP, **VOICE)
    assert addresses(on_host, engine_host="192.0.2.9") == [
        (["8123"], "192.0.2.9:8100"),
        (["udp:24454"], "192.0.2.9:24455"),
    ]
    published = {
        "25565/tcp": [{"HostIp": "", "HostPort": "30000"}],
        "8100/tcp": [{"HostIp": "127.0.0.1", "HostPort": "30001"}],
        "24455/udp": [{"HostIp": "", "HostPort": "30002"}],
        "24455/tcp": [{"HostIp": "", "HostPort": "30003"}],
    }
    assert addresses(described(listen="25565", published=published, **MAP, **VOICE)) == [
        (["8123"], "127.0.0.1:30001"),
        (["udp:24454"], "127.0.0.1:30002"),
    ]
    assert addresses(described(listen="25565", network="games_default", published=published, **MAP, **VOICE)) == inside


def test_a_further_port_that_is_not_published_cannot_be_reached() -> None:
    published = {"25565/tcp": [{"HostIp": "", "HostPort": "30000"}]}
    wrong = complaint(described(listen="25565", published=published, **MAP))
    assert wrong == (
        "container mc: zeroscale.ports.map.port=8100 is not published, as the main port is: it cannot be reached"
    )


def test_labels_of_further_ports_become_a_configuration(tmp_path: Path) -> None:
    [table] = read(described(listen="25565", **MAP, ports__map__wakes="yes")).values()
    server = loader.parse_server("mc", table, tmp_path)
    [port] = server.ports
    assert (port.listen, port.server_port, port.server_host, port.protocol, port.wakes) == (
        ("8123",),
        8100,
        None,
        "http",
        True,
    )
