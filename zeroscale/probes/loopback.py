"""Connect to a server on this machine's loopback without the event loop: there the kernel accepts or refuses at once.

A starting server is asked often, and a connection by the reactor costs ten times as much.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct

RESET_AT_CLOSE = struct.pack("ii", 1, 0)
"""A `struct linger` without time: nothing of the connection is left when it is closed (socket(7))."""


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine's loopback, by its address or as localhost."""
    return host == "localhost" or _is_address(host)


def accepts(host: str, port: int, header: bytes) -> bool | None:
    """Return whether the server accepts a connection, which is closed at once; None: that is not known at once.

    The host may be another one, or a name; the server's queue may be full, or no descriptor left. Does not block.

    :param header: sent first.
    """
    if not _is_address(host):
        return None
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as connection:
            connection.setblocking(False)
            error = connection.connect_ex((host, port))
            if error == errno.EINPROGRESS:  # Linux handles the answer only after this call
                error = connection.connect_ex((host, port))
            if error == errno.ECONNREFUSED:
                return False
            if error:
                return None
            if connection.getsockname() == connection.getpeername():
                # The port is closed, and the kernel has chosen it as our own one, which is then connected to itself.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
                return False
            if header:
                connection.send(header)
            return True
    except OSError:
        return None


def _is_address(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
