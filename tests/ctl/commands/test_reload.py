"""`zeroscalectl reload`."""

from __future__ import annotations

import pytest
import pytest_twisted
from ctl.ctl_fixture import CtlHarness

from zeroscale.errors import ConfigMistakes


@pytest_twisted.ensureDeferred
async def test_what_has_changed(harness: CtlHarness) -> None:
    harness.proxy.changes = ["survival: idle_shutdown is 900 s", "creative: added"]
    run = await harness.run("reload")
    assert (run.code, run.out) == (0, "survival: idle_shutdown is 900 s\ncreative: added\n")
    harness.proxy.changes = []
    assert (await harness.run("reload")).out == "Nothing has changed.\n"


@pytest.mark.parametrize(("usage", "code"), [(True, 2), (False, 1)])
@pytest_twisted.ensureDeferred
async def test_mistakes_are_a_line_each(harness: CtlHarness, usage: bool, code: int) -> None:
    lines = ["a.toml: servers.x.listen: a port", "a.toml: servers.x.plugni: unknown"]
    harness.proxy.changes = ConfigMistakes(lines, usage=usage)
    run = await harness.run("reload")
    assert run.code == code
    assert run.err.splitlines() == [
        "zeroscalectl: error: not reloaded; the configuration that was read before stays in use:",
        *lines,
    ]
