"""Servers that end by themselves, well or badly: what is said of it, when they may try again, and which is which."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest
from peers.programs import wait_until
from survival.harness import AT_ONCE, Scene, at_once


@pytest.mark.slow
def test_a_server_that_never_gets_ready_backs_off_and_then_stays_down(scene: Scene) -> None:
    proxy = scene.demo("--max_crashes", "3", switches="--crash-at-start")
    assert "it ended while it started" in scene.player().is_told()
    assert "Join to try again" in scene.motd()
    assert "it ended while it started" in scene.player().is_told()  # the first new try is free
    proxy.wait_for("may be started again in 10 s")
    assert "about 10 s" in scene.motd()
    at = len(proxy.lines)
    with at_once("being told to wait"):
        words = scene.player().is_told()
    assert "it ended while it started" in words
    assert "about 10 s" in words
    assert "Starting" not in "\n".join(proxy.lines[at:])
    assert proxy.terminate() == 0
    # What was counted is not forgotten with the proxy; one more, and it stays down.
    proxy = scene.demo("--max_crashes", "3", switches="--crash-at-start")
    assert "out of order" in scene.player().is_told()
    proxy.wait_for("has failed 3 times in a row, and is not started again before zeroscalectl release")
    assert "Out of order" in scene.motd()
    at = len(proxy.lines)
    with at_once("being told so"):
        assert "out of order" in scene.player().is_told()
    assert "Starting" not in "\n".join(proxy.lines[at:])
    assert proxy.terminate() == 0
    assert "Traceback" not in proxy.text(), proxy.text()


@pytest.mark.slow
def test_a_crash_in_play_is_told_with_its_last_words(scene: Scene) -> None:
    proxy = scene.demo(switches="--echo --crash-after 0.5")
    playing = scene.player()
    playing.is_in()
    playing.is_closed()
    proxy.wait_for("failed: it ended while it ran .exit code 1: an error.; its last output: .*told to crash in play")
    assert "Something went wrong" in scene.motd()
    scene.player("Again").is_in()
    assert proxy.terminate() == 0
    assert not scene.journal().overlapped


ENDS = [
    pytest.param("exit code 0", lambda scene: scene.type("stop"), id="0"),
    pytest.param(
        "exit code 130", lambda scene: os.kill(scene.server(), signal.SIGINT), id="130", marks=pytest.mark.slow
    ),
    pytest.param("exit code 143", lambda scene: os.kill(scene.server(), signal.SIGTERM), id="143"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("code", "end"), ENDS)
def test_somebodys_stop_is_no_crash(scene: Scene, code: str, end: Callable[[Scene], None]) -> None:
    proxy = scene.demo("--max_crashes", "1")
    scene.player().is_greeted()
    end(scene)
    proxy.wait_for(f"has exited by itself .{code}", AT_ONCE)
    proxy.wait_for("is offline")
    assert "Asleep" in scene.motd()
    scene.player().is_greeted()
    assert proxy.terminate() == 0
    report = scene.journal()
    assert (report.consistent, report.closed, report.runs, report.saves) == (True, True, 2, 2)


@pytest.mark.slow
def test_a_server_that_starts_itself_anew_is_kept(scene: Scene) -> None:
    """As Paper does at `/restart`: a new process, of which we know nothing, and the old one ends."""
    proxy = scene.small(idle=2)
    scene.player().is_greeted()
    first = scene.server()
    scene.type("restart")
    wait_until(lambda: len(scene.moments("ready")) == 2, "it is there again", program=proxy)
    scene.player().is_greeted()
    assert scene.server() != first
    assert "is offline" not in proxy.text()
    scene.server_is_gone(proxy)
    proxy.wait_for("is offline")
    assert len(scene.moments("started")) == 2
    assert proxy.terminate() == 0


@pytest.mark.slow
def test_a_server_that_starts_itself_anew_is_adopted(scene: Scene) -> None:
    old = scene.small()
    scene.player().is_greeted()
    scene.type("restart")
    wait_until(lambda: len(scene.moments("ready")) == 2, "it is there again", program=old)
    old.process.kill()
    old.process.wait()
    new = scene.small(idle=0.3)
    new.wait_for("taking it over")
    scene.player().is_greeted()
    scene.server_is_gone(new)
    assert len(scene.moments("started")) == 2
    assert new.terminate() == 0


@pytest.mark.slow
def test_a_script_that_starts_its_server_again_and_again_is_one_server(scene: Scene) -> None:
    proxy = scene.small("--stop_timeout", "0.7", idle=1, through="while true; do {}; done")
    scene.player().is_greeted()
    scene.type("stop")
    wait_until(lambda: len(scene.moments("ready")) == 2, "it is there again", program=proxy)
    scene.player().is_greeted()
    # Told to stop it only comes back once more; SIGTERM reaches the script as well.
    proxy.wait_for("sending SIGTERM")
    scene.server_is_gone(proxy)
    proxy.wait_for("is offline")
    assert len(scene.moments("started")) == 3
    began = time.monotonic()
    scene.player().is_greeted()
    assert scene.moments("started")[-1] > began
    assert proxy.terminate() == 0
    assert scene.servers() == set()
