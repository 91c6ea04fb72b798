"""Servers that do not stop: what is tried, what players are told, and that nothing is ever killed unasked."""

from __future__ import annotations

import os
import signal

import pytest
from peers.programs import wait_until
from survival.harness import AT_ONCE, Scene, at_once


@pytest.mark.slow
def test_a_server_that_ignores_stop_saves_on_sigterm(scene: Scene) -> None:
    proxy = scene.demo("--stop_timeout", "0.5", switches="--ignore-stop --slow-stop 0.3", idle=0)
    scene.player().is_greeted()
    proxy.wait_for("has not stopped for . s: sending SIGTERM, on which it saves")
    proxy.wait_for("is offline")
    report = scene.journal()
    assert (report.consistent, report.closed, report.saves) == (True, True, 1)
    scene.player().is_greeted()
    assert proxy.terminate() == 0
    assert scene.journal().consistent


@pytest.mark.slow
def test_a_server_that_ignores_everything_is_not_killed_and_that_is_said(scene: Scene) -> None:
    proxy = scene.demo("--stop_timeout", "0.8", switches="--ignore-stop --ignore-term", idle=0)
    scene.player().is_greeted()
    at = proxy.wait_for("Stopping demo")
    waiting = scene.player("Waiting")
    proxy.wait_for("sending SIGTERM", after=at)
    assert waiting.waits, "it may well be saving"
    assert "Going to sleep" in scene.motd()
    proxy.wait_for("has not stopped for .* s; still waiting, as it may be saving", after=at)
    assert "stuck while shutting down" in waiting.is_told(AT_ONCE)
    assert "Shutting down for a long time" in scene.motd()
    with at_once("being told so"):
        assert "stuck while shutting down" in scene.player("Another").is_told()
    server = scene.server()
    proxy.process.send_signal(signal.SIGTERM)
    proxy.wait_for("SIGTERM: stopping")
    proxy.process.send_signal(signal.SIGTERM)
    proxy.wait_for("SIGTERM again: hurrying")
    assert scene.server() == server
    proxy.process.send_signal(signal.SIGTERM)
    assert proxy.wait() == 1
    assert "left as recorded, for the next start to adopt" in proxy.text()
    assert scene.server() == server
    assert "SIGKILL" not in proxy.text()
    report = scene.journal()
    assert report.consistent
    assert not report.closed


@pytest.mark.slow
def test_sigkill_only_where_it_was_asked_for_and_it_is_said_to_be_a_loss(scene: Scene) -> None:
    proxy = scene.demo("--stop_timeout", "0.4", "--kill_timeout", "0.4", switches="--ignore-stop --ignore-term", idle=0)
    scene.player().is_greeted()
    proxy.wait_for("sending SIGTERM")
    proxy.wait_for("ERROR.* sending SIGKILL after kill_timeout; data may be lost")
    proxy.wait_for("is offline")
    scene.server_is_gone(proxy)
    scene.player().is_greeted()
    assert proxy.terminate() == 0
    assert not scene.journal().overlapped


@pytest.mark.slow
def test_a_start_that_takes_too_long_is_stopped_before_it_is_called_failed(scene: Scene) -> None:
    # Once started it says no more for a minute. `stop` is heard, but a save takes its time.
    told = ("--start_timeout", "3", "--stop_timeout", "20", "--hold_limit", "20")
    proxy = scene.demo(*told, start=60, switches="--slow-stop 0.5")
    waiting = scene.player()
    words = waiting.is_told()
    assert "not ready within" in words
    proxy.wait_for("ERROR.*was not ready within [0-9]+ s: .*; its last output: .*Starting minecraft")
    assert "Something went wrong" not in scene.motd(), "it is not gone yet"
    proxy.wait_for("failed: it was not ready within")
    assert scene.servers() == set()
    assert "Something went wrong" in scene.motd()
    assert proxy.terminate() == 0
    report = scene.journal()
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
def test_a_start_scripts_child_is_stopped_with_it(scene: Scene, line: str) -> None:
    proxy = scene.small("--stop_timeout", "0.5", idle=0, through=line)
    scene.player().is_greeted()
    proxy.wait_for("is offline")
    scene.server_is_gone(proxy)
    scene.player().is_greeted()
    assert proxy.terminate() == 0
    assert scene.servers() == set()
    assert len(scene.moments("started")) == 2


@pytest.mark.slow
def test_a_child_that_outlives_its_start_script_is_still_the_server(scene: Scene) -> None:
    # As a script that starts the server in the background, and ends.
    proxy = scene.small(idle=0.5, through="exec 3<&0; {} <&3 & exit 0")
    scene.player().is_greeted()
    scene.player().is_greeted()
    proxy.wait_for("is offline")
    scene.server_is_gone(proxy)
    assert len(scene.moments("started")) == 1
    assert proxy.terminate() == 0


@pytest.mark.slow
def test_a_forked_child_is_neither_orphaned_nor_left_with_the_port(scene: Scene) -> None:
    proxy = scene.demo(switches="--fork-child", idle=0.5)
    scene.player().is_greeted()
    assert len(scene.servers()) == 2
    scene.server_is_gone(proxy)
    proxy.wait_for("is offline")
    scene.player().is_greeted()
    first, second = sorted(scene.servers())
    os.kill(first, signal.SIGKILL)
    again = scene.player()
    again.is_greeted()
    assert scene.servers() <= {first, second}, "the child still is the server"
    assert proxy.terminate() == 0
    assert scene.servers() == set()
    assert scene.journal().consistent
    assert scene.journal().closed


@pytest.mark.slow
def test_a_server_that_floods_its_output_is_never_blocked_and_fills_no_disk(scene: Scene) -> None:
    rate = 30_000_000
    proxy = scene.demo("--info", switches=f"--fill-output {rate} --echo", idle=1)
    player = scene.player()
    player.is_in()
    state = scene.state / f"demo-{scene.server_port}"
    largest = 0

    def written() -> bool:
        nonlocal largest
        largest = max(largest, sum(path.stat().st_size for path in state.glob("console.log*")))
        ticks = (scene.world / "journal").read_bytes().count(b'"tick"')
        return ticks > 60

    wait_until(written, "it has gone on for 60 ticks", 60, proxy)
    assert largest < 40_000_000
    player.leave()
    scene.server_is_gone(proxy)
    proxy.wait_for("is offline")
    assert proxy.terminate() == 0
    assert scene.journal().consistent
    assert scene.journal().closed
