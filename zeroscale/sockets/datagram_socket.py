"""UDP sockets: one that receives from everyone, and connected ones, each to one server.

Sockets that are bound to all addresses have the kernel tell with each datagram which local address it was sent to, so
that the reply can leave from the same one: a client drops what comes from another. See ip(7) and ipv6(7).
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
from collections.abc import Sequence

LARGEST = 65535
"""Bytes that no datagram exceeds: the length in UDP's header has 16 bits."""

RECEIVE_BUFFER = 1024 * 1024
"""Bytes asked for to receive from everyone; the kernel gives at most net.core.rmem_max."""

Control = Sequence[tuple[int, int, bytes]]
"""Ancillary data of `sendmsg`."""

IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)
"""Python 3.11 does not define it; the number is Linux's."""

SO_MEMINFO = 55
_MEMINFO = struct.Struct("=9I")

CONTROL_SPACE = socket.CMSG_SPACE(20)
"""Bytes of ancillary data for a local address of either family."""

LOCAL_ADDRESS = {socket.AF_INET: slice(4, 8), socket.AF_INET6: slice(0, 16)}
"""Where the local address is in the ancillary data of a received datagram: `ipi_spec_dst` of `struct in_pktinfo`, which
is one of ours even where the datagram was sent to a broadcast address, and `ipi6_addr` of `struct in6_pktinfo`."""


def listen_datagrams(host: str, port: int) -> socket.socket:
    """Return a socket that receives the datagrams of all clients, non-blocking.

    :param host: an IPv4 or IPv6 address, no name; `0.0.0.0` and `::` mean all addresses of that family, and no other.
    :raises OSError: the address is in use, or not one of this machine.
    """
    family = _family(host)
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _prepare(sock, host)
        sock.bind(_sockaddr(host, port))
    except BaseException:
        sock.close()
        raise
    return sock


def prepare_inherited(sock: socket.socket) -> None:
    """Make a bound socket that another process has opened like those of `listen_datagrams`.

    :raises OSError: it cannot be used.
    """
    sock.setblocking(False)
    _prepare(sock, sock.getsockname()[0])


def _prepare(sock: socket.socket, host: str) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    if ipaddress.ip_address(host.partition("%")[0]).is_unspecified:
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)


def connect_datagrams(host: str, port: int) -> socket.socket:
    """Return a socket that exchanges datagrams with one address only, and receives its ICMP errors; non-blocking.

    :param host: an IPv4 or IPv6 address, no name.
    :raises OSError: there is no route to it, or no descriptor left.
    """
    sock = socket.socket(_family(host), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        sock.connect(_sockaddr(host, port))
    except BaseException:
        sock.close()
        raise
    return sock


def reply_control(family: int, local: bytes) -> Control:
    """Return the ancillary data with which a datagram leaves from a local address.

    :param local: packed, as `LOCAL_ADDRESS` finds it; empty: the kernel chooses.
    """
    if not local:
        return ()
    if family == socket.AF_INET:
        return ((socket.IPPROTO_IP, IP_PKTINFO, bytes(4) + local + bytes(4)),)
    if local[0] == 0xFF:  # sent to a multicast group, from which nothing can be sent
        return ()
    return ((socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, local + bytes(4)),)


def dropped_by_kernel(sock: socket.socket) -> int:
    """Return how many datagrams the kernel has dropped since its buffer was full; 0 where it does not tell."""
    if sys.platform != "linux":
        return 0
    try:
        found = sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, _MEMINFO.size)
    except OSError:
        return 0
    return int(_MEMINFO.unpack(found)[-1]) if len(found) == _MEMINFO.size else 0


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _sockaddr(host: str, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    address, _, scope = host.partition("%")
    if not scope:
        return host, port
    return address, port, 0, int(scope) if scope.isdecimal() else socket.if_nametoindex(scope)
