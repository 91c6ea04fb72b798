"""Connect one client to its server: hold it until the server is ready, then relay it, or kick it with the reason.

The result is returned to `connection`, which carries it out. This module does not parse the client's bytes.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from zeroscale.errors import BackendError, ProtocolError, RelayError, ServerUnavailable
from zeroscale.frontend.backend_connection import (
    BackendSocket,
    ServerConnection,
    abandon,
    connect,
    start_connecting,
)
from zeroscale.frontend.connection_record import ConnectionRecord
from zeroscale.frontend.context import EvictableConnection, FrontendContext
from zeroscale.frontend.decision import (
    LOCKOUT,
    AdmitDecision,
    HoldDecision,
    Refusal,
    RefuseDecision,
    RelayDecision,
    WakeEvent,
    decide_admission,
)
from zeroscale.frontend.interfaces import Backend, IStreamTransport, PlayerSession
from zeroscale.frontend.login_hold import LoginHold
from zeroscale.protocols.conversation import (
    KICKED,
    ClientRecognised,
    Component,
    Connected,
    Conversation,
    LoginRequested,
)
from zeroscale.protocols.proxy_protocol import Version
from zeroscale.relay import Report
from zeroscale.sockets.transport import SocketTransport
from zeroscale.status import Status

CONNECT_ATTEMPTS = 3
RECONNECT_AFTER = 0.5
"""Seconds between two attempts to connect to a running server: the exit of its process is noticed a moment later."""


class Kicked(Struct, frozen=True):
    """The client is to be sent a message, and its connection closed.

    :ivar outcome: one word for the access log.
    :ivar message: what the player reads.
    :ivar detail: more for the log.
    :ivar warn: log it as a warning, since the operator has to act.
    :ivar reason: the refusal's one word, where a rule refuses the client; else "".
    """

    outcome: str
    message: Component
    detail: str = ""
    warn: bool = False
    reason: str = ""


class Relayed(Struct, frozen=True):
    """The client was relayed, and both connections are closed.

    :ivar to_backend: the client's bytes relayed to the server.
    :ivar to_client: bytes relayed to the client.
    """

    outcome: str
    detail: str
    to_backend: int = 0
    to_client: int = 0


JoinResult = Kicked | Relayed


class JoiningClient(EvictableConnection, Protocol):
    """A client's connection, as far as a join uses it; `connection.ClientConnection` implements it.

    :ivar finished_sending: the end of what it sends has been read.
    """

    transport: IStreamTransport
    conversation: Conversation
    record: ConnectionRecord
    finished_sending: bool

    def proxy_header(self, version: Version) -> bytes:
        """Return the PROXY protocol header that names its address to the server."""
        ...

    def hold_timed_out(self) -> None:
        """Kick it, since it stopped answering while it was held."""
        ...


class Join:
    """One client on its way to its server.

    :ivar relaying: both connections belong to the relay, and must not be touched.
    """

    def __init__(self, client: JoiningClient, backend: Backend, context: FrontendContext) -> None:
        self._client = client
        self._record = client.record
        self._backend = backend
        self._context = context
        self._reactor = context.reactor
        self._began = context.reactor.seconds()
        self._hold = LoginHold(
            client.conversation,
            client.transport.write,
            context.reactor,
            context.deadlines,
            client.hold_timed_out,
        )
        self._event: WakeEvent | None = None
        self._waiting: Deferred[PlayerSession] | None = None
        self._gave_way = False
        self._attempt: Deferred[socket.socket] | None = None
        self._relayed: Callable[[], tuple[int, int]] = lambda: (0, 0)
        self._end_counting: Callable[[], None] = _nothing
        self._header = b""
        self.relaying = False

    def client_sent(self, *, answered: bool) -> None:
        """Note that the client has sent something; see `LoginHold.client_sent`."""
        self._hold.client_sent(answered=answered)

    def give_way(self) -> None:
        """See `context.WaitingClient`."""
        self._gave_way = True
        if self._waiting is not None:
            self._waiting.cancel()

    def client_recognised(self, event: ClientRecognised) -> None:
        """Note that the connection, which was passed to a running server, is a client's."""
        self._event = event

    def relay_at_once(self, event: WakeEvent) -> Deferred[Relayed] | None:
        """Relay the client to its server, which runs, if nothing has to be waited for: most connections need no more.

        :returns: fires when both connections have ended; fails with `RelayError` if the relay does not take them after
            all. Then, and where this returns None, `run` is to be called.
        """
        transport, poller = self._client.transport, self._context.poller
        if poller is None or not isinstance(transport, SocketTransport) or transport.has_unsent:
            return None
        try:
            connecting = start_connecting(self._reactor, poller, self._backend.host, self._backend.port)
        except OSError:
            return None  # `run` tries again, and reports it
        if not isinstance(connecting, BackendSocket):
            self._attempt = connecting
            return None
        self._note_event(event)
        sessions: list[PlayerSession] = []
        admitting = self._backend.admit(self._record.client)
        admitting.addCallbacks(sessions.append, lambda _: None)  # `run` asks again, and reports a refusal
        if not sessions:
            admitting.cancel()  # or it would be a player's session, without a player, once the server is ready
            connecting.abort()
            return None
        session = sessions[0]
        session.moved = self._moved
        self._context.pending_connections.remove(self._client)
        try:
            report = self._hand_over(connecting)
        except RelayError:
            session.end()
            connecting.abort()
            return None
        return report.addCallbacks(self._relayed_at_once, self._not_relayed, (session,), {}, (session, connecting))

    def _relayed_at_once(self, report: Report, session: PlayerSession) -> Relayed:
        self._relay_over()
        relayed = self._relayed_result(report)
        self._end_session(session)
        return relayed

    def _not_relayed(self, failure: Failure, session: PlayerSession, backend: BackendSocket) -> Failure:
        self._relay_over()
        self._end_session(session)
        backend.abort()
        return failure

    def _end_session(self, session: PlayerSession) -> None:
        session.end()
        self._record.has_joined = session.announced

    async def run(self, event: WakeEvent, decision: AdmitDecision) -> JoinResult:
        """Carry out the decision about an event; decide again if the server is lost before it is done."""
        try:
            return await self._run(event, decision)
        finally:
            if self._attempt is not None:
                abandon(self._attempt)

    async def _run(self, event: WakeEvent, decision: AdmitDecision) -> JoinResult:
        self._event = event
        if not (isinstance(decision, RefuseDecision) and decision.refusal is not None):
            self._note_event(event)
        detail = "the server does not take connections"
        for attempt in range(CONNECT_ATTEMPTS):
            if attempt:
                await deferLater(self._reactor, RECONNECT_AFTER)
                decision = self._decide_again(self._event)
            try:
                match decision:
                    case RelayDecision():
                        self._context.pending_connections.remove(self._client)
                        session = await self._backend.admit(self._record.client)
                    case HoldDecision(limit=limit, once_answered=once_answered):
                        if not self._take_waiting_place():
                            return self._too_many_wait()
                        self._waiting = Deferred.fromCoroutine(self._wait_for_server(limit, once_answered))
                        session = await self._waiting
                    case RefuseDecision():
                        return await self._refuse(decision)
            except ServerUnavailable as problem:
                return self._unavailable(problem)
            except ProtocolError as problem:  # it sent more than its login
                return Kicked("refused", self._refusal_message("unexpected"), str(problem))
            except DeferredTimeoutError:
                return Kicked("held-too-long", self._held_too_long_message())
            except CancelledError:
                if not self._gave_way:
                    raise
                return self._too_many_wait()
            session.moved = self._moved
            try:
                return await self._relay_when_drained()
            except BackendError as problem:
                self._backend.unreachable(str(problem))
                if not self._backend.is_main:
                    detail = str(problem)
            finally:
                self._end_session(session)
        return Kicked(self._kick_outcome, self._kick_message(), detail)

    async def pass_status(self) -> Relayed | None:
        """Relay a status request to the server; return None if it does not accept the connection."""
        try:
            return replace(await self._relay(), outcome="status", detail="answered by the server itself")
        except BackendError as problem:
            self._backend.unreachable(str(problem))
        except RelayError:
            pass
        return None

    def _note_event(self, event: WakeEvent) -> None:
        self._event = event
        if isinstance(event, LoginRequested):
            self._backend.note_protocol(event.protocol)

    def _decide_again(self, event: WakeEvent) -> AdmitDecision:
        now, view = self._reactor.seconds(), self._backend.server.view
        refusal: Refusal | None = None
        if not isinstance(event, Connected):
            refusal = self._backend.admission.check_wake(event, self._record.address.host, view, now)
        return decide_admission(event, view, self._backend.policy, now, refusal)

    async def _wait_for_server(self, limit: float, once_answered: bool) -> PlayerSession:
        """Hold the client until the server is ready.

        :raises ServerUnavailable: the server will not become ready.
        :raises DeferredTimeoutError: it was not ready within the limit.
        """
        self._record.log_debug("Holding %s", self._record)
        try:
            self._hold.begin(at_once=once_answered)
            if once_answered:
                await self._hold.first_answer()
            self._context.pending_connections.remove(self._client)
            self._wake()
            left = self._began + limit - self._reactor.seconds()
            waiting: Deferred[PlayerSession] = self._backend.admit(self._record.client)
            return await waiting.addTimeout(max(0.0, left), self._reactor)
        finally:
            self._hold.end()
            self._context.waiting_places.remove(self)

    def _take_waiting_place(self) -> bool:
        name = self._record.player
        known_name = name if name and self._backend.admission.knows_name(name) else None
        has_place, other = self._context.waiting_places.take(self, self._record.address.host, known_name)
        if other is not None:
            other.give_way()
        return has_place

    def _too_many_wait(self) -> Kicked:
        return Kicked(self._kick_outcome, self._refusal_message("hold_full"), "too many players are waiting")

    async def _refuse(self, decision: RefuseDecision) -> Kicked:
        """Wake the server if the decision says so, and return the kick.

        :raises ProtocolError: the client sent more than its login. It is no player, and wakes nothing.
        """
        if decision.once_answered:
            self._hold.begin(at_once=True)
            try:
                await self._hold.first_answer()
            finally:
                self._hold.end()
        elif decision.wakes:
            self._client.conversation.hold()
        self._context.pending_connections.remove(self._client)
        refusal = decision.refusal
        if refusal is not None:
            message = self._refusal_message(refusal.message or refusal.reason, refusal.values)
            return Kicked(self._kick_outcome, message, refusal.detail, reason=decision.reason)
        message = self._kick_message()  # before the wake changes the server's state
        if decision.wakes:
            self._wake()
        return Kicked(self._kick_outcome, message, reason=decision.reason)

    @property
    def _kick_outcome(self) -> str:
        return self._event.kick_outcome if isinstance(self._event, ClientRecognised) else KICKED

    def _moved(self) -> tuple[int, int]:
        """Return the bytes that the client has sent so far, and those that its server has sent it."""
        to_backend, to_client = self._relayed()
        return max(to_backend, len(self._client.conversation.replay_bytes)), to_client

    def _wake(self) -> None:
        self._backend.server.wake(self._record.wake_cause)

    def _unavailable(self, problem: ServerUnavailable) -> Kicked:
        view = self._backend.server.view
        if view.status is Status.failed or view.stop_timed_out or view.lockout is not None:
            message = self._kick_message()
        else:
            message = self._refusal_message("unavailable", {"reason": str(problem)})
        return Kicked(self._kick_outcome, message, str(problem), reason=LOCKOUT if view.lockout is not None else "")

    async def _relay_when_drained(self) -> JoinResult:
        """Relay the client once it has answered all requests of the hold.

        :raises BackendError: the server does not take the connection.
        """
        if not await self._hold.drained():
            return Kicked("silent", self._refusal_message("silent"), "a held client did not answer the last request")
        try:
            return await self._relay()
        except RelayError as problem:
            return Kicked("full", self._refusal_message("proxy_full"), str(problem), warn=True)

    async def _relay(self) -> Relayed:
        """Connect to the server, hand both connections over, and wait until both have ended.

        :raises BackendError: the server does not take the connection, or closes it at once.
        :raises RelayError: the proxy has no descriptors left, or the relay is being stopped.
        """
        attempt, self._attempt = self._attempt, None
        poller = self._context.poller if isinstance(self._client.transport, SocketTransport) else None
        backend = await connect(self._reactor, poller, self._backend.host, self._backend.port, attempt)
        try:
            try:
                report = await self._hand_over(backend)
            finally:
                self._relay_over()
        except CancelledError:
            backend.abort()
            raise
        except RelayError as problem:
            if not self._client.conversation.full:
                self._client.transport.resumeProducing()
            if await self._was_lost(backend):
                raise BackendError("it closed the connection at once") from problem
            raise
        return self._relayed_result(report)

    def _relayed_result(self, report: Report) -> Relayed:
        to_backend = self._without_header(report.to_backend)
        self._backend.stats.relayed(to_backend, report.to_client)
        self._relayed = lambda: (to_backend, report.to_client)
        return Relayed(
            report.outcome.value,
            f"{to_backend} bytes to the server, {report.to_client} to the client",
            to_backend,
            report.to_client,
        )

    def _without_header(self, to_backend: int) -> int:
        """Return how many of the bytes sent to the server were the client's, not our PROXY header's."""
        return max(0, to_backend - len(self._header))

    def _hand_over(self, backend: ServerConnection) -> Deferred[Report]:
        """Hand both connections over to a relay; `_relay_over` is to be called once that has ended.

        :raises RelayError: no relay takes them.
        """
        client = self._client
        version = self._backend.proxy_version
        self._header = client.proxy_header(version) if version else b""
        self.relaying = True
        try:
            return backend.hand_over(
                self._context.relays,
                client.transport,
                self._header + client.conversation.replay_bytes,
                client_finished=client.finished_sending,
                on_started=self._relay_begun,
            )
        except RelayError:
            self.relaying = False
            raise

    def _relay_begun(self, moved: Callable[[], tuple[int, int]]) -> None:
        def moved_without_header() -> tuple[int, int]:
            to_backend, to_client = moved()
            return self._without_header(to_backend), to_client

        self._relayed = moved_without_header
        self._end_counting = self._backend.relaying(moved_without_header)

    def _relay_over(self) -> None:
        self.relaying = False
        self._end_counting()
        self._end_counting = _nothing

    async def _was_lost(self, backend: ServerConnection) -> bool:
        """Return whether the server closed its connection, and abort it.

        The relay notices a closed connection before its protocol does, in the same turn of the reactor. If it was the
        client's connection, this coroutine is cancelled while it waits for the next turn.
        """
        try:
            await deferLater(self._reactor, 0)
            return backend.lost
        finally:
            backend.abort()

    def _kick_message(self) -> Component:
        return self._backend.messages.kick(self._backend.server.view, self._reactor.seconds(), self._record.player)

    def _refusal_message(self, name: str, values: Mapping[str, str] = {}) -> Component:
        view, now = self._backend.server.view, self._reactor.seconds()
        return self._backend.messages.refusal(name, view, now, self._record.player, values)

    def _held_too_long_message(self) -> Component:
        view, now = self._backend.server.view, self._reactor.seconds()
        return self._backend.messages.held_too_long(view, now, self._record.player)


def _nothing() -> None:
    pass
