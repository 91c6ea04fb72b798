"""TLS clients, and what Twisted's transports make of ends."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_twisted
from relay.relay_fixture import DEADLINE, Pair, later, reactor, receive, reset, until, within
from twisted.internet.interfaces import IOpenSSLContextFactory
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThread
from twisted.protocols.policies import WrappingFactory
from zope.interface import implementer

from zeroscale.errors import RelayError
from zeroscale.relay import Outcome, Relays, Report, transport_pair
from zeroscale.relay.base import Moved
from zeroscale.relay.transport import TransportRelay
from zeroscale.relay.transport_pair import as_relay_transport

pytest.importorskip("OpenSSL", reason="needs twisted[tls]")


@implementer(IOpenSSLContextFactory)
class Context:
    """A server's TLS context with a certificate of its own making, as Twisted's context factories are."""

    def getContext(self) -> Any:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from OpenSSL import SSL

        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        now = datetime.now(UTC)
        begin, end = now - timedelta(days=1), now + timedelta(days=1)
        certificate = x509.CertificateBuilder(name, name, key.public_key(), 1, begin, end).sign(key, hashes.SHA256())
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate(certificate)
        context.use_privatekey(key)
        return context


CONTEXT = Context()


def tls(factory: Factory[Any]) -> Factory[Any]:
    """Wraps a factory as a `tls:` endpoint does."""
    from twisted.protocols.tls import TLSMemoryBIOFactory

    wrapped: Factory[Any] = TLSMemoryBIOFactory(CONTEXT, False, factory)
    return wrapped


class TlsPair:
    """A pair whose client speaks TLS."""

    def __init__(self, buffers: int = 0) -> None:
        self.pair = Pair(buffers=buffers, wrap=tls)
        # The handshake is read before anybody pauses.
        self.pair.to_client.transport.resumeProducing()
        self.client: ssl.SSLSocket

    async def shake_hands(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.pair.client.settimeout(DEADLINE)
        self.client = await within(deferToThread(context.wrap_socket, self.pair.client))
        self.pair.client = self.client

    async def receive(self, count: int) -> bytes:
        def work() -> bytes:
            taken = b""
            while len(taken) < count and (data := self.client.recv(65536)):
                taken += data
            return taken

        received: bytes = await within(deferToThread(work))
        return received

    async def finish(self) -> None:
        """Ends TLS as it should be ended."""
        plain = await within(deferToThread(self.client.unwrap))
        plain.close()


async def made(buffers: int = 0) -> TlsPair:
    pair = TlsPair(buffers)
    await pair.shake_hands()
    return pair


def started() -> Relays:
    relays = Relays(reactor)
    relays.start()
    return relays


@pytest_twisted.ensureDeferred
async def test_tls_is_relayed_by_transports() -> None:
    relays, client = started(), await made()
    pair = client.pair
    moved: list[Moved] = []
    report = pair.hand_over(relays, b"early ", on_started=moved.append)
    up, down = os.urandom(300_000), os.urandom(300_000)
    sending = [within(deferToThread(sock.sendall, data)) for sock, data in ((client.client, up), (pair.backend, down))]
    assert await receive(pair.backend, len(up) + 6) == b"early " + up
    assert await client.receive(len(down)) == down
    for each in sending:
        await each
    assert moved[0]() == (len(up) + 6, len(down)), "what TLS carries, not TLS itself"
    assert {name: counters.total for name, counters in relays.counters().items()} == {"splice": 0, "transport": 1}
    await client.finish()
    assert await receive(pair.backend) == b""
    pair.backend.close()
    assert await within(report) == Report(len(up) + 6, len(down), Outcome.closed)
    await pair.gone()
    await within(relays.stop(0))


@pytest_twisted.ensureDeferred
async def test_bytes_written_before_the_hand_over_arrive_first() -> None:
    relays, client = started(), await made()
    client.pair.to_client.transport.write(b"kept alive; ")
    client.pair.backend.sendall(b"hello")
    report = client.pair.hand_over(relays)
    assert await client.receive(17) == b"kept alive; hello"
    client.client.close()
    client.pair.backend.close()
    await within(report)
    await client.pair.gone()
    await within(relays.stop(0))


@pytest_twisted.ensureDeferred
async def test_a_backend_that_finishes_has_all_delivered_and_tls_closed() -> None:
    relays, client = started(), await made()
    data = os.urandom(500_000)
    report = client.pair.hand_over(relays)
    sending = within(deferToThread(client.pair.backend.sendall, data))
    assert await client.receive(len(data)) == data
    await sending
    client.pair.backend.shutdown(socket.SHUT_WR)
    assert await client.receive(1) == b""  # a TLS close, not a torn connection, which would raise
    await client.finish()
    assert await within(report) == Report(0, len(data), Outcome.closed)
    assert await receive(client.pair.backend) == b""
    await client.pair.gone()
    await within(relays.stop(0))


@pytest_twisted.ensureDeferred
async def test_a_backend_that_goes_on_sending_to_a_client_that_left_is_reset() -> None:
    relays, client = started(), await made()
    report = client.pair.hand_over(relays)
    client.client.sendall(b"bye")
    await client.finish()
    assert await receive(client.pair.backend) == b"bye"
    client.pair.backend.sendall(b"are you there?")
    assert await within(report) == Report(3, 0, Outcome.client_reset)
    # A reset after a FIN is no error to a reader, but to a writer.
    await until(lambda: client.pair.backend.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.EPIPE)
    await client.pair.gone()
    await within(relays.stop(0))


@pytest_twisted.ensureDeferred
async def test_a_backends_reset_comes_after_what_it_sent() -> None:
    relays, client = started(), await made()
    report = client.pair.hand_over(relays)
    client.client.sendall(b"unread")
    await until(lambda: relays.counters()["transport"].to_backend == 6)
    client.pair.backend.sendall(b"You are banned")
    client.pair.backend.close()
    assert await client.receive(14) == b"You are banned"
    assert (await within(report)).outcome is Outcome.backend_reset
    await client.pair.gone()
    await within(relays.stop(0))


@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_without_ending_tls_has_reset() -> None:
    relays, client = started(), await made()
    report = client.pair.hand_over(relays, b"early")
    assert await receive(client.pair.backend, 5) == b"early"
    client.client.close()
    assert await within(report) == Report(5, 0, Outcome.client_reset)
    await client.pair.gone()
    await within(relays.stop(0))


@pytest_twisted.ensureDeferred
async def test_cancelling_aborts_tls_as_well() -> None:
    relays, client = started(), await made()
    report = client.pair.hand_over(relays, b"early")
    assert await receive(client.pair.backend, 5) == b"early"
    report.cancel()
    assert await within(report) == Report(5, 0, Outcome.aborted)
    await client.pair.gone()
    await within(relays.stop(0))


@pytest_twisted.ensureDeferred
async def test_splice_alone_cannot_carry_tls() -> None:
    relays = Relays(reactor, "splice")
    relays.start()
    client = await made()
    with pytest.raises(RelayError, match="no relay"):
        await client.pair.hand_over(relays)
    await client.pair.close()
    await within(relays.stop(0))


@pytest_twisted.ensureDeferred
async def test_the_transports_own_protocols_hear_of_nothing_but_the_end() -> None:
    relays = TransportRelay(reactor)
    relays.start()
    pair = Pair()
    report = relays.add(pair.to_client.transport, pair.to_backend.transport, b"")
    pair.client.sendall(b"up")
    assert await receive(pair.backend, 2) == b"up"
    pair.client.close()
    pair.backend.close()
    await within(report)
    await pair.gone()
    for ours in (pair.to_client, pair.to_backend):
        assert (ours.received, ours.finished) == (b"", False)
    await within(relays.stop(0))


@pytest_twisted.ensureDeferred
async def test_a_clients_reset_reaches_its_protocol_after_the_report() -> None:
    relays = TransportRelay(reactor)
    relays.start()
    pair = Pair()
    report = relays.add(pair.to_client.transport, pair.to_backend.transport, b"")
    order: list[str] = []
    report.addCallback(lambda result: order.append(result.outcome.value))
    pair.to_client.lost.addCallback(lambda ignored: order.append("lost"))
    reset(pair.client)
    await pair.gone()
    assert order == ["client-reset", "lost"]
    await within(relays.stop(0))


@pytest_twisted.ensureDeferred
async def test_a_reset_is_not_held_back_by_a_peer_that_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zeroscale.relay.half_close.LINGER_STALLED", 0.05)
    relays = TransportRelay(reactor, 0.1)
    relays.start()
    pair = Pair(buffers=4096)
    report = within(relays.add(pair.to_client.transport, pair.to_backend.transport, b"x" * 500_000))
    await later()
    reset(pair.client)
    assert (await report).outcome is Outcome.client_reset
    await pair.gone()
    await within(relays.stop(0))


@pytest_twisted.ensureDeferred
async def test_a_vanished_peer_ends_its_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_pair, "vanished", lambda sock: True)
    relays = TransportRelay(reactor, 0.1)
    relays.start()
    pair = Pair()
    assert (
        await within(relays.add(pair.to_client.transport, pair.to_backend.transport, b""))
    ).outcome is Outcome.timed_out
    await pair.gone()
    await within(relays.stop(0))


@pytest_twisted.ensureDeferred
async def test_what_it_can_carry() -> None:
    client = await made()
    strange: Any = StringTransport()
    assert as_relay_transport(strange) is None
    assert as_relay_transport(client.pair.to_client.transport) is client.pair.to_client.transport
    assert as_relay_transport(client.pair.to_backend.transport) is client.pair.to_backend.transport
    wrapper: Any = WrappingFactory(Factory.forProtocol(Protocol)).buildProtocol(None)
    wrapper.makeConnection(strange)
    assert as_relay_transport(wrapper) is None
    await client.pair.close()
