"""The Quake 3 queries: real clients' questions, OpenArena's answers, and bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocols.udp_captures import SERVERS, questions

from zeroscale.errors import ProtocolError
from zeroscale.protocols.quake_query import (
    GET_INFO,
    GET_STATUS,
    HEADER,
    LARGEST_ANSWER,
    MOST_PLAYERS,
    QuakePlayer,
    QuakeQuery,
    SleepingQuake,
    answer,
    parse_info,
    parse_status,
)

INFO, STATUS = SERVERS["openarena getinfo"], SERVERS["openarena getstatus"]
ASLEEP = SleepingQuake("Asleep: join", INFO, STATUS)


def answered(question: bytes, sleeping: SleepingQuake = ASLEEP) -> bytes:
    given_answer = answer(HEADER + question, sleeping)
    assert not given_answer.proved
    [datagram] = given_answer.datagrams
    return datagram


def test_openarenas_answers() -> None:
    info = QuakeQuery(GET_INFO, b"abc12").receive(INFO)
    assert (info.variables["hostname"], info.variables["mapname"]) == ("^1Red ^7Arena", "oa_dm1")
    assert parse_info(INFO).players == 0, "a bot is no player"
    assert parse_info(INFO).maximum == 8
    status = parse_status(STATUS)
    assert QuakeQuery(GET_STATUS, b"abc12").receive(STATUS) == status
    assert status.players == (QuakePlayer("Sarge", 0, 0),)
    assert status.variables["com_protocol"] == "71"


@pytest.mark.parametrize("client", questions("quake"))
def test_real_clients_questions_are_answered(client: str) -> None:
    for question, proved in questions("quake")[client]:
        assert not proved
        [datagram] = answer(question, ASLEEP).datagrams
        assert b"Asleep: join" in datagram


def test_the_asleep_answers_differ_in_name_and_players_only() -> None:
    busy = INFO.replace(b"\\g_humanplayers\\0", b"\\g_humanplayers\\3").replace(b"\\clients\\1", b"\\clients\\4")
    assert parse_info(busy).players == 3
    info, real = parse_info(answered(b"getinfo x1", SleepingQuake("Asleep: join", busy, STATUS))), parse_info(INFO)
    changed = {"hostname": "Asleep: join", "clients": "0", "g_humanplayers": "0", "challenge": "x1"}
    assert info.variables == {**real.variables, **changed}
    status, real_status = parse_status(answered(b"getstatus x1")), parse_status(STATUS)
    assert status.variables == {**real_status.variables, "sv_hostname": "Asleep: join", "challenge": "x1"}
    assert status.players == ()
    assert answered(b"getstatus x1").endswith(b"\n")


def test_a_server_that_has_answered_one_question_only() -> None:
    status = parse_status(answered(b"getstatus", SleepingQuake("Asleep", info=INFO)))
    assert (status.variables["mapname"], status.variables["com_protocol"]) == ("oa_dm1", "71")
    info = parse_info(answered(b"getinfo", SleepingQuake("Asleep", status=STATUS)))
    assert (info.variables["protocol"], info.maximum, info.players) == ("71", 8, 0)


def test_a_server_that_has_never_answered_has_a_name() -> None:
    assert parse_info(answered(b"getinfo", SleepingQuake("Asleep"))).variables["hostname"] == "Asleep"
    assert parse_status(answered(b"getstatus", SleepingQuake("Asleep"))).variables["sv_hostname"] == "Asleep"


@pytest.mark.parametrize(
    ("question", "echoed"),
    [
        (b"getinfo abc", "abc"),
        (b"GETINFO abc def", "abc"),
        (b"getinfo  abc\n", "abc"),
        (b"getinfo abc\0more", "abc"),
        (b"getinfo " + b"x" * 128, "x" * 128),
        (b"getinfo", None),
        (b"getinfo\n", None),
        (b"getinfo a\\b", None),
        (b"getinfo a;b", None),
        (b'getinfo "ab"', None),
        (b"getinfo \xff\x01", None),
    ],
)
def test_the_challenge_is_echoed_where_it_can_be(question: bytes, echoed: str | None) -> None:
    assert parse_info(answered(question)).variables.get("challenge") == echoed


def test_a_long_challenge_has_no_answer() -> None:
    assert answer(HEADER + b"getinfo " + b"x" * 129, ASLEEP).datagrams == ()


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        HEADER,
        b"getinfo",
        HEADER + b"rcon x status",
        HEADER + b"getinfox",
        HEADER + b"\0getinfo",
        HEADER + b"getinfo " * 200,
    ],
)
def test_what_is_no_question(datagram: bytes) -> None:
    with pytest.raises(ProtocolError):
        answer(datagram, ASLEEP)


def test_the_name_is_one_value_of_bounded_size() -> None:
    name = parse_info(answered(b"getinfo", SleepingQuake('a\\b\n"c"; 100% ü' + "x" * 99))).variables["hostname"]
    assert name.startswith("a/b 'c', 100 ?xxx")
    assert len(name) == 64


def test_names_without_colours_and_with_teams() -> None:
    raw = HEADER + b'statusResponse\n\\a\\b\n-5 48 "^1Ad^xFF00aaa ^7x"\n3 999 1 "Bob"\nnonsense\n1 2 "unclosed\n'
    assert parse_status(raw).players == (QuakePlayer("Ada x", -5, 48), QuakePlayer("Bob", 3, 999))


def test_clients_are_counted_where_people_are_not() -> None:
    assert parse_info(HEADER + b"infoResponse\n\\clients\\3\\sv_maxclients\\8").players == 3
    assert parse_info(HEADER + b"infoResponse\n\\clients\\x\\sv_maxclients\\-8\\odd").players == 0


def test_an_answer_to_another_query_is_refused() -> None:
    with pytest.raises(ProtocolError, match="another"):
        QuakeQuery(GET_INFO, b"other").receive(INFO)
    assert QuakeQuery(GET_INFO, b"x").receive(HEADER + b"infoResponse\n\\a\\b").variables == {"a": "b"}


@pytest.mark.parametrize("raw", [INFO, STATUS])
def test_answers_truncated_at_every_byte(raw: bytes) -> None:
    parse = parse_info if raw is INFO else parse_status
    begin = raw.index(b"\n") + 2
    for size in range(len(raw)):
        if size < begin:
            with pytest.raises(ProtocolError):
                parse(raw[:size])
        else:
            parse(raw[:size])


def test_answers_are_bounded() -> None:
    with pytest.raises(ProtocolError, match="more than"):
        parse_info(HEADER + b"infoResponse\n\\" + b"a" * LARGEST_ANSWER)
    crowd = HEADER + b"statusResponse\n\\a\\b\n" + b'1 1 ""\n' * 2000
    assert len(parse_status(crowd).players) == MOST_PLAYERS


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", HEADER, HEADER + b"infoResponse\n\\", HEADER + b"statusResponse\n\\", HEADER + b"getinfo "]),
)
def test_any_datagram_raises_nothing_else(data: bytes, start: bytes) -> None:
    for parse in (parse_info, parse_status, lambda each: answer(each, SleepingQuake("x", each, each))):
        try:
            parse(start + data)
        except ProtocolError:
            continue
