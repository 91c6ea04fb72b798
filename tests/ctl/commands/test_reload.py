"""`zeroscalectl reload`."""

from __future__ import annotations

import pytest_twisted
from ctl.ctl_fixture import CtlHarness

from zeroscale.errors import ConfigError


@pytest_twisted.ensureDeferred
async def test_what_has_changed(harness: CtlHarness) -> None:
    harness.proxy.changes = ["survival: idle_shutdown is 900 s", "creative: added"]
    run = await harness.run("reload")
    assert (run.code, run.out) == (0, "survival: idle_shutdown is 900 s\ncreative: added\n")
    harness.proxy.changes = []
    assert (await harness.run("reload")).out == "Nothing has changed.\n"


@pytest_twisted.ensureDeferred
async def test_mistakes_are_a_line_each(harness: CtlHarness) -> None:
    harness.proxy.changes = ConfigError("a.toml: servers.x.listen: a port\na.toml: servers.x.plugni: unknown")
    run = await harness.run("reload")
    assert run.code == 1
    assert run.err == ("zeroscalectl: error: a.toml: servers.x.listen: a port\na.toml: servers.x.plugni: unknown\n")
