"""Asking a Minecraft server as the server list asks: does it answer, and who is on?"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from zeroscale.errors import BackendError, ProtocolError
from zeroscale.probes.base import QUESTION_TIMEOUT, BaseProbe, Line, NoReply
from zeroscale.protocols.minecraft.client import StatusClient, StatusReceived
from zeroscale.status import ProbeResult

UNDECIDED_PROTOCOL = -1
"""The protocol number of a status handshake (docs/protocol.md, "Status"). Vanilla answers any number with its own;
ViaVersion, Velocity and BungeeCord echo a number they know, and we would take our own number for the server's."""

NAMES_READ = 100
"""Of a status's sample; vanilla sends 12 at most."""


class MinecraftProbe(BaseProbe):
    """A Minecraft server since 1.7, asked as the server list asks. Its host is named in the handshake, too.

    :param status_disabled: whether the server is told not to answer the server list. Then that it takes the question
        and closes is all it can say.

    The other parameters are `BaseProbe`'s.
    """

    _silent = "took the question and did not answer {within}"

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
        super().__init__(reactor, host, port, timeout=timeout, header=header)
        self._status_disabled = status_disabled

    async def _ask(self) -> ProbeResult:
        question = _Question(StatusClient(self._host, self._port, UNDECIDED_PROTOCOL), self._header)
        await self._connect(question)
        try:
            return await question.answer
        except NoReply:
            if not self._status_disabled():
                raise
            return ProbeResult()


class _Question(Line):
    """One connection, one question.

    :param client: speaks for us.
    :param header: sent before.
    """

    def __init__(self, client: StatusClient, header: bytes) -> None:
        super().__init__(header + client.request())
        self.answer: Deferred[ProbeResult] = Deferred(self._cancelled)
        self._client = client
        self._answered = False

    def dataReceived(self, data: bytes) -> None:
        if self._answered:
            return
        try:
            events = self._client.receive(data)
        except ProtocolError as error:
            self._tcp.abortConnection()
            self._end(Failure(BackendError(f"the server does not answer as Minecraft does: {error}")))
            return
        for event in events:
            if isinstance(event, StatusReceived):
                self._tcp.loseConnection()
                self._end(_answer(event.status))
                return

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._end(Failure(NoReply("the server took the connection and closed it without an answer")))

    def _cancelled(self, _: Deferred[ProbeResult]) -> None:
        self._answered = True
        self._tcp.abortConnection()

    def _end(self, result: ProbeResult | Failure) -> None:
        if not self._answered:
            self._answered = True
            self.answer.callback(result)


def _answer(status: Mapping[str, object]) -> ProbeResult:
    players = status.get("players")
    if not isinstance(players, Mapping):
        return ProbeResult(status)
    online = players.get("online")
    sample = players.get("sample")
    names = [
        player["name"]
        for player in (sample[:NAMES_READ] if isinstance(sample, list) else ())
        if isinstance(player, Mapping) and isinstance(player.get("name"), str)
    ]
    return ProbeResult(status, online if isinstance(online, int) and online >= 0 else None, tuple(names))
