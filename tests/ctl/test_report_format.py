"""Reports as text."""

from __future__ import annotations

from control.fake_proxy import FakeProxy, FakeServer
from msgspec.structs import replace

from zeroscale.ctl.report_format import card, planned_text, show, table, visible_state
from zeroscale.reports import PlannedStopReport, PlayerReport, ProxyReport, ServerReport
from zeroscale.status import Status


def running(**fields: object) -> ServerReport:
    report = replace(
        FakeServer("survival", Status.running).report(),
        status_age=11100.0,
        uptime=11100.0,
        slept=72000.0,
        last_start=18.0,
    )
    return replace(report, **fields)


def proxy(*servers: ServerReport) -> ProxyReport:
    return replace(FakeProxy().report(), servers=servers)


def test_a_card_shows_all_facts() -> None:
    server = running(
        players=(PlayerReport("Steve", "192.0.2.1:1", 720.0), PlayerReport("", "192.0.2.2:2", 5.0)),
        waiting=("Alex", ""),
        keep_awake_reason="until 14:00",
        lockout="back at 9",
        last_error="exit code 1",
        last_error_ago=7200.0,
    )
    assert list(card(server, False)) == [
        "survival (demo): running for 3 h 5 min",
        "  Players      2: Steve (12 min), 192.0.2.2:2 (5 s)",
        "  Waiting      2: Alex, unknown",
        "  Kept awake   until 14:00",
        "  Locked out   back at 9",
        "  Up           for 3 h 5 min",
        "  Slept        20 h in all",
        "  Last start   took 18 s; the next takes about 20 s",
        "  Last error   2 h ago: exit code 1",
        "  Relayed      2.0 KiB to the server, 3.0 MiB to clients",
    ]


def test_planned_stops() -> None:
    server = running(
        planned_stops=(
            PlannedStopReport(seconds=600.0, kind="operator", operator="max"),
            PlannedStopReport(seconds=3600.0, kind="restart", detail="scheduled restart (0 5 * * *)"),
            PlannedStopReport(seconds=7200.0, kind="schedule", detail="schedule daily 01:00-07:00"),
        )
    )
    lines = list(card(server, False))
    assert "  Planned      it is stopped in 10 min, by operator max" in lines
    assert "  Planned      it is restarted in 1 h: scheduled restart (0 5 * * *)" in lines
    assert "  Planned      it is stopped in 2 h: schedule daily 01:00-07:00" in lines
    assert planned_text(PlannedStopReport(seconds=5.0, kind="operator")) == "it is stopped in 5 s, by operator"
    assert visible_state(proxy(server)) != visible_state(proxy(running()))


def test_a_server_without_players() -> None:
    lines = list(card(running(idle_in=600.0, estimate=None), False))
    assert "  Players      none" in lines
    assert "  Sleeps       in 10 min, unless a player joins" in lines
    assert "  Last start   took 18 s" in lines


def test_one_that_is_gone_from_the_configuration() -> None:
    draining = running(draining=True)
    assert "  Removed      from the configuration; it is stopped once no player is on" in card(draining, False)
    assert list(table([draining], False))[1].endswith("  removed")


def test_one_that_has_failed() -> None:
    failed = replace(running(), status=Status.failed, last_error="exit code 1", uptime=None, last_start=None)
    assert "  Tried again  not automatically: fix the cause, then `zeroscalectl release` or `wake`" in card(
        failed, False
    )
    assert "  Tried again  at the next login, from 30 s on" in card(replace(failed, retry_in=30.0), False)
    assert "  Tried again  at the next login" in card(replace(failed, retry_in=0.0), False)
    assert "  Last start   none; the next takes about 20 s" in card(failed, False)


def test_a_table_has_a_row_each() -> None:
    busy = running(players=tuple(PlayerReport(f"P{number}", "192.0.2.1:1", 1.0) for number in range(7)))
    asleep = FakeServer("a\x1b[2J").report()
    locked = running(name="b", idle_in=60.0, keep_awake_reason="x", lockout="y", waiting=("Alex",))
    failed = replace(asleep, name="f", status=Status.failed, last_error="exit code 1")
    assert list(table([busy, asleep, locked, failed], False)) == [
        "NAME      STATUS   FOR        PLAYERS  SLEPT",
        "survival  running  3 h 5 min  7        20 h   P0, P1, P2, P3, P4 and 2 more",
        "a\ufffd[2J     stopped  1 min      -        0 s",
        "b         running  3 h 5 min  -        20 h   waiting: Alex; kept awake; locked out",
        "f         failed   1 min      -        0 s    exit code 1",
    ]


def test_colours_do_not_shift_columns() -> None:
    plain, coloured = list(table([running()], False)), list(table([running()], True))
    assert coloured[1].replace("\033[32m", "").replace("\033[0m", "") == plain[1]
    assert "\033[32mrunning\033[0m" in coloured[1]


def test_which_of_them() -> None:
    assert list(show(proxy(), False)) == ["There is no server."]
    assert next(iter(show(proxy(running()), False))).startswith("survival (demo)")
    assert next(iter(show(proxy(running(), running(name="b")), False))).startswith("NAME")


def test_time_that_passes_is_not_noticeable() -> None:
    assert visible_state(proxy(running())) == visible_state(proxy(running(status_age=9.0, slept=3.0)))
    assert visible_state(proxy(running())) != visible_state(proxy(running(waiting=("Alex",))))
