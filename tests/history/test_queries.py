"""What is read from histories: entries, and sums compared with a model that counts seconds."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from history.server import ADA, BOB, Server
from history.times import DAY, START, Times, entry
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from zeroscale.errors import ControlError
from zeroscale.events import Cause, CauseKind
from zeroscale.history.queries import read_history, read_stats
from zeroscale.history.values import FILE, HistoryEntry, HistoryPage, HistoryStats, Row, UsageStats
from zeroscale.status import ClientInfo


class Survival:
    """A server with a history on disk."""

    def __init__(self, directory: Path) -> None:
        self.times = Times()
        self.directory = directory
        self._file = self.times.file(directory)
        self.server = Server(self.times, self.times.journal())

    def write(self) -> None:
        self.server.journal.flush()
        self._file.write(self.server.journal.take())

    def entries(self, since: float = START - DAY, limit: int = 1000) -> list[HistoryEntry]:
        self.write()
        return list(read_history([("survival", self.directory)], since, limit).entries)

    def stats(self, since: float, until: float) -> HistoryStats:
        self.write()
        [stats] = read_stats([("survival", self.directory)], since, until)
        return stats


@pytest.fixture
def survival(tmp_path: Path) -> Survival:
    return Survival(tmp_path / "survival")


def test_the_story_of_an_evening(survival: Survival) -> None:
    server, times = survival.server, survival.times
    server.refuses(BOB)
    server.wakes()
    times.advance(30)
    server.is_ready(30)
    server.joins()
    times.advance(600)
    server.leaves(seconds=600)
    server.joins(BOB)
    times.advance(5)
    server.stops(Cause(CauseKind.operator, operator="max"))
    story = [(each.event, each.name, each.seconds, each.open) for each in survival.entries()]
    assert story == [
        ("refused", "Bob", None, False),
        ("woken", "Ada", 30.0, False),
        ("session", "Ada", 600.0, False),
        ("session", "Bob", 5.0, True),
        ("stopped", "", 2.0, False),
    ]


def test_the_newest_entries_of_several_servers(tmp_path: Path) -> None:
    directories = [(name, tmp_path / name) for name in ("a", "b", "none")]
    for offset, (_, directory) in enumerate(directories[:2]):
        Times().file(directory).write([entry(START + 10 * number + offset) for number in range(5)])
    page = read_history(directories, START, 3)
    assert [(each.server, each.at - START) for each in page.entries] == [("b", 31), ("a", 40), ("b", 41)]
    assert page.more
    page = read_history(directories, START + 39, 2)
    assert [each.server for each in page.entries] == ["a", "b"]
    assert not page.more


def test_a_session_that_overlaps_the_begin(survival: Survival) -> None:
    survival.server.joins()
    survival.times.advance(1000)
    survival.server.leaves(seconds=1000)
    assert [each.event for each in survival.entries(START + 999)] == ["session"]
    assert survival.entries(START + 1001) == []
    stats = survival.stats(START + 990, START + 2000)
    assert (stats.sessions, stats.player_seconds) == (1, 10.0)


def test_a_session_of_which_the_end_is_not_known(survival: Survival) -> None:
    survival.server.joins()
    survival.times.advance(600)
    survival.write()
    survival.times.file(survival.directory).write([entry(START + 700)])
    session = read_history([("survival", survival.directory)], START, 10).entries[0]
    assert (session.at_least, session.open, session.seconds) == (True, False, 600.0)


def test_summed_up_connections_count(survival: Survival) -> None:
    for number in range(1000):
        client = ClientInfo("", f"192.0.2.1:{number}", "192.0.2.1")
        survival.server.joins(client)
        survival.server.leaves(client, 2.0)
    stats = survival.stats(START - 1, START + 1000)
    assert stats.sessions == 1000
    assert stats.player_seconds == pytest.approx(2000.0, abs=11)
    assert sum(each.count for each in survival.entries()) == 1000
    assert survival.stats(START + 500, START + 1000).sessions == 0


def test_wakes_and_starts(survival: Survival) -> None:
    for seconds in (30.0, 40.0, 90.0, None):
        survival.server.wakes()
        if seconds is None:
            survival.server.fails("start")
        else:
            survival.server.is_ready(seconds)
            survival.server.stops()
        survival.times.advance(DAY / 2)
    stats = survival.stats(START - 1, START + 2 * DAY)
    assert (stats.wakes, stats.wakes_per_day, stats.failures) == (4, 2.0, 1)
    assert (stats.starts, stats.start_median, stats.start_slowest) == (3, 40.0, 90.0)
    stats = survival.stats(START + DAY - 1, START + 2 * DAY - 1)
    assert (stats.wakes, stats.start_median) == (2, 90.0)


def test_what_was_not_used(survival: Survival) -> None:
    assert survival.stats(START - 1, START).usage is None
    survival.server.journal.used(3600, 360.0, 1e9)
    survival.server.wakes()
    survival.times.advance(3600)
    survival.server.pauses()
    survival.times.advance(1800)
    survival.server.stops()
    survival.times.advance(7200)
    usage = survival.stats(START, START + DAY).usage
    assert usage is not None
    assert (usage.sampled, usage.cpu, usage.memory) == (3600, 0.1, 1e9)
    assert usage.cpu_seconds_saved == pytest.approx(0.1 * 9000)
    assert usage.memory_hours_saved == pytest.approx(1e9 * 2), "a paused server keeps its memory"


def test_only_the_latest_day_of_measurements_counts(survival: Survival) -> None:
    survival.server.journal.used(3600, 3600.0, 1.0)
    for _ in range(24):
        survival.times.advance(3600)
        survival.server.journal.used(3600, 0.0, 4096.0)
    usage = survival.stats(START, START + 1).usage
    assert usage is not None
    assert (usage.cpu, usage.memory) == (0.0, 4096.0)


def test_no_history(tmp_path: Path) -> None:
    assert read_history([("none", tmp_path)], 0, 10).entries == ()
    assert read_stats([("none", tmp_path)], 1, 2) == (HistoryStats(server="none", since=1, until=2),)


def test_one_that_cannot_be_read(tmp_path: Path) -> None:
    Times().file(tmp_path).write([Row("entries", 1, (START, *[None] * 8))])
    page = read_history([("odd", tmp_path)], START, 10)
    assert len(page.entries) == 1
    Times().file(tmp_path).write([Row("sessions", 1, (START, math.inf, "ended", "", "", math.inf, 0, math.inf))])
    assert len(read_history([("odd", tmp_path)], START, 10).entries) == 2
    (tmp_path / FILE).write_bytes(b"no database" * 1000)
    with pytest.raises(ControlError, match=FILE):
        read_history([("odd", tmp_path)], START, 10)
    with pytest.raises(ControlError, match=FILE):
        read_stats([("odd", tmp_path)], 1, 2)


STEPS = st.lists(
    st.tuples(
        st.integers(3, 400),
        st.sampled_from(["wake", "ready", "pause", "stop", "fail", "join", "leave", "flush", "nothing"]),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(0, 4000), st.integers(1, 4000))
def test_sums_are_those_of_a_model_that_counts_seconds(steps: list[tuple[int, str]], begin: int, length: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        survival = Survival(Path(directory))
        server, times = survival.server, survival.times
        activities: list[str] = []
        players: list[int] = []
        activity, names = "asleep", 0
        on: dict[ClientInfo, int] = {}
        woken_at: list[int] = []
        for seconds, step in steps:
            activities += [activity] * seconds
            players += [len(on)] * seconds
            times.advance(seconds)
            now = len(activities)
            match step:
                case "wake":
                    server.wakes()
                    activity = "awake"
                    woken_at.append(now)
                case "ready":
                    server.is_ready(found=True)
                    activity = "awake"
                case "pause":
                    server.pauses()
                    activity = "paused"
                case "stop":
                    server.stops()
                    activity = "asleep"
                case "fail":
                    server.fails("run")
                    activity = "asleep"
                case "join":
                    names += 1
                    on[ClientInfo(f"Player{names}", f"192.0.2.1:{names}")] = now
                    server.joins(list(on)[-1])
                case "leave" if on:
                    client, since = on.popitem()
                    server.leaves(client, now - since)
                case "flush":
                    survival.write()
        stats = survival.stats(START + begin, START + begin + length)
        counted = Counter(activities[begin : begin + length])
        assert (stats.asleep, stats.awake, stats.paused) == pytest.approx(
            (counted["asleep"], counted["awake"], counted["paused"])
        )
        assert stats.player_seconds == pytest.approx(sum(players[begin : begin + length]))
        assert stats.wakes == len([at for at in woken_at if begin <= at < begin + length])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(3, 4000), st.integers(-5000, 5000), st.booleans()), max_size=20))
def test_no_second_is_lost_or_counted_twice_when_the_wall_clock_is_set(
    steps: list[tuple[int, int, bool]],
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        survival = Survival(Path(directory))
        awake = asleep = 0
        runs = False
        for seconds, jump, wake in steps:
            survival.times.advance(seconds)
            survival.times.jumped += jump
            if runs:
                awake += seconds
            else:
                asleep += seconds
            runs = wake
            if wake:
                survival.server.wakes()
            else:
                survival.server.stops()
        stats = survival.stats(START - 10**6, START + 10**6)
        assert (stats.asleep, stats.awake) == pytest.approx((asleep, awake))


def test_addresses_are_those_of_clients(survival: Survival) -> None:
    survival.server.joins(ADA)
    survival.server.joins(ClientInfo("", "local"))
    assert [each.address for each in survival.entries()] == ["203.0.113.7", "local"]


@pytest.mark.parametrize("kind", [HistoryEntry, HistoryPage, HistoryStats, UsageStats])
def test_the_page_names_all_that_the_json_has(kind: type[Struct]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "history.md").read_text()
    assert [name for name in kind.__struct_fields__ if f"`{name}`" not in page] == []
