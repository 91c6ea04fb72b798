"""One status request and its reply, in memory."""

from __future__ import annotations

import json

import pytest
from probes.asked_server import REPLY, STATUS, asked_in, kick
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import directlyProvides

from zeroscale.errors import BackendError
from zeroscale.probes.base import NoReply
from zeroscale.probes.status_connection import NAMES_READ, StatusConnection, legacy_ping, status_request
from zeroscale.protocols.minecraft import packets
from zeroscale.status import ProbeResult

HEADER = b"PROXY"
OLD = kick("\u00a71\x0078\x001.6.4\x00An old server\x003\x0020")
OLD_RESULT = ProbeResult({"description": "An old server", "players": {"max": 20, "online": 3}}, 3)
NEW_RESULT = ProbeResult(STATUS, 2, ("Notch", "jeb_"))


def new() -> StatusConnection:
    return status_request("mc.example.com", 25565, 758, HEADER)


def old() -> StatusConnection:
    return legacy_ping("mc.example.com", 25565, HEADER)


class Exchange:
    """A connection in memory, and what came of it."""

    def __init__(self, connection: StatusConnection) -> None:
        self.connection = connection
        self.transport = StringTransport()
        directlyProvides(self.transport, ITCPTransport)
        self.outcome: list[object] = []
        connection.result.addBoth(self.outcome.append)
        connection.transport = self.transport
        connection.connectionMade()

    @property
    def failure(self) -> Failure:
        (outcome,) = self.outcome
        assert isinstance(outcome, Failure)
        return outcome


@pytest.mark.parametrize(("connection", "way"), [(new(), 758), (old(), "legacy")])
def test_the_request_comes_after_the_header(connection: StatusConnection, way: int | str) -> None:
    sent = Exchange(connection).transport.value()
    assert sent.startswith(HEADER)
    assert asked_in(sent.removeprefix(HEADER)) == way


@pytest.mark.parametrize("size", [None, 1])
@pytest.mark.parametrize("after", [b"", b"\xff\xff\xff\xff"])
@pytest.mark.parametrize(("is_new", "reply", "result"), [(True, REPLY, NEW_RESULT), (False, OLD, OLD_RESULT)])
def test_a_reply_ends_the_connection(
    is_new: bool, reply: bytes, result: ProbeResult, after: bytes, size: int | None
) -> None:
    exchange = Exchange(new() if is_new else old())
    data = reply + after
    for at in range(0, len(data), size or len(data)):
        exchange.connection.dataReceived(data[at : at + (size or len(data))])
        assert exchange.outcome == ([result] if at + (size or len(data)) >= len(reply) else [])
    exchange.connection.connectionLost(Failure(ConnectionDone()))
    assert exchange.outcome == [result]
    assert exchange.transport.disconnecting


@pytest.mark.parametrize(
    ("players", "expected"),
    [
        ({"max": 20, "online": 0}, (0, ())),
        ({"max": 20, "online": -1}, (None, ())),
        ({"max": 20, "online": True}, (None, ())),
        ({"max": 20, "online": 1.0}, (None, ())),
        ({"max": 20, "online": float("nan")}, (None, ())),
        ({"max": 20, "online": "many", "sample": "all"}, (None, ())),
        ({"max": 20, "online": 3, "sample": [1, {"name": 2}, {"name": "Notch"}]}, (3, ("Notch",))),
        ({"max": 20, "online": 999, "sample": [{"name": "x"}] * 999}, (999, ("x",) * NAMES_READ)),
        ("many", (None, ())),
        (None, (None, ())),
    ],
)
def test_unusual_players(players: object, expected: tuple[int | None, tuple[str, ...]]) -> None:
    exchange = Exchange(new())
    exchange.connection.dataReceived(packets.frame(0, packets.string(json.dumps({"players": players}))))
    (result,) = exchange.outcome
    assert isinstance(result, ProbeResult)
    assert (result.players, result.player_names) == expected


@pytest.mark.parametrize("protocol", [5, 39, 78, 79, 127, 769])
def test_a_server_since_1_7_may_answer_the_ping_before_it_is_ready(protocol: int) -> None:
    exchange = Exchange(old())
    exchange.connection.dataReceived(kick(f"\u00a71\x00{protocol}\x00v\x00motd\x003\x0020"))
    (result,) = exchange.outcome
    assert isinstance(result, ProbeResult)
    assert result.may_be_starting is (protocol not in (39, 78))


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("data", [b"HTTP/1.1 400 Bad Request\r\n" + bytes(100), b"SSH-2.0-OpenSSH_9.2\r\n" * 20])
def test_a_server_of_another_kind_is_told_apart(is_new: bool, data: bytes) -> None:
    exchange = Exchange(new() if is_new else old())
    exchange.connection.dataReceived(data)
    assert exchange.failure.check(BackendError)
    assert "does not answer as Minecraft does" in exchange.failure.getErrorMessage()
    assert exchange.transport.disconnected
    exchange.connection.dataReceived(REPLY)


@pytest.mark.parametrize(
    ("is_new", "data"),
    [(True, b""), (True, kick("Protocol error")), (True, REPLY[:-1]), (False, b""), (False, OLD[:-1])],
)
def test_a_closed_connection_without_a_whole_reply(is_new: bool, data: bytes) -> None:
    exchange = Exchange(new() if is_new else old())
    exchange.connection.dataReceived(data)
    exchange.connection.connectionLost(Failure(ConnectionDone()))
    assert exchange.failure.check(NoReply)


@pytest.mark.parametrize("is_new", [True, False])
def test_a_cancelled_request_closes_its_connection(is_new: bool) -> None:
    exchange = Exchange(new() if is_new else old())
    exchange.connection.result.cancel()
    assert exchange.failure.check(CancelledError)
    assert exchange.transport.disconnected
    exchange.connection.dataReceived(REPLY)
    exchange.connection.connectionLost(Failure(ConnectionDone()))
    assert len(exchange.outcome) == 1
