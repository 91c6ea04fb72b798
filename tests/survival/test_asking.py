"""Servers that answer in their own way whether they are up, and how many players are on."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from survival.harness import SurvivalHarness

pytestmark = pytest.mark.slow

KNOWN_TO_QUARRY = 758
"""1.18.2."""


def status_kept(harness: SurvivalHarness) -> dict[str, object]:
    """Return the status that is shown while the server sleeps."""
    (file,) = harness.state.glob("*/status.json")
    status: dict[str, object] = json.loads(file.read_text())["status"]
    return status


def test_quarrys_server_which_closes_at_unknown_numbers_sleeps(harness: SurvivalHarness) -> None:
    server = Path(__file__).with_name("quarry_server.py")
    words = [sys.executable, str(server), str(harness.server_port), "protocol=minecraft"]
    command = [option for word in words for option in ("-a", word)]
    first = harness.run("generic", "-t", "60", "--on-exit", "leave", *command)
    player = harness.player(protocol=KNOWN_TO_QUARRY)
    first.wait_for(": ready")
    player.leave()
    assert first.terminate() == 0
    assert "version" not in status_kept(harness)
    second = harness.run("generic", "-t", "1", *command)  # knows no player but from the record of the first
    second.wait_for("found running")
    harness.server_is_gone(second)
    assert second.terminate() == 0


@pytest.mark.parametrize("plugin", ["minecraft", "generic"])
def test_a_server_of_before_1_7_is_ready_and_sleeps(harness: SurvivalHarness, plugin: str) -> None:
    proxy = harness.run_small_server(idle=0, switches=["--answers", "legacy"], plugin=plugin)
    harness.player().is_greeted()
    harness.server_is_gone(proxy)
    assert "taken as ready" not in proxy.text() or plugin == "minecraft"
    assert proxy.terminate() == 0


def test_replies_that_take_longer_than_5_s_count(harness: SurvivalHarness) -> None:
    proxy = harness.run_small_server(idle=0, switches=["--slow-status", "5.5"], plugin="generic")
    harness.player().is_greeted()
    harness.server_is_gone(proxy)
    asked = harness.times_of("question")
    assert len(asked) == 3, "in a second way after 5 s of silence; later in the one that has brought the reply"
    assert asked[1] - asked[0] > 4.9
    assert proxy.terminate() == 0


@pytest.mark.parametrize(
    ("answer", "online", "busy"),
    [
        ("There are {} of a max of 20 players online: ", 0, None),
        ("> [12:00:00 INFO]: There are 0/{} out of maximum 35 players online.", 1, "does not relay: 1"),
        ('{"level": "INFO", "message": "There are {} out of a maximum 35 players online"}', 2, "does not relay: 2"),
    ],
)
def test_a_server_whose_status_cannot_be_had_is_asked_on_its_console(
    harness: SurvivalHarness, answer: str, online: int, busy: str | None
) -> None:
    (harness.world / "online").write_text(str(online))
    proxy = harness.run_small_server(idle=0, switches=["--answers", "none", "--list", answer])
    harness.player().is_greeted()
    if busy is None:
        harness.server_is_gone(proxy)
    else:
        proxy.wait_for(f"WARNING.* not stopped: .*{re.escape(busy)}")
        assert harness.servers()
    assert proxy.terminate() == 0
