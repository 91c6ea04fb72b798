"""Find the processes that listen on a TCP port of this machine.

Reads /proc alone; where there is none, no listener is known.
"""

from __future__ import annotations

import pwd
from collections.abc import Iterator
from dataclasses import dataclass

from zeroscale.process import procfs

LISTENING = "0A"
"""The state TCP_LISTEN in /proc/net/tcp (Linux, include/net/tcp_states.h)."""


@dataclass(frozen=True, slots=True)
class Listener:
    """One listening socket.

    :ivar inode: the socket's number in /proc/PID/fd.
    :ivar user_id: the user who opened it.
    """

    inode: int
    user_id: int


def listeners(port: int) -> list[Listener]:
    """Return the sockets that listen on the port, at any address, also those of other users' processes."""
    return [listener for table in ("tcp", "tcp6") for listener in _read(table, port)]


def processes(port: int) -> list[int]:
    """Return the processes that listen on the port, except those that we may not inspect."""
    return procfs.holders_of_sockets({listener.inode for listener in listeners(port)})


def describe(port: int) -> str | None:
    """Return who listens on the port, for a message such as "... already answers"; None: nobody is known to."""
    found = listeners(port)
    if not found:
        return None
    holders = procfs.holders_of_sockets({listener.inode for listener in found})
    if not holders:
        return f"a process of user {_user(found[0].user_id)} (`ss -ltnp` shows it to root)"
    return ", ".join(f"process {holder} ({procfs.program_name(holder) or 'unknown'})" for holder in holders)


def _read(table: str, port: int) -> Iterator[Listener]:
    try:
        lines = (procfs.PROC / "net" / table).read_bytes().decode("ascii").splitlines()[1:]
    except OSError:
        return
    for line in lines:  # sl, local address, remote address, state, queues, timer, retransmits, uid, timeout, inode
        fields = line.split()
        if len(fields) > 9 and fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
            yield Listener(inode=int(fields[9]), user_id=int(fields[7]))


def _user(user_id: int) -> str:
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return str(user_id)
