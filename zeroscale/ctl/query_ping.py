"""Ask a game server for its entry in server browsers: Source and Quake 3 query, Minecraft's query, Bedrock's ping."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import TypeVar

from msgspec import Struct

from zeroscale.ctl.datagram_connection import DatagramConnection
from zeroscale.ctl.game_connection import Address
from zeroscale.errors import BackendError
from zeroscale.protocols.datagrams import DatagramQuery

NAMES_TIMEOUT = 1.5
"""Seconds that are waited for the names of the players, which some servers never send."""

T = TypeVar("T")


class ServerEntry(Struct, frozen=True):
    """A server's entry in a server browser.

    :ivar name: its name or MOTD, with section signs and their codes where they are Minecraft's.
    :ivar version: in the server's words; "": it does not say.
    :ivar players: how many are on, with bots where the server does not tell them apart.
    :ivar names: those of players, as far as the server names them.
    :ivar latency: seconds.
    :ivar details: what else it says, by the protocol's own names.
    """

    name: str
    version: str
    map: str
    players: int
    maximum: int
    names: Sequence[str]
    latency: float
    details: Mapping[str, object]

    def as_json(self) -> dict[str, object]:
        """Return all of it as a JSON object."""
        return {
            "name": self.name,
            "version": self.version,
            "map": self.map,
            "players": {"online": self.players, "max": self.maximum, "names": list(self.names)},
            "latency": round(self.latency, 6),
            "details": dict(self.details),
        }


def ask_source(address: Address, timeout: float) -> ServerEntry:
    """Ask by the Source query protocol (A2S).

    :param timeout: seconds for all of it.
    :raises BackendError: there is no answer in time.
    """
    from zeroscale.protocols.source_query import InfoReceived, PlayersReceived, Question, SourceQuery

    deadline = time.monotonic() + timeout
    with DatagramConnection(address) as connection:
        answer, latency = connection.ask(SourceQuery(Question.info), deadline)
        assert isinstance(answer, InfoReceived)
        players = _names(connection, SourceQuery(Question.players), deadline)
    info = answer.info
    names = [each.name for each in players.players if each.name] if isinstance(players, PlayersReceived) else []
    details = {"protocol": info.protocol, "app_id": info.app_id, "bots": info.bots}
    return ServerEntry(info.name, info.version, info.map, info.people, info.maximum, names, latency, details)


def ask_quake(address: Address, timeout: float) -> ServerEntry:
    """Ask by the query of Quake 3; see `ask_source`."""
    from zeroscale.protocols import quake_query as quake

    deadline = time.monotonic() + timeout
    with DatagramConnection(address) as connection:
        word = secrets.token_hex(8).encode()
        info, latency = connection.ask(quake.QuakeQuery(quake.GET_INFO, word), deadline)
        status = _names(connection, quake.QuakeQuery(quake.GET_STATUS, word), deadline)
    assert isinstance(info, quake.QuakeInfoReceived)
    names: list[str] = []
    variables = dict(info.variables)
    if isinstance(status, quake.QuakeStatusReceived):
        variables = {**status.variables, **variables}
        names = [player.name for player in status.players]
    name = quake.without_colours(variables.get("hostname", ""))
    variables.pop("challenge", None)
    version, level = variables.get("version", ""), variables.get("mapname", "")
    return ServerEntry(name, version, level, info.players, info.maximum, names, latency, variables)


def ask_minecraft(address: Address, timeout: float) -> ServerEntry:
    """Ask by Minecraft's own query, which a server has with `enable-query`; see `ask_source`."""
    from zeroscale.protocols.gamespy_query import SESSION_SIZE, GameSpyQuery

    with DatagramConnection(address) as connection:
        query = GameSpyQuery(secrets.token_bytes(SESSION_SIZE))
        answer, latency = connection.ask(query, time.monotonic() + timeout)
    variables = answer.variables
    maximum = variables.get("maxplayers", "")
    return ServerEntry(
        variables.get("hostname", ""),
        variables.get("version", ""),
        variables.get("map", ""),
        answer.players,
        int(maximum) if maximum.isascii() and maximum.isdecimal() and len(maximum) < 10 else 0,
        answer.names,
        latency,
        variables,
    )


def ask_bedrock(address: Address, timeout: float) -> ServerEntry:
    """Ask by Bedrock's ping; see `ask_source`.

    :raises ProtocolError: the answer has no number of players.
    """
    from zeroscale.protocols.bedrock import status

    with DatagramConnection(address) as connection:
        pong, latency = connection.ask(status.PongQuery(secrets.token_bytes(8)), time.monotonic() + timeout)
    entry = status.parse(status.read_pong(pong))
    details = dict(zip(status.FIELD_NAMES, entry.fields, strict=False))
    lines = (entry.fields[status.MOTD], details.get("second_line", ""))
    return ServerEntry(
        "\n".join(line for line in lines if line),
        f"{entry.fields[status.VERSION]} (protocol {entry.fields[status.PROTOCOL]})",
        "",
        entry.players,
        entry.maximum,
        (),
        latency,
        details,
    )


def _names(connection: DatagramConnection, query: DatagramQuery[T], deadline: float) -> T | None:
    try:
        return connection.ask(query, min(deadline, time.monotonic() + NAMES_TIMEOUT))[0]
    except BackendError:
        return None
