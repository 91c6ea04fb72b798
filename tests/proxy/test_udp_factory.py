"""Which conversation and which probe a UDP port has, by its configuration."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from harness import FakeReactor, proxy_config, stub_config

from zeroscale.config.model import ProxyProtocolConfig
from zeroscale.probes.readiness import LineReadiness, Readiness
from zeroscale.probes.udp import AnswerProbe, UdpProbe
from zeroscale.process.environment import ChildEnvironment
from zeroscale.protocols.udp import PatternConversation, UdpConversation, WakeRule
from zeroscale.proxy import udp_factory
from zeroscale.proxy.factory import player_sign
from zeroscale.proxy.managed_server import ManagedServer
from zeroscale.proxy.server_port import ServerPort
from zeroscale.status import PlayerSign
from zeroscale.system.background_file import FileWriter


def port(directory: Path, **values: Any) -> ServerPort:
    config = stub_config("game", "udp:1", 2, directory, **values)
    reactor: Any = FakeReactor()
    return ManagedServer(config, proxy_config(directory, config), reactor, FileWriter()).ports[0]


@pytest.mark.parametrize(
    ("wake_on", "rule"),
    [(None, WakeRule(3, 10.0)), ("datagrams:1", WakeRule(1, 10.0)), ("datagrams:5/2.5", WakeRule(5, 2.5))],
)
def test_datagrams_are_counted_as_configured(tmp_path: Path, wake_on: str | None, rule: WakeRule) -> None:
    made = udp_factory.conversation(port(tmp_path, wake_on=wake_on), bytes(32), lambda: 0.0)
    assert isinstance(made, UdpConversation)
    assert made.rule == rule


def test_a_pattern_is_matched(tmp_path: Path) -> None:
    game = port(tmp_path, wake_on="regex:hello")
    made = udp_factory.conversation(game, bytes(32), lambda: 0.0)
    assert isinstance(made, PatternConversation)
    assert made.receive(b"hello", "192.0.2.1", 1, 0.0).wake is not None
    assert udp_factory.wake_rule(game) == WakeRule()


def test_a_client_counts_by_what_it_has_sent(tmp_path: Path) -> None:
    config = stub_config("game", "udp:1", 2, tmp_path)
    assert player_sign(config.all_ports[0], "none") is PlayerSign.client_bytes


@pytest.mark.parametrize(
    ("ready", "probe", "readiness"),
    [
        ("connect", UdpProbe, Readiness),
        ("command:true", UdpProbe, Readiness),
        ("line:ready", UdpProbe, LineReadiness),
        ("bytes:PING=>PONG", AnswerProbe, Readiness),
    ],
)
def test_the_probe_is_the_one_of_ready(tmp_path: Path, ready: str, probe: type, readiness: type) -> None:
    config = stub_config("game", "udp:1", 2, tmp_path, ready=ready, proxy_protocol=ProxyProtocolConfig(send="v2"))
    reactor: Any = FakeReactor()
    made = udp_factory.probe(config, reactor, ChildEnvironment({}, None, False))
    assert type(made) is probe
    assert type(udp_factory.readiness(config, reactor, made, logging.getLogger("test"))) is readiness
