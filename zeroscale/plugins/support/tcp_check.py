"""Check by a TCP connection whether a machine answers."""

from __future__ import annotations

import asyncio
import socket
from enum import Enum

from zeroscale.errors import PluginError


class TcpResult(Enum):
    """The outcome of one attempt to connect."""

    accepted = "accepted"
    refused = "refused"
    """The machine answers, but nothing listens on the port."""
    unreachable = "unreachable"


async def tcp_check(host: str, port: int, limit: float) -> TcpResult:
    """Connect, and close the connection at once.

    A name may have several addresses: the best result of all counts.

    :param limit: seconds for each address, and for looking up the name.
    :raises PluginError: the name has no address.
    """
    try:
        async with asyncio.timeout(limit):
            addresses = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # UnicodeError: not a valid host name
        raise PluginError(f"{host} has no address: {getattr(error, 'strerror', None) or error}") from error
    except TimeoutError:
        raise PluginError(f"no name server answers with the address of {host}") from None
    best = TcpResult.unreachable
    for _family, _type, _protocol, _name, address in addresses:
        try:
            async with asyncio.timeout(limit):
                _, writer = await asyncio.open_connection(str(address[0]), port)
        except (ConnectionRefusedError, ConnectionResetError):
            best = TcpResult.refused
        except (OSError, TimeoutError):
            continue
        else:
            writer.transport.abort()
            return TcpResult.accepted
    return best
