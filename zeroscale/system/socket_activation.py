"""What a service manager hands to its service: open sockets, where to report, how often to show a sign of life.

It comes by the environment (sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3)) and is taken out of it, so that no
program that a plugin starts takes it for its own. Knows nothing of what becomes of it.
"""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass

FIRST_DESCRIPTOR = 3
"""sd_listen_fds(3): `SD_LISTEN_FDS_START`."""

MOST_SOCKETS = 4096
"""Far above what a unit may list; a number that is greater is no number of sockets."""

UNNAMED = "unknown"
"""sd_listen_fds(3): what a socket is called that was given no name."""


@dataclass(frozen=True, slots=True)
class HandedSocket:
    """A socket that listens already.

    :ivar name: its `FileDescriptorName=`; where the unit gives none, the unit's own name.
    :ivar descriptor: ours for as long as the process lives; to be duplicated, not closed.
    """

    name: str
    descriptor: int


@dataclass(frozen=True, slots=True)
class Handed:
    """All of it.

    :ivar sockets: in the order in which they were handed over.
    :ivar notify_socket: where to report, as `NOTIFY_SOCKET` has it; None: nobody wants to hear.
    :ivar watchdog: seconds within which a sign of life is expected, again and again; None: it is not.
    """

    sockets: tuple[HandedSocket, ...] = ()
    notify_socket: str | None = None
    watchdog: float | None = None


@functools.cache
def handed() -> Handed:
    """What this process was handed. The first call takes it: to be made before children are started."""
    return take(os.environ, os.getpid())


def take(environment: MutableMapping[str, str], process_id: int) -> Handed:
    """Takes it out of an environment; what is meant for another process is only taken out.

    :param process_id: ours.
    """
    sockets = _take_sockets(environment, process_id)
    notify_socket = environment.pop("NOTIFY_SOCKET", None) or None
    microseconds = _number(environment.pop("WATCHDOG_USEC", ""))
    meant_for = environment.pop("WATCHDOG_PID", str(process_id))
    watched = notify_socket is not None and microseconds > 0 and meant_for == str(process_id)
    return Handed(sockets, notify_socket, microseconds / 1e6 if watched else None)


def _take_sockets(environment: MutableMapping[str, str], process_id: int) -> tuple[HandedSocket, ...]:
    said = environment.pop("LISTEN_FDNAMES", "")
    names = said.split(":") if said else []
    # Where Twisted's endpoints were imported before, as twistd may, these two are taken already. It leaves the names.
    meant_for = environment.pop("LISTEN_PID", str(process_id))
    number = min(_number(environment.pop("LISTEN_FDS", str(len(names)))), MOST_SOCKETS)
    environment.pop("LISTEN_PIDFDID", None)
    if meant_for != str(process_id):
        return ()
    found = []
    for index in range(number):
        descriptor = FIRST_DESCRIPTOR + index
        if _is_listening(descriptor):
            os.set_inheritable(descriptor, False)
            found.append(HandedSocket(names[index] if index < len(names) else UNNAMED, descriptor))
    return tuple(found)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() else 0


def _is_listening(descriptor: int) -> bool:
    """Whether it is a stream socket that listens: a socket unit may hold others, and none of them is for us."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as ours:
            listens = ours.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            return bool(listens) and ours.type == socket.SOCK_STREAM
    except OSError:
        return False
