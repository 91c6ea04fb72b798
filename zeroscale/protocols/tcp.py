"""Conversations for any TCP protocol and for HTTP: recognise a client, and store its bytes for the real server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from zeroscale.protocols import health_check, http
from zeroscale.protocols.conversation import (
    ClientRecognised,
    Component,
    Connected,
    Event,
    HealthCheckRequested,
    StatusReply,
)
from zeroscale.protocols.minecraft.text_component import plain
from zeroscale.protocols.sniffing import Sniffer

PageFor = Literal["nobody", "browsers", "everyone"]
"""Which clients of a web server get the page at once, instead of being held. What has more than a page's reload can
repeat, such as a form, is held for `everyone` as well."""

PAGE = "page"
UNAVAILABLE = "unavailable"
"""The access log's words for the end of a refused HTTP client: it got the page, or the text."""

CAPACITY = 65536
"""Bytes of early data after which reading stops: one read of a socket, and more than any greeting."""

_CONNECTED = (Connected(),)
_RECOGNISED = (ClientRecognised(),)


class TcpConversation:
    """A client of a protocol that zeroscale does not parse. Implements `Conversation`.

    :param capacity: stored bytes at which `full` becomes true. None is dropped: at most one read more is stored.
    :param sniffer: recognises a client by its first bytes; None: every connection is a client's. Its own bounds must
        be below `capacity`.
    """

    __slots__ = ("_capacity", "_received", "_sniffer")

    idle_timeout: float | None = None
    closes_after_status = False
    unanswered = 0

    def __init__(self, capacity: int = CAPACITY, sniffer: Sniffer | None = None) -> None:
        self._capacity = capacity
        self._sniffer = sniffer
        self._received = b""

    def opened(self) -> Sequence[Event]:
        """Return `ClientRecognised` where no sniffer is set, else `Connected`."""
        return _RECOGNISED if self._sniffer is None else _CONNECTED

    def receive(self, data: bytes) -> Sequence[Event]:
        """Store the bytes, and give them to the sniffer until it has recognised a client.

        :raises ProtocolError: they are no client's; they are stored nevertheless.
        """
        self._received += data
        return () if self._sniffer is None else self._sniff(self._sniffer)

    def on_idle(self) -> Sequence[Event]:
        """Return no event."""
        return ()

    @property
    def replay_bytes(self) -> bytes:
        """All bytes of the client."""
        return self._received

    @property
    def full(self) -> bool:
        """Whether `capacity` is reached."""
        return len(self._received) >= self._capacity

    def status(self, reply: StatusReply) -> bytes:
        """Return nothing: the protocol has no status."""
        return b""

    def pong(self) -> bytes:
        """Return nothing: the protocol has no ping."""
        return b""

    def kick(self, reason: Component) -> bytes:
        """Return nothing: the protocol is not known."""
        return b""

    def hold(self) -> Sequence[Event]:
        """Return no event: bytes of a held client are stored as well."""
        return ()

    def keepalive(self) -> bytes:
        """Return nothing: the client is held without bytes."""
        return b""

    def _sniff(self, sniffer: Sniffer) -> Sequence[Event]:
        if not sniffer(self._received):
            return ()
        self._sniffer = None
        return self._recognised_events()

    def _recognised_events(self) -> Sequence[Event]:
        return _RECOGNISED


class HttpConversation(TcpConversation):
    """A client of an HTTP server, which can be refused with a reply.

    :param page: which clients are refused at once with a page that reloads itself, instead of being held.
    :param retry_after: returns the seconds after which the client may try again.
    :param page_note: returns the last paragraph of the page, which only browsers read.
    :param reloads: returns whether the page reloads itself.
    :param health_path: the path of health checks, which are answered; None: there are none.
    """

    __slots__ = ("_health_path", "_page", "_page_note", "_reloads", "_request", "_retry_after")

    def __init__(
        self,
        *,
        page: PageFor = "nobody",
        retry_after: Callable[[], float],
        page_note: Callable[[], str] = str,
        reloads: Callable[[], bool] = lambda: True,
        health_path: str | None = None,
        capacity: int = CAPACITY,
    ) -> None:
        super().__init__(capacity, self._is_request)
        self._page = page
        self._retry_after = retry_after
        self._page_note = page_note
        self._reloads = reloads
        self._health_path = health_path
        self._request: http.HttpRequest | None = None

    def opened(self) -> Sequence[Event]:
        """Return `Connected`."""
        return (Connected(may_be_check=self._health_path is not None),)

    def kick(self, reason: Component) -> bytes:
        """Return a 503 reply; nothing where the request is not HTTP/1."""
        if self._request is None or self._request.major != 1:
            return b""
        return http.service_unavailable(
            self._request, plain(reason), self._retry_after(), self._page_note(), reloads=self._reloads()
        )

    def _sniff(self, sniffer: Sniffer) -> Sequence[Event]:
        if self._health_path is None:
            return super()._sniff(sniffer)
        reply = health_check.reply_to(self._received, self._health_path)
        if reply is None:
            return ()
        self._health_path = None
        return (HealthCheckRequested(reply),) if reply else (*_CONNECTED, *super()._sniff(sniffer))

    def _is_request(self, data: bytes | bytearray) -> bool:
        self._request = http.parse_head(data)
        return self._request is not None

    def _recognised_events(self) -> Sequence[Event]:
        request = self._request
        if request is None or request.major != 1:  # HTTP/2 with prior knowledge: it can be sent no page
            return _RECOGNISED
        kick_outcome = PAGE if request.accepts_html else UNAVAILABLE
        return (ClientRecognised(0.0 if self._gets_the_page(request) else None, kick_outcome),)

    def _gets_the_page(self, request: http.HttpRequest) -> bool:
        match self._page:
            case "browsers":
                return request.navigates
            case "everyone":  # but not a browser's form: the page would repeat it as a GET, without the form's data
                return request.repeatable or not request.accepts_html
        return False
