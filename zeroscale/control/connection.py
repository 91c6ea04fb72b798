"""One client of the admin socket: lines in, responses out, within bounds.

A client may close the connection at any time, send anything, and read nothing; the limits below bound what that costs.
`handlers` executes the commands.
"""

from __future__ import annotations

import logging
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

from msgspec import Struct, field
from twisted.internet import interfaces
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from zeroscale.control import protocol
from zeroscale.control.protocol import MAX_PENDING_REQUESTS, Code, LineBuffer, RequestError
from zeroscale.errors import ConfigError, ConfigMistakes, ProtocolError, ServerUnavailable, ZeroscaleError
from zeroscale.system.accounts import account_name

if TYPE_CHECKING:
    from twisted.internet.unix import Server as UnixTransport

logger = logging.getLogger("zeroscale.control")

IDLE_TIMEOUT = 120.0
"""Seconds after which a client without pending requests is disconnected, since the number of clients is limited."""

STALL_TIMEOUT = 30.0
"""Seconds after which a client that does not read what it was sent is disconnected."""

CLOSE_TIMEOUT = 1.0
"""Seconds that a client has to read its last responses when the proxy closes the connection."""


class PerformRequest(Protocol):
    """The type of `CommandHandler.perform`."""

    async def __call__(
        self, request: protocol.AnyRequest, send: Callable[[object], Deferred[None]], operator: str, /
    ) -> object:
        """Execute the request of an operator with this account name, and return its result."""
        ...


class PeerCredentials(Struct, frozen=True):
    """User and process of a client, as reported by the kernel.

    :ivar user: user id; None: not available on this system.
    :ivar process: process id.
    """

    user: int | None = None
    process: int | None = None

    @property
    def account(self) -> str:
        """The user's account name, or the user id as text where it has none; "" if the user is not known."""
        return "" if self.user is None else account_name(self.user)

    def __str__(self) -> str:
        return "unknown user" if self.user is None else f"user {self.account} (process {self.process})"


def peer_credentials(connected: socket.socket) -> PeerCredentials:
    """Return the credentials of the other end (SO_PEERCRED, unix(7): pid, uid, gid at the time of connect)."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return PeerCredentials()
    process, user, _ = struct.unpack("iII", connected.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("iII")))
    return PeerCredentials(user, process)


class _PendingRequest(Struct, eq=False):
    request: protocol.AnyRequest
    done: Deferred[None] = field(default_factory=Deferred)


@implementer(interfaces.IPushProducer, interfaces.IHalfCloseableProtocol)
class ControlConnection(TwistedProtocol):
    """One client. When it does not read, the transport pauses this producer, which bounds the memory used.

    :param perform: executes requests.
    :param clock: runs the timeouts.
    :param on_closed: called when the connection is lost.
    :ivar refusal: the error to send if the client is not accepted, else None; set before the connection is made.
    """

    def __init__(
        self, perform: PerformRequest, clock: interfaces.IReactorTime, on_closed: Callable[[ControlConnection], None]
    ) -> None:
        self._perform = perform
        self._clock = clock
        self._on_closed = on_closed
        self.refusal: str | None = None
        self._peer = PeerCredentials()
        self._lines = LineBuffer(protocol.MAX_REQUEST_BYTES)
        self._queued_lines: deque[bytes] = deque()
        self._pending: list[_PendingRequest] = []
        self._writable: Deferred[None] | None = None
        self._write_paused = False
        self._read_closed = False
        self._closing = False
        self._lost = False
        self._processing = False
        self._timer: interfaces.IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Start to read, or refuse the client."""
        connected = self._transport.getHandle()
        if isinstance(connected, socket.socket):
            self._peer = peer_credentials(connected)
        self._transport.registerProducer(self, True)
        if self.refusal is not None:
            self._write(protocol.encode_error(None, "busy", self.refusal))
            self.close()
        self._restart_idle_timer()

    def close(self) -> None:
        """Cancel all requests, and close once the client has read its responses or `CLOSE_TIMEOUT` has passed."""
        if self._closing or self._lost:
            return
        self._closing = True
        self._queued_lines.clear()
        for pending in list(self._pending):
            pending.done.cancel()
        self._transport.unregisterProducer()
        self._transport.loseConnection()
        self._set_timer(CLOSE_TIMEOUT, self._transport.abortConnection)

    def dataReceived(self, data: bytes) -> None:
        """Execute the requests that are complete now."""
        if self._closing:
            return
        try:
            self._queued_lines.extend(self._lines.feed(data))
        except ProtocolError as error:
            self._write(protocol.encode_error(None, "malformed", str(error)))
            self.close()
            return
        self._process_lines()

    def readConnectionLost(self) -> None:
        """Finish pending requests after the client has closed its sending side; end streams, which never finish."""
        self._read_closed = True
        if self._lines.has_partial and not self._closing:
            self._write(protocol.encode_error(None, "malformed", "the last line was cut off: a request ends with \\n"))
        for pending in list(self._pending):
            if protocol.is_stream(pending.request):
                pending.done.cancel()
        self._process_lines()

    def writeConnectionLost(self) -> None:
        """Abort: the client cannot receive any response."""
        self._transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Cancel all requests of the client."""
        self._lost = True
        self._queued_lines.clear()
        self._cancel_timer()
        for pending in list(self._pending):
            pending.done.cancel()
        self._on_closed(self)

    def pauseProducing(self) -> None:
        """Stop reading and pause streams until the client has read what the transport buffers."""
        self._write_paused = True
        if not self._read_closed:
            self._transport.pauseProducing()
        self._set_timer(STALL_TIMEOUT, self._abort)

    def resumeProducing(self) -> None:
        """Continue after the client has read everything."""
        if self._closing or self._lost:
            return
        self._write_paused = False
        self._cancel_timer()
        writable, self._writable = self._writable, None
        if writable is not None:
            writable.callback(None)
        self._process_lines()
        if not self._write_paused and not self._read_closed and not self._closing:
            self._transport.resumeProducing()

    def stopProducing(self) -> None:
        """Do nothing: the transport closes, and `connectionLost` follows."""

    @property
    def _transport(self) -> UnixTransport:
        return cast("UnixTransport", self.transport)

    def _process_lines(self) -> None:
        self._processing = True
        while self._queued_lines and not self._write_paused and not self._closing:
            line = self._queued_lines.popleft()
            if line.strip():
                self._process(line)
        self._processing = False
        if self._read_closed and not self._queued_lines and not self._pending:
            self.close()
        self._restart_idle_timer()

    def _process(self, line: bytes) -> None:
        try:
            request = protocol.decode_request(line)
            if self._read_closed and protocol.is_stream(request):
                raise RequestError("refused", "a stream ends when its client closes its sending side", request.id)
            if len(self._pending) >= MAX_PENDING_REQUESTS:
                raise RequestError("busy", f"{MAX_PENDING_REQUESTS} requests are pending already", request.id)
        except RequestError as error:
            self._write(protocol.encode_error(error.request, error.code, str(error)))
            return
        if protocol.changes_state(request):
            logger.info("%s: %s", self._peer, _describe(request))
        pending = _PendingRequest(request)
        self._pending.append(pending)
        pending.done = Deferred.fromCoroutine(self._respond(request))
        pending.done.addBoth(self._request_done, pending)

    async def _respond(self, request: protocol.AnyRequest) -> None:
        try:
            result = await self._perform(request, lambda event: self._send_event(request.id, event), self._peer.account)
        except CancelledError:
            self._send_error(request, "refused", "cancelled: the proxy or the client closed the connection")
        except RequestError as error:
            self._send_error(request, error.code, str(error))
        except ConfigError as error:
            in_file = isinstance(error, ConfigMistakes) and error.usage
            self._send_error(request, "configuration" if in_file else "environment", str(error))
        except ServerUnavailable as error:
            self._send_error(request, "failed", str(error))
        except ZeroscaleError as error:
            self._send_error(request, "refused", str(error))
        else:
            self._write(protocol.encode_result(request.id, result))

    def _request_done(self, result: Failure | None, pending: _PendingRequest) -> None:
        self._pending.remove(pending)
        if isinstance(result, Failure):
            logger.error(
                "A fault in zeroscale itself: %s failed: %s", _describe(pending.request), result.getTraceback()
            )
            self._send_error(pending.request, "internal", "a fault in zeroscale itself; its log has the details")
        if not self._processing and not self._lost:
            self._process_lines()

    def _send_error(self, request: protocol.AnyRequest, code: Code, message: str) -> None:
        self._write(protocol.encode_error(request.id, code, message))

    def _send_event(self, request_id: int | str, event: object) -> Deferred[None]:
        self._write(protocol.encode_event(request_id, event))
        if not self._write_paused:
            return succeed(None)
        if self._writable is None:
            self._writable = Deferred()
        resumed: Deferred[None] = Deferred()
        self._writable.addCallback(_fire, resumed)
        return resumed

    def _write(self, line: bytes) -> None:
        if not self._lost:
            self._transport.write(line)

    def _restart_idle_timer(self) -> None:
        if self._write_paused or self._closing or self._lost:
            return
        if self._pending:
            self._cancel_timer()
        else:
            self._set_timer(IDLE_TIMEOUT, self._abort)

    def _abort(self) -> None:
        logger.debug("%s: disconnected, it neither sends requests nor reads", self._peer)
        self._transport.abortConnection()

    def _set_timer(self, seconds: float, call: Callable[[], None]) -> None:
        self._cancel_timer()
        self._timer = self._clock.callLater(seconds, call)

    def _cancel_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()


def _fire(result: None, waiting: Deferred[None]) -> None:
    if not waiting.called:
        waiting.callback(None)


def _describe(request: protocol.AnyRequest) -> str:
    """Describe a request for the log, without the line of a console request, which may hold a password."""
    words = [str(request.__struct_config__.tag)]
    words += [repr(request.server)] if isinstance(request, protocol.ServerRequest) and request.server else []
    words += ["now"] if isinstance(request, protocol.SleepRequest) and request.now else []
    words += ["by force"] if isinstance(request, protocol.WakeRequest) and request.force else []
    return " ".join(words)
