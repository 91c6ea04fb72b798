"""Entries and sums of the history in words."""

from __future__ import annotations

import re

import pytest

from zeroscale.ctl.history_format import entry_lines, stats_lines
from zeroscale.history.values import HistoryEntry, HistoryPage, HistoryStats, UsageStats

ADA = {"name": "Ada", "address": "203.0.113.7"}
MIB = 1 << 20


def words(event: str, **values: object) -> str:
    entry = HistoryEntry(server="s", at=1.8e9, event=event, **values)  # type: ignore[arg-type]
    [line] = entry_lines(HistoryPage((entry,)))
    found = re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d  s  (.*)", line)
    assert found is not None, line
    return found[1]


@pytest.mark.parametrize(
    ("event", "values", "expected"),
    [
        ("woken", {"cause": "login", **ADA, "seconds": 34.2}, "woken: Ada (203.0.113.7) joined; ready after 34.2 s"),
        ("woken", {"cause": "login", "name": "Ada"}, "woken: Ada joined"),
        ("woken", {"cause": "login", "name": "by max"}, "woken: 'by max' joined"),
        ("woken", {"cause": "connection", "address": "::1", "seconds": 90.0},
         "woken: ::1 connected; ready after 1 min 30 s"),
        ("woken", {"cause": "connection"}, "woken: a client connected"),
        ("woken", {"cause": "operator", "operator": "max"}, "woken by operator max"),
        ("woken", {"cause": "operator"}, "woken by operator"),
        ("woken", {"cause": "schedule", "detail": "schedule Mon-Fri"}, "woken: schedule Mon-Fri"),
        ("woken", {"cause": "restart"}, "woken: restart"),
        ("woken", {"cause": "login", "count": 312}, "woken 312 times"),
        ("found", {}, "found running"),
        ("session", {**ADA, "seconds": 4320.0, "to_server": 2 * MIB, "to_client": 84 * MIB},
         "Ada (203.0.113.7) was on for 1 h 12 min; 2.0 MiB to the server, 84.0 MiB back"),
        ("session", {**ADA, "seconds": 60.0, "open": True}, "Ada (203.0.113.7) is on, for 1 min so far"),
        ("session", {**ADA, "seconds": 60.0, "at_least": True},
         "Ada (203.0.113.7) was on for 1 min or longer: zeroscale ended before"),
        ("session", {"seconds": 60.0, "count": 312},
         "312 more connections for 1 min in all; 0 bytes to the server, 0 bytes back"),
        ("stopped", {"cause": "idle", "detail": "no players for 15 min", "seconds": 4.13},
         "stopped: no players for 15 min; took 4.1 s"),
        ("stopped", {"cause": "operator", "operator": "max", "seconds": 0.0}, "stopped by operator max; took 0.0 s"),
        ("stopped", {"cause": "shutdown", "seconds": 1.0}, "stopped: zeroscale exits; took 1.0 s"),
        ("stopped", {"cause": "exited", "detail": "exit code 0", "seconds": 0.0},
         "stopped: it exited by itself (exit code 0); took 0.0 s"),
        ("stopped", {"cause": "of another version"}, "stopped: of another version"),
        ("paused", {"cause": "idle"}, "paused: idle"),
        ("failed", {"cause": "start", "detail": "eula=false\nbad"}, "start failed: eula=false | bad"),
        ("failed", {"cause": "run", "detail": "exit code 1"}, "crashed: exit code 1"),
        ("failed", {"cause": "stop"}, "stop failed"),
        ("given_up", {"detail": "after 5 failures in a row: it broke"}, "given up after 5 failures in a row: it broke"),
        ("refused", {"cause": "banned", **ADA}, "Ada (203.0.113.7) refused: banned"),
        ("refused", {"cause": "banned", "count": 312}, "312 more logins refused: banned"),
        ("refused", {"cause": "not_whitelisted", **ADA, "detail": "not on the whitelist"},
         "Ada (203.0.113.7) refused: not on the whitelist"),
        ("moved", {"detail": "to another place"}, "moved to another place"),
    ],
)  # fmt: skip
def test_entries(event: str, values: dict[str, object], expected: str) -> None:
    assert words(event, **values) == expected


def test_untrusted_text_cannot_control_the_terminal() -> None:
    for event in ("woken", "session", "stopped", "failed", "given_up", "refused", "other\x1b[2J"):
        values = dict.fromkeys(("cause", "name", "address", "operator", "detail"), "\x1b[2J\n")
        assert "\x1b" not in words(event, **values)
        assert "\n" not in words(event, **values)


def test_servers_are_aligned_and_what_is_left_out_is_said() -> None:
    entries = [HistoryEntry(server=name, at=at, event="found") for name, at in (("a", 1.8e9), ("survival", 1e300))]
    note, *lines = entry_lines(HistoryPage(tuple(entries), more=True))
    assert note == "(older entries are left out; 2 are shown: see --limit)"
    assert {line[19:] for line in lines} == {"  a         found running", "  survival  found running"}


def stats(**values: object) -> dict[str, str]:
    first, *lines = stats_lines(HistoryStats(server="s", since=1.8e9, until=1.8e9 + 864000, **values))  # type: ignore[arg-type]
    assert re.fullmatch(r"s: since \d{4}-\d\d-\d\d \d\d:\d\d", first)
    return {line[2:14].strip(): line[15:] for line in lines}


def test_sums() -> None:
    usage = UsageStats(
        sampled=7200.0, cpu=0.042, memory=2.1 * 2**30, cpu_seconds_saved=72000.0, memory_hours_saved=400 * 2.0**30
    )
    assert stats(
        asleep=700000.0,
        awake=160000.0,
        paused=4000.0,
        wakes=41,
        wakes_per_day=4.1,
        starts=40,
        start_median=34.2,
        start_slowest=72.0,
        sessions=120,
        players=7,
        player_seconds=345600.0,
        failures=2,
        refused=1,
        usage=usage,
    ) == {
        "Asleep": "8 d 2 h (81%)",
        "Awake": "1 d 20 h",
        "Paused": "1 h 6 min",
        "Wakes": "41; 4.1 a day",
        "Starts": "34.2 s (median), 1 min 12 s (slowest)",
        "Players": "4 d in 120 sessions; 7 players",
        "Failures": "2",
        "Refused": "1 login",
        "Idle use": "4.2% of a processor, 2.1 GiB of memory (measured for 2 h)",
        "Saved": "20.0 processor hours, 400.0 GiB hours of memory",
    }


def test_a_server_of_which_little_is_known() -> None:
    assert stats() == {
        "Known": "for 0 s, in which zeroscale ran",
        "Wakes": "0",
        "Players": "0 s in 0 sessions",
        "Saved": "not known: what it uses was never measured while it ran without a player",
    }
    assert stats(asleep=86400.0)["Known"] == "for 1 d, in which zeroscale ran"
