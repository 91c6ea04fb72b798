"""The frontend without sockets: clients on transports in memory, real conversations, fakes of everything else.

The transports behave as Twisted's do, and fail when they are used in a way that is not allowed.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from quarry.types.buffer import Buffer1_7
from twisted.internet import error
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure

from zeroscale.errors import RelayError, ServerUnavailable
from zeroscale.events import Cause
from zeroscale.frontend.admission import Admission
from zeroscale.frontend.connection_limits import Network, PendingConnections
from zeroscale.frontend.context import EvictableConnection, FrontendContext
from zeroscale.frontend.decision import JoinPolicy
from zeroscale.frontend.factory import ConnectionFactory
from zeroscale.frontend.interfaces import Backend, Messages
from zeroscale.frontend.waiting_places import WaitingPlaces
from zeroscale.lifecycle.stats import StatsRecorder
from zeroscale.protocols.conversation import Component, Conversation, MinecraftOptions, StatusReply
from zeroscale.protocols.minecraft.dispatch import MinecraftConversation
from zeroscale.protocols.tcp import TcpConversation
from zeroscale.relay import Outcome, Report
from zeroscale.relay.base import ReportDeferred
from zeroscale.status import ClientInfo, ServerSnapshot, Status

BACKEND = ("127.0.0.1", 25575)
HANDSHAKE_TIMEOUT = 5.0


class Transport:
    """One connection, as the protocol's transport (in Twisted's spelling) and as its peer (in ours).

    :ivar received: the bytes that the peer has received.
    :ivar finished: the peer has received our FIN.
    :ivar closed: the connection is closed.
    :ivar reset: we have reset it.
    :ivar taken: a relay has it, and only the relay may use it.
    :ivar blocked: the peer does not read.
    """

    def __init__(self, reactor: MemoryReactorClock, peer: object = None) -> None:
        self._reactor = reactor
        self._address = peer
        self._unread: list[bytes | None] = []
        self._unsent = b""
        self._disconnecting = False
        self._write_disconnecting = False
        self._aborting = False
        self.protocol: Any = None
        self.reading = True
        self.received = b""
        self.finished = False
        self.closed = False
        self.reset = False
        self.taken = False
        self.blocked = False

    # As Twisted's

    def getPeer(self) -> Any:
        return self._address

    def getHost(self) -> Any:
        return IPv4Address("TCP", "198.51.100.1", 25565)

    def write(self, data: bytes) -> None:
        self._touched()
        assert isinstance(data, bytes)
        if not self.closed and not self.finished:
            self._unsent += data
            self._soon(self._flush)

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def pauseProducing(self) -> None:
        self._touched()
        self.reading = False

    def resumeProducing(self) -> None:
        self._touched()
        if not self.closed and not self._disconnecting:
            self.reading = True
            self._soon(self._read)

    def loseWriteConnection(self) -> None:
        self._touched()
        self._write_disconnecting = True
        self._soon(self._flush)

    def loseConnection(self) -> None:
        self._touched()
        if self.closed or self._disconnecting:
            return
        self.reading = False
        if self.finished:
            self._close(error.ConnectionDone())  # at once, as Twisted's does
        else:
            self._disconnecting = True
            self._soon(self._flush)

    def abortConnection(self) -> None:
        self._touched()
        if not self.closed and not self._aborting:
            self._aborting = True
            self.reset = True
            self._reactor.callLater(0, self._close, error.ConnectionAborted())

    # The peer's side

    def send(self, data: bytes) -> None:
        """Send bytes as the peer; they wait until they are read."""
        self._unread.append(data)
        self._read()

    def finish(self) -> None:
        """Finish sending, as the peer."""
        self._unread.append(None)
        self._read()

    def vanish(self) -> None:
        """Reset the connection as the peer; its protocol is not called while a relay has the transport."""
        if not self.taken and not self.closed:
            self._close(error.ConnectionLost())

    def unblock(self) -> None:
        """Let the peer read again."""
        self.blocked = False
        self._flush()

    @property
    def open(self) -> bool:
        """Whether the peer sees it neither closed nor half-closed."""
        return not self.closed and not self.finished

    def dead(self) -> bool:
        """Return whether it is closed, or will be without the peer doing anything."""
        return self.closed or self._aborting or (self._disconnecting and not self.blocked)

    def _touched(self) -> None:
        assert not self.taken, "a transport that the relay has was touched"

    def _soon(self, what: Callable[[], None]) -> None:
        self._reactor.callLater(0, what)

    def _flush(self) -> None:
        if self.closed or self._aborting or self.blocked:
            return
        self.received += self._unsent
        self._unsent = b""
        if self._disconnecting:
            self._close(error.ConnectionDone())
        elif self._write_disconnecting and not self.finished:
            self.finished = True
            self.protocol.writeConnectionLost()

    def _read(self) -> None:
        while self._unread and self.reading and not self.closed and not self._aborting and not self.taken:
            data = self._unread[0]
            if data is None:
                self.reading = False  # the end stays to be read again
                self.protocol.readConnectionLost()
                return
            del self._unread[0]
            self.protocol.dataReceived(data)

    def _close(self, reason: Exception) -> None:
        if not self.closed:
            self.closed = True
            self.reading = False
            self.protocol.connectionLost(Failure(reason))


@dataclass
class PlayerSession:
    """A player's session; ending it twice fails the test."""

    ended: bool = False
    silent: bool = False
    announced: bool = True
    moved: Callable[[], tuple[int, int]] = lambda: (0, 0)
    away_since: float | None = None

    def end(self, at: float | None = None) -> None:
        assert not self.ended, "a session was ended twice"
        self.ended = True
        self.away_since = at
        self.silent = self.moved()[0] == 0


@dataclass
class Server:
    """A fake of the lifecycle: `set_status` sets its status and answers the clients that wait."""

    status: Status = Status.stopped
    retry_at: float | None = None
    stop_timed_out: bool = False
    lockout: str | None = None
    mirrored: dict[str, object] | None = None
    wakes_to: Status = Status.starting
    fake: bytes | None = None
    closing: bool = False
    wakes: list[str] = field(default_factory=list)
    refusals: list[tuple[ClientInfo, str]] = field(default_factory=list)
    sessions: list[PlayerSession] = field(default_factory=list)
    waiters: list[Deferred[PlayerSession]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    admitted: list[ClientInfo] = field(default_factory=list)

    @property
    def view(self) -> ServerSnapshot:
        return ServerSnapshot(
            name="survival",
            status=self.status,
            since=0.0,
            retry_at=self.retry_at,
            stop_timed_out=self.stop_timed_out,
            lockout=self.lockout,
            waiting=len(self.waiters),
            cached_status=self.mirrored,
        )

    @property
    def players(self) -> int:
        """Sessions that have not ended."""
        return sum(not session.ended for session in self.sessions)

    def refused(self, client: ClientInfo, reason: str, detail: str) -> None:
        self.refusals.append((client, reason))

    def wake(self, cause: Cause) -> None:
        self.wakes.append(f"{cause.kind.value}: {cause.client.name} ({cause.client.address})")
        if self.status in (Status.stopped, Status.failed, Status.paused):
            self.set_status(self.wakes_to)

    def admit(self, visitor: ClientInfo) -> Deferred[PlayerSession]:
        self.admitted.append(visitor)
        if self.closing:
            waiter: Deferred[PlayerSession] = Deferred()
            waiter.errback(ServerUnavailable("the proxy is shutting down"))
            return waiter
        if self.status is Status.running:
            return succeed(self._session())
        waiter = Deferred(self.waiters.remove)
        if self.status is Status.failed or self.stop_timed_out:
            waiter.errback(ServerUnavailable("it ended while it started"))
        else:
            self.waiters.append(waiter)
        return waiter

    def unreachable(self, reason: str) -> None:
        self.failures.append(reason)

    def fake_status(self) -> bytes | None:
        return self.fake

    def set_status(self, status: Status) -> None:
        """Enter a status."""
        self.status = status
        if status is Status.running:
            waiters, self.waiters = self.waiters, []
            for waiter in waiters:
                waiter.callback(self._session())
        elif status is Status.failed:
            self.refuse("it ended while it started")

    def refuse(self, reason: str) -> None:
        """Fail all clients that wait."""
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            waiter.errback(ServerUnavailable(reason))

    def _session(self) -> PlayerSession:
        self.sessions.append(PlayerSession())
        return self.sessions[-1]


class FakeMessages:
    """Messages that name what they were asked for."""

    def status(self, view: ServerSnapshot, now: float) -> StatusReply:
        return StatusReply(description=f"MOTD {view.status.value}", online=0, maximum=20, version_name="zeroscale")

    def kick(self, view: ServerSnapshot, now: float, player: str) -> Component:
        return f"kick {view.status.value} {player}"

    def refusal(
        self, name: str, view: ServerSnapshot, now: float, player: str, values: Mapping[str, str] = {}
    ) -> Component:
        return " ".join(["refusal", name, player, *values.values()])

    def join_again(self, view: ServerSnapshot, now: float) -> Component:
        return f"join again {view.status.value}"

    def entry(self, view: ServerSnapshot, now: float) -> Component:
        return f"entry {view.status.value}"

    def held_too_long(self, view: ServerSnapshot, now: float, player: str) -> Component:
        return f"too long {view.status.value} {player}"

    def keep_asleep_reason(self, until: str) -> str:
        return f"asleep until {until}"

    @property
    def lockout_reason(self) -> str:
        return "locked out"

    def stop_warning(self, seconds: float, *, restart: bool) -> str:
        return f"{'restart' if restart else 'stop'} in {seconds:g}"

    @property
    def page_note(self) -> str:
        return "it reloads itself"

    def unknown_host_status(self, host: str) -> StatusReply:
        return StatusReply(description=f"unknown host {host}", online=0, maximum=0, version_name="")

    def unknown_host_kick(self, host: str, player: str) -> Component:
        return f"unknown host {host} {player}"


class Handover:
    """One pair in the relay: flushed first, then relayed, then reported."""

    def __init__(self, client: Transport, backend: Transport, early: bytes, client_finished: bool) -> None:
        self.client = client
        self.backend = backend
        self.early = early
        self.client_finished = client_finished
        self.flushing: Deferred[None] = Deferred()
        self.report = ReportDeferred(lambda: setattr(self, "aborted", True), lambda: (len(early), 0))
        self.aborted = False
        self.ended = False

    async def run(self) -> Report:
        for transport in (self.client, self.backend):
            transport.pauseProducing()
            transport.taken = True
        try:
            await self.flushing
        except BaseException:
            self._give_back()
            raise
        return await self.report

    def end(self, outcome: Outcome = Outcome.closed) -> None:
        """End the pair."""
        self._give_back()
        for transport in (self.client, self.backend):
            if outcome is Outcome.closed:
                transport.loseConnection()
            else:
                transport.abortConnection()
        if not self.flushing.called:
            self.flushing.callback(None)
        self.report.callback(Report(len(self.early), 7, outcome))

    def refuse(self, reason: str = "no descriptors left") -> None:
        """Refuse the pair."""
        self.flushing.errback(RelayError(reason))

    def lose_client(self) -> None:
        """Reset the client while its transport is flushed: the relay is notified first."""
        self.refuse("the connection was lost before it could be relayed")
        self.client.vanish()

    def lose_backend(self) -> None:
        """Reset the backend while its transport is flushed."""
        self.refuse("the connection was lost before it could be relayed")
        self.backend.vanish()

    def _give_back(self) -> None:
        self.client.taken = self.backend.taken = False
        self.ended = True


class Relays:
    """Relays that do what the test says."""

    def __init__(self) -> None:
        self.handovers: list[Handover] = []
        self.at_once = True

    def hand_over(
        self,
        client: Any,
        backend: Any,
        early: bytes,
        *,
        client_finished: bool = False,
        on_started: Callable[[Callable[[], tuple[int, int]]], object] = lambda _: None,
    ) -> Deferred[Report]:
        handover = Handover(client, backend, early, client_finished)
        self.handovers.append(handover)
        on_started(lambda: (len(early), 0))
        deferred = Deferred.fromCoroutine(handover.run())
        if self.at_once:
            handover.flushing.callback(None)
        return deferred

    def relay_socket(self, *arguments: object, **keywords: object) -> ReportDeferred:
        raise AssertionError("a transport in memory has no socket")

    @property
    def live(self) -> list[Handover]:
        """Pairs that have not ended."""
        return [handover for handover in self.handovers if not handover.ended]


class Attempt:
    """One of our attempts to connect to the real server."""

    def __init__(self, reactor: MemoryReactorClock, index: int) -> None:
        self._reactor = reactor
        self.host, self.port, self._factory = reactor.tcpClients[index][:3]
        self._connector = reactor.connectors[index]
        self.transport: Any = None
        self.over = False

    @property
    def cancelled(self) -> bool:
        """Whether we have cancelled it."""
        return bool(self._connector.stoppedConnecting)

    @property
    def open(self) -> bool:
        """Whether it still waits for an answer."""
        return not self.over and not self.cancelled

    def accept(self) -> Transport:
        """Accept it, as the server."""
        self.over = True
        transport = self.transport = Transport(self._reactor)
        protocol = self._factory.buildProtocol(IPv4Address("TCP", self.host, self.port))
        assert protocol is not None
        transport.protocol = protocol
        protocol.makeConnection(self.transport)
        return transport

    def refuse(self, reason: Exception | None = None) -> None:
        """Refuse it, as the server."""
        self.over = True
        problem = reason or error.ConnectionRefusedError(111, "Connection refused")
        self._factory.clientConnectionFailed(self._connector, Failure(problem))


class FrontendHarness:
    """A context with one server.

    :ivar lines: what was logged at INFO and above.
    """

    def __init__(
        self,
        *,
        generic: bool = False,
        make_conversation: Callable[[], Conversation] | None = None,
        timeout: float | None = None,
        health_check: tuple[Network, ...] = (),
        policy: JoinPolicy | None = None,
        admission: Admission | None = None,
        messages: Messages | None = None,
        per_address: int = 64,
        total: int = 1000,
        trusted: tuple[Network, ...] = (),
        places: int = 1000,
        known_places: int = 100,
        route: Callable[[str, Backend], Backend | None] = lambda host, backend: backend,
        **conversation: Any,
    ) -> None:
        self.reactor = cast(Any, MemoryReactorClock())
        self.server = Server()
        self.relays = Relays()
        self.policy = policy or JoinPolicy(holds=True, hold_limit=300.0)
        self.counts = StatsRecorder(Status.stopped, 0.0)
        self.backend = Backend(
            self.server, messages or FakeMessages(), self.policy, admission or Admission(), *BACKEND, self.counts
        )
        pending_connections: PendingConnections[EvictableConnection] = PendingConnections(per_address, total, trusted)
        self.context = FrontendContext(
            self.reactor,
            self.relays,
            pending_connections,
            WaitingPlaces(per_address, trusted, places=places, known_places=known_places),
            HANDSHAKE_TIMEOUT,
        )
        self._conversation = conversation
        self._make_conversation = make_conversation or (TcpConversation if generic else self._minecraft)
        self.listener = ConnectionFactory(
            self.context,
            self._make_conversation,
            lambda host: route(host, self.backend),
        )
        self.listener.messages = lambda: self.backend.messages
        self.listener.timeout = timeout
        self.listener.health_check = health_check
        self.clients: list[Transport] = []
        self.lines: list[str] = []
        self._attempts: list[Attempt] = []

    def _minecraft(self) -> Conversation:
        return MinecraftConversation(minecraft_options=lambda _: MinecraftOptions(**self._conversation))

    def connect(self, host: str = "203.0.113.7") -> Transport:
        """Connect a new client."""
        address = (IPv6Address if ":" in host else IPv4Address)("TCP", host, 40000 + len(self.clients))
        transport = Transport(self.reactor, address)
        self.clients.append(transport)
        transport.protocol = self.listener.buildProtocol(address)
        transport.protocol.makeConnection(transport)
        return transport

    def player(self, name: str = "Steve", protocol: int = 769, **options: Any) -> Transport:
        """Connect a new client that joins."""
        client = self.connect(**options)
        client.send(login(name, protocol))
        self.settle()
        return client

    def advance(self, seconds: float) -> None:
        """Let time pass, stopping at each timer, so that each call sees its own time."""
        end = self.reactor.seconds() + seconds
        while True:
            self.settle()
            due = [call.getTime() for call in self.reactor.getDelayedCalls()]
            if not due or min(due) > end:
                break
            self.reactor.advance(max(0.0, min(due) - self.reactor.seconds()))
        self.reactor.advance(max(0.0, end - self.reactor.seconds()))
        self.settle()

    def settle(self) -> None:
        """Run everything that is due now."""
        while any(call.getTime() <= self.reactor.seconds() for call in self.reactor.getDelayedCalls()):
            self.reactor.advance(0)

    @property
    def attempts(self) -> list[Attempt]:
        """Our attempts to connect to the real server."""
        for index in range(len(self._attempts), len(self.reactor.tcpClients)):
            self._attempts.append(Attempt(self.reactor, index))
        return self._attempts

    def accept(self) -> Transport:
        """Accept the one attempt to connect that waits."""
        (attempt,) = [attempt for attempt in self.attempts if attempt.open]
        transport = attempt.accept()
        self.settle()
        return transport

    def refuse(self) -> None:
        """Refuse the one attempt to connect that waits."""
        (attempt,) = [attempt for attempt in self.attempts if attempt.open]
        attempt.refuse()
        self.settle()

    def set_status(self, status: Status) -> None:
        """Let the server enter a status."""
        self.server.set_status(status)
        self.settle()

    @property
    def timers(self) -> int:
        """How many timers are pending, without the access log's."""
        shared = (self.context.access_log, self.context.deadlines)
        calls = [each for each in self.reactor.getDelayedCalls() if getattr(each.func, "__self__", None) not in shared]
        return len(calls) + len(self.context.deadlines)

    @property
    def outcomes(self) -> dict[str, int]:
        """How connections ended, with their numbers."""
        return dict(Counter(self.counts.snapshot(0.0).outcomes) + self.context.unrouted)

    def assert_over(self, client: Transport, outcome: str) -> None:
        """Check that the connection is closed, has one line in the log, and left nothing behind."""
        self.settle()
        assert client.closed
        assert self.outcomes == {outcome: 1}
        assert [f": {outcome} after " in line for line in self.lines] == [True], self.lines
        self.assert_nothing_left()

    def assert_log(self, begins: str) -> None:
        """Check that one line was logged, and how it begins."""
        (line,) = self.lines
        assert line.startswith(begins)

    def assert_nothing_left(self) -> None:
        """Check that no timer, waiting client, session, pending connection or failure is left."""
        assert not any("Unhandled failure" in line for line in self.lines), self.lines
        assert [attempt for attempt in self.attempts if attempt.open] == []
        backends = [attempt.transport for attempt in self.attempts if attempt.transport is not None]
        assert all(backend.dead() for backend in backends)
        self.settle()
        assert self.timers == 0
        assert self.server.waiters == []
        assert self.server.players == 0
        assert len(self.context.pending_connections) == 0


class LinesHandler(logging.Handler):
    def __init__(self, lines: list[str], level: int) -> None:
        super().__init__()
        self._lines = lines
        self._level = level

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= self._level or hasattr(record, "outcome") or hasattr(record, "connections"):
            self._lines.append(record.getMessage())


@contextmanager
def logged(lines: list[str], level: int = logging.INFO) -> Iterator[None]:
    """Collect the access log, and failures that Twisted reports as unhandled.

    :param level: of the lines; those about the end of a connection are collected at any level.
    """
    logger = logging.getLogger("zeroscale.access")
    handler = LinesHandler(lines, level)
    before = logger.level

    def observe(event: LogEvent) -> None:
        if event["log_level"] >= LogLevel.error:
            lines.append(f"Unhandled failure: {formatEvent(event)}")

    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    observer: Any = observe
    globalLogPublisher.addObserver(observer)
    try:
        yield
    finally:
        globalLogPublisher.removeObserver(observer)
        logger.removeHandler(handler)
        logger.setLevel(before)


def packet(packet_id: int, *fields: bytes) -> bytes:
    """Return a frame."""
    framed: bytes = Buffer1_7.pack_packet(Buffer1_7.pack_varint(packet_id) + b"".join(fields))
    return framed


def handshake(intent: int, protocol: int = 769, host: str = "play.example.org") -> bytes:
    """Return the handshake of a client since 1.7."""
    fields = [Buffer1_7.pack_varint(protocol), Buffer1_7.pack_string(host), Buffer1_7.pack("H", 25565)]
    return packet(0, *fields, Buffer1_7.pack_varint(intent))


def status(protocol: int = 769, host: str = "play.example.org") -> bytes:
    """Return the status request of the server list."""
    return handshake(1, protocol, host) + packet(0)


def ping(token: int = 0x1122334455667788) -> bytes:
    """Return the ping that follows it."""
    return packet(1, Buffer1_7.pack("Q", token))


def login(name: str = "Steve", protocol: int = 769, host: str = "play.example.org", intent: int = 2) -> bytes:
    """Return what a joining player sends."""
    uuid = bytes(16) if protocol >= 764 else b""
    return handshake(intent, protocol, host) + packet(0, Buffer1_7.pack_string(name), uuid)


def answer(number: int) -> bytes:
    """Return the answer to a request of ours: "not understood"."""
    return packet(2, Buffer1_7.pack_varint(number), b"\x00")


def packets(data: bytes) -> list[tuple[int, bytes]]:
    """Return the frames that a client received: for each its id and the rest."""
    found = []
    buffer = Buffer1_7(data)
    while len(buffer):
        body = buffer.unpack_packet(Buffer1_7)
        found.append((body.unpack_varint(), body.read()))
    return found


def kicks(client: Transport) -> list[str]:
    """Return the texts of the kicks that a client since 1.7 has received."""
    return [Buffer1_7(rest).unpack_json()["text"] for packet_id, rest in packets(client.received) if packet_id == 0]


def requests(data: bytes) -> list[int]:
    """Return the ids of the requests that keep a held client alive."""
    return [Buffer1_7(rest).unpack_varint() for packet_id, rest in packets(data) if packet_id == 4]


def legacy_login(name: str = "Notch") -> bytes:
    """Return the login of a 1.5.2 client."""
    texts = [text.encode("utf-16-be") for text in (name, "play.example.org")]
    fields = [(len(text) // 2).to_bytes(2, "big") + text for text in texts]
    return b"\x02\x3d" + b"".join(fields) + (25565).to_bytes(4, "big")


def legacy_text(data: bytes) -> str:
    """Return the kick text that a client before 1.7 received."""
    assert data[:1] == b"\xff"
    assert len(data) == 3 + 2 * int.from_bytes(data[1:3], "big")
    return data[3:].decode("utf-16-be")
