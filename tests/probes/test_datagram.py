"""A question over UDP: repeated, answered in parts, refused, cancelled; and what probes make of it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import cast

import pytest
from ports import free_port
from probes.udp_server import silent, udp_server
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.testing import MemoryReactorClock

from zeroscale.errors import ProtocolError
from zeroscale.probes import datagram
from zeroscale.probes.base import NotAccepting
from zeroscale.probes.datagram import ACCEPT_TIMEOUT, REPEAT_AFTER, REPEAT_AT_MOST, DatagramProbe, ask_over_udp
from zeroscale.protocols.datagrams import NextRequest
from zeroscale.reactor import Reactor
from zeroscale.status import ProbeResult

REACTOR = cast("Reactor", reactor)


class Question:
    """Answered by any text but "bad", which is none, "next", for another request, and "part", to which more belongs."""

    request = b"ask"

    def receive(self, datagram: bytes) -> str | NextRequest | None:
        match datagram:
            case b"bad":
                raise ProtocolError("bad")
            case b"next":
                return NextRequest(b"again")
            case b"part":
                return None
        return datagram.decode()


class Probe(DatagramProbe):
    async def _result(self) -> ProbeResult:
        return ProbeResult(player_names=(await self._answer(Question()),))


@pytest.fixture
def silent_server() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        yield sock


def received(sock: socket.socket) -> list[bytes]:
    datagrams = []
    while True:
        try:
            datagrams.append(sock.recv(100))
        except BlockingIOError:
            return datagrams


def asked(clock: MemoryReactorClock, server: socket.socket, header: bytes = b"") -> Deferred[str]:
    port = server.getsockname()[1]
    return Deferred.fromCoroutine(ask_over_udp(cast("Reactor", clock), "127.0.0.1", port, Question(), header))


@ensureDeferred
async def test_a_server_answers() -> None:
    async with udp_server(lambda datagram: [b"bad", b"part", datagram + b"ed"]) as server:
        assert await ask_over_udp(REACTOR, "127.0.0.1", server.port, Question()) == "asked"
        assert await ask_over_udp(REACTOR, "localhost", server.port, Question()) == "asked"


@ensureDeferred
async def test_the_first_address_of_a_name_that_takes_datagrams_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(*_: object) -> list[IPv4Address]:
        return [IPv4Address("UDP", host, 0) for host in ("127.0.0.2", "127.0.0.1")]

    monkeypatch.setattr(datagram, "resolve", resolve)
    async with udp_server(lambda datagram: [datagram + b"ed"]) as server:
        assert await ask_over_udp(REACTOR, "game.example", server.port, Question()) == "asked"
        with pytest.raises(NotAccepting):
            await ask_over_udp(REACTOR, "game.example", free_port(), Question())


@ensureDeferred
async def test_a_server_wants_another_request_first() -> None:
    async with udp_server(lambda datagram: [b"next" if datagram.endswith(b"ask") else datagram]) as server:
        assert await ask_over_udp(REACTOR, "127.0.0.1", server.port, Question(), b"header ") == "again"
        assert server.received == [b"header ask", b"again"]


def test_a_question_is_repeated_ever_less_often(silent_server: socket.socket) -> None:
    clock = MemoryReactorClock()
    answered = asked(clock, silent_server, b"header ")
    assert received(silent_server) == [b"header ask"]
    for interval in (REPEAT_AFTER, 2 * REPEAT_AFTER, REPEAT_AT_MOST, REPEAT_AT_MOST):
        clock.advance(interval - 0.01)
        assert received(silent_server) == []
        clock.advance(0.01)
        assert received(silent_server) == [b"ask"]
    answered.addErrback(lambda failure: failure.trap(CancelledError))
    answered.cancel()


def test_nothing_is_left_of_a_cancelled_question(silent_server: socket.socket) -> None:
    clock = MemoryReactorClock()
    answered = asked(clock, silent_server)
    assert len(clock.readers) == 1
    answered.cancel()
    assert not clock.readers
    assert not clock.getDelayedCalls()
    answered.addErrback(lambda failure: failure.trap(CancelledError))


def test_a_closed_port_of_this_machine_is_known_at_once() -> None:
    clock = MemoryReactorClock()
    failed = Deferred.fromCoroutine(ask_over_udp(cast("Reactor", clock), "127.0.0.1", free_port(), Question()))
    failures: list[object] = []
    failed.addErrback(lambda failure: failures.append(failure.trap(NotAccepting)))
    assert failures
    assert not clock.readers
    assert not clock.getDelayedCalls()


@ensureDeferred
async def test_a_server_that_goes_while_it_is_asked() -> None:
    async with udp_server(silent) as server:
        answered = Deferred.fromCoroutine(ask_over_udp(REACTOR, "127.0.0.1", server.port, Question()))
        await server.count(1)
    with pytest.raises(NotAccepting, match="refused"):
        await answered


@ensureDeferred
async def test_a_probe_of_a_server_that_answers() -> None:
    async with udp_server(lambda datagram: [b"Ada"]) as server:
        probe = Probe(REACTOR, "127.0.0.1", server.port, timeout=5.0)
        assert await probe.accepts_connections()
        assert await probe.ask() == ProbeResult(player_names=("Ada",))


@ensureDeferred
async def test_a_probe_of_a_closed_port_and_its_next_address() -> None:
    async with udp_server(lambda datagram: [b"Ada"]) as server:
        probe = Probe(REACTOR, "127.0.0.1", free_port(), timeout=5.0)
        assert not await probe.accepts_connections()
        with pytest.raises(NotAccepting):
            await probe.ask()
        probe.set_address("127.0.0.1", server.port)
        assert await probe.accepts_connections()


def test_a_silent_server_does_not_accept_and_times_out(silent_server: socket.socket) -> None:
    clock = MemoryReactorClock()
    probe = Probe(cast("Reactor", clock), *silent_server.getsockname(), timeout=5.0)
    accepted: list[bool] = []
    probe.accepts_connections().addCallback(accepted.append)
    clock.advance(ACCEPT_TIMEOUT)
    assert accepted == [False]
    assert probe.acceptance_problem == f"127.0.0.1:{silent_server.getsockname()[1]} did not answer within 1 s"
    problems: list[str] = []
    probe.ask().addErrback(lambda failure: problems.append(str(failure.value)))
    clock.advance(5.0)
    assert problems == [f"127.0.0.1:{silent_server.getsockname()[1]} did not answer within 5 s"]
    assert not clock.readers
    assert not clock.getDelayedCalls()


@ensureDeferred
async def test_a_name_without_an_address() -> None:
    probe = Probe(REACTOR, "nothing.invalid", 1, timeout=5.0)
    assert not await probe.accepts_connections()
    assert "nothing.invalid has no address" in str(probe.acceptance_problem)
