"""An update from a version in which a server was called after its own port: its state and its running server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from peers.programs import wait_until
from survival.harness import SurvivalHarness, kill_proxy


def former(harness: SurvivalHarness, plugin: str = "demo") -> Path:
    return harness.state / f"{plugin}-{harness.server_port}"


def as_formerly(harness: SurvivalHarness, plugin: str = "demo") -> tuple[str, str]:
    """Return the option with which a server has the name of earlier versions, and leaves what they have left."""
    return "--name", former(harness, plugin).name


def forget_mark(directory: Path) -> None:
    """Write the record as earlier versions have written it."""
    path = directory / "process.json"
    content = json.loads(path.read_text())
    assert content.pop("mark") is None
    path.write_text(json.dumps(content))


def test_its_running_server_is_adopted(harness: SurvivalHarness) -> None:
    old = harness.run_demo(*as_formerly(harness), switches="--echo --ignore-term")
    harness.player().is_joined()
    server = harness.server()
    kill_proxy(old)
    forget_mark(former(harness))
    new = harness.run_demo(switches="--echo --ignore-term", idle=2)
    new.wait_for(f"demo-{harness.server_port} is called demo-{harness.port} now")
    new.wait_for("found running")
    assert [path.name for path in harness.state.glob("demo-*")] == [f"demo-{harness.port}"]
    player = harness.player("Staying")
    player.is_joined()
    assert harness.server() == server
    player.leave()
    harness.server_is_gone(new)  # idle: the new zeroscale writes to the console that the old one has made
    new.wait_for(": stopped( after|:)")
    harness.player("Again").is_joined()
    assert new.terminate() == 0
    report = harness.journal()
    assert (report.consistent, report.closed, report.runs) == (True, True, 2)


def test_a_server_that_has_restarted_itself_is_adopted(harness: SurvivalHarness) -> None:
    """It holds no lock, its first process has ended, and its environment has the path of the old name."""
    old = harness.run_small_server(*as_formerly(harness, "minecraft"))
    harness.player().is_greeted()
    harness.send_to_console("restart")
    wait_until(lambda: len(harness.times_of("ready")) == 2, "it has restarted", program=old)
    kill_proxy(old)
    forget_mark(former(harness, "minecraft"))
    new = harness.run_small_server(idle=2)
    new.wait_for("found running")
    harness.player().is_greeted()
    harness.server_is_gone(new)
    assert len(harness.times_of("started")) == 2
    assert new.terminate() == 0


def test_a_second_update_that_was_killed_between_its_steps(harness: SurvivalHarness) -> None:
    old = harness.run_demo(*as_formerly(harness), switches="--echo")
    harness.player().is_joined()
    server = harness.server()
    kill_proxy(old)
    kill_proxy(harness.run_demo(switches="--echo"))
    (harness.state / f"demo-{harness.port}" / "named-after-listen-port").unlink()
    new = harness.run_demo(switches="--echo", idle=0.5)
    new.wait_for("found running")
    assert harness.server() == server
    harness.server_is_gone(new)
    assert new.terminate() == 0


def test_a_zeroscale_that_still_runs_under_the_old_name_is_named(harness: SurvivalHarness) -> None:
    old = harness.run_demo(*as_formerly(harness))
    new = harness.run_demo(listens=False)
    assert new.wait() == 1
    expected = f"was called {former(harness).name} by an earlier version; another zeroscale (process {old.process.pid})"
    assert expected in new.text()
    assert old.terminate() == 0


@pytest.mark.slow
def test_of_two_directories_the_new_one_counts(harness: SurvivalHarness) -> None:
    for options in ((), as_formerly(harness)):
        program = harness.run_demo(*options)
        harness.player().is_greeted()
        assert program.terminate() == 0
    program = harness.run_demo()
    program.wait_for(f"WARNING:.*{former(harness).name}, which has the same server's state .*: remove that")
    assert former(harness).is_dir()
    assert program.terminate() == 0
