"""Asking any TCP server whether it is up: by what it says, by HTTP, or by a command.

How it is to be asked is handed in. It knows neither why it asks nor what is done with the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol as Interface

from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from zeroscale.errors import BackendError, ProtocolError
from zeroscale.probes.base import QUESTION_TIMEOUT, BaseProbe, Line
from zeroscale.status import ProbeResult

QUESTION_EVERY = 1.0
"""Seconds between two questions to a starting server: a request or a process each, which a small machine feels."""

SHOWN = 60
"""Bytes of an answer that was not the expected one, in the log."""


class ResponseCheck(Interface):
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


class TcpProbe(BaseProbe):
    """Any TCP server.

    :param examiner: judges what it says; None: that it takes a connection is enough.
    :param command: asks in its place; fires with the exit code, or fails with `BackendError`.

    The other parameters are `BaseProbe`'s.
    """

    _silent = "did not say {within} what it says when it is ready"

    def __init__(
        self,
        reactor: object,
        host: str,
        port: int,
        *,
        examiner: ResponseCheck | None = None,
        command: Callable[[], Deferred[int]] | None = None,
        timeout: float = QUESTION_TIMEOUT,
        header: bytes = b"",
    ) -> None:
        super().__init__(reactor, host, port, timeout=timeout, header=header)
        self._examiner = examiner
        self._command = command

    async def _ask(self) -> ProbeResult:
        if self._command is not None:
            code = await self._command()
            if code != 0:
                raise BackendError(f"the command that asks it ended with exit code {code}")
        elif self._examiner is None:
            if not await self._accepts():
                raise BackendError(f"{self._where} does not accept connections")
        else:
            question = _Question(self._examiner, self._header)
            await self._connect(question)
            await question.answered
        return ProbeResult()


class ExpectedBytes:
    """A server that says something upon a connection. Implements `ResponseCheck`.

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
    """A server that answers a GET. Implements `ResponseCheck`.

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


class _Question(Line):
    """One connection, one question.

    :param header: sent before.
    :ivar answered: fires when the examiner is content.
    """

    def __init__(self, examiner: ResponseCheck, header: bytes) -> None:
        super().__init__(header + examiner.question)
        self.answered: Deferred[None] = Deferred(lambda _: self._hang_up())
        self._examiner = examiner
        self._data = b""
        self._over = False

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
        self._tcp.abortConnection()
