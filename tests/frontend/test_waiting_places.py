"""Places of waiting clients: bounded, fair between addresses, and kept for names that a server knows."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from zeroscale.access_lists import parse_network
from zeroscale.frontend.waiting_places import KNOWN_PLACES, PLACES, WaitingPlaces

FRIEND = "203.0.113.200"


def test_many_addresses_do_not_keep_a_friend_out() -> None:
    waiting: WaitingPlaces[int] = WaitingPlaces(64)
    clients = range(36 * 64)
    taken = sum(waiting.take(number, f"203.0.113.{number % 36}", None)[0] for number in clients)
    assert (taken, len(waiting)) == (PLACES - KNOWN_PLACES, PLACES - KNOWN_PLACES)
    has_place, gave_way = waiting.take(-1, FRIEND, None)
    assert has_place and gave_way is not None and gave_way >= 0
    assert waiting.take(-2, FRIEND, None) == (False, None), "only an address without any client displaces another"
    assert waiting.take(-3, FRIEND, "Ada") == (True, None), "a known name has a place of its own"


def test_the_newest_client_of_the_address_with_the_most_gives_way() -> None:
    waiting: WaitingPlaces[str] = WaitingPlaces(64, places=4, known_places=0)
    for client in ("a1", "b1", "a2", "a3"):
        assert waiting.take(client, {"a": "203.0.113.1", "b": "203.0.113.2"}[client[0]], None) == (True, None)
    assert waiting.take("c1", FRIEND, None) == (True, "a3")
    assert waiting.take("d1", "198.51.100.1", None) == (True, "a2")
    assert waiting.take("e1", "198.51.100.2", None) == (False, None), "each address has only one"
    waiting.remove("c1")
    waiting.remove("never there")
    assert waiting.take("e1", "198.51.100.2", None) == (True, None)


def test_a_name_has_one_place_in_any_case_of_its_letters() -> None:
    waiting: WaitingPlaces[str] = WaitingPlaces(64, places=1, known_places=1)
    assert waiting.take("first", FRIEND, "Ada") == (True, None)
    assert waiting.take("second", FRIEND, "ADA") == (False, None)
    waiting.remove("first")
    assert waiting.take("second", FRIEND, "aDA") == (True, None)


def test_there_are_limited_places_for_known_names() -> None:
    waiting: WaitingPlaces[int] = WaitingPlaces(64)
    for number in range(KNOWN_PLACES):
        waiting.take(number, FRIEND, f"name{number}")
    for number in range(KNOWN_PLACES, KNOWN_PLACES + 64):
        assert waiting.take(number, FRIEND, f"name{number}") == (True, None), "among the others"
    assert waiting.take(9999, FRIEND, "one more") == (False, None)


def test_shared_addresses_have_no_bound_and_give_way_to_nobody() -> None:
    waiting: WaitingPlaces[int] = WaitingPlaces(1, [parse_network("192.0.2.0/24")], places=3, known_places=0)
    assert [waiting.take(number, "192.0.2.1", None)[0] for number in range(3)] == [True] * 3
    assert waiting.take(3, FRIEND, None) == (False, None)
    waiting = WaitingPlaces(64, places=2, known_places=0)
    waiting.take(0, FRIEND, None)
    waiting.take(1, FRIEND, None)
    assert waiting.take(2, "127.0.0.1", None) == (True, 1)


def test_a_shared_address_with_waiting_clients_displaces_nobody() -> None:
    waiting: WaitingPlaces[str] = WaitingPlaces(64, places=3, known_places=0)
    for client, address in (("sibling", FRIEND), ("other sibling", FRIEND), ("tunnel", "127.0.0.1")):
        assert waiting.take(client, address, None) == (True, None)
    assert waiting.take("another by the tunnel", "127.0.0.1", None) == (False, None)


class Waiting(RuleBasedStateMachine):
    """A table of few places, and a list of who should have one."""

    def __init__(self) -> None:
        super().__init__()
        self.table: WaitingPlaces[int] = WaitingPlaces(3, places=8, known_places=2)
        self.known: dict[int, str] = {}
        self.rest: dict[int, int] = {}
        self.next = 0

    @rule(host=st.integers(1, 9), name=st.sampled_from([None, "Ada", "ADA", "Bob", "Eve"]))
    def come(self, host: int, name: str | None) -> None:
        client, self.next = self.next, self.next + 1
        before = Counter(self.rest.values())
        has_place, gave_way = self.table.take(client, f"203.0.113.{host}", name)
        kept = name is not None and name.lower() not in self.known.values() and len(self.known) < 2
        if kept:
            assert (has_place, gave_way) == (True, None)
            self.known[client] = str(name).lower()
            return
        if gave_way is not None:
            loser = self.rest.pop(gave_way)
            assert before[loser] == max(before.values()) >= 2
            assert before[host] == 0
        if not before[host] and (sum(before.values()) < 6 or max(before.values()) > 1):
            assert has_place
        if has_place:
            self.rest[client] = host
        else:
            assert before[host] == 3 or sum(before.values()) == 6

    @rule(pick=st.integers(0, 20))
    def leave(self, pick: int) -> None:
        clients = [*self.known, *self.rest]
        if clients:
            client = clients[pick % len(clients)]
            self.known.pop(client, None)
            self.rest.pop(client, None)
            self.table.remove(client)

    @invariant()
    def is_bounded(self) -> None:
        assert len(self.table) == len(self.known) + len(self.rest) <= 8


TestWaiting = Waiting.TestCase


@given(st.text(), st.text() | st.none())
def test_any_address_and_name_is_accepted(address: str, name: str | None) -> None:
    waiting: WaitingPlaces[int] = WaitingPlaces(1)
    assert waiting.take(1, address, name) == (True, None)
    waiting.remove(1)
    assert len(waiting) == 0
