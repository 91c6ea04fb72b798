"""A client's connection, from accept to its end: bytes to decisions, timers, bounds.

What the bytes mean is the Conversation's, what to do is `session`'s, what to say is `texts`'s, and a player's way into
the server is `joining`'s; here the rest is done.
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
from zeroscale.frontend import decision as session
from zeroscale.frontend.client_address import Origin
from zeroscale.frontend.connection_limits import household, is_within
from zeroscale.frontend.context import ListenerSettings
from zeroscale.frontend.interfaces import Place
from zeroscale.frontend.join import Dropped, Ending, Joining, Relayed, Told
from zeroscale.frontend.messages import UNKNOWN_HOST_KICK, UNKNOWN_HOST_STATUS
from zeroscale.protocols.conversation import (
    Component,
    Connected,
    Event,
    HoldAnswered,
    LoginRequested,
    Opened,
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
class Client(TwistedProtocol):
    """One client. Implements `joining.Joiner`.

    :ivar conversation: what it has said.
    :ivar origin: who it is.
    :ivar player: the name it claims, once it has.
    :ivar finished_sending: its end of sending has been read.
    """

    transport: Any

    def __init__(self, listener: ListenerSettings, address: object) -> None:
        self._house = listener.house
        self._listener = listener
        self._timeout = listener.house.handshake_timeout if listener.timeout is None else listener.timeout
        self._clock = listener.house.reactor
        self.conversation = listener.converse()
        self.origin = Origin(_endpoint(address), listener.accept_from, guards=listener.guards)
        self.player = ""
        self.finished_sending = False
        self._place: Place | None = None
        self._asked: session.Question | None = None
        self._joining: Joining | None = None
        self._task: Deferred[None] | None = None
        self._began = 0.0
        self._bound: IDelayedCall | None = None
        self._quiet: IDelayedCall | None = None
        self._half_closes = False
        self._unknown = False
        self._answered_status = False
        self._owes_pong = False
        self._outcome: str | None = None
        self._gone = False

    @property
    def who(self) -> str:
        """Its name and address, for the log."""
        return f"{self.player} ({self.peer})" if self.player else self.peer

    @property
    def _fields(self) -> dict[str, object]:
        """What is known of it, for logs whose lines have fields."""
        said: dict[str, object] = {"peer": self.peer, "player": self.player or None}
        if self._place is not None:
            said["server"] = self._place.server.view.name
        if isinstance(self._asked, StatusRequested | LoginRequested):
            said |= {"host": self._asked.host[:LONGEST_HOST], "protocol": self._asked.protocol}
        return said

    # What Twisted tells us

    def connectionMade(self) -> None:
        self._began = self._clock.seconds()
        self._is_newcomer()
        self._set_bound(self._timeout, self._too_slow)
        if self.origin.is_known:
            self._begin()
        elif self.origin.is_guarded:
            self._quiet = self._clock.callLater(GUARD_QUIET, self._sends_no_header)

    def dataReceived(self, data: bytes) -> None:
        if self._outcome is not None:
            return
        if not self.origin.is_known:
            try:
                first = self.origin.receive(data, _endpoint(self.transport.getHost()))
            except ProtocolError as problem:
                self._cut_off("refused", str(problem))
                return
            if first is None:
                return
            self._is_known()
            data = first
        if data and self._outcome is None:
            self._heed(lambda: self.conversation.receive(data))

    def _is_known(self) -> None:
        """Who this is has been said, or will not be: the conversation begins."""
        _cancel(self._quiet)
        self._house.newcomers.remove(self)
        self._is_newcomer()
        if self.origin.is_proxy and self._listener.guards:
            self._drop("health-check", "its proxy speaks for itself")
        else:
            self._begin()

    def _begin(self) -> None:
        if is_within(self.host, self._listener.health_check):
            self._end("health-check")
            self._hang_up()
        else:
            self._heed(self.conversation.opened)

    def _sends_no_header(self) -> None:
        if self.origin.has_begun:
            return  # it goes on with something else, or is too slow: never is it let in for being slow
        self.origin.waited()
        self._is_known()

    def _is_newcomer(self) -> None:
        evicted = self._house.newcomers.add(self, self.host)
        if evicted is not None:
            evicted.give_way()

    @property
    def host(self) -> str:
        """Its address, as bans and networks know it."""
        return self.origin.host

    @property
    def peer(self) -> str:
        """Its address and port, for the log."""
        return self.origin.peer

    def proxy_header(self, version: Version) -> bytes:
        """The PROXY header that says to the real server who this is."""
        return self.origin.header(version, _endpoint(self.transport.getHost()))

    def readConnectionLost(self) -> None:
        self.finished_sending = True
        if self._outcome is None and self._half_closes:
            return
        # A Minecraft client that says no more has left; it never half-closes.
        self._left()
        self._give_up()
        self._hang_up()

    def writeConnectionLost(self) -> None:
        """We have said our last word; what the client still sends is read and dropped until it closes too."""

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._gone = True
        self._left()
        self._give_up()
        self._cancel_timers()

    # What others tell us

    def give_way(self) -> None:
        """There are too many that have not logged in, and this is the one that goes."""
        self._end("crowded-out")
        self._give_up()
        if self._joining is None or not self._joining.relaying:
            self.transport.abortConnection()

    def logged_in(self) -> None:
        """It is no newcomer any more."""
        self._house.newcomers.remove(self)

    def may_wait(self) -> bool:
        """Whether there is room for one more of its address among those who are held; then it has it."""
        if self._house.waiting.is_full_for(self.host):
            return False
        self._house.waiting.add(self, self.host)
        return True

    def waits_no_more(self) -> None:
        """It is not held any more."""
        self._house.waiting.remove(self)

    def fell_silent(self) -> None:
        """It is held, and answers no more."""
        self._cut_off("silent", "a held client stopped answering")

    def tell(self, what: str) -> None:
        """A line of its story, if the log will be told of its end."""
        if self._house.outcomes.has_room(household(self.host)):
            logger.debug("%s", what, extra=self._fields)

    # Bytes to decisions

    def _heed(self, what: Callable[[], Sequence[Event]]) -> None:
        answered = False
        try:
            for event in what():
                if isinstance(event, HoldAnswered):
                    answered = True
                elif self._outcome is None:
                    self._decide(event)
        except ProtocolError as problem:
            if not (self._unknown and self._joining is not None):  # what goes to a server that runs is its to judge
                self._cut_off("refused", str(problem))
        if self._outcome is not None:
            return
        if self.conversation.full:
            self.transport.pauseProducing()
        self._await_silence()
        if self._joining is not None:
            self._joining.heard(answered=answered)

    def _decide(self, event: session.Question) -> None:
        if self._joining is not None:
            if isinstance(event, Opened):
                self._unknown = False
                self._joining.shown(event)
            # The server answers its status itself; what it then owes is known only if it does not.
            self._owes_pong = isinstance(event, PingRequested)
            return
        place = self._find_place(event)
        if place is None:
            return
        self._unknown = isinstance(event, Connected)
        now, view = self._clock.seconds(), place.server.view
        verdict: session.Refusal | None = None
        if isinstance(event, LoginRequested | Opened):
            place.counts.login()
            verdict = place.admission.judge_login(event, self.host, view, now)
        elif (
            not isinstance(event, Connected)
            and not self._answered_status
            and not place.admission.may_ask(self.host, now)
        ):
            self._drop("limited", "too many status questions of its address")
            return
        elif isinstance(event, StatusRequested):
            place.counts.pinged()
        match session.decide(event, view, place.policy, now, verdict):
            case session.AnswerStatus():
                self._answer_status(place)
            case session.AnswerPing():
                self._answer_ping()
            case session.PassStatus():
                self._set_bound(None)
                self._joining = Joining(self, place, self._clock, self._house.relays)
                self._work(self._pass_status(place, self._joining))
            case session.Wait():
                pass
            case entry:
                assert isinstance(event, LoginRequested | Opened | Connected)
                self._half_closes = not isinstance(event, LoginRequested)
                self.player = event.name if isinstance(event, LoginRequested) else ""
                self._set_bound(None)
                if isinstance(entry, session.Relay) or not self._speak_for(place, entry):
                    self._joining = Joining(self, place, self._clock, self._house.relays)
                    self._work(self._join(self._joining, event, entry))

    def _find_place(self, event: session.Question) -> Place | None:
        if self._place is None:
            self._asked = event
            host = event.host if isinstance(event, StatusRequested | LoginRequested) else ""
            self._place = self._listener.route(host)
            if self._place is None:
                self._answer_stranger(event, host)
            else:
                self.tell(f"New connection from {self.peer}, server is {self._place.server.view.status.value}")
        return self._place

    def _answer_stranger(self, event: session.Question, host: str) -> None:
        """The client's host means no server: nothing is woken, and nothing told that is not known to everybody."""
        detail = repr(host[:LONGEST_HOST])
        match event:
            case StatusRequested() if self._house.answers_strangers:
                self._send_status(UNKNOWN_HOST_STATUS)
            case PingRequested() if self._answered_status:
                self._answer_ping()
            case LoginRequested(name=name) if self._house.answers_strangers:
                self.player = name
                self._kick("unknown-host", UNKNOWN_HOST_KICK, detail, warns=False)
            case _:
                self._drop("unknown-host", detail)

    def _answer_status(self, place: Place) -> None:
        self.tell(f"Answered the status of {self.peer} in the server's place")
        self._send_status(place.texts.status(place.server.view, self._clock.seconds()))

    def _send_status(self, reply: StatusReply) -> None:
        self.transport.write(self.conversation.status(reply))
        self._answered_status = True
        if self.conversation.status_ends:
            self._close("status")
        else:
            self._set_bound(self._house.handshake_timeout, lambda: self._close("status"))

    def _answer_ping(self) -> None:
        # Nothing may come after a ping: to wait for the client's end costs an eighth of the answer.
        self.transport.write(self.conversation.pong())
        self._end("status" if self._answered_status else "ping")
        self._hang_up()

    def _speak_for(self, place: Place, entry: session.Hold | session.Refuse) -> bool:
        """Sends a client whose protocol we do not speak what the plugin has for it, where it has something."""
        if not self._half_closes or (isinstance(entry, session.Refuse) and entry.verdict is not None):
            return False
        waiting = place.policy.waiting
        said = place.server.fake_status() if waiting in ("auto", "answer") else None
        if said is None and waiting != "answer":
            return False
        if isinstance(entry, session.Refuse) and entry.word:
            self._refused(entry.word)
        if isinstance(entry, session.Hold) or entry.wakes:
            place.server.wake(self.who, "connection")
        self.transport.write(said or b"")
        self.tell(f"Answered {self.peer} in the server's place")
        self._close("answered")
        return True

    async def _pass_status(self, place: Place, joining: Joining) -> None:
        ending = await joining.pass_status()
        if ending is not None:
            self._conclude(ending)
            return
        self._joining = None
        self._answer_status(place)
        if self._owes_pong:
            self._answer_ping()

    async def _join(self, joining: Joining, event: session.Wish, entry: session.Entry) -> None:
        self._conclude(await joining.join(event, entry))

    # Endings

    def _conclude(self, ending: Ending) -> None:
        match ending:
            case Told(outcome, words, detail, warns, refusal):
                if refusal:
                    self._refused(refusal)
                    detail = f"{refusal}: {detail}" if detail else refusal
                self._kick(outcome, words, detail, warns=warns)
            case Dropped(outcome, detail):
                self._drop(outcome, detail)
            case Relayed(outcome, detail, to_backend, to_client):
                self._end(outcome, detail, to_server=to_backend, to_client=to_client)

    def _refused(self, word: str) -> None:
        """Counts a login that was refused, by the one word for why."""
        if self._place is not None:
            self._place.counts.refused(word)

    def _kick(self, outcome: str, words: Component, detail: str, *, warns: bool) -> None:
        self.transport.write(self.conversation.kick(words))
        self._close(outcome, detail, warns=warns)

    def _close(self, outcome: str, detail: str = "", *, warns: bool = False) -> None:
        """Ends the connection in peace: what was written reaches the client, whatever it is sending."""
        self._end(outcome, detail, warns=warns)
        self.transport.resumeProducing()
        if INegotiated.providedBy(self.transport):
            self._hang_up()  # TLS says goodbye both ways, and has no half-close
        else:
            # Closing with bytes unread would reset the connection, and the client would never see what it was told.
            self._set_bound(LINGER, self.transport.abortConnection)
            self.transport.loseWriteConnection()

    def _hang_up(self) -> None:
        """Closes once all is written, to a client that sends no more."""
        self._set_bound(LINGER, self.transport.abortConnection)
        self.transport.loseConnection()

    def _drop(self, outcome: str, detail: str) -> None:
        self._end(outcome, detail)
        self.transport.abortConnection()

    def _cut_off(self, outcome: str, detail: str) -> None:
        """Drops the connection, whatever is just being done for it."""
        self._drop(outcome, detail)
        self._give_up()

    def _left(self) -> None:
        looked = self.origin.is_proxy and self._asked is None
        self._end("status" if self._answered_status else "health-check" if looked else "left")

    def _end(self, outcome: str, detail: str = "", *, warns: bool = False, **fields: int) -> None:
        """Counts and tells how the connection ended: once."""
        if self._outcome is not None:
            return
        self._outcome = outcome
        if self._place is not None:
            self._place.counts.ended(outcome)
        else:
            self._house.strangers[outcome] += 1
        self._house.newcomers.remove(self)
        self._cancel_timers()
        seconds = self._clock.seconds() - self._began
        line = f"{self.who}: {outcome} after {seconds:.1f} s{f' ({detail})' if detail else ''}"
        level = logging.WARNING if warns else logging.INFO
        said = {**self._fields, "outcome": outcome, "seconds": round(seconds, 3), **fields}
        self._house.outcomes.tell(household(self.host), outcome, line, level, said)

    def _too_slow(self) -> None:
        if self._unknown:  # the server may have started for another client meanwhile
            self._decide(Connected())
        if self._joining is None:
            missing = "no whole handshake" if self.origin.is_known else "no whole PROXY protocol header"
            self._drop("too-slow", "nothing that wakes the server" if self._unknown else missing)

    # Tasks and timers

    def _work(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = Deferred.fromCoroutine(work)
        self._task.addErrback(self._work_failed)

    def _give_up(self) -> None:
        """Ends what is being done for this client; never called by it, for nobody can cancel himself.

        What it has handed over already it waits for, until the relay has let go.
        """
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    def _work_failed(self, failure: Failure) -> None:
        if failure.check(CancelledError) and self._outcome is not None:
            return
        if failure.check(ProtocolError):
            self._drop("refused", failure.getErrorMessage())
        else:
            logger.error("A fault in zeroscale itself: %s", failure.getTraceback())
            self._drop("fault", failure.getErrorMessage())

    def _await_silence(self) -> None:
        _cancel(self._quiet)
        seconds = self.conversation.quiet_timeout
        if seconds is not None:
            self._quiet = self._clock.callLater(seconds, self._heed, self.conversation.silence)

    def _set_bound(self, seconds: float | None, reached: Callable[[], object] = lambda: None) -> None:
        _cancel(self._bound)
        if seconds is not None:
            self._bound = self._clock.callLater(seconds, reached)

    def _cancel_timers(self) -> None:
        _cancel(self._bound)
        _cancel(self._quiet)


def _endpoint(address: object) -> Endpoint | None:
    return Endpoint(address.host, address.port) if isinstance(address, IPv4Address | IPv6Address) else None


def _cancel(call: IDelayedCall | None) -> None:
    if call is not None and call.active():
        call.cancel()
