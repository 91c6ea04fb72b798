"""Which clients of a UDP port wake its server, who waits, and what is logged."""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest
from frontend.harness import FakeMessages, Server
from twisted.internet.task import Clock

from zeroscale.access_lists import AccessList
from zeroscale.frontend.admission import Admission, Limits, Rules
from zeroscale.frontend.connection_limits import PendingConnections
from zeroscale.frontend.context import FrontendContext
from zeroscale.frontend.datagram_wakes import MOST_WAITING, DatagramWakes
from zeroscale.frontend.decision import JoinPolicy
from zeroscale.frontend.interfaces import Backend
from zeroscale.frontend.rate_limit import REPORTS_PER_ADDRESS
from zeroscale.frontend.waiting_places import WaitingPlaces
from zeroscale.lifecycle.stats import StatsRecorder
from zeroscale.protocols.conversation import Component
from zeroscale.status import ClientInfo, Status


class World:
    def __init__(self) -> None:
        context = FrontendContext(
            cast(Any, Clock()), cast(Any, None), PendingConnections(64, 1000), WaitingPlaces(64), 5.0
        )
        self.server = Server()
        self.stats = StatsRecorder(Status.stopped, 0.0)
        self.backend = Backend(
            self.server, FakeMessages(), JoinPolicy(True, 1.0), Admission(limits=Limits(wakes=6)), "", 0, self.stats
        )
        self.decided: list[None] = []
        self.wakes = DatagramWakes(context, self.backend, lambda: self.decided.append(None))

    def ask(self, host: str = "192.0.2.1", name: str = "") -> Component | None:
        return self.wakes.ask(ClientInfo(name, f"{host}:7"), host)


def test_a_client_waits_until_the_server_is_ready() -> None:
    world = World()
    assert world.ask(name="Ada") is None
    assert world.ask() is None
    assert world.server.wakes == ["login: Ada (192.0.2.1:7)", "connection:  (192.0.2.1:7)"]
    assert len(world.server.waiters) == 1
    assert world.wakes.has_woken("192.0.2.1")
    world.server.set_status(Status.running)
    assert world.decided == [None]
    assert world.server.players == 1
    world.wakes.end()
    assert world.server.players == 0
    assert not world.wakes.has_woken("192.0.2.1")


def test_clients_are_told_when_it_will_not_become_ready() -> None:
    world = World()
    world.ask()
    world.server.set_status(Status.failed)
    assert world.decided == [None]
    world.wakes.end()


def test_so_many_clients_wait_at_most() -> None:
    world = World()
    for number in range(2 * MOST_WAITING):
        assert world.ask(f"192.0.2.{number}") is None
    assert len(world.server.waiters) == MOST_WAITING
    assert len(world.server.wakes) == 2 * MOST_WAITING
    world.wakes.end()
    assert world.server.waiters == []


def test_the_last_name_of_an_address_is_known() -> None:
    world = World()
    world.ask(name="Ada")
    assert (world.wakes.name("192.0.2.1"), world.wakes.name("192.0.2.2")) == ("Ada", "")


def test_refused_clients_are_counted_reported_within_limits_and_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "zeroscale.access")
    world = World()
    world.backend.admission = Admission(Rules(deny=AccessList(["192.0.2.1"])))
    for _ in range(10):
        assert world.ask() == "refusal denied "
    assert world.server.wakes == []
    assert world.stats.snapshot(0.0).refusals == {"denied": 10}
    assert len(world.server.refusals) == REPORTS_PER_ADDRESS
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["survival: 192.0.2.1:7: refused (denied: listed in deny)"] * (10 - int(REPORTS_PER_ADDRESS))


def test_nobody_wakes_a_locked_server() -> None:
    world = World()
    world.server.lockout = "closed"
    assert world.ask(name="Ada") == "kick stopped Ada"
    assert [reason for _, reason in world.server.refusals] == ["lockout"]


def test_an_address_wakes_it_so_often_in_a_minute() -> None:
    world = World()
    world.server.wakes_to = Status.stopped  # it stops again at once
    assert [world.ask() for _ in range(8)] == [None] * 6 + ["refusal rate "] * 2
