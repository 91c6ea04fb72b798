"""What `zeroscalectl status` tells of a real server, across a kill of zeroscale."""

from __future__ import annotations

import json
from typing import Any

from peers.programs import Program
from processes import python
from survival.harness import SurvivalHarness, kill_proxy


def status(harness: SurvivalHarness) -> dict[str, Any]:
    """Return the report of the server."""
    name = f"demo-{harness.port}"
    command = Program([*python("-m", "zeroscale.ctl.main", "status", name, "--json")], harness.other_directory)
    try:
        assert command.wait() == 0, command.text()
        [server] = json.loads(command.text())["servers"]
        return dict(server)
    finally:
        command.discard()


def test_who_why_and_when(harness: SurvivalHarness) -> None:
    old = harness.run_demo(switches="--echo")
    asleep = status(harness)
    assert (asleep["listen"], asleep["awake"]) == ([str(harness.port)], [])
    assert (asleep["last_wake"], asleep["last_stop"]) == (None, None)
    harness.player("Ada").is_joined()
    reason = status(harness)["awake"][0]
    assert (reason["kind"], reason["text"].partition(",")[0]) == (
        "connection",
        "a connection that may be a player's (Ada)",
    )
    kill_proxy(old)
    new = harness.run_demo(switches="--echo", idle=1.0)
    new.wait_for("stopped after")
    asleep = status(harness)
    assert (asleep["last_wake"]["kind"], asleep["last_wake"]["player"]) == ("login", "Ada")
    assert (asleep["last_stop"]["kind"], asleep["last_stop"]["detail"]) == ("idle", "no players for 1 s")
    assert asleep["last_stop"]["ago"] < asleep["last_wake"]["ago"]
    assert "127.0.0.1" not in (harness.state / f"demo-{harness.port}" / "record.json").read_text()
    assert new.terminate() == 0
