from __future__ import annotations

import pytest
from lifecycle.harness import FakePlugin, LifecycleHarness

from zeroscale.errors import PluginError
from zeroscale.lifecycle.exit_watch import LINES_KEPT, ExitWatch, ProcessExit
from zeroscale.status import Status


class Watched:
    """A plugin, and the exits that its watch has seen."""

    def __init__(self) -> None:
        self.plugin: FakePlugin = LifecycleHarness(opened=False).plugin
        self.exits: list[ProcessExit] = []
        self.watch = ExitWatch(self.exits.append)


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_an_exit_is_described(watched: Watched) -> None:
    watched.watch.start(watched.plugin)
    assert (watched.watch.is_active, watched.exits) == (True, [])
    watched.watch.add_output("java.lang.OutOfMemoryError")
    watched.plugin.exit(1)
    assert watched.exits == [
        ProcessExit(False, "exit code 1: an error", "; its last output: java.lang.OutOfMemoryError")
    ]


def test_a_plugin_may_describe_the_exit_itself(watched: Watched) -> None:
    watched.watch.start(watched.plugin)
    watched.watch.add_output("You need to agree to the EULA")
    assert watched.plugin.waiting is not None
    watched.plugin.waiting.errback(PluginError("say eula=true in /srv/eula.txt"))
    assert watched.exits == [ProcessExit(False, "say eula=true in /srv/eula.txt", "")]


def test_the_wait_is_begun_once(watched: Watched) -> None:
    watched.watch.start(watched.plugin)
    waiting = watched.plugin.waiting
    watched.watch.start(watched.plugin)
    assert watched.plugin.waiting is waiting


def test_without_wait_there_is_nothing_to_watch(watched: Watched) -> None:
    watched.plugin.can_wait = False
    watched.watch.start(watched.plugin)
    assert (watched.watch.is_active, watched.plugin.waiting) == (False, None)


def test_after_stop_no_exit_is_reported_and_the_next_server_can_be_watched(watched: Watched) -> None:
    watched.watch.start(watched.plugin)
    first = watched.plugin.waiting
    watched.watch.stop()
    watched.watch.stop()
    assert first is not None
    assert first.called
    assert not watched.watch.is_active
    watched.watch.start(watched.plugin)
    watched.plugin.exit(0)
    assert watched.exits == [ProcessExit(True, "exit code 0", "")]


def test_of_the_output_only_the_end_is_kept(watched: Watched) -> None:
    for number in range(LINES_KEPT + 5):
        watched.watch.add_output(f"line {number}")
    assert watched.watch.last_output.endswith(f"| line {LINES_KEPT + 4}")
    watched.watch.clear_output()
    assert watched.watch.last_output == ""


CLEAN, UNCLEAN = ProcessExit(), ProcessExit(clean=False)


@pytest.mark.parametrize(
    ("end", "status", "adopted", "reason"),
    [
        (CLEAN, Status.running, False, None),
        (CLEAN, Status.starting, True, None),
        (CLEAN, Status.starting, False, "it ended while it started"),
        (CLEAN, Status.paused, False, "it ended while it was paused"),
        (UNCLEAN, Status.running, False, "it ended while it ran"),
        (UNCLEAN, Status.starting, True, "it ended while it started"),
    ],
)
def test_which_exits_are_crashes(end: ProcessExit, status: Status, adopted: bool, reason: str | None) -> None:
    assert end.crash_reason(status, adopted=adopted) == reason
