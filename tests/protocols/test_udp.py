"""What of the datagrams of an unknown protocol wakes a server: by number, by a pattern, and under a flood."""

from __future__ import annotations

import contextlib
import itertools
import tracemalloc

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.errors import ProtocolError
from zeroscale.protocols.sniffing import LONGEST_MATCHING
from zeroscale.protocols.udp import (
    MOST_ADDRESSES,
    PAUSE,
    AddressCounts,
    PatternConversation,
    UdpConversation,
    WakeRule,
)

RULE = WakeRule(3, 10.0)
HONEST = "192.0.2.1"


def wakes(conversation: UdpConversation, datagram: bytes = b"x", host: str = HONEST, now: float = 0.0) -> bool:
    return conversation.receive(datagram, host, 1024, now).wake is not None


def test_the_last_datagram_of_the_rule_wakes() -> None:
    conversation = UdpConversation(RULE)
    assert [wakes(conversation, now=now) for now in (0.0, 5.0, 9.9)] == [False, False, True]
    assert [wakes(conversation, now=now) for now in (20.0, 21.0, 22.0)] == [False, False, True]  # counted anew


def test_datagrams_that_are_too_far_apart_do_not_wake() -> None:
    conversation = UdpConversation(RULE)
    assert not any(wakes(conversation, now=now) for now in (0.0, 6.0, 12.0, 18.0, 24.0))
    assert wakes(conversation, now=27.0)  # 18, 24 and 27


def test_one_datagram_is_enough_where_the_rule_says_so() -> None:
    assert wakes(UdpConversation(WakeRule(1, 10.0)))


def test_datagrams_are_counted_by_address_and_not_by_port() -> None:
    conversation = UdpConversation(RULE)
    replies = [conversation.receive(b"x", HONEST, port, 0.0).wake for port in (1, 2)]
    assert replies == [None, None]
    assert not wakes(conversation, host="192.0.2.2")
    assert wakes(conversation)


def test_nothing_is_answered() -> None:
    conversation = UdpConversation(WakeRule(1, 1.0))
    assert conversation.receive(b"x", HONEST, 1, 0.0).datagrams == ()
    assert conversation.opens_session(b"")
    assert (*conversation.tick(0.0), *conversation.server_ready(0.0)) == ()
    assert conversation.answer_running(b"x", HONEST, 1, 0.0).datagrams == ()
    assert conversation.refuse(HONEST, 1, {"text": "no"}, 0.0).datagrams == ()


def test_a_client_that_sends_again_keeps_its_place_in_a_flood() -> None:
    counts = AddressCounts(RULE, most=100)
    flood = (f"10.0.{number // 250}.{number % 250}" for number in range(100_000))
    assert not counts.count(HONEST, 0.0)
    for _ in range(50):
        counts.count(next(flood), 0.0)
    assert not counts.count(HONEST, 0.1)
    for _ in range(10_000):
        counts.count(next(flood), 0.2)
    assert counts.count(HONEST, 0.3)
    assert len(counts) <= 100


def test_addresses_that_have_sent_twice_crowd_out_newcomers_only_for_the_time_of_the_rule() -> None:
    counts = AddressCounts(RULE, most=100)
    for _ in range(2):
        for number in range(100):
            counts.count(f"10.0.0.{number}", 0.0)
    with pytest.raises(ProtocolError, match="more than 100 addresses within 10 s"):
        counts.count(HONEST, 5.0)
    assert not counts.count(HONEST, 10.0)
    assert len(counts) == 1


def test_a_flood_takes_no_more_memory_than_the_table_may_have() -> None:
    tracemalloc.start()
    counts = AddressCounts(RULE)
    for number in range(4 * MOST_ADDRESSES):
        counts.count(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", number / 1e6)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * 1024 * 1024


@pytest.mark.slow
def test_a_million_forged_datagrams_of_a_hundred_thousand_addresses_wake_nothing() -> None:
    """Each address sends ten, one in 12 s; an honest client among them wakes the server."""
    conversation = UdpConversation(RULE)
    addresses = [f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in range(100_000)]
    for turn in range(10):
        for number, address in enumerate(addresses):
            assert not wakes(conversation, b"", address, 12.0 * turn + number * 12.0 / 100_000)
    woken = []
    for number in range(4 * MOST_ADDRESSES):  # 4000 of them in a second, and three from a client within it
        now = 120.0 + number / 4000
        if number % 2000 == 0:
            woken.append(wakes(conversation, b"honest", HONEST, now))
        wakes(conversation, b"", addresses[number], now)
    assert True in woken[:4]


@given(st.lists(st.floats(0.0, 40.0), min_size=1, max_size=40), st.integers(1, 5), st.floats(0.5, 20.0))
def test_a_session_that_must_have_met_the_rule_has_met_it(times: list[float], count: int, seconds: float) -> None:
    rule = WakeRule(count, seconds)
    times.sort()
    if rule.is_met_by(len(times), times[-1] - times[0]):
        assert any(last - first < seconds for first, last in zip(times, times[count - 1 :], strict=False))


def test_sessions_of_clients_meet_the_rule_and_those_of_scanners_do_not() -> None:
    assert RULE.is_met_by(3, 0.5)
    assert RULE.is_met_by(60 * 20, 60.0)
    assert not RULE.is_met_by(2, 0.1)
    assert not RULE.is_met_by(3, 60.0)
    assert not RULE.is_met_by(1, -0.001), "a datagram that came before the session was noted"
    assert WakeRule(1, 10.0).is_met_by(1, 0.0)


def test_a_pattern_matches_from_the_first_byte_on() -> None:
    conversation = PatternConversation(regex.compile(rb"\x01.hello", regex.DOTALL), lambda: 0.0)
    assert not wakes(conversation, b" \x01\nhello")
    assert wakes(conversation, b"\x01\nhello world")
    assert conversation.rule is None


def test_a_pattern_that_takes_long_is_not_tried_again_at_once() -> None:
    conversation = PatternConversation(regex.compile(rb"(a|aa|a+)+$"), lambda: 0.0)
    with pytest.raises(ProtocolError, match="takes too long"):
        wakes(conversation, b"a" * 1000 + b"b")
    with pytest.raises(ProtocolError, match="on another datagram"):
        wakes(conversation, b"aaa", now=PAUSE / 2)
    assert wakes(conversation, b"aaa", now=PAUSE)


def test_many_matches_that_take_a_while_each_take_a_share_of_the_time() -> None:
    used = itertools.count(0, LONGEST_MATCHING / 4)  # at the beginning of a match, and at its end
    conversation = PatternConversation(regex.compile(b"a"), cpu=lambda: float(next(used)))
    matched = 0
    for step in range(10_000):
        with contextlib.suppress(ProtocolError):
            matched += wakes(conversation, b"a", now=step / 10_000)
    at_once, in_a_second = 4, 4 / PAUSE
    assert matched == pytest.approx(at_once + in_a_second, abs=2)


def test_a_good_pattern_is_matched_as_often_as_datagrams_come() -> None:
    conversation = PatternConversation(regex.compile(b"a"), cpu=lambda: 0.0)
    assert all(wakes(conversation, b"a") for _ in range(10_000))
