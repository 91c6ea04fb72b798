"""Waiting until a transport has nothing unwritten."""

from __future__ import annotations

import os
from typing import Any

import pytest
import pytest_twisted
from relay import relay_fixture
from relay.relay_fixture import Pair, later, receive, until, within
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from zeroscale.errors import RelayError
from zeroscale.relay.flush import flushed


@pytest.fixture(autouse=True, params=[True, False])
def on_a_poller(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test with the transports of a poller, and with Twisted's."""
    monkeypatch.setattr(relay_fixture, "on_a_poller", request.param)


def flushing(transport: Any) -> Deferred[None]:
    return Deferred.fromCoroutine(flushed(transport))


@pytest_twisted.ensureDeferred
async def test_a_transport_that_was_flushed_long_ago() -> None:
    pair = Pair()
    await within(flushing(pair.to_client.transport))
    assert pair.to_client.transport.producer is None
    await pair.close()


@pytest_twisted.ensureDeferred
async def test_all_that_was_written_is_in_the_kernel_before_it_fires() -> None:
    pair = Pair(buffers=4096)
    data = os.urandom(2_000_000)
    pair.to_client.transport.write(data)
    flush = flushing(pair.to_client.transport)
    await later()
    assert not flush.called
    received = receive(pair.client, len(data))
    await within(flush)
    assert pair.to_client.transport.producer is None
    assert await received == data
    await pair.close()


@pytest_twisted.ensureDeferred
async def test_cancelled_it_leaves_the_transport_as_it_was() -> None:
    pair = Pair(buffers=4096)
    data = os.urandom(2_000_000)
    pair.to_client.transport.write(data)
    flush = flushing(pair.to_client.transport)
    flush.cancel()
    with pytest.raises(CancelledError):
        await flush
    assert pair.to_client.transport.producer is None
    assert await receive(pair.client, len(data)) == data
    await pair.close()


@pytest_twisted.ensureDeferred
async def test_a_connection_lost_while_flushing_is_an_error() -> None:
    pair = Pair(buffers=4096)
    pair.to_client.transport.write(b"x" * 2_000_000)
    flush = flushing(pair.to_client.transport)
    pair.client.close()
    with pytest.raises(RelayError, match="lost"):
        await within(flush)
    await until(lambda: pair.to_client.reason is not None)
    await pair.close()


@pytest_twisted.ensureDeferred
async def test_a_lost_connection_is_an_error_at_once() -> None:
    pair = Pair()
    transport = pair.to_client.transport
    transport.abortConnection()
    await within(pair.to_client.lost)
    with pytest.raises(RelayError, match="lost"):
        await within(flushing(transport))
    await pair.close()


@pytest_twisted.ensureDeferred
async def test_a_registered_producer_is_an_error_and_stays() -> None:
    @implementer(IPushProducer)
    class Producer:
        def pauseProducing(self) -> None: ...
        def resumeProducing(self) -> None: ...
        def stopProducing(self) -> None: ...

    pair = Pair()
    producer = Producer()
    pair.to_client.transport.registerProducer(producer, True)
    with pytest.raises(RelayError, match="producer"):
        await within(flushing(pair.to_client.transport))
    assert pair.to_client.transport.producer is producer
    await pair.close()
