"""Reports as text."""

from __future__ import annotations

from control.fake_proxy import FakeServer
from msgspec.structs import replace

from zeroscale.ctl.report_format import ReportStyle, card, planned_text, show, table, visible_state
from zeroscale.reports import (
    AwakeKind,
    AwakeReason,
    LastEvent,
    PlannedStopReport,
    PlayerReport,
    PortReport,
    ServerReport,
)
from zeroscale.status import Status

PLAIN = ReportStyle(clock_time=lambda ago: f"clock-{ago:g}")
NARROW = replace(PLAIN, width=80)


def running(**fields: object) -> ServerReport:
    report = replace(
        FakeServer("survival", Status.running).report(),
        status_age=11100.0,
        uptime=11100.0,
        slept=72000.0,
        last_start=18.0,
        listen=("25565",),
    )
    return replace(report, **fields)


def stopped(name: str, **fields: object) -> ServerReport:
    return replace(FakeServer(name).report(), listen=("25565",), **fields)


def because(*texts: str) -> tuple[AwakeReason, ...]:
    return tuple(AwakeReason(AwakeKind.kept_awake, text) for text in texts)


def test_a_card_shows_all_facts() -> None:
    server = running(
        players=(PlayerReport("Steve", "192.0.2.1:1", 720.0), PlayerReport("", "192.0.2.2:2", 5.0)),
        waiting=("Alex", ""),
        hosts=("survival.example.org", "*.example.org"),
        needs=("db", "cache"),
        awake=because("2 players: Steve and 1 more", "kept awake by max until 14:00"),
        last_wake=LastEvent(ago=11118.0, kind="login", player="Steve"),
        last_stop=LastEvent(ago=83000.0, kind="operator", operator="max"),
        last_refusal=LastEvent(ago=5.0, kind="unknown", player="Eve", detail="has never joined the server"),
        lockout="back at 9",
        keep_asleep_reason="locked out by max",
        last_error="exit code 1",
        last_error_ago=7200.0,
    )
    assert list(card(server, PLAIN)) == [
        "survival (demo): running for 3 h 5 min",
        "  Listens      25565, for survival.example.org, *.example.org",
        "  Needs        db, cache",
        "  Awake        2 players: Steve and 1 more",
        "               kept awake by max until 14:00",
        "  Locked out   back at 9",
        "               locked out by max",
        "  Players      2: Steve (12 min), 192.0.2.2:2 (5 s)",
        "  Waiting      2: Alex, unknown",
        "  Last wake    Steve joined, 3 h 5 min ago (clock-11118)",
        "  Last stop    stopped by operator max, 23 h 3 min ago (clock-83000)",
        "  Last refused Eve: has never joined the server, 5 s ago (clock-5)",
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
    lines = list(card(server, PLAIN))
    assert "  Planned      it is stopped in 10 min, by operator max" in lines
    assert "  Planned      it is restarted in 1 h: scheduled restart (0 5 * * *)" in lines
    assert "  Planned      it is stopped in 2 h: schedule daily 01:00-07:00" in lines
    assert planned_text(PlannedStopReport(seconds=5.0, kind="operator")) == "it is stopped in 5 s, by operator"
    assert visible_state([server]) != visible_state([running()])
    assert list(table([server], PLAIN))[1].endswith("25565    it is stopped in 10 min, by operator max")


def test_a_planned_stop_of_a_server_that_does_not_run() -> None:
    server = stopped("survival", planned_stops=(PlannedStopReport(seconds=60.0, kind="operator", operator="max"),))
    assert "  Planned      it is stopped in 1 min if it runs then, by operator max" in list(card(server, PLAIN))
    assert "it is stopped" not in list(table([server], PLAIN))[1]


def test_a_server_without_players() -> None:
    lines = list(card(running(awake=because("idle time, 10 min left"), estimate=None), PLAIN))
    assert "  Players      none" in lines
    assert "  Awake        idle time, 10 min left" in lines
    assert "  Last start   took 18 s" in lines


def test_a_server_that_will_be_kept_awake() -> None:
    asleep = stopped("a", keep_awake_reason="kept awake by max until 14:00")
    assert "  Once it runs kept awake by max until 14:00" in card(asleep, PLAIN)


def test_a_kind_that_a_newer_zeroscale_may_have() -> None:
    server = stopped(
        "a",
        last_wake=LastEvent(ago=5.0, kind="moonrise", detail="it is full"),
        last_stop=LastEvent(ago=5.0, kind="failed", detail="it crashed"),
    )
    lines = list(card(server, PLAIN))
    assert "  Last wake    moonrise: it is full, 5 s ago (clock-5)" in lines
    assert "  Last stop    failed: it crashed, 5 s ago (clock-5)" in lines


def test_long_texts_are_wrapped_on_a_terminal() -> None:
    names = [f"Player{number}" for number in range(30)]
    server = running(
        players=tuple(PlayerReport(name, "192.0.2.1:1", 60.0) for name in names),
        hosts=tuple(f"{name}.example.org" for name in names),
        awake=because(f"30 players: {', '.join(names)}"),
        last_error="x" * 500,
    )
    lines = list(card(server, NARROW))
    assert max(map(len, lines)) == 80
    assert len(lines) < len(list(card(server, PLAIN))) + 40
    assert all(name in " ".join(lines) for name in names)
    assert all(line.startswith("  ") for line in lines[1:])


def test_one_that_is_gone_from_the_configuration() -> None:
    draining = running(draining=True)
    assert "  Removed      from the configuration; it is stopped once no player is on" in card(draining, PLAIN)
    assert list(table([draining], PLAIN))[1].endswith("  removed")


def test_one_that_has_failed() -> None:
    failed = replace(running(), status=Status.failed, last_error="exit code 1", uptime=None, last_start=None)
    assert "  Tried again  not automatically: fix the cause, then `zeroscalectl release` or `wake`" in card(
        failed, PLAIN
    )
    assert "  Tried again  at the next login, from 30 s on" in card(replace(failed, retry_in=30.0), PLAIN)
    assert "  Tried again  at the next login" in card(replace(failed, retry_in=0.0), PLAIN)
    assert "  Last start   none; the next takes about 20 s" in card(failed, PLAIN)


def rows() -> list[ServerReport]:
    idle = LastEvent(ago=60.0, kind="idle", detail="no players for 15 min")
    players = tuple(PlayerReport(f"P{number}", "192.0.2.1:1", 1.0) for number in range(7))
    return [
        running(players=players, awake=because("7 players: P0, P1, P2, P3, P4 and 2 more", "minimum time, 5 s left")),
        stopped("a\x1b[2J", last_stop=idle, hosts=("a.example.org", "b.example.org")),
        running(name="b", awake=because("idle time, 1 min left"), lockout="y", waiting=("Al",)),
        stopped("c", lockout="y", keep_asleep_reason="locked out by max"),
        stopped("f", status=Status.failed, last_error="exit code 1", last_stop=idle),
        stopped("s", status=Status.starting, awake=because("starting for Ada"), waiting=("Ada",)),
        stopped("never", last_wake=LastEvent(ago=50.0, kind="login", player="Ada"), last_stop=idle),
    ]


def test_a_table_has_a_row_each() -> None:
    assert list(table(rows(), PLAIN)) == [
        "NAME      STATUS    FOR    PLAYERS  LISTENS  HOSTS",
        "survival  running   3 h    7        25565                      7 players: P0, P1, P2, P3, P4 and 2 more",
        "a\ufffd[2J     stopped   1 min  -        25565    a.example.org +1  no players for 15 min",
        "b         running   3 h    -        25565                      locked out; idle time, 1 min left; waiting: Al",
        "c         stopped   1 min  -        25565                      locked out by max",
        "f         failed    1 min  -        25565                      exit code 1",
        "s         starting  1 min  -        25565                      starting for Ada",
        "never     stopped   1 min  -        25565",
    ]


def test_a_table_fits_a_terminal() -> None:
    assert list(table(rows(), NARROW)) == [
        "NAME      STATUS    FOR    PLAYERS  LISTENS",
        "survival  running   3 h    7        25565    7 players: P0, P1, P2, P3, P4 an...",
        "a\ufffd[2J     stopped   1 min  -        25565    no players for 15 min",
        "b         running   3 h    -        25565    locked out; idle time, 1 min lef...",
        "c         stopped   1 min  -        25565    locked out by max",
        "f         failed    1 min  -        25565    exit code 1",
        "s         starting  1 min  -        25565    starting for Ada",
        "never     stopped   1 min  -        25565",
    ]
    many = [
        running(name=f"server-with-a-long-name-{number}", listen=("tcp:25565:interface=127.0.0.1",), lockout="x" * 99)
        for number in range(20)
    ]
    lines = list(table(many, NARROW))
    assert len(lines) == 21
    assert max(map(len, lines)) <= 90
    assert "server-with-a-long-na..." in lines[1]


def test_untrusted_texts_are_cleaned() -> None:
    evil = "\x1b[2J\x9b\u202e"
    server = running(
        name=evil,
        players=(PlayerReport(evil, "192.0.2.1:1", 1.0),),
        waiting=(evil,),
        hosts=(evil,),
        awake=because(evil),
        last_wake=LastEvent(ago=1.0, kind="login", player=evil),
        last_stop=LastEvent(ago=1.0, kind="idle", detail=evil),
        lockout=evil,
        keep_asleep_reason=evil,
        last_error=evil,
    )
    text = "\n".join([*card(server, NARROW), *table([server, server], PLAIN)])
    assert not set(evil[0] + evil[4:]) & set(text)


def test_colours_do_not_shift_columns() -> None:
    plain, coloured = list(table([running()], PLAIN)), list(table([running()], replace(PLAIN, colour=True)))
    assert coloured[1].replace("\033[32m", "").replace("\033[0m", "") == plain[1]
    assert "\033[32mrunning\033[0m" in coloured[1]


def test_which_of_them() -> None:
    assert list(show([], PLAIN)) == ["There is no server."]
    assert next(iter(show([running()], PLAIN))).startswith("survival (demo)")
    assert next(iter(show([running(), running(name="b")], PLAIN))).startswith("NAME")


def test_time_that_passes_is_not_noticeable() -> None:
    def timed(left: float) -> tuple[AwakeReason, ...]:
        return (AwakeReason(AwakeKind.idle_time, f"idle time, {left:g} s left", left),)

    shown = visible_state([running(awake=timed(9.0))])
    assert shown == visible_state([running(awake=timed(8.0), status_age=9.0, slept=3.0)])
    assert shown != visible_state([running(awake=timed(9.0), waiting=("Alex",))])
    assert shown != visible_state([running(awake=because("kept awake by max"))])


PORTS = (
    PortReport(listen=("25565",), protocol="minecraft", clients=4),
    PortReport(listen=("udp:19132",), protocol="bedrock", clients=1),
    PortReport(listen=("8123",), protocol="http", wakes=False, keeps_awake=False, hosts=("map.example.org",)),
    PortReport(listen=("8124", "8125"), wakes=False, clients=12),
    PortReport(listen=("8126",), keeps_awake=False),
)


def test_a_card_shows_all_ports() -> None:
    lines = list(card(running(ports=PORTS), PLAIN))
    assert lines[1:6] == [
        "  Listens      25565",
        "               udp:19132 (bedrock): 1 client",
        "               8123, for map.example.org (http): no clients, does not wake it",
        "               8124, 8125: 12 clients, does not wake it, but keeps it awake",
        "               8126: no clients, does not keep it awake",
    ]


def test_the_table_counts_further_ports() -> None:
    lines = list(table([running(ports=PORTS), stopped("other", ports=PORTS[:1])], PLAIN))
    assert [line.split()[-2:] for line in lines[1:]] == [["25565", "+4"], ["-", "25565"]]
