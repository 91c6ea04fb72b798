"""Ask Linux which sockets listen on a TCP port, or receive on a UDP port (sock_diag(7)).

It costs the same on a machine with many connections.

/proc/net/tcp has each of them, also those that have ended and wait; with 100 000 it takes 0.3 s to read.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator

from msgspec import Struct

# linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h, net/tcp_states.h: not in Python's `socket`
NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST_DUMP = 0x301
NLMSG_DONE = 3
TCP_LISTEN = 10
UNCONNECTED = 7
"""The state of a UDP socket that receives from everyone."""

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port id
_REQUEST = struct.Struct("=BBBxI2s46x")  # inet_diag_req_v2: family, protocol, extensions, states; local port
_MESSAGE = struct.Struct("=BBxxHH16s16s12xIIIII")  # inet_diag_msg: family, state; ports, addresses; ..., user, inode

LIMIT = 1.0
"""Seconds for an answer, which the kernel gives at once."""

LARGEST_PART = 64 * 1024
"""Bytes of one part of an answer; the kernel writes at most 32 KiB."""


class Listener(Struct, frozen=True):
    """One listening socket.

    :ivar inode: the socket's number in /proc/PID/fd.
    :ivar user_id: the user who opened it.
    :ivar address: the address at which it listens, an IPv4 address also where its socket is IPv6.
    """

    inode: int
    user_id: int
    address: ipaddress.IPv4Address | ipaddress.IPv6Address


def listeners(port: int, *, datagrams: bool = False) -> list[Listener] | None:
    """Return the sockets that listen on the port; None: the system cannot be asked in this way.

    :param datagrams: of UDP: those that receive from everyone.
    """
    if not hasattr(socket, "AF_NETLINK"):
        return None
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG) as kernel:
            kernel.settimeout(LIMIT)
            return [
                found for family in (socket.AF_INET, socket.AF_INET6) for found in _ask(kernel, family, port, datagrams)
            ]
    except (OSError, ValueError, struct.error):  # no such family or module here, or another format
        return None


def unmapped(packed: bytes) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return an address of 4 or 16 bytes; one of IPv4 that an IPv6 socket has (`::ffff:192.0.2.1`) as of IPv4."""
    address = ipaddress.ip_address(packed)
    return getattr(address, "ipv4_mapped", None) or address


def _ask(kernel: socket.socket, family: int, port: int, datagrams: bool) -> Iterator[Listener]:
    """Ask for the sockets of one family.

    :raises OSError: it cannot be asked.
    :raises ValueError: the answer is an error, or not understood.
    """
    protocol, state = (socket.IPPROTO_UDP, UNCONNECTED) if datagrams else (socket.IPPROTO_TCP, TCP_LISTEN)
    request = _REQUEST.pack(family, protocol, 0, 1 << state, port.to_bytes(2, "big"))
    length = _HEADER.size + len(request)
    kernel.send(_HEADER.pack(length, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST_DUMP, family, 0) + request)
    while True:
        part = kernel.recv(LARGEST_PART)
        if not part:
            raise ValueError("the answer has no end")
        at = 0
        while at < len(part):
            length, kind, _flags, sequence, _id = _HEADER.unpack_from(part, at)
            if sequence != family or length < _HEADER.size:
                raise ValueError("not the answer to this question")
            if kind == NLMSG_DONE:
                return
            if kind != SOCK_DIAG_BY_FAMILY:
                raise ValueError("an error")
            (_family, _state, local_port, _port, address, _address, _1, _2, _3, user_id, inode) = _MESSAGE.unpack_from(
                part, at + _HEADER.size
            )
            if socket.ntohs(local_port) == port:
                yield Listener(inode, user_id, unmapped(address[: 4 if family == socket.AF_INET else 16]))
            at += (length + 3) & ~3
