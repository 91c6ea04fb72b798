"""What the relays ask of sockets: to be quick, to notice a vanished peer, to say what is still unacknowledged.

Knows the kernel's options (socket(7), tcp(7), unix(7)); knows no pair and no relay.
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
"""Two minutes from a peer's last sign of life to its death, in seconds and probes: 60 + 6 * 10."""

VANISHED_AFTER = KEEPALIVE_IDLE + KEEPALIVE_INTERVAL * KEEPALIVE_PROBES
"""The same two minutes for a peer that is owed bytes, where the kernel sends no keepalive."""

UNANSWERED = 2
"""How many retransmissions or window probes in a row such a peer must have left unanswered. The kernel asks a peer
that does not read at least every 120 s, so a live one may be silent for longer than `VANISHED_AFTER`, but it never
leaves two questions open for so long."""

VANISHED_ERRORS = frozenset({errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN})

_TCP_INFO = struct.Struct("@8B24I")
_RETRANSMITS, _PROBES, _UNACKED, _LAST_ACK_RECEIVED = 2, 3, 12, 20


def prepare(sock: socket.socket) -> None:
    """Sets what a relayed socket needs: no delay, and keepalive that notices a vanished peer.

    `TCP_USER_TIMEOUT` stays off: it also kills a live peer that merely stops reading.

    :raises OSError: the socket is dead already.
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


def unacknowledged(sock: socket.socket) -> int:
    """How many bytes written to it the peer's kernel (for a Unix socket: the peer) has not taken yet; 0 if unknown."""
    try:
        return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"), sys.byteorder)
    except OSError:
        return 0


def has_died(sock: socket.socket) -> bool:
    """Whether a reset or a time-out waits to be noticed on it; until then, what it owed stays unacknowledged."""
    poll = select.poll()
    poll.register(sock, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def vanished(sock: socket.socket) -> bool:
    """Whether a TCP peer that is owed bytes has given no sign of life for two minutes, though asked.

    While bytes are unacknowledged the kernel sends no keepalive but retransmits for a quarter of an hour.
    """
    if sys.platform != "linux" or sock.family == socket.AF_UNIX:
        return False
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    except OSError:
        return False
    return len(info) == _TCP_INFO.size and looks_vanished(info)


def looks_vanished(info: bytes) -> bool:
    """`vanished()`, of the kernel's `struct tcp_info` (linux/tcp.h), whose first 104 bytes have never changed."""
    fields: tuple[int, ...] = _TCP_INFO.unpack(info)
    retransmits = fields[_RETRANSMITS] if fields[_UNACKED] else 0
    return fields[_LAST_ACK_RECEIVED] >= VANISHED_AFTER * 1000 and max(retransmits, fields[_PROBES]) >= UNANSWERED


def raise_descriptor_limit() -> tuple[int, int]:
    """Raises the soft limit of descriptors to the hard one, as far as the system lets us.

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
