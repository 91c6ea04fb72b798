"""`zeroscalectl stats`."""

from __future__ import annotations

import json

import pytest_twisted
from ctl.ctl_fixture import CtlHarness

from zeroscale.history.values import HistoryStats


@pytest_twisted.ensureDeferred
async def test_all_servers(harness: CtlHarness) -> None:
    harness.proxy.sums = [
        HistoryStats(server=name, since=1.8e9, until=1.9e9, asleep=1e8, wakes=3) for name in ("survival", "creative")
    ]
    run = await harness.run("stats")
    assert run.code == 0
    assert [line.split(":")[0] for line in run.out.splitlines() if not line.startswith(" ")] == ["creative", "survival"]
    assert run.out.count("  Wakes        3\n") == 2
    assert harness.proxy.asked == [("stats", ("survival",), 30 * 86400.0)]


@pytest_twisted.ensureDeferred
async def test_json(harness: CtlHarness) -> None:
    harness.proxy.sums = [HistoryStats(server="survival", since=1.0, until=2.0, wakes=3)]
    run = await harness.run("stats", "survival", "--since", "12h", "--json")
    [sums] = json.loads(run.out)
    assert (sums["server"], sums["wakes"], sums["usage"]) == ("survival", 3, None)
    assert harness.proxy.asked == [("stats", ("survival",), 43200.0)]


@pytest_twisted.ensureDeferred
async def test_no_history(harness: CtlHarness) -> None:
    assert (await harness.run("stats")).out == "There is no history.\n"
