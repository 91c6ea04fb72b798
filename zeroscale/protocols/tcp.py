"""Any TCP protocol: who counts as a client, and all that it says is kept for the real server."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zeroscale.protocols import http
from zeroscale.protocols.conversation import Component, Connected, Event, Opened, StatusReply
from zeroscale.protocols.minecraft.text_component import plain
from zeroscale.protocols.sniffing import Recogniser

CAPACITY = 65536
"""Bytes of early data after which we stop reading: what one read of a socket brings, and more than greetings need."""


class GenericConversation:
    """A client of a protocol that we do not speak. Implements `base.Conversation`.

    :param capacity: how many bytes are kept before the caller is told to stop reading. Not one of them is dropped: at
        most one read's worth more is kept.
    :param recognise: by what it is known; None: a connection is all it takes. Its bounds are below `capacity`.
    """

    quiet_timeout: float | None = None
    status_ends = False
    unanswered = 0

    def __init__(self, capacity: int = CAPACITY, recognise: Recogniser | None = None) -> None:
        self._capacity = capacity
        self._recognise = recognise
        self._kept = bytearray()

    def opened(self) -> Sequence[Event]:
        """Whether a connection is all it takes."""
        return (Opened(),) if self._recognise is None else (Connected(),)

    def receive(self, data: bytes) -> Sequence[Event]:
        """Keeps it, and looks at it until it is known whose it is.

        :raises ProtocolError: no client's. It is kept all the same.
        """
        self._kept += data
        if self._recognise is None or not self._recognise(self._kept):
            return ()
        self._recognise = None
        return (self._recognised(),)

    def silence(self) -> Sequence[Event]:
        """Means nothing."""
        return ()

    @property
    def kept(self) -> bytes:
        """All that the client sent."""
        return bytes(self._kept)

    @property
    def full(self) -> bool:
        """Whether `capacity` is reached."""
        return len(self._kept) >= self._capacity

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

    def _recognised(self) -> Opened:
        return Opened()


class HttpConversation(GenericConversation):
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
        return http.refusal(self._request, plain(reason), self._again())

    def _is_request(self, data: bytes | bytearray) -> bool:
        self._request = http.parse_head(data)
        return self._request is not None

    def _recognised(self) -> Opened:
        """A person's form is held: the page would ask again with a GET, and what was typed would be lost."""
        request = self._request
        told = request is not None and request.major == 1 and (request.repeatable or not request.browser)
        return Opened(patience=0.0 if self._page and told else None)
