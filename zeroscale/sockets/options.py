"""Socket options and states that the relays use: no delay, keepalive, unacknowledged bytes, vanished peers.

See socket(7), tcp(7) and unix(7).
"""

from __future__ import annotations

import errno
import fcntl
import resource
import select
import socket
import struct
import sys
import termios

KEEPALIVE_IDLE = 60
KEEPALIVE_INTERVAL = 10
KEEPALIVE_PROBES = 6
"""A peer counts as dead two minutes after its last packet: 60 s + 6 probes * 10 s."""

VANISHED_AFTER = KEEPALIVE_IDLE + KEEPALIVE_INTERVAL * KEEPALIVE_PROBES
"""The same two minutes for a peer with unacknowledged bytes, to which the kernel sends no keepalive."""

UNANSWERED = 2
"""Retransmissions or window probes in a row that such a peer must have left unanswered. The kernel sends probes to a
peer that does not read at least every 120 s, so a live one may be silent for longer than `VANISHED_AFTER`, but it does
not leave two of them unanswered."""

VANISHED_ERRORS = frozenset({errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN})

_NO_LINGER = struct.pack("ii", 1, 0)

_TCP_INFO = struct.Struct("@8B24I")
_RETRANSMITS, _PROBES, _UNACKED, _LAST_ACK_RECEIVED = 2, 3, 12, 20


def prepare(sock: socket.socket) -> None:
    """Set a relayed socket's options: no delay, and keepalive that notices a vanished peer.

    It may be a listening socket: what it accepts has the same options then, and needs no call of its own. It may also
    be a socket that is not yet connected.

    `TCP_USER_TIMEOUT` stays off: it also ends the connection of a live peer that merely stops reading.

    :raises OSError: the connection is dead already.
    """
    if sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE)
    elif sys.platform == "darwin":
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPALIVE, KEEPALIVE_IDLE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)


def prepare_for_address(sock: socket.socket, host: str) -> None:
    """Set the same options of a socket that is to be connected to an address.

    The kernel of this machine does not vanish: a connection within it needs no keepalive.
    """
    if host == "::1" or host.startswith("127."):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    else:
        prepare(sock)


def reset_on_close(sock: socket.socket) -> None:
    """Have `close` discard what is unsent and send a reset instead of a FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)


def unacknowledged(sock: socket.socket) -> int:
    """Return the bytes written that the peer's kernel (of a Unix socket: the peer) has not taken; 0 if unknown."""
    try:
        return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"), sys.byteorder)
    except OSError:
        return 0


def has_died(sock: socket.socket) -> bool:
    """Return whether a reset or a time-out waits to be read from it; its bytes stay unacknowledged until then."""
    poll = select.poll()
    poll.register(sock, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def vanished(sock: socket.socket) -> bool:
    """Return whether a TCP peer with unacknowledged bytes has sent nothing for two minutes, though probed.

    While bytes are unacknowledged the kernel sends no keepalive, but retransmits for a quarter of an hour.
    """
    if sys.platform != "linux" or sock.family == socket.AF_UNIX:
        return False
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    except OSError:
        return False
    return len(info) == _TCP_INFO.size and looks_vanished(info)


def looks_vanished(info: bytes) -> bool:
    """Return `vanished` for a `struct tcp_info` (linux/tcp.h), the first 104 bytes of which have never changed."""
    fields: tuple[int, ...] = _TCP_INFO.unpack(info)
    retransmits = fields[_RETRANSMITS] if fields[_UNACKED] else 0
    return fields[_LAST_ACK_RECEIVED] >= VANISHED_AFTER * 1000 and max(retransmits, fields[_PROBES]) >= UNANSWERED


def descriptor_limit() -> int:
    """Return how many descriptors may be open."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit


def raise_descriptor_limit() -> tuple[int, int]:
    """Raise the soft limit of descriptors to the hard one, if the system allows it.

    :returns: the soft limit before and now.
    """
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before == hard:
        return before, before
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):
        return before, before
    return before, hard
