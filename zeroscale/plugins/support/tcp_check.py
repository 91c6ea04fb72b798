"""Check by a TCP connection whether a machine answers."""

from __future__ import annotations

import asyncio
import socket
from enum import Enum

from zeroscale.errors import PluginError
from zeroscale.plugins.support.host_addresses import host_addresses


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
    :raises StartRefused: the name cannot be looked up now.
    :raises PluginError: the name has no address.
    """
    try:
        addresses = await host_addresses(host, port, socket.SOCK_STREAM, limit)
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
