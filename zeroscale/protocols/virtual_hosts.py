"""Conversations on a port that several servers share: read which host a client wants, then be that server's.

The host is that of the first request, or of the ClientHello. All bytes until then are passed on as they are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence

from zeroscale.errors import ProtocolError
from zeroscale.protocols import client_hello, health_check, http, http_host
from zeroscale.protocols.conversation import (
    BadRequest,
    Component,
    Conversation,
    Event,
    HealthCheckRequested,
    HostNamed,
)
from zeroscale.protocols.minecraft.text_component import plain
from zeroscale.protocols.tcp import TcpConversation

Choose = Callable[[str], Conversation | None]
"""Returns the conversation of the server of a host, "" where the client names none; None: there is no such server."""


class _VirtualHostConversation(TcpConversation, ABC):
    """A client that has not named its host yet; then all is passed to the conversation of its server.

    :param choose: makes the conversation of the server.
    """

    __slots__ = ("_choose", "_chosen")

    def __init__(self, choose: Choose) -> None:
        super().__init__()
        self._choose = choose
        self._chosen: Conversation | None = None

    def opened(self) -> Sequence[Event]:
        """Return no event: the connection belongs to no server yet."""
        return ()

    def receive(self, data: bytes) -> Sequence[Event]:
        """Read the name; then return the events of the server's conversation, which gets all bytes.

        :raises ProtocolError: they are no client's, or it is the server's conversation that raises it.
        """
        if self._chosen is not None:
            return self._chosen.receive(data)
        self._received += data
        received = self._received
        event = self._read(received)
        if not isinstance(event, HostNamed):
            return () if event is None else (event,)
        chosen = self._choose(event.host)
        if chosen is None:
            return (self._unrouted(event),)
        self._chosen, self._received = chosen, b""
        opened = chosen.opened()
        return (event, *opened, *chosen.receive(received))

    @property
    def replay_bytes(self) -> bytes:
        """All bytes of the client."""
        return self._received if self._chosen is None else self._chosen.replay_bytes

    @property
    def full(self) -> bool:
        """Whether the server's conversation is full; what comes before it is bounded by the parsers."""
        return self._chosen is not None and self._chosen.full

    def kick(self, reason: Component) -> bytes:
        """Return the refusal of the server, or that of a host without one."""
        return self._misdirected(reason) if self._chosen is None else self._chosen.kick(reason)

    @abstractmethod
    def _read(self, data: bytes) -> Event | None:
        """Return which host the client has named, or another answer to it; None while it is incomplete."""

    def _unrouted(self, event: HostNamed) -> Event:
        """Return the event of a host without a server."""
        return event

    @abstractmethod
    def _misdirected(self, reason: Component) -> bytes:
        """Return the refusal of a client whose host has no server."""


class HttpHostConversation(_VirtualHostConversation):
    """A client of HTTP servers, which names its host in the first request. HTTP/2 without TLS names none there.

    :param choose: makes the conversation of the server of a host.
    :param health_paths: paths of health checks, which are answered also where they name no host of a server.
    """

    __slots__ = ("_head", "_health_paths", "_needs_host")

    def __init__(self, choose: Choose, health_paths: Iterable[str] = ()) -> None:
        super().__init__(choose)
        self._health_paths = health_paths
        self._head: http.Head | None = None
        self._needs_host = False

    def _read(self, data: bytes) -> Event | None:
        self._head = head = http.read_head(data)
        if head is None:
            return None
        if head.version[0] != 1:
            return HostNamed("")
        try:
            host = http_host.requested_host(head)
        except ProtocolError as problem:
            return self._health_check() or self._bad_request(head, str(problem))
        self._needs_host = host is None
        return HostNamed(host or "")

    def _unrouted(self, event: HostNamed) -> Event:
        check = self._health_check()
        if check is None and self._needs_host and self._head is not None:
            return self._bad_request(self._head, "no Host field in an HTTP/1.1 request")
        return check or event

    def _health_check(self) -> Event | None:
        for path in self._health_paths:
            reply = health_check.reply_to(self._received, path)
            if reply:
                return HealthCheckRequested(reply)
        return None

    def _bad_request(self, head: http.Head, problem: str) -> Event:
        return BadRequest(http.bad_request(http.request_of(head), f"Bad request\nIt has {problem}."), problem)

    def _misdirected(self, reason: Component) -> bytes:
        if self._head is None or self._head.version[0] != 1:
            return b""
        return http.misdirected(http.request_of(self._head), plain(reason))


class TlsHostConversation(_VirtualHostConversation):
    """A client of TLS servers, which names its host in the ClientHello (SNI)."""

    __slots__ = ("_hello",)

    def __init__(self, choose: Choose) -> None:
        super().__init__(choose)
        self._hello: bytes | None = None

    def _read(self, data: bytes) -> Event | None:
        self._hello = client_hello.whole(data)
        return None if self._hello is None else HostNamed(client_hello.server_name(self._hello))

    def _misdirected(self, reason: Component) -> bytes:
        return b"" if self._hello is None else client_hello.unrecognized_name(self._hello)
