"""Like `factory`, for ports on which server browsers query a server: their conversations and probes.

Imported only where a server has such a port.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from zeroscale.config.model import PortConfig
from zeroscale.errors import ProtocolError
from zeroscale.frontend.interfaces import Backend
from zeroscale.protocols import gamespy_query, quake_query, source_query
from zeroscale.protocols.conversation import StatusReply
from zeroscale.protocols.datagrams import Answer, DatagramConversation
from zeroscale.protocols.minecraft.text_component import plain
from zeroscale.protocols.query_conversation import AnswerQuery, QueryConversation

if TYPE_CHECKING:
    from zeroscale.proxy.server_port import ServerPort
    from zeroscale.state.answer_cache import AnswerCache

BETWEEN = " - "
"""Between the server's own name and our text. Both are in one line, of which lists show the beginning."""

LEAST_NAME = 12
"""Characters of the server's own name that remain, whatever the length of our text."""


class StoredAnswers:
    """The last answers of one port's server on disk, by the names of the probes.

    :param port: its configuration.
    :param cache: keeps the answers.
    """

    def __init__(self, port: PortConfig, cache: AnswerCache) -> None:
        self._prefix = port.protocol
        self._suffix = "main" if port.is_main else port.server_port
        self._cache = cache

    def load(self, name: str) -> bytes:
        """Return an answer; empty: there is none."""
        return self._cache.load(self._key(name)) or b""

    def store(self, name: str, answer: bytes) -> None:
        """Store an answer."""
        self._cache.store(self._key(name), answer)

    def _key(self, name: str) -> str:
        return f"{self._prefix}-{name}-{self._suffix}"


class SleepingName:
    """What a sleeping server is called: its own name and our text, or only our text.

    :param backend: the server; what changes in it counts at once.
    :param now: the time of the clock that the server's times are of.
    :param beside: whether its own name is shown, too.
    """

    def __init__(self, backend: Backend, now: Callable[[], float], beside: Callable[[], bool]) -> None:
        self._backend = backend
        self._now = now
        self._beside = beside
        self._last: tuple[StatusReply, str, bool] | None = None
        self._name = ""

    def __call__(self, own: str, longest: int) -> str:
        """Return the name; the same object as long as nothing in it changes.

        :param own: the server's own name, as far as it is known.
        :param longest: as long as a name may be, in characters.
        """
        backend = self._backend
        view = backend.server.view
        reply = backend.messages.status(view, self._now())
        # A Minecraft server's MOTD is in the text already.
        beside = view.cached_status is None and self._beside()
        last = self._last
        if last is None or last[0] is not reply or last[1:] != (own, beside):
            self._last = reply, own, beside
            text = _one_line(plain(reply.description))
            known = _one_line(own or view.name)[: max(LEAST_NAME, longest - len(BETWEEN) - len(text))].rstrip()
            self._name = known + BETWEEN + text if beside else text
        return self._name


def conversation(
    port: ServerPort, key: bytes, now: Callable[[], float], other: DatagramConversation | None = None
) -> DatagramConversation:
    """Make the conversation of a port whose protocol is one of `ANSWERS`.

    :param key: see `protocols.datagrams.Challenges`.
    :param now: the time of the monotonic clock.
    :param other: takes what is no query; None: that is dropped.
    """
    stored = StoredAnswers(port.config, port.server.answers)
    name = SleepingName(port.backend, now, lambda: port.server.config.motd == "beside")
    return QueryConversation(ANSWERS[port.protocol](key, stored, name), other)


def _one_line(text: str) -> str:
    return " ".join(text.split())


class _LastName(Struct):
    """The name in the last answer that was looked at: it is looked for only once."""

    answer: bytes = b""
    name: str = ""

    def of(self, answer: bytes, parse: Callable[[bytes], str]) -> str:
        if answer is not self.answer:
            self.answer = answer
            try:
                self.name = parse(answer)
            except ProtocolError:  # an empty one; it is not used then
                self.name = ""
        return self.name


def _source(key: bytes, stored: StoredAnswers, name: SleepingName) -> AnswerQuery:
    responder = source_query.SourceResponder(key)
    last = _LastName()

    def answer(datagram: bytes, host: str, now: float) -> Answer:
        info = stored.load("info")
        own = last.of(info, lambda raw: source_query.parse_info(raw).name)
        shown = name(own, source_query.LONGEST_NAME)
        return responder.answer(datagram, host, now, source_query.SleepingSource(shown, info, stored.load("rules")))

    return answer


def _quake(key: bytes, stored: StoredAnswers, name: SleepingName) -> AnswerQuery:
    last = _LastName()

    def answer(datagram: bytes, host: str, now: float) -> Answer:
        info, status = stored.load("info"), stored.load("status")
        own = last.of(info, lambda raw: quake_query.parse_info(raw).variables.get("hostname", ""))
        shown = name(quake_query.without_colours(own), quake_query.LONGEST_NAME)
        return quake_query.answer(datagram, quake_query.SleepingQuake(shown, info, status))

    return answer


def _minecraft(key: bytes, stored: StoredAnswers, name: SleepingName) -> AnswerQuery:
    responder = gamespy_query.GameSpyResponder(key)
    last = _LastName()

    def answer(datagram: bytes, host: str, now: float) -> Answer:
        full = stored.load("full")
        own = last.of(full, lambda raw: gamespy_query.parse_statistics(raw).variables.get("hostname", ""))
        shown = name(plain(own), gamespy_query.LONGEST_NAME)
        return responder.answer(datagram, host, now, gamespy_query.SleepingGameSpy(shown, full))

    return answer


ANSWERS: Mapping[str, Callable[[bytes, StoredAnswers, SleepingName], AnswerQuery]] = {
    "source-query": _source,
    "quake-query": _quake,
    "minecraft-query": _minecraft,
}
"""By the protocol of a port."""
