"""Servers that exit by themselves: which exits are crashes, and when the server may be started again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest
from peers.programs import wait_until
from survival.harness import AT_ONCE, SurvivalHarness, without_delay


@pytest.mark.slow
def test_a_server_that_never_gets_ready_backs_off_and_is_not_retried_in_the_end(harness: SurvivalHarness) -> None:
    proxy = harness.run_demo("--max_crashes", "3", switches="--crash-at-start")
    assert "it ended while it started" in harness.player().kick_message()
    assert "Join to try again" in harness.motd()
    assert "it ended while it started" in harness.player().kick_message()  # the first retry needs no wait
    proxy.wait_for("may be started again in 10 s")
    assert "about 10 s" in harness.motd()
    at = len(proxy.lines)
    with without_delay():
        message = harness.player().kick_message()
    assert "it ended while it started" in message
    assert "about 10 s" in message
    assert ": starting: " not in "\n".join(proxy.lines[at:])
    assert proxy.terminate() == 0
    # The count of crashes outlives the proxy; one more, and there is no retry.
    proxy = harness.run_demo("--max_crashes", "3", switches="--crash-at-start")
    assert "out of order" in harness.player().kick_message()
    proxy.wait_for("given up after 3 failures in a row: it is not started again before zeroscalectl release")
    assert "Out of order" in harness.motd()
    at = len(proxy.lines)
    with without_delay():
        assert "out of order" in harness.player().kick_message()
    assert ": starting: " not in "\n".join(proxy.lines[at:])
    assert proxy.terminate() == 0
    assert "Traceback" not in proxy.text(), proxy.text()


@pytest.mark.slow
def test_a_crash_with_players_is_logged_with_the_last_output(harness: SurvivalHarness) -> None:
    proxy = harness.run_demo(switches="--echo --crash-after 0.5")
    playing = harness.player()
    playing.is_joined()
    playing.is_closed()
    proxy.wait_for("crashed: it ended while it ran .exit code 1: an error.; its last output: .*told to crash in play")
    assert "Something went wrong" in harness.motd()
    harness.player("Again").is_joined()
    assert proxy.terminate() == 0
    assert not harness.journal().overlapped


ENDS = [
    pytest.param("exit code 0", lambda harness: harness.send_to_console("stop"), id="0"),
    pytest.param(
        "exit code 130", lambda harness: os.kill(harness.server(), signal.SIGINT), id="130", marks=pytest.mark.slow
    ),
    pytest.param("exit code 143", lambda harness: os.kill(harness.server(), signal.SIGTERM), id="143"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("code", "end"), ENDS)
def test_a_clean_exit_is_no_crash(harness: SurvivalHarness, code: str, end: Callable[[SurvivalHarness], None]) -> None:
    proxy = harness.run_demo("--max_crashes", "1")
    harness.player().is_greeted()
    end(harness)
    proxy.wait_for(f": stopped: it exited by itself .{code}", AT_ONCE)
    assert "Asleep" in harness.motd()
    harness.player().is_greeted()
    assert proxy.terminate() == 0
    report = harness.journal()
    assert (report.consistent, report.closed, report.runs, report.saves) == (True, True, 2, 2)


@pytest.mark.slow
def test_a_server_that_restarts_itself_is_followed(harness: SurvivalHarness) -> None:
    """As Paper does at `/restart`: it starts a new process, unknown to zeroscale, and exits."""
    proxy = harness.run_small_server(idle=2)
    harness.player().is_greeted()
    first = harness.server()
    harness.send_to_console("restart")
    wait_until(lambda: len(harness.times_of("ready")) == 2, "it has restarted", program=proxy)
    harness.player().is_greeted()
    assert harness.server() != first
    assert ": stopped" not in proxy.text()
    harness.server_is_gone(proxy)
    proxy.wait_for(": stopped( after|:)")
    assert len(harness.times_of("started")) == 2
    assert proxy.terminate() == 0


@pytest.mark.slow
def test_a_server_that_has_restarted_itself_is_adopted(harness: SurvivalHarness) -> None:
    old = harness.run_small_server()
    harness.player().is_greeted()
    harness.send_to_console("restart")
    wait_until(lambda: len(harness.times_of("ready")) == 2, "it has restarted", program=old)
    old.process.kill()
    old.process.wait()
    new = harness.run_small_server(idle=0.3)
    new.wait_for("found running")
    harness.player().is_greeted()
    harness.server_is_gone(new)
    assert len(harness.times_of("started")) == 2
    assert new.terminate() == 0


@pytest.mark.slow
def test_a_script_that_restarts_its_server_in_a_loop_is_stopped(harness: SurvivalHarness) -> None:
    proxy = harness.run_small_server("--stop_timeout", "0.7", idle=1, shell_line="while true; do {}; done")
    harness.player().is_greeted()
    harness.send_to_console("stop")
    wait_until(lambda: len(harness.times_of("ready")) == 2, "it has restarted", program=proxy)
    harness.player().is_greeted()
    # After `stop` the script starts it once more; SIGTERM reaches the script, too.
    proxy.wait_for("sending SIGTERM")
    harness.server_is_gone(proxy)
    proxy.wait_for(": stopped( after|:)")
    assert len(harness.times_of("started")) == 3
    began = time.monotonic()
    harness.player().is_greeted()
    assert harness.times_of("started")[-1] > began
    assert proxy.terminate() == 0
    assert harness.servers() == set()
