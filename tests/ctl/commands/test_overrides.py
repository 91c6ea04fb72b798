"""`zeroscalectl sleep`, `keep-awake`, `release` and `lockout`."""

from __future__ import annotations

import pytest
import pytest_twisted
from ctl.ctl_fixture import CtlHarness

from zeroscale.reports import AwakeKind, AwakeReason, PlannedStopReport
from zeroscale.status import Status


@pytest.mark.parametrize(
    ("words", "asked", "out"),
    [
        (["sleep"], "sleep", "survival is being put to sleep: it is stopping\n"),
        (["sleep", "survival", "--now"], "sleep now", "survival is being put to sleep: it is stopping\n"),
        (["sleep", "--at", "10m"], "stop in 600.0", "survival is put to sleep in 10 min\n"),
        (["sleep", "survival", "--at", "9:30"], "stop at 09:30", "survival is put to sleep in 1 h\n"),
        (["sleep", "--cancel"], "cancel", "survival: cancelled\n"),
        (["keep-awake", "--for", "2h"], "keep awake 7200.0", "its operator says so\n"),
        (["keep-awake", "survival"], "keep awake None", "its operator says so\n"),
        (["release", "survival"], "release", "survival is stopped\n"),
        (["lockout"], "lock out ''", "locked out: locked\n"),
        (["lockout", "survival"], "lock out ''", "locked out: locked\n"),
        (["lockout", "survival", "back", "at 9"], "lock out 'back at 9'", "locked out: back at 9\n"),
        (["lockout", "back at 9"], "lock out 'back at 9'", "locked out: back at 9\n"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_an_order(harness: CtlHarness, words: list[str], asked: str, out: str) -> None:
    run = await harness.run(*words)
    assert (run.code, run.err) == (0, "")
    assert run.out.endswith(out)
    assert harness.proxy.servers["survival"].asked == [asked]


@pytest_twisted.ensureDeferred
async def test_one_that_is_refused(harness: CtlHarness) -> None:
    harness.proxy.servers["survival"].refuses = "2 players are on it: say --now"
    run = await harness.run("sleep")
    assert (run.code, run.err) == (1, "zeroscalectl: error: 2 players are on it: say --now\n")


@pytest_twisted.ensureDeferred
async def test_all_are_put_to_sleep_before_what_they_need(harness: CtlHarness) -> None:
    servers = harness.proxy.servers
    for name, needs in (("db", ()), ("app", ("db", "gone")), ("api", ("app", "db"))):
        harness.proxy.add(name)
        servers[name].status = Status.running
        servers[name].fields.update(needs=needs)
    servers["db"].fields.update(awake=(AwakeReason(AwakeKind.needed, "needed by app"),))
    run = await harness.run("sleep", "--all")
    assert run.out.splitlines() == [
        "api is being put to sleep: it is stopping",
        "app is being put to sleep: it is stopping",
        "db is being put to sleep: it is still needed by app",
    ]
    run = await harness.run("sleep", "db", "api", "unknown")
    assert [line.split()[0] for line in run.out.splitlines()] == ["api", "db"]
    assert run.code != 0 and "unknown" in run.err


@pytest_twisted.ensureDeferred
async def test_several_are_put_to_sleep(harness: CtlHarness) -> None:
    servers = harness.proxy.servers
    for name, status in (("creative", Status.running), ("lobby", Status.paused), ("empty", Status.failed)):
        harness.proxy.add(name)
        servers[name].status = status
    servers["creative"].refuses = "one player is on creative: use --now to stop it anyway"
    run = await harness.run("sleep", "--all")
    assert (run.code, run.out) == (1, "lobby is being put to sleep: it is stopping\n")
    assert run.err == "zeroscalectl: error: one player is on creative: use --now to stop it anyway\n"
    assert {name for name, server in servers.items() if server.asked} == {"lobby"}, "the others do not run"
    servers["creative"].refuses = None
    run = await harness.run("sleep", "creative", "survival", "--now")
    assert (run.code, len(run.out.splitlines())) == (0, 2)


@pytest_twisted.ensureDeferred
async def test_a_cancel_of_a_restart_names_the_next_one(harness: CtlHarness) -> None:
    later = PlannedStopReport(seconds=86400.0, kind="restart", detail="scheduled restart (0 5 * * *)")
    harness.proxy.servers["survival"].restarts = (later,)
    run = await harness.run("sleep", "--cancel")
    assert run.out == "survival: cancelled; it is restarted in 1 d: scheduled restart (0 5 * * *)\n"


@pytest.mark.parametrize("words", [["--at", "24:00"], ["--at", "9:5"], ["--at", "soon"], ["--at", "5m", "--now"]])
@pytest_twisted.ensureDeferred
async def test_no_time_to_sleep_at(harness: CtlHarness, words: list[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        await harness.run("sleep", *words)
    assert raised.value.code == 2
    assert harness.proxy.servers["survival"].asked == []


@pytest.mark.parametrize("duration", ["0", "-1", "soon", "2 parsecs"])
@pytest_twisted.ensureDeferred
async def test_no_duration(harness: CtlHarness, duration: str) -> None:
    with pytest.raises(SystemExit) as raised:
        await harness.run("keep-awake", "--for", duration)
    assert raised.value.code == 2
    assert harness.proxy.servers["survival"].asked == []


@pytest_twisted.ensureDeferred
async def test_of_several_one_has_to_be_named(harness: CtlHarness) -> None:
    harness.proxy.add("creative")
    for words in (["sleep"], ["lockout"], ["lockout", "back at 9"]):
        run = await harness.run(*words)
        assert run.code == 2 and "survival" in run.err


@pytest_twisted.ensureDeferred
async def test_a_duration_in_place_of_a_name(harness: CtlHarness) -> None:
    run = await harness.run("keep-awake", "10m")
    assert run.code == 2
    assert run.err.endswith("; to name a duration, use --for 10m\n")
    run = await harness.run("keep-awake", "10m", "--for", "10m")
    assert (run.code, "to name a duration" in run.err) == (2, False)


@pytest.mark.parametrize("words", [["keep-awake", "--for", "367d"], ["sleep", "--at", "367d"]])
@pytest_twisted.ensureDeferred
async def test_too_far_ahead(harness: CtlHarness, words: list[str]) -> None:
    with pytest.raises(SystemExit):
        await harness.run(*words)
    assert harness.err.getvalue().endswith(f"{words[1]}: '367d' is more than 366 d\n")


@pytest_twisted.ensureDeferred
async def test_all_whose_stop_can_be_cancelled(harness: CtlHarness) -> None:
    servers = harness.proxy.servers
    for name, kind in (("creative", "schedule"), ("lobby", "restart"), ("survival", "operator")):
        harness.proxy.add(name)
        servers[name].fields["planned_stops"] = (PlannedStopReport(seconds=60.0, kind=kind),)
    await harness.run("sleep", "--all", "--cancel")
    assert {name for name, server in servers.items() if server.asked} == {"lobby", "survival"}


@pytest_twisted.ensureDeferred
async def test_what_else_keeps_it_asleep_is_named(harness: CtlHarness) -> None:
    server = harness.proxy.servers["survival"]
    server.fields.update(lockout="It sleeps.", keep_asleep_reason="the schedule daily 01:00-07:00 keeps it asleep")
    run = await harness.run("release")
    assert run.out.endswith("locked out: It sleeps.\nthe schedule daily 01:00-07:00 keeps it asleep\n")
