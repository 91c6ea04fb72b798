"""The frontend with real sockets, the real relay and the real reactor: what transports in memory cannot show."""

from __future__ import annotations

import gc
import logging
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_twisted
from client_hellos import client_hello
from frontend.harness import FakeMessages, Server, answer, logged, login, packet, packets, ping, requests, status
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, globalLogPublisher

from zeroscale.frontend import login_hold as hold
from zeroscale.frontend.admission import Admission
from zeroscale.frontend.closing import LINGER
from zeroscale.frontend.connection import ClientConnection
from zeroscale.frontend.connection_limits import PendingConnections
from zeroscale.frontend.context import EvictableConnection, FrontendContext
from zeroscale.frontend.decision import JoinPolicy
from zeroscale.frontend.factory import ConnectionFactory
from zeroscale.frontend.interfaces import Backend
from zeroscale.frontend.waiting_places import WaitingPlaces
from zeroscale.lifecycle.stats import StatsRecorder
from zeroscale.protocols import sniffing
from zeroscale.protocols.conversation import Conversation
from zeroscale.protocols.minecraft.dispatch import MinecraftConversation
from zeroscale.protocols.tcp import HttpConversation, TcpConversation
from zeroscale.protocols.virtual_hosts import HttpHostConversation, TlsHostConversation
from zeroscale.relay import Relays
from zeroscale.sockets.listener import listening_reactor
from zeroscale.sockets.poller import SocketPoller
from zeroscale.status import ClientInfo, Status
from zeroscale.system.endpoints import listen

reactor: Any = global_reactor

DEADLINE = 10.0
"""Seconds after which what has not happened will not; less than what our own time-outs, LINGER included, add up to."""


async def until(what: Callable[[], object]) -> None:
    """Lets the reactor run until something is true."""
    begun = reactor.seconds()
    while not what():
        assert reactor.seconds() - begun < DEADLINE, "it does not happen"
        await deferLater(reactor, 0.002)


class Peer:
    """A client of ours, or the real server's end of a connection."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.socket = connection
        self.received = b""
        self.ended = False

    async def send(self, data: bytes) -> None:
        """Sends all of it."""
        while data:
            try:
                data = data[self.socket.send(data) :]
            except BlockingIOError:
                await deferLater(reactor, 0.001)

    def push(self, data: bytes) -> int:
        """Sends what the kernel takes now; how much that was."""
        try:
            return self.socket.send(data)
        except BlockingIOError:
            return 0

    def finish(self) -> None:
        """Says that there is no more."""
        self.socket.shutdown(socket.SHUT_WR)

    def poll(self) -> None:
        """Receives what has come."""
        try:
            while not self.ended:
                data = self.socket.recv(65536)
                self.received += data
                self.ended = not data
        except (BlockingIOError, ssl.SSLWantReadError):
            return

    async def receive(self, enough: Callable[[], object]) -> None:
        """Receives until it is enough."""

        def got() -> object:
            self.poll()
            return enough()

        await until(got)

    async def receive_all(self) -> bytes:
        """Receives to the end, which is an orderly one."""
        await self.receive(lambda: self.ended)
        return self.received


@pytest.fixture(autouse=True, params=["poller", "reactor"])
def watched_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test with the sockets watched by the poller, and by the reactor."""
    monkeypatch.setattr(
        FrontendHarness, "make_poller", {"poller": SocketPoller, "reactor": lambda _: None}[request.param]
    )


class FrontendHarness:
    """A frontend that listens, and the real server's port."""

    make_poller: Callable[[Any], SocketPoller | None] = SocketPoller

    def __init__(self, backend: socket.socket, make_conversation: Callable[[], Conversation], relay: str) -> None:
        self.server = Server()
        self.relays = Relays(reactor, relay)
        pending_connections: PendingConnections[EvictableConnection] = PendingConnections(64, 1000)
        poller = type(self).make_poller(reactor)
        self.context = FrontendContext(reactor, self.relays, pending_connections, WaitingPlaces(64), 5.0, poller=poller)
        self.counts = StatsRecorder(Status.stopped, 0.0)
        policy = JoinPolicy(holds=True, hold_limit=300.0)
        host, port = backend.getsockname()
        self.route_to = Backend(self.server, FakeMessages(), policy, Admission(), host, port, self.counts)
        self.listener = RecordingFactory(self.context, make_conversation, lambda host: self.route_to)
        self.backend = backend
        self.ports: list[Any] = []
        self.peers: list[Peer] = []
        self.lines: list[str] = []

    @property
    def outcomes(self) -> Counter[str]:
        """How connections ended."""
        return Counter(self.counts.snapshot(0.0).outcomes) + self.context.unrouted

    @property
    def clients(self) -> list[RecordedConnection]:
        """The frontend's side of each connection."""
        return self.listener.clients

    async def listen(self, where: str) -> None:
        self.ports += await listen(listening_reactor(reactor, self.context.poller, self.listener), where, self.listener)

    def connect(self) -> Peer:
        """A new client."""
        return self.add(socket.create_connection(("127.0.0.1", self.ports[0].getHost().port)))

    def add(self, connection: socket.socket) -> Peer:
        self.peers.append(Peer(connection))
        return self.peers[-1]

    async def accept(self) -> Peer:
        """The real server's end of the next connection."""
        self.backend.setblocking(False)
        found: list[socket.socket] = []

        def accepted() -> list[socket.socket]:
            try:
                found.append(self.backend.accept()[0])
            except BlockingIOError:
                return []
            return found

        await until(accepted)
        return self.add(found[0])

    async def over(self, outcome: str) -> None:
        """Every connection has ended, with one outcome."""
        await until(lambda: all(client.is_lost for client in self.clients))
        assert set(self.outcomes) == {outcome}
        assert self.server.waiters == []
        assert self.server.players == 0


class RecordedConnection(ClientConnection):
    """A connection that knows when it is lost."""

    is_lost = False

    def connectionLost(self, reason: Any = None) -> None:
        self.is_lost = True
        super().connectionLost(reason)


class RecordingFactory(ConnectionFactory):
    """A factory that keeps its connections."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.clients: list[RecordedConnection] = []

    def buildProtocol(self, addr: Any) -> RecordedConnection:
        self.clients.append(RecordedConnection(self, addr))
        return self.clients[-1]


@asynccontextmanager
async def front(
    where: str = "tcp:0:interface=127.0.0.1",
    *,
    make_conversation: Callable[[], Conversation] = MinecraftConversation,
    relay: str = "auto",
) -> AsyncIterator[FrontendHarness]:
    """Yield a frontend that listens; at the end nothing of it may be left in the reactor."""
    before = {*reactor.getReaders(), *reactor.getWriters()}
    with ExitStack() as stack:
        backend = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        harness = FrontendHarness(backend, make_conversation, relay)
        stack.enter_context(logged(harness.lines))
        harness.relays.start()
        try:
            await harness.listen(where)
            yield harness
        finally:
            for port in harness.ports:
                await port.stopListening()
            for peer in harness.peers:
                peer.socket.close()
            await until(lambda: all(client.is_lost for client in harness.clients))
            await harness.relays.stop(0)
    left = {*reactor.getReaders(), *reactor.getWriters()} - before
    assert left == set()
    assert not [line for line in harness.lines if "fault" in line]


@pytest_twisted.ensureDeferred
async def test_status_and_ping() -> None:
    async with front() as harness:
        peer = harness.connect()
        await peer.send(status() + ping())
        assert [packet_id for packet_id, _ in packets(await peer.receive_all())] == [0, 1]
        await harness.over("status")


@pytest_twisted.ensureDeferred
async def test_a_status_is_answered_though_a_second_one_follows() -> None:
    async with front() as harness:
        for count in range(1, 11):
            peer = harness.connect()
            await peer.send(status() + packet(0) * count)
            await until(lambda: harness.outcomes.total() == count)  # noqa: B023  # awaited at once
            peer.push(packet(0))
            assert [packet_id for packet_id, _ in packets(await peer.receive_all())] == [0]
            peer.socket.close()
        await harness.over("status")


@pytest_twisted.ensureDeferred
async def test_a_running_server_judges_what_follows_a_status() -> None:
    async with front() as harness:
        harness.server.status = Status.running
        peer = harness.connect()
        sent = status() + packet(0) + b"GET / HTTP/1.1\r\n\r\n"
        await peer.send(sent)
        backend = await harness.accept()
        await backend.receive(lambda: backend.received == sent)
        await backend.send(b"its own answer")
        backend.socket.close()
        assert await peer.receive_all() == b"its own answer"
        peer.socket.close()
        await harness.over("status")


@pytest_twisted.ensureDeferred
async def test_a_kicked_client_is_forgotten_as_soon_as_it_closes() -> None:
    async with front() as harness:
        harness.server.status = Status.failed
        peer = harness.connect()
        await peer.send(login())
        assert b"kick failed Steve" in await peer.receive_all()
        assert not harness.clients[0].is_lost, "we have finished sending, and it has not"
        begun = reactor.seconds()
        peer.socket.close()
        await harness.over("kicked")
        assert reactor.seconds() - begun < LINGER / 2


@pytest_twisted.ensureDeferred
async def test_a_kick_arrives_though_the_client_sends_on() -> None:
    async with front() as harness:
        harness.server.status = Status.failed
        for count in range(1, 11):
            peer = harness.connect()
            await peer.send(login())
            await until(lambda: harness.outcomes.total() == count)  # noqa: B023  # awaited at once
            for _ in range(5):
                peer.push(b"x" * 200_000)
                await deferLater(reactor, 0)
            assert packets(await peer.receive_all()) == [(0, b'\x1c{"text":"kick failed Steve"}')]
            peer.socket.close()
        await harness.over("kicked")


@pytest.mark.parametrize("how", ["finish", "close", "reset"])
@pytest_twisted.ensureDeferred
async def test_a_player_that_leaves_is_noticed_at_once(how: str) -> None:
    async with front() as harness:
        peer = harness.connect()
        await peer.send(login())
        await until(lambda: harness.server.waiters)
        if how == "finish":
            peer.finish()
        else:
            if how == "reset":
                peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            peer.socket.close()
        await harness.over("left")
        assert harness.server.status is Status.starting


@pytest_twisted.ensureDeferred
async def test_a_player_that_leaves_during_the_connect_leaves_nothing() -> None:
    async with front() as harness:
        # A full backlog takes no more: the attempt stays open.
        harness.backend.listen(0)
        filling = [harness.add(socket.socket()) for _ in range(3)]
        for peer in filling:
            peer.socket.connect_ex(harness.backend.getsockname())
        harness.server.status = Status.running
        peer = harness.connect()
        await peer.send(login())
        await until(lambda: harness.server.players)
        peer.socket.close()
        await harness.over("left")


@pytest_twisted.ensureDeferred
async def test_a_player_that_is_refused_during_the_connect_leaves_nothing() -> None:
    events: list[LogEvent] = []
    async with front() as harness:
        harness.backend.listen(0)
        for filling in [harness.add(socket.socket()) for _ in range(3)]:
            filling.socket.connect_ex(harness.backend.getsockname())
        harness.server.status = Status.running
        harness.server.closing = True
        globalLogPublisher.addObserver(cast(Any, events.append))
        peer = harness.connect()
        await peer.send(login())
        await peer.receive_all()
        peer.socket.close()
        await harness.over("kicked")
    gc.collect()
    globalLogPublisher.removeObserver(cast(Any, events.append))
    assert not [event for event in events if "log_failure" in event]


@pytest_twisted.ensureDeferred
async def test_a_player_is_counted_once_though_the_server_is_not_ready_after_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with front() as harness:
        harness.server.status = Status.running

        def admit(client: ClientInfo) -> Deferred[Any]:
            waiter: Deferred[Any] = Deferred(harness.server.waiters.remove)
            harness.server.waiters.append(waiter)
            return waiter

        monkeypatch.setattr(harness.server, "admit", admit)
        peer = harness.connect()
        await peer.send(login())
        await until(lambda: harness.server.waiters)
        harness.server.set_status(Status.running)
        assert harness.server.players == 1
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.socket.close()
        await until(lambda: all(client.is_lost for client in harness.clients))
        assert harness.server.players == 0


@pytest_twisted.ensureDeferred
async def test_held_then_joined_and_the_server_sees_only_the_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold, "KEEPALIVE_EVERY", 0.01)
    monkeypatch.setattr(hold, "MOST_UNANSWERED", 1000)
    async with front() as harness:
        peer = harness.connect()
        await peer.send(login())
        await peer.receive(lambda: len(requests(peer.received)) >= 2)
        monkeypatch.setattr(hold, "KEEPALIVE_EVERY", 60.0)
        harness.server.set_status(Status.running)
        await peer.receive(lambda: len(requests(peer.received)) == harness.clients[0].conversation.unanswered)
        for number in requests(peer.received):
            await peer.send(answer(number))
        backend = await harness.accept()
        await backend.receive(lambda: len(backend.received) >= len(login()))
        assert backend.received == login()
        before = peer.received
        await backend.send(b"Encryption Request")
        await peer.receive(lambda: peer.received == before + b"Encryption Request")
        await peer.send(b"Encryption Response")
        await backend.receive(lambda: backend.received == login() + b"Encryption Response")
        backend.finish()
        assert (await peer.receive_all()).endswith(b"Encryption Request")
        peer.finish()
        assert await backend.receive_all()
        await harness.over("closed")


@pytest.mark.parametrize("relay", ["auto", "transport"])
@pytest_twisted.ensureDeferred
async def test_what_comes_with_a_header_reaches_the_running_server(relay: str) -> None:
    async with front(make_conversation=TcpConversation, relay=relay) as harness:
        harness.server.status = Status.running
        harness.listener.accept_from = [ip_network("127.0.0.1")]
        peer = harness.connect()
        await peer.send(b"PROXY TCP4 203.0.113.9 198.51.100.1 5000 80\r\nrequest")
        backend = await harness.accept()
        await backend.receive(lambda: backend.received == b"request")
        peer.finish()
        backend.finish()
        await harness.over("closed")


@pytest_twisted.ensureDeferred
async def test_all_bytes_and_the_end_of_a_generic_client_reach_the_server() -> None:
    async with front(make_conversation=TcpConversation) as harness:
        peer = harness.connect()
        await peer.send(b"early")
        peer.finish()
        await until(lambda: harness.clients and harness.clients[0].finished_sending)
        harness.server.set_status(Status.running)
        backend = await harness.accept()
        assert await backend.receive_all() == b"early"
        await backend.send(b"late answer")
        backend.finish()
        assert await peer.receive_all() == b"late answer"
        await harness.over("closed")


HEALTH_CHECK = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"


def checked() -> HttpConversation:
    return HttpConversation(retry_after=lambda: 7.0, health_path="/healthz")


@pytest.mark.parametrize("state", [Status.stopped, Status.starting, Status.running])
@pytest_twisted.ensureDeferred
async def test_a_health_check_is_answered_and_does_not_reach_the_server(state: Status) -> None:
    async with front(make_conversation=checked) as harness:
        harness.server.status = state
        client = harness.connect()
        for piece in (HEALTH_CHECK[:6], HEALTH_CHECK[6:], b"GET /next HTTP/1.1\r\n\r\n"):
            await client.send(piece)
        reply = await client.receive_all()
        assert reply.startswith(b"HTTP/1.1 200 OK\r\n") and reply.endswith(b"\r\n\r\nok\n")
        client.socket.close()
        await harness.over("health-check")
        assert harness.server.wakes == [] and harness.server.sessions == []


@pytest.mark.parametrize("relay", ["auto", "transport"])
@pytest.mark.parametrize("state", [Status.stopped, Status.running])
@pytest_twisted.ensureDeferred
async def test_what_was_looked_at_for_a_health_check_is_relayed_as_it_was_sent(state: Status, relay: str) -> None:
    """Also a second request that is one: only the first is looked at."""
    async with front(make_conversation=checked, relay=relay) as harness:
        harness.server.status = state
        client = harness.connect()
        sent = b"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na=b" + HEALTH_CHECK
        for byte in sent[:60]:
            await client.send(bytes([byte]))
        await client.send(sent[60:])
        if state is Status.stopped:
            await until(lambda: harness.server.waiters)
            harness.server.set_status(Status.running)
        server = await harness.accept()
        await client.send(b"more")
        client.finish()
        assert await server.receive_all() == sent + b"more"
        await server.send(b"HTTP/1.1 200 OK\r\n\r\n")
        server.finish()
        assert await client.receive_all() == b"HTTP/1.1 200 OK\r\n\r\n"
        await harness.over("closed")


@pytest.mark.parametrize("relay", ["auto", "transport"])
@pytest_twisted.ensureDeferred
async def test_the_log_says_which_relay_has_a_client(relay: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "zeroscale.access")
    async with front(make_conversation=TcpConversation, relay=relay) as harness:
        harness.server.status = Status.running
        client = harness.connect()
        await harness.accept()
        name = "splice" if harness.context.poller is not None and relay == "auto" else "transport"
        address = harness.clients[0].transport.getPeer()
        (line,) = [record for record in caplog.records if hasattr(record, "relay")]
        assert (line.getMessage(), line.relay) == (f"{address.host}:{address.port} is relayed by {name}", name)
        client.socket.close()


@pytest.mark.parametrize("relay", ["auto", "transport"])
@pytest_twisted.ensureDeferred
async def test_a_client_that_waits_for_a_server_with_health_checks_hears_from_it(relay: str) -> None:
    async with front(make_conversation=checked, relay=relay) as harness:
        harness.listener.timeout = 0.05
        harness.server.status = Status.running
        client = harness.connect()
        server = await harness.accept()
        await server.send(b"220 ready\r\n")
        server.finish()
        assert await client.receive_all() == b"220 ready\r\n"
        client.finish()
        await harness.over("closed")


@pytest_twisted.ensureDeferred
async def test_a_generic_client_that_sends_much_is_paused() -> None:
    sent = bytes(range(251)) * 40_000
    async with front(make_conversation=TcpConversation) as harness:
        peer = harness.connect()
        pushed = peer.push(sent)
        await until(lambda: harness.clients and harness.clients[0].conversation.full)
        for _ in range(20):
            await deferLater(reactor, 0)
            pushed += peer.push(sent[pushed:])
        assert len(harness.clients[0].conversation.replay_bytes) <= 2 * 65536
        assert pushed < len(sent)
        harness.server.set_status(Status.running)
        backend = await harness.accept()
        while pushed < len(sent):
            pushed += peer.push(sent[pushed:])
            backend.poll()
            await deferLater(reactor, 0)
        peer.finish()
        assert await backend.receive_all() == sent
        backend.finish()
        await harness.over("closed")


@pytest_twisted.ensureDeferred
async def test_a_player_of_a_full_proxy_is_kicked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with front() as harness:
        harness.server.status = Status.running
        await harness.relays.stop(0)
        peer = harness.connect()
        await peer.send(login())
        backend = await harness.accept()
        assert b"refusal proxy_full" in await peer.receive_all()
        assert harness.server.failures == []
        with pytest.raises(ConnectionResetError):
            await backend.receive_all()
        peer.socket.close()
        await harness.over("full")


@pytest.mark.parametrize("relay", ["auto", "transport"])
@pytest_twisted.ensureDeferred
async def test_a_server_on_a_unix_socket(tmp_path: Path, relay: str) -> None:
    async with front(make_conversation=TcpConversation, relay=relay) as harness:
        harness.server.status = Status.running
        path = tmp_path / "map.sock"
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
            listening.listen()
            harness.backend, harness.route_to.host = listening, str(path)
            harness.route_to.proxy_version = "v1"
            peer = harness.connect()
            await peer.send(b"question")
            backend = await harness.accept()
            await backend.receive(lambda: backend.received.endswith(b"question"))
            client, proxy = peer.socket.getsockname(), peer.socket.getpeername()
            assert backend.received == b"PROXY TCP4 %s %s %d %d\r\nquestion" % (
                client[0].encode(),
                proxy[0].encode(),
                client[1],
                proxy[1],
            )
            await backend.send(b"answer" * 100_000)
            backend.finish()
            assert await peer.receive_all() == b"answer" * 100_000
            peer.socket.close()
            await harness.over("closed")


@pytest.mark.parametrize("is_main", [True, False])
@pytest_twisted.ensureDeferred
async def test_a_port_of_a_running_server_that_is_not_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_main: bool
) -> None:
    """A further port may open late, or never: that is no sign of the server's end. Its client is closed in order."""
    monkeypatch.setattr("zeroscale.frontend.join.RECONNECT_AFTER", 0.01)
    async with front(make_conversation=TcpConversation) as harness:
        harness.server.status = Status.running
        path = str(tmp_path / "map.sock")
        harness.route_to.host, harness.route_to.listen = path, "" if is_main else "8123"
        peer = harness.connect()
        await peer.send(b"question")
        assert await peer.receive_all() == b""
        assert len(harness.server.failures) == (3 if is_main else 0)
        problem = "the server does not take connections" if is_main else f"{path}: "
        assert problem in harness.lines[-1]
        assert "No such file or directory" in [*harness.server.failures, *harness.lines][0]
        peer.socket.close()
        await harness.over("kicked")


@pytest_twisted.ensureDeferred
async def test_a_further_port_that_opens_while_its_client_is_tried_again(tmp_path: Path) -> None:
    async with front(make_conversation=TcpConversation) as harness:
        harness.server.status = Status.running
        path = tmp_path / "map.sock"
        harness.route_to.host, harness.route_to.listen = str(path), "8123"
        peer = harness.connect()
        await peer.send(b"question")
        await until(lambda: harness.server.admitted)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
            listening.listen()
            harness.backend = listening
            backend = await harness.accept()
            await backend.receive(lambda: backend.received == b"question")
            backend.finish()
            assert await peer.receive_all() == b""
            peer.socket.close()
            await harness.over("closed")


def asks_for_a_page() -> HttpConversation:
    return HttpConversation(retry_after=lambda: 60.0, reloads=lambda: False)


@pytest.mark.parametrize("status", [Status.stopped, Status.starting])
@pytest_twisted.ensureDeferred
async def test_a_port_that_does_not_wake_answers_a_form_that_is_still_being_sent(status: Status) -> None:
    async with front(make_conversation=asks_for_a_page) as harness:
        harness.server.status = status
        harness.route_to.policy = JoinPolicy(holds=True, hold_limit=300.0, wakes=False, explains=True)
        peer = harness.connect()
        await peer.send(b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n")
        await until(lambda: harness.outcomes)
        for _ in range(5):
            peer.push(b"x" * 200_000)
            await deferLater(reactor, 0)
        assert b"503 Service Unavailable" in await peer.receive_all()
        peer.socket.close()
        await harness.over("unavailable")
        assert (harness.server.wakes, harness.server.admitted) == ([], [])


@pytest_twisted.ensureDeferred
async def test_a_port_that_does_not_wake_and_has_no_words_closes_in_order(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever looks at a sleeping server's port is no news."""
    async with front(make_conversation=TcpConversation) as harness:
        harness.route_to.policy = JoinPolicy(holds=True, hold_limit=300.0, wakes=False)
        peer = harness.connect()
        await peer.send(b"x" * 100_000)
        assert await peer.receive_all() == b""
        peer.socket.close()
        await harness.over("kicked")
        assert harness.server.wakes == []
        assert not [each for each in caplog.records if each.levelno >= logging.INFO]


@pytest_twisted.ensureDeferred
async def test_a_unix_socket(tmp_path: Path) -> None:
    async with front(f"unix:{tmp_path / 'socket'}") as harness:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(tmp_path / "socket"))
        peer = harness.add(connection)
        await peer.send(status() + ping())
        assert [packet_id for packet_id, _ in packets(await peer.receive_all())] == [0, 1]
        peer.socket.close()
        await harness.over("status")
        assert harness.lines[0].startswith("survival: local: status after ")


# TLS


async def over_tls(harness: FrontendHarness, data: bytes) -> Peer:
    """A client that speaks through TLS."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])  # as browsers and curl
    plain = socket.create_connection(("127.0.0.1", harness.ports[0].getHost().port))
    plain.setblocking(False)
    connection = context.wrap_socket(plain, do_handshake_on_connect=False)
    peer = harness.add(connection)

    def shaken() -> bool:
        try:
            connection.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    await until(shaken)
    await peer.send(data)
    return peer


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")  # Twisted does
@pytest_twisted.ensureDeferred
async def test_a_kick_arrives_through_tls(certificate: Path) -> None:
    where = f"ssl:0:privateKey={certificate}/key.pem:certKey={certificate}/cert.pem:interface=127.0.0.1"
    async with front(where) as harness:
        harness.server.status = Status.failed
        peer = await over_tls(harness, login())
        assert packets(await peer.receive_all()) == [(0, b'\x1c{"text":"kick failed Steve"}')]
        peer.socket.close()
        await harness.over("kicked")


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")
@pytest.mark.parametrize("state", [Status.stopped, Status.running])
@pytest_twisted.ensureDeferred
async def test_a_health_check_is_answered_through_tls(certificate: Path, state: Status) -> None:
    where = f"ssl:0:privateKey={certificate}/key.pem:certKey={certificate}/cert.pem:interface=127.0.0.1"
    async with front(where, make_conversation=checked) as harness:
        harness.server.status = state
        peer = await over_tls(harness, HEALTH_CHECK)
        assert (await peer.receive_all()).startswith(b"HTTP/1.1 200 OK\r\n")
        peer.socket.close()
        await harness.over("health-check")
        assert harness.server.wakes == [] and harness.server.sessions == []


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")
@pytest_twisted.ensureDeferred
async def test_a_player_is_relayed_through_tls(certificate: Path) -> None:
    where = f"ssl:0:privateKey={certificate}/key.pem:certKey={certificate}/cert.pem:interface=127.0.0.1"
    async with front(where) as harness:
        peer = await over_tls(harness, login())
        await until(lambda: harness.server.waiters)
        harness.server.set_status(Status.running)
        backend = await harness.accept()
        await backend.receive(lambda: backend.received == login())
        await backend.send(b"Encryption Request")
        await peer.receive(lambda: peer.received == b"Encryption Request")
        peer.socket.close()
        backend.socket.close()
        await until(lambda: all(client.is_lost for client in harness.clients))
        assert harness.server.players == 0


# Several web servers on one port


def site(path: str = "/") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: site.example.org\r\nX-Odd:  kept \r\n\r\n".encode()


def shared_conversation() -> Conversation:
    def choose(host: str) -> Conversation | None:
        return HttpConversation(retry_after=lambda: 1.0) if host == "site.example.org" else None

    return HttpHostConversation(choose)


def shared_tls_conversation() -> Conversation:
    return TlsHostConversation(
        lambda host: TcpConversation(sniffer=sniffing.tls) if host == "site.example.org" else None
    )


def only_site(harness: FrontendHarness) -> None:
    harness.listener.route = lambda host: harness.route_to if host == "site.example.org" else None


@pytest.mark.parametrize("state", [Status.stopped, Status.running])
@pytest.mark.parametrize("kind", ["http", "tls"])
@pytest_twisted.ensureDeferred
async def test_the_named_server_gets_every_byte(kind: str, state: Status) -> None:
    sent = site() if kind == "http" else client_hello("site.example.org")
    make = shared_conversation if kind == "http" else shared_tls_conversation
    async with front(make_conversation=make) as harness:
        only_site(harness)
        harness.server.status = state
        peer = harness.connect()
        peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(sent), 7):
            assert harness.server.waiters == []
            await peer.send(sent[at : at + 7])
            await deferLater(reactor, 0)
        more = bytes(range(256)) * 4096
        sending = Deferred.fromCoroutine(peer.send(more))
        if state is Status.stopped:
            await until(lambda: harness.server.waiters)
            harness.server.set_status(Status.running)
        backend = await harness.accept()
        await backend.receive(lambda: len(backend.received) >= len(sent + more))
        await sending
        peer.finish()
        assert await backend.receive_all() == sent + more
        await backend.send(b"answer")
        backend.socket.close()
        assert await peer.receive_all() == b"answer"
        await harness.over("closed")


@pytest_twisted.ensureDeferred
async def test_a_request_for_no_server_is_answered_though_its_body_follows() -> None:
    async with front(make_conversation=shared_conversation) as harness:
        only_site(harness)
        harness.server.status = Status.running
        for count in range(1, 6):
            peer = harness.connect()
            await peer.send(site().replace(b"site", b"other").replace(b"GET", b"POST"))
            await until(lambda: harness.outcomes.total() == count)  # noqa: B023  # awaited at once
            for _ in range(5):
                peer.push(b"x" * 200_000)
                await deferLater(reactor, 0)
            assert (await peer.receive_all()).startswith(b"HTTP/1.1 421 ")
            peer.socket.close()
        await harness.over("unknown-host")
        assert harness.context.unrouted == {"unknown-host": 5}


@pytest_twisted.ensureDeferred
async def test_a_client_hello_for_no_server_gets_the_alert() -> None:
    async with front(make_conversation=shared_tls_conversation) as harness:
        only_site(harness)
        harness.server.status = Status.running
        for name in ("other.example.org", None):
            peer = harness.connect()
            await peer.send(client_hello(name))
            assert await peer.receive_all() == b"\x15\x03\x03\x00\x02\x02\x70"
            peer.socket.close()
        await harness.over("unknown-host")
