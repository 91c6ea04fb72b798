"""Asking a real server, whatever it speaks: where it is, whether it accepts, and how long a question may take.

What is asked is a subclass's. It knows neither why it asks nor what is done with the answer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NoReturn
from typing import Protocol as Interface

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint, ITCPTransport
from twisted.internet.protocol import Factory, Protocol

from zeroscale.errors import BackendError
from zeroscale.status import ProbeResult

QUESTION_TIMEOUT = 5.0
"""Seconds; a server that has bound its port but cannot answer yet leaves a question hanging."""

CONNECT_TIMEOUT = 2.0
"""Seconds; on one machine it is a matter of microseconds, but a firewall may swallow it."""


class NoReply(BackendError):
    """It took the connection and closed it without a word: its status is off, or not made yet."""


class Probe(Interface):
    """How one kind of server is asked. Both may be cancelled at any moment, and leave no connection."""

    def connects(self) -> Deferred[bool]:
        """Whether it accepts a connection, which is closed at once. Never fails."""
        ...

    def ask(self) -> Deferred[ProbeResult]:
        """Asks once; fails with `BackendError`, or with `TimeoutError` where it does not answer in time."""
        ...


class BaseProbe(ABC):
    """What all probes of ours share. Implements `Probe`.

    :param reactor: connects, and has the clock.
    :param host: an address or a name.
    :param port: its port there.
    :param timeout: seconds that a whole question may take.
    :param header: sent before anything else; a PROXY header where the server insists on one.
    """

    _silent: str
    """What a server does that does not answer in time, for the message."""

    def __init__(
        self, reactor: object, host: str, port: int, *, timeout: float = QUESTION_TIMEOUT, header: bytes = b""
    ) -> None:
        self._reactor = reactor
        self._clock = IReactorTime(reactor)
        self._timeout = timeout
        self._header = header
        self.move(host, port)

    def move(self, host: str, port: int) -> None:
        """From now on the server is there."""
        self._host = host
        self._port = port
        self._endpoint = _endpoint(self._reactor, host, port, min(self._timeout, CONNECT_TIMEOUT))

    def connects(self) -> Deferred[bool]:
        """Whether it accepts a connection."""
        return Deferred.fromCoroutine(self._accepts())

    def ask(self) -> Deferred[ProbeResult]:
        """Asks once."""
        asked = Deferred.fromCoroutine(self._ask())
        asked.addTimeout(self._timeout, self._clock, self._timed_out)
        return asked

    @abstractmethod
    async def _ask(self) -> ProbeResult:
        """One question, however long it takes.

        :raises BackendError: the server does not accept a connection, or is not up by what it says.
        """

    async def _accepts(self) -> bool:
        try:
            await _connect(self._endpoint, lambda: _Knock(self._header))
        except (ConnectError, OSError):  # OSError: a name that does not resolve
            return False
        return True

    async def _connect(self, line: Line) -> None:
        """Connects, to ask.

        :raises BackendError: the server does not accept.
        """
        try:
            await _connect(self._endpoint, lambda: line)
        except (ConnectError, OSError) as error:
            raise BackendError(f"{self._where} does not accept connections: {error}") from error

    @property
    def _where(self) -> str:
        return f"{self._host}:{self._port}"

    def _timed_out(self, _: object, timeout: float) -> NoReturn:
        raise TimeoutError(f"{self._where} {self._silent.format(within=f'within {timeout:g} s')}")


class Line(Protocol):
    """One connection of ours to a server.

    :param opening: what is said first.
    """

    def __init__(self, opening: bytes) -> None:
        self._opening = opening

    def connectionMade(self) -> None:
        self._tcp.write(self._opening)

    @property
    def _tcp(self) -> ITCPTransport:
        assert self.transport is not None
        return ITCPTransport(self.transport)


class _Knock(Line):
    """A connection that is closed as soon as there is one.

    The header goes first all the same: a server that insists on a PROXY header complains of who sends none.
    """

    def connectionMade(self) -> None:
        super().connectionMade()
        self._tcp.loseConnection()


async def _connect(endpoint: IStreamClientEndpoint, make: Callable[[], Line]) -> None:
    """One connection. Cancelled it fails with `CancelledError`, and leaves nothing behind.

    :raises ConnectError: it is not taken.
    :raises OSError: it cannot be made.
    """
    try:
        await endpoint.connect(Factory.forProtocol(make))
    except ConnectingCancelledError:  # no CancelledError, though nothing else has happened
        raise CancelledError from None


def _endpoint(reactor: object, host: str, port: int, timeout: float) -> IStreamClientEndpoint:
    """Where a server listens."""
    if isIPAddress(host):
        return TCP4ClientEndpoint(reactor, host, port, timeout)
    if isIPv6Address(host):
        return TCP6ClientEndpoint(reactor, host, port, timeout)
    return HostnameEndpoint(reactor, host, port, timeout)
