"""Events in words."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from zeroscale.event_text import cause_text, client_text, event_fields, event_text, format_duration, format_moment
from zeroscale.events import (
    EVENTS,
    Cause,
    CauseKind,
    Failed,
    GivenUp,
    Joined,
    Left,
    Ready,
    Refused,
    ServerEvent,
    Stopped,
    Stopping,
    Woken,
)
from zeroscale.status import ClientInfo

LOGGER = re.compile(r'getLogger\("(zeroscale\.[a-z_.]+)"\)')
ROOT = Path(__file__).parent.parent
ADA = ClientInfo("Ada", "203.0.113.7:51234")
BROWSER = ClientInfo("", "[2001:db8::7]:443")
LOGIN = Cause(CauseKind.login, ADA)
IDLE = Cause(CauseKind.idle, detail="no players for 15 min")
STAMP: Any = {"server": "survival", "at": 1_700_000_000.0}

EXAMPLES: list[tuple[ServerEvent, str]] = [
    (Woken(**STAMP, cause=LOGIN), "starting: Ada (203.0.113.7) joined"),
    (Woken(**STAMP, cause=Cause(CauseKind.connection, BROWSER)), "starting: 2001:db8::7 connected"),
    (Woken(**STAMP, cause=Cause(CauseKind.operator, operator="max")), "starting: woken by operator max"),
    (Woken(**STAMP, cause=Cause(CauseKind.operator)), "starting: woken by operator"),
    (Woken(**STAMP, cause=LOGIN, resumed=True), "resuming: Ada (203.0.113.7) joined"),
    (Woken(**STAMP, cause=Cause(CauseKind.found), resumed=True), "resuming: by another program"),
    (
        Woken(**STAMP, cause=Cause(CauseKind.schedule, detail="schedule Mon-Fri 16:00-22:00")),
        "starting: schedule Mon-Fri 16:00-22:00",
    ),
    (Woken(**STAMP, cause=Cause(CauseKind.restart)), "starting: restart"),
    (Woken(**STAMP, cause=Cause(CauseKind.dependency, detail="needed by app")), "starting: needed by app"),
    (Ready(**STAMP, seconds=34.21, waiting=2), "ready after 34.2 s, 2 players waiting"),
    (Ready(**STAMP, seconds=71.9, waiting=1), "ready after 1 min 12 s, 1 player waiting"),
    (Ready(**STAMP, seconds=1.0, waiting=1, unnamed=True), "ready after 1.0 s, 1 connection waiting"),
    (Ready(**STAMP, seconds=0.04), "ready after 0.0 s"),
    (Ready(**STAMP, seconds=0.04, found=True), "ready: it ran already"),
    (Joined(**STAMP, client=ADA, players=1), "Ada joined (1 player)"),
    (Joined(**STAMP, client=BROWSER, players=3), "2001:db8::7 connected (3 connections)"),
    (Left(**STAMP, client=ADA, players=0, seconds=4320.0), "Ada left after 1 h 12 min (0 players)"),
    (Left(**STAMP, client=BROWSER, players=1, seconds=3.0), "2001:db8::7 disconnected after 3 s (1 connection)"),
    (Stopping(**STAMP, cause=IDLE), "stopping: no players for 15 min"),
    (Stopping(**STAMP, cause=IDLE, pause=True), "pausing: no players for 15 min"),
    (Stopping(**STAMP, cause=Cause(CauseKind.operator, operator="max")), "stopping: stopped by operator max"),
    (
        Stopping(**STAMP, cause=Cause(CauseKind.operator, operator="max", detail="in 10 min")),
        "stopping: stopped by operator max: in 10 min",
    ),
    (Stopping(**STAMP, cause=Cause(CauseKind.shutdown)), "stopping: zeroscale exits"),
    (Stopping(**STAMP, cause=Cause(CauseKind.removed)), "stopping: not configured any more"),
    (
        Stopping(**STAMP, cause=Cause(CauseKind.start_failed, detail="it was not ready within 300 s")),
        "stopping: it was not ready within 300 s",
    ),
    (Stopped(**STAMP, cause=IDLE, seconds=3.21), "stopped after 3.2 s"),
    (
        Stopped(**STAMP, cause=Cause(CauseKind.exited, detail="exit code 0")),
        "stopped: it exited by itself (exit code 0)",
    ),
    (
        Failed(**STAMP, during="start", reason="r", detail="eula.txt: eula=false must be eula=true"),
        "start failed: eula.txt: eula=false must be eula=true",
    ),
    (
        Failed(**STAMP, during="run", reason="r", detail="it ended while it ran (exit code 1)", retry_in=10.0),
        "crashed: it ended while it ran (exit code 1); it may be started again in 10 s",
    ),
    (Failed(**STAMP, during="stop", reason="r", detail="no permission", retry_in=0.0), "stop failed: no permission"),
    (
        GivenUp(**STAMP, crashes=3, reason="r"),
        "given up after 3 failures in a row: it is not started again before zeroscalectl release or wake",
    ),
    (
        Refused(**STAMP, client=ADA, reason="not_whitelisted", detail="not on the server's whitelist"),
        "Ada (203.0.113.7) refused: not on the server's whitelist",
    ),
    (Refused(**STAMP, client=ADA, reason="lockout"), "Ada (203.0.113.7) refused: lockout"),
]


@pytest.mark.parametrize(("event", "text"), EXAMPLES)
def test_an_event_in_words(event: ServerEvent, text: str) -> None:
    assert event_text(event) == text


@pytest.mark.parametrize("event", [event for event, _ in EXAMPLES])
def test_without_addresses(event: ServerEvent) -> None:
    assert not re.search("203|2001", event_text(event, addresses=False))


def test_every_event_and_every_cause_has_words() -> None:
    assert {event.event for event, _ in EXAMPLES} == set(EVENTS)
    for kind in CauseKind:
        assert cause_text(Cause(kind)) and cause_text(Cause(kind), stop=True)


@pytest.mark.parametrize(
    ("client", "text"),
    [
        (ClientInfo(), "a client"),
        (ClientInfo("Ada"), "Ada"),
        (ClientInfo("Ada", "local"), "Ada (local)"),
        (ClientInfo("Ada", "203.0.113.7"), "Ada (203.0.113.7)"),
        (ClientInfo("Ada", "2001:db8::7"), "Ada (2001:db8::7)"),
        (ClientInfo("Ada (203.0.113.9) joined", "203.0.113.7:1"), "'Ada (203.0.113.9) joined' (203.0.113.7)"),
        (ClientInfo("A\nda", "203.0.113.7:1"), "'A\\nda' (203.0.113.7)"),
    ],
)
def test_a_client_in_words(client: ClientInfo, text: str) -> None:
    assert client_text(client) == text


def test_the_fields_of_an_event() -> None:
    assert event_fields(Woken(**STAMP, cause=LOGIN)) == {
        "event": "woken",
        "server": "survival",
        "cause": "login",
        "player": "Ada",
        "peer": "203.0.113.7:51234",
        "resumed": False,
    }
    assert event_fields(Left(**STAMP, client=ADA, players=0, seconds=1.23456, to_server=1, to_client=2)) == {
        "event": "left",
        "server": "survival",
        "player": "Ada",
        "peer": "203.0.113.7:51234",
        "players": 0,
        "seconds": 1.235,
        "to_server": 1,
        "to_client": 2,
    }


def documented() -> dict[str, set[str]]:
    _, _, section = (ROOT / "docs" / "logging.md").read_text().partition("## Events")
    rows = re.findall(r"^\| `([a-z_]+)` \|[^|]*\| ([^|]*) \|$", section.partition("\n## ")[0], re.MULTILINE)
    return {name: set(re.findall("`([a-z_]+)`", fields)) for name, fields in rows}


def test_the_page_lists_every_logger() -> None:
    source = "".join(path.read_text() for path in (ROOT / "zeroscale").rglob("*.py"))
    assert "getLogger(__name__)" not in source, "operators know the names, and not the modules: docs/logging.md"
    used = {re.sub(r"^zeroscale\.plugin\..*", "zeroscale.plugin.NAME", each) for each in LOGGER.findall(source)}
    _, _, section = (ROOT / "docs" / "logging.md").read_text().partition("## Loggers")
    listed = set(re.findall(r"^\| `(zeroscale\.[a-zA-Z.]+)` \|", section.partition("\n## ")[0], re.MULTILINE))
    assert used == listed


def test_the_page_lists_every_event_with_its_fields() -> None:
    every = ClientInfo("Ada", "203.0.113.7:1")
    cause = Cause(CauseKind.operator, every, "max", "why")
    values: dict[str, Any] = {"cause": cause, "client": every, "retry_in": 1.0, "during": "run"}
    in_code = {}
    for name, kind in EVENTS.items():
        known = {field: values.get(field, 1) for field in kind.__struct_fields__ if field not in STAMP}
        fields = event_fields(kind(**STAMP, **known))
        assert json.loads(msgspec.json.encode(fields)) == fields
        in_code[name] = set(fields) - {"event", "server"}
    assert documented() == in_code


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (7260, "2 h 1 min"),
        (86400, "1 d"),
        (86400 * 400 + 3 * 3600 + 59, "400 d 3 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


NOW = 1_796_000_000.0
"""2026-11-30 00:53:20 UTC, a Monday."""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "00:53"),
        (22 * 3600.0, "22:53"),
        (24 * 3600.0, "Tue 00:53"),
        (-3600.0, "Sun 23:53"),
        (6 * 86400.0 - 1, "Sun 00:53"),
        (6 * 86400.0, "2026-12-06 00:53"),
        (400 * 86400.0, "2028-01-04 00:53"),
    ],
)
def test_moments(seconds: float, text: str) -> None:
    assert format_moment(NOW + seconds, NOW, time.gmtime) == text


@pytest.mark.parametrize(
    "name, shown",
    [
        ("Ada", "Ada"),
        ("名前", "名前"),
        ("José Pérez", "'José Pérez'"),
        ("joined (1", "'joined (1'"),
        ("\u3164", "'\\u3164'"),
        ("Ada\ufe0f", "'Ada\\ufe0f'"),
        ("Ada\U000e0100", "'Ada\\U000e0100'"),
        ("\u202eadA", "'\\u202eadA'"),
    ],
)
def test_a_name_that_is_not_what_it_looks_like_is_quoted(name: str, shown: str) -> None:
    assert client_text(ClientInfo(name)) == shown
