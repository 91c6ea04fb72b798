"""The base class of probes that ask a server by the protocol of server browsers, over UDP."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred

from zeroscale.errors import BackendError
from zeroscale.probes.base import PROBE_TIMEOUT, Stage
from zeroscale.probes.datagram import DatagramProbe
from zeroscale.protocols.datagrams import DatagramQuery
from zeroscale.reactor import Reactor
from zeroscale.status import ProbeResult

EXTRA_TIMEOUT = 1.5
"""Seconds for a question that some servers never answer, and that the result does not depend on."""

MOST_NAMES = 100
"""Players whose names are kept."""

Store = Callable[[str, bytes], None]

AnswerT = TypeVar("AnswerT")


class QueryProbe(DatagramProbe):
    """Checks a server by one question, and asks more of one that has been ready: names, and what it answers asleep.

    :param store: called with each answer that a sleeping server repeats, as a name in one word and the bytes that
        `protocols` needs of it, without players.

    The other parameters are those of `BaseProbe`.
    """

    def __init__(
        self,
        reactor: Reactor,
        host: str,
        port: int,
        *,
        timeout: float = PROBE_TIMEOUT,
        header: bytes = b"",
        store: Store = lambda name, answer: None,
    ) -> None:
        super().__init__(reactor, host, port, timeout=timeout, header=header)
        self._store = store

    def ask(self, stage: Stage = Stage.running, /) -> Deferred[ProbeResult]:
        """See `ServerProbe.ask`. Of a server that may not be ready only the first question is asked."""
        first = super().ask(stage)
        return first if stage is not Stage.running else Deferred.fromCoroutine(self._ask_more(first))

    @abstractmethod
    async def _with_names(self, result: ProbeResult) -> ProbeResult:
        """Return the result with the names of the players, as far as they are known; store what else is asked."""

    async def _ask_more(self, first: Deferred[ProbeResult]) -> ProbeResult:
        return await self._with_names(await first)

    async def _extra(self, query: DatagramQuery[AnswerT]) -> AnswerT | None:
        """Ask what need not be answered; None: there is no answer in time."""
        asked = Deferred.fromCoroutine(self._answer(query))
        asked.addTimeout(EXTRA_TIMEOUT, self._clock, self._timed_out)
        try:
            return await asked
        except (BackendError, OSError):  # OSError: no answer in time, or the name cannot be looked up any more
            return None
