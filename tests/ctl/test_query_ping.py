"""Entries in server browsers, by each protocol."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import pytest
from datagram_server import bedrock, minecraft, quake, serving, silent, source

from zeroscale.ctl.game_connection import Address
from zeroscale.ctl.query_ping import NAMES_TIMEOUT, ServerEntry, ask_bedrock, ask_minecraft, ask_quake, ask_source
from zeroscale.errors import BackendError, ProtocolError


def at(port: int) -> Address:
    return Address("127.0.0.1", port)


def facts(entry: ServerEntry) -> tuple[str, str, str, int, int, tuple[str, ...]]:
    assert entry.latency > 0
    return entry.name, entry.version, entry.map, entry.players, entry.maximum, tuple(entry.names)


def test_source() -> None:
    with serving(source()) as server:
        entry = ask_source(at(server.port), 5)
    assert facts(entry) == ("Meadows", "1.2.3", "Midgard", 2, 32, ("Ada", "Bob\ufffd"))
    assert entry.details == {"protocol": 17, "app_id": 10, "bots": 1}


def test_a_server_that_never_names_its_players() -> None:
    began = time.monotonic()
    with serving(source(players=None)) as server:
        entry = ask_source(at(server.port), 60)
    assert facts(entry) == ("Meadows", "1.2.3", "Midgard", 2, 32, ())
    assert time.monotonic() - began < NAMES_TIMEOUT + 10


def test_quake() -> None:
    with serving(quake) as server:
        entry = ask_quake(at(server.port), 5)
    version = "ioq3 1.36+u20221123.70d07d9+dfsg-1/Debian linux-x86_64 Jan  8 2023"
    assert facts(entry) == ("Red Arena", version, "oa_dm1", 0, 8, ("Sarge",))
    assert entry.details["com_gamename"] == "Quake3Arena"
    assert "challenge" not in entry.details


def test_minecraft() -> None:
    with serving(minecraft) as server:
        entry = ask_minecraft(at(server.port), 5)
    assert facts(entry) == ("\xa7aA Minecraft Server", "1.21.4", "world", 2, 20, ("Ada", "Bob"))


def test_bedrock() -> None:
    with serving(bedrock) as server:
        entry = ask_bedrock(at(server.port), 5)
    assert facts(entry) == ("\xa7aA Bedrock server\na level", "1.26.51 (protocol 2193)", "", 3, 7, ())
    assert entry.details["mode"] == "Creative"


def test_a_bedrock_server_whose_players_cannot_be_read() -> None:
    def answer(ping: bytes) -> Iterable[bytes]:
        return [pong.replace(b" Bedrock", b";Bedrock") for pong in bedrock(ping)]

    with serving(answer) as server, pytest.raises(ProtocolError, match="number of players"):
        ask_bedrock(at(server.port), 5)


@pytest.mark.parametrize("ask", [ask_source, ask_quake, ask_minecraft, ask_bedrock])
def test_a_server_that_is_silent(ask: Callable[[Address, float], ServerEntry]) -> None:
    with serving(silent) as server, pytest.raises(BackendError, match="no answer in time"):
        ask(at(server.port), 0.2)


def test_as_json() -> None:
    with serving(source()) as server:
        document = ask_source(at(server.port), 5).as_json()
    assert document.pop("latency")
    assert document == {
        "name": "Meadows",
        "version": "1.2.3",
        "map": "Midgard",
        "players": {"online": 2, "max": 32, "names": ["Ada", "Bob\ufffd"]},
        "details": {"protocol": 17, "app_id": 10, "bots": 1},
    }
