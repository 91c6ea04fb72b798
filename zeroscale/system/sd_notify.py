"""Notify a service manager: readiness, status, stopping and the watchdog, by sd_notify(3).

The protocol is a datagram of a few lines. The packages on PyPI that offer it hide errors and cover only the sending.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from zeroscale.status import ServerSnapshot, Status
from zeroscale.system.socket_activation import ServiceManagerEnvironment

logger = logging.getLogger("zeroscale.system")

LONGEST_SEND = 1.0
"""Seconds that sending may block: the service manager's queue holds a few hundred datagrams."""

STATUS_GAP = 1.0
"""Least seconds between two STATUS= notifications, so that a hundred joins at once are one notification."""

EXTEND_EVERY = 10.0
EXTENSION = 60.0
"""Seconds: while servers stop, every `EXTEND_EVERY` the service manager is asked to wait another `EXTENSION`."""

MOST_SERVERS = 20
LONGEST_STATUS = 1000
"""Servers and characters in STATUS=: systemd accepts datagrams of up to 4096 bytes."""

DOWN = (Status.stopped, Status.failed)

STATUS_WORDS = {Status.stopped: "sleeping"}


class NotifySocket:
    """The service manager's notification socket. Without an address, sending does nothing.

    :param address: the value of `NOTIFY_SOCKET`: a path, or `@` and an abstract name.
    """

    def __init__(self, address: str | None) -> None:
        self._address = None if address is None else "\0" + address[1:] if address.startswith("@") else address
        self._warned = False

    def __bool__(self) -> bool:
        return self._address is not None

    def send(self, *lines: str) -> None:
        """Send one datagram of these lines. Only the first failure is logged."""
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(LONGEST_SEND)
                sender.connect(self._address)
                sender.send("\n".join(lines).encode())
        except (OSError, ValueError) as error:
            if not self._warned:
                self._warned = True
                logger.warning("Cannot notify the service manager: %s", error)


class ServiceNotifier:
    """The notifications of one proxy to its service manager. Does nothing where there is none.

    :param clock: the reactor's clock.
    :param environment: what the service manager passed to this process.
    :param snapshots: returns the servers as they are now.
    :param heartbeat: asks the relay for an answer; fires once it has answered.
    """

    def __init__(
        self,
        clock: IReactorTime,
        environment: ServiceManagerEnvironment,
        snapshots: Callable[[], Sequence[ServerSnapshot]],
        heartbeat: Callable[[], Deferred[None]],
    ) -> None:
        self._clock = clock
        self._socket = NotifySocket(environment.notify_socket)
        self._snapshots = snapshots
        self._heartbeat = heartbeat
        # Twice as often as is asked for, as sd_watchdog_enabled(3) advises.
        self._feed_every = None if environment.watchdog is None else environment.watchdog / 2
        self._watchdog: IDelayedCall | None = None
        self._unanswered = False
        self._status: IDelayedCall | None = None
        self._status_at = float("-inf")
        self._last_status = ""
        self._extension: IDelayedCall | None = None
        self._is_ready = False

    def ready(self) -> None:
        """Notify that every port is open and running servers are adopted; also the end of a reload."""
        self._last_status = status_line(self._snapshots())
        self._socket.send("READY=1", f"STATUS={self._last_status}")
        self._is_ready = True
        if self._feed_every is not None and self._watchdog is None:
            self._request_heartbeat()

    def reloading(self) -> None:
        """Notify that a reload has begun; `ready()` ends it."""
        self._socket.send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def changed(self) -> None:
        """Notify soon that a server has changed; changes within `STATUS_GAP` are one notification."""
        if self._socket and self._is_ready and self._status is None:
            wait = self._status_at + STATUS_GAP - self._clock.seconds()
            self._status = self._clock.callLater(max(0.0, wait), self._send_status)

    def stopping(self) -> None:
        """Notify that the servers are being stopped, and ask for more time until they have stopped."""
        self._socket.send("STOPPING=1")
        if self._socket:
            self._extend()

    def stopped(self) -> None:
        """Cancel all timers; nothing is sent any more."""
        self._is_ready = False
        for timer in (self._watchdog, self._status, self._extension):
            if timer is not None and timer.active():
                timer.cancel()

    def _send_status(self) -> None:
        self._status = None
        self._status_at = self._clock.seconds()
        line = status_line(self._snapshots())
        if line != self._last_status:
            self._last_status = line
            self._socket.send(f"STATUS={line}")

    def _extend(self) -> None:
        # No more time is requested for a server that ignores SIGTERM: the service manager's own time-out applies then.
        if any(not snapshot.stop_timed_out and snapshot.status not in DOWN for snapshot in self._snapshots()):
            self._socket.send(f"EXTEND_TIMEOUT_USEC={int(EXTENSION * 1e6)}")
        self._extension = self._clock.callLater(EXTEND_EVERY, self._extend)

    def _request_heartbeat(self) -> None:
        assert self._feed_every is not None
        self._watchdog = self._clock.callLater(self._feed_every, self._request_heartbeat)
        if not self._unanswered:
            self._unanswered = True
            self._heartbeat().addCallbacks(self._send_heartbeat, self._heartbeat_failed)

    def _send_heartbeat(self, _: None) -> None:
        self._unanswered = False
        self._socket.send("WATCHDOG=1")

    def _heartbeat_failed(self, failure: Failure) -> None:
        logger.error("A fault in zeroscale itself: %s", failure.getTraceback())


def status_line(snapshots: Iterable[ServerSnapshot]) -> str:
    """Return the state of the servers in one line."""
    statuses = [_server_status(snapshot) for snapshot in sorted(snapshots, key=lambda snapshot: snapshot.name)]
    if len(statuses) > MOST_SERVERS:
        statuses[MOST_SERVERS:] = [f"and {len(statuses) - MOST_SERVERS} more"]
    line = "; ".join(statuses)
    return line if len(line) <= LONGEST_STATUS else line[: LONGEST_STATUS - 3] + "..."


def _server_status(snapshot: ServerSnapshot) -> str:
    words = [f"{snapshot.name} {STATUS_WORDS.get(snapshot.status, snapshot.status.value)}"]
    if snapshot.players:
        words.append("1 player" if snapshot.players == 1 else f"{snapshot.players} players")
    if snapshot.stop_timed_out:
        words.append("does not stop")
    return ", ".join(words)
