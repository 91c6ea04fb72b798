"""Shared code of all probes: the server's address, connections to it, and the timeout of one check.

Subclasses define what is asked. No module of this package decides what is done with the result.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from enum import Enum
from typing import Any, NoReturn, Protocol

from twisted.internet import protocol
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint, ITCPTransport

from zeroscale.errors import BackendError, StartRefused
from zeroscale.probes import loopback, pace
from zeroscale.probes.pace import Pace
from zeroscale.status import ProbeResult
from zeroscale.system.host_endpoint import host_endpoint

PROBE_TIMEOUT = 5.0
"""Seconds for one check: a server that has bound its port may not answer yet."""

CONNECT_TIMEOUT = 2.0
"""Seconds for one connection, which a firewall may drop without an answer."""


class Stage(Enum):
    """What is known of the server that is asked."""

    starting = "it may not be ready"
    said_ready = "it has written its ready line"
    running = "it has been ready"


class NotAccepting(BackendError):
    """The server does not accept connections."""


class NoReply(BackendError):
    """The server accepted the connection and closed it without a byte: its status is off, or not made yet."""


class SilentStatus(TimeoutError):
    """The server accepted status requests and answered none of them in time."""


class ServerProbe(Protocol):
    """Checks one server. Both methods may be cancelled at any time, and then leave no connection."""

    @property
    def acceptance_problem(self) -> str | None:
        """Why the server did not accept the last connection, where more is known than that it did not; else None."""
        ...

    @property
    def connection_pace(self) -> Pace:
        """How often `accepts_connections` is called while the server does not accept one."""
        ...

    @property
    def check_pace(self) -> Pace | None:
        """How often `ask` is called once the server accepts connections; None: then it is ready, and is not asked."""
        ...

    def accepts_connections(self) -> Deferred[bool]:
        """Return whether the server accepts a connection, which is closed at once.

        Fails with `StartRefused`, and no other error, where its name cannot be looked up, since there may be no more
        threads: then it cannot be known.
        """
        ...

    def ask(self, stage: Stage = Stage.running, /) -> Deferred[ProbeResult]:
        """Check the server once; fail with `BackendError`, or with `TimeoutError` if it does not answer in time."""
        ...


class BaseProbe(ABC):
    """The base class of probes. Implements `ServerProbe`.

    :param reactor: makes connections and has the clock.
    :param host: the server's address or name.
    :param port: the server's port.
    :param timeout: seconds for one check.
    :param header: sent before anything else: a PROXY header, where the server requires one.
    """

    check_pace: Pace | None
    """See `ServerProbe.check_pace`."""

    _timeout_message: str
    """What a server that times out has done; `{within}` is the time."""

    _timeout_error: type[TimeoutError] = TimeoutError
    """Raised with that message."""

    def __init__(
        self, reactor: object, host: str, port: int, *, timeout: float = PROBE_TIMEOUT, header: bytes = b""
    ) -> None:
        self._reactor = reactor
        self._clock = IReactorTime(reactor)
        self._timeout = timeout
        self._header = header
        self.set_address(host, port)

    def set_address(self, host: str, port: int) -> None:
        """Check the server at this address from now on."""
        self._host = host
        self._port = port
        self._acceptance_problem: str | None = None
        self._endpoint = host_endpoint(self._reactor, host, port, min(self._timeout, CONNECT_TIMEOUT))

    @property
    def connection_pace(self) -> Pace:
        """See `ServerProbe.connection_pace`."""
        return pace.LOCAL_CONNECTION if loopback.is_loopback(self._host) else pace.REMOTE_CONNECTION

    @property
    def acceptance_problem(self) -> str | None:
        """See `ServerProbe.acceptance_problem`."""
        return self._acceptance_problem

    def accepts_connections(self) -> Deferred[bool]:
        """See `ServerProbe.accepts_connections`."""
        return Deferred.fromCoroutine(self._accepts())

    @abstractmethod
    def ask(self, stage: Stage = Stage.running, /) -> Deferred[ProbeResult]:
        """See `ServerProbe.ask`."""

    def _in_time(self, check: Coroutine[Deferred[Any], Any, ProbeResult], seconds: float) -> Deferred[ProbeResult]:
        """Run a check; fail with `TimeoutError` if it takes longer."""
        result = Deferred.fromCoroutine(check)
        result.addTimeout(seconds, self._clock, self._timed_out)
        return result

    async def _accepts(self) -> bool:
        accepted = loopback.accepts(self._host, self._port, self._header)
        if accepted is not None:
            return accepted
        try:
            await _connect(self._endpoint, lambda: ConnectAndClose(self._header))
        except BlockingIOError as error:
            raise StartRefused(f"{self._host} cannot be looked up: {error.strerror}") from error
        except DNSLookupError as error:
            self._acceptance_problem = error.args[0]
            return False
        except (ConnectError, OSError):
            self._acceptance_problem = None
            return False
        self._acceptance_problem = None
        return True

    async def _connect(self, connection: ProbeConnection) -> None:
        """Open a connection.

        :raises NotAccepting: the server does not accept it.
        """
        try:
            await _connect(self._endpoint, lambda: connection)
        except (ConnectError, OSError) as error:
            raise NotAccepting(f"{self._address} does not accept connections: {error}") from error

    @property
    def _address(self) -> str:
        return f"{self._host}:{self._port}"

    def _timed_out(self, _: object, timeout: float) -> NoReturn:
        raise self._timeout_error(f"{self._address} {self._timeout_message.format(within=f'within {timeout:g} s')}")


class ProbeConnection(protocol.Protocol):
    """One connection of a probe.

    :param request: the first bytes to send.
    """

    def __init__(self, request: bytes) -> None:
        self._request = request

    def connectionMade(self) -> None:
        """Send the request."""
        self._tcp.write(self._request)

    @property
    def _tcp(self) -> ITCPTransport:
        assert self.transport is not None
        return ITCPTransport(self.transport)


class ConnectAndClose(ProbeConnection):
    """A connection that is closed at once, after the header: a server that requires one would log its absence."""

    def connectionMade(self) -> None:
        """Send the header, and close."""
        super().connectionMade()
        self._tcp.loseConnection()


async def _connect(endpoint: IStreamClientEndpoint, make: Callable[[], ProbeConnection]) -> None:
    """Open a connection; when cancelled, fail with `CancelledError` and leave none.

    :raises ConnectError: it is not accepted.
    :raises OSError: the name does not resolve, or the system refuses.
    """
    try:
        await endpoint.connect(protocol.Factory.forProtocol(make))
    except ConnectingCancelledError:  # not a CancelledError, although only a cancellation causes it
        raise CancelledError from None
