"""The listeners of the proxy, as clients see them: one for each kind, and how to connect to it."""

from __future__ import annotations

import asyncio
import ipaddress
import random
import socket
import ssl
import struct
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from zeroscale.protocols.proxy_protocol import Endpoint, encode

CONNECT_SECONDS = 20.0
"""Longer than any pause of the proxy: its kernel accepts meanwhile, as long as the backlog has room."""

HEADERS_FROM = "127.0.2.0/24"
"""Connections from there must have a PROXY header."""

TRUSTED = "198.51.100.0/24"
"""Addresses in PROXY headers that have no limits."""


class Kind(Enum):
    """The kinds of listener, and the ways to connect to them."""

    ipv4 = "TCP over IPv4"
    ipv6 = "TCP over IPv6"
    unix = "a Unix socket"
    tls = "a TLS endpoint"
    proxy_v1 = "TCP with a PROXY header, version 1"
    proxy_v2 = "TCP with a PROXY header, version 2"


@dataclass(frozen=True)
class Listener:
    """One listener of a server.

    :ivar server: the server's name.
    :ivar where: a port, or the path of a socket.
    """

    kind: Kind
    server: str
    where: int | str

    @property
    def has_headers(self) -> bool:
        """Whether a connection begins with a PROXY header."""
        return self.kind in (Kind.proxy_v1, Kind.proxy_v2)

    def plain(self) -> Listener:
        """Return it as a client without a PROXY header sees it."""
        return replace(self, kind=Kind.ipv4) if self.has_headers else self

    def header(self, address: str) -> bytes:
        """Return the PROXY header for a client of this address."""
        ours = "192.0.2.200" if ipaddress.ip_address(address).version == 4 else "2001:db8::200"
        return encode(
            "v1" if self.kind is Kind.proxy_v1 else "v2",
            Endpoint(address, random.randrange(1024, 65536)),
            Endpoint(ours, 25565),
        )

    async def connect(self, source: str = "127.0.1.1") -> Connection:
        """Connect, over IPv4 from this address of the loopback network.

        :raises OSError: it was refused, or took too long.
        """
        options: dict[str, Any] = {}
        async with asyncio.timeout(CONNECT_SECONDS):
            match self.kind:
                case Kind.unix:
                    reader, writer = await asyncio.open_unix_connection(str(self.where))
                    return Connection(reader, writer)
                case Kind.ipv6:
                    options["host"] = "::1"
                case Kind.tls:
                    options |= {"host": "127.0.0.1", "ssl": _tls(), "local_addr": (source, 0)}
                case Kind.proxy_v1 | Kind.proxy_v2:
                    options |= {"host": "127.0.0.1", "local_addr": ("127.0.2.1", 0)}
                case Kind.ipv4:
                    options |= {"host": "127.0.0.1", "local_addr": (source, 0)}
            return Connection(*await asyncio.open_connection(port=self.where, **options))


class Connection:
    """A client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._socket: socket.socket = writer.get_extra_info("socket")

    async def send(self, data: bytes) -> None:
        """Send, and wait while the peer does not read.

        :raises OSError: the connection is lost.
        """
        if self._socket.fileno() < 0:
            raise ConnectionResetError("the connection was lost before")
        self._writer.write(data)
        await self._writer.drain()

    async def receive(self) -> bytes:
        """Receive some bytes; b"" is the end.

        :raises OSError: the connection is lost.
        """
        return await self._reader.read(65536)

    def finish(self) -> None:
        """Finish sending, where that is possible: TLS has no half-closed connections."""
        if self._writer.can_write_eof():
            with suppress(OSError):
                self._writer.write_eof()

    def stop_reading(self) -> None:
        """Read nothing any more, so that the peer cannot send."""
        assert isinstance(self._writer.transport, asyncio.Transport)
        self._writer.transport.pause_reading()

    def reset(self) -> None:
        """Close with a reset, where the kind of socket has one."""
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def close(self) -> None:
        """Close in order; what is unsent may be lost."""
        self._writer.close()


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
