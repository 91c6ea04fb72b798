from __future__ import annotations

from twisted.python.failure import Failure

from zeroscale.lifecycle.observers import Observers


def test_all_are_told_though_one_raises() -> None:
    faults: list[Failure] = []
    seen: list[int] = []

    def raises(what: int) -> None:
        raise ValueError(what)

    watchers: Observers[int] = Observers(faults.append)
    watchers.add(seen.append)
    watchers.add(raises)
    watchers.add(seen.append)
    watchers.notify(1)
    watchers.notify(2)
    assert seen == [1, 1, 2, 2]
    assert [fault.getErrorMessage() for fault in faults] == ["1", "2"]


def test_one_who_comes_while_others_are_told_is_told_the_next_time() -> None:
    seen: list[int] = []
    watchers: Observers[int] = Observers(lambda fault: None)
    watchers.add(lambda what: watchers.add(seen.append) if what == 1 else None)
    watchers.notify(1)
    watchers.notify(2)
    assert seen == [2]
