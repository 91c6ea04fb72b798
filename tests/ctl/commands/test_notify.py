"""`zeroscalectl notify test`."""

from __future__ import annotations

import pytest_twisted
from ctl.ctl_fixture import CtlHarness


@pytest_twisted.ensureDeferred
async def test_how_each_test_has_ended(harness: CtlHarness) -> None:
    run = await harness.run("notify", "test")
    assert (run.code, run.out) == (1, "hook: delivered\nchat: HTTP 404\ufffd\n")
    harness.proxy.tests = harness.proxy.tests[:1]
    run = await harness.run("notify", "test", "hook")
    assert (run.code, run.out) == (0, "hook: delivered\n")
    assert harness.proxy.asked == [("notify", None), ("notify", "hook")]
