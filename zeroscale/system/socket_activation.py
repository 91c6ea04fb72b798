"""The data that a service manager passes to its service: open sockets, the notify socket, the watchdog interval.

It comes in the environment (sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3)) and is removed from it, so that no
child process takes it for its own.
"""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import MutableMapping

from msgspec import Struct

FIRST_DESCRIPTOR = 3
"""sd_listen_fds(3): `SD_LISTEN_FDS_START`."""

MOST_SOCKETS = 4096
"""More than a unit can list; a larger number is ignored."""

UNNAMED = "unknown"
"""sd_listen_fds(3): the name of a socket without a name."""


class InheritedSocket(Struct, frozen=True):
    """A listening socket that the service manager opened.

    :ivar name: its `FileDescriptorName=`; where the unit gives none, the name of the unit.
    :ivar descriptor: open for as long as the process lives; duplicate it, do not close it.
    :ivar datagrams: it is a UDP socket, which does not listen but is bound.
    """

    name: str
    descriptor: int
    datagrams: bool = False


class ServiceManagerEnvironment(Struct, frozen=True):
    """The data that the service manager passed to this process.

    :ivar sockets: the listening sockets, in the order of the unit.
    :ivar notify_socket: the value of `NOTIFY_SOCKET`; None: notifications are not expected.
    :ivar watchdog: seconds within which each heartbeat is expected; None: there is no watchdog.
    """

    sockets: tuple[InheritedSocket, ...] = ()
    notify_socket: str | None = None
    watchdog: float | None = None


@functools.cache
def service_manager_environment() -> ServiceManagerEnvironment:
    """Return what was passed to this process.

    The first call removes it from the environment; make it before any child is started.
    """
    return pop_environment(os.environ, os.getpid())


def pop_environment(environment: MutableMapping[str, str], process_id: int) -> ServiceManagerEnvironment:
    """Remove the service manager's variables from an environment and return their content.

    Variables that are meant for another process are removed and ignored.

    :param process_id: the id of this process.
    """
    sockets = _take_sockets(environment, process_id)
    notify_socket = environment.pop("NOTIFY_SOCKET", None) or None
    microseconds = _number(environment.pop("WATCHDOG_USEC", ""))
    meant_for = environment.pop("WATCHDOG_PID", str(process_id))
    watched = notify_socket is not None and microseconds > 0 and meant_for == str(process_id)
    return ServiceManagerEnvironment(sockets, notify_socket, microseconds / 1e6 if watched else None)


def _take_sockets(environment: MutableMapping[str, str], process_id: int) -> tuple[InheritedSocket, ...]:
    listed = environment.pop("LISTEN_FDNAMES", "")
    names = listed.split(":") if listed else []
    # Twisted's endpoints, which twistd may have imported before, remove LISTEN_PID and LISTEN_FDS, but not the names.
    meant_for = environment.pop("LISTEN_PID", str(process_id))
    number = min(_number(environment.pop("LISTEN_FDS", str(len(names)))), MOST_SOCKETS)
    environment.pop("LISTEN_PIDFDID", None)
    if meant_for != str(process_id):
        return ()
    found = []
    for index in range(number):
        descriptor = FIRST_DESCRIPTOR + index
        kind = _kind(descriptor)
        if kind is not None:
            os.set_inheritable(descriptor, False)
            name = names[index] if index < len(names) else UNNAMED
            found.append(InheritedSocket(name, descriptor, kind == socket.SOCK_DGRAM))
    return tuple(found)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() else 0


def _kind(descriptor: int) -> int | None:
    """Return the type of a listening stream socket, or of a UDP one; None: it is another one, which is ignored."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as duplicate:
            if duplicate.type == socket.SOCK_DGRAM:
                return duplicate.type if duplicate.family in (socket.AF_INET, socket.AF_INET6) else None
            listens = duplicate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            return duplicate.type if listens and duplicate.type == socket.SOCK_STREAM else None
    except OSError:
        return None
