"""What a notification says of an event."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import to_builtins

from zeroscale.errors import ConfigError
from zeroscale.events import (
    EVENTS,
    NOBODY,
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
from zeroscale.notify.payload import (
    DEFAULT_TEXTS,
    LONGEST_VALUE,
    VARIABLES,
    NotificationTest,
    as_discord,
    as_json,
    as_table,
    as_variables,
    sendable,
    templates,
    words,
)
from zeroscale.status import ClientInfo

ADA = ClientInfo("Ada", "203.0.113.7:51234", "203.0.113.7")
LOGIN = Cause(CauseKind.login, client=ADA)
AT = 1_700_000_000.25
IDLE = Cause(CauseKind.idle, detail="no players for 15 min")
BY_MAX = Cause(CauseKind.operator, operator="max")
OURS = templates({})

SAID: list[tuple[ServerEvent, str]] = [
    (Woken(server="a", at=AT, cause=LOGIN), "a is starting: Ada joined"),
    (Woken(server="a", at=AT, cause=BY_MAX), "a is starting: by max"),
    (Woken(server="a", at=AT, cause=Cause(CauseKind.connection)), "a is starting: a client connected"),
    (Ready(server="a", at=AT, seconds=34.2, waiting=2), "a is ready after 34 s, 2 waiting"),
    (Ready(server="a", at=AT, seconds=4.9999), "a is ready after 5.0 s"),
    (Ready(server="a", at=AT, seconds=0.0, found=True), "a is ready"),
    (Joined(server="a", at=AT, client=ADA, players=1), "Ada joined a, 1 on it"),
    (Joined(server="a", at=AT, client=ClientInfo(address="x"), players=1), "A client joined a, 1 on it"),
    (Left(server="a", at=AT, client=ADA, players=0, seconds=4320.0), "Ada left a after 1 h 12 min"),
    (Stopping(server="a", at=AT, cause=IDLE), "a is stopping: no players for 15 min"),
    (Stopped(server="a", at=AT, cause=BY_MAX), "a has stopped: by max"),
    (Stopped(server="a", at=AT, cause=Cause(CauseKind.exited)), "a has stopped: it exited by itself"),
    (Failed(server="a", at=AT, during="start", reason="no Java", detail="x"), "a has failed: no Java"),
    (
        Failed(server="a", at=AT, during="run", reason="it crashed", detail="", retry_in=10.0),
        "a has failed: it crashed; it may be started again in 10 s",
    ),
    (
        Failed(server="a", at=AT, during="run", reason="it crashed", detail="", retry_in=0.0),
        "a has failed: it crashed",
    ),
    (
        GivenUp(server="a", at=AT, crashes=5, reason="no Java"),
        "a has failed 5 times in a row, and is not started again: no Java",
    ),
    (Refused(server="a", at=AT, client=ADA, reason="banned"), "Ada was refused by a: banned"),
    (
        Refused(server="a", at=AT, client=ADA, reason="rate", detail="more than 6 wakes a minute"),
        "Ada was refused by a: more than 6 wakes a minute",
    ),
    (NotificationTest(server="discord", at=AT), "This is a test of discord"),
]


@pytest.mark.parametrize(("event", "text"), SAID)
def test_the_words_of_an_event(event: ServerEvent, text: str) -> None:
    assert words(event, OURS) == text


def test_every_event_has_words() -> None:
    assert {event.event for event, _ in SAID} == DEFAULT_TEXTS.keys() == VARIABLES.keys() == {*EVENTS, "test"}


def test_every_event_is_on_the_page() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "notify.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    for event in EVENTS.values():
        [row] = [row for row in rows if row.startswith(f"| `{event.event}` | ") and "{" not in row]
        own = {name for name in event.__struct_fields__ if name not in ("server", "at", "client")}
        assert [name for name in own if f"`{name}`" not in row] == [], row
        assert any(f"`{event.event}`" in row for row in rows if "{" in row)


def test_a_text_of_the_operators() -> None:
    own = templates({"joined": "**{player}** is on {server}[ from {address}][, {players} in all] &6x&&y {event}"})
    event = Joined(server="a", at=AT, client=ADA, players=3)
    assert words(event, own) == "**Ada** is on a from 203.0.113.7:51234, 3 in all x&y joined"
    assert words(sendable(event, addresses=False), own) == "**Ada** is on a, 3 in all x&y joined"


@pytest.mark.parametrize(("event", "variables"), VARIABLES.items())
def test_each_event_has_its_variables(event: str, variables: tuple[str, ...]) -> None:
    [shown] = [one for one, _ in SAID if one.event == event][:1]
    text = " ".join(f"{name}={{{name}}}" for name in ("server", *variables))
    assert words(shown, templates({event: text})).startswith("server=")
    with pytest.raises(ConfigError, match=f"texts.{event} has no variable"):
        templates({event: "{moon}"})


def test_the_table_of_an_event() -> None:
    event = Woken(server="a", at=AT, cause=LOGIN)
    assert as_table("id1", event, OURS) == {
        "id": "id1",
        "event": "woken",
        "time": "2023-11-14T22:13:20.250Z",
        "server": "a",
        "text": "a is starting: Ada joined",
        "cause": "login",
        "player": "Ada",
        "address": "203.0.113.7:51234",
        "resumed": False,
    }
    assert json.loads(as_json(as_table("id1", event, OURS))) == as_table("id1", event, OURS)


def test_durations_are_milliseconds() -> None:
    assert as_table("id", Ready(server="a", at=AT, seconds=0.0213608), OURS)["seconds"] == 0.021


def test_environment_variables_are_text_on_one_line() -> None:
    event = Left(server="a", at=AT, client=ClientInfo("A\0\nda$(id)"), players=0, seconds=1.5)
    variables = as_variables(as_table("id1", event, OURS))
    assert variables["ZEROSCALE_EVENT"] == "left"
    assert variables["ZEROSCALE_PLAYER"] == "A da$(id)"
    assert (variables["ZEROSCALE_SECONDS"], variables["ZEROSCALE_PLAYERS"]) == ("1.500", "0")
    assert "ZEROSCALE_ADDRESS" not in variables


def test_without_addresses_there_are_none_in_texts_either() -> None:
    events = [
        Woken(server="a", at=AT, cause=Cause(CauseKind.operator, client=ADA, operator="max", detail="203.0.113.7 x")),
        Failed(server="a", at=AT, during="run", reason="x", detail="lost /203.0.113.7:51234\nlast line"),
        Refused(server="a", at=AT, client=ADA, reason="banned"),
    ]
    for event in events:
        assert "203.0.113" in str(to_builtins(event))
        assert "203.0.113" not in str(to_builtins(sendable(event, addresses=False)))
        assert sendable(event, addresses=False).event == event.event
    assert sendable(Ready(server="192.0.2.1", at=AT, seconds=1.0), addresses=False).server == "192.0.2.1"


@pytest.mark.parametrize("addresses", [False, True])
def test_texts_of_others_are_bounded_and_can_be_encoded(addresses: bool) -> None:
    bad = "\udcff" + "x" * 100_000
    client = ClientInfo(bad, bad)
    for event in (
        Joined(server="a", at=AT, client=client, players=1),
        Failed(server="a", at=AT, during="run", reason=bad, detail=bad),
        Woken(server="a", at=AT, cause=Cause(CauseKind.operator, client=client, operator=bad, detail=bad)),
    ):
        encoded = msgspec.json.encode(to_builtins(sendable(event, addresses=addresses)))
        assert len(encoded) < 10_000
        assert b"?xx" in encoded


def test_no_part_of_an_address_is_left_at_the_end_of_a_long_text() -> None:
    for length in range(LONGEST_VALUE - 16, LONGEST_VALUE + 2):
        event = Refused(server="a", at=AT, client=NOBODY, reason="", detail="x" * length + " 203.0.113.7 left")
        assert "203" not in str(sendable(event, addresses=False))


def embed(event: ServerEvent, texts: dict[str, str] | None = None) -> dict[str, Any]:
    message = json.loads(as_discord(event, templates(texts or {})))
    assert message["allowed_mentions"] == {"parse": []}
    [embed] = message["embeds"]
    assert isinstance(embed, dict)
    return embed


def test_a_message_of_discord() -> None:
    assert embed(Joined(server="survival", at=AT, client=ADA, players=1)) == {
        "title": "survival",
        "description": "Ada joined survival, 1 on it",
        "color": 0x57F287,
        "timestamp": "2023-11-14T22:13:20.250+00:00",
    }


def test_markup_is_the_operators_only() -> None:
    event = Joined(server="a", at=AT, client=ClientInfo("@everyone **x** [l](http://y)"), players=0)
    shown = embed(event, {"joined": "**{player}**"})["description"]
    assert shown == r"**\@everyone \*\*x\*\* \[l\]\(http\://y\)**"


@given(st.text(), st.text())
def test_texts_of_others_bring_no_control_characters(name: str, reason: str) -> None:
    event = Failed(server=name, at=AT, during="run", reason=reason, detail=reason * 100)
    table = as_table("id", event, OURS)
    for text in (table["text"], *as_variables(table).values(), embed(event)["description"]):
        assert isinstance(text, str)
        assert all(letter.isprintable() or letter not in "\0\r\n\x1b\u202e\xa7" for letter in text)
    assert len(str(table.get("detail", ""))) <= LONGEST_VALUE
    as_json(table)
