"""The status of a Bedrock server in its Unconnected Pong: parse a real server's, build that of a sleeping one.

Sans-I/O. It is a string of fields between semicolons. Source: docs/protocol.md, "Bedrock".
"""

from __future__ import annotations

import re
import struct

from msgspec import Struct

from zeroscale.errors import ProtocolError
from zeroscale.protocols.bedrock.offline import MAGIC, UNCONNECTED_PING, UNCONNECTED_PONG
from zeroscale.protocols.datagrams import DatagramReader, cut_text

EDITION = "MCPE"

NEWEST_PROTOCOL, NEWEST_VERSION = 2225, "1.26.60"
"""What a server that has never answered is shown as; a client of another version sees it as incompatible."""

LONGEST_STATUS = 1024
"""Bytes of the string: those of servers have about a hundred."""

LONGEST_LINE = 127
"""Bytes of a line of the MOTD, which is more than a client shows."""

MOST_FIELDS = 32
LEAST_FIELDS = 6
"""The fields that a client needs: edition, MOTD, protocol, version, players, maximum."""

MOTD, PROTOCOL, VERSION, PLAYERS, MAXIMUM, GUID, SECOND_LINE, MODE, MODE_NUMBER, PORT_IPV4, PORT_IPV6 = range(1, 12)

FIELD_NAMES = (
    "edition",
    "motd",
    "protocol",
    "version",
    "players",
    "maximum",
    "guid",
    "second_line",
    "mode",
    "mode_number",
    "port_ipv4",
    "port_ipv6",
)
"""Names of the fields, in their order; what follows them is not known."""

_SEPARATOR = re.compile(r"(?<!\\);")
_PONG = struct.Struct(">8sq16s")
_SIZE = struct.Struct(">H")
_PING = struct.Struct(">B8s16sq")


class BedrockStatus(Struct, frozen=True):
    """A server's status.

    :ivar fields: all of them, as they are; see the constants for the numbers of some.
    """

    fields: tuple[str, ...]

    def field(self, number: int) -> str:
        """Return a field; "" where the server has left it out."""
        return self.fields[number] if number < len(self.fields) else ""

    @property
    def players(self) -> int:
        """How many are on."""
        return _number(self.fields[PLAYERS])

    @property
    def maximum(self) -> int:
        """How many may be on."""
        return _number(self.fields[MAXIMUM])

    @property
    def protocol(self) -> int:
        """The server's protocol number; 0: it has none that can be read."""
        return _number(self.fields[PROTOCOL])


def parse(raw: bytes) -> BedrockStatus:
    """Parse the string of a pong.

    What follows the known fields is kept.

    :raises ProtocolError: it cannot be read, as of a server whose MOTD has a semicolon that it does not escape.
    """
    if len(raw) > LONGEST_STATUS:
        raise ProtocolError(f"a status of {len(raw)} bytes: it has at most {LONGEST_STATUS}")
    fields = _SEPARATOR.split(raw.decode("utf-8", "replace"), MOST_FIELDS)
    if len(fields) < LEAST_FIELDS or not all(fields[each].isdecimal() for each in (PLAYERS, MAXIMUM)):
        raise ProtocolError("a status without a number of players")
    return BedrockStatus(tuple(fields))


def read_pong(datagram: bytes, token: bytes | None = None) -> bytes:
    """Return the string in the Unconnected Pong that answers a ping: the server is up, whatever the string is.

    It is empty where the server has left it out, as one does that is not to be found in its network.

    :param token: the ping's, see `ping`; None: the pong may answer any ping.
    :raises ProtocolError: it is none, or answers another ping.
    """
    reader = DatagramReader(datagram, "a pong")
    if reader.byte() != UNCONNECTED_PONG:
        raise ProtocolError("a datagram that is no pong")
    echoed, _, magic = reader.unpack(_PONG)
    if magic != MAGIC or token not in (None, echoed):
        raise ProtocolError("a pong of another ping")
    return reader.take(*reader.unpack(_SIZE)) if len(reader) else b""


def ping(token: bytes) -> bytes:
    """Return an Unconnected Ping.

    :param token: any 8 bytes, which come back.
    """
    return _PING.pack(UNCONNECTED_PING, token, MAGIC, 0)


class PongQuery:
    """A ping that waits for its pong. Implements `DatagramQuery`, whose event is the whole pong.

    :param token: any 8 bytes, which no other ping has.
    """

    def __init__(self, token: bytes) -> None:
        self._token = token
        self.request = ping(token)

    def receive(self, datagram: bytes) -> bytes:
        """Return the pong.

        :raises ProtocolError: it is none, or answers another ping.
        """
        read_pong(datagram, self._token)
        return datagram


def repeated(pong: bytes, ping: bytes) -> bytes:
    """Return a server's pong as the answer to another ping."""
    return pong[:1] + ping[1:9] + pong[9:]


def on_port(pong: bytes, port: int, shown: int) -> bytes:
    """Return a server's pong with the port that clients use, wherever it names its own.

    A server may be configured to name another one, which then stays.

    :raises ProtocolError: it is no pong.
    """
    raw = read_pong(pong)
    if not raw:
        return pong
    fields = _SEPARATOR.split(raw.decode("utf-8", "surrogateescape"))
    for number in (PORT_IPV4, PORT_IPV6):
        if number < len(fields) and fields[number] == str(port):
            fields[number] = str(shown)
    status = ";".join(fields).encode("utf-8", "surrogateescape")
    return pong[: 1 + _PONG.size] + _SIZE.pack(len(status)) + status


def empty(status: BedrockStatus) -> bytes:
    """Return the string without players, of whom the next one is to be the same."""
    fields = list(status.fields)
    fields[PLAYERS] = "0"
    return ";".join(fields).encode("utf-8", "replace")


def asleep(last: BedrockStatus | None, first_line: str, second_line: str, guid: int, port: int | None) -> bytes:
    """Return the string of a sleeping server: the last real one with our texts and no players.

    :param last: the last real status; None: there was none.
    :param first_line: the MOTD; section-sign codes are kept, a semicolon becomes a comma, as not all clients read it.
    :param second_line: shown beside it by some clients, above all for servers of the same network.
    :param guid: the number of the server, as `RakNetListener` sends it.
    :param port: the port that clients use; None: what the real server says.
    """
    default = (EDITION, "", str(NEWEST_PROTOCOL), NEWEST_VERSION, "0", "10", "", "", "Survival", "1", "", "", "0", "")
    fields = list(default if last is None else last.fields)
    if len(fields) <= SECOND_LINE:  # old servers end before it
        fields += default[len(fields) : SECOND_LINE + 1]
    fields[MOTD], fields[SECOND_LINE] = _line(first_line), _line(second_line)
    fields[PLAYERS] = "0"
    fields[GUID] = str(guid)
    if port is not None:
        for number in (PORT_IPV4, PORT_IPV6):
            if number < len(fields):
                fields[number] = str(port)
    return ";".join(fields).encode("utf-8", "replace")


def _line(text: str) -> str:
    return cut_text(text.replace(";", ",").replace("\\", "/"), LONGEST_LINE, "utf-8").decode()


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 0
