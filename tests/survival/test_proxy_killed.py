"""kill -9 of the proxy in every state, and a new one after it: one server at any time, and its world unharmed."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
from peers.programs import Program, answers, wait_until
from survival.harness import Scene, at_once, kill, state_of


def assert_well(scene: Scene, *proxies: Program, runs: int) -> None:
    """Nothing runs any more, and the world has seen so many servers, one after the other, each of which saved it."""
    assert scene.servers() == set()
    for proxy in proxies:
        assert "Traceback" not in proxy.text(), proxy.text()
    report = scene.journal()
    assert report.consistent
    assert report.closed
    assert (report.runs, report.saves) == (runs, runs)


@pytest.mark.slow
def test_while_the_server_sleeps(scene: Scene) -> None:
    old = scene.demo()
    kill(old)
    new = scene.demo()
    assert "Asleep" in scene.motd()
    scene.player().is_greeted()
    assert new.terminate() == 0
    assert_well(scene, old, new, runs=1)


@pytest.mark.slow
def test_while_the_server_starts(scene: Scene) -> None:
    # It ignores SIGTERM: that it stops at all shows that the new proxy types into the console that the old one made.
    switches = "--ignore-term"
    old = scene.demo(start=1, switches=switches)
    waiting = scene.player()
    old.wait_for("Preparing level")
    server = scene.server()
    kill(old)
    waiting.is_closed()
    new = scene.demo(start=1, switches=switches, idle=0.3)
    new.wait_for("taking it over")
    assert "Waking up" in scene.motd()
    scene.player().is_greeted()
    assert scene.server() == server
    scene.server_is_gone(new)  # idle
    new.wait_for("is offline")
    assert new.terminate() == 0
    assert_well(scene, old, new, runs=1)


def test_while_players_are_on(scene: Scene) -> None:
    switches = "--echo --ignore-term"
    old = scene.demo(switches=switches)
    on = scene.player()
    on.is_in()
    server = scene.server()
    with at_once("hearing of it"):
        kill(old)
        on.is_closed()
    new = scene.demo(switches=switches, idle=0.5)
    new.wait_for("is online")
    staying = scene.player("Staying")
    staying.is_in()
    assert scene.server() == server
    assert scene.status()["players"] == {"online": 1, "max": 20}
    at = new.wait_for("Total clients: 1")
    staying.leave()
    new.wait_for("Lost connection, total clients: 0", after=at)
    scene.server_is_gone(new)
    new.wait_for("is offline")
    again = scene.player("Again")
    again.is_in()
    assert scene.server() != server
    assert new.terminate() == 0
    assert_well(scene, old, new, runs=2)


@pytest.mark.slow
def test_while_the_server_stops(scene: Scene) -> None:
    switches = "--ignore-term --slow-stop 1.5"
    old = scene.demo(switches=switches, idle=0)
    scene.player().is_greeted()
    wait_until(lambda: "Saving worlds" in scene.console(), "it saves", program=old)
    kill(old)
    new = scene.demo(switches=switches)
    scene.player("Next").is_greeted()
    scene.server_is_gone(new)
    new.wait_for("is offline")
    scene.player("Last").is_greeted()
    assert new.terminate() == 0
    assert_well(scene, old, new, runs=2)


@pytest.mark.slow
def test_while_the_server_is_paused(scene: Scene) -> None:
    switches = "--ignore-term"
    old = scene.demo("--idle_action", "pause", switches=switches, idle=0)
    scene.player().is_greeted()
    wait_until(lambda: state_of(scene.server()) == "T", "it is paused", program=old)
    server = scene.server()
    kill(old)
    new = scene.demo(switches=switches)
    new.wait_for("is online")
    scene.player().is_greeted()
    assert scene.server() == server
    assert new.terminate() == 0
    assert_well(scene, old, new, runs=1)


@pytest.mark.slow
def test_who_comes_while_an_orphan_still_stops_gets_a_fresh_server(scene: Scene) -> None:
    """As the real one does, it has closed its port by then, and goes on saving."""
    old = scene.small(idle=0, stop=1.5)
    scene.player().is_greeted()
    old.wait_for("Stopping")
    wait_until(lambda: not answers(scene.server_port), "it stops", program=old)
    kill(old)
    new = scene.small()
    new.wait_for("taking it over")
    scene.player("Next").is_greeted()
    assert len(scene.moments("started")) == 2
    assert scene.moments("started")[1] > scene.moments("stopped")[0]
    assert new.terminate() == 0
    assert "failed" not in new.text()


@pytest.mark.slow
def test_an_adopted_server_is_stopped_by_our_own_end(scene: Scene) -> None:
    old = scene.demo(start=1.5, switches="--ignore-term")
    scene.player()
    old.wait_for("Preparing level")
    kill(old)
    new = scene.demo(switches="--ignore-term")
    new.wait_for("taking it over")
    assert new.terminate() == 0
    assert_well(scene, old, new, runs=1)


@pytest.mark.slow
def test_a_second_proxy_beside_a_living_one_is_refused(scene: Scene, tmp_path: Path) -> None:
    first = scene.demo()
    scene.player().is_greeted()
    for state in (scene.state, tmp_path / "another"):
        second = scene.demo(state=state, listens=False)
        assert second.wait() == 1
        (line,) = [line for line in second.lines if not line.startswith(("DEBUG:", "INFO:"))]
        found = re.fullmatch(r"zeroscale: error: another zeroscale \(process (\d+)\) holds (\S+): stop .*", line)
        assert found is not None, line
        assert int(found[1]) == first.process.pid
        assert Path(found[2]).exists()
    scene.player().is_greeted()
    assert first.terminate() == 0
    assert_well(scene, first, runs=1)


@pytest.mark.parametrize(
    ("moment", "start"),
    [
        # Its port is not bound yet, and no world is open: nothing but a lock of ours tells that it is there.
        pytest.param("Starting minecraft", 60, marks=pytest.mark.slow),
        pytest.param("Preparing level", 3, marks=pytest.mark.slow),
        pytest.param("is online", 0, marks=pytest.mark.slow),
    ],
)
def test_an_orphan_of_another_state_directory_is_never_doubled(
    scene: Scene, tmp_path: Path, moment: str, start: float
) -> None:
    old = scene.demo(start=start)
    scene.player()
    old.wait_for(moment)
    server = scene.server()
    kill(old)
    new = scene.demo(state=tmp_path / "another")
    assert "could not be started" in scene.player().is_told()
    assert "Something went wrong" in scene.motd()
    new.wait_for("failed: (something else already answers on the server's port|.* holds )")
    assert scene.server() == server
    assert new.terminate() == 0
    assert scene.server() == server, "it is not ours to stop"
    os.kill(server, signal.SIGTERM)
    scene.server_is_gone()
    assert_well(scene, old, new, runs=1)
