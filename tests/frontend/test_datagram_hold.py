"""Datagrams kept for a server that starts: the last eight of each client, bounded in clients and bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zeroscale.frontend.datagram_hold import MOST_DATAGRAMS, SPARED_FOR, DatagramHold


def test_the_last_datagrams_of_a_client_are_kept_in_their_order() -> None:
    hold: DatagramHold[str] = DatagramHold()
    for number in range(20):
        assert hold.keep("client", b"%d" % number, 0.0)
    assert hold.keep("other", b"x", 0.0)
    assert hold.clients() == ["client", "other"]
    assert hold.take("client") == [b"%d" % number for number in range(12, 20)]
    assert hold.displaced == 12
    assert hold.take("client") == []
    assert "client" not in hold


def test_a_newcomer_takes_the_place_of_one_that_has_sent_once_and_is_silent() -> None:
    hold: DatagramHold[str] = DatagramHold(clients=2)
    hold.keep("once", b"x", 0.0)
    hold.keep("twice", b"x", 0.0)
    hold.keep("twice", b"y", 0.1)
    assert not hold.keep("newcomer", b"x", SPARED_FOR / 2)
    assert hold.keep("newcomer", b"x", SPARED_FOR)
    assert hold.clients() == ["twice", "newcomer"]
    assert hold.displaced == 1
    assert not hold.keep("another", b"x", 2 * SPARED_FOR - 0.1)


def test_the_bytes_of_all_clients_are_bounded() -> None:
    hold: DatagramHold[int] = DatagramHold(size=100)
    assert hold.keep(1, bytes(60), 0.0)
    assert not hold.keep(2, bytes(41), 0.0)
    assert hold.keep(2, bytes(40), 0.0)
    assert not hold.keep(1, b"x", 0.0)
    hold.take(2)
    assert hold.keep(1, bytes(40), 0.0)
    assert hold.clear() == 2
    assert hold.keep(3, bytes(100), 0.0)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40), st.booleans()), max_size=200))
def test_it_never_holds_more_than_allowed(steps: list[tuple[int, int, bool]]) -> None:
    hold: DatagramHold[int] = DatagramHold(clients=4, size=200)
    held: dict[int, list[bytes]] = {}
    for now, (client, size, taken) in enumerate(steps):
        if taken:
            assert sum(map(len, hold.take(client))) <= 200
        else:
            hold.keep(client, bytes(size), float(now))
        held = {each: [] for each in hold.clients()}
        assert len(held) <= 4
    kept = {client: hold.take(client) for client in held}
    assert all(0 < len(each) <= MOST_DATAGRAMS for each in kept.values())
    assert sum(len(datagram) for each in kept.values() for datagram in each) <= 200
    assert hold.keep(9, bytes(200), 0.0)  # all of the room is free again
