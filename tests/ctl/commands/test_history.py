"""`zeroscalectl history`."""

from __future__ import annotations

import json

import pytest_twisted
from ctl.ctl_fixture import CtlHarness

from zeroscale.history.values import HistoryEntry, HistoryPage


def entries(number: int) -> tuple[HistoryEntry, ...]:
    return tuple(HistoryEntry(server="survival", at=1.8e9 + at, event="found") for at in range(number))


@pytest_twisted.ensureDeferred
async def test_lines(harness: CtlHarness) -> None:
    harness.proxy.page = HistoryPage(entries(2))
    run = await harness.run("history")
    assert (run.code, len(run.out.splitlines())) == (0, 2)
    assert harness.proxy.asked == [("history", ("survival",), 7 * 86400.0, 1000)]
    harness.proxy.page = HistoryPage(())
    run = await harness.run("history", "survival")
    assert run.out == "Nothing happened in this time.\n"


@pytest_twisted.ensureDeferred
async def test_older_ones_are_left_out(harness: CtlHarness) -> None:
    harness.proxy.page = HistoryPage(entries(2), more=True)
    run = await harness.run("history", "--limit", "2")
    assert run.out.splitlines()[0].startswith("(older entries are left out; 2 are shown")


@pytest_twisted.ensureDeferred
async def test_json(harness: CtlHarness) -> None:
    bell = HistoryEntry(server="survival", at=2.0, event="refused", name="\x9b2J")
    harness.proxy.page = HistoryPage((*entries(1), bell))
    run = await harness.run("history", "--json")
    assert "\x9b" not in run.out
    assert json.loads(run.out)["entries"][1] == {"server": "survival", "at": 1.8e9, "event": "found"}
