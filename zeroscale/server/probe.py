"""Asking the real server: is it there, does it answer, who is on? And waiting, quietly, until it first does.

A starting server is not disturbed: plain connects until it accepts, then a question now and then. It knows neither
why it asks nor what is done with the answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import NoReturn
from typing import Protocol as Interface

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from zeroscale.errors import BackendError, ProtocolError
from zeroscale.protocols.minecraft_client import StatusClient, StatusReceived
from zeroscale.status import Answer

logger = logging.getLogger(__name__)

QUESTION_TIMEOUT = 5.0
"""Seconds; a server that has bound its port but cannot answer yet leaves a question hanging."""

CONNECT_TIMEOUT = 2.0
"""Seconds; on one machine it is a matter of microseconds, but a firewall may swallow it."""

CONNECT_EVERY = 0.2
"""Seconds between two plain connects to a server that does not accept yet."""

QUESTION_EVERY = 5.0
"""Seconds between two questions to a starting server: Forge logs a line for each (lazymc#103)."""

GRACE = 0.02
"""Seconds that a question asked before the ready line has to be answered after it: an answer takes 1 ms."""

RETRIES_AFTER_LINE = (0.01, 0.04, 0.1, 0.25, 0.6, 1.0)
"""Seconds between questions after the ready line that were closed without a reply. Vanilla closes them so where the
status is off, but also from its line until its first status has been made (its handshake handler asks for both):
milliseconds, perhaps a slow tick. Two seconds later it is off."""

LINELESS_GRACE = 30.0
"""Seconds from accepting until a server with its status off, whose ready line nobody can see, counts as ready."""

UNDECIDED_PROTOCOL = -1
"""What a handshake says that only asks (PROTOCOL.md 0 and 1). Vanilla answers any number with its own; ViaVersion,
Velocity and BungeeCord echo one they know, and would have us keep our own number as the server's."""

NAMES_READ = 100
"""Of a status's sample; vanilla sends 12 at most."""


class NoReply(BackendError):
    """It took the connection and closed it without a word: its status is off, or not made yet."""


class Probe(Interface):
    """How one kind of server is asked. Both may be cancelled at any moment, and leave no connection."""

    def connects(self) -> Deferred[bool]:
        """Whether it accepts a connection, which is closed at once. Never fails."""
        ...

    def ask(self) -> Deferred[Answer]:
        """Asks once; fails with `BackendError`, or with `TimeoutError` where it does not answer in time."""
        ...


class MinecraftProbe:
    """A Minecraft server since 1.7, asked as the server list asks.

    :param reactor: connects, and has the clock.
    :param host: an address or a name; the handshake names it too.
    :param port: its port there.
    :param timeout: seconds that a whole question may take.
    :param header: sent before anything else; a PROXY header where the server insists on one.
    :param status_disabled: whether the server is told not to answer the server list. Then that it takes the question
        and closes is all it can say.
    """

    def __init__(
        self,
        reactor: object,
        host: str,
        port: int,
        *,
        timeout: float = QUESTION_TIMEOUT,
        header: bytes = b"",
        status_disabled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._reactor = reactor
        self._clock = IReactorTime(reactor)
        self._timeout = timeout
        self._header = header
        self._status_disabled = status_disabled
        self.move(host, port)

    def move(self, host: str, port: int) -> None:
        """From now on the server is there."""
        self._host = host
        self._port = port
        self._endpoint = endpoint(self._reactor, host, port, min(self._timeout, CONNECT_TIMEOUT))

    def connects(self) -> Deferred[bool]:
        """Whether it accepts a connection."""
        return Deferred.fromCoroutine(connects(self._endpoint, self._header))

    def ask(self) -> Deferred[Answer]:
        """Asks for its status."""
        asked = Deferred.fromCoroutine(self._ask())
        asked.addTimeout(self._timeout, self._clock, self._timed_out)
        return asked

    async def _ask(self) -> Answer:
        question = _Question(StatusClient(self._host, self._port, UNDECIDED_PROTOCOL), self._header)
        try:
            await connect(self._endpoint, lambda: question)
        except (ConnectError, OSError) as error:
            raise BackendError(f"{self._host}:{self._port} does not accept connections: {error}") from error
        try:
            return await question.answer
        except NoReply:
            if not self._status_disabled():
                raise
            return Answer()

    def _timed_out(self, _: object, timeout: float) -> NoReturn:
        raise TimeoutError(f"{self._host}:{self._port} took the question and did not answer within {timeout:g} s")


class Readiness:
    """Waits until a starting server answers for the first time. For one start; make a new one for the next.

    :param clock: tells when to ask again.
    :param probe: asks.
    :param status_disabled: whether the server is told not to answer the server list; asked late, for a server's first
        start writes its configuration.
    :param question_every: seconds between two questions.
    """

    def __init__(
        self,
        clock: IReactorTime,
        probe: Probe,
        *,
        status_disabled: Callable[[], bool] = lambda: False,
        question_every: float = QUESTION_EVERY,
    ) -> None:
        self._clock = clock
        self._probe = probe
        self._status_disabled = status_disabled
        self._question_every = question_every
        self._ready_line = False
        self._pause: Deferred[None] | None = None
        self._question: Deferred[Answer] | None = None
        self._grace: IDelayedCall | None = None
        self._abandoned = False
        self._problem: str | None = None

    @property
    def problem(self) -> str | None:
        """Why it was not ready when it was last asked, for the message of whoever loses patience."""
        return self._problem

    def run(self) -> Deferred[Answer]:
        """Waits for as long as it takes. May be cancelled at any moment, and leaves nothing behind."""
        return Deferred.fromCoroutine(self._run())

    def hurry(self) -> None:
        """The server has written its ready line: the next question comes at once."""
        if self._ready_line:
            return
        self._ready_line = True
        if self._pause is not None:
            self._wake()
        elif self._question is not None:
            self._grace = self._clock.callLater(GRACE, self._abandon)

    def lineless(self) -> None:
        """Its ready line may have been written before we looked: no matter, it is asked."""

    async def _run(self) -> Answer:
        retries = iter(RETRIES_AFTER_LINE)
        while True:
            while not await self._probe.connects():
                self._problem = "it does not accept connections"
                await self._sleep(CONNECT_EVERY)
            if self._status_disabled():
                return await self._line()
            asked_at = self._clock.seconds()
            asked_early = not self._ready_line
            try:
                answer = await self._ask()
            except (BackendError, TimeoutError) as error:
                self._problem = str(error)
                delay: float | None = max(asked_at + self._question_every - self._clock.seconds(), CONNECT_EVERY)
                if self._ready_line and isinstance(error, NoReply):
                    delay = 0.0 if asked_early else next(retries, None)
            else:
                if answer is not None:
                    return answer
                delay = 0.0
            if delay is None:
                logger.warning("It has written its ready line and does not answer the server list: taken for ready")
                return Answer()
            if delay > 0:
                await self._sleep(delay)

    async def _line(self) -> Answer:
        """The status is off: its ready line is all that will tell."""
        logger.info("Its status is off (enable-status=false): it is ready when it says so")
        if not self._ready_line:
            await self._sleep(LINELESS_GRACE)
        if not self._ready_line:
            logger.warning("It accepts connections for %.0f s without a ready line: taken for ready", LINELESS_GRACE)
        return Answer()

    async def _ask(self) -> Answer | None:
        """One question; None: it was asked before the ready line, and hangs."""
        self._question = self._probe.ask()
        try:
            return await self._question
        except CancelledError:
            if not self._abandoned:
                raise
            return None
        finally:
            self._question = None
            self._abandoned = False
            if self._grace is not None and self._grace.active():
                self._grace.cancel()

    def _abandon(self) -> None:
        if self._question is not None:
            self._abandoned = True
            self._question.cancel()

    async def _sleep(self, seconds: float) -> None:
        """Until the time is over, or the ready line comes."""
        self._pause = Deferred()
        call = self._clock.callLater(seconds, self._wake)
        try:
            await self._pause
        finally:
            self._pause = None
            if call.active():
                call.cancel()

    def _wake(self) -> None:
        pause, self._pause = self._pause, None
        if pause is not None:
            pause.callback(None)


class _Hello(Protocol):
    """A connection that is closed as soon as there is one.

    :param header: sent before.
    """

    def __init__(self, header: bytes) -> None:
        self._header = header

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self._header)
        self.transport.loseConnection()


class _Question(Protocol):
    """One connection, one question.

    :param client: speaks for us.
    :param header: sent before.
    """

    def __init__(self, client: StatusClient, header: bytes) -> None:
        self.answer: Deferred[Answer] = Deferred(self._cancelled)
        self._client = client
        self._header = header
        self._answered = False

    def connectionMade(self) -> None:
        self._transport().write(self._header + self._client.request())

    def dataReceived(self, data: bytes) -> None:
        if self._answered:
            return
        try:
            events = self._client.receive(data)
        except ProtocolError as error:
            self._transport().abortConnection()
            self._end(Failure(BackendError(f"the server does not answer as Minecraft does: {error}")))
            return
        for event in events:
            if isinstance(event, StatusReceived):
                self._transport().loseConnection()
                self._end(_answer(event.status))
                return

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._end(Failure(NoReply("the server took the connection and closed it without an answer")))

    def _cancelled(self, _: Deferred[Answer]) -> None:
        self._answered = True
        self._transport().abortConnection()

    def _end(self, result: Answer | Failure) -> None:
        if not self._answered:
            self._answered = True
            self.answer.callback(result)

    def _transport(self) -> ITCPTransport:
        assert self.transport is not None
        return ITCPTransport(self.transport)


async def connects(endpoint: IStreamClientEndpoint, header: bytes) -> bool:
    """Whether a server accepts a connection, which is closed at once.

    :param header: what it is sent before: one that insists on a PROXY header complains of who sends none.
    """
    try:
        await connect(endpoint, lambda: _Hello(header))
    except (ConnectError, OSError):  # OSError: a name that does not resolve
        return False
    return True


async def connect(endpoint: IStreamClientEndpoint, make: Callable[[], Protocol]) -> None:
    """One connection. Cancelled it fails with `CancelledError`, and leaves nothing behind.

    :raises ConnectError: it is not taken.
    :raises OSError: it cannot be made.
    """
    try:
        await endpoint.connect(Factory.forProtocol(make))
    except ConnectingCancelledError:  # no CancelledError, though nothing else has happened
        raise CancelledError from None


def endpoint(reactor: object, host: str, port: int, timeout: float) -> IStreamClientEndpoint:
    """Where a server listens."""
    if isIPAddress(host):
        return TCP4ClientEndpoint(reactor, host, port, timeout)
    if isIPv6Address(host):
        return TCP6ClientEndpoint(reactor, host, port, timeout)
    return HostnameEndpoint(reactor, host, port, timeout)


def _answer(status: Mapping[str, object]) -> Answer:
    players = status.get("players")
    if not isinstance(players, Mapping):
        return Answer(status)
    online = players.get("online")
    sample = players.get("sample")
    names = [
        player["name"]
        for player in (sample[:NAMES_READ] if isinstance(sample, list) else ())
        if isinstance(player, Mapping) and isinstance(player.get("name"), str)
    ]
    return Answer(status, online if isinstance(online, int) and online >= 0 else None, tuple(names))
