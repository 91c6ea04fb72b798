"""Whether a machine answers, as a TCP connection sees it."""

from __future__ import annotations

import asyncio
import socket
from enum import Enum

from zeroscale.errors import PluginError


class Reach(Enum):
    """What became of a connection."""

    accepted = "accepted"
    refused = "refused"
    """Somebody is there, and nothing listens."""
    silent = "silent"
    """Nobody is there."""


async def reach(host: str, port: int, limit: float) -> Reach:
    """Connects, and closes at once.

    :param limit: seconds after which nobody is there.
    :raises PluginError: the name has no address.
    """
    try:
        async with asyncio.timeout(limit):
            addresses = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # the latter: what can be no name
        raise PluginError(f"{host} has no address: {getattr(error, 'strerror', None) or error}") from error
    except TimeoutError:
        raise PluginError(f"no name server says the address of {host}") from None
    best = Reach.silent
    for _family, _type, _protocol, _name, address in addresses:
        try:
            async with asyncio.timeout(limit):
                _, writer = await asyncio.open_connection(str(address[0]), port)
        except (ConnectionRefusedError, ConnectionResetError):
            best = Reach.refused
        except (OSError, TimeoutError):
            continue
        else:
            writer.transport.abort()
            return Reach.accepted
    return best
