"""The bounded table of connections, and the keys by which addresses are counted."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.frontend.connection_limits import PendingConnections, is_within, normalised, rate_limit_key


def test_the_oldest_of_an_address_is_evicted() -> None:
    pending_connections: PendingConnections[str] = PendingConnections(per_address=2, total=10)
    assert pending_connections.add("a1", "203.0.113.1") is None
    assert pending_connections.add("b1", "203.0.113.2") is None
    assert pending_connections.add("a2", "203.0.113.1") is None
    assert pending_connections.add("a3", "203.0.113.1") == "a1"
    assert pending_connections.add("a4", "203.0.113.1") == "a2"
    assert len(pending_connections) == 3


def test_the_oldest_of_all_is_evicted() -> None:
    pending_connections: PendingConnections[int] = PendingConnections(per_address=10, total=2)
    assert pending_connections.add(1, "203.0.113.1") is None
    assert pending_connections.add(2, "203.0.113.2") is None
    assert pending_connections.add(3, "203.0.113.3") == 1
    assert len(pending_connections) == 2


def test_a_removed_connection_does_not_count() -> None:
    pending_connections: PendingConnections[int] = PendingConnections(per_address=1, total=1)
    pending_connections.add(1, "203.0.113.1")
    pending_connections.remove(1)
    pending_connections.remove(1)
    assert len(pending_connections) == 0
    assert pending_connections.add(2, "203.0.113.1") is None


def test_an_ipv6_peer_has_its_whole_network() -> None:
    pending_connections: PendingConnections[int] = PendingConnections(per_address=1, total=10)
    pending_connections.add(1, "2001:db8:1:2::1")
    assert pending_connections.add(2, "2001:db8:1:2:ffff::2") == 1
    assert pending_connections.add(3, "2001:db8:1:3::1") is None


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "10.1.2.3", "2001:db8::7", "local"])
def test_loopback_and_trusted_networks_have_no_bound(address: str) -> None:
    trusted = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8::/32")]
    pending_connections: PendingConnections[int] = PendingConnections(per_address=1, total=3, trusted=trusted)
    assert [pending_connections.add(number, address) for number in range(4)] == [None, None, None, 0]


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from(["203.0.113.1", "203.0.113.2", "::1"]), st.integers(0, 30)),
        max_size=100,
    )
)
def test_any_order_of_connections_keeps_the_bounds(steps: list[tuple[bool, str, int]]) -> None:
    pending_connections: PendingConnections[int] = PendingConnections(per_address=3, total=5)
    there: dict[int, str] = {}
    for comes, address, number in steps:
        if comes and number not in there:
            evicted = pending_connections.add(number, address)
            assert evicted != number
            if evicted is not None:
                of_address = [each for each in there if there[each] == address]
                bound = address != "::1" and len(of_address) == 3
                assert evicted == (of_address if bound else list(there))[0]
                del there[evicted]
            there[number] = address
        elif not comes:
            pending_connections.remove(number)
            there.pop(number, None)
        assert len(pending_connections) == len(there) <= 5
        assert len(pending_connections._by_key) <= len(pending_connections), "an address that has left leaves a trace"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("::FFFF:cb00:7107", "203.0.113.7"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("local", "local"),
        ("", ""),
    ],
)
def test_normalised(address: str, expected: str) -> None:
    assert normalised(address) == expected
    assert normalised(expected) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [("203.0.113.7", "203.0.113.7"), ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"), ("local", "local"), ("a:b", "a:b")],
)
def test_rate_limit_key_groups_by_network(address: str, expected: str) -> None:
    assert rate_limit_key(address) == expected


@pytest.mark.parametrize(
    ("address", "within"), [("10.1.2.3", True), ("11.0.0.1", False), ("fd00::1", True), ("local", False), ("", False)]
)
def test_networks(address: str, within: bool) -> None:
    networks = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")]
    assert is_within(address, networks) is within
