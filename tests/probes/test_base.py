"""What all probes share, on real sockets."""

from __future__ import annotations

import errno
import socket

import pytest
from probes.asked_server import listening, send
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from zeroscale.errors import BackendError, StartRefused
from zeroscale.probes import base, pace
from zeroscale.probes.minecraft import MinecraftProbe

PROXY_LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"


def unused_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@ensureDeferred
async def test_no_server() -> None:
    probe = MinecraftProbe(reactor, "127.0.0.1", unused_port())
    assert await probe.accepts_connections() is False
    with pytest.raises(BackendError, match="does not accept connections"):
        await probe.ask()


@ensureDeferred
async def test_a_name_that_does_not_resolve() -> None:
    probe = MinecraftProbe(reactor, "no-such-host.invalid", 25565)
    assert await probe.accepts_connections() is False
    with pytest.raises(BackendError):
        await probe.ask()


@ensureDeferred
async def test_a_plain_connection_sends_nothing_and_closes() -> None:
    async with listening(send(b"")) as server:
        assert await MinecraftProbe(reactor, "127.0.0.1", server.number).accepts_connections() is True
        await server.all_lost()
    assert [connection.received for connection in server.connections] == [b""]


@ensureDeferred
async def test_a_plain_connection_sends_the_header() -> None:
    async with listening(send(b"")) as server:
        assert (
            await MinecraftProbe(reactor, "127.0.0.1", server.number, header=PROXY_LOCAL).accepts_connections() is True
        )
        await server.all_lost()
    assert [connection.received for connection in server.connections] == [PROXY_LOCAL]


@ensureDeferred
async def test_a_check_without_an_answer_times_out() -> None:
    async with listening(send(b"\x05")) as server:
        with pytest.raises(TimeoutError, match=r"did not answer within 0\.05 s"):
            await MinecraftProbe(reactor, "127.0.0.1", server.number, timeout=0.05).ask()
        await server.all_lost()


@ensureDeferred
async def test_a_cancelled_check_closes_its_connection() -> None:
    asked: Deferred[None] = Deferred()
    async with listening(lambda _, __: asked.callback(None)) as server:
        method = MinecraftProbe(reactor, "127.0.0.1", server.number).ask()
        await asked
        method.cancel()
        with pytest.raises(CancelledError):
            await method
        await server.all_lost()


def test_whether_a_server_accepts_cannot_be_known_without_a_thread_for_the_lookup(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_name: str, _port: int) -> Deferred[object]:
        return fail(BlockingIOError(errno.EAGAIN, "no more threads are allowed"))

    monkeypatch.setattr("zeroscale.system.host_endpoint.look_up", refuse)
    probe = MinecraftProbe(MemoryReactorClock(), "game.internal", 25565)
    failures: list[Failure] = []
    probe.accepts_connections().addErrback(failures.append)
    assert failures[0].check(StartRefused)
    assert failures[0].getErrorMessage() == "game.internal cannot be looked up: no more threads are allowed"
    probe.ask().addErrback(failures.append)
    assert failures[1].check(BackendError)
    assert "no more threads are allowed" in failures[1].getErrorMessage()


def test_a_name_without_an_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(_name: str, _port: int) -> Deferred[object]:
        return fail(socket.gaierror(socket.EAI_NONAME, "Name or service not known"))

    monkeypatch.setattr("zeroscale.system.host_endpoint.look_up", look_up)
    probe = MinecraftProbe(MemoryReactorClock(), "game.internal", 25565)
    answers: list[bool] = []
    probe.accepts_connections().addCallback(answers.append)
    assert answers == [False]
    assert probe.acceptance_problem == "game.internal has no address: Name or service not known"
    probe.set_address("192.0.2.1", 25565)
    assert probe.acceptance_problem is None


@ensureDeferred
async def test_a_server_at_localhost_is_connected_to_by_its_name() -> None:
    async with listening(send(b"")) as server:
        probe = MinecraftProbe(reactor, "localhost", server.number)
        assert await probe.accepts_connections() is True
        await server.all_lost()
    assert await probe.accepts_connections() is False


def test_a_server_on_this_machine_may_be_connected_to_more_often() -> None:
    probe = MinecraftProbe(MemoryReactorClock(), "127.0.0.1", 25565)
    assert probe.connection_pace is pace.LOCAL_CONNECTION
    probe.set_address("192.0.2.1", 25565)
    assert probe.connection_pace is pace.REMOTE_CONNECTION
    assert probe.check_pace is pace.STATUS


def test_a_connection_has_a_timeout() -> None:
    memory = MemoryReactorClock()
    answers: list[bool] = []
    MinecraftProbe(memory, "192.0.2.1", 25565).accepts_connections().addCallback(answers.append)
    [(host, port, _, timeout, _)] = memory.tcpClients
    assert (host, port, timeout) == ("192.0.2.1", 25565, base.CONNECT_TIMEOUT)
    assert answers == []


@pytest.mark.parametrize("method", ["accepts_connections", "ask"])
def test_cancelling_while_connecting(method: str) -> None:
    memory = MemoryReactorClock()
    asked: Deferred[object] = getattr(MinecraftProbe(memory, "192.0.2.1", 25565), method)()
    failures: list[Failure] = []
    asked.addErrback(failures.append)
    asked.cancel()
    assert failures[0].check(CancelledError)
