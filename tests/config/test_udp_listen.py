"""The `listen` values of UDP ports."""

from __future__ import annotations

import pytest

from zeroscale.config.udp_listen import UdpListen, parse


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("udp:19132", UdpListen(19132)),
        ("udp:1:interface=127.0.0.1", UdpListen(1, "127.0.0.1")),
        (r"udp:65535:interface=2001\:db8\:\:1", UdpListen(65535, "2001:db8::1")),
        ("udp:65535:interface=[2001:db8::1]", UdpListen(65535, "2001:db8::1")),
        ("udp:65535:interface=::1", UdpListen(65535, "::1")),
        ("udp:systemd:game", UdpListen(inherited="game")),
    ],
)
def test_values(listen: str, expected: UdpListen) -> None:
    assert parse(listen) == expected


@pytest.mark.parametrize(
    ("listen", "named"),
    [
        ("udp:", "a UDP port is written as udp:PORT"),
        ("udp:0", "with a port from 1 to 65535"),
        ("udp:65536", "with a port from 1 to 65535"),
        ("udp:\u0661", "a UDP port is written as"),
        ("udp:port=53", "a UDP port is written as"),
        ("udp:53:interface=localhost", "an IPv4 or IPv6 address"),
        ("udp:53:backlog=3", "may only come :interface="),
        ("udp:systemd:", "comes a name"),
        ("udp:systemd:a:b", "comes a name"),
    ],
)
def test_mistakes(listen: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        parse(listen)
