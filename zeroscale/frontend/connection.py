"""One client's connection, from accept to its end: bytes, decisions, timers and limits.

The Conversation parses the bytes, `decision` decides what to do, `answers` sends our own replies with the texts of
`messages`, `join` connects the client to its server, and `closing` closes the connection.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from zeroscale.errors import ProtocolError, RelayError
from zeroscale.frontend import decision
from zeroscale.frontend.answers import Answers
from zeroscale.frontend.client_address import ClientAddress
from zeroscale.frontend.closing import ConnectionCloser
from zeroscale.frontend.connection_limits import is_within
from zeroscale.frontend.connection_record import ConnectionRecord
from zeroscale.frontend.context import ListenerSettings
from zeroscale.frontend.interfaces import Backend, IStreamTransport
from zeroscale.frontend.join import Join, JoinResult, Kicked, Relayed
from zeroscale.frontend.timer import Timer
from zeroscale.protocols.conversation import (
    BadRequest,
    ClientRecognised,
    Connected,
    Event,
    HealthCheckRequested,
    HoldAnswered,
    HostNamed,
    LoginRequested,
    PingRequested,
    StatusRequested,
    Violation,
)
from zeroscale.protocols.proxy_protocol import Endpoint, Version

logger = logging.getLogger("zeroscale.access")

HEADER_WAIT = 0.5
"""Seconds without a byte after which no PROXY protocol header is expected any more: proxies send it at once."""


@implementer(IHalfCloseableProtocol)
class ClientConnection(TwistedProtocol):
    """One client's connection. Implements `join.JoiningClient`.

    :ivar conversation: parses what the client sends.
    :ivar record: the facts about the connection that are logged.
    :ivar finished_sending: the end of what it sends has been read.
    """

    transport: IStreamTransport
    _closer: ConnectionCloser
    _answers: Answers

    def __init__(self, listener: ListenerSettings, address: object) -> None:
        self._context = listener.context
        self._listener = listener
        self._clock = listener.context.reactor
        self.conversation = listener.make_conversation()
        self._address = ClientAddress(_endpoint(address), listener.accept_from, reject_header=listener.reject_header)
        self.record = ConnectionRecord(self._context, self._address)
        self.finished_sending = False
        self._join: Join | None = None
        self._task: Deferred[Any] | None = None
        self._time_limit = Timer(listener.context.deadlines)
        self._idle_timer = Timer(listener.context.deadlines)
        self._half_closes = False
        self._awaits_trigger = False
        self._is_checker = False
        self._owes_pong = False
        self._violation: Violation | None = None

    # Called by Twisted

    def connectionMade(self) -> None:
        """Begin the handshake."""
        self._closer = ConnectionCloser(
            self.transport, self.record, self._context.deadlines, self._ended, self._track_pending
        )
        self._answers = Answers(
            self.transport, self.conversation, self.record, self._closer, self._listener, self._time_limit
        )
        if self._address.is_known:
            self._start_conversation(b"")
            if self._join is not None or self.record.outcome is not None:
                return  # decided already: of a server that runs and may send first
        elif self._address.rejects_header:
            self._idle_timer.start(HEADER_WAIT, self._header_wait_over)
        self._track_pending()
        seconds = self._listener.timeout
        self._time_limit.start(
            self._context.handshake_timeout if seconds is None else seconds, self._handshake_timed_out
        )

    def dataReceived(self, data: bytes) -> None:
        """Read a PROXY header where one is expected; the Conversation reads the rest."""
        if self.record.outcome is not None:
            return
        if not self._address.is_known:
            try:
                first = self._address.receive(data, _endpoint(self.transport.getHost()))
            except ProtocolError as problem:
                self._abort_and_cancel("refused", str(problem))
                return
            if first is not None:
                self._address_known(first)
            return
        self._process_events(lambda: self.conversation.receive(data))

    def readConnectionLost(self) -> None:
        """Close the connection, unless the client's protocol may half-close."""
        self.finished_sending = True
        if self.record.outcome is None and self._half_closes:
            return
        # A Minecraft client that has finished sending has left: it never half-closes.
        self._client_disconnected()
        self._closer.close("left")

    def peerFinished(self) -> None:
        """Handle the end of what the client sends, noticed while it is not read.

        A client whose protocol may half-close may have sent more than has been read.
        """
        if not self._half_closes and not (self._join is not None and self._join.relaying):
            self.readConnectionLost()

    def writeConnectionLost(self) -> None:
        """Do nothing: what the client still sends is read and dropped until it closes, too."""

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Cancel all that is still being done for the client."""
        self._client_disconnected()
        self._cancel_timers()
        self._closer.connection_lost()
        self._context.pending_connections.remove(self)

    # The client's address

    def _start_conversation(self, received: bytes) -> None:
        own_check = self._address.is_health_check and self._listener.reject_header
        self._is_checker = own_check or is_within(self._address.host, self._listener.health_check)
        self._process_events(lambda: self._first_events(received))
        if self._is_checker and not self._awaits_trigger:
            self._closer.close("health-check")

    def _first_events(self, received: bytes) -> Iterator[Event]:
        """Yield the events of a new connection, and of what was received with the header.

        All is parsed before the first event: a connection that is relayed at once takes along what is parsed by then.
        """
        opened = self.conversation.opened()
        following: Sequence[Event] = ()
        problem: ProtocolError | None = None
        if received and not (self._is_checker and not opened):
            try:
                following = self.conversation.receive(received)
            except ProtocolError as error:
                problem = error
        yield from opened
        if problem is not None:
            raise problem
        yield from following

    def _address_known(self, received: bytes = b"") -> None:
        self._idle_timer.cancel()
        self._track_pending()
        self._start_conversation(received)

    def _header_wait_over(self) -> None:
        if self._address.has_partial_header:
            return  # the handshake time-out ends it: a slow header must not bypass the check
        self._address.header_wait_over()
        self._address_known()

    def _track_pending(self) -> None:
        """Count it among the pending ones: also while it is being closed, which its client can delay."""
        self._context.pending_connections.remove(self)
        evicted = self._context.pending_connections.add(self, self._address.host)
        if evicted is not None:
            evicted.evict()

    def proxy_header(self, version: Version) -> bytes:
        """Return the PROXY protocol header that names its address to the server."""
        return self._address.proxy_header(version, _endpoint(self.transport.getHost()))

    # Called by the join, and by other connections

    def evict(self) -> None:
        """Close the connection: there are too many pending ones, and this is the oldest."""
        self._closer.note("crowded-out")
        self._cancel_task()
        if self._join is None or not self._join.relaying:
            self._closer.abort("crowded-out")

    def hold_timed_out(self) -> None:
        """Kick it, since it stopped answering while it was held."""
        self._kick("silent", "silent", "a held client stopped answering")

    # From bytes to decisions

    def _process_events(self, read: Callable[[], Iterable[Event]]) -> None:
        answered = False
        try:
            for event in read():
                if self.record.outcome is not None:
                    break
                if isinstance(event, HoldAnswered):
                    answered = True
                elif isinstance(event, Violation):
                    self._handle_violation(event)
                else:
                    self._handle_event(event)
        except ProtocolError as problem:
            # A running server is relayed to before, or now; it checks the bytes.
            if not (self._awaits_trigger and self._relay_unrecognised()):
                self._abort_and_cancel("refused", str(problem))
        if self.record.outcome is not None:
            return
        if self.conversation.full:
            self.transport.pauseProducing()
        self._restart_idle_timer()
        if self._join is not None:
            self._join.client_sent(answered=answered)

    def _handle_event(self, event: decision.RoutedEvent | HealthCheckRequested | BadRequest) -> None:
        if self._join is not None:
            self._while_joining(self._join, event)
            return
        if self._is_checker and not (isinstance(event, HealthCheckRequested) or event == Connected(may_be_check=True)):
            self._closer.close("health-check")
            return
        if isinstance(event, HealthCheckRequested | BadRequest):
            self._answers.reply_at_once(event)
            return
        backend = self._find_backend(event)
        if backend is None or isinstance(event, HostNamed):
            return
        self._awaits_trigger = isinstance(event, Connected)
        now, view = self._clock.seconds(), backend.server.view
        refusal: decision.Refusal | None = None
        match event:
            case LoginRequested() | ClientRecognised():
                backend.stats.login()
                refusal = backend.admission.check_login(event, self._address.host, view, now)
            case StatusRequested() | PingRequested():
                if not self._answers.answered_status and not backend.admission.allows_status(self._address.host, now):
                    self._closer.abort("limited", "too many status requests from its address")
                    return
                if isinstance(event, StatusRequested):
                    backend.stats.pinged()
        self._carry_out(decision.decide(event, view, backend.policy, now, refusal), event, backend)

    def _relay_unrecognised(self) -> bool:
        """Relay a connection that is not known to be a client's, if the server runs.

        :returns: whether it is relayed, or closed for good reason.
        """
        if self._join is None:
            self._handle_event(Connected())
        return self._join is not None or self.record.outcome is not None

    def _while_joining(self, join: Join, event: Event) -> None:
        if isinstance(event, ClientRecognised):
            self._awaits_trigger = False
            join.client_recognised(event)
        # The server answers a status request itself; the reply is ours only if it does not.
        self._owes_pong = isinstance(event, PingRequested)

    def _handle_violation(self, violation: Violation) -> None:
        """Close the connection after the answer to what was valid; a running server answers, and closes, itself."""
        if isinstance(self.record.first_event, LoginRequested):
            self._kick("refused", "unexpected", violation.problem)
        elif self._join is None:
            self._closer.close_lingering("status", f"closed then: {violation.problem}")
        else:
            self._violation = violation

    def _carry_out(self, decided: decision.Decision, event: decision.ClientEvent, backend: Backend) -> None:
        match decided:
            case decision.AnswerStatus():
                self._answers.status(backend)
            case decision.AnswerPing():
                self._answers.ping()
            case decision.PassStatus():
                self._start_task(self._pass_status(backend, self._start_join(backend)))
            case decision.Wait():
                pass
            case decision.RelayDecision() | decision.HoldDecision() | decision.RefuseDecision():
                assert isinstance(event, LoginRequested | ClientRecognised | Connected)
                self.record.joins = backend.policy.wakes or isinstance(decided, decision.RelayDecision)
                self._half_closes = not isinstance(event, LoginRequested)
                self.record.player = event.name if isinstance(event, LoginRequested) else ""
                if isinstance(decided, decision.RelayDecision):
                    self._relay(backend, event)
                elif not self._half_closes or not self._answers.plugin_reply(backend, decided):
                    self._start_task(self._run_join(self._start_join(backend), event, decided))

    def _find_backend(self, event: decision.RoutedEvent) -> Backend | None:
        if self.record.backend is None:
            self.record.first_event = event
            host = event.host if isinstance(event, StatusRequested | LoginRequested | HostNamed) else ""
            self.record.backend = self._listener.route(host)
            if self.record.backend is None:
                self._answers.unrouted(event, host)
            else:
                status = self.record.backend.server.view.status
                self.record.log_debug("New connection from %s, server is %s", self._address, status.value)
        return self.record.backend

    # The way to the server

    def _start_join(self, backend: Backend) -> Join:
        self._time_limit.cancel()
        self._join = Join(self, backend, self._context)
        return self._join

    def _relay(self, backend: Backend, event: decision.WakeEvent) -> None:
        join = self._start_join(backend)
        relayed = join.relay_at_once(event)
        if relayed is None:
            self._start_task(self._run_join(join, event, decision.RelayDecision()))
        else:
            self._task = relayed
            relayed.addCallbacks(self._finish, self._relay_refused, errbackArgs=(join, event))
            relayed.addErrback(self._task_failed)

    def _relay_refused(self, failure: Failure, join: Join, event: decision.WakeEvent) -> None:
        failure.trap(RelayError)
        self._start_task(self._run_join(join, event, decision.RelayDecision()))

    async def _pass_status(self, backend: Backend, join: Join) -> None:
        result = await join.pass_status()
        if result is not None:
            self._finish(result)
            return
        self._join = None
        self._answers.status(backend)
        if self._owes_pong:
            self._answers.ping()
        elif self._violation is not None:
            self._handle_violation(self._violation)

    async def _run_join(self, join: Join, event: decision.WakeEvent, decided: decision.AdmitDecision) -> None:
        self._finish(await join.run(event, decided))

    def _finish(self, result: JoinResult) -> None:
        match result:
            case Kicked(outcome, message, detail, warn, reason):
                if reason:
                    self.record.count_refusal(reason, detail)
                    detail = f"{reason}: {detail}" if detail else reason
                self._answers.send_kick(outcome, message, detail, warn=warn)
            case Relayed(outcome, detail, to_backend, to_client):
                self._closer.note(outcome, detail, to_server=to_backend, to_client=to_client)

    def _start_task(self, work: Coroutine[Deferred[object], object, None]) -> None:
        self._task = Deferred.fromCoroutine(work)
        self._task.addErrback(self._task_failed)

    def _cancel_task(self) -> None:
        """Cancel the join; must not be called by the join itself.

        A join whose connections the relay has waits until the relay has closed them.
        """
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    def _task_failed(self, failure: Failure) -> None:
        if failure.check(CancelledError) and self.record.outcome is not None:
            return
        logger.error("A fault in zeroscale itself: %s", failure.getTraceback())
        self._closer.abort("fault", failure.getErrorMessage())

    # The end

    def _abort_and_cancel(self, outcome: str, detail: str) -> None:
        self._closer.abort(outcome, detail)
        self._cancel_task()

    def _kick(self, outcome: str, message: str, detail: str) -> None:
        """Kick a joining client with the message of this name, and cancel its join."""
        backend = self.record.backend
        assert backend is not None
        view, now = backend.server.view, self._clock.seconds()
        self._answers.send_kick(outcome, backend.messages.refusal(message, view, now, self.record.player), detail)
        self._cancel_task()

    def _client_disconnected(self) -> None:
        health_check = self._is_checker or (self._address.is_health_check and self.record.first_event is None)
        status = self._answers.answered_status
        self._closer.note("status" if status else "health-check" if health_check else "left")
        self._cancel_task()

    def _ended(self) -> None:
        self._context.pending_connections.remove(self)
        self._cancel_timers()

    # Timers

    def _handshake_timed_out(self) -> None:
        # Another client may have started the server in the meantime.
        if not (self._awaits_trigger and self._relay_unrecognised()):
            missing = "no whole handshake" if self._address.is_known else "no whole PROXY protocol header"
            self._closer.abort("too-slow", "nothing that wakes the server" if self._awaits_trigger else missing)

    def _restart_idle_timer(self) -> None:
        self._idle_timer.cancel()
        seconds = self.conversation.idle_timeout
        if seconds is not None:
            self._idle_timer.start(seconds, self._process_events, self.conversation.on_idle)

    def _cancel_timers(self) -> None:
        self._time_limit.cancel()
        self._idle_timer.cancel()


def _endpoint(address: object) -> Endpoint | None:
    return Endpoint(address.host, address.port) if isinstance(address, IPv4Address | IPv6Address) else None
