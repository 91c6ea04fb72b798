"""Ask a server over UDP: a question that is repeated until it is answered, and the base class of probes that do so."""

from __future__ import annotations

import socket
from abc import abstractmethod
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from zeroscale.errors import BackendError, ProtocolError, StartRefused
from zeroscale.probes.base import BaseProbe, NotAccepting, Stage
from zeroscale.probes.pace import REQUEST
from zeroscale.protocols.datagrams import DatagramQuery, NextRequest
from zeroscale.reactor import Reactor
from zeroscale.sockets.datagram_socket import LARGEST, connect_datagrams
from zeroscale.status import ProbeResult
from zeroscale.system.host_endpoint import is_address, resolve

REPEAT_AFTER, REPEAT_AT_MOST = 0.25, 1.0
"""Seconds until a question is asked again: at first, and at most; in between twice as long each time."""

MOST_AT_ONCE = 64
"""Datagrams read before other work of the reactor: the answer to one question has fewer."""

ACCEPT_TIMEOUT = 1.0
"""Seconds for the answer of a server that may not run, where its machine does not say that its port is closed."""

AnswerT = TypeVar("AnswerT")


async def ask_over_udp(
    reactor: Reactor, host: str, port: int, query: DatagramQuery[AnswerT], header: bytes = b""
) -> AnswerT:
    """Ask a server again and again until it answers. May be cancelled, and then leaves no socket.

    :param host: an address or a name, whose first address is asked that does not refuse.
    :param header: sent before the first datagram, as a part of it: a PROXY header, where the server requires one.
    :raises NotAccepting: its machine says that the port is closed, or there is no route to it.
    :raises BlockingIOError: the name cannot be looked up, since there may be no more threads.
    :raises DNSLookupError: the name has no address.
    """
    addresses = [host] if is_address(host) else [each.host for each in await resolve(reactor, host, port)]
    for address in addresses[:-1]:
        try:
            return await _ask(reactor, address, port, query, header)
        except NotAccepting:
            continue
    return await _ask(reactor, addresses[-1], port, query, header)


def _ask(reactor: Reactor, address: str, port: int, query: DatagramQuery[AnswerT], header: bytes) -> Deferred[AnswerT]:
    exchange = _Exchange(reactor, address, port, query, header)
    exchange.start()
    return exchange.answered


class DatagramProbe(BaseProbe):
    """Checks a server by a question over UDP. It accepts connections if it answers.

    The parameters are those of `BaseProbe`.
    """

    check_pace = REQUEST
    _timeout_message = "did not answer {within}"

    def __init__(self, reactor: Reactor, host: str, port: int, *, timeout: float, header: bytes = b"") -> None:
        super().__init__(reactor, host, port, timeout=timeout, header=header)
        self._reactor: Reactor = reactor

    def ask(self, stage: Stage = Stage.running, /) -> Deferred[ProbeResult]:
        """See `ServerProbe.ask`; the question is the same at every stage."""
        return self._in_time(self._ask_once(), self._timeout)

    @abstractmethod
    async def _result(self) -> ProbeResult:
        """Ask the server with `_answer`, and return what it says."""

    async def _answer(self, query: DatagramQuery[AnswerT]) -> AnswerT:
        return await ask_over_udp(self._reactor, self._host, self._port, query, self._header)

    async def _ask_once(self) -> ProbeResult:
        try:
            return await self._result()
        except (DNSLookupError, BlockingIOError) as error:
            raise BackendError(f"{self._host} cannot be looked up: {error}") from error

    async def _accepts(self) -> bool:
        self._acceptance_problem = None
        try:
            await self._in_time(self._result(), min(ACCEPT_TIMEOUT, self._timeout))
        except BlockingIOError as error:
            raise StartRefused(f"{self._host} cannot be looked up: {error.strerror}") from error
        except DNSLookupError as error:
            self._acceptance_problem = error.args[0]
            return False
        except (BackendError, TimeoutError) as error:
            self._acceptance_problem = str(error)
            return False
        return True


@implementer(IReadDescriptor)
class _Exchange(Generic[AnswerT]):
    """One question to one address, on a socket of its own.

    :ivar answered: fires with the answer, or fails with `NotAccepting`.
    """

    def __init__(self, reactor: Reactor, address: str, port: int, query: DatagramQuery[AnswerT], header: bytes) -> None:
        self._reactor = reactor
        self._address = address, port
        self._query = query
        self._header = header
        self._request = query.request
        self._interval = REPEAT_AFTER
        self._timer: IDelayedCall | None = None
        self._socket: socket.socket | None = None
        self.answered: Deferred[AnswerT] = Deferred(lambda _: self._close())

    def start(self) -> None:
        """Send the question."""
        try:
            self._socket = connect_datagrams(*self._address)
        except OSError as error:
            self._fail(error)
            return
        self._reactor.addReader(self)
        self._send()
        self.doRead()  # the refusal of a closed port on this machine is there already

    def doRead(self) -> None:
        """Read datagrams; called by the reactor."""
        for _ in range(MOST_AT_ONCE):
            if self._socket is None:
                return
            try:
                datagram = self._socket.recv(LARGEST)
            except BlockingIOError:
                return
            except OSError as error:
                self._fail(error)
                return
            self._receive(datagram)

    def fileno(self) -> int:
        """Return the socket's descriptor; called by the reactor."""
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        """Return the name in Twisted's log."""
        return "probe"

    def connectionLost(self, reason: Failure) -> None:
        """Close: the reactor stops."""
        self._close()

    def _receive(self, datagram: bytes) -> None:
        try:
            answer = self._query.receive(datagram)
        except ProtocolError:
            return  # anyone on the way could have sent it
        if isinstance(answer, NextRequest):
            self._request, self._interval = answer.request, REPEAT_AFTER
            self._send()
        elif answer is not None:
            self._close()
            self.answered.callback(answer)

    def _send(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        if self._socket is None:
            return
        header, self._header = self._header, b""
        try:
            self._socket.send(header + self._request)
        except OSError as error:
            self._fail(error)
            return
        self._timer = self._reactor.callLater(self._interval, self._send)
        self._interval = min(2 * self._interval, REPEAT_AT_MOST)

    def _fail(self, error: OSError) -> None:
        self._close()
        host, port = self._address
        problem = NotAccepting(f"{host}:{port} does not receive datagrams: {error.strerror}")
        problem.__cause__ = error
        self.answered.errback(Failure(problem))

    def _close(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._socket is not None:
            self._reactor.removeReader(self)
            self._socket.close()
            self._socket = None
