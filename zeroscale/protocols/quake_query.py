"""The queries of Quake 3 and its relatives (OpenArena, ioquake3): answers for a sleeping server, and questions to one.

Sans-I/O. Source: docs/protocol.md, "Quake 3 query". The protocol proves no address: the client's challenge is only
echoed, and an answer is longer than its question. The caller must limit the answers (`Answer.proved` is never set).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from msgspec import Struct

from zeroscale.errors import ProtocolError
from zeroscale.protocols.datagrams import Answer, cut_text

HEADER = b"\xff\xff\xff\xff"
GET_INFO, GET_STATUS = b"getinfo", b"getstatus"
INFO_REPLY, STATUS_REPLY = b"infoResponse", b"statusResponse"

LONGEST_CHALLENGE = 128
"""Bytes; ioquake3 answers no longer one."""

LONGEST_QUESTION = 1024
"""Bytes of a question: those of clients have some twenty."""

LONGEST_NAME = 64
"""Bytes of our text in the name of the server; lists show about as many."""

LARGEST_ANSWER = 1 << 14
"""Bytes of an answer: ioquake3's largest packet."""

MOST_PLAYERS = 256
MOST_VARIABLES = 512

_CHALLENGE = re.compile(rb"[\x21\x23-\x3a\x3c-\x5b\x5d-\x7e]{1,%d}" % LONGEST_CHALLENGE)
"""What ioquake3 echoes: printable, without what its strings cannot have: a quotation mark, semicolon or backslash."""

_UNWANTED = str.maketrans('\\";%', "/', ")
"""What no value can have."""

_PLAYERS = frozenset({"clients", "g_humanplayers"})
"""The variables that count players."""

_PLAYER = re.compile(rb'(-?[0-9]{1,10}) (-?[0-9]{1,10}) (?:-?[0-9]{1,10} )?"([^"\n]*)"')
"""Score, ping and name; some games have a team between."""

_COLOUR = re.compile(r"\^(?:[xX][0-9a-fA-F]{6}|[^\^])")


class QuakePlayer(Struct, frozen=True):
    """A player, or a bot.

    :ivar name: without colours.
    :ivar ping: milliseconds; 0 for bots, and perhaps for clients of the same machine.
    """

    name: str
    score: int
    ping: int


class QuakeInfoReceived(Struct, frozen=True):
    """The server is up.

    :ivar players: who is on: people, where the server tells them apart (`g_humanplayers`), else bots too.
    :ivar maximum: how many may be on; 0: it does not say.
    :ivar raw: the whole answer, to answer with while it sleeps (`SleepingQuake.info`).
    """

    variables: Mapping[str, str]
    players: int
    maximum: int
    raw: bytes


class QuakeStatusReceived(Struct, frozen=True):
    """The server is up, and these are on it.

    :ivar raw: the whole answer, to answer with while it sleeps (`SleepingQuake.status`).
    """

    variables: Mapping[str, str]
    players: tuple[QuakePlayer, ...]
    raw: bytes


QuakeEvent = QuakeInfoReceived | QuakeStatusReceived


class SleepingQuake(Struct, frozen=True):
    """What a sleeping server answers.

    :ivar name: our text in the place of its name: ASCII, cut after `LONGEST_NAME` bytes.
    :ivar info: the last `QuakeInfoReceived.raw`; empty: there was none.
    :ivar status: the last `QuakeStatusReceived.raw`; empty: there was none.
    """

    name: str
    info: bytes = b""
    status: bytes = b""


def answer(datagram: bytes, sleeping: SleepingQuake) -> Answer:
    """Return the answer of a sleeping server to one datagram.

    :raises ProtocolError: it is no question of this protocol.
    """
    if not datagram.startswith(HEADER) or len(datagram) > LONGEST_QUESTION:
        raise ProtocolError("a datagram that is no Quake query")
    words = datagram[len(HEADER) :].partition(b"\x00")[0].split()
    kind = words[0].lower() if words else b""
    if kind not in (GET_INFO, GET_STATUS):
        raise ProtocolError("a datagram that is no Quake query")
    challenge = words[1] if len(words) > 1 else b""
    if len(challenge) > LONGEST_CHALLENGE:
        return Answer()
    echoed = b"\\challenge\\" + challenge if _CHALLENGE.fullmatch(challenge) else b""
    begin, end = _sleeping_answer(kind, sleeping)
    return Answer((begin + echoed + end,))


class QuakeQuery:
    """One question to a real server: send `request`, again after a while without an answer, and feed the datagrams.

    :param question: `GET_INFO` or `GET_STATUS`.
    :param challenge: a random word, up to `LONGEST_CHALLENGE` letters and digits.
    """

    def __init__(self, question: bytes, challenge: bytes) -> None:
        self._is_info = question == GET_INFO
        self._challenge = challenge.decode("ascii")
        #: The datagram to send.
        self.request = HEADER + question + b" " + challenge

    def receive(self, datagram: bytes) -> QuakeEvent:
        """Take a datagram from the server.

        :raises ProtocolError: it is no answer to this question, or breaks a bound. Later ones may be.
        """
        event = parse_info(datagram) if self._is_info else parse_status(datagram)
        if event.variables.get("challenge", self._challenge) != self._challenge:
            raise ProtocolError("an answer to another query")
        return event


def parse_info(raw: bytes) -> QuakeInfoReceived:
    """Parse an answer to `GET_INFO`; unreadable numbers count as 0.

    :param raw: the whole datagram.
    :raises ProtocolError: it is none.
    """
    line, _ = _body(raw, INFO_REPLY)
    variables = _variables(line)
    players = variables.get("g_humanplayers") or variables.get("clients", "")
    return QuakeInfoReceived(variables, _number(players), _number(variables.get("sv_maxclients", "")), raw)


def parse_status(raw: bytes) -> QuakeStatusReceived:
    """Parse an answer to `GET_STATUS`; lines that are no players are ignored.

    :param raw: the whole datagram.
    :raises ProtocolError: it is none.
    """
    line, rest = _body(raw, STATUS_REPLY)
    lines = map(_PLAYER.match, rest.split(b"\n", MOST_PLAYERS)[:MOST_PLAYERS])
    players = tuple(
        QuakePlayer(without_colours(each[3].decode("latin-1")), int(each[1]), int(each[2])) for each in lines if each
    )
    return QuakeStatusReceived(_variables(line), players, raw)


def without_players(event: QuakeEvent) -> bytes:
    """Return an answer as a sleeping server needs it: with 0 players, and without the challenge of one query."""
    kind = INFO_REPLY if isinstance(event, QuakeInfoReceived) else STATUS_REPLY
    return HEADER + kind + b"\n" + _encode(_emptied(event.variables))


def _body(raw: bytes, kind: bytes) -> tuple[bytes, bytes]:
    """Return the line of variables, and what follows it."""
    if len(raw) > LARGEST_ANSWER:
        raise ProtocolError(f"an answer to a Quake query of more than {LARGEST_ANSWER} bytes")
    head, line_break, body = raw.partition(b"\n")
    if head != HEADER + kind or not line_break:
        raise ProtocolError("a datagram that is no answer to a Quake query")
    line, _, rest = body.partition(b"\n")
    if not line.startswith(b"\\"):
        raise ProtocolError("an answer to a Quake query without variables")
    return line, rest


def _variables(line: bytes) -> dict[str, str]:
    words = line.decode("latin-1").split("\\", 2 * MOST_VARIABLES + 1)[1 : 2 * MOST_VARIABLES + 1]
    return dict(zip(words[::2], words[1::2], strict=False))


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def without_colours(text: str) -> str:
    """Return a name without the codes of its colours."""
    return _COLOUR.sub("", text)


@lru_cache(maxsize=32)
def _sleeping_answer(kind: bytes, sleeping: SleepingQuake) -> tuple[bytes, bytes]:
    """Return the answer as what is before and after the challenge."""
    info = _known(sleeping.info, INFO_REPLY)
    status = _known(sleeping.status, STATUS_REPLY)
    name = cut_text(sleeping.name.translate(_UNWANTED), LONGEST_NAME, "ascii").decode()
    if kind == GET_STATUS:
        variables = _emptied(status or _status_of(info)) | {"sv_hostname": name}
        return HEADER + STATUS_REPLY + b"\n" + _encode(variables), b"\n"
    variables = _emptied(info or _info_of(status)) | {"hostname": name, "clients": "0"}
    return HEADER + INFO_REPLY + b"\n" + _encode(variables), b""


def _emptied(variables: Mapping[str, str]) -> dict[str, str]:
    return {key: "0" if key in _PLAYERS else value for key, value in variables.items() if key != "challenge"}


def _known(raw: bytes, kind: bytes) -> dict[str, str]:
    try:
        return _variables(_body(raw, kind)[0])
    except ProtocolError:  # there was none yet
        return {}


_NAMES = {
    "protocol": "com_protocol",
    "gamename": "com_gamename",
    "mapname": "mapname",
    "gametype": "g_gametype",
    "sv_maxclients": "sv_maxclients",
    "g_needpass": "g_needpass",
}
"""The names of an info's variables in a status."""


def _info_of(status: Mapping[str, str]) -> dict[str, str]:
    return {"sv_maxclients": "0"} | {key: status[name] for key, name in _NAMES.items() if name in status}


def _status_of(info: Mapping[str, str]) -> dict[str, str]:
    return {"sv_maxclients": "0"} | {name: info[key] for key, name in _NAMES.items() if key in info}


def _encode(variables: Mapping[str, str]) -> bytes:
    return "".join(f"\\{key}\\{value}" for key, value in variables.items()).encode("latin-1", "replace")
