"""Probe any server that speaks UDP: by its bound port, by the answer to a question, or by a command.

Nothing shows that a datagram was taken, and few protocols answer what they do not know. On this machine the kernel is
asked whether a socket is bound to the port, which does not disturb the server. Elsewhere an empty datagram is sent,
which a machine refuses where none is.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import DNSLookupError

from zeroscale.errors import BackendError, ProtocolError, StartRefused
from zeroscale.probes import loopback
from zeroscale.probes.base import PROBE_TIMEOUT, BaseProbe, NotAccepting, Stage
from zeroscale.probes.datagram import DatagramProbe, ask_over_udp
from zeroscale.probes.pace import COMMAND, Pace
from zeroscale.reactor import Reactor
from zeroscale.status import ProbeResult

SILENCE = 3.5
"""Seconds without a refusal: Linux takes 3 to find that no machine has an address of its network."""

LOCAL_SILENCE = 0.3
"""The same on this machine, whose refusal comes at once: what takes the datagram is a port that is passed on."""

SHOWN = 60
"""Bytes of an unexpected answer that the log shows."""

IsBound = Callable[[str, int], bool]


class UdpProbe(BaseProbe):
    """Checks whether a port is bound.

    :param is_bound: whether a socket of this machine receives what is sent to this loopback address and port.
    :param command: runs a command that checks the server as well; fires with its exit code, or fails with
        `BackendError`.

    The other parameters are those of `BaseProbe`.
    """

    _timeout_message = "did not give {within} the answer that shows it is ready"

    def __init__(
        self,
        reactor: Reactor,
        host: str,
        port: int,
        *,
        is_bound: IsBound,
        command: Callable[[], Deferred[int]] | None = None,
        timeout: float = PROBE_TIMEOUT,
        header: bytes = b"",
    ) -> None:
        super().__init__(reactor, host, port, timeout=timeout, header=header)
        self._reactor: Reactor = reactor
        self._is_bound = is_bound
        self._command = command
        self.check_pace = None if command is None else COMMAND

    def ask(self, stage: Stage = Stage.running, /) -> Deferred[ProbeResult]:
        """See `ServerProbe.ask`."""
        return self._in_time(self._ask(), self._timeout)

    def may_receive(self) -> Deferred[bool]:
        """Return whether the port is bound, as far as is known: also where a machine refuses nothing, and says nothing.

        Fails as `accepts_connections` does.
        """
        return Deferred.fromCoroutine(self._receives(in_doubt=True))

    async def _ask(self) -> ProbeResult:
        if self._command is None:
            if not await self._receives(in_doubt=True):
                raise NotAccepting(f"{self._address} does not receive datagrams")
        elif (code := await self._command()) != 0:
            raise BackendError(f"the ready command ended with exit code {code}")
        return ProbeResult()

    async def _accepts(self) -> bool:
        return await self._receives(in_doubt=False)

    async def _receives(self, *, in_doubt: bool) -> bool:
        """Return whether the port is bound.

        :param in_doubt: the result where nothing shows it.
        """
        self._acceptance_problem = None
        is_local = loopback.is_loopback(self._host)
        if is_local and self._is_bound(self._host, self._port):
            return True
        asking = ask_over_udp(self._reactor, self._host, self._port, _AnyAnswer(), self._header)
        try:
            await Deferred.fromCoroutine(asking).addTimeout(LOCAL_SILENCE if is_local else SILENCE, self._clock)
        except BlockingIOError as error:
            raise StartRefused(f"{self._host} cannot be looked up: {error.strerror}") from error
        except DNSLookupError as error:
            self._acceptance_problem = error.args[0]
            return False
        except BackendError:
            return False
        except DeferredTimeout:
            # On this machine nothing is silent that is not there: such a port is passed on to another network.
            return in_doubt or is_local
        return True


class StartedProbe:
    """The probe of a server that has been started, for which silence is no sign that it is not there.

    Implements `base.ServerProbe`.
    """

    def __init__(self, probe: UdpProbe) -> None:
        self._probe = probe

    @property
    def acceptance_problem(self) -> str | None:
        """See `ServerProbe.acceptance_problem`."""
        return self._probe.acceptance_problem

    @property
    def connection_pace(self) -> Pace:
        """See `ServerProbe.connection_pace`."""
        return self._probe.connection_pace

    @property
    def check_pace(self) -> Pace | None:
        """See `ServerProbe.check_pace`."""
        return self._probe.check_pace

    def accepts_connections(self) -> Deferred[bool]:
        """Return whether the server's port is bound, as far as is known."""
        return self._probe.may_receive()

    def ask(self, stage: Stage = Stage.running, /) -> Deferred[ProbeResult]:
        """See `ServerProbe.ask`."""
        return self._probe.ask(stage)


class AnswerProbe(DatagramProbe):
    """Checks a server by a question and the beginning of its answer.

    :param request: the question.
    :param expected: the first bytes of the answer.

    The other parameters are those of `BaseProbe`.
    """

    def __init__(
        self,
        reactor: Reactor,
        host: str,
        port: int,
        *,
        request: bytes,
        expected: bytes,
        timeout: float = PROBE_TIMEOUT,
        header: bytes = b"",
    ) -> None:
        super().__init__(reactor, host, port, timeout=timeout, header=header)
        self._question = _Expected(request, expected)

    async def _result(self) -> ProbeResult:
        await self._answer(self._question)
        return ProbeResult()


class _Expected:
    """Implements `protocols.datagrams.DatagramQuery`."""

    def __init__(self, request: bytes, expected: bytes) -> None:
        self.request = request
        self._expected = expected

    def receive(self, datagram: bytes, /) -> bool:
        """Return True.

        :raises ProtocolError: it is another answer.
        """
        if not datagram.startswith(self._expected):
            raise ProtocolError(f"the server sent {datagram[:SHOWN]!r}")
        return True


class _AnyAnswer:
    """Implements `protocols.datagrams.DatagramQuery`: an empty datagram; any answer shows that there is a server."""

    request = b""

    def receive(self, datagram: bytes, /) -> bool:
        """Return True."""
        return True
