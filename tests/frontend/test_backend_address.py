"""The address of a real server for datagrams: given, looked up, looked up again, and another one where one refuses."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import DNSLookupError
from twisted.internet.task import Clock

from zeroscale.frontend.backend_address import KEPT, RETRY, BackendAddress


class Names:
    """A resolver whose lookups the test answers."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.lookups: list[tuple[str, Deferred[Any]]] = []
        self.found: list[None] = []
        self.address = BackendAddress(self.clock, lambda: self.found.append(None), self.resolve)

    async def resolve(self, clock: object, name: str, port: int) -> Any:
        lookup: Deferred[Any] = Deferred()
        self.lookups.append((name, lookup))
        return await lookup

    def answer(self, *hosts: str) -> None:
        self.lookups[-1][1].callback([(IPv6Address if ":" in host else IPv4Address)("TCP", host, 1) for host in hosts])

    def current(self, host: str = "game") -> str | None:
        found = self.address.current(host, 7)
        assert found is None or found[1] == 7
        return None if found is None else found[0]


def test_an_address_is_not_looked_up() -> None:
    names = Names()
    assert names.current("192.0.2.1") == "192.0.2.1"
    assert names.current("::1") == "::1"
    assert names.lookups == []


def test_a_name_is_looked_up_once_and_again_after_a_while() -> None:
    names = Names()
    assert names.current() is None
    assert names.current() is None
    assert len(names.lookups) == 1
    names.answer("192.0.2.1", "192.0.2.2")
    assert names.found == [None]
    assert names.current() == "192.0.2.1"
    names.clock.advance(KEPT)
    assert names.current() == "192.0.2.1"  # at once: the former one, until there is a newer one
    names.answer("192.0.2.3")
    assert names.current() == "192.0.2.3"
    assert len(names.lookups) == 2
    assert names.found == [None]


def test_a_lookup_that_fails_leaves_the_former_address_in_use_and_is_tried_again() -> None:
    names = Names()
    names.current()
    names.lookups[-1][1].errback(DNSLookupError("no name server answers"))
    assert names.found == [None]
    assert names.current() is None
    assert len(names.lookups) == 1
    names.clock.advance(RETRY)
    names.current()
    names.answer("192.0.2.1")
    names.clock.advance(KEPT)
    names.current()
    names.lookups[-1][1].errback(BlockingIOError(11, "no threads"))
    assert names.current() == "192.0.2.1"


def test_another_address_comes_first_once_one_has_refused() -> None:
    names = Names()
    names.current()
    names.answer("::1", "127.0.0.1")
    assert names.current() == "::1"
    names.address.refused("::1")
    assert names.current() == "127.0.0.1"
    names.clock.advance(KEPT)
    names.current()
    names.answer("::1", "127.0.0.1")
    assert names.current() == "127.0.0.1"  # which works, as far as is known


def test_another_name_forgets_the_addresses_of_the_former_one() -> None:
    names = Names()
    names.current()
    names.answer("192.0.2.1")
    assert names.current("other") is None
    names.answer("192.0.2.9")
    assert names.current("other") == "192.0.2.9"


def test_a_lookup_ends_when_it_is_closed() -> None:
    names = Names()
    names.current()
    names.address.close()
    assert names.lookups[0][1].called
    assert names.found == []
