"""Whether a UDP server's port is bound, on this machine and elsewhere; its answer to a question; a command."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import cast

import pytest
from ports import free_port
from probes.udp_server import silent, udp_server
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import DNSLookupError

from zeroscale.errors import BackendError
from zeroscale.probes import udp
from zeroscale.probes.base import NotAccepting
from zeroscale.probes.udp import AnswerProbe, StartedProbe, UdpProbe
from zeroscale.process import listeners
from zeroscale.reactor import Reactor
from zeroscale.status import ProbeResult

REACTOR = cast("Reactor", reactor)


def is_bound(host: str, port: int) -> bool:
    return bool(listeners.listeners(port, host, datagrams=True))


def nothing_is_bound(host: str, port: int) -> bool:
    return False


def probe(
    port: int,
    host: str = "127.0.0.1",
    bound: Callable[[str, int], bool] = is_bound,
    command: Callable[[], Deferred[int]] | None = None,
) -> UdpProbe:
    return UdpProbe(REACTOR, host, port, is_bound=bound, command=command)


@ensureDeferred
async def test_a_bound_port_of_this_machine_is_found_without_a_datagram() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        port = server.getsockname()[1]
        assert await probe(port).accepts_connections()
        assert await probe(port).ask() == ProbeResult()
        with pytest.raises(BlockingIOError):
            server.recv(1)
    assert not await probe(port).accepts_connections()
    with pytest.raises(NotAccepting):
        await probe(port).ask()


@ensureDeferred
async def test_a_port_that_is_passed_on_is_silent_and_one_that_is_closed_is_not() -> None:
    async with udp_server(silent) as server:
        assert await probe(server.port, bound=nothing_is_bound).accepts_connections()
    assert not await probe(free_port(), bound=nothing_is_bound).accepts_connections()


@ensureDeferred
async def test_the_silence_of_another_machine_counts_only_once_the_server_was_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(udp, "SILENCE", 0.1)
    far = probe(9, "192.0.2.1")  # of a network that does not exist
    monkeypatch.setattr(udp, "ask_over_udp", lambda *_: _never())
    assert not await far.accepts_connections()
    started = StartedProbe(far)
    assert await started.accepts_connections()
    assert await started.ask() == ProbeResult()
    assert started.check_pace is None
    assert started.connection_pace is far.connection_pace


async def _never() -> bool:
    return await Deferred()


@ensureDeferred
async def test_a_name_without_an_address_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object) -> bool:
        raise DNSLookupError("game has no address")

    monkeypatch.setattr(udp, "ask_over_udp", fails)
    named = probe(9, "game.invalid")
    assert not await named.accepts_connections()
    assert named.acceptance_problem == "game has no address"


@ensureDeferred
async def test_a_command_says_whether_it_is_ready() -> None:
    assert await probe(1, command=lambda: succeed(0)).ask() == ProbeResult()
    with pytest.raises(BackendError, match="exit code 3"):
        await probe(1, command=lambda: succeed(3)).ask()
    assert probe(1, command=lambda: succeed(0)).check_pace is not None


@ensureDeferred
async def test_a_server_is_ready_when_its_answer_begins_as_expected() -> None:
    def answer(datagram: bytes) -> list[bytes]:
        return [b"other", b"PONG 7"] if datagram == b"PING" else []

    async with udp_server(answer) as server:
        asking = AnswerProbe(REACTOR, "127.0.0.1", server.port, request=b"PING", expected=b"PONG")
        assert await asking.ask() == ProbeResult()
        assert await asking.accepts_connections()
        other = AnswerProbe(REACTOR, "127.0.0.1", server.port, request=b"PING", expected=b"pong", timeout=0.2)
        with pytest.raises(TimeoutError, match="did not answer"):
            await other.ask()
