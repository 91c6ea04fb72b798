"""The Source query protocol: real clients' questions, real layouts of answers, split answers, and bounds."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocols.udp_captures import CLIENT, KEY, NOW, PROXIED, questions

from zeroscale.errors import ProtocolError
from zeroscale.protocols.datagrams import NextRequest
from zeroscale.protocols.source_parts import LARGEST_PACKET, SINGLE, SPLIT
from zeroscale.protocols.source_query import (
    LONGEST_NAME,
    MOST_CHALLENGES,
    InfoReceived,
    PlayersReceived,
    Question,
    RulesReceived,
    SleepingSource,
    SourceInfo,
    SourcePlayer,
    SourceQuery,
    SourceResponder,
    parse_info,
    parse_players,
)

PLAIN = b"\x49\x11A server\0map\0folder\0Game\0\x0a\0\x05\x20\x02dl\0\x01\x31.2.3\0\0"
FULL = (
    b"\x49\x11A server\0map\0folder\0Game\0\x0a\0\x05\x20\x02dl\0\x011.2.3\0\xf1"
    + struct.pack("<HQH", 27015, 90071992547409920, 27020)
    + b"spectators\0a,b,c\0"
    + struct.pack("<Q", 730)
)
RUST = (
    b"\x49\x11Rust one\0map\0rust\0Rust\0\xca\xda\xff\xff\0dl\0\x012511\0\xb1"
    + struct.pack("<HQ", 28015, 90071992547409920)
    + b"mp300,cp281,ptrak,qp12,v2511\0"
    + struct.pack("<Q", 252490)
)
THE_SHIP = b"\x49\x07The Ship\0map\0ship\0The Ship\0\x60\x09\x02\x10\0dl\0\0\x01\x02\x031.0\0\0"
GOLDSRC = b"\x49\x30Half-Life\0crossfire\0valve\0Half-Life\0\x46\0\x01\x08\0dl\0\x011.1.2.2\0\0"
OLD = b"\x49\x07Source 2006\0map\0css\0CSS\0\xf0\0\x01\x08\0dl\0\x011.0\0\0"
TWO_PLAYERS = b"\x44\x02\0Ada\0\x03\0\0\0\0\0\x80?\x01Bob\xff\0\xfe\xff\xff\xff\0\0\0@"
RULES = b"\x45\x02\0a\x001\0b\x002\0"
MANY_RULES = b"\x45\x90\x01" + b"".join(b"rule%03d\0%020d\0" % (each, each) for each in range(400))


def ask(responder: SourceResponder, question: Question, sleeping: SleepingSource) -> list[bytes]:
    """Ask as our client does; return the datagrams of the answer after the challenge."""
    query = SourceQuery(question)
    [challenge] = responder.answer(query.request, CLIENT, NOW, sleeping).datagrams
    assert query.receive(challenge) == NextRequest(query.request)
    answer = responder.answer(query.request, CLIENT, NOW, sleeping)
    assert answer.proved
    return list(answer.datagrams)


def asked_info(sleeping: SleepingSource) -> bytes:
    [datagram] = ask(SourceResponder(KEY), Question.info, sleeping)
    return datagram.removeprefix(SINGLE)


@pytest.mark.parametrize("client", questions("source"))
def test_real_clients_prove_their_address_before_they_are_answered(client: str) -> None:
    responder = SourceResponder(KEY)
    sleeping = SleepingSource("Asleep", PLAIN, MANY_RULES)
    asked = questions("source")[client]
    assert {proved for _, proved in asked} == {True, False}
    for question, proved in asked:
        answer = responder.answer(question, CLIENT, NOW, sleeping)
        assert answer.proved == proved
        assert proved or ([len(each) for each in answer.datagrams] == [9] and len(question) >= 9)
        assert not responder.answer(question, "192.0.2.9", NOW, sleeping).proved
        assert not responder.answer(question, CLIENT, NOW + 1000, sleeping).proved


@pytest.mark.parametrize(
    "question", [SINGLE + b"\x57", SINGLE + b"\x69", SINGLE + b"\x55", SINGLE + b"\x56\xff\xff\xff"]
)
def test_questions_shorter_than_a_challenge_have_no_answer(question: bytes) -> None:
    assert SourceResponder(KEY).answer(question, CLIENT, NOW, SleepingSource("Asleep")).datagrams == ()


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        SINGLE,
        SINGLE + b"\x54",
        SINGLE + b"\x54Source Engine Quer\0",
        SINGLE + b"\x58" + bytes(9),
        b"\x54" * 30,
        SPLIT,
    ],
)
def test_what_is_no_question(datagram: bytes) -> None:
    with pytest.raises(ProtocolError):
        SourceResponder(KEY).answer(datagram, CLIENT, NOW, SleepingSource("Asleep"))


@given(st.binary(max_size=64), st.booleans())
def test_any_datagram_is_answered_by_no_more_than_its_size(data: bytes, is_single: bool) -> None:
    datagram = SINGLE * is_single + data
    try:
        answer = SourceResponder(KEY).answer(datagram, CLIENT, NOW, SleepingSource("Asleep", FULL, RULES))
    except ProtocolError:
        return
    assert not answer.proved
    assert sum(map(len, answer.datagrams)) <= len(datagram)


@pytest.mark.parametrize(
    ("raw", "info"),
    [
        (PLAIN, SourceInfo(17, "A server", "map", 10, 5, 32, 2, "1.2.3")),
        (FULL, SourceInfo(17, "A server", "map", 730, 5, 32, 2, "1.2.3")),
        (RUST, SourceInfo(17, "Rust one", "map", 252490, 281, 300, 0, "2511")),
        (THE_SHIP, SourceInfo(7, "The Ship", "map", 2400, 2, 16, 0, "1.0")),
    ],
)
def test_the_asleep_answer_differs_in_name_and_players_only(raw: bytes, info: SourceInfo) -> None:
    assert parse_info(raw) == info
    assert parse_info(raw + b"more") == info
    asleep = asked_info(SleepingSource("Asleep: join", raw))
    parsed = parse_info(asleep)
    assert (parsed.name, parsed.players, parsed.bots) == ("Asleep: join", 0, 0)
    assert (parsed.map, parsed.app_id, parsed.maximum, parsed.version) == (
        info.map,
        info.app_id,
        info.maximum,
        info.version,
    )
    (start, rest), (start_asleep, rest_asleep) = raw.split(info.name.encode(), 1), asleep.split(b"Asleep: join", 1)
    assert start == start_asleep
    pairs = zip(rest, rest_asleep.replace(b",cp0,", b",cp281,"), strict=True)
    assert len([old for old, new in pairs if old != new]) <= 2


def test_bots_are_no_people() -> None:
    assert parse_info(PLAIN).people == 3
    assert parse_info(PLAIN.replace(b"\x05\x20\x02", b"\x01\x20\x02")).people == 0


def test_a_server_that_has_never_answered_has_a_name() -> None:
    parsed = parse_info(asked_info(SleepingSource("Asleep")))
    assert (parsed.name, parsed.players, parsed.maximum) == ("Asleep", 0, 0)
    responder = SourceResponder(KEY)
    assert ask(responder, Question.rules, SleepingSource("Asleep")) == [SINGLE + b"\x45\0\0"]
    assert ask(responder, Question.players, SleepingSource("Asleep", FULL, RULES)) == [SINGLE + b"\x44\0"]


def test_a_stored_answer_that_is_none_counts_as_unknown() -> None:
    assert parse_info(asked_info(SleepingSource("Asleep", PLAIN[:20]))).name == "Asleep"


def test_the_name_is_one_field_of_bounded_size() -> None:
    name = parse_info(asked_info(SleepingSource("a\0b\n" + "ü" * 200, PLAIN))).name
    assert name.startswith("a b ü")
    assert len(name.encode()) in (LONGEST_NAME, LONGEST_NAME - 1)


@pytest.mark.parametrize("info", [b"", FULL, GOLDSRC, OLD])
def test_long_answers_are_split_and_put_together_again_in_any_order(info: bytes) -> None:
    datagrams = ask(SourceResponder(KEY), Question.rules, SleepingSource("Asleep", info, MANY_RULES))
    assert len(datagrams) > 5
    assert max(map(len, datagrams)) <= LARGEST_PACKET
    for seed in range(20):
        shuffled = random.Random(seed).sample(datagrams, len(datagrams))
        query = SourceQuery(Question.rules)
        events = [query.receive(each) for each in [shuffled[0], *shuffled]]
        assert events == [None] * len(datagrams) + [RulesReceived(MANY_RULES)]


def test_the_answers_of_source_query_proxy() -> None:
    found = {}
    for question in Question:
        query = SourceQuery(question)
        events = [query.receive(each) for each in PROXIED[f"source-query-proxy {question.name}"]]
        found[question] = events[-1]
        assert all(each is None or isinstance(each, NextRequest) for each in events[:-1])
    info, rules = found[Question.info], found[Question.rules]
    assert isinstance(info, InfoReceived)
    assert (info.info.name, info.info.app_id, info.info.maximum) == ("Asleep: join to start", 892970, 64)
    assert found[Question.players] == PlayersReceived(())
    assert len(PROXIED["source-query-proxy rules"]) > 2
    assert isinstance(rules, RulesReceived)
    assert rules.raw.endswith(b"rule119\0a value of some length 119\0")


def test_the_headers_of_split_answers_are_those_of_the_game() -> None:
    def header(info: bytes) -> bytes:
        return ask(SourceResponder(KEY), Question.rules, SleepingSource("Asleep", info, MANY_RULES))[1]

    assert header(FULL)[:12] == SPLIT + b"\x01\0\0\0\x0a\x01\xe0\x04"
    assert header(GOLDSRC)[:9] == SPLIT + b"\x01\0\0\0\x1a"
    assert header(OLD)[:10] == SPLIT + b"\x01\0\0\0\x0a\x01"


def test_a_server_that_only_sends_challenges() -> None:
    query = SourceQuery(Question.info)
    for _ in range(MOST_CHALLENGES):
        query.receive(SINGLE + b"\x41abcd")
        assert query.request.endswith(b"Query\0abcd")
    with pytest.raises(ProtocolError, match="challenge"):
        query.receive(SINGLE + b"\x41abcd")


def test_an_answer_without_a_challenge_is_taken() -> None:
    assert SourceQuery(Question.info).receive(SINGLE + PLAIN) == InfoReceived(parse_info(PLAIN), PLAIN)


def test_players_by_name() -> None:
    found = SourceQuery(Question.players).receive(SINGLE + TWO_PLAYERS)
    assert found == PlayersReceived((SourcePlayer("Ada", 3, 1.0), SourcePlayer("Bob\ufffd", -2, 2.0)))


@pytest.mark.parametrize("answer", [PLAIN, TWO_PLAYERS, RULES, b"", b"\x6d"])
@pytest.mark.parametrize("question", Question)
def test_answers_to_other_questions_are_refused(question: Question, answer: bytes) -> None:
    expected = {Question.info: PLAIN, Question.players: TWO_PLAYERS, Question.rules: RULES}[question]
    query = SourceQuery(question)
    if answer == expected:
        assert query.receive(SINGLE + answer) is not None
    else:
        with pytest.raises(ProtocolError):
            query.receive(SINGLE + answer)


@pytest.mark.parametrize(("raw", "end"), [(FULL, b"1.2.3\0"), (RUST, b"2511\0"), (THE_SHIP, b"1.0\0")])
def test_info_truncated_at_every_byte(raw: bytes, end: bytes) -> None:
    before_flags = raw.index(end) + len(end)
    for size in range(len(raw)):
        if size == before_flags:
            assert parse_info(raw[:size]).name, "the oldest servers end here"
        else:
            with pytest.raises(ProtocolError):
                parse_info(raw[:size])


def test_players_truncated_at_every_byte() -> None:
    for size in range(len(TWO_PLAYERS)):
        with pytest.raises(ProtocolError):
            parse_players(TWO_PLAYERS[:size])


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=80),
            st.binary(max_size=80).map(lambda data: SINGLE + data),
            st.binary(max_size=80).map(lambda data: SPLIT + data),
            st.binary(max_size=80).map(lambda data: SINGLE + FULL[:30] + data),
        ),
        max_size=20,
    ),
    st.sampled_from(Question),
)
def test_any_datagrams_raise_nothing_else(datagrams: list[bytes], question: Question) -> None:
    query = SourceQuery(question)
    for datagram in datagrams:
        try:
            query.receive(datagram)
        except ProtocolError:
            continue
