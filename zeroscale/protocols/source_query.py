"""The Source query protocol (A2S): answers for a sleeping server, and questions to a real one. Sans-I/O.

Source: docs/protocol.md, "Source query". The server half is stateless: it sends a challenge that depends on the asking
address, and nothing longer than the question before the challenge has come back. It answers from the last real answers,
in which only the name and the numbers of players change.
"""

from __future__ import annotations

import re
import struct
from enum import IntEnum
from functools import lru_cache

from msgspec import Struct

from zeroscale.errors import ProtocolError
from zeroscale.protocols.datagrams import NO_ANSWER, Answer, Challenges, DatagramReader, NextRequest, cut_text
from zeroscale.protocols.source_parts import SINGLE, SplitAnswer, SplitForm, form_of, split

INFO_TEXT = b"Source Engine Query\x00"

GET_CHALLENGE, PING = 0x57, 0x69
"""Questions of old clients; their answers are longer than they are, so that they have none here."""

CHALLENGE_REPLY, INFO_REPLY, PLAYERS_REPLY, RULES_REPLY = 0x41, 0x49, 0x44, 0x45

NO_RULES = bytes((RULES_REPLY, 0, 0))
NO_CHALLENGE = b"\xff\xff\xff\xff"
CHALLENGE_SIZE = 4

MOST_CHALLENGES = 5
"""Challenges in a row that a question is repeated for; python-a2s allows as many."""

LONGEST_NAME = 127
"""Bytes of our text in the name: Steam's own limit for a server's name is 64, lists show about as many."""

RUST = 252490
"""The application whose players are counted in its keywords, as `cp12`: the field has 8 bits."""

THE_SHIP = 2400
EDF_PORT, EDF_STEAM_ID, EDF_SPECTATOR, EDF_KEYWORDS, EDF_GAME_ID = 0x80, 0x10, 0x40, 0x20, 0x01

_APP_ID = struct.Struct("<H")
_COUNTS = struct.Struct("<BBB")
_KINDS = struct.Struct("<BBBB")
_SHIP = struct.Struct("<BBB")
_GAME_ID = struct.Struct("<Q")
_PLAYER = struct.Struct("<if")
_RUST_PLAYERS = re.compile(rb"(?<![^,])cp([0-9]{1,5})(?![^,])")
_RUST_MAXIMUM = re.compile(rb"(?<![^,])mp([0-9]{1,5})(?![^,])")


class Question(IntEnum):
    """The questions, by the byte that names them."""

    info = 0x54
    players = 0x55
    rules = 0x56


class SourceInfo(Struct, frozen=True):
    """What a server says of itself.

    :ivar players: all players, bots too, as the engine counts them.
    :ivar bots: how many of them are bots.
    """

    protocol: int
    name: str
    map: str
    app_id: int
    players: int
    maximum: int
    bots: int
    version: str

    @property
    def people(self) -> int:
        """How many people are on."""
        return max(0, self.players - self.bots)


class SourcePlayer(Struct, frozen=True):
    """A player, or a bot.

    :ivar name: "" while it connects.
    """

    name: str
    score: int
    seconds: float


class InfoReceived(Struct, frozen=True):
    """The server is up.

    :ivar raw: the whole answer, to answer with while it sleeps (`SleepingSource.info`).
    """

    info: SourceInfo
    raw: bytes


class PlayersReceived(Struct, frozen=True):
    """Who is on; some servers never answer this, and some leave players out."""

    players: tuple[SourcePlayer, ...]


class RulesReceived(Struct, frozen=True):
    """The server's settings, which only it interprets.

    :ivar raw: the whole answer, to answer with while it sleeps (`SleepingSource.rules`).
    """

    raw: bytes


Received = NextRequest | InfoReceived | PlayersReceived | RulesReceived


class SleepingSource(Struct, frozen=True):
    """What a sleeping server answers.

    :ivar name: our text in the place of its name, cut after `LONGEST_NAME` bytes.
    :ivar info: the last `InfoReceived.raw`; empty: there was none, and the answer has the name only.
    :ivar rules: the last `RulesReceived.raw`; empty: there was none, and the answer has no rules.
    """

    name: str
    info: bytes = b""
    rules: bytes = b""


class SourceResponder:
    """Answers for sleeping servers.

    :param key: see `Challenges`.
    """

    def __init__(self, key: bytes) -> None:
        self._challenges = Challenges(key, b"a2s")

    def answer(self, datagram: bytes, client: str, now: float, sleeping: SleepingSource) -> Answer:
        """Return the answer to one datagram.

        :param client: the asking address, without its port: clients ask from several ports with one challenge.
        :param now: see `Challenges.make`.
        :raises ProtocolError: it is no question of this protocol.
        """
        kind, challenge = _read_question(datagram)
        if kind in (GET_CHALLENGE, PING):
            return NO_ANSWER
        if len(challenge) == CHALLENGE_SIZE and self._challenges.accepts(challenge, client, now):
            return Answer(_sleeping_answer(kind, sleeping), proved=True)
        reply = SINGLE + bytes((CHALLENGE_REPLY,)) + self._challenges.make(client, now, CHALLENGE_SIZE)
        return Answer((reply,)) if len(reply) <= len(datagram) else NO_ANSWER


class SourceQuery:
    """One question to a real server: send `request`, again after a while without an answer, and feed the datagrams.

    :param question: what to ask.
    """

    def __init__(self, question: Question) -> None:
        self._question = question
        self._challenges = 0
        self._parts = SplitAnswer()
        #: The datagram to send.
        self.request = _encode_question(question, b"" if question is Question.info else NO_CHALLENGE)

    def receive(self, datagram: bytes) -> Received | None:
        """Take a datagram from the server; return the event in it. None: an incomplete split answer.

        :raises ProtocolError: it is no answer to this question, or breaks a bound. Later ones may be.
        """
        answer = datagram[len(SINGLE) :] if datagram.startswith(SINGLE) else self._parts.add(datagram)
        if answer is None:
            return None
        match answer[:1]:
            case b"\x41":
                self._challenges += 1
                if self._challenges > MOST_CHALLENGES:
                    raise ProtocolError("a server that repeats its challenge")
                challenge = DatagramReader(answer, "a challenge", 1).take(CHALLENGE_SIZE)
                self.request = _encode_question(self._question, challenge)
                return NextRequest(self.request)
            case b"\x49" if self._question is Question.info:
                return InfoReceived(parse_info(answer), answer)
            case b"\x44" if self._question is Question.players:
                return PlayersReceived(parse_players(answer))
            case b"\x45" if self._question is Question.rules:
                return RulesReceived(answer)
        raise ProtocolError("a datagram that is no answer to the question")


def parse_info(raw: bytes) -> SourceInfo:
    """Parse an answer to `Question.info`.

    :param raw: the answer, from the byte that names it.
    :raises ProtocolError: it is none. What follows its last field is ignored.
    """
    return _read_info(raw)[0]


def without_players(raw: bytes) -> bytes:
    """Return an answer to `Question.info` with 0 players.

    :raises ProtocolError: it is none.
    """
    info, places = _read_info(raw)
    return _emptied(raw, info, places, raw[places.name])


def parse_players(raw: bytes) -> tuple[SourcePlayer, ...]:
    """Parse an answer to `Question.players`.

    :param raw: the answer, from the byte that names it.
    :raises ProtocolError: it is none. What follows the last player is ignored.
    """
    reader = DatagramReader(raw, "a list of players", 1)
    players = []
    for _ in range(reader.byte()):
        reader.byte()  # its index, 0 in most games
        name = reader.until(b"\x00").decode("utf-8", "replace")
        score, seconds = reader.unpack(_PLAYER)
        players.append(SourcePlayer(name, score, seconds))
    return tuple(players)


def _read_question(datagram: bytes) -> tuple[int, bytes]:
    """Return the kind of question, and the challenge in it, empty where it has none."""
    kind = datagram[4] if datagram.startswith(SINGLE) and len(datagram) > 4 else 0
    rest = datagram[5:]
    if kind == Question.info:
        if not rest.startswith(INFO_TEXT):
            raise ProtocolError("a Source query without its text")
        rest = rest[len(INFO_TEXT) :]
    elif kind not in (Question.players, Question.rules, GET_CHALLENGE, PING):
        raise ProtocolError("a datagram that is no Source query")
    return kind, rest[:CHALLENGE_SIZE]


def _encode_question(question: Question, challenge: bytes) -> bytes:
    return SINGLE + bytes((question,)) + (INFO_TEXT if question is Question.info else b"") + challenge


class _Places(Struct, frozen=True):
    """Where in a raw answer the values are that a sleeping server's answer changes."""

    name: slice
    players: int
    bots: int
    keywords: slice


def _read_info(raw: bytes) -> tuple[SourceInfo, _Places]:
    if raw[:1] != bytes((INFO_REPLY,)):
        raise ProtocolError("a datagram that is no answer to a Source query")
    reader = DatagramReader(raw, "an answer to a Source query", 1)
    protocol = reader.byte()
    begin = reader.position
    name = reader.until(b"\x00")
    name_place = slice(begin, reader.position - 1)
    map_name = reader.until(b"\x00")
    reader.until(b"\x00")
    reader.until(b"\x00")
    (app_id,) = reader.unpack(_APP_ID)
    counts = reader.position
    players, maximum, bots = reader.unpack(_COUNTS)
    reader.unpack(_KINDS)
    if app_id == THE_SHIP:
        reader.unpack(_SHIP)
    version = reader.until(b"\x00")
    flags = reader.byte() if len(reader) else 0  # the oldest servers end before them
    if flags & EDF_PORT:
        reader.take(2)
    if flags & EDF_STEAM_ID:
        reader.take(8)
    if flags & EDF_SPECTATOR:
        reader.take(2)
        reader.until(b"\x00")
    begin = reader.position
    keywords = reader.until(b"\x00") if flags & EDF_KEYWORDS else b""
    keywords_place = slice(begin, begin + len(keywords))
    if flags & EDF_GAME_ID:
        app_id = reader.unpack(_GAME_ID)[0] & 0xFFFFFF or app_id
    if app_id == RUST:
        players = _number(_RUST_PLAYERS, keywords, players)
        maximum = _number(_RUST_MAXIMUM, keywords, maximum)
    info = SourceInfo(
        protocol=protocol,
        name=name.decode("utf-8", "replace"),
        map=map_name.decode("utf-8", "replace"),
        app_id=app_id,
        players=players,
        maximum=maximum,
        bots=bots,
        version=version.decode("utf-8", "replace"),
    )
    return info, _Places(name_place, counts, counts + 2, keywords_place)


def _number(pattern: re.Pattern[bytes], keywords: bytes, default: int) -> int:
    found = pattern.search(keywords)
    return default if found is None else int(found[1])


@lru_cache(maxsize=32)
def _sleeping_answer(kind: int, sleeping: SleepingSource) -> tuple[bytes, ...]:
    """Return the datagrams of an answer; they are kept, since every browser of servers asks for the same."""
    if kind == Question.players:
        return (SINGLE + bytes((PLAYERS_REPLY, 0)),)
    name = cut_text(sleeping.name, LONGEST_NAME, "utf-8")
    try:
        info, places = _read_info(sleeping.info)
    except ProtocolError:  # there was none yet
        if kind == Question.rules:
            return split(sleeping.rules or NO_RULES, SplitForm.source)
        return (SINGLE + _plain_info(name),)
    form = form_of(info.protocol, info.app_id)
    if kind == Question.rules:
        return split(sleeping.rules or NO_RULES, form)
    return split(_emptied(sleeping.info, info, places, name), form)


def _emptied(raw: bytes, info: SourceInfo, places: _Places, name: bytes) -> bytes:
    emptied = bytearray(raw)
    if info.app_id == RUST:
        emptied[places.keywords] = _RUST_PLAYERS.sub(b"cp0", raw[places.keywords])
    emptied[places.players] = emptied[places.bots] = 0
    emptied[places.name] = name
    return bytes(emptied)


def _plain_info(name: bytes) -> bytes:
    """Return an answer for a server that has never answered: its kind of game is unknown."""
    no_numbers = _APP_ID.pack(0) + _COUNTS.pack(0, 0, 0)
    return bytes((INFO_REPLY, 17)) + name + b"\x00\x00\x00\x00" + no_numbers + b"dl\x00\x00" + b"\x00\x00"
