"""The queue of datagrams: bounds, and what is kept for a session that is being opened."""

from __future__ import annotations

from zeroscale.relay.datagram_queue import MOST_TAKEN, MOST_WAITING, MOST_WAITING_BYTES, DatagramQueue


def test_clients_are_taken_in_turn_with_all_that_they_sent() -> None:
    queue: DatagramQueue[str] = DatagramQueue()
    for key, datagram in (("a", b"1"), ("b", b"2"), ("a", b"3")):
        assert queue.put(key, datagram)
    assert queue.has_waiting
    assert queue.take() == ("a", [b"1", b"3"])
    assert queue.take() == ("b", [b"2"])
    assert queue.take() is None
    assert not queue.has_waiting


def test_a_flood_of_one_client_is_taken_in_parts_between_the_others() -> None:
    queue: DatagramQueue[str] = DatagramQueue()
    sent = [b"%d" % number for number in range(MOST_TAKEN + 1)]
    for datagram in sent:
        queue.put("a", datagram)
    queue.put("b", b"x")
    assert queue.take() == ("a", sent[:-1])
    queue.put("a", b"last")
    assert queue.take() == ("b", [b"x"])
    queue.expect("a")
    assert list(queue.collect("a")) == [sent[-1], b"last"]
    assert queue.take() is None
    assert all(queue.put("c", b"") for _ in range(MOST_WAITING))


def test_what_an_expected_client_sends_is_collected_in_order() -> None:
    queue: DatagramQueue[str] = DatagramQueue()
    queue.put("a", b"1")
    queue.put("b", b"2")
    queue.expect("a")
    queue.put("a", b"3")
    assert queue.take() == ("b", [b"2"])
    assert queue.take() is None
    assert list(queue.collect("a")) == [b"1", b"3"]
    queue.put("a", b"4")
    assert queue.take() == ("a", [b"4"])


def test_the_number_is_bounded_whoever_waits() -> None:
    queue: DatagramQueue[int] = DatagramQueue()
    queue.expect(0)
    assert all(queue.put(number % 3, b"") for number in range(MOST_WAITING))
    assert not queue.put(0, b"")
    assert not queue.put(7, b"")
    assert queue.take() is not None
    assert queue.put(7, b"")
    while queue.take():
        pass
    queue.collect(0)
    assert all(queue.put(number, b"") for number in range(MOST_WAITING))


def test_the_bytes_are_bounded() -> None:
    queue: DatagramQueue[int] = DatagramQueue()
    longest = bytes(65507)
    accepted = sum(queue.put(number, longest) for number in range(MOST_WAITING))
    assert accepted == MOST_WAITING_BYTES // len(longest)
    queue.take()
    assert queue.put(1, longest)
