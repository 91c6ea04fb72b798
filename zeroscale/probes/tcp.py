"""Probe any TCP server: by a connection, by its first bytes, by HTTP, or by a command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from zeroscale.errors import BackendError, ProtocolError
from zeroscale.probes.base import PROBE_TIMEOUT, BaseProbe, ConnectAndClose, ProbeConnection, Stage
from zeroscale.probes.pace import COMMAND, REQUEST
from zeroscale.status import ProbeResult

SHOWN = 60
"""Bytes of an unexpected answer that the log shows."""


class ResponseCheck(Protocol):
    """A request to a server, and the rule that its answer must follow. Sans-I/O."""

    @property
    def request(self) -> bytes:
        """The bytes to send first."""
        ...

    def passes(self, data: bytes) -> bool:
        """Return whether the server is up, by all bytes of its answer so far; False: more are needed.

        :raises ProtocolError: the answer is not the expected one; the message quotes it.
        """
        ...


class TcpProbe(BaseProbe):
    """Checks any TCP server.

    :param check: the expected answer; None: accepting a connection is enough.
    :param command: runs a command instead; fires with its exit code, or fails with `BackendError`.

    The other parameters are those of `BaseProbe`.
    """

    _timeout_message = "did not give {within} the answer that shows it is ready"

    def __init__(
        self,
        reactor: object,
        host: str,
        port: int,
        *,
        check: ResponseCheck | None = None,
        command: Callable[[], Deferred[int]] | None = None,
        timeout: float = PROBE_TIMEOUT,
        header: bytes = b"",
    ) -> None:
        super().__init__(reactor, host, port, timeout=timeout, header=header)
        self._check = check
        self._command = command
        self.check_pace = COMMAND if command is not None else REQUEST if check is not None else None

    def ask(self, stage: Stage = Stage.running, /) -> Deferred[ProbeResult]:
        """See `ServerProbe.ask`; the check is the same at every stage."""
        return self._in_time(self._ask(), self._timeout)

    async def _ask(self) -> ProbeResult:
        if self._command is not None:
            code = await self._command()
            if code != 0:
                raise BackendError(f"the ready command ended with exit code {code}")
        elif self._check is None:
            await self._connect(ConnectAndClose(self._header))
        else:
            connection = _CheckConnection(self._check, self._header)
            await self._connect(connection)
            await connection.passed
        return ProbeResult()


class BytesCheck:
    """Expects the first bytes of a server. Implements `ResponseCheck`.

    :param expected: the server's first bytes.
    :param request: sent first.
    """

    def __init__(self, expected: bytes, request: bytes = b"") -> None:
        self.request = request
        self._expected = expected

    def passes(self, data: bytes) -> bool:
        """Return whether the answer begins with the expected bytes."""
        if not data.startswith(self._expected[: len(data)]):
            raise ProtocolError(f"the server sent {data[:SHOWN]!r}")
        return len(data) >= len(self._expected)


class HttpStatusCheck:
    """Expects one of several HTTP statuses. Implements `ResponseCheck`.

    :param request: the GET request.
    :param read: returns the status code of an answer's beginning, or None while it is incomplete.
    :param statuses: the status codes of a server that is up.
    """

    def __init__(self, request: bytes, read: Callable[[bytes], int | None], statuses: range) -> None:
        self.request = request
        self._read = read
        self._statuses = statuses

    def passes(self, data: bytes) -> bool:
        """Return whether the status code is one of the expected ones."""
        status = self._read(data)
        if status is not None and status not in self._statuses:
            raise ProtocolError(f"the server answered with status {status}")
        return status is not None


class _CheckConnection(ProbeConnection):
    """One check on one connection.

    :param header: sent before the check's request.
    :ivar passed: fires when the check has passed, or fails with `BackendError`.
    """

    def __init__(self, check: ResponseCheck, header: bytes) -> None:
        super().__init__(header + check.request)
        self.passed: Deferred[None] = Deferred(lambda _: self._close())
        self._check = check
        self._data = b""
        self._done = False

    def dataReceived(self, data: bytes) -> None:
        if self._done:
            return
        self._data += data
        try:
            passed = self._check.passes(self._data)
        except ProtocolError as error:
            self._close()
            self.passed.errback(Failure(BackendError(str(error))))
            return
        if passed:
            self._close()
            self.passed.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self._done:
            self._done = True
            self.passed.errback(
                Failure(BackendError("the server closed the connection before its answer was complete"))
            )

    def _close(self) -> None:
        self._done = True
        self._tcp.abortConnection()
