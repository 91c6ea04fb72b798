"""The table of sessions: its bound, who gives way to newcomers, and who is idle."""

from __future__ import annotations

from msgspec import Struct

from zeroscale.relay.session_table import MOST_LOOKED_AT, SPARED_FOR, SessionTable


class Session(Struct):
    last: float
    assured: bool = False


def full(*sessions: Session) -> SessionTable[int, Session]:
    table: SessionTable[int, Session] = SessionTable(len(sessions), 60)
    for number, session in enumerate(sessions):
        assert table.room(0) == (True, None)
        table.add(number, session)
    return table


def test_sessions_are_found_and_forgotten() -> None:
    first, second = Session(0), Session(0)
    table = full(first, second)
    assert (table.get(0), len(table), list(table)) == (first, 2, [first, second])
    table.remove(0)
    table.remove(0)
    assert (table.get(0), len(table), table.room(0)) == (None, 1, (True, None))


def test_the_oldest_that_proved_nothing_gives_way() -> None:
    table = full(Session(0, assured=True), Session(1), Session(0))
    assert table.room(1 + SPARED_FOR) == (True, 1)


def test_one_that_was_used_just_now_does_not_give_way() -> None:
    assert full(Session(1), Session(2)).room(0.9 + SPARED_FOR) == (False, None)


def test_one_that_is_always_in_use_does_not_keep_the_places_of_the_others() -> None:
    table = full(Session(100), Session(1), Session(100), Session(0))
    assert table.room(100) == (True, 1)
    table.remove(1)
    table.add(4, Session(100))
    assert table.room(100) == (True, 3)


def test_few_of_those_in_use_are_looked_at_for_one_newcomer() -> None:
    table = full(*[Session(100)] * MOST_LOOKED_AT, Session(0))
    assert table.room(100) == (False, None)
    assert table.room(100) == (True, MOST_LOOKED_AT)


def test_those_that_answered_the_server_never_give_way() -> None:
    assert full(Session(0, assured=True), Session(0, assured=True)).room(1000) == (False, None)


def test_a_table_may_be_full_for_another_reason() -> None:
    table: SessionTable[int, Session] = SessionTable(10, 60)
    assert table.room(100, is_full=True) == (False, None)
    table.add(0, Session(1))
    assert table.room(100, is_full=True) == (True, 0)


def test_idle_sessions_are_named() -> None:
    assert full(Session(10), Session(9), Session(11)).idle(70) == [0, 1]
