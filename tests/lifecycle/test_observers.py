from __future__ import annotations

from twisted.python.failure import Failure

from zeroscale.lifecycle.observers import Observers


def test_all_observers_are_called_though_one_raises() -> None:
    faults: list[Failure] = []
    seen: list[int] = []

    def raises(what: int) -> None:
        raise ValueError(what)

    observers: Observers[int] = Observers(faults.append)
    observers.add(seen.append)
    observers.add(raises)
    observers.add(seen.append)
    observers.notify(1)
    observers.notify(2)
    assert seen == [1, 1, 2, 2]
    assert [fault.getErrorMessage() for fault in faults] == ["1", "2"]


def test_an_observer_added_during_a_change_is_called_at_the_next() -> None:
    seen: list[int] = []
    observers: Observers[int] = Observers(lambda fault: None)
    observers.add(lambda what: observers.add(seen.append) if what == 1 else None)
    observers.notify(1)
    observers.notify(2)
    assert seen == [2]


def test_an_observer_that_is_removed_is_called_no_more() -> None:
    seen: list[int] = []
    observers: Observers[int] = Observers(lambda fault: None)
    remove = observers.add(seen.append)
    observers.notify(1)
    remove()
    remove()
    observers.notify(2)
    assert seen == [1]
