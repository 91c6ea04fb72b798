"""Annotations, and their tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zeroscale.config import loader
from zeroscale.plugins.kubernetes.annotations import tables_of


def described(
    name: str = "mc", *, namespace: str = "games", kind: str = "statefulset", spec: Any = None, **annotations: str
) -> tuple[str, dict[str, Any]]:
    keys = {f"zeroscale/{key.replace('__', '.')}": value for key, value in annotations.items()}
    metadata = {"name": name, "namespace": namespace, "annotations": {**keys, "other.example/host": "x"}}
    return kind, {"metadata": metadata, "spec": spec or {}}


def read(*objects: tuple[str, dict[str, Any]], qualified: bool = False, **extra: str) -> Any:
    tables, wrong = tables_of(objects, ["25565"], extra, qualified=qualified)
    assert wrong == []
    return tables


def test_a_host_is_enough() -> None:
    assert read(described(host="mc.example.org")) == {
        "mc": {
            "plugin": "kubernetes",
            "plugin_arguments": {"resource": "statefulset/mc", "namespace": "games"},
            "listen": ["25565"],
            "hosts": ["mc.example.org"],
            "server": "mc.games.svc:25565",
        }
    }


def test_what_has_neither_host_nor_listen_is_no_server() -> None:
    assert read(described(), described("two", idle_shutdown="5")) == {}
    assert read(("deployment", {"metadata": {"name": "three", "namespace": "games"}})) == {}


def test_everything_that_can_be_set() -> None:
    container = {"ports": [{"containerPort": 25575}, {"containerPort": 25566, "name": "minecraft", "protocol": "TCP"}]}
    spec = {"serviceName": "headless", "template": {"spec": {"containers": [container]}}}
    tables = read(
        described(
            kind="deployment",
            spec=spec,
            name="survival",
            host="a.example.org, *.mc.example.org",
            listen="25570",
            protocol="minecraft",
            idle_shutdown="15m",
            max_crashes="3",
            legacy_hold="true",
            texts__sleeping="Join to wake",
            admission__wake="known",
            admission__deny='["10.0.0.0/8", "Griefer"]',
        ),
        context="home",
    )
    assert tables == {
        "survival": {
            "plugin": "kubernetes",
            "plugin_arguments": {
                "resource": "deployment/survival",
                "namespace": "games",
                "context": "home",
                "protocol": "minecraft",
            },
            "listen": ["25570"],
            "hosts": ["a.example.org", "*.mc.example.org"],
            "server": "headless.games.svc:25566",
            "idle_shutdown": "15m",
            "max_crashes": "3",
            "legacy_hold": "true",
            "texts": {"sleeping": "Join to wake"},
            "admission": {"wake": "known", "deny": '["10.0.0.0/8", "Griefer"]'},
        }
    }


def test_it_is_what_the_reader_takes(tmp_path: Path) -> None:
    described_server = described(
        host="mc.example.org",
        protocol="minecraft",
        idle_shutdown="15m",
        texts__sleeping="zzz",
        admission__deny='["10.0.0.0/8", "Griefer"]',
        admission__allow="Notch, 192.0.2.7",
        admission__wakes_per_minute="2.5",
    )
    server = loader.parse_server("mc", read(described_server)["mc"], tmp_path)
    assert server.server_host == "mc.games.svc"
    assert server.idle_shutdown == 900
    assert server.plugin_keywords["resource"] == "statefulset/mc"
    assert (server.admission.deny, server.admission.allow) == (("10.0.0.0/8", "Griefer"), ("Notch", "192.0.2.7"))
    assert server.admission.wakes_per_minute == 2.5


def test_a_web_server_has_its_page_and_its_path_of_health_checks(tmp_path: Path) -> None:
    found = described(listen="8080", protocol="http", waiting="page", health_path="/healthz")
    server = loader.parse_server("mc", read(found)["mc"], tmp_path)
    assert (server.plugin_keywords["protocol"], server.waiting, server.health_path) == ("http", "page", "/healthz")


def test_service_and_port_of_its_own() -> None:
    table = read(described(host="h", service="front", port="7777"))
    assert table["mc"]["server"] == "front.games.svc:7777"


def test_names_are_distinguished_by_namespace() -> None:
    two = (described(host="a"), described(namespace="more", host="b"))
    assert list(read(*two, qualified=True)) == ["games.mc", "more.mc"]
    assert list(read(described(name="x", host="a"))) == ["x"]
    named = described(host="a")
    named[1]["metadata"]["annotations"]["zeroscale/name"] = "survival"
    assert list(read(named, qualified=True)) == ["survival"]


def test_a_name_is_given_once() -> None:
    tables, wrong = tables_of(
        [described(host="b"), described(kind="deployment", host="a")], ["25565"], {}, qualified=False
    )
    assert tables["mc"]["hosts"] == ["a"], "in an order that does not change from time to time"
    assert wrong == [
        "statefulset/mc in namespace 'games': there is a server 'mc' already: give it another zeroscale/name"
    ]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("idle_shutdwon", "zeroscale/idle_shutdwon is not known: did you mean idle_shutdown?"),
        ("working_directory", "zeroscale/working_directory may not be set here"),
        ("plugin", "zeroscale/plugin may not be set here"),
        ("plugin_arguments.command", "zeroscale/plugin_arguments.command may not be set here"),
        ("server", "zeroscale/server"),
        ("texts", "zeroscale/texts may not be set here"),
    ],
)
def test_what_may_not_be_set_is_left_out_and_reported(key: str, message: str) -> None:
    found = described(host="h")
    found[1]["metadata"]["annotations"][f"zeroscale/{key}"] = "x"
    tables, wrong = tables_of([found], ["25565"], {}, qualified=False)
    assert tables == read(described(host="h"))
    [line] = wrong
    assert line.startswith(f"statefulset/mc in namespace 'games': {message}")


def test_no_annotation_reaches_out_of_its_namespace_or_into_our_environment() -> None:
    table = read(described(host="h", admission__allow='[{env = "SECRET"}]', motd='{env = "SECRET"}', join="[broken"))
    assert table["mc"]["admission"] == {"allow": '[{env = "SECRET"}]'}
    assert table["mc"]["motd"] == '{env = "SECRET"}'
    assert table["mc"]["join"] == "[broken"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "service",
            "db.other",
            "zeroscale/service='db.other' is not the name of a Service in its namespace, such as mc",
        ),
        ("service", "10.0.0.1:22", "is not the name of a Service in its namespace"),
        ("port", "minecraft", "zeroscale/port='minecraft' is not a port, such as 25565"),
        ("listen", "unix:/run/admin.sock", "zeroscale/listen='unix:/run/admin.sock' is not a port, such as 25565"),
        ("listen", '[25565, "unix:/x"]', "is not a port"),
    ],
)
def test_values_without_which_there_is_no_server(key: str, value: str, message: str) -> None:
    tables, wrong = tables_of([described(host="h", **{key: value})], ["25565"], {}, qualified=False)
    assert tables == {}
    [line] = wrong
    assert message in line


def test_several_ports() -> None:
    assert read(described(listen="[25565, 25566]"))["mc"]["listen"] == ["25565", "25566"]


def test_further_ports_are_of_the_same_service(tmp_path: Path) -> None:
    further = {"ports__map__listen": "8123", "ports__map__port": "8100", "ports__map__keeps_awake": "yes"}
    [table] = read(described(listen="25565", **further)).values()
    assert table["ports"] == [{"listen": ["8123"], "keeps_awake": "yes", "server": "8100"}]
    [port] = loader.parse_server("mc", table, tmp_path).ports
    assert (port.server_host, port.server_port, port.counts) == (None, 8100, True)
