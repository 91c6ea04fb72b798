"""What two servers of a configuration cannot both have; tests/proxy/test_preflight.py has worlds and ports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from harness import stub_config

from zeroscale.config.model import PortConfig
from zeroscale.proxy.exclusive_use import ExclusiveUse, shared


@dataclass
class Facts:
    speaks_minecraft: bool = False
    speaks_http: bool = False
    controls: Mapping[str, bool] = field(default_factory=dict)


def mistakes(use: ExclusiveUse, name: str, controls: Mapping[str, bool]) -> list[str]:
    server = stub_config(name, name, 1, Path("/srv"))
    return [f"{each.path}: {each.text}" for each in use.add(server, Facts(controls=controls), Path("/srv") / name)]


HTTP_PORT: dict[str, Any] = {"protocol": "http", "hosts": ("c.example.org",)}
MINECRAFT, HTTP, OTHER = Facts(speaks_minecraft=True), Facts(speaks_http=True), Facts()


def of_ports(*servers: tuple[Facts, dict[str, Any]]) -> list[str]:
    """The mistakes of servers a, b, ... with these values."""
    use = ExclusiveUse()
    found: list[str] = []
    for name, (facts, values) in zip("abc", servers, strict=False):
        server = stub_config(name, "1", 1, Path("/srv"), **{"listen": ("80",), **values})
        found += [f"{each.path}: {each.text}" for each in use.add(server, facts, Path("/srv") / name)]
    return found


HOSTS: dict[str, Any] = {"hosts": ("b.example.org",)}
TLS = {"wake_on": "tls"}


@pytest.mark.parametrize(
    "servers",
    [
        [(MINECRAFT, {}), (MINECRAFT, HOSTS)],
        [(HTTP, {}), (OTHER, {**HOSTS, "wake_on": "http"})],
        [(OTHER, {"protocol": "http"}), (HTTP, HOSTS)],
        [(OTHER, TLS), (OTHER, {**TLS, **HOSTS}), (HTTP, {"listen": ("81",)})],
        [(HTTP, HOSTS)],
        [(OTHER, {}), (OTHER, {"listen": ("81",)})],
        [(OTHER, {"listen": ("80", "80")})],
        [(HTTP, {}), (OTHER, {"listen": ("81",), "ports": (PortConfig(listen=("80",), server_port=2, **HTTP_PORT),)})],
        [(HTTP, {"ports": (PortConfig(listen=("80",), server_port=2, **HTTP_PORT),)})],
    ],
)
def test_servers_whose_clients_name_the_host_in_the_same_way_share_a_port(
    servers: list[tuple[Facts, dict[str, Any]]],
) -> None:
    assert of_ports(*servers) == []


NO_HOST = (
    "its clients do not name the host they connect to, as those of Minecraft, of HTTP (protocol or wake_on http) and "
    "of TLS (wake_on tls) do; remove hosts"
)
NOT_TOLD_APART = (
    "clients are told apart by the host they name only with Minecraft, HTTP (protocol or wake_on http) and TLS "
    "(wake_on tls); give one of them another port"
)


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        ([(OTHER, HOSTS)], [f"servers.a.hosts: {NO_HOST}"]),
        ([(OTHER, {**HOSTS, "wake_on": "data"})], [f"servers.a.hosts: {NO_HOST}"]),
        (
            [(OTHER, {"ports": (PortConfig(listen=("81",), server_port=2, **HOSTS),)})],
            [f"servers.a.ports[0].hosts: {NO_HOST}"],
        ),
        (
            [(OTHER, {"listen": ("udp:80",), **HOSTS})],
            [f"servers.a.hosts: {NO_HOST}"],
        ),
        ([(OTHER, {}), (HTTP, HOSTS)], [f"servers.b.listen: servers.a listens on 80 as well, and {NOT_TOLD_APART}"]),
        ([(HTTP, HOSTS), (OTHER, {})], [f"servers.b.listen: servers.a listens on 80 as well, and {NOT_TOLD_APART}"]),
        (
            [(MINECRAFT, HOSTS), (HTTP, {})],
            [
                "servers.b.listen: servers.a listens on 80 as well, and its clients speak Minecraft, but these speak "
                "HTTP; give one of them another port"
            ],
        ),
        (
            [(HTTP, HOSTS), (OTHER, TLS)],
            [
                "servers.b.listen: servers.a listens on 80 as well, and its clients speak HTTP, but these speak TLS; "
                "give one of them another port"
            ],
        ),
        (
            [(OTHER, TLS), (HTTP, {"listen": ("81",), "ports": (PortConfig(listen=("80",), server_port=2),)})],
            [f"servers.b.ports[0].listen: servers.a listens on 80 as well, and {NOT_TOLD_APART}"],
        ),
    ],
)
def test_servers_that_cannot_share_a_port(servers: list[tuple[Facts, dict[str, Any]]], expected: list[str]) -> None:
    assert of_ports(*servers) == expected


def test_two_servers_with_one_container() -> None:
    use = ExclusiveUse()
    assert mistakes(use, "a", {"container mc": True}) == []
    assert mistakes(use, "b", {"container b": True}) == []
    assert mistakes(use, "c", {"container mc": True}) == [
        "servers.c.plugin_arguments: container mc is servers.a's as well, and would be stopped under the clients of "
        "one when the other is idle; name another one here, or make one server of them, whose listen can be a list"
    ]


@pytest.mark.parametrize(
    ("stops", "other_stops", "refused"),
    [(True, True, True), (True, False, True), (False, True, True), (False, False, False)],
)
def test_what_neither_stops_both_may_start(stops: bool, other_stops: bool, refused: bool) -> None:
    use = ExclusiveUse()
    assert mistakes(use, "a", {"machine x": stops}) == []
    assert bool(mistakes(use, "b", {"machine x": other_stops})) == refused
    assert shared({"machine x": stops}, {"machine y": True, "machine x": other_stops}) == (
        "machine x" if refused else None
    )


def test_two_names_in_common_are_one_mistake() -> None:
    use = ExclusiveUse()
    both = {"machine 00:11:22:33:44:55": True, "machine 192.168.1.20": True}
    assert mistakes(use, "a", both) == []
    assert len(mistakes(use, "b", both)) == 1


def test_a_copy_has_the_same_servers_and_changes_by_itself() -> None:
    use = ExclusiveUse()
    mistakes(use, "a", {"container a": True})
    copy = use.copy()
    mistakes(copy, "b", {"container b": True})
    assert len(mistakes(copy, "c", {"container a": True, "container b": True})) == 2
    assert len(mistakes(use, "c", {"container a": True, "container b": True})) == 1
