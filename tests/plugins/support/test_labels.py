"""Which keys labels may set, and how they get into a server's table."""

from __future__ import annotations

import pytest

from zeroscale.config.model import PortConfig
from zeroscale.plugins.support.labels import DescribedPort, Table, further_ports, hosts, ports, put, settable


def test_only_keys_that_their_metadata_allow_are_set() -> None:
    table: Table = {}
    wrong: list[str] = []
    for key, text in {
        "idle_shutdown": "15m",
        "max-crashes": "3",
        "texts.sleeping": "12",
        "admission.wake": "known",
        "plugin": "command",
        "idle_shutdwn": "5",
        "idle-timeout": "5",
        "texts": "x",
        "texts.": "x",
        "join.x": "hold",
    }.items():
        put(table, key, text, f"label {key}", ["host"], wrong)
    assert table == {
        "idle_shutdown": "15m",
        "max-crashes": "3",
        "texts": {"sleeping": "12"},
        "admission": {"wake": "known"},
    }
    assert wrong == [
        "label plugin may not be set here",
        "label idle_shutdwn is not known: did you mean idle_shutdown?",
        "label idle-timeout is not known: did you mean idle_shutdown?",
        "label texts may not be set here",
        "label texts. may not be set here",
        "label join.x may not be set here",
    ]


def test_nothing_that_names_a_file_or_a_command_can_be_set() -> None:
    assert not {"plugin", "plugin_arguments", "working_directory", "listen", "server", "on_exit", "ready"} & {
        *settable()
    }


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("25565", ["25565"]),
        ("25565, 25566", ["25565", "25566"]),
        ("[25565, 25566]", ["25565", "25566"]),
        ("unix:/run/x", None),
        ("25565 x", None),
        ("", None),
    ],
)
def test_only_ports_are_listened_on(text: str, found: list[str] | None) -> None:
    assert ports(text) == found


def test_hosts() -> None:
    assert hosts("a.example.org, *.b.example.org  c") == ["a.example.org", "*.b.example.org", "c"]


def test_further_ports() -> None:
    wrong: list[str] = []
    labels = {
        "idle_shutdown": "5",
        "ports.map.listen": "8123, 8124",
        "ports.map.port": "8100",
        "ports.map.host": "a.example.org b.example.org",
        "ports.map.protocol": "http",
        "ports.map.wakes": "yes",
        "ports.map.keeps-awake": "no",
        "ports.bedrock.listen": "udp:19132",
        "ports.bedrock.port": "19133",
    }
    assert list(further_ports(labels, "label ", wrong)) == [
        DescribedPort({"listen": ["udp:19132"]}, 19133, True, "label ports.bedrock."),
        DescribedPort(
            {
                "listen": ["8123", "8124"],
                "hosts": ["a.example.org", "b.example.org"],
                "protocol": "http",
                "wakes": "yes",
                "keeps-awake": "no",
            },
            8100,
            False,
            "label ports.map.",
        ),
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "listen",
    ["", "unix:/run/x", "tcp:25565:interface=0.0.0.0", "udp:1:interface=::", "1, udp:2", "udp:", "udp:udp:1", "x"],
)
def test_further_ports_listen_on_ports_only(listen: str) -> None:
    wrong: list[str] = []
    labels = {"ports.map.listen": listen, "ports.map.port": "8100", "ports.good.listen": "1", "ports.good.port": "2"}
    assert [port.port for port in further_ports(labels, "label ", wrong)] == [2]
    assert wrong == [f"label ports.map.listen={listen!r} is not a port, such as 8123 or udp:19132"]


@pytest.mark.parametrize("port", ["", "0", "65536", "unix:/run/x", "10.0.0.1:80", "udp:5"])
def test_the_real_port_is_nowhere_else(port: str) -> None:
    wrong: list[str] = []
    assert list(further_ports({"ports.map.listen": "8123", "ports.map.port": port}, "label ", wrong)) == []
    assert wrong == [f"label ports.map.port={port!r} is not a port, such as 8123"]


def test_keys_of_further_ports_that_may_not_be_set() -> None:
    wrong: list[str] = []
    labels = {"listen": "8123", "port": "1", "server": "10.0.0.1:80", "wake_on": "x", "wakez": "yes", "": "x"}
    [port] = further_ports({f"ports.map.{key}": text for key, text in labels.items()}, "label ", wrong)
    assert port.table == {"listen": ["8123"]}
    assert wrong == [
        "label ports.map. may not be set here",
        "label ports.map.server may not be set here",
        "label ports.map.wake_on may not be set here",
        "label ports.map.wakez is not known: did you mean wakes?",
    ]
    assert not {"server", "wake_on", "send_proxy_protocol", "listen"} & {*settable(PortConfig)}
