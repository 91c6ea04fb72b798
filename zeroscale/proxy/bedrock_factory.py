"""Like `factory`, for ports whose clients speak Bedrock: their conversation, and how the real server is asked.

Imported only where there is such a port: every proxy would need memory for it.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable

from twisted.python.failure import Failure

from zeroscale.config.model import PortConfig
from zeroscale.errors import BackendError, ProtocolError
from zeroscale.probes.base import PROBE_TIMEOUT
from zeroscale.probes.bedrock import BedrockProbe
from zeroscale.protocols.bedrock import status
from zeroscale.protocols.bedrock.offline import RakNetListener
from zeroscale.protocols.bedrock.port import BedrockPort
from zeroscale.protocols.bedrock.status import BedrockStatus
from zeroscale.protocols.conversation import Component
from zeroscale.protocols.datagrams import Challenges
from zeroscale.protocols.minecraft.text_component import section_text
from zeroscale.protocols.proxy_protocol import Endpoint, Version, encode
from zeroscale.proxy.server_port import ServerPort
from zeroscale.reactor import Reactor
from zeroscale.status import ProbeResult, ServerSnapshot, Status

logger = logging.getLogger("zeroscale.server")

ASK_EVERY = 1.0
"""Seconds between two pings to the real server for pings of clients."""

FRESH = 5.0
"""Seconds for which a pong answers pings of clients."""

PONG_TIMEOUT = 2.0
"""Seconds that a pong may take: the real server answers at once."""

TRIES = 6
"""Times that a server which does not answer its first ping is asked again, after 1 s, 2 s, 4 s and so on: it is ready
when its main port is, and this one may open later."""


def conversation(port: ServerPort, key: bytes, now: Callable[[], float]) -> BedrockPort:
    """Make the conversation of a port; its parameters are those of all `DatagramConversation`s.

    :param key: random bytes that nobody else knows.
    :param now: returns seconds of the clock of the server's snapshots.
    """
    guid = int.from_bytes(Challenges(key, b"guid").make(" ".join(port.config.listen), 0.0, 8)) >> 1
    pongs = RealPongs(port, now)
    return BedrockPort(RakNetListener(key, guid, cookie=port.config.cookie), SleepingTexts(port, pongs, guid), pongs)


def probe(
    reactor: Reactor,
    host: str,
    port: int,
    proxy_version: Version | None,
    *,
    timeout: float = PROBE_TIMEOUT,
    on_pong: Callable[[bytes], None] = lambda pong: None,
) -> BedrockProbe:
    """Make the probe of a Bedrock server; see `BedrockProbe`."""
    return BedrockProbe(reactor, host, port, timeout=timeout, header=_header(proxy_version, port), on_pong=on_pong)


def _header(version: Version | None, port: int) -> bytes:
    """Return the PROXY header of a probe: Geyser drops datagrams after one that names no client."""
    own = Endpoint("127.0.0.1", port)
    return b"" if version is None else encode(version, own, own, datagrams=True)


class SleepingTexts:
    """What players read while the server does not run. Implements `protocols.bedrock.port.Texts`.

    :param guid: the server's number.
    """

    def __init__(self, port: ServerPort, pongs: RealPongs, guid: int) -> None:
        self._port = port
        self._pongs = pongs
        self._guid = guid
        self._shown: tuple[ServerSnapshot, BedrockStatus | None, int, bytes] | None = None

    def status(self, now: float) -> bytes:
        """Return the real server's last string with our texts, and without players."""
        backend, last = self._port.backend, self._pongs.last_status
        view = backend.server.view
        shown = self._shown
        if shown is not None and shown[0] is view and shown[1] is last and shown[2] == int(now):
            return shown[3]
        first, _, second = section_text(backend.messages.entry(view, now)).partition("\n")
        if last is not None and self._port.server.config.motd == "beside":
            second = last.fields[status.MOTD]
        port = listen_port(self._port.config)
        if last is not None and last.field(status.PORT_IPV4) != str(backend.port):
            port = None
        answer = status.asleep(last, first, second, self._guid, port)
        self._shown = view, last, int(now), answer
        return answer

    def join_again(self, now: float) -> Component:
        """Return what a client that is held is told."""
        backend = self._port.backend
        view = backend.server.view
        if not backend.policy.wakes and view.status not in (Status.starting, Status.running):
            return backend.messages.refusal("nobody", view, now, "")
        return backend.messages.join_again(view, now)


class RealPongs:
    """The pongs of the real server of a port, whose last status is kept on disk. Implements `port.Pongs`.

    :param now: see `conversation`.
    """

    def __init__(self, port: ServerPort, now: Callable[[], float]) -> None:
        self._port = port
        self._now = now
        self._key = "bedrock-" + re.sub("[^a-z0-9]+", "-", port.config.listen[0].lower())[:50]
        self._pong = b""
        self._received_at = self._asked_at = -math.inf
        self._asking = False
        self._tries = 0
        self._read: tuple[bytes | None, BedrockStatus | None] = (None, None)

    @property
    def last_status(self) -> BedrockStatus | None:
        """The last status that could be read, also of earlier runs; the same object until there is another one."""
        raw = self._port.server.answers.load(self._key)
        if raw is not self._read[0]:
            self._read = raw, _parsed(raw)
        return self._read[1]

    def latest(self, now: float) -> bytes | None:
        """Return the last pong of the server that runs now, unless it is old."""
        since = self._port.backend.server.view.since
        return self._pong if max(since, now - FRESH) <= self._received_at else None

    def ask(self, now: float) -> None:
        """Ping the real server, if it runs and was not asked just now."""
        if now >= self._asked_at + ASK_EVERY:
            self._tries = 0
            self._ask()

    def _ask(self) -> None:
        backend = self._port.backend
        if self._asking or backend.server.view.status is not Status.running:
            return
        self._asking = True
        self._asked_at = self._now()
        asked = probe(
            self._port.server.reactor,
            backend.host,
            backend.port,
            backend.proxy_version,
            timeout=PONG_TIMEOUT,
            on_pong=self._received,
        )
        asked.ask().addBoth(self._asked).addErrback(_log_fault)

    def _received(self, pong: bytes) -> None:
        self._received_at = self._now()
        shown = listen_port(self._port.config)
        self._pong = pong if shown is None else status.on_port(pong, self._port.backend.port, shown)
        last = _parsed(status.read_pong(pong))
        if last is not None:
            self._port.server.answers.store(self._key, status.empty(last))

    def _asked(self, outcome: ProbeResult | Failure) -> None:
        self._asking = False
        if not isinstance(outcome, Failure):
            return
        outcome.trap(BackendError, TimeoutError)
        if self._received_at < self._port.backend.server.view.since and self._tries < TRIES:
            self._port.server.reactor.callLater(2.0**self._tries, self._ask)
            self._tries += 1


def listen_port(config: PortConfig) -> int | None:
    """Return the number of the port that clients use, where it is one that the configuration names."""
    found = re.match(r"udp:(\d+)", config.listen[0])
    return None if found is None else int(found[1])


def _parsed(raw: bytes | None) -> BedrockStatus | None:
    try:
        return None if raw is None else status.parse(raw)
    except ProtocolError:
        return None


def _log_fault(failure: Failure) -> None:
    logger.error("A fault in zeroscale itself: %s", failure.getTraceback())
