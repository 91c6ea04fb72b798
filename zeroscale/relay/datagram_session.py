"""Sessions of datagrams, their ends and their counters. Uses no thread, and its socket only to close it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

from msgspec import Struct

from zeroscale.sockets.datagram_socket import Control, reply_control


class DatagramClient(NamedTuple):
    """What a session belongs to. A plain tuple of the same values is equal to it.

    :ivar address: the client's, as the socket module has it: host, port, and for IPv6 flow and scope.
    :ivar local: our address that it used, packed; empty where the listening socket is bound to one address.
    """

    address: tuple[Any, ...]
    local: bytes

    def local_host(self, bound: str) -> str:
        """Return our address that the client used.

        :param bound: the one that the listening socket is bound to.
        """
        if not self.local:
            return bound
        return socket.inet_ntop(socket.AF_INET if len(self.local) == 4 else socket.AF_INET6, self.local)


class SessionEnd(Enum):
    """Why a session ended; the value is the word in the access log."""

    idle = "idle"
    """Nothing was sent either way for the port's time-out."""
    displaced = "displaced"
    """The table was full, and a newcomer took its place: the client had not answered the server."""
    refused = "refused"
    """The server's machine answered with an ICMP error: nothing receives datagrams there."""
    closed = "closed"
    """We closed it, or its port."""
    failed = "failed"
    """It could not be opened after all, or the relay's thread has died."""


class Drop(Enum):
    """Why a datagram was dropped; the value is the label in metrics."""

    queue_full = "queue-full"
    """More clients without a session sent datagrams than could be decided about."""
    table_full = "table-full"
    """The port has as many sessions as it may have, or the process as many descriptors, and all sessions are in use."""
    no_buffer = "no-buffer"
    """The kernel's buffer for what we send was full."""
    too_long = "too-long"
    """It is longer than the other side's network takes."""
    unsent = "unsent"
    """The kernel refused it for another reason: no route, a firewall, or a session that ended."""
    unread = "unread"
    """The kernel's buffer for what we receive was full; datagrams of clients only."""


class DatagramCounters(Struct, frozen=True):
    """The sums of one port since it was opened, of ended and live sessions.

    :ivar to_backend: datagrams handed to the kernel for the server.
    :ivar to_client: datagrams handed to the kernel for clients, those of sessions only.
    :ivar dropped: by reason.
    :ivar live: sessions now.
    :ivar total: sessions ever opened.
    """

    to_backend: int
    to_backend_bytes: int
    to_client: int
    to_client_bytes: int
    dropped: dict[Drop, int]
    live: int
    total: int


class DatagramSession:
    """One client's datagrams, and the connected socket to the server that carries them.

    The relay's thread alone writes its attributes; others may read them at any time.

    :ivar heard: when the client's last datagram came, by the relay's clock; `answered`: the server's last one.
    :ivar assured: whether the client has sent something since the server answered first. A forged address never does.
    """

    __slots__ = (
        "answered",
        "assured",
        "client",
        "control",
        "heard",
        "port",
        "receive",
        "send",
        "socket",
        "to_backend",
        "to_backend_bytes",
        "to_client",
        "to_client_bytes",
    )

    def __init__(self, port: Any, client: DatagramClient, sock: socket.socket, family: int, now: float) -> None:
        self.port = port
        self.client = client
        self.socket = sock
        self.send: Callable[[Any], int] = sock.send
        self.receive: Callable[[Any], int] = sock.recv_into
        self.control: Control = reply_control(family, client.local)
        self.heard = now
        self.answered = 0.0
        self.assured = False
        self.to_backend = self.to_backend_bytes = 0
        self.to_client = self.to_client_bytes = 0

    @property
    def last(self) -> float:
        """When the last datagram came, from either side."""
        return max(self.heard, self.answered)
