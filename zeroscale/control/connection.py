"""One client of the admin socket: lines in, answers out, within bounds.

It may hang up half-way, send anything and read nothing: that costs what the bounds below say, and ends with it. Knows
nothing of what a command does.
"""

from __future__ import annotations

import logging
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from twisted.internet import interfaces
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from zeroscale.control import protocol
from zeroscale.control.protocol import Code, Lines, RequestError
from zeroscale.errors import ConfigError, ProtocolError, ServerUnavailable, ZeroscaleError

logger = logging.getLogger(__name__)

MOST_REQUESTS = 16
"""Requests of one client that are answered at a time: a client needs one, a program a few."""

IDLE = 120.0
"""Seconds after which a client that asks nothing is closed: it would keep others out."""

STALLED = 30.0
"""Seconds after which a client that does not take what it was sent is dropped."""

CLOSING = 1.0
"""Seconds that a client has for its last answers when we close."""


class Perform(Protocol):
    """What answers requests; see `commands.Commands.perform`."""

    async def __call__(self, request: protocol.Command, send: Callable[[object], Deferred[None]]) -> object:
        """Does what was asked, and returns the result."""
        ...


@dataclass(frozen=True, slots=True)
class Peer:
    """Who a client is, as the kernel says.

    :ivar user: its user id; None: not known on this system.
    :ivar process: its process id.
    """

    user: int | None = None
    process: int | None = None

    def __str__(self) -> str:
        return "somebody" if self.user is None else f"user {self.user} (process {self.process})"


def peer_of(connected: socket.socket) -> Peer:
    """Who is at the other end (SO_PEERCRED, unix(7): pid, uid, gid at the time of connect)."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return Peer()
    process, user, _ = struct.unpack("iII", connected.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("iII")))
    return Peer(user, process)


@dataclass(slots=True, eq=False)
class _Answering:
    """A request that is being answered."""

    request: protocol.Command
    done: Deferred[None] = field(default_factory=Deferred)


@implementer(interfaces.IPushProducer, interfaces.IHalfCloseableProtocol)
class Connection(TwistedProtocol):
    """One client. What it is sent while it does not read is bounded by the transport, which then has us pause.

    :param perform: answers requests.
    :param clock: Twisted's IReactorTime.
    :param gone: called when the connection is.
    :ivar unwelcome: why there is no place for it, where there is none; said before it connects.
    """

    def __init__(self, perform: Perform, clock: interfaces.IReactorTime, gone: Callable[[Connection], None]) -> None:
        self._perform = perform
        self._clock = clock
        self._gone = gone
        self.unwelcome: str | None = None
        self._peer = Peer()
        self._lines = Lines(protocol.LONGEST_REQUEST)
        self._unread: deque[bytes] = deque()
        self._answering: list[_Answering] = []
        self._room: Deferred[None] | None = None
        self._full = False
        self._hung_up = False
        self._closing = False
        self._lost = False
        self._serving = False
        self._timer: interfaces.IDelayedCall | None = None

    def connectionMade(self) -> None:
        """A client is here."""
        connected = self.transport.getHandle()  # type: ignore[union-attr]  # a server transport's, which has one
        if isinstance(connected, socket.socket):
            self._peer = peer_of(connected)
        self._transport.registerProducer(self, True)
        if self.unwelcome is not None:
            self._write(protocol.encode_error(None, "busy", self.unwelcome))
            self.close()
        self._wait_idle()

    def close(self) -> None:
        """Ends what goes on, lets the client read what it was sent, within a bound, and closes."""
        if self._closing or self._lost:
            return
        self._closing = True
        self._unread.clear()
        for each in list(self._answering):
            each.done.cancel()
        self._transport.unregisterProducer()
        self._transport.loseConnection()
        self._set_timer(CLOSING, self._transport.abortConnection)

    def dataReceived(self, data: bytes) -> None:
        """Some bytes of a client's."""
        if self._closing:
            return
        try:
            self._unread.extend(self._lines.feed(data))
        except ProtocolError as error:
            self._write(protocol.encode_error(None, "malformed", str(error)))
            self.close()
            return
        self._serve()

    def readConnectionLost(self) -> None:
        """The client says nothing more. What it has asked is answered; streams would never end, and end."""
        self._hung_up = True
        if self._lines.cut and not self._closing:
            self._write(protocol.encode_error(None, "malformed", "the last line was cut off: a request ends with \\n"))
        for each in list(self._answering):
            if protocol.is_stream(each.request):
                each.done.cancel()
        self._serve()

    def writeConnectionLost(self) -> None:
        """Nothing more can be written: what for is it here?"""
        self._transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client is gone, and with it all that was done for it alone."""
        self._lost = True
        self._unread.clear()
        self._cancel_timer()
        for each in list(self._answering):
            each.done.cancel()
        self._gone(self)

    def pauseProducing(self) -> None:
        """The transport holds enough: nothing more is read, and streams wait, until the client has read."""
        self._full = True
        if not self._hung_up:
            self._transport.pauseProducing()
        self._set_timer(STALLED, self._drop)

    def resumeProducing(self) -> None:
        """The client has read all of it."""
        if self._closing or self._lost:
            return
        self._full = False
        self._cancel_timer()
        room, self._room = self._room, None
        if room is not None:
            room.callback(None)
        self._serve()
        if not self._full and not self._hung_up and not self._closing:
            self._transport.resumeProducing()

    def stopProducing(self) -> None:
        """The transport is closing; `connectionLost` follows."""

    @property
    def _transport(self) -> Any:
        return self.transport

    def _serve(self) -> None:
        self._serving = True
        while self._unread and not self._full and not self._closing:
            line = self._unread.popleft()
            if line.strip():
                self._answer(line)
        self._serving = False
        if self._hung_up and not self._unread and not self._answering:
            self.close()
        self._wait_idle()

    def _answer(self, line: bytes) -> None:
        try:
            request = protocol.decode_request(line)
            if self._hung_up and protocol.is_stream(request):
                raise RequestError("refused", "a stream ends when its client has nothing more to say", request.id)
            if len(self._answering) >= MOST_REQUESTS:
                raise RequestError("busy", f"{MOST_REQUESTS} requests are being answered already", request.id)
        except RequestError as error:
            self._write(protocol.encode_error(error.request, error.code, str(error)))
            return
        if protocol.changes_something(request):
            logger.info("%s: %s", self._peer, _told(request))
        answering = _Answering(request)
        self._answering.append(answering)
        answering.done = Deferred.fromCoroutine(self._perform_one(request))
        answering.done.addBoth(self._answered, answering)

    async def _perform_one(self, request: protocol.Command) -> None:
        try:
            result = await self._perform(request, lambda event: self._send(request.id, event))
        except CancelledError:
            self._fail(request, "refused", "called off: the proxy or its client ends this")
        except RequestError as error:
            self._fail(request, error.code, str(error))
        except ConfigError as error:
            self._fail(request, "configuration", str(error))
        except ServerUnavailable as error:
            self._fail(request, "failed", str(error))
        except ZeroscaleError as error:
            self._fail(request, "refused", str(error))
        else:
            self._write(protocol.encode_result(request.id, result))

    def _answered(self, outcome: Failure | None, answering: _Answering) -> None:
        self._answering.remove(answering)
        if isinstance(outcome, Failure):
            logger.error("%s could not be answered: %s", _told(answering.request), outcome.getTraceback())
            self._fail(answering.request, "internal", "a defect of zeroscale itself; its log says more")
        if not self._serving and not self._lost:
            self._serve()

    def _fail(self, request: protocol.Command, code: Code, message: str) -> None:
        self._write(protocol.encode_error(request.id, code, message))

    def _send(self, request_id: int | str, event: object) -> Deferred[None]:
        self._write(protocol.encode_event(request_id, event))
        if not self._full:
            return succeed(None)
        if self._room is None:
            self._room = Deferred()
        mine: Deferred[None] = Deferred()
        self._room.addCallback(_pass_on, mine)
        return mine

    def _write(self, line: bytes) -> None:
        if not self._lost:
            self._transport.write(line)

    def _wait_idle(self) -> None:
        if self._full or self._closing or self._lost:
            return
        if self._answering:
            self._cancel_timer()
        else:
            self._set_timer(IDLE, self._drop)

    def _drop(self) -> None:
        logger.debug("%s: dropped, it neither asks nor reads", self._peer)
        self._transport.abortConnection()

    def _set_timer(self, seconds: float, call: Callable[[], None]) -> None:
        self._cancel_timer()
        self._timer = self._clock.callLater(seconds, call)

    def _cancel_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()


def _pass_on(result: None, waiting: Deferred[None]) -> None:
    if not waiting.called:
        waiting.callback(None)


def _told(request: protocol.Command) -> str:
    """The request for the log; a console's line is left out, for it may hold a password."""
    words = [str(request.__struct_config__.tag)]
    words += [repr(request.server)] if isinstance(request, protocol.ServerRequest) and request.server else []
    words += ["now"] if isinstance(request, protocol.Sleep) and request.now else []
    return " ".join(words)
