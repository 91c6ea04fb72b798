"""What an operator can ask for: on_exit, the console, keep-awake and keep-asleep files, pauses, minimum times."""

from __future__ import annotations

import signal
import statistics
import time
from collections.abc import Callable

import pytest
from peers.programs import Program, wait_for_changed_files, wait_until
from survival.harness import AT_ONCE, SurvivalHarness, state_of, without_delay


def assert_saved(harness: SurvivalHarness, *proxies: Program, runs: int) -> None:
    """Assert that nothing runs, and that as many servers have run and saved their world."""
    assert harness.servers() == set()
    for proxy in proxies:
        assert "Traceback" not in proxy.text(), proxy.text()
    report = harness.journal()
    assert (report.consistent, report.closed, report.runs, report.saves) == (True, True, runs, runs)


@pytest.mark.slow
@pytest.mark.parametrize("state", ["starting", "running"])
def test_left_running_for_the_next_zeroscale(harness: SurvivalHarness, state: str) -> None:
    start = 2 if state == "starting" else 0
    first = harness.run_demo("--on_exit", "leave", start=start, switches="--ignore-term")
    waiting = harness.player()
    if state == "starting":
        first.wait_for("Preparing level")
    else:
        waiting.is_greeted()
    server = harness.server()
    assert first.terminate() == 0
    assert harness.server() == server
    second = harness.run_demo("--on_exit", "leave", start=start, switches="--ignore-term", idle=2)
    second.wait_for("found running")
    harness.player().is_greeted()
    harness.server_is_gone(second)
    assert second.terminate() == 0
    assert_saved(harness, first, second, runs=1)


@pytest.mark.slow
def test_console_stop_ends_the_proxy_and_other_lines_go_to_the_server(harness: SurvivalHarness) -> None:
    proxy = harness.run_demo("--console")
    proxy.write_line("list")
    proxy.wait_for("Console: demo-.* does not run")
    harness.player().is_greeted()
    proxy.write_line("list")
    wait_until(lambda: "There are 0 of a max of 20 players online" in harness.console(), "it answers", program=proxy)
    proxy.write_line("stop")
    assert proxy.wait() == 0
    assert_saved(harness, proxy, runs=1)


@pytest.mark.slow
def test_without_console_the_input_is_not_read(harness: SurvivalHarness) -> None:
    proxy = harness.run_demo()
    harness.player().is_greeted()
    proxy.write_line("stop")
    harness.player().is_greeted()
    assert proxy.terminate() == 0
    assert_saved(harness, proxy, runs=1)


@pytest.mark.slow
def test_a_keep_awake_file_keeps_an_idle_server_running(harness: SurvivalHarness) -> None:
    (harness.world / "zeroscale.keep-awake").touch()
    proxy = harness.run_demo(idle=0)
    harness.player().is_greeted()
    proxy.wait_for("not stopped: .*kept awake by .*zeroscale.keep-awake")
    proxy.wait_for("No clients online", after=proxy.wait_for("Scheduling the stop in 5 s"))
    assert harness.servers()
    (harness.world / "zeroscale.keep-awake").unlink()
    harness.server_is_gone(proxy)
    assert proxy.terminate() == 0
    assert_saved(harness, proxy, runs=1)


@pytest.mark.slow
def test_a_keep_asleep_file_rejects_players_with_its_text(harness: SurvivalHarness) -> None:
    file = harness.world / "zeroscale.keep-asleep"
    proxy = harness.run_demo(idle=0, switches="--slow-stop 0.5")
    harness.player().is_greeted()
    proxy.wait_for(": stopping: ")
    waiting = harness.player("Waiting")
    proxy.wait_for("will be started again")
    file.write_text("A backup is being made.")
    assert "A backup is being made." in waiting.kick_message(), "it will not start again"
    with without_delay():
        assert "A backup is being made." in harness.player().kick_message()
    harness.server_is_gone(proxy)
    assert "A backup is being made." in harness.motd()
    file.unlink()
    wait_for_changed_files()
    harness.player().is_greeted()
    assert proxy.terminate() == 0
    assert_saved(harness, proxy, runs=2)


@pytest.mark.slow
def test_paused_and_resumed_within_milliseconds(
    harness: SurvivalHarness, record_property: Callable[[str, object], None]
) -> None:
    (harness.world / "server.properties").write_text("max-tick-time=-1\n")
    proxy = harness.run_demo("--idle_action", "pause", idle=0)
    harness.player().is_greeted()
    server = harness.server()
    took = []
    at = 0
    for number in range(10):
        at = proxy.wait_for(": pausing: ", after=at)
        wait_until(lambda: state_of(server) == "T", "it is paused", program=proxy)
        assert "Paused" in harness.motd()
        began = time.monotonic()
        harness.player(f"Player{number}").is_greeted()
        took.append(time.monotonic() - began)
    record_property("median", statistics.median(took))
    assert statistics.median(took) < 0.5, sorted(took)
    assert harness.server() == server
    assert proxy.terminate() == 0  # from `running` or `paused`, as it happens
    assert "max-tick-time" not in proxy.text()
    assert_saved(harness, proxy, runs=1)


@pytest.mark.slow
def test_a_paused_server_is_resumed_and_saves_when_the_proxy_exits(harness: SurvivalHarness) -> None:
    proxy = harness.run_demo("--idle_action", "pause", idle=0, switches="--slow-stop 0.3")
    proxy.wait_for("max-tick-time=60000: .* write max-tick-time=-1 there")
    harness.player().is_greeted()
    wait_until(lambda: state_of(harness.server()) == "T", "it is paused", program=proxy)
    assert proxy.terminate() == 0
    assert_saved(harness, proxy, runs=1)


@pytest.mark.slow
def test_a_paused_server_is_stopped_after_pause_stop_after(harness: SurvivalHarness) -> None:
    proxy = harness.run_demo("--idle_action", "pause+stop", "--pause_stop_after", "0.5", idle=0)
    harness.player().is_greeted()
    at = proxy.wait_for(": pausing: ")
    proxy.wait_for(": stopping: ", after=at)
    harness.server_is_gone(proxy)
    proxy.wait_for(": stopped( after|:)", AT_ONCE)
    assert proxy.terminate() == 0
    assert_saved(harness, proxy, runs=1)


@pytest.mark.slow
def test_minimum_online_time(harness: SurvivalHarness) -> None:
    proxy = harness.run_demo("--minimum_online_time", "1", idle=0)
    harness.player().is_greeted()
    proxy.wait_for(": ready")
    online_at = time.monotonic()
    harness.server_is_gone(proxy)
    assert 0.7 < time.monotonic() - online_at < 1 + AT_ONCE
    assert proxy.terminate() == 0
    assert_saved(harness, proxy, runs=1)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_exit_of_the_proxy_waits_for_a_save_and_a_second_signal_sends_sigterm(
    harness: SurvivalHarness, number: signal.Signals
) -> None:
    proxy = harness.run_demo(switches="--slow-stop 0.8 --ignore-stop")
    harness.player().is_greeted()
    proxy.process.send_signal(number)
    proxy.wait_for(": stopping: ")
    proxy.process.send_signal(number)
    proxy.wait_for("sending SIGTERM")
    assert proxy.wait() == 0
    assert_saved(harness, proxy, runs=1)


@pytest.mark.slow
def test_a_server_without_a_status_is_asked_on_its_console(harness: SurvivalHarness) -> None:
    (harness.world / "server.properties").write_text(f"server-port={harness.server_port}\nenable-status=false\n")
    (harness.world / "online").write_text("2")
    proxy = harness.run_small_server(idle=0)
    harness.player().is_greeted()
    proxy.wait_for("not stopped: players that zeroscale does not relay: 2")
    at = proxy.wait_for("Scheduling the stop in 5 s")
    (harness.world / "online").write_text("0")
    proxy.wait_for("No clients online", after=at)
    harness.server_is_gone(proxy)
    assert proxy.terminate() == 0
    assert "There are 0 of a max of 20 players online" in harness.console()
