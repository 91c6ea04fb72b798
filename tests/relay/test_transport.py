"""The transport relay: reports, refusals, and its own end."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from relay.relay_fixture import Pair, reactor, receive, send, within
from twisted.internet.interfaces import IPushProducer
from twisted.internet.testing import StringTransport
from zope.interface import implementer

from zeroscale.errors import RelayError
from zeroscale.relay import Counters, Outcome, Report
from zeroscale.relay.transport import TransportRelay


@implementer(IPushProducer)
class Producer:
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def stopProducing(self) -> None: ...


def add(relay: TransportRelay, pair: Pair, early: bytes = b"") -> Any:
    return within(relay.add(pair.to_client.transport, pair.to_backend.transport, early))


def made(half_closed_limit: float = 600.0) -> TransportRelay:
    relay = TransportRelay(reactor, half_closed_limit)
    relay.start()
    return relay


@pytest_twisted.ensureDeferred
async def test_the_counters_know_live_and_ended_pairs() -> None:
    relay = made()
    pair = Pair()
    report = add(relay, pair, b"early")
    await send(pair.backend, b"hello!")
    assert await receive(pair.client, 6) == b"hello!"
    assert relay.counters() == Counters(5, 6, 1, 1)
    assert await receive(pair.backend, 5) == b"early"
    pair.client.close()
    pair.backend.close()
    assert await report == Report(5, 6, Outcome.closed)
    assert relay.counters() == Counters(5, 6, 0, 1)
    await pair.gone()
    await within(relay.stop(0))


@pytest_twisted.ensureDeferred
async def test_stopping_lets_live_pairs_end_by_themselves() -> None:
    relay = made()
    pair, refused = Pair(), Pair()
    report = add(relay, pair)
    stopped = relay.stop(1000)
    with pytest.raises(RelayError, match="being stopped"):
        await add(relay, refused)
    pair.client.close()
    assert await receive(pair.backend) == b""
    assert not stopped.called
    pair.backend.close()
    assert (await report).outcome is Outcome.closed
    await within(stopped)
    await pair.gone()
    await refused.close()


@pytest_twisted.ensureDeferred
async def test_stopping_aborts_what_has_not_ended_in_time() -> None:
    relay = made()
    pair = Pair()
    report = add(relay, pair)
    await within(relay.stop(0.05))
    assert (await report).outcome is Outcome.aborted
    with pytest.raises(ConnectionResetError):
        await receive(pair.client)
    await pair.gone()


@pytest_twisted.ensureDeferred
async def test_a_pair_that_it_cannot_take_is_the_callers() -> None:
    relay = made()
    pair = Pair()
    strange: Any = StringTransport()
    assert not relay.carries(strange, pair.to_backend.transport)
    with pytest.raises(RelayError, match="only TCP and Unix"):
        await relay.add(strange, pair.to_backend.transport, b"")
    producer = Producer()
    pair.to_backend.transport.registerProducer(producer, True)
    with pytest.raises(RelayError, match="producer"):
        await add(relay, pair)
    pair.to_backend.transport.unregisterProducer()
    pair.to_client.transport.abortConnection()
    await within(pair.to_client.lost)
    with pytest.raises(RelayError, match="lost"):
        await add(relay, pair)
    assert relay.counters() == Counters(0, 0, 0, 0)
    await pair.close()


@pytest_twisted.ensureDeferred
async def test_it_takes_nothing_before_it_is_started() -> None:
    pair = Pair()
    with pytest.raises(RelayError, match="started"):
        await add(TransportRelay(reactor), pair)
    await pair.close()


@pytest_twisted.ensureDeferred
async def test_a_silent_half_closed_pair_is_ended() -> None:
    relay = made(0.1)
    pair = Pair()
    report = add(relay, pair)
    pair.client.close()
    assert (await report).outcome is Outcome.aborted
    await pair.gone()
    await within(relay.stop(0))
