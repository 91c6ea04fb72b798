"""One client's way into its server: held until it is ready, let through, relayed; or told why not.

How it ends is returned, and done by `connection`. It knows no bytes but those to hand over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.task import deferLater

from zeroscale.errors import BackendError, RelayError, ServerUnavailable
from zeroscale.frontend import decision
from zeroscale.frontend.backend_connection import BackendConnection, connect
from zeroscale.frontend.interfaces import Backend, PlayerSession, Relays
from zeroscale.frontend.login_hold import LoginHold
from zeroscale.protocols.conversation import ClientRecognised, Component, Connected, Conversation
from zeroscale.protocols.proxy_protocol import Version
from zeroscale.relay import Report
from zeroscale.status import ClientInfo, Status

CONNECT_ATTEMPTS = 3
RECONNECT_AFTER = 0.5
"""A running server that does not take a connection is tried again: its end may be known a moment later."""


@dataclass(frozen=True, slots=True)
class Kicked:
    """The client is to be told why it cannot come in, and the connection closed.

    :ivar outcome: the word for the log.
    :ivar message: what it is told.
    :ivar detail: more for the log.
    :ivar warn: the operator has to know.
    :ivar reason: the one word for why, where it was refused by somebody's wish; else "".
    """

    outcome: str
    message: Component
    detail: str = ""
    warn: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Aborted:
    """The connection is to be cut off."""

    outcome: str
    detail: str


@dataclass(frozen=True, slots=True)
class Relayed:
    """It was relayed, and is closed already.

    :ivar to_backend: bytes relayed to the server.
    :ivar to_client: bytes relayed to the client.
    """

    outcome: str
    detail: str
    to_backend: int = 0
    to_client: int = 0


JoinResult = Kicked | Aborted | Relayed


class JoiningClient(Protocol):
    """The client, as far as it is needed here.

    :ivar transport: its connection.
    :ivar conversation: what it has said.
    :ivar player: the name it claims, or nothing.
    :ivar who: its name and address, for the log.
    :ivar finished_sending: its end of sending has been read.
    """

    transport: Any
    conversation: Conversation
    player: str
    finished_sending: bool

    @property
    def who(self) -> str: ...

    @property
    def host(self) -> str:
        """Its address, as bans and networks know it."""
        ...

    @property
    def peer(self) -> str:
        """Its address and port, for the operator."""
        ...

    def tell(self, what: str) -> None:
        """A line of its story, for the log."""
        ...

    def proxy_header(self, version: Version) -> bytes:
        """The PROXY header that says who it is."""
        ...

    def logged_in(self) -> None:
        """It is no newcomer any more."""
        ...

    def take_hold_slot(self) -> bool:
        """Whether there is room for one more of its address among those who are held; then it has it."""
        ...

    def release_hold_slot(self) -> None:
        """It is not held any more."""
        ...

    def hold_timed_out(self) -> None:
        """It answers no more."""
        ...


class Join:
    """The way of one client.

    :param client: the client.
    :param backend: the server.
    :param reactor: clock and connector.
    :param relays: who moves the bytes.
    :ivar relaying: both connections are the relays', and not to be touched.
    """

    def __init__(self, client: JoiningClient, backend: Backend, reactor: Any, relays: Relays) -> None:
        self._client = client
        self._backend = backend
        self._reactor = reactor
        self._relays = relays
        self._began = reactor.seconds()
        self._hold = LoginHold(client.conversation, client.transport.write, reactor, client.hold_timed_out)
        self._wish: decision.WakeEvent | None = None
        self._spoke = False
        self._header = b""
        self.relaying = False

    def heard(self, *, answered: bool) -> None:
        """The client has sent something; see `LoginHold.heard`."""
        self._hold.heard(answered=answered)

    def shown(self, event: ClientRecognised) -> None:
        """It has shown that it is a client, on its way into a server that ran when it came."""
        self._wish = event

    async def join(self, event: decision.WakeEvent, entry: decision.AdmitDecision) -> JoinResult:
        """Lets a player in.

        :param entry: what was decided about `event`; if the server is lost meanwhile it is decided anew.
        :raises ProtocolError: it did not wait for an answer to its login.
        """
        self._wish = event
        for attempt in range(CONNECT_ATTEMPTS):
            if attempt:
                await deferLater(self._reactor, RECONNECT_AFTER)
                entry = self._enter_again(self._wish)
            try:
                match entry:
                    case decision.RelayDecision():
                        self._client.logged_in()
                        visit = await self._backend.server.admit(self._visitor)
                    case decision.HoldDecision(limit=limit, once_answered=once_answered):
                        if not self._client.take_hold_slot():
                            return Kicked("kicked", "Sorry: too many players are waiting already.")
                        visit = await self._held(limit, once_answered)
                    case decision.RefuseDecision():
                        return await self._refused(entry)
            except ServerUnavailable as problem:
                return self._in_vain(problem)
            except DeferredTimeoutError:
                return Kicked("held-too-long", self._words_after_waiting())
            try:
                return await self._let_through()
            except BackendError as problem:
                self._backend.server.unreachable(str(problem))
            finally:
                visit.end(silent=isinstance(self._wish, Connected) and not self._spoke)
        return Kicked("kicked", self._words(), "the server does not take connections")

    async def pass_status(self) -> Relayed | None:
        """Lets the server answer for itself; None where it did not take the connection."""
        try:
            return replace(await self._relayed(), outcome="status", detail="answered by the server itself")
        except BackendError as problem:
            self._backend.server.unreachable(str(problem))
        except RelayError:
            pass
        return None

    def _enter_again(self, event: decision.WakeEvent) -> decision.AdmitDecision:
        now, view = self._reactor.seconds(), self._backend.server.view
        verdict: decision.Refusal | None = None
        if not isinstance(event, Connected):
            verdict = self._backend.admission.check_wake(event, self._client.host, view, now)
        return decision.decide_admission(event, view, self._backend.policy, now, verdict)

    async def _held(self, limit: float, once_answered: bool) -> PlayerSession:
        """Holds the client until the server is ready.

        :raises ServerUnavailable: it will not become ready.
        :raises DeferredTimeoutError: it did not, for as long as the client may wait.
        """
        self._client.tell(f"Holding {self._client.who}")
        try:
            self._hold.begin(at_once=once_answered)
            if once_answered:
                await self._hold.first_answer()
            self._client.logged_in()
            self._wake()
            left = self._began + limit - self._reactor.seconds()
            waiting: Deferred[PlayerSession] = self._backend.server.admit(self._visitor)
            return await waiting.addTimeout(max(0.0, left), self._reactor)
        finally:
            self._hold.end()
            self._client.release_hold_slot()

    async def _refused(self, entry: decision.RefuseDecision) -> Kicked:
        if entry.once_answered:
            self._hold.begin(at_once=True)
            try:
                await self._hold.first_answer()
            finally:
                self._hold.end()
        self._client.logged_in()
        if entry.refusal is not None:
            return Kicked("kicked", self._words_for(entry.refusal), entry.refusal.detail, reason=entry.reason)
        words = self._words()
        if entry.wakes:
            self._wake()
        return Kicked("kicked", words, reason=entry.reason)

    @property
    def _visitor(self) -> ClientInfo:
        return ClientInfo(self._client.player, self._client.peer)

    def _wake(self) -> None:
        self._backend.server.wake(self._client.who, "login" if self._client.player else "connection")

    def _in_vain(self, problem: ServerUnavailable) -> Kicked:
        view = self._backend.server.view
        has_text = view.status is Status.failed or view.stop_timed_out or view.lockout is not None
        refusal = decision.LOCKOUT if view.lockout is not None else ""
        return Kicked("kicked", self._words() if has_text else f"Sorry: {problem}.", str(problem), reason=refusal)

    async def _let_through(self) -> JoinResult:
        """:raises BackendError: the server does not take the connection after all."""
        if not await self._hold.drained():
            return Aborted("silent", "a held client did not answer the last request")
        try:
            return await self._relayed()
        except RelayError as problem:
            return Kicked("full", "Sorry: this proxy is full.", str(problem), warn=True)

    async def _relayed(self) -> Relayed:
        """Connects, hands both connections over, and waits until both have ended.

        :raises BackendError: the server does not take the connection, or has left at once.
        :raises RelayError: there is no room.
        """
        backend = await connect(self._reactor, self._backend.host, self._backend.port)
        try:
            report = await self._hand_over(backend)
        except CancelledError:
            backend.abort()
            raise
        except RelayError as problem:
            if not self._client.conversation.full:
                self._client.transport.resumeProducing()
            if await self._was_lost(backend):
                raise BackendError("it closed the connection at once") from problem
            raise
        to_backend = self._own(report.to_backend)
        self._backend.stats.relayed(to_backend, report.to_client)
        self._spoke = to_backend > 0
        return Relayed(
            report.outcome.value,
            f"{to_backend} bytes to the server, {report.to_client} to the client",
            to_backend,
            report.to_client,
        )

    def _own(self, to_backend: int) -> int:
        """Of the bytes that the server was sent, the client's own: the header is ours."""
        return max(0, to_backend - len(self._header))

    async def _hand_over(self, backend: BackendConnection) -> Report:
        client = self._client
        stats = self._backend.stats
        ended: list[Callable[[], None]] = []
        version = self._backend.proxy_version
        self._header = client.proxy_header(version) if version else b""

        def taken(moved: Callable[[], tuple[int, int]]) -> None:
            def own() -> tuple[int, int]:
                to_backend, to_client = moved()
                return self._own(to_backend), to_client

            ended.append(stats.relaying(own))

        self.relaying = True
        try:
            return await self._relays.hand_over(
                client.transport,
                backend.transport,
                self._header + client.conversation.replay_bytes,
                client_finished=client.finished_sending,
                taken=taken,
            )
        finally:
            self.relaying = False
            for end in ended:
                end()

    async def _was_lost(self, backend: BackendConnection) -> bool:
        """Whether it was the server that left; and drops its connection.

        The relay hears first of a connection's end, in the same turn of the reactor. If it was the client's, we are
        cancelled here.
        """
        try:
            await deferLater(self._reactor, 0)
            return backend.lost
        finally:
            backend.abort()

    def _words(self) -> Component:
        return self._backend.messages.kick(self._backend.server.view, self._reactor.seconds(), self._client.player)

    def _words_for(self, verdict: decision.Refusal) -> Component:
        if verdict.message is not None:
            return verdict.message
        view = self._backend.server.view
        return self._backend.messages.refusal(verdict.reason, view, self._reactor.seconds(), self._client.player)

    def _words_after_waiting(self) -> Component:
        return self._backend.messages.held_too_long(
            self._backend.server.view, self._reactor.seconds(), self._client.player
        )
