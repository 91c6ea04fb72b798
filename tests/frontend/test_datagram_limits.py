"""How many answers addresses get that may be forged: by network, in all, and under a flood."""

from __future__ import annotations

import pytest

from zeroscale.frontend.datagram_limits import AnswerLimits, network_of


def taken(limits: AnswerLimits, host: str, times: int, now: float) -> int:
    return sum(limits.take(host, now) for _ in range(times))


def test_a_network_has_ten_answers_a_second() -> None:
    limits = AnswerLimits()
    assert taken(limits, "192.0.2.1", 100, 0.0) == 10
    assert taken(limits, "192.0.2.200", 100, 0.0) == 0
    assert taken(limits, "192.0.3.1", 100, 0.0) == 10
    assert taken(limits, "192.0.2.1", 100, 0.9) == 0
    assert taken(limits, "192.0.2.1", 100, 1.0) == 10


def test_all_networks_together_have_two_hundred_a_second() -> None:
    limits = AnswerLimits()
    assert sum(taken(limits, f"10.0.{number}.1", 2, 0.0) for number in range(256)) == 200
    assert sum(taken(limits, f"10.1.{number}.1", 1, 0.9) for number in range(256)) == 0
    assert sum(taken(limits, f"10.1.{number}.1", 1, 1.0) for number in range(256)) == 200


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2ff:3::4", "2001:db8:1:200::/56"),
        ("fe80::1%eth0", "fe80::/56"),
        ("local", "local"),
    ],
)
def test_networks(host: str, network: str) -> None:
    assert network_of(host) == network


def test_a_flood_from_a_hundred_thousand_addresses_gets_two_hundred_a_second_and_takes_no_memory() -> None:
    limits = AnswerLimits()
    answers = 0
    for number in range(100_000):
        answers += limits.take(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", number / 20_000)
        assert len(limits) <= 200
    assert answers == 5 * 200
