"""Rows from events: durations by the monotonic clock, and bounds."""

from __future__ import annotations

from collections.abc import Callable

from history.server import ADA, BOB, Server
from history.times import START, Times

from zeroscale.events import Cause, CauseKind, Failed, GivenUp
from zeroscale.history import journal as limits
from zeroscale.history.database import COLUMNS
from zeroscale.history.journal import LONGEST_DETAIL, ServerJournal
from zeroscale.history.values import Activity
from zeroscale.status import ClientInfo


def rows(journal: ServerJournal, table: str) -> list[dict[str, object]]:
    """Return the latest values of each row of a table, with names, in the order of their keys."""
    latest = {row.key: row for row in journal.take() if row.table == table}
    return [dict(zip(COLUMNS[table], latest[key].values, strict=True)) for key in sorted(latest)]


def server(*, addresses: bool = True) -> Server:
    times = Times()
    return Server(times, times.journal(addresses=addresses))


def test_a_wake_is_one_row_with_its_duration() -> None:
    one = server()
    one.wakes()
    assert [(row["name"], row["seconds"]) for row in rows(one.journal, "entries")] == [("Ada", None)]
    one.times.advance(34.2)
    one.is_ready(34.2)
    [row] = rows(one.journal, "entries")
    assert (row["at"], row["event"], row["cause"], row["seconds"]) == (START, "woken", "login", 34.2)
    assert (row["name"], row["address"]) == ("Ada", "203.0.113.7")


def test_a_wake_that_fails_has_no_duration() -> None:
    one = server()
    one.wakes()
    one.fails("start")
    one.is_ready(5.0, found=True)
    woken, failed, found = rows(one.journal, "entries")
    assert (woken["event"], woken["seconds"]) == ("woken", None)
    assert (failed["event"], failed["cause"], failed["detail"]) == ("failed", "start", "exit code 1\nlast line")
    assert found["event"] == "found"


def test_a_stop_names_its_cause() -> None:
    one = server()
    one.stops(Cause(CauseKind.operator, operator="max", detail="because"))
    [row] = rows(one.journal, "entries")
    assert (row["cause"], row["operator"], row["detail"], row["seconds"]) == ("operator", "max", "because", 2.0)


def test_giving_up() -> None:
    one = server()
    one.journal.record(GivenUp(server="s", at=START, crashes=5, reason="it broke"))
    [row] = rows(one.journal, "entries")
    assert row["detail"] == "after 5 failures in a row: it broke"


def test_a_session_is_one_row_from_its_begin() -> None:
    one = server()
    one.joins(BOB)
    [row] = rows(one.journal, "sessions")
    assert (row["state"], row["name"], row["address"]) == ("open", "Bob", "2001:db8::1")
    one.times.advance(100.0)
    one.leaves(BOB, 102.0)
    [row] = rows(one.journal, "sessions")
    assert (row["state"], row["seconds"], row["to_server"], row["to_client"]) == ("ended", 102.0, 100, 2000)
    assert row["at"] == START - 2.0, "it was connected before it was known to be a player"


def test_open_sessions_and_the_activity_are_written_at_times() -> None:
    one = server()
    one.wakes()
    one.joins()
    one.times.advance(600.0)
    one.journal.take()
    one.journal.flush()
    written = one.journal.take()
    values = {row.table: row.values for row in written}
    assert values["sessions"][:3] == (START, 600.0, "open")
    assert values["periods"] == (START, 600.0, "awake")
    assert not any(row.final for row in written)
    one.journal.flush(final=True)
    written = one.journal.take()
    assert all(row.final for row in written)
    assert {row.values[2] for row in written if row.table == "sessions"} == {"lost"}


def test_activities_follow_each_other() -> None:
    one = server()
    steps: list[tuple[float, Callable[[], None]]] = [
        (10, one.wakes),
        (20, one.is_ready),
        (30, one.pauses),
        (40, one.wakes),
        (50, one.stops),
        (60, one.wakes),
        (70, lambda: one.fails("stop")),
        (80, lambda: one.fails("run")),
    ]
    for seconds, happens in steps:
        one.times.advance(seconds)
        happens()
    assert one.journal.activity is Activity.asleep
    one.times.advance(90)
    one.journal.flush(final=True)
    periods = [(row["activity"], row["seconds"]) for row in rows(one.journal, "periods")]
    assert periods == [
        ("asleep", 10),
        ("awake", 50),
        ("paused", 40),
        ("awake", 50),
        ("asleep", 60),
        ("awake", 150),
        ("asleep", 90),
    ]


def test_the_wall_clock_does_not_change_durations() -> None:
    one = server()
    one.times.advance(1000.0)
    one.times.jumped = 50 * 365 * 86400.0  # a machine without a battery learns the time late
    one.wakes()
    one.joins()
    one.times.jumped -= 3600.0
    one.times.advance(10.0)
    one.leaves(ADA, 10.0)
    one.stops()
    written = one.journal.take()
    periods = [row.values for row in written if row.table == "periods"]
    assert [period[1] for period in periods] == [1000.0, 10.0]
    assert periods[0][0] == one.times.wall() + 3600.0 - 1010.0, "by the first time that is known"
    [session] = [row for row in written if row.table == "sessions" and row.final]
    assert session.values[1] == 10.0


def test_refusals_are_bounded_and_summed_up() -> None:
    one = server()
    for _ in range(317):
        one.refuses(ADA)
    for number in range(3):
        one.refuses(BOB, f"rule {number}")
    one.times.advance(limits.MINUTE)
    one.refuses(ADA)
    refused = rows(one.journal, "entries")
    assert [row["count"] for row in refused] == [1] * limits.PER_ADDRESS + [1, 1, 1, 312, 1]
    assert (refused[-2]["cause"], refused[-2]["name"], refused[-2]["at"]) == ("banned", "", START)


def test_a_minute_has_few_rows_however_many_addresses_there_are() -> None:
    one = server()
    for number in range(10_000):
        client = ClientInfo(f"Bot{number}", f"192.0.2.{number % 256}:1", f"key {number}")
        one.refuses(client, f"rule {number % 1000}")
        one.joins(client)
        one.leaves(client, 3.0)
        one.wakes(client)
    one.journal.flush()
    written = rows(one.journal, "entries")
    assert len(written) <= 2 * limits.PER_MINUTE + 2 * limits.MOST_SUMS
    assert sum(int(str(row["count"])) for row in written if row["event"] == "refused") == 10_000
    assert sum(int(str(row["count"])) for row in written if row["event"] == "woken") == 10_000


def test_connections_of_a_busy_server_are_summed_up() -> None:
    one = server()
    for number in range(5000):
        client = ClientInfo("", f"192.0.2.1:{number}", "192.0.2.1")
        one.joins(client)
        one.leaves(client, 0.5)
    one.journal.flush()
    sessions = rows(one.journal, "sessions")
    assert len(sessions) == limits.PER_ADDRESS + 1
    assert sum(int(str(row["count"])) for row in sessions) == 5000
    assert sum(float(str(row["seconds"])) for row in sessions) == 2500.0
    assert sum(int(str(row["to_client"])) for row in sessions) == 5000 * 2000


def test_open_sessions_are_bounded() -> None:
    one = server()
    clients = [ClientInfo("", f"192.0.2.1:{number}") for number in range(2 * limits.MOST_OPEN)]
    for client in clients:
        one.joins(client)
        one.times.advance(3.0)
    one.journal.flush()
    sessions = rows(one.journal, "sessions")
    assert len([row for row in sessions if row["state"] == "open"]) == limits.MOST_OPEN
    for client in clients:
        one.leaves(client)
    one.journal.flush()
    sessions = rows(one.journal, "sessions")
    assert sum(float(str(row["seconds"])) for row in sessions) == 2 * limits.MOST_OPEN


def test_clients_without_an_address() -> None:
    one = server()
    local = ClientInfo("", "local")
    one.joins(local)
    one.joins(local)
    one.leaves(local, 5.0)
    one.leaves(local, 7.0)
    one.journal.flush()
    sessions = rows(one.journal, "sessions")
    assert sum(float(str(row["seconds"])) for row in sessions) == 12.0
    assert {row["state"] for row in sessions} == {"ended", "sum"}
    assert sum(int(str(row["count"])) for row in sessions) == 2


def test_no_addresses() -> None:
    one = server(addresses=False)
    one.wakes()
    one.joins()
    one.refuses(BOB)
    one.leaves()
    detail = "exit code 1: Ada[/203.0.113.7:51234] logged in from 2001:db8::1"
    one.journal.record(Failed(server="s", at=START, during="run", reason="", detail=detail))
    one.journal.flush()
    assert not any("203.0.113" in str(row.values) or "2001" in str(row.values) for row in one.journal.take())


def test_no_part_of_an_address_is_left_at_the_end_of_a_long_text() -> None:
    one = server(addresses=False)
    for length in range(LONGEST_DETAIL - 16, LONGEST_DETAIL + 2):
        detail = "x" * length + " 203.0.113.7 left"
        one.journal.record(Failed(server="s", at=START, during="run", reason="", detail=detail))
    found = one.journal.take()
    assert len(found) == 18 and not any("203" in str(row.values) for row in found)


def test_texts_are_cut() -> None:
    one = server()
    one.journal.record(Failed(server="s", at=START, during="run", reason="r", detail="x" * 10**6))
    one.joins(ClientInfo("n" * 10**6, "a" * 10**6))
    assert max(len(str(row.values)) for row in one.journal.take()) < 2500


def test_what_a_server_used() -> None:
    one = server()
    one.times.advance(100.0)
    one.journal.used(60.0, 1.5, 4096.0)
    [row] = rows(one.journal, "usage")
    assert row == {"at": START + 40.0, "seconds": 60.0, "cpu": 1.5, "memory": 4096.0}
