"""Like `factory`, for ports on which server browsers query a server: their conversations and probes.

Imported only where a server has such a port.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from zeroscale.config.model import PortConfig, ServerConfig
from zeroscale.errors import ProtocolError
from zeroscale.frontend.interfaces import Backend
from zeroscale.probes.minecraft_query import MinecraftQueryProbe
from zeroscale.probes.quake_query import QuakeProbe
from zeroscale.probes.queried_server import MovableProbe, QueriedPort, QueriedServer
from zeroscale.probes.query import QueryProbe
from zeroscale.probes.source_query import SourceProbe
from zeroscale.protocols import gamespy_query, quake_query, source_query
from zeroscale.protocols.conversation import StatusReply
from zeroscale.protocols.datagrams import Answer
from zeroscale.protocols.minecraft.text_component import plain
from zeroscale.protocols.proxy_protocol import local_header
from zeroscale.protocols.query_conversation import AnswerQuery, QueryConversation
from zeroscale.proxy import udp_factory
from zeroscale.reactor import Reactor

if TYPE_CHECKING:
    from zeroscale.proxy.server_port import ServerPort
    from zeroscale.state.answer_cache import AnswerCache

BETWEEN = " - "
"""Between the server's own name and our text. Both are in one line, of which lists show the beginning."""

CONNECT = "connect"
"""The value of `ready` by which the server is asked for itself; others are checks of the operator's own."""

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


def conversation(port: ServerPort, key: bytes, now: Callable[[], float]) -> QueryConversation:
    """Make the conversation of a port whose protocol is one of `ANSWERS`.

    What is no query wakes the server as on a port of an unknown protocol, if the port may wake it.

    :param key: see `protocols.datagrams.Challenges`.
    :param now: the time of the monotonic clock.
    """
    other = udp_factory.conversation(port, key, now) if port.config.wakes else None
    stored = StoredAnswers(port.config, port.server.answers)
    name = SleepingName(port.backend, now, lambda: port.server.config.motd == "beside")
    return QueryConversation(ANSWERS[port.protocol](key, stored, name), other)


def _one_line(text: str) -> str:
    return " ".join(text.split())


PROBES: Mapping[str, type[QueryProbe]] = {
    "source-query": SourceProbe,
    "quake-query": QuakeProbe,
    "minecraft-query": MinecraftQueryProbe,
}
"""By the protocol of a port."""


def probe(
    config: ServerConfig,
    main: Callable[[], MovableProbe],
    reactor: Reactor,
    answers: Callable[[], AnswerCache],
    *,
    main_knows_players: bool,
) -> QueriedServer:
    """Make the probe of a server with ports that are queried.

    :param main: makes the probe of the main port, as if that were not queried.
    :param answers: returns what keeps the answers.
    :param main_knows_players: that probe says who is on.
    """
    main_port, *others = config.all_ports
    host = config.server_host
    ports = [
        QueriedPort(made, port.server_host, port.server_port)
        for port in others
        if port.server_port is not None and (made := _port_probe(port, host, reactor, answers)) is not None
    ]
    asked = None if main_knows_players else _port_probe(main_port, host, reactor, answers)
    if asked is None:
        return QueriedServer(main(), ports, main_knows_players=main_knows_players)
    if config.ready == CONNECT:
        return QueriedServer(asked, ports, main_knows_players=True, taken=main())
    return QueriedServer(main(), [QueriedPort(asked), *ports], main_knows_players=False)


def _port_probe(port: PortConfig, host: str, reactor: Reactor, answers: Callable[[], AnswerCache]) -> QueryProbe | None:
    """Make the probe of a port; None: it is not queried."""
    kind = PROBES.get(port.protocol or "")
    if kind is None:
        return None

    def store(name: str, answer: bytes) -> None:
        StoredAnswers(port, answers()).store(name, answer)

    version = port.send_proxy_protocol
    header = b"" if version is None else local_header(version)
    return kind(reactor, port.server_host or host, port.server_port or 0, header=header, store=store)


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
