"""The queue of one target: order, bounds, and when the next attempt is due."""

from __future__ import annotations

from pathlib import Path

from zeroscale.events import Ready, Refused
from zeroscale.notify.queue import (
    LONGEST_AGE,
    LONGEST_RETRY,
    MOST_REFUSED,
    MOST_WAITING,
    TargetQueue,
    Waiting,
)
from zeroscale.status import ClientInfo


def waiting(number: int = 0, at: float = 0.0) -> Waiting:
    return Waiting(str(number), Ready(server="a", at=at, seconds=1.0))


def ids(queue: TargetQueue) -> list[str]:
    found = []
    while (first := queue.next()) is not None:
        found.append(first.id)
        queue.delivered(first)
    return found


def test_the_order_is_that_of_the_events() -> None:
    queue = TargetQueue()
    for number in range(3):
        assert queue.add(waiting(number)) == []
    assert queue.restore([waiting(8), waiting(9)]) == []
    assert len(queue) == 5
    assert ids(queue) == ["8", "9", "0", "1", "2"]


def test_one_that_failed_stays_the_next() -> None:
    queue = TargetQueue()
    queue.add(waiting(1))
    queue.add(waiting(2))
    queue.failed(0.0, None)
    assert ids(queue) == ["1", "2"]


def test_attempts_back_off_and_begin_anew_after_a_success() -> None:
    queue = TargetQueue()
    queue.add(one := waiting())
    assert queue.delay(100.0) == 0.0
    delays = []
    for _ in range(12):
        queue.failed(100.0, None)
        delays.append(queue.delay(100.0))
    assert delays == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, LONGEST_RETRY, LONGEST_RETRY]
    assert queue.delay(100.0 + LONGEST_RETRY - 1.0) == 1.0
    queue.delivered(one)
    assert queue.delay(100.0) == 0.0
    queue.failed(100.0, None)
    assert queue.delay(100.0) == 1.0
    queue.retry_now()
    assert queue.delay(100.0) == 0.0


def test_the_receivers_own_time_counts() -> None:
    queue = TargetQueue()
    queue.failed(100.0, 42.5)
    assert queue.delay(100.0) == 42.5
    queue.failed(100.0, 0.0)
    assert queue.delay(100.0) == 1.0, "no receiver can make us ask without a pause"


def test_the_oldest_are_dropped_beyond_the_bound() -> None:
    queue = TargetQueue()
    for number in range(MOST_WAITING):
        assert queue.add(waiting(number)) == []
    [dropped] = queue.add(waiting(MOST_WAITING))
    assert (dropped.id, dropped.gone) == ("0", True)
    assert len(queue.restore([waiting(7), waiting(8)])) == 2
    assert (len(queue), queue.next() is not None and queue.next().id) == (MOST_WAITING, "1")  # type: ignore[union-attr]


def test_refused_logins_leave_room_for_the_rest() -> None:
    queue = TargetQueue()
    refused = [
        Waiting(str(n), Refused(server="a", at=0.0, client=ClientInfo(), reason="x")) for n in range(MOST_REFUSED + 1)
    ]
    assert [queue.add(each) for each in refused[:-1]] == [[]] * MOST_REFUSED
    assert queue.add(refused[-1]) == (refused[-1],)
    assert refused[-1].gone
    assert queue.add(waiting()) == []


def test_what_is_too_old_is_dropped() -> None:
    queue = TargetQueue()
    for number, at in enumerate([0.0, 10.0, 20.0]):
        queue.add(waiting(number, at))
    assert queue.expire(LONGEST_AGE) == []
    assert [each.id for each in queue.expire(LONGEST_AGE + 15.0)] == ["0", "1"]
    assert ids(queue) == ["2"]


def test_one_that_was_dropped_during_its_attempt_is_no_error() -> None:
    queue = TargetQueue()
    queue.add(one := waiting(1))
    queue.expire(LONGEST_AGE + 1.0)
    queue.add(waiting(2))
    queue.delivered(one)
    assert ids(queue) == ["2"]


def test_the_oldest_without_a_file() -> None:
    queue = TargetQueue()
    assert queue.first_unsaved() is None
    new = [waiting(number) for number in range(3)]
    for each in new:
        queue.add(each)
    assert queue.first_unsaved() is new[0]
    new[0].path = Path("/1")
    assert queue.first_unsaved() is new[1]
