"""A client's connection, from accept to its end: bytes to decisions, timers, bounds.

What the bytes mean is the Conversation's, what to do is `decision`'s, what to say is `texts`'s, and a player's way into
the server is `join`'s; here the rest is done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, INegotiated
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from zeroscale.errors import ProtocolError
from zeroscale.frontend import decision
from zeroscale.frontend.client_address import ClientAddress
from zeroscale.frontend.connection_limits import is_within, rate_limit_key
from zeroscale.frontend.context import ListenerSettings
from zeroscale.frontend.interfaces import Backend
from zeroscale.frontend.join import Aborted, Join, JoinResult, Kicked, Relayed
from zeroscale.frontend.messages import UNKNOWN_HOST_KICK, UNKNOWN_HOST_STATUS
from zeroscale.protocols.conversation import (
    ClientRecognised,
    Component,
    Connected,
    Event,
    HoldAnswered,
    LoginRequested,
    PingRequested,
    StatusReply,
    StatusRequested,
)
from zeroscale.protocols.proxy_protocol import Endpoint, Version

logger = logging.getLogger(__name__)

LINGER = 5.0
"""Seconds for a client to take what it was told last and to close."""

GUARD_QUIET = 0.5
"""Seconds in which somebody who must not send a PROXY header would have begun to: it comes at once."""

LONGEST_HOST = 100
"""Characters of a host that nobody knows, in the log."""


@implementer(IHalfCloseableProtocol)
class ClientConnection(TwistedProtocol):
    """One client. Implements `join.JoiningClient`.

    :ivar conversation: what it has said.
    :ivar address: who it is.
    :ivar player: the name it claims, once it has.
    :ivar finished_sending: its end of sending has been read.
    """

    transport: Any

    def __init__(self, listener: ListenerSettings, address: object) -> None:
        self._context = listener.context
        self._listener = listener
        self._timeout = listener.context.handshake_timeout if listener.timeout is None else listener.timeout
        self._clock = listener.context.reactor
        self.conversation = listener.make_conversation()
        self.address = ClientAddress(_endpoint(address), listener.accept_from, reject_header=listener.reject_header)
        self.player = ""
        self.finished_sending = False
        self._backend: Backend | None = None
        self._first_event: decision.ClientEvent | None = None
        self._join_in_progress: Join | None = None
        self._task: Deferred[None] | None = None
        self._began = 0.0
        self._timeout_call: IDelayedCall | None = None
        self._idle_call: IDelayedCall | None = None
        self._half_closes = False
        self._awaits_trigger = False
        self._answered_status = False
        self._owes_pong = False
        self._outcome: str | None = None
        self._lost = False

    @property
    def who(self) -> str:
        """Its name and address, for the log."""
        return f"{self.player} ({self.peer})" if self.player else self.peer

    @property
    def _fields(self) -> dict[str, object]:
        """What is known of it, for logs whose lines have fields."""
        said: dict[str, object] = {"peer": self.peer, "player": self.player or None}
        if self._backend is not None:
            said["server"] = self._backend.server.view.name
        if isinstance(self._first_event, StatusRequested | LoginRequested):
            said |= {"host": self._first_event.host[:LONGEST_HOST], "protocol": self._first_event.protocol}
        return said

    # What Twisted tells us

    def connectionMade(self) -> None:
        self._began = self._clock.seconds()
        self._track_pending()
        self._set_timeout(self._timeout, self._handshake_timed_out)
        if self.address.is_known:
            self._start_conversation()
        elif self.address.rejects_header:
            self._idle_call = self._clock.callLater(GUARD_QUIET, self._header_wait_over)

    def dataReceived(self, data: bytes) -> None:
        if self._outcome is not None:
            return
        if not self.address.is_known:
            try:
                first = self.address.receive(data, _endpoint(self.transport.getHost()))
            except ProtocolError as problem:
                self._abort_and_cancel("refused", str(problem))
                return
            if first is None:
                return
            self._address_known()
            data = first
        if data and self._outcome is None:
            self._process_events(lambda: self.conversation.receive(data))

    def _address_known(self) -> None:
        """Who this is has been said, or will not be: the conversation begins."""
        _cancel(self._idle_call)
        self._context.pending_connections.remove(self)
        self._track_pending()
        if self.address.is_health_check and self._listener.reject_header:
            self._abort("health-check", "its proxy speaks for itself")
        else:
            self._start_conversation()

    def _start_conversation(self) -> None:
        if is_within(self.host, self._listener.health_check):
            self._end("health-check")
            self._close()
        else:
            self._process_events(self.conversation.opened)

    def _header_wait_over(self) -> None:
        if self.address.has_partial_header:
            return  # it goes on with something else, or is too slow: never is it let in for being slow
        self.address.header_wait_over()
        self._address_known()

    def _track_pending(self) -> None:
        evicted = self._context.pending_connections.add(self, self.host)
        if evicted is not None:
            evicted.evict()

    @property
    def host(self) -> str:
        """Its address, as bans and networks know it."""
        return self.address.host

    @property
    def peer(self) -> str:
        """Its address and port, for the log."""
        return self.address.peer

    def proxy_header(self, version: Version) -> bytes:
        """The PROXY header that says to the real server who this is."""
        return self.address.header(version, _endpoint(self.transport.getHost()))

    def readConnectionLost(self) -> None:
        self.finished_sending = True
        if self._outcome is None and self._half_closes:
            return
        # A Minecraft client that says no more has left; it never half-closes.
        self._client_disconnected()
        self._cancel_task()
        self._close()

    def writeConnectionLost(self) -> None:
        """We have said our last word; what the client still sends is read and dropped until it closes too."""

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._lost = True
        self._client_disconnected()
        self._cancel_task()
        self._cancel_timers()

    # What others tell us

    def evict(self) -> None:
        """There are too many that have not logged in, and this is the one that goes."""
        self._end("crowded-out")
        self._cancel_task()
        if self._join_in_progress is None or not self._join_in_progress.relaying:
            self.transport.abortConnection()

    def logged_in(self) -> None:
        """It is no newcomer any more."""
        self._context.pending_connections.remove(self)

    def take_hold_slot(self) -> bool:
        """Whether there is room for one more of its address among those who are held; then it has it."""
        if self._context.waiting.is_full_for(self.host):
            return False
        self._context.waiting.add(self, self.host)
        return True

    def release_hold_slot(self) -> None:
        """It is not held any more."""
        self._context.waiting.remove(self)

    def hold_timed_out(self) -> None:
        """It is held, and answers no more."""
        self._abort_and_cancel("silent", "a held client stopped answering")

    def tell(self, what: str) -> None:
        """A line of its story, if the log will be told of its end."""
        if self._context.access_log.accepts(rate_limit_key(self.host)):
            logger.debug("%s", what, extra=self._fields)

    # Bytes to decisions

    def _process_events(self, what: Callable[[], Sequence[Event]]) -> None:
        answered = False
        try:
            for event in what():
                if isinstance(event, HoldAnswered):
                    answered = True
                elif self._outcome is None:
                    self._handle_event(event)
        except ProtocolError as problem:
            if not (
                self._awaits_trigger and self._join_in_progress is not None
            ):  # what goes to a server that runs is its to judge
                self._abort_and_cancel("refused", str(problem))
        if self._outcome is not None:
            return
        if self.conversation.full:
            self.transport.pauseProducing()
        self._restart_idle_timer()
        if self._join_in_progress is not None:
            self._join_in_progress.heard(answered=answered)

    def _handle_event(self, event: decision.ClientEvent) -> None:
        if self._join_in_progress is not None:
            if isinstance(event, ClientRecognised):
                self._awaits_trigger = False
                self._join_in_progress.shown(event)
            # The server answers its status itself; what it then owes is known only if it does not.
            self._owes_pong = isinstance(event, PingRequested)
            return
        backend = self._find_backend(event)
        if backend is None:
            return
        self._awaits_trigger = isinstance(event, Connected)
        now, view = self._clock.seconds(), backend.server.view
        verdict: decision.Refusal | None = None
        if isinstance(event, LoginRequested | ClientRecognised):
            backend.stats.login()
            verdict = backend.admission.check_login(event, self.host, view, now)
        elif (
            not isinstance(event, Connected)
            and not self._answered_status
            and not backend.admission.allows_status(self.host, now)
        ):
            self._abort("limited", "too many status questions of its address")
            return
        elif isinstance(event, StatusRequested):
            backend.stats.pinged()
        match decision.decide(event, view, backend.policy, now, verdict):
            case decision.AnswerStatus():
                self._answer_status(backend)
            case decision.AnswerPing():
                self._answer_ping()
            case decision.PassStatus():
                self._set_timeout(None)
                self._join_in_progress = Join(self, backend, self._clock, self._context.relays)
                self._start_task(self._pass_status(backend, self._join_in_progress))
            case decision.Wait():
                pass
            case entry:
                assert isinstance(event, LoginRequested | ClientRecognised | Connected)
                self._half_closes = not isinstance(event, LoginRequested)
                self.player = event.name if isinstance(event, LoginRequested) else ""
                self._set_timeout(None)
                if isinstance(entry, decision.RelayDecision) or not self._send_plugin_reply(backend, entry):
                    self._join_in_progress = Join(self, backend, self._clock, self._context.relays)
                    self._start_task(self._join(self._join_in_progress, event, entry))

    def _find_backend(self, event: decision.ClientEvent) -> Backend | None:
        if self._backend is None:
            self._first_event = event
            host = event.host if isinstance(event, StatusRequested | LoginRequested) else ""
            self._backend = self._listener.route(host)
            if self._backend is None:
                self._answer_unrouted(event, host)
            else:
                self.tell(f"New connection from {self.peer}, server is {self._backend.server.view.status.value}")
        return self._backend

    def _answer_unrouted(self, event: decision.ClientEvent, host: str) -> None:
        """The client's host means no server: nothing is woken, and nothing told that is not known to everybody."""
        detail = repr(host[:LONGEST_HOST])
        match event:
            case StatusRequested() if self._context.answer_unknown_host:
                self._send_status(UNKNOWN_HOST_STATUS)
            case PingRequested() if self._answered_status:
                self._answer_ping()
            case LoginRequested(name=name) if self._context.answer_unknown_host:
                self.player = name
                self._kick("unknown-host", UNKNOWN_HOST_KICK, detail, warns=False)
            case _:
                self._abort("unknown-host", detail)

    def _answer_status(self, backend: Backend) -> None:
        self.tell(f"Answered the status of {self.peer} in the server's place")
        self._send_status(backend.messages.status(backend.server.view, self._clock.seconds()))

    def _send_status(self, reply: StatusReply) -> None:
        self.transport.write(self.conversation.status(reply))
        self._answered_status = True
        if self.conversation.closes_after_status:
            self._close_lingering("status")
        else:
            self._set_timeout(self._context.handshake_timeout, lambda: self._close_lingering("status"))

    def _answer_ping(self) -> None:
        # Nothing may come after a ping: to wait for the client's end costs an eighth of the answer.
        self.transport.write(self.conversation.pong())
        self._end("status" if self._answered_status else "ping")
        self._close()

    def _send_plugin_reply(self, backend: Backend, entry: decision.HoldDecision | decision.RefuseDecision) -> bool:
        """Sends a client whose protocol we do not speak what the plugin has for it, where it has something."""
        if not self._half_closes or (isinstance(entry, decision.RefuseDecision) and entry.refusal is not None):
            return False
        waiting = backend.policy.waiting
        said = backend.server.fake_status() if waiting in ("auto", "answer") else None
        if said is None and waiting != "answer":
            return False
        if isinstance(entry, decision.RefuseDecision) and entry.reason:
            self._count_refusal(entry.reason)
        if isinstance(entry, decision.HoldDecision) or entry.wakes:
            backend.server.wake(self.who, "connection")
        self.transport.write(said or b"")
        self.tell(f"Answered {self.peer} in the server's place")
        self._close_lingering("answered")
        return True

    async def _pass_status(self, backend: Backend, join: Join) -> None:
        ending = await join.pass_status()
        if ending is not None:
            self._finish(ending)
            return
        self._join_in_progress = None
        self._answer_status(backend)
        if self._owes_pong:
            self._answer_ping()

    async def _join(self, join: Join, event: decision.WakeEvent, entry: decision.AdmitDecision) -> None:
        self._finish(await join.join(event, entry))

    # Endings

    def _finish(self, ending: JoinResult) -> None:
        match ending:
            case Kicked(outcome, words, detail, warns, refusal):
                if refusal:
                    self._count_refusal(refusal)
                    detail = f"{refusal}: {detail}" if detail else refusal
                self._kick(outcome, words, detail, warns=warns)
            case Aborted(outcome, detail):
                self._abort(outcome, detail)
            case Relayed(outcome, detail, to_backend, to_client):
                self._end(outcome, detail, to_server=to_backend, to_client=to_client)

    def _count_refusal(self, word: str) -> None:
        """ClientStats a login that was refused, by the one word for why."""
        if self._backend is not None:
            self._backend.stats.refused(word)

    def _kick(self, outcome: str, words: Component, detail: str, *, warns: bool) -> None:
        self.transport.write(self.conversation.kick(words))
        self._close_lingering(outcome, detail, warns=warns)

    def _close_lingering(self, outcome: str, detail: str = "", *, warns: bool = False) -> None:
        """Ends the connection in peace: what was written reaches the client, whatever it is sending."""
        self._end(outcome, detail, warns=warns)
        self.transport.resumeProducing()
        if INegotiated.providedBy(self.transport):
            self._close()  # TLS says goodbye both ways, and has no half-close
        else:
            # Closing with bytes unread would reset the connection, and the client would never see what it was told.
            self._set_timeout(LINGER, self.transport.abortConnection)
            self.transport.loseWriteConnection()

    def _close(self) -> None:
        """Closes once all is written, to a client that sends no more."""
        self._set_timeout(LINGER, self.transport.abortConnection)
        self.transport.loseConnection()

    def _abort(self, outcome: str, detail: str) -> None:
        self._end(outcome, detail)
        self.transport.abortConnection()

    def _abort_and_cancel(self, outcome: str, detail: str) -> None:
        """Drops the connection, whatever is just being done for it."""
        self._abort(outcome, detail)
        self._cancel_task()

    def _client_disconnected(self) -> None:
        looked = self.address.is_health_check and self._first_event is None
        self._end("status" if self._answered_status else "health-check" if looked else "left")

    def _end(self, outcome: str, detail: str = "", *, warns: bool = False, **fields: int) -> None:
        """ClientStats and tells how the connection ended: once."""
        if self._outcome is not None:
            return
        self._outcome = outcome
        if self._backend is not None:
            self._backend.stats.ended(outcome)
        else:
            self._context.unrouted[outcome] += 1
        self._context.pending_connections.remove(self)
        self._cancel_timers()
        seconds = self._clock.seconds() - self._began
        line = f"{self.who}: {outcome} after {seconds:.1f} s{f' ({detail})' if detail else ''}"
        level = logging.WARNING if warns else logging.INFO
        said = {**self._fields, "outcome": outcome, "seconds": round(seconds, 3), **fields}
        self._context.access_log.log(rate_limit_key(self.host), outcome, line, level, said)

    def _handshake_timed_out(self) -> None:
        if self._awaits_trigger:  # the server may have started for another client meanwhile
            self._handle_event(Connected())
        if self._join_in_progress is None:
            missing = "no whole handshake" if self.address.is_known else "no whole PROXY protocol header"
            self._abort("too-slow", "nothing that wakes the server" if self._awaits_trigger else missing)

    # Tasks and timers

    def _start_task(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = Deferred.fromCoroutine(work)
        self._task.addErrback(self._task_failed)

    def _cancel_task(self) -> None:
        """Ends what is being done for this client; never called by it, for nobody can cancel himself.

        What it has handed over already it waits for, until the relay has let go.
        """
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    def _task_failed(self, failure: Failure) -> None:
        if failure.check(CancelledError) and self._outcome is not None:
            return
        if failure.check(ProtocolError):
            self._abort("refused", failure.getErrorMessage())
        else:
            logger.error("A fault in zeroscale itself: %s", failure.getTraceback())
            self._abort("fault", failure.getErrorMessage())

    def _restart_idle_timer(self) -> None:
        _cancel(self._idle_call)
        seconds = self.conversation.idle_timeout
        if seconds is not None:
            self._idle_call = self._clock.callLater(seconds, self._process_events, self.conversation.on_idle)

    def _set_timeout(self, seconds: float | None, reached: Callable[[], object] = lambda: None) -> None:
        _cancel(self._timeout_call)
        if seconds is not None:
            self._timeout_call = self._clock.callLater(seconds, reached)

    def _cancel_timers(self) -> None:
        _cancel(self._timeout_call)
        _cancel(self._idle_call)


def _endpoint(address: object) -> Endpoint | None:
    return Endpoint(address.host, address.port) if isinstance(address, IPv4Address | IPv6Address) else None


def _cancel(call: IDelayedCall | None) -> None:
    if call is not None and call.active():
        call.cancel()
