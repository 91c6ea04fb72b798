"""What is logged and counted of one session of datagrams."""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest
from frontend.harness import FakeMessages, PlayerSession, Server
from twisted.internet.task import Clock

from zeroscale.frontend.admission import Admission
from zeroscale.frontend.connection_limits import PendingConnections
from zeroscale.frontend.context import FrontendContext
from zeroscale.frontend.datagram_record import DatagramRecord
from zeroscale.frontend.decision import JoinPolicy
from zeroscale.frontend.interfaces import Backend
from zeroscale.frontend.waiting_places import WaitingPlaces
from zeroscale.lifecycle.stats import StatsRecorder
from zeroscale.protocols.udp import WakeRule
from zeroscale.relay.datagram_session import SessionEnd
from zeroscale.status import PROOF_BYTES, ClientInfo, PlayerSign, Status


class Session:
    """The counters of a session."""

    def __init__(self, now: float) -> None:
        self.heard = now
        self.to_backend = self.to_backend_bytes = self.to_client = self.to_client_bytes = 0

    def send(self, count: int, now: float) -> None:
        self.heard = now
        self.to_backend += count
        self.to_backend_bytes += 10 * count


class World:
    def __init__(self, name: str = "", sign: PlayerSign | None = None, **options: Any) -> None:
        self.clock = Clock()
        self.clock.advance(100.0)
        context = FrontendContext(
            cast(Any, self.clock), cast(Any, None), PendingConnections(64, 1000), WaitingPlaces(64), 5.0
        )
        self.stats = StatsRecorder(Status.running, 0.0)
        backend = Backend(
            Server(status=Status.running), FakeMessages(), JoinPolicy(True, 1.0), Admission(), "", 0, self.stats
        )
        self.session = Session(100.0)
        self.player = PlayerSession(announced=False)
        self.refused: list[None] = []
        self.record = DatagramRecord(
            context,
            backend,
            ClientInfo(name, "192.0.2.1:9", sign=sign),
            "192.0.2.1",
            cast(Any, self.session),
            cast(Any, self.player),
            lambda: self.refused.append(None),
            **options,
        )


def test_a_session_counts_from_its_last_look_on_as_well() -> None:
    world = World(rule=WakeRule(3, 10.0))
    world.session.send(1, 100.0)
    assert not world.record.counts()
    world.session.send(1, 160.0)
    assert not world.record.counts()
    world.session.send(3, 165.0)  # of the last five seconds: as many as the rule asks for
    assert world.record.counts()
    world.session.send(0, 1000.0)
    assert world.record.counts()  # for good
    assert world.player.moved() == (50, 0)


def test_a_session_whose_first_datagram_did_not_match_never_counts() -> None:
    world = World(rule=None, counts=False)
    world.session.send(1000, 101.0)
    assert world.player.moved() == (0, 0)


@pytest.mark.parametrize(("answered", "moved"), [(0, (0, 0)), (1, (40, 0))])
def test_a_client_that_the_server_never_answered_and_its_machine_refused_was_no_player(
    answered: int, moved: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "zeroscale.access")
    world = World(rule=WakeRule(3, 10.0), counts=True)
    world.session.send(4, 101.0)
    world.session.to_client = answered
    world.record.end(SessionEnd.refused)
    assert world.player.moved() == moved
    assert [record.levelno for record in caplog.records] == [logging.INFO if answered else logging.DEBUG]


@pytest.mark.parametrize(
    ("sent", "name", "announced", "level"),
    [(1, "", False, logging.DEBUG), (3, "", False, logging.INFO), (3, "Ada", True, logging.DEBUG)],
)
def test_operators_read_of_clients_that_count_unless_an_event_tells_of_them(
    sent: int, name: str, announced: bool, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "zeroscale.access")
    world = World(name, rule=WakeRule(3, 10.0), header=4)
    world.player.announced = announced
    world.session.send(sent, 105.0)
    world.clock.advance(70.0)
    world.record.end(SessionEnd.idle)
    [line] = caplog.records
    assert line.levelno == level
    label = "Ada (192.0.2.1:9)" if name else "192.0.2.1:9"
    datagrams = f"datagrams: {sent} to the server, 0 to the client"
    assert line.getMessage() == f"survival: {label}: idle after 70.0 s ({datagrams})"
    assert world.player.away_since == 105.0
    stats = world.stats.snapshot(0.0)
    assert (stats.logins, stats.outcomes, stats.to_backend) == (1, {"idle": 1}, 10 * sent - 4)
    assert world.refused == []


def test_a_client_of_a_port_whose_server_shows_it_counts_by_what_it_was_sent() -> None:
    world = World(counts=True, sign=PlayerSign.server_bytes)
    world.session.send(100, 101.0)
    assert not world.record.counts()
    world.session.to_client_bytes = PROOF_BYTES
    assert world.record.counts()


def test_the_line_of_a_further_port_says_which_one(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "zeroscale.access")
    world = World()
    world.record.backend.listen = "udp:19132"
    world.record.end(SessionEnd.closed)
    [line] = caplog.records
    assert ": closed after 0.0 s on udp:19132 (datagrams: 0" in line.getMessage()


def test_the_end_by_an_error_of_the_servers_machine_is_reported() -> None:
    world = World()
    world.record.end(SessionEnd.refused)
    assert world.refused == [None]
