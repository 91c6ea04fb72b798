"""A client's connection, from accept to hand-over: bytes to decisions, timers, bounds, the hold.

What the bytes mean is the Conversation's, what to do is `session`'s, what to say is `texts`'s; here it is done.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.interfaces import IAddress, IDelayedCall, IHalfCloseableProtocol, ISSLTransport
from twisted.internet.protocol import Factory
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from zeroscale.errors import BackendError, ProtocolError, RelayError, ServerUnavailable
from zeroscale.front import session
from zeroscale.front.backend import Backend, connect
from zeroscale.front.newcomers import Newcomers, normalised
from zeroscale.protocols.base import (
    Component,
    Conversation,
    Event,
    LoginRequested,
    Opened,
    StatusReply,
    StatusRequested,
)
from zeroscale.relay import Report
from zeroscale.status import ServerView, Status

logger = logging.getLogger(__name__)

KEEPALIVE_EVERY = 7.0
"""Seconds between two requests that keep a held client alive: some of its 30 s may pass on a bad line unanswered."""

MOST_UNANSWERED = 3
"""Requests a held client may leave unanswered: 20 s and more of silence, where a live one takes a round trip."""

DRAIN_TIMEOUT = 5.0
"""Seconds that a ready server waits for the last answer of a held client."""

LINGER = 5.0
"""Seconds for a client to take what it was told last and to close."""

CONNECT_ATTEMPTS = 3
RECONNECT_AFTER = 0.5
"""A running server that does not take a connection is tried again: its end may be known a moment later."""

MOST_HELD = 1000
"""Clients held for one server: what more would be is no rush of players."""


class Visit(Protocol):
    """One player's stay, which keeps the server up."""

    def end(self) -> None: ...


class Server(Protocol):
    """What the front asks of a server's life."""

    @property
    def view(self) -> ServerView: ...
    def wake(self, who: str) -> None: ...
    def admit(self) -> Deferred[Any]: ...
    def unreachable(self, reason: str) -> None: ...
    def fake_status(self) -> bytes | None: ...


class Texts(Protocol):
    """What players read."""

    def status(self, view: ServerView, now: float) -> StatusReply: ...
    def kick(self, view: ServerView, now: float, player: str) -> Component: ...
    def held_too_long(self, view: ServerView, now: float, player: str) -> Component: ...


class Relays(Protocol):
    """Who moves the bytes once joined."""

    def hand_over(
        self, client: Any, backend: Any, early: bytes, *, client_finished: bool = False
    ) -> Deferred[Report]: ...


@dataclass(frozen=True, slots=True)
class Place:
    """One server as clients reach it.

    :ivar server: its life.
    :ivar texts: what its players read.
    :ivar policy: how its players are treated.
    :ivar host: where it listens.
    :ivar port: the port there.
    """

    server: Server
    texts: Texts
    policy: session.Policy
    host: str
    port: int


@dataclass(slots=True)
class House:
    """What all connections of one proxy share.

    :ivar reactor: clock and connector.
    :ivar relays: who moves the bytes.
    :ivar newcomers: who has not logged in yet.
    :ivar handshake_timeout: seconds to a whole handshake, and to a ping after a status.
    :ivar outcomes: how connections ended, counted by the word that the log has for it.
    """

    reactor: Any
    relays: Relays
    newcomers: Newcomers[Client]
    handshake_timeout: float
    outcomes: Counter[str] = field(default_factory=Counter)


class Listener(Factory):
    """Makes a `Client` for each connection that one listener accepts.

    :param house: what all connections share.
    :param converse: makes a Conversation of the protocol spoken here.
    :param route: which server a handshake's host means; None: none.
    """

    noisy = False

    def __init__(
        self, house: House, converse: Callable[[], Conversation], route: Callable[[str], Place | None]
    ) -> None:
        self.house = house
        self.converse = converse
        self.route = route

    def buildProtocol(self, addr: IAddress | None) -> Client:
        return Client(self, addr)


@implementer(IHalfCloseableProtocol)
class Client(TwistedProtocol):
    """One client.

    :ivar host: its address, as bans and networks know it.
    :ivar peer: its address and port, for the log.
    """

    transport: Any
    host: str
    peer: str

    def __init__(self, listener: Listener, address: IAddress | None) -> None:
        self._house = listener.house
        self._route = listener.route
        self._conversation = listener.converse()
        if isinstance(address, IPv4Address | IPv6Address):
            self.host = normalised(address.host)
            self.peer = f"[{self.host}]:{address.port}" if ":" in self.host else f"{self.host}:{address.port}"
        else:
            self.host = self.peer = "local"
        self._clock = listener.house.reactor
        self._place: Place | None = None
        self._player = ""
        self._began = 0.0
        self._bound: IDelayedCall | None = None
        self._quiet: IDelayedCall | None = None
        self._keepalive: IDelayedCall | None = None
        self._task: Deferred[None] | None = None
        self._drained: Deferred[None] | None = None
        self._holds = False
        self._minecraft = True
        self._finished_sending = False
        self._answered_status = False
        self._outcome: str | None = None
        self._gone = False

    # What Twisted tells us

    def connectionMade(self) -> None:
        self._began = self._clock.seconds()
        evicted = self._house.newcomers.add(self, self.host)
        if evicted is not None:
            evicted.give_way()
        self._set_bound(self._house.handshake_timeout, self._too_slow)
        self._heed(self._conversation.opened)

    def dataReceived(self, data: bytes) -> None:
        if self._outcome is not None:
            return
        self._heed(lambda: self._conversation.receive(data))

    def readConnectionLost(self) -> None:
        self._finished_sending = True
        if self._outcome is not None or self._minecraft:
            # A Minecraft client that says no more has left; it never half-closes.
            self._left()
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """We have said our last word; what the client still sends is read and dropped until it closes too."""

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._gone = True
        self._house.newcomers.remove(self)
        self._left()
        self._cancel_timers()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    def give_way(self) -> None:
        """There are too many that have not logged in, and this is the one that goes."""
        self._end("crowded out")
        self.transport.abortConnection()

    # Bytes to decisions

    def _heed(self, what: Callable[[], Sequence[Event]]) -> None:
        try:
            for event in what():
                if self._outcome is None:
                    self._decide(event)
        except ProtocolError as problem:
            self._break_off("refused", str(problem))
            return
        if self._outcome is not None:
            return
        if self._drained is not None and self._conversation.unanswered == 0:
            drained, self._drained = self._drained, None
            drained.callback(None)
        if self._conversation.full:
            self.transport.pauseProducing()
        self._await_silence()

    def _decide(self, event: Event) -> None:
        host = event.host if isinstance(event, StatusRequested | LoginRequested) else ""
        if self._place is None:
            self._place = self._route(host)
            if self._place is None:
                self._break_off("unknown host", repr(host[:100]))
                return
            logger.debug("New connection from %s, server is %s", self.peer, self._place.server.view.status.value)
        place, now = self._place, self._clock.seconds()
        if isinstance(event, LoginRequested | Opened):
            self._minecraft = isinstance(event, LoginRequested)
            self._player = event.name if isinstance(event, LoginRequested) else ""
            self._logged_in()
        match session.decide(event, place.server.view, place.policy, now):
            case session.AnswerStatus():
                self._answer_status(place)
            case session.AnswerPing():
                self.transport.write(self._conversation.pong())
                self._close("status" if self._answered_status else "ping")
            case session.PassStatus():
                self._set_bound(None)
                self._work(self._pass_status(place))
            case session.Relay() as decision:
                self._work(self._join(place, event, decision))
            case session.Hold() as decision:
                if not self._speak_for(place):
                    self._work(self._join(place, event, decision))
            case session.Refuse(wakes=wakes):
                if not self._speak_for(place):
                    words = self._refusal(place)
                    if wakes:
                        place.server.wake(self._who)
                    self._kick("kicked", words)
            case session.Wake():
                place.server.wake(self._who)
            case session.Ignore():
                pass

    def _logged_in(self) -> None:
        self._house.newcomers.remove(self)
        self._set_bound(None)

    def _answer_status(self, place: Place) -> None:
        reply = place.texts.status(place.server.view, self._clock.seconds())
        self.transport.write(self._conversation.status(reply))
        logger.debug("Answered the status of %s in the server's place", self.peer)
        self._answered_status = True
        if self._conversation.status_ends:
            self._close("status")
        else:
            self._set_bound(self._house.handshake_timeout, self._no_ping)

    def _speak_for(self, place: Place) -> bool:
        """Sends a generic client what the plugin has for it, where it has something."""
        said = None if self._minecraft else place.server.fake_status()
        if said is None:
            return False
        place.server.wake(self._who)
        self.transport.write(said)
        logger.debug("Answered %s in the server's place", self.peer)
        self._close("answered")
        return True

    # Joining

    async def _join(self, place: Place, event: Event, decision: session.Decision) -> None:
        since = self._clock.seconds()
        for attempt in range(CONNECT_ATTEMPTS):
            if attempt:
                await self._sleep(RECONNECT_AFTER)
                decision = session.decide(event, place.server.view, place.policy, self._clock.seconds())
            match decision:
                case session.Hold(wakes=wakes, limit=limit):
                    visit = await self._held(place, wakes, limit - (self._clock.seconds() - since))
                    if visit is None:
                        return
                case session.Relay():
                    visit = await place.server.admit()
                case _:
                    break
            try:
                await self._drain()
                backend = await connect(self._house.reactor, place.host, place.port)
                await self._relay(backend)
            except BackendError as problem:
                place.server.unreachable(str(problem))
            else:
                return
            finally:
                visit.end()
        self._kick("kicked", self._refusal(place), "the server does not take connections")

    async def _held(self, place: Place, wakes: bool, limit: float) -> Visit | None:
        """Waits for the server; returns None where the client was told that it waits in vain."""
        if place.server.view.waiting >= MOST_HELD:
            self._kick("kicked", "Too many players are waiting for this server already.")
            return None
        if wakes:
            place.server.wake(self._who)
        waiting = place.server.admit().addTimeout(max(0.0, limit), self._clock)
        self._begin_hold(at_once=not wakes)
        try:
            visit: Visit = await waiting
        except ServerUnavailable as problem:
            view = place.server.view
            told = view.status is Status.failed or view.unstoppable
            self._kick("kicked", self._refusal(place) if told else f"Sorry: {problem}.", str(problem))
            return None
        except DeferredTimeoutError:
            words = place.texts.held_too_long(place.server.view, self._clock.seconds(), self._player)
            self._kick("held too long", words)
            return None
        finally:
            self._end_hold()
        return visit

    def _begin_hold(self, *, at_once: bool) -> None:
        logger.debug("Holding %s", self._who)
        if not self._holds:
            self._holds = True
            for event in self._conversation.hold():
                self._decide(event)
        if at_once:
            self._keep_alive()
        else:
            self._keepalive = self._clock.callLater(KEEPALIVE_EVERY, self._keep_alive)

    def _keep_alive(self) -> None:
        self._keepalive = None
        if self._conversation.unanswered >= MOST_UNANSWERED:
            self._break_off("silent", "a held client stopped answering")
            return
        request = self._conversation.keepalive()
        if request:
            self.transport.write(request)
        self._keepalive = self._clock.callLater(KEEPALIVE_EVERY, self._keep_alive)

    def _end_hold(self) -> None:
        keepalive, self._keepalive = self._keepalive, None
        if keepalive is not None and keepalive.active():
            keepalive.cancel()

    async def _drain(self) -> None:
        """A stray answer of ours would make the real server kick: all of them first."""
        if self._conversation.unanswered == 0:
            return
        self._drained = Deferred()
        try:
            await self._drained.addTimeout(DRAIN_TIMEOUT, self._clock)
        except DeferredTimeoutError:
            raise ProtocolError("a held client did not answer the last request") from None

    async def _relay(self, backend: Backend) -> None:
        """Hands the client over and waits until both have ended."""
        client, early = self.transport, self._conversation.kept
        self._cancel_timers()
        relayed = self._house.relays.hand_over(client, backend.transport, early, client_finished=self._finished_sending)
        backend.on_lost = relayed.cancel
        try:
            report = await relayed
        except CancelledError:
            if self._gone or not backend.lost:
                backend.abort()
                raise
            self._break_off("lost", "the server closed the connection at once")
            return
        except RelayError as problem:
            backend.abort()
            logger.error("Cannot relay %s: %s", self.peer, problem)
            self._kick("kicked", "Sorry: this proxy is full.", str(problem))
            return
        finally:
            backend.on_lost = None
        self._end(
            report.outcome.value.replace("_", " "),
            f"{report.to_backend} bytes to the server, {report.to_client} to the client",
        )

    async def _pass_status(self, place: Place) -> None:
        try:
            backend = await connect(self._house.reactor, place.host, place.port)
        except BackendError as problem:
            place.server.unreachable(str(problem))
            self._answer_status(place)
            return
        self._house.newcomers.remove(self)
        await self._relay(backend)

    # Endings

    def _refusal(self, place: Place) -> Component:
        return place.texts.kick(place.server.view, self._clock.seconds(), self._player)

    def _kick(self, outcome: str, words: Component, detail: str = "") -> None:
        self.transport.write(self._conversation.kick(words))
        self._close(outcome, detail)

    def _close(self, outcome: str, detail: str = "") -> None:
        """Ends the connection in peace: what was written reaches the client before the end does."""
        self._end(outcome, detail)
        if ISSLTransport.providedBy(self.transport):
            self.transport.loseConnection()
        else:
            # Closing with bytes unread would reset the connection, and the client would never see what it was told.
            self.transport.resumeProducing()
            self.transport.loseWriteConnection()
        self._set_bound(LINGER, self.transport.abortConnection)

    def _break_off(self, outcome: str, detail: str) -> None:
        self._end(outcome, detail)
        self.transport.abortConnection()

    def _left(self) -> None:
        if self._outcome is None:
            self._end("left")

    def _end(self, outcome: str, detail: str = "") -> None:
        """Counts and logs how the connection ended: one line, once."""
        if self._outcome is not None:
            return
        self._outcome = outcome
        self._house.outcomes[outcome] += 1
        self._house.newcomers.remove(self)
        self._cancel_timers()
        seconds = self._clock.seconds() - self._began
        logger.info("%s: %s after %.1f s%s", self._who, outcome, seconds, f" ({detail})" if detail else "")

    def _too_slow(self) -> None:
        self._break_off("too slow", "no whole handshake")

    def _no_ping(self) -> None:
        self._close("status")

    # Small things

    @property
    def _who(self) -> str:
        return f"{self._player} ({self.peer})" if self._player else self.peer

    def _work(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._task = Deferred.fromCoroutine(work)
        task.addErrback(self._work_failed)

    def _work_failed(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        if failure.check(ProtocolError):
            self._break_off("refused", failure.getErrorMessage())
            return
        logger.error("A fault in zeroscale itself: %s", failure.getTraceback())
        self._break_off("fault", failure.getErrorMessage())

    async def _sleep(self, seconds: float) -> None:
        slept: Deferred[None] = Deferred()
        call = self._clock.callLater(seconds, slept.callback, None)
        try:
            await slept
        finally:
            if call.active():
                call.cancel()

    def _await_silence(self) -> None:
        quiet, self._quiet = self._quiet, None
        if quiet is not None and quiet.active():
            quiet.cancel()
        seconds = self._conversation.quiet_timeout
        if seconds is not None:
            self._quiet = self._clock.callLater(seconds, self._heed, self._conversation.silence)

    def _set_bound(self, seconds: float | None, reached: Callable[[], None] | None = None) -> None:
        bound, self._bound = self._bound, None
        if bound is not None and bound.active():
            bound.cancel()
        if seconds is not None:
            assert reached is not None
            self._bound = self._clock.callLater(seconds, reached)

    def _cancel_timers(self) -> None:
        self._set_bound(None)
        self._end_hold()
        quiet, self._quiet = self._quiet, None
        if quiet is not None and quiet.active():
            quiet.cancel()
