"""Minecraft's own query: real clients' questions, Nukkit's answers, and bounds."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocols.udp_captures import CLIENT, KEY, NOW, SERVERS, questions

from zeroscale.errors import ProtocolError
from zeroscale.protocols.datagrams import Answer, NextRequest
from zeroscale.protocols.gamespy_query import (
    GameSpyQuery,
    GameSpyResponder,
    SleepingGameSpy,
    StatisticsReceived,
    parse_statistics,
)

SESSION = b"\x01\x02\x03\x04"
FULL = SERVERS["nukkit full"][5:]
BASIC = SERVERS["nukkit basic"][5:]
VANILLA = (
    b"splitnum\0\x80\0hostname\0\xa7aA server\0gametype\0SMP\0game_id\0MINECRAFT\0version\x001.21.4\0"
    b"plugins\0Paper: A 1.0\0map\0world\0numplayers\x002\0maxplayers\x0020\0hostport\x0025565\0hostip\x00172.17.0.2\0"
    b"\0\x01player_\0\0Ada\0Bob\0\0"
)
ASLEEP = SleepingGameSpy("Asleep: join", VANILLA)


def ask(responder: GameSpyResponder, sleeping: SleepingGameSpy, end: bytes = bytes(4)) -> Answer:
    query = GameSpyQuery(SESSION)
    challenge = responder.answer(query.request, CLIENT, NOW, sleeping)
    assert not challenge.proved
    assert len(challenge.datagrams[0]) == len(query.request) + 7
    assert query.receive(challenge.datagrams[0]) == NextRequest(query.request)
    return responder.answer(query.request.removesuffix(bytes(4)) + end, CLIENT, NOW, sleeping)


@pytest.mark.parametrize("client", questions("gamespy"))
def test_real_clients_prove_their_address_before_they_are_answered(client: str) -> None:
    responder = GameSpyResponder(KEY)
    asked = questions("gamespy")[client]
    assert {proved for _, proved in asked} == {True, False}
    for question, proved in asked:
        answer = responder.answer(question, CLIENT, NOW, ASLEEP)
        assert answer.proved == proved
        assert (b"Asleep: join" in answer.datagrams[0]) == proved
        if proved:
            assert responder.answer(question, "192.0.2.9", NOW, ASLEEP) == Answer()
            assert responder.answer(question, CLIENT, NOW + 1000, ASLEEP) == Answer()


def test_the_full_answer_differs_in_name_and_players_only() -> None:
    answer = ask(GameSpyResponder(KEY), ASLEEP)
    assert answer.proved
    [datagram] = answer.datagrams
    found = GameSpyQuery(SESSION).receive(datagram)
    assert isinstance(found, StatisticsReceived)
    known = dict(parse_statistics(VANILLA).variables)
    assert found.variables == {**known, "hostname": "Asleep: join", "numplayers": "0"}
    assert (found.players, found.names) == (0, ())
    assert list(found.variables) == list(known), "some clients rely on the order"


@pytest.mark.parametrize("end", [b"", b"\0", bytes(8)])
def test_the_basic_answer(end: bytes) -> None:
    [datagram] = ask(GameSpyResponder(KEY), ASLEEP, end).datagrams
    assert datagram == b"\0" + SESSION + b"Asleep: join\0SMP\0world\x000\x0020\0\xdd\x63172.17.0.2\0"


def test_a_server_that_has_never_answered_has_a_name() -> None:
    [datagram] = ask(GameSpyResponder(KEY), SleepingGameSpy("§aAsleep\nnow ☾")).datagrams
    found = parse_statistics(datagram[5:])
    assert (found.variables["hostname"], found.variables["game_id"], found.players) == (
        "§aAsleep now ?",
        "MINECRAFT",
        0,
    )


@pytest.mark.parametrize("token", [0, 1, -1, (1 << 24) - 1, 1 << 25, -(1 << 31)])
def test_a_wrong_token_has_no_answer(token: int) -> None:
    question = b"\xfe\xfd\0" + SESSION + struct.pack(">i", token) + bytes(4)
    assert GameSpyResponder(KEY).answer(question, CLIENT, NOW, ASLEEP) == Answer()


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"\xfe\xfd",
        b"\xfe\xfd\x09\x01\x02\x03",
        b"\xfe\xfe\x09" + SESSION,
        b"\xfe\xfd\x01" + SESSION,
        b"\xfe\xfd\0" + SESSION + b"\0\0\0",
    ],
)
def test_what_is_no_question(datagram: bytes) -> None:
    with pytest.raises(ProtocolError):
        GameSpyResponder(KEY).answer(datagram, CLIENT, NOW, ASLEEP)


def test_a_vanilla_servers_answer() -> None:
    found = GameSpyQuery(SESSION).receive(b"\0" + SESSION + VANILLA)
    assert isinstance(found, StatisticsReceived)
    assert (found.variables["hostname"], found.players, found.names, found.raw) == (
        "§aA server",
        2,
        ("Ada", "Bob"),
        VANILLA,
    )


def test_nukkits_answers() -> None:
    query = GameSpyQuery(SESSION)
    assert query.receive(SERVERS["nukkit challenge"]) == NextRequest(query.request)
    assert query.request == b"\xfe\xfd\0" + SESSION + SERVERS["nukkit challenge"][5:9] + bytes(4)
    full, basic = query.receive(SERVERS["nukkit full"]), query.receive(SERVERS["nukkit basic"])
    assert isinstance(full, StatisticsReceived)
    assert isinstance(basic, StatisticsReceived)
    assert (full.variables["version"], full.players, full.raw) == ("v1.18.30", 0, FULL)
    assert (basic.variables["hostport"], basic.players, basic.raw) == ("29132", 0, b"")


def test_minestoms_answers() -> None:
    query = GameSpyQuery(SESSION)
    assert query.receive(SERVERS["minestom challenge"]) == NextRequest(query.request)
    full = query.receive(SERVERS["minestom full"])
    assert isinstance(full, StatisticsReceived)
    assert (full.variables["map"], full.players, set(full.names)) == ("world", 2, {"Ada", "Bob"})
    [datagram] = ask(GameSpyResponder(KEY), SleepingGameSpy("Asleep", full.raw)).datagrams
    asleep = parse_statistics(datagram[5:]).variables
    assert asleep["gametype"] == "SMP", "mcstatus fails without it, as it does at Minestom"
    assert asleep["version"] == "1.21.8"


@pytest.mark.parametrize(
    ("reply", "token"),
    [(b"9513307\0", 9513307), (b"-42\0", -42), (b"7", 7), (b"0\0\0", 0), (b"2147483647\0", 2147483647)],
)
def test_tokens(reply: bytes, token: int) -> None:
    query = GameSpyQuery(SESSION)
    query.receive(b"\x09" + SESSION + reply)
    assert query.request == b"\xfe\xfd\0" + SESSION + struct.pack(">i", token) + bytes(4)


@pytest.mark.parametrize("reply", [b"", b"\0", b"2147483648\0", b"12345678901234\0", b"abc\0", b"1 2\0"])
def test_what_is_no_token(reply: bytes) -> None:
    with pytest.raises(ProtocolError):
        GameSpyQuery(SESSION).receive(b"\x09" + SESSION + reply)


def test_an_answer_to_another_query_is_refused() -> None:
    with pytest.raises(ProtocolError, match="another"):
        GameSpyQuery(SESSION).receive(b"\0\x01\x02\x03\x05" + VANILLA)
    with pytest.raises(ProtocolError, match="kind"):
        GameSpyQuery(SESSION).receive(b"\x05" + SESSION + VANILLA)


@pytest.mark.parametrize("raw", [VANILLA, FULL, BASIC])
def test_answers_truncated_at_every_byte(raw: bytes) -> None:
    for size in range(len(raw)):
        with pytest.raises(ProtocolError):
            parse_statistics(raw[:size])
    assert parse_statistics(raw + b"more").variables == parse_statistics(raw).variables


def test_answers_are_bounded() -> None:
    with pytest.raises(ProtocolError, match="variables"):
        parse_statistics(b"splitnum\0\x80\0" + b"".join(b"%d\0x\0" % each for each in range(100)) + b"\0")
    with pytest.raises(ProtocolError, match="more than"):
        GameSpyQuery(SESSION).receive(b"\0" + SESSION + VANILLA + bytes(65536))


@given(
    st.binary(max_size=120),
    st.sampled_from([b"", b"\xfe\xfd", b"\0" + SESSION, b"\x09" + SESSION, b"\0" + SESSION + VANILLA[:40]]),
)
def test_any_datagram_raises_nothing_else(data: bytes, start: bytes) -> None:
    for parse in (
        GameSpyQuery(SESSION).receive,
        lambda each: GameSpyResponder(KEY).answer(each, CLIENT, NOW, SleepingGameSpy("x", each)),
    ):
        try:
            parse(start + data)
        except ProtocolError:
            continue
