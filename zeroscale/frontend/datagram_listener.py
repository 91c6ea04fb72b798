"""One UDP port of one server: what its clients are answered while the server sleeps, what wakes it, and their sessions.

The conversation reads datagrams until a session is open; from then on the relay moves them unread. A source address can
be forged, so everything that is kept for one is bounded, and what is sent to it is limited.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct
from twisted.internet.interfaces import IDelayedCall

from zeroscale.errors import ProtocolError, RelayError
from zeroscale.frontend.backend_address import BackendAddress
from zeroscale.frontend.connection_limits import Network, is_within, normalised
from zeroscale.frontend.context import FrontendContext
from zeroscale.frontend.datagram_answers import DatagramAnswers
from zeroscale.frontend.datagram_hold import DatagramHold
from zeroscale.frontend.datagram_limits import AnswerLimits
from zeroscale.frontend.datagram_record import DatagramRecord
from zeroscale.frontend.datagram_wakes import REFUSED, DatagramWakes
from zeroscale.frontend.interfaces import Backend, PlayerSession
from zeroscale.frontend.leftover_clients import LeftoverClients
from zeroscale.protocols.datagrams import ClientReply, DatagramConversation, WakeRequested
from zeroscale.protocols.proxy_protocol import Endpoint, encode
from zeroscale.protocols.udp import UdpConversation, WakeRule
from zeroscale.relay.datagram_relay import DatagramPort
from zeroscale.relay.datagram_session import DatagramClient, DatagramSession, SessionEnd
from zeroscale.reports import DatagramReport
from zeroscale.status import ClientInfo, ServerSnapshot, Status

TAKEN_OVER = 60.0
"""Seconds since we have listened in which a client may have joined through an earlier zeroscale, whose server runs on:
it does not send again what a pattern matches, and counts as where there is no pattern."""


class DatagramSettings(Struct, frozen=True):
    """What is configured of a port.

    :ivar hold: keep what clients send while the server starts.
    :ivar health_check: networks of health checkers: their datagrams never wake.
    """

    hold: bool = False
    health_check: Sequence[Network] = ()


class ListeningSocket:
    """One socket of a port. Implements `relay.datagram_relay.PortObserver`.

    :ivar port: the relay's; set before the first datagram comes.
    :ivar listener: decides about clients without a session; None: they are ignored.
    :ivar records: the live sessions, also those that an earlier listener has opened.
    """

    port: DatagramPort

    def __init__(self) -> None:
        self.listener: DatagramListener | None = None
        self.records: dict[DatagramSession, DatagramRecord] = {}

    def arrived(self, client: DatagramClient, datagrams: list[bytes]) -> None:
        """Decide about datagrams of a client without a session."""
        if self.listener is not None:
            self.listener.arrived(self, client, datagrams)

    def session_ended(self, session: DatagramSession, end: SessionEnd) -> None:
        """Handle the end of a session."""
        record = self.records.pop(session, None)
        if record is not None:
            record.end(end)


class DatagramListener:
    """One port, with a socket for each address family.

    :param context: shared with the clients of other ports.
    :param backend: the server; what changes in it counts at once.
    :param conversation: of all clients of the port.
    :param sockets: the port's sockets, which it serves from now on.
    :param limits: of answers, shared by all ports.
    """

    def __init__(
        self,
        context: FrontendContext,
        backend: Backend,
        conversation: DatagramConversation,
        settings: DatagramSettings,
        sockets: Sequence[ListeningSocket],
        limits: AnswerLimits,
    ) -> None:
        self._context = context
        self._clock = context.reactor
        self._backend = backend
        self._conversation = conversation
        self._settings = settings
        self._sockets = sockets
        self._replies: DatagramAnswers[ListeningSocket] = DatagramAnswers(limits)
        self._hold: DatagramHold[tuple[ListeningSocket, DatagramClient]] = DatagramHold()
        self._wakes = DatagramWakes(context, backend, self._serve_soon)
        self._address = BackendAddress(self._clock, self._looked_up)
        self._leftover: LeftoverClients[DatagramClient] = LeftoverClients()
        self._dropped: Counter[str] = Counter()
        self._timer: IDelayedCall | None = None
        self._ready: IDelayedCall | None = None
        self._began = self._clock.seconds()
        for sock in sockets:
            sock.listener = self

    def configure(self, conversation: DatagramConversation | None, settings: DatagramSettings) -> None:
        """Use other settings from now on; sessions continue.

        :param conversation: None: the present one is kept, with all that its clients have sent.
        """
        self._settings = settings
        if conversation is not None:
            self._conversation = conversation
            self._set_timer()

    def close(self) -> None:
        """Ignore clients without a session from now on; the sessions continue until the relay's ports are closed."""
        for sock in self._sockets:
            if sock.listener is self:
                sock.listener = None
        for call in (self._timer, self._ready):
            if call is not None:
                call.cancel()
        self._timer = self._ready = None
        self._address.close()
        self._drop("asleep", self._hold.clear())
        self._wakes.end()

    @property
    def holds(self) -> int:
        """The number of clients whose datagrams are kept."""
        return len(self._hold)

    def report(self) -> DatagramReport:
        """Return the sums now."""
        found = [sock.port.counters() for sock in self._sockets]
        dropped = Counter({**self._dropped, "answer-limit": self._replies.limited})
        dropped["hold-full"] += self._hold.displaced
        for counters in found:
            dropped.update({reason.value: count for reason, count in counters.dropped.items()})

        def added(name: str) -> int:
            return sum(getattr(counters, name) for counters in found)

        return DatagramReport(
            to_server=added("to_backend"),
            to_server_bytes=added("to_backend_bytes"),
            to_client=added("to_client"),
            to_client_bytes=added("to_client_bytes"),
            answers=self._replies.sent,
            dropped=dict(dropped),
            sessions=added("total"),
        )

    # Called by the relay, through the sockets

    def arrived(self, sock: ListeningSocket, client: DatagramClient, datagrams: Sequence[bytes]) -> None:
        """Decide about datagrams of a client without a session."""
        host = normalised(client.address[0])
        if is_within(host, self._settings.health_check):
            self._drop("health-check", len(datagrams))
            return
        view = self._backend.server.view
        if view.status is Status.running:
            self._while_running(sock, client, host, datagrams, view)
        else:
            self._while_down(sock, client, host, datagrams, view)
        self._set_timer()

    # Called by the owner of the lifecycle

    def status_changed(self, view: ServerSnapshot) -> None:
        """Note that the server has another status."""
        match view.status:
            case Status.running:
                self._leftover.clear()
                # The lifecycle counts no client before it has told all of its observers.
                self._serve_soon()
            case Status.stopping:
                # Players still get what the server says at its end; of others the next datagram is decided anew.
                self._end_sessions(only_others=True)
            case Status.stopped | Status.failed | Status.paused:
                self._end_sessions()
                self._serve_soon()  # it may start again at once

    # While the server does not run

    def _while_down(
        self,
        sock: ListeningSocket,
        client: DatagramClient,
        host: str,
        datagrams: Sequence[bytes],
        view: ServerSnapshot,
    ) -> None:
        now = self._clock.seconds()
        if self._leftover.ignores(client, now):
            self._drop("left-over", len(datagrams))
            return
        wake: WakeRequested | None = None
        unanswered = []
        for datagram in datagrams:
            try:
                reply = self._conversation.receive(datagram, host, client.address[1], now)
            except ProtocolError as problem:
                self._drop(REFUSED)
                self._wakes.log_refused(self._info(client, host), host, str(problem))
                continue
            self._replies.send(sock, client, reply, len(datagram), now)
            wake = reply.wake or wake
            if not reply.datagrams:
                unanswered.append(datagram)
        held = self._settings.hold and view.status is Status.starting
        if wake is not None and self._backend.policy.wakes:
            if not self._wake(sock, client, host, wake, now):
                self._drop(REFUSED, len(unanswered))
                return
            held = self._settings.hold
        for datagram in unanswered:
            if not (held and self._hold.keep((sock, client), datagram, now)):
                self._drop("hold-full" if held else "asleep")

    def _wake(self, sock: ListeningSocket, client: DatagramClient, host: str, wake: WakeRequested, now: float) -> bool:
        """Wake the server for a client; return whether the client may do that."""
        message = self._wakes.ask(self._info(client, host, wake.name), host)
        if message is not None:
            reply = self._conversation.refuse(host, client.address[1], message, now)
            self._replies.send(sock, client, reply, 0, now)
        return message is None

    # Once the server runs, or its start has failed

    def _serve_soon(self) -> None:
        if self._ready is None:
            self._ready = self._clock.callLater(0, self._serve)

    def _serve(self) -> None:
        self._ready = None
        now, status = self._clock.seconds(), self._backend.server.view.status
        if status is Status.starting:
            return
        for answer in self._conversation.server_ready(now):
            self._send_later(answer, now)
        if status is Status.running:
            self._serve_held()
        elif status is not Status.stopping:
            self._drop("asleep", self._hold.clear())
        self._wakes.end()
        self._set_timer()

    def _serve_held(self) -> None:
        """Open the sessions of the clients whose datagrams were kept."""
        if self._backend.server.view.status is not Status.running:
            return
        for sock, client in self._hold.clients():
            self._open(sock, client, normalised(client.address[0]), ())

    def _looked_up(self) -> None:
        """Go on with the clients that came while the server's name was looked up."""
        if self._address.current(self._backend.host, self._backend.port) is None:
            self._drop("unsent", self._hold.clear())
        else:
            self._serve_held()

    # While the server runs

    def _while_running(
        self,
        sock: ListeningSocket,
        client: DatagramClient,
        host: str,
        datagrams: Sequence[bytes],
        view: ServerSnapshot,
    ) -> None:
        now, is_locked = self._clock.seconds(), view.lockout is not None
        for index, datagram in enumerate(datagrams):
            opens = self._conversation.opens_session(datagram)
            if opens and not is_locked:
                self._open(sock, client, host, datagrams[index:])
                return
            answer = self._conversation.receive if opens else self._conversation.answer_running
            try:
                reply = answer(datagram, host, client.address[1], now)
            except ProtocolError:
                self._drop(REFUSED)
                continue
            self._replies.send(sock, client, reply, len(datagram), now)
            if is_locked and reply.wake is not None:
                self._wake(sock, client, host, reply.wake, now)
            if opens:
                self._drop(REFUSED)

    def _open(self, sock: ListeningSocket, client: DatagramClient, host: str, datagrams: Sequence[bytes]) -> None:
        """Open a client's session, and send what was kept of it before these datagrams."""
        backend, now = self._backend, self._clock.seconds()
        address = self._address.current(backend.host, backend.port)
        if address is None:
            for datagram in datagrams:
                if not self._hold.keep((sock, client), datagram, now):
                    self._drop("hold-full")
            return
        datagrams = [*self._hold.take((sock, client)), *datagrams]
        info = self._info(client, host, self._wakes.name(host))
        header = self._proxy_header(sock, client)
        try:
            session = sock.port.open_session(client, address, datagrams, header)
        except RelayError as problem:  # the relay has counted what it drops
            self._wakes.log_refused(info, host, str(problem))
            return
        admitted: list[PlayerSession] = []
        admitting = backend.admit(info)
        admitting.addCallbacks(admitted.append, lambda _: None)
        if not admitted:  # it is about to be stopped for good
            admitting.cancel()
            sock.port.end_session(session)
            return
        counts, rule = True, None
        if isinstance(self._conversation, UdpConversation):
            rule = self._conversation.rule
            if rule is None and now < self._began + TAKEN_OVER:
                rule = WakeRule()
            counts = self._wakes.has_woken(host) or self._meets_rule(client, host, datagrams)
        sock.records[session] = DatagramRecord(
            self._context,
            backend,
            info,
            host,
            session,
            admitted[0],
            lambda: self._nothing_receives(address[0]),
            header=len(header),
            rule=rule,
            counts=counts,
        )

    def _nothing_receives(self, host: str) -> None:
        """Note that the server's machine says so of the server's port."""
        self._address.refused(host)
        if self._backend.server.view.status is Status.running:
            self._backend.unreachable(f"nothing receives datagrams at {self._backend.host}, port {self._backend.port}")

    def _meets_rule(self, client: DatagramClient, host: str, datagrams: Sequence[bytes]) -> bool:
        """Return whether a client's first datagrams would wake the server."""
        now = self._clock.seconds()
        for datagram in datagrams:
            try:
                if self._conversation.receive(datagram, host, client.address[1], now).wake is not None:
                    return True
            except ProtocolError:
                return False
        return False

    def _proxy_header(self, sock: ListeningSocket, client: DatagramClient) -> bytes:
        version = self._backend.proxy_version
        if version is None:
            return b""
        bound, port = sock.port.address
        source = Endpoint(normalised(client.address[0]), client.address[1])
        return encode(version, source, Endpoint(normalised(client.local_host(bound)), port), datagrams=True)

    def _end_sessions(self, *, only_others: bool = False) -> None:
        """End all sessions, or only those whose clients do not count as players."""
        now = self._clock.seconds()
        for sock in self._sockets:
            for session, record in list(sock.records.items()):
                if record.backend is not self._backend or (record.counts() and only_others):
                    continue
                if record.counts() and isinstance(self._conversation, UdpConversation):  # others know what is left over
                    self._leftover.add(session.client, session.heard, now)
                sock.port.end_session(session)

    # Answers

    def _send_later(self, answer: ClientReply, now: float) -> None:
        """Send what the conversation has for a client that it has answered before."""
        found = self._replies.find(answer.host, answer.port)
        if found is None:
            return
        sock, client = found
        self._replies.send(sock, client, answer.reply, 0, now)
        if answer.reply.wake is not None and self._backend.policy.wakes:
            self._wake(sock, client, answer.host, answer.reply.wake, now)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = self._conversation.next_timeout
        if at < math.inf:
            self._timer = self._clock.callLater(max(0.0, at - self._clock.seconds()), self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        for answer in self._conversation.tick(now):
            self._send_later(answer, now)
        self._set_timer()

    def _drop(self, reason: str, count: int = 1) -> None:
        self._dropped[reason] += count

    def _info(self, client: DatagramClient, host: str, name: str = "") -> ClientInfo:
        port = client.address[1]
        peer = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return ClientInfo(name, peer, self._context.pending_connections.key(host), self._backend.sign)
