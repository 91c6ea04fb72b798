"""Servers that do not stop: the escalation, what players read, and that there is no SIGKILL without kill_timeout."""

from __future__ import annotations

import os
import signal
import sys

import pytest
from peers.programs import wait_until
from survival.harness import AT_ONCE, SurvivalHarness, without_delay


@pytest.mark.slow
def test_a_server_that_ignores_stop_saves_on_sigterm(harness: SurvivalHarness) -> None:
    proxy = harness.run_demo("--stop_timeout", "0.5", switches="--ignore-stop --slow-stop 0.3", idle=0)
    harness.player().is_greeted()
    proxy.wait_for("has not stopped for . s: sending SIGTERM, on which it saves")
    proxy.wait_for(": stopped( after|:)")
    report = harness.journal()
    assert (report.consistent, report.closed, report.saves) == (True, True, 1)
    harness.player().is_greeted()
    assert proxy.terminate() == 0
    assert harness.journal().consistent


@pytest.mark.slow
def test_a_server_that_ignores_everything_is_not_killed_and_players_read_why(harness: SurvivalHarness) -> None:
    proxy = harness.run_demo("--stop_timeout", "0.8", switches="--ignore-stop --ignore-term", idle=0)
    harness.player().is_greeted()
    at = proxy.wait_for(": stopping: ")
    waiting = harness.player("Waiting")
    proxy.wait_for("sending SIGTERM", after=at)
    assert waiting.is_waiting, "it may well be saving"
    assert "Going to sleep" in harness.motd()
    proxy.wait_for("has not stopped for .* s; still waiting, as it may be saving", after=at)
    assert "stuck while shutting down" in waiting.kick_message(AT_ONCE)
    assert "Shutting down for a long time" in harness.motd()
    with without_delay():
        assert "stuck while shutting down" in harness.player("Another").kick_message()
    server = harness.server()
    proxy.process.send_signal(signal.SIGTERM)
    proxy.wait_for("SIGTERM: stopping")
    proxy.process.send_signal(signal.SIGTERM)
    proxy.wait_for("SIGTERM again: hurrying")
    assert harness.server() == server
    proxy.process.send_signal(signal.SIGTERM)
    assert proxy.wait() == 1
    assert "left as recorded, for the next start to adopt" in proxy.text()
    assert harness.server() == server
    assert "SIGKILL" not in proxy.text()
    report = harness.journal()
    assert report.consistent
    assert not report.closed


@pytest.mark.slow
def test_sigkill_is_sent_only_with_kill_timeout_and_the_log_warns_of_lost_data(harness: SurvivalHarness) -> None:
    proxy = harness.run_demo(
        "--stop_timeout", "0.4", "--kill_timeout", "0.4", switches="--ignore-stop --ignore-term", idle=0
    )
    harness.player().is_greeted()
    proxy.wait_for("sending SIGTERM")
    proxy.wait_for("ERROR.* sending SIGKILL after kill_timeout; data may be lost")
    proxy.wait_for(": stopped( after|:)")
    harness.server_is_gone(proxy)
    harness.player().is_greeted()
    assert proxy.terminate() == 0
    assert not harness.journal().overlapped


@pytest.mark.slow
def test_a_start_that_takes_too_long_is_stopped_before_it_has_failed(harness: SurvivalHarness) -> None:
    # After its first lines it writes no output for a minute. It reacts to `stop`, but takes its time to save.
    options = ("--start_timeout", "3", "--stop_timeout", "20", "--hold_limit", "20")
    proxy = harness.run_demo(*options, start=60, switches="--slow-stop 0.5")
    waiting = harness.player()
    message = waiting.kick_message()
    assert "not ready within" in message
    proxy.wait_for("WARNING.*: stopping: it was not ready within [0-9]+ s$")
    assert "Something went wrong" not in harness.motd(), "it still runs"
    proxy.wait_for("ERROR.*: start failed: it was not ready within [0-9]+ s: .*; its last output: .*Starting minecraft")
    assert harness.servers() == set()
    assert "Something went wrong" in harness.motd()
    assert proxy.terminate() == 0
    report = harness.journal()
    assert (report.consistent, report.closed) == (True, True)


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        pytest.param("{} & wait", marks=pytest.mark.slow),
        pytest.param("exec 3<&0; {} <&3 & wait; sleep 0.1", marks=pytest.mark.slow),
        pytest.param("trap '' TERM; {}", marks=pytest.mark.slow),
    ],
)
def test_a_start_scripts_child_is_stopped_with_it(harness: SurvivalHarness, line: str) -> None:
    proxy = harness.run_small_server("--stop_timeout", "0.5", idle=0, shell_line=line)
    harness.player().is_greeted()
    proxy.wait_for(": stopped( after|:)")
    harness.server_is_gone(proxy)
    harness.player().is_greeted()
    assert proxy.terminate() == 0
    assert harness.servers() == set()
    assert len(harness.times_of("started")) == 2


IN_BACKGROUND = ["{} & wait", "trap 'kill $!; wait; exit 0' TERM; {} & wait", "{} </dev/null"]
"""Lines of a shell after which the server reads no console."""


@pytest.mark.slow
@pytest.mark.parametrize("line", IN_BACKGROUND)
def test_with_a_signal_a_server_that_reads_no_console_is_stopped_at_once(harness: SurvivalHarness, line: str) -> None:
    proxy = harness.run_small_server("-a", "stop=SIGTERM", idle=0.5, shell_line=line)
    harness.player().is_greeted()
    proxy.wait_for(": stopping: ")
    with without_delay():
        proxy.wait_for(": stopped( after|:)")
        harness.player().is_greeted()
    assert proxy.terminate() == 0
    assert harness.servers() == set()
    assert "has not stopped" not in proxy.text()


@pytest.mark.slow
@pytest.mark.parametrize("line", IN_BACKGROUND)
def test_a_signal_is_proposed_for_a_server_that_reads_no_console(harness: SurvivalHarness, line: str) -> None:
    proxy = harness.run_small_server("--stop_timeout", "0.5", idle=0.5, shell_line=line)
    harness.player().is_greeted()
    proxy.wait_for(
        r"WARNING.* did not react to its stop for . s, and ended .* s after SIGTERM\. With -a stop=SIGTERM it"
    )
    assert proxy.terminate() == 0


@pytest.mark.slow
def test_a_program_that_speaks_minecraft_is_asked_as_such_and_stopped_by_a_signal(harness: SurvivalHarness) -> None:
    program = [sys.executable, "-m", "zeroscale.plugins.demo.program", "--port", str(harness.server_port)]
    program += ["--start-seconds", "0.5", "--journal", "journal", "--ignore-stop"]
    words = [word for argument in ("protocol=minecraft", *program) for word in ("-a", argument)]
    proxy = harness.run("generic", "-t", "0.5", *words)
    assert "Asleep" in harness.motd(), "a ping does not wake it"
    harness.player().is_greeted()
    proxy.wait_for(": stopping: ")
    with without_delay():
        proxy.wait_for(": stopped( after|:)")
    assert "The zeroscale demo server" in harness.motd(), "its status was asked for, and kept"
    harness.player().is_greeted()
    assert proxy.terminate() == 0
    assert (harness.journal().consistent, harness.journal().closed) == (True, True)


@pytest.mark.slow
def test_a_child_that_outlives_its_start_script_is_still_the_server(harness: SurvivalHarness) -> None:
    # A script that starts the server in the background, and exits.
    proxy = harness.run_small_server(idle=0.5, shell_line="exec 3<&0; {} <&3 & exit 0")
    harness.player().is_greeted()
    harness.player().is_greeted()
    proxy.wait_for(": stopped( after|:)")
    harness.server_is_gone(proxy)
    assert len(harness.times_of("started")) == 1
    assert proxy.terminate() == 0


@pytest.mark.slow
def test_a_forked_child_is_stopped_with_the_server(harness: SurvivalHarness) -> None:
    proxy = harness.run_demo(switches="--fork-child", idle=0.5)
    harness.player().is_greeted()
    assert len(harness.servers()) == 2
    harness.server_is_gone(proxy)
    proxy.wait_for(": stopped( after|:)")
    harness.player().is_greeted()
    first, second = sorted(harness.servers())
    os.kill(first, signal.SIGKILL)
    again = harness.player()
    again.is_greeted()
    assert harness.servers() <= {first, second}, "the child is still the server"
    assert proxy.terminate() == 0
    assert harness.servers() == set()
    assert harness.journal().consistent
    assert harness.journal().closed


@pytest.mark.slow
def test_a_flood_of_output_neither_blocks_the_server_nor_fills_the_disk(harness: SurvivalHarness) -> None:
    rate = 30_000_000
    proxy = harness.run_demo("--info", switches=f"--fill-output {rate} --echo", idle=1)
    player = harness.player()
    player.is_joined()
    state = harness.state / f"demo-{harness.port}"
    largest = 0

    def written() -> bool:
        nonlocal largest
        largest = max(largest, sum(path.stat().st_size for path in state.glob("console.log*")))
        ticks = (harness.world / "journal").read_bytes().count(b'"tick"')
        return ticks > 60

    wait_until(written, "it has run for 60 ticks", 60, proxy)
    assert largest < 40_000_000
    player.leave()
    harness.server_is_gone(proxy)
    proxy.wait_for(": stopped( after|:)")
    assert proxy.terminate() == 0
    assert harness.journal().consistent
    assert harness.journal().closed
