"""Conflicts between servers. The messages are in fixtures/broken_configs.toml."""

from __future__ import annotations

from typing import Any

import pytest

from zeroscale.config.conflicts import mistakes_between, port_of
from zeroscale.config.model import PortConfig, ProxyProtocolConfig, ServerConfig


def server(name: str, **values: Any) -> ServerConfig:
    read = {"plugin": "minecraft", "listen": ("25565",), "server_port": 25575 + ord(name) - ord("a")}
    return ServerConfig(name=name, **{**read, **values})


def port(listen: str, server_port: int | None, **values: Any) -> PortConfig:
    return PortConfig(listen=(listen,), server_port=server_port, **values)


def mistakes(*servers: ServerConfig, metrics: str | None = None) -> list[str]:
    return [str(mistake) for mistake in mistakes_between(servers, metrics)]


@pytest.mark.parametrize(
    ("listen", "port"),
    [
        ("25565", ("tcp", 25565)),
        ("tcp:25565", ("tcp", 25565)),
        ("tcp6:port=25565", ("tcp", 25565)),
        ("tcp:25565:interface=::1", ("tcp", 25565)),
        ("udp:19132", ("udp", 19132)),
        ("udp:19132:interface=::1", ("udp", 19132)),
        ("unix:/1", None),
        ("systemd:domain=INET:index=0", None),
    ],
)
def test_the_port_of_a_listen_value(listen: str, port: tuple[str, int] | None) -> None:
    assert port_of(listen) == port


@pytest.mark.parametrize(
    "servers",
    [
        (server("a"), server("b", listen=("25566",))),
        (server("a"), server("b", hosts=("b.example.org",)), server("c", hosts=("c.example.org", "*.example.org"))),
        (server("a", server_port=1), server("b", listen=("25566",), server_host="192.0.2.1", server_port=1)),
        (server("a", listen=("tcp:1:interface=::1",)), server("b", listen=("tcp:1:interface=192.0.2.1",))),
        (server("a", server_host="192.0.2.1", server_port=25565),),
        (server("a", ports=(port("udp:25565", 25575),)), server("b", listen=("25566",), ports=(port("udp:19132", 1),))),
        (server("a", ports=(port("8123", 25575),)),),
        (server("a", ports=(port("80", 1, hosts=("a.org",)),)), server("b", listen=("80",))),
        (server("a", listen=("80",), ports=(port("80", 1, hosts=("a.org",)),)),),
    ],
)
def test_servers_without_conflicts(servers: tuple[ServerConfig, ...]) -> None:
    assert mistakes(*servers) == []


def test_each_conflict_of_two_servers_is_reported_once() -> None:
    both = ("25565", "25566")
    assert len(mistakes(server("a", listen=both), server("b", listen=both))) == 1
    believing = ProxyProtocolConfig(accept_from=("10.0.0.1",))
    [message] = mistakes(
        server("a", listen=both, hosts=("a.example.org",)), server("b", listen=both, proxy_protocol=believing)
    )
    assert message.startswith("servers.b.proxy_protocol.accept_from: differs from servers.a's")


def test_each_of_three_servers_is_named() -> None:
    assert [message.partition(":")[0] for message in mistakes(server("a"), server("b"), server("c"))] == [
        "servers.b.hosts",
        "servers.c.hosts",
    ]


def test_metrics_have_a_port_of_their_own() -> None:
    assert mistakes(server("a"), metrics="tcp:9225") == []
    [message] = mistakes(server("a"), metrics="tcp:25565")
    assert message.startswith("metrics.listen:")


def test_loopback_has_many_names() -> None:
    [message] = mistakes(
        server("a", server_host="::1", server_port=1),
        server("b", listen=("2",), server_host="localhost", server_port=1),
    )
    assert message.startswith('servers.b.server: "localhost:1" is servers.a\'s as well')


def test_what_has_a_mistake_of_its_own_is_not_compared() -> None:
    servers = [server("a"), server("b", server_port=25575)]
    assert len(list(mistakes_between(servers))) == 2
    assert [mistake.path for mistake in mistakes_between(servers, None, {"servers.a.hosts"}.__contains__)] == [
        "servers.b.server"
    ]
    assert [mistake.path for mistake in mistakes_between(servers, None, {"servers.b.server"}.__contains__)] == [
        "servers.b.hosts"
    ]


@pytest.mark.parametrize(
    ("further", "expected"),
    [
        (port("8123", 25575), 'servers.b.ports[0].server: "127.0.0.1:25575" is servers.a\'s as well'),
        (port("8123", 25565), 'servers.a.listen: "25565" is the port of servers.b.ports[0]\'s server'),
        (port("25576", 8123), 'servers.b.ports[0].listen: "25576" is the port of its own server'),
        (port("udp:5", 5, server_host="localhost"), 'servers.b.ports[0].listen: "udp:5" is the port of its own server'),
        (port("80", 8123), "servers.b.ports[0].hosts: is missing, and servers.c has none either"),
        (port("80", 8123, hosts=("c.org",)), None),
        (port("tcp:80", 8123, hosts=("c.org",)), 'servers.b.ports[0].listen: "tcp:80" is the same port as servers.c'),
        (
            port("81", 8123, hosts=("c.org",)),
            'servers.b.ports[0].hosts: "c.org" is a host of servers.c.ports[0] on "81" as well; give each '
            "server a host of its own, or another port",
        ),
        (port("8123", None, server_path="/run/c"), 'servers.b.ports[0].server: "/run/c" is servers.c.ports[1]\'s as'),
        (
            port("unix:/run/c:mode=600", 8123),
            'servers.b.ports[0].listen: "unix:/run/c:mode=600" is the port of servers.c.',
        ),
        (
            port("unix:address=/run/c", 8123),
            'servers.b.ports[0].listen: "unix:address=/run/c" is the port of servers.c.',
        ),
        (port("udp:81", 8123), 'servers.b.ports[0].listen: "udp:81" is servers.c.ports[2]\'s as well; a UDP port'),
        (port("udp:81:interface=::1", 8123), None),
        (port("9225", 8123), 'metrics.listen: "9225" is servers.b.ports[0].listen\'s port'),
    ],
)
def test_conflicts_of_further_ports(further: PortConfig, expected: str | None) -> None:
    others = (port("81", 1, hosts=("c.org",)), port("82", None, server_path="/run/c"), port("udp:81", 2))
    first, last = server("a"), server("b", listen=("25566",), ports=(further,))
    found = mistakes(first, server("c", listen=("80",), ports=others), last, metrics="9225")
    assert [each[: len(expected or "")] for each in found] == ([] if expected is None else [expected])


def test_the_same_port_twice_in_one_server_needs_hosts() -> None:
    [message] = mistakes(server("a", listen=("80",), ports=(port("80", 1),)))
    assert message.startswith("servers.a.ports[0].hosts: is missing, and servers.a has none either")
