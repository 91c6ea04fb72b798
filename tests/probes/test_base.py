"""What all questions to real servers share, on real sockets."""

from __future__ import annotations

import socket

import pytest
from probes.asked_server import listening, send
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from zeroscale.errors import BackendError
from zeroscale.probes import base as probe
from zeroscale.probes.minecraft import MinecraftProbe

PROXY_LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"


def unused_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@ensureDeferred
async def test_nobody_there() -> None:
    asking = MinecraftProbe(reactor, "127.0.0.1", unused_port())
    assert await asking.connects() is False
    with pytest.raises(BackendError, match="does not accept connections"):
        await asking.ask()


@ensureDeferred
async def test_a_name_that_does_not_resolve() -> None:
    asking = MinecraftProbe(reactor, "no-such-host.invalid", 25565)
    assert await asking.connects() is False
    with pytest.raises(BackendError):
        await asking.ask()


@ensureDeferred
async def test_a_plain_connect_says_nothing_and_closes() -> None:
    async with listening(send(b"")) as server:
        assert await MinecraftProbe(reactor, "127.0.0.1", server.number).connects() is True
        await server.all_lost()
    assert [connection.received for connection in server.connections] == [b""]


@ensureDeferred
async def test_a_plain_connect_has_a_header_where_the_server_insists_on_one() -> None:
    async with listening(send(b"")) as server:
        assert await MinecraftProbe(reactor, "127.0.0.1", server.number, header=PROXY_LOCAL).connects() is True
        await server.all_lost()
    assert [connection.received for connection in server.connections] == [PROXY_LOCAL]


@ensureDeferred
async def test_a_question_that_hangs_ends_in_time_with_its_connection() -> None:
    async with listening(send(b"\x05")) as server:
        with pytest.raises(TimeoutError, match=r"did not answer within 0\.05 s"):
            await MinecraftProbe(reactor, "127.0.0.1", server.number, timeout=0.05).ask()
        await server.all_lost()


@ensureDeferred
async def test_a_cancelled_question_closes_its_connection() -> None:
    asked: Deferred[None] = Deferred()
    async with listening(lambda _, __: asked.callback(None)) as server:
        question = MinecraftProbe(reactor, "127.0.0.1", server.number).ask()
        await asked
        question.cancel()
        with pytest.raises(CancelledError):
            await question
        await server.all_lost()


def test_a_connect_that_hangs_ends_in_time() -> None:
    memory = MemoryReactorClock()
    answers: list[bool] = []
    MinecraftProbe(memory, "192.0.2.1", 25565).connects().addCallback(answers.append)
    [(host, port, _, timeout, _)] = memory.tcpClients
    assert (host, port, timeout) == ("192.0.2.1", 25565, probe.CONNECT_TIMEOUT)
    assert answers == []


@pytest.mark.parametrize("question", ["connects", "ask"])
def test_a_connect_that_is_called_back_is_a_cancelled_question(question: str) -> None:
    memory = MemoryReactorClock()
    asked: Deferred[object] = getattr(MinecraftProbe(memory, "192.0.2.1", 25565), question)()
    failures: list[Failure] = []
    asked.addErrback(failures.append)
    asked.cancel()
    assert failures[0].check(CancelledError)
