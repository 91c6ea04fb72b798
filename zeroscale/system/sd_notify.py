"""Telling a service manager how we are: sd_notify(3), and the watchdog's sign of life.

The protocol is a datagram of a few lines; the package that offers it on PyPI is of 2017, hides every error and would
still leave all that stands here to do. What the servers and the relay are is handed in.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from zeroscale.status import ServerSnapshot, Status
from zeroscale.system.socket_activation import Handed

logger = logging.getLogger(__name__)

LONGEST_SEND = 1.0
"""Seconds that a datagram may wait for room: the manager's queue holds a few hundred, or it is not well itself."""

STATUS_GAP = 1.0
"""Seconds between two STATUS=, at least: a hundred players who join at once are one change to who reads it."""

EXTEND_EVERY = 10.0
EXTENSION = 60.0
"""Seconds: while servers stop, the manager is asked every `EXTEND_EVERY` to wait for so long from then on."""

MOST_SERVERS = 20
LONGEST_STATUS = 1000
"""Servers, and characters: systemd takes datagrams of up to 4096 bytes, and nobody reads so long a line."""

DOWN = (Status.stopped, Status.failed)

WORDS = {Status.stopped: "sleeping"}


class Clock(Protocol):
    """What is needed of Twisted's reactor."""

    def callLater(self, delay: float, callable: Callable[..., object], /, *args: object) -> IDelayedCall:
        """Calls in so many seconds."""
        ...

    def seconds(self) -> float:
        """The time of the clock that `callLater` goes by."""
        ...


class NotifySocket:
    """Where datagrams go. Without an address it takes them and does nothing.

    :param address: as `NOTIFY_SOCKET` has it: a path, or `@` and an abstract name.
    """

    def __init__(self, address: str | None) -> None:
        self._address = None if address is None else "\0" + address[1:] if address.startswith("@") else address
        self._warned = False

    def __bool__(self) -> bool:
        return self._address is not None

    def send(self, *lines: str) -> None:
        """Sends one datagram of these lines; one that cannot be sent is logged, once."""
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as ours:
                ours.settimeout(LONGEST_SEND)
                ours.connect(self._address)
                ours.send("\n".join(lines).encode())
        except (OSError, ValueError) as error:
            if not self._warned:
                self._warned = True
                logger.warning("The service manager cannot be told how we are: %s", error)


class Notices:
    """All that a service manager is told of one proxy. Does nothing where there is none.

    :param clock: the reactor.
    :param handed: what the manager has handed to us.
    :param views: the servers as they are now.
    :param sign_of_life: asks the relay for one; fires once it has answered.
    """

    def __init__(
        self,
        clock: Clock,
        handed: Handed,
        views: Callable[[], Sequence[ServerSnapshot]],
        sign_of_life: Callable[[], Deferred[None]],
    ) -> None:
        self._clock = clock
        self._socket = NotifySocket(handed.notify_socket)
        self._views = views
        self._sign_of_life = sign_of_life
        # Twice as often as is asked for, as sd_watchdog_enabled(3) advises.
        self._feed_every = None if handed.watchdog is None else handed.watchdog / 2
        self._watchdog: IDelayedCall | None = None
        self._unanswered = False
        self._status: IDelayedCall | None = None
        self._status_at = float("-inf")
        self._last_status = ""
        self._extension: IDelayedCall | None = None
        self._is_ready = False

    def ready(self) -> None:
        """All doors are open, and servers that still run have been taken over. Also after a reload."""
        self._last_status = status_line(self._views())
        self._socket.send("READY=1", f"STATUS={self._last_status}")
        self._is_ready = True
        if self._feed_every is not None and self._watchdog is None:
            self._ask()

    def reloading(self) -> None:
        """The configuration is being read again; `ready()` is its end."""
        self._socket.send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def changed(self) -> None:
        """A server is not what it was. The manager is told soon, with what changes meanwhile."""
        if self._socket and self._is_ready and self._status is None:
            wait = self._status_at + STATUS_GAP - self._clock.seconds()
            self._status = self._clock.callLater(max(0.0, wait), self._tell_status)

    def stopping(self) -> None:
        """The servers are being stopped, which takes as long as a save does."""
        self._socket.send("STOPPING=1")
        if self._socket:
            self._extend()

    def stopped(self) -> None:
        """There is no more to tell."""
        self._is_ready = False
        for timer in (self._watchdog, self._status, self._extension):
            if timer is not None and timer.active():
                timer.cancel()

    def _tell_status(self) -> None:
        self._status = None
        self._status_at = self._clock.seconds()
        line = status_line(self._views())
        if line != self._last_status:
            self._last_status = line
            self._socket.send(f"STATUS={line}")

    def _extend(self) -> None:
        # A server that ignores SIGTERM is nothing to wait for: the manager's own time-out has the last word then.
        if any(not view.stop_timed_out and view.status not in DOWN for view in self._views()):
            self._socket.send(f"EXTEND_TIMEOUT_USEC={int(EXTENSION * 1e6)}")
        self._extension = self._clock.callLater(EXTEND_EVERY, self._extend)

    def _ask(self) -> None:
        assert self._feed_every is not None
        self._watchdog = self._clock.callLater(self._feed_every, self._ask)
        if not self._unanswered:
            self._unanswered = True
            self._sign_of_life().addCallbacks(self._feed, self._not_alive)

    def _feed(self, _: None) -> None:
        self._unanswered = False
        self._socket.send("WATCHDOG=1")

    def _not_alive(self, failure: Failure) -> None:
        logger.error("A fault in zeroscale itself: %s", failure.getTraceback())


def status_line(views: Iterable[ServerSnapshot]) -> str:
    """How the servers are, in one line for people."""
    said = [_of_one(view) for view in sorted(views, key=lambda view: view.name)]
    if len(said) > MOST_SERVERS:
        said[MOST_SERVERS:] = [f"and {len(said) - MOST_SERVERS} more"]
    line = "; ".join(said)
    return line if len(line) <= LONGEST_STATUS else line[: LONGEST_STATUS - 3] + "..."


def _of_one(view: ServerSnapshot) -> str:
    words = [f"{view.name} {WORDS.get(view.status, view.status.value)}"]
    if view.players:
        words.append("1 player" if view.players == 1 else f"{view.players} players")
    if view.stop_timed_out:
        words.append("does not stop")
    return ", ".join(words)
