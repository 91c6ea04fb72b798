"""Minecraft's own query (GameSpy 4, `enable-query`): answers for a sleeping server, and questions to one. Sans-I/O.

Source: docs/protocol.md, "Minecraft's query". The server half is stateless: its challenge depends on the asking
address. The reply with the challenge is 7 bytes longer than the question, which the protocol leaves no way around, so
that the caller must limit it like every answer to an unproved address.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache

from msgspec import Struct

from zeroscale.errors import ProtocolError
from zeroscale.protocols.datagrams import NO_ANSWER, Answer, Challenges, DatagramReader, NextRequest, cut_text

MAGIC = b"\xfe\xfd"
CHALLENGE, STATISTICS = 0x09, 0x00

SESSION_SIZE = 4
CHALLENGE_SIZE = 3
"""Bytes of a challenge's hash: as vanilla, whose tokens are below 2**24, in at most 8 digits."""

NEVER_ZERO = 1 << 8 * CHALLENGE_SIZE
"""Added to every token: clients take 0 for "no challenge"."""

SPLIT_NUMBER = b"splitnum\x00\x80\x00"
"""Before a full answer: in Minecraft always the only part. Minestom sends zeros."""

PLAYERS = b"\x01player_\x00\x00"
"""Between the variables and the players of a full answer. Minestom sends zeros."""

FULL_SIZE = 15
"""Bytes of a question for the full answer; a shorter one asks for the basic answer."""

LARGEST_ANSWER = 1 << 16
MOST_VARIABLES = 64
MOST_PLAYERS = 65536 // 2
LONGEST_NAME = 255
"""Bytes of our text in the name of the server."""

LONGEST_TOKEN = 11
"""Characters of a token: a signed number of 32 bits."""

ENCODING = "latin-1"
"""Java's `writeBytes`, with which vanilla writes texts, keeps the low byte of a character."""

_TOKEN = struct.Struct(">i")
_PORT = struct.Struct("<H")


class StatisticsReceived(Struct, frozen=True):
    """The server is up.

    :ivar players: how many are on.
    :ivar names: who they are; empty also where the server has sent the basic answer.
    :ivar raw: the whole answer if it was the full one, to answer with while it sleeps (`SleepingGameSpy.full`).
    """

    variables: Mapping[str, str]
    players: int
    names: tuple[str, ...]
    raw: bytes


class SleepingGameSpy(Struct, frozen=True):
    """What a sleeping server answers.

    :ivar name: our text in the place of its MOTD: one line of Latin-1, cut after `LONGEST_NAME` bytes.
    :ivar full: the last `StatisticsReceived.raw`; empty: there was none.
    """

    name: str
    full: bytes = b""


class GameSpyResponder:
    """Answers for sleeping servers.

    :param key: see `Challenges`.
    """

    def __init__(self, key: bytes) -> None:
        self._challenges = Challenges(key, b"gamespy4")

    def answer(self, datagram: bytes, client: str, now: float, sleeping: SleepingGameSpy) -> Answer:
        """Return the answer to one datagram.

        :param client: the asking address, with or without its port.
        :param now: see `Challenges.make`.
        :raises ProtocolError: it is no question of this protocol.
        """
        reader = DatagramReader(datagram, "a query")
        if reader.take(len(MAGIC)) != MAGIC:
            raise ProtocolError("a datagram that is no query of Minecraft")
        kind = reader.byte()
        session = reader.take(SESSION_SIZE)
        if kind == CHALLENGE:
            token = NEVER_ZERO + int.from_bytes(self._challenges.make(client, now, CHALLENGE_SIZE))
            return Answer((bytes((CHALLENGE,)) + session + b"%d\x00" % token,))
        if kind != STATISTICS:
            raise ProtocolError(f"a query of the unknown kind {kind}")
        hashed = reader.unpack(_TOKEN)[0] - NEVER_ZERO
        if not 0 <= hashed < NEVER_ZERO or not self._challenges.accepts(hashed.to_bytes(CHALLENGE_SIZE), client, now):
            return NO_ANSWER
        basic, full = _sleeping_answers(sleeping)
        return Answer((bytes((STATISTICS,)) + session + (full if len(datagram) == FULL_SIZE else basic),), proved=True)


class GameSpyQuery:
    """The question for a real server's statistics: send `request`, and feed the datagrams that come.

    After a while without an answer make a new one, since a server forgets its tokens after 30 s.

    :param session: any 4 bytes; vanilla returns them, and old servers only the low 4 bits of each.
    """

    def __init__(self, session: bytes) -> None:
        self._session = bytes(byte & 0x0F for byte in session[:SESSION_SIZE])
        #: The datagram to send.
        self.request = MAGIC + bytes((CHALLENGE,)) + self._session

    def receive(self, datagram: bytes) -> NextRequest | StatisticsReceived:
        """Take a datagram from the server; return the event in it.

        :raises ProtocolError: it is no answer to this question, or breaks a bound. Later ones may be.
        """
        if len(datagram) > LARGEST_ANSWER:
            raise ProtocolError(f"an answer to a query of more than {LARGEST_ANSWER} bytes")
        reader = DatagramReader(datagram, "an answer to a query")
        kind = reader.byte()
        if reader.take(SESSION_SIZE) != self._session:
            raise ProtocolError("an answer to another query")
        if kind == CHALLENGE:
            token = _token_of(reader.rest())
            self.request = MAGIC + bytes((STATISTICS,)) + self._session + token + bytes(4)
            return NextRequest(self.request)
        if kind != STATISTICS:
            raise ProtocolError(f"an answer of the unknown kind {kind} to a query")
        return parse_statistics(reader.rest())


def parse_statistics(raw: bytes) -> StatisticsReceived:
    """Parse the answer with the statistics, after the session.

    :raises ProtocolError: it is neither a full nor a basic answer.
    """
    if not raw.startswith((SPLIT_NUMBER, bytes(len(SPLIT_NUMBER)))):
        return _parse_basic(raw)
    reader = DatagramReader(raw, "an answer to a query", len(SPLIT_NUMBER))
    variables: dict[str, str] = {}
    while name := reader.until(b"\x00"):
        if len(variables) >= MOST_VARIABLES:
            raise ProtocolError(f"an answer to a query of more than {MOST_VARIABLES} variables")
        variables[name.decode(ENCODING)] = reader.until(b"\x00").decode(ENCODING)
    if reader.take(len(PLAYERS)) not in (PLAYERS, bytes(len(PLAYERS))):
        raise ProtocolError("an answer to a query without players")
    names = []
    while name := reader.until(b"\x00"):
        names.append(name.decode("utf-8", "replace"))
    players = _number(variables.get("numplayers", ""))
    return StatisticsReceived(variables, len(names) if players is None else players, tuple(names), raw)


def without_players(answer: StatisticsReceived) -> bytes:
    """Return an answer as a sleeping server needs it: with 0 players; empty: it was not the full one."""
    if not answer.raw:
        return b""
    variables = {key: value.encode(ENCODING) for key, value in answer.variables.items()}
    return _full(variables | {"numplayers": b"0"})


def _parse_basic(raw: bytes) -> StatisticsReceived:
    reader = DatagramReader(raw, "an answer to a query")
    names = ("hostname", "gametype", "map", "numplayers", "maxplayers")
    variables = {name: reader.until(b"\x00").decode(ENCODING) for name in names}
    variables["hostport"] = str(reader.unpack(_PORT)[0])
    variables["hostip"] = reader.until(b"\x00").decode(ENCODING)
    players = _number(variables["numplayers"])
    if players is None:
        raise ProtocolError("an answer to a query without a number of players")
    return StatisticsReceived(variables, players, (), b"")


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def _token_of(raw: bytes) -> bytes:
    """Return the token of a challenge's reply as a question must have it.

    Nukkit sends the four bytes themselves.
    """
    text = raw.partition(b"\x00")[0]
    if text.removeprefix(b"-").isdigit() and len(text) <= LONGEST_TOKEN and -(1 << 31) <= int(text) < 1 << 31:
        return _TOKEN.pack(int(text))
    if len(raw) == _TOKEN.size + 1:
        return raw[: _TOKEN.size]
    raise ProtocolError("a reply to a query's challenge without a number")


_DEFAULTS = {
    "hostname": "",
    "gametype": "SMP",
    "game_id": "MINECRAFT",
    "version": "",
    "plugins": "",
    "map": "world",
    "numplayers": "0",
    "maxplayers": "0",
    "hostport": "0",
    "hostip": "0.0.0.0",
}
"""The variables of a vanilla server, in its order; clients want all of them."""


@lru_cache(maxsize=32)
def _sleeping_answers(sleeping: SleepingGameSpy) -> tuple[bytes, bytes]:
    """Return the basic and the full answer after the session; they are kept, since every client asks for the same."""
    try:
        known = dict(parse_statistics(sleeping.full).variables)
    except ProtocolError:  # there was none yet
        known = {}
    name = cut_text(sleeping.name, LONGEST_NAME, ENCODING)
    missing = {key: value for key, value in _DEFAULTS.items() if key not in known}
    variables = {key: value.encode(ENCODING) for key, value in (known | missing).items()}
    variables |= {"hostname": name, "numplayers": b"0"}
    basic = [variables.get(key, b"") for key in ("hostname", "gametype", "map", "numplayers", "maxplayers")]
    port = _number(known.get("hostport", "")) or 0
    end = _PORT.pack(port & 0xFFFF) + variables.get("hostip", b"") + b"\x00"
    return b"\x00".join(basic) + b"\x00" + end, _full(variables)


def _full(variables: Mapping[str, bytes]) -> bytes:
    pairs = b"".join(key.encode(ENCODING) + b"\x00" + value + b"\x00" for key, value in variables.items())
    return SPLIT_NUMBER + pairs + b"\x00" + PLAYERS + b"\x00"
