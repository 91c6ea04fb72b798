"""Look up the addresses of a host. Plain asyncio."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any, TypeAlias

from zeroscale.errors import StartRefused

AddressInfo: TypeAlias = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]
"""An entry of `socket.getaddrinfo`."""


async def host_addresses(host: str, port: int, kind: socket.SocketKind, limit: float) -> Sequence[AddressInfo]:
    """Return the addresses of a host. An address is not looked up, as that needs a thread.

    :param limit: seconds.
    :raises StartRefused: a name cannot be looked up now: there may be no more threads.
    :raises OSError: it has no address.
    :raises UnicodeError: it is no valid host name.
    :raises TimeoutError: no name server has answered.
    """
    try:
        return socket.getaddrinfo(host, port, type=kind, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        pass  # it is a name
    try:
        async with asyncio.timeout(limit):
            return await asyncio.get_running_loop().getaddrinfo(host, port, type=kind)
    except BlockingIOError as error:
        raise StartRefused(f"{host} cannot be looked up: {error.strerror}") from error
