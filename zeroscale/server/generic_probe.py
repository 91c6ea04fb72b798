"""Asking any TCP server whether it is up: by what it says, by HTTP, by a command, or by a line of its output.

How it is to be asked is handed in. It knows neither why it asks nor what is done with the answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol as Interface

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from zeroscale.errors import BackendError, ProtocolError
from zeroscale.server.probe import (
    CONNECT_EVERY,
    CONNECT_TIMEOUT,
    LINELESS_GRACE,
    QUESTION_TIMEOUT,
    Probe,
    connect,
    connects,
    endpoint,
)
from zeroscale.status import Answer

logger = logging.getLogger(__name__)

QUESTION_EVERY = 1.0
"""Seconds between two questions to a starting server: a request or a process each, which a small machine feels."""

SHOWN = 60
"""Bytes of an answer that was not the expected one, in the log."""


class Examiner(Interface):
    """Judges one answer. Sans-I/O."""

    @property
    def question(self) -> bytes:
        """What the server is sent."""
        ...

    def judge(self, data: bytes) -> bool:
        """Whether it is up, by all that it has said so far; False: not yet known.

        :raises ProtocolError: it is not, and what it said instead.
        """
        ...


class GenericProbe:
    """Any TCP server. Implements `probe.Probe`.

    :param reactor: connects, and has the clock.
    :param host: an address or a name.
    :param port: its port there.
    :param examiner: judges what it says; None: that it takes a connection is enough.
    :param command: asks in its place; fires with the exit code, or fails with `BackendError`.
    :param timeout: seconds that a whole question may take.
    :param header: sent before anything else; a PROXY header where the server insists on one.
    """

    def __init__(
        self,
        reactor: object,
        host: str,
        port: int,
        *,
        examiner: Examiner | None = None,
        command: Callable[[], Deferred[int]] | None = None,
        timeout: float = QUESTION_TIMEOUT,
        header: bytes = b"",
    ) -> None:
        self._reactor = reactor
        self._clock = IReactorTime(reactor)
        self._examiner = examiner
        self._command = command
        self._timeout = timeout
        self._header = header
        self.move(host, port)

    def move(self, host: str, port: int) -> None:
        """From now on the server is there."""
        self._where = f"{host}:{port}"
        self._endpoint = endpoint(self._reactor, host, port, CONNECT_TIMEOUT)

    def connects(self) -> Deferred[bool]:
        """Whether it accepts a connection."""
        return Deferred.fromCoroutine(connects(self._endpoint, self._header))

    def ask(self) -> Deferred[Answer]:
        """Asks in the way that was handed in."""
        asked = Deferred.fromCoroutine(self._ask())
        asked.addTimeout(self._timeout, self._clock, self._timed_out)
        return asked

    async def _ask(self) -> Answer:
        if self._command is not None:
            code = await self._command()
            if code != 0:
                raise BackendError(f"the command that asks it ended with exit code {code}")
        elif self._examiner is None:
            if not await connects(self._endpoint, self._header):
                raise BackendError(f"{self._where} does not accept connections")
        else:
            question = _Question(self._examiner, self._header)
            try:
                await connect(self._endpoint, lambda: question)
            except (ConnectError, OSError) as error:
                raise BackendError(f"{self._where} does not accept connections: {error}") from error
            await question.answered
        return Answer()

    def _timed_out(self, _: object, timeout: float) -> None:
        raise TimeoutError(f"{self._where} did not say within {timeout:g} s what it says when it is ready")


class LineReadiness:
    """Waits for a starting server's ready line, and then until it accepts. For one start. See `parts.Readiness`.

    :param clock: tells when to try again.
    :param probe: connects.
    """

    def __init__(self, clock: IReactorTime, probe: Probe) -> None:
        self._clock = clock
        self._probe = probe
        self._line: Deferred[None] = Deferred()
        self._lineless = False

    @property
    def problem(self) -> str | None:
        """Why it was not ready yet."""
        return "it does not accept connections" if self._line.called else "it has not written its ready line"

    def run(self) -> Deferred[Answer]:
        """Waits for as long as it takes. May be cancelled at any moment, and leaves nothing behind."""
        return Deferred.fromCoroutine(self._run())

    def hurry(self) -> None:
        """The line is there."""
        if not self._line.called:
            self._line.callback(None)

    def lineless(self) -> None:
        """It ran before we looked: its line may have been written then, and accepting for a while is as good."""
        self._lineless = True

    async def _run(self) -> Answer:
        if self._lineless:
            await self._accepts()
            await self._wait_for_line(LINELESS_GRACE)
        else:
            await self._wait_for_line(None)
        await self._accepts()
        return Answer()

    async def _accepts(self) -> None:
        while not await self._probe.connects():
            await _pause(self._clock, CONNECT_EVERY)

    async def _wait_for_line(self, at_most: float | None) -> None:
        waiting: Deferred[None] = Deferred()

        def over(_: object) -> None:
            if not waiting.called:
                waiting.callback(None)

        self._line.addCallback(over)
        call = None if at_most is None else self._clock.callLater(at_most, over, None)
        try:
            await waiting
        finally:
            if call is not None and call.active():
                call.cancel()
        if not self._line.called:
            logger.warning("It accepts connections for %.0f s without a ready line: taken for ready", LINELESS_GRACE)


class ExpectedBytes:
    """A server that says something upon a connection. Implements `Examiner`.

    :param expected: its first bytes.
    :param question: what it is sent first.
    """

    def __init__(self, expected: bytes, question: bytes = b"") -> None:
        self.question = question
        self._expected = expected

    def judge(self, data: bytes) -> bool:
        """Whether it said that."""
        if not data.startswith(self._expected[: len(data)]):
            raise ProtocolError(f"it said {data[:SHOWN]!r}")
        return len(data) >= len(self._expected)


class HttpStatus:
    """A server that answers a GET. Implements `Examiner`.

    :param question: the request.
    :param read: reads the status from the beginning of the answer; None: it is not there yet.
    :param statuses: with one of which it is up.
    """

    def __init__(self, question: bytes, read: Callable[[bytes], int | None], statuses: range) -> None:
        self.question = question
        self._read = read
        self._statuses = statuses

    def judge(self, data: bytes) -> bool:
        """Whether it answered with one of those."""
        status = self._read(data)
        if status is not None and status not in self._statuses:
            raise ProtocolError(f"it answered with status {status}")
        return status is not None


class _Question(Protocol):
    """One connection, one question.

    :param header: sent before.
    :ivar answered: fires when the examiner is content.
    """

    def __init__(self, examiner: Examiner, header: bytes) -> None:
        self.answered: Deferred[None] = Deferred(lambda _: self._hang_up())
        self._examiner = examiner
        self._header = header
        self._data = b""
        self._over = False

    def connectionMade(self) -> None:
        self._transport().write(self._header + self._examiner.question)

    def dataReceived(self, data: bytes) -> None:
        if self._over:
            return
        self._data += data
        try:
            content = self._examiner.judge(self._data)
        except ProtocolError as error:
            self._hang_up()
            self.answered.errback(Failure(BackendError(str(error))))
            return
        if content:
            self._hang_up()
            self.answered.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self._over:
            self._over = True
            self.answered.errback(Failure(BackendError("it closed the connection before it had said what is expected")))

    def _hang_up(self) -> None:
        self._over = True
        self._transport().abortConnection()

    def _transport(self) -> ITCPTransport:
        assert self.transport is not None
        return ITCPTransport(self.transport)


async def _pause(clock: IReactorTime, seconds: float) -> None:
    paused: Deferred[None] = Deferred()
    call = clock.callLater(seconds, paused.callback, None)
    try:
        await paused
    finally:
        if call.active():
            call.cancel()
