"""What an operator may want: the server left running, held up, held down, paused, or stopped from a panel's console."""

from __future__ import annotations

import signal
import statistics
import time
from collections.abc import Callable

import pytest
from peers.programs import Program, wait_until
from survival.harness import AT_ONCE, Scene, at_once, state_of


def assert_saved(scene: Scene, *proxies: Program, runs: int) -> None:
    """Nothing runs any more, and so many servers have all saved their world."""
    assert scene.servers() == set()
    for proxy in proxies:
        assert "Traceback" not in proxy.text(), proxy.text()
    report = scene.journal()
    assert (report.consistent, report.closed, report.runs, report.saves) == (True, True, runs, runs)


@pytest.mark.slow
@pytest.mark.parametrize("state", ["starting", "running"])
def test_left_running_for_the_next_zeroscale(scene: Scene, state: str) -> None:
    start = 2 if state == "starting" else 0
    first = scene.demo("--on_exit", "leave", start=start, switches="--ignore-term")
    waiting = scene.player()
    if state == "starting":
        first.wait_for("Preparing level")
    else:
        waiting.is_greeted()
    server = scene.server()
    assert first.terminate() == 0
    assert scene.server() == server
    second = scene.demo("--on_exit", "leave", start=start, switches="--ignore-term", idle=0.3)
    second.wait_for("taking it over")
    scene.player().is_greeted()
    scene.server_is_gone(second)
    assert second.terminate() == 0
    assert_saved(scene, first, second, runs=1)


@pytest.mark.slow
def test_stop_on_our_own_console_and_other_lines_on_the_servers(scene: Scene) -> None:
    proxy = scene.demo("--console")
    proxy.tell("list")
    proxy.wait_for("Not typed: demo-.* does not run")
    scene.player().is_greeted()
    proxy.tell("list")
    wait_until(lambda: "There are 0 of a max of 20 players online" in scene.console(), "it answers", program=proxy)
    proxy.tell("stop")
    assert proxy.wait() == 0
    assert_saved(scene, proxy, runs=1)


@pytest.mark.slow
def test_without_it_nobody_reads_our_input(scene: Scene) -> None:
    proxy = scene.demo()
    scene.player().is_greeted()
    proxy.tell("stop")
    scene.player().is_greeted()
    assert proxy.terminate() == 0
    assert_saved(scene, proxy, runs=1)


@pytest.mark.slow
def test_held_up(scene: Scene) -> None:
    (scene.world / "zeroscale.keep-awake").touch()
    proxy = scene.demo(idle=0)
    scene.player().is_greeted()
    proxy.wait_for("is not stopped: .*zeroscale.keep-awake exists")
    proxy.wait_for("No clients online", after=proxy.wait_for("Scheduling the stop of .* in 5 s"))
    assert scene.servers()
    (scene.world / "zeroscale.keep-awake").unlink()
    scene.server_is_gone(proxy)
    assert proxy.terminate() == 0
    assert_saved(scene, proxy, runs=1)


@pytest.mark.slow
def test_held_down(scene: Scene) -> None:
    file = scene.world / "zeroscale.keep-asleep"
    proxy = scene.demo(idle=0, switches="--slow-stop 0.5")
    scene.player().is_greeted()
    proxy.wait_for("Stopping demo")
    waiting = scene.player("Waiting")
    proxy.wait_for("Will start .* again")
    file.write_text("A backup is being made.")
    assert "A backup is being made." in waiting.is_told(), "it would not come back"
    with at_once("being told so"):
        assert "A backup is being made." in scene.player().is_told()
    scene.server_is_gone(proxy)
    assert "A backup is being made." in scene.motd()
    file.unlink()
    scene.player().is_greeted()
    assert proxy.terminate() == 0
    assert_saved(scene, proxy, runs=2)


@pytest.mark.slow
def test_paused_and_resumed_within_milliseconds(scene: Scene, record_property: Callable[[str, object], None]) -> None:
    (scene.world / "server.properties").write_text("max-tick-time=-1\n")
    proxy = scene.demo("--idle_action", "pause", idle=0)
    scene.player().is_greeted()
    server = scene.server()
    took = []
    at = 0
    for number in range(10):
        at = proxy.wait_for("Pausing demo", after=at)
        wait_until(lambda: state_of(server) == "T", "it is paused", program=proxy)
        assert "Paused" in scene.motd()
        began = time.monotonic()
        scene.player(f"Player{number}").is_greeted()
        took.append(time.monotonic() - began)
    record_property("median", statistics.median(took))
    assert statistics.median(took) < 0.5, sorted(took)
    assert scene.server() == server
    assert proxy.terminate() == 0  # from `running` or `paused`, as it happens
    assert "max-tick-time" not in proxy.text()
    assert_saved(scene, proxy, runs=1)


@pytest.mark.slow
def test_our_own_end_resumes_a_paused_server_so_that_it_can_save(scene: Scene) -> None:
    proxy = scene.demo("--idle_action", "pause", idle=0, switches="--slow-stop 0.3")
    proxy.wait_for("max-tick-time=60000: .* write max-tick-time=-1 there")
    scene.player().is_greeted()
    wait_until(lambda: state_of(scene.server()) == "T", "it is paused", program=proxy)
    assert proxy.terminate() == 0
    assert_saved(scene, proxy, runs=1)


@pytest.mark.slow
def test_paused_first_and_stopped_later(scene: Scene) -> None:
    proxy = scene.demo("--idle_action", "pause+stop", "--pause_stop_after", "0.5", idle=0)
    scene.player().is_greeted()
    at = proxy.wait_for("Pausing demo")
    proxy.wait_for("Stopping demo", after=at)
    scene.server_is_gone(proxy)
    proxy.wait_for("is offline", AT_ONCE)
    assert proxy.terminate() == 0
    assert_saved(scene, proxy, runs=1)


@pytest.mark.slow
def test_up_for_a_minimum_of_time(scene: Scene) -> None:
    proxy = scene.demo("--minimum_online_time", "1", idle=0)
    scene.player().is_greeted()
    proxy.wait_for("is online")
    online_at = time.monotonic()
    scene.server_is_gone(proxy)
    assert 0.7 < time.monotonic() - online_at < 1 + AT_ONCE
    assert proxy.terminate() == 0
    assert_saved(scene, proxy, runs=1)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_our_own_end_waits_for_a_save_and_a_second_signal_hurries_but_cuts_nothing(
    scene: Scene, number: signal.Signals
) -> None:
    proxy = scene.demo(switches="--slow-stop 0.8 --ignore-stop")
    scene.player().is_greeted()
    proxy.process.send_signal(number)
    proxy.wait_for("Stopping demo")
    proxy.process.send_signal(number)
    proxy.wait_for("sending SIGTERM")
    assert proxy.wait() == 0
    assert_saved(scene, proxy, runs=1)


@pytest.mark.slow
def test_a_server_without_a_status_is_asked_on_its_console(scene: Scene) -> None:
    (scene.world / "server.properties").write_text(f"server-port={scene.server_port}\nenable-status=false\n")
    (scene.world / "online").write_text("2")
    proxy = scene.small(idle=0)
    scene.player().is_greeted()
    proxy.wait_for("is not stopped: players online that did not join through the proxy: 2")
    at = proxy.wait_for("Scheduling the stop of .* in 5 s")
    (scene.world / "online").write_text("0")
    proxy.wait_for("No clients online", after=at)
    scene.server_is_gone(proxy)
    assert proxy.terminate() == 0
    assert "There are 0 of a max of 20 players online" in scene.console()
