"""Any TCP protocol: who counts as a client, and all that it says is kept for the real server."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zeroscale.protocols import http
from zeroscale.protocols.conversation import ClientRecognised, Component, Connected, Event, StatusReply
from zeroscale.protocols.minecraft.text_component import plain
from zeroscale.protocols.sniffing import Sniffer

CAPACITY = 65536
"""Bytes of early data after which we stop reading: what one read of a socket brings, and more than greetings need."""


class TcpConversation:
    """A client of a protocol that we do not speak. Implements `Conversation`.

    :param capacity: how many bytes are kept before the caller is told to stop reading. Not one of them is dropped: at
        most one read's worth more is kept.
    :param sniffer: by what it is known; None: a connection is all it takes. Its bounds are below `capacity`.
    """

    idle_timeout: float | None = None
    closes_after_status = False
    unanswered = 0

    def __init__(self, capacity: int = CAPACITY, sniffer: Sniffer | None = None) -> None:
        self._capacity = capacity
        self._sniffer = sniffer
        self._received = bytearray()

    def opened(self) -> Sequence[Event]:
        """Whether a connection is all it takes."""
        return (ClientRecognised(),) if self._sniffer is None else (Connected(),)

    def receive(self, data: bytes) -> Sequence[Event]:
        """Keeps it, and looks at it until it is known whose it is.

        :raises ProtocolError: no client's. It is kept all the same.
        """
        self._received += data
        if self._sniffer is None or not self._sniffer(self._received):
            return ()
        self._sniffer = None
        return (self._recognised_event(),)

    def on_idle(self) -> Sequence[Event]:
        """Means nothing."""
        return ()

    @property
    def replay_bytes(self) -> bytes:
        """All that the client sent."""
        return bytes(self._received)

    @property
    def full(self) -> bool:
        """Whether `capacity` is reached."""
        return len(self._received) >= self._capacity

    def status(self, reply: StatusReply) -> bytes:
        """No words."""
        return b""

    def pong(self) -> bytes:
        """No words."""
        return b""

    def kick(self, reason: Component) -> bytes:
        """No words."""
        return b""

    def hold(self) -> Sequence[Event]:
        """Whatever it says while it waits is kept as well."""
        return ()

    def keepalive(self) -> bytes:
        """It waits in silence."""
        return b""

    def _recognised_event(self) -> ClientRecognised:
        return ClientRecognised()


class HttpConversation(TcpConversation):
    """A client of an HTTP server, which can be told why it is not let in.

    :param page: whether it is told at once that the server wakes, instead of being held.
    :param again: after how many seconds it may try again.
    """

    def __init__(self, *, page: bool, again: Callable[[], float], capacity: int = CAPACITY) -> None:
        super().__init__(capacity, self._is_request)
        self._page = page
        self._again = again
        self._request: http.Request | None = None

    def kick(self, reason: Component) -> bytes:
        """A 503; what is not HTTP/1 has no words."""
        if self._request is None or self._request.major != 1:
            return b""
        return http.service_unavailable(self._request, plain(reason), self._again())

    def _is_request(self, data: bytes | bytearray) -> bool:
        self._request = http.parse_head(data)
        return self._request is not None

    def _recognised_event(self) -> ClientRecognised:
        """A person's form is held: the page would ask again with a GET, and what was typed would be lost."""
        request = self._request
        told = request is not None and request.major == 1 and (request.repeatable or not request.accepts_html)
        return ClientRecognised(max_hold=0.0 if self._page and told else None)
