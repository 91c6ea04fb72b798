"""What players read in each state of the server."""

from __future__ import annotations

import ast
import re
import unicodedata
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple, replace

from zeroscale.errors import ConfigError
from zeroscale.frontend.favicon import ICON
from zeroscale.frontend.messages import DEFAULTS, IN_KICKS, IN_STATES, PHRASES, VARIABLES, Messages
from zeroscale.protocols.minecraft.text_component import plain, runs
from zeroscale.status import ServerSnapshot, Status

ROOT = Path(__file__).parent.parent.parent
NOW = 1000.0

MIRRORED: Mapping[str, object] = {
    "version": {"name": "Paper 1.21.4", "protocol": 769},
    "description": "\u00a76A real server\n\u00a77with two lines",
    "players": {"max": 40, "online": 0},
    "favicon": "data:image/png;base64,iVBORw0KGgo=",
    "forgeData": {"mods": []},
    "enforcesSecureChat": True,
    "somethingNew": [1],
}

VIEWS = {
    "sleeping": ServerSnapshot("survival", Status.stopped, NOW - 50),
    "starting": ServerSnapshot("survival", Status.starting, NOW - 50),
    "stopping": ServerSnapshot("survival", Status.stopping, NOW - 50),
    "stuck": ServerSnapshot("survival", Status.stopping, NOW - 50, stop_timed_out=True, reason="it does not stop"),
    "failed": ServerSnapshot("survival", Status.failed, NOW - 50, reason="its port is taken", retry_at=NOW + 30),
    "given_up": ServerSnapshot("survival", Status.failed, NOW - 50, reason="its port is taken"),
    "paused": ServerSnapshot("survival", Status.paused, NOW - 50),
    "unreachable": ServerSnapshot("survival", Status.running, NOW - 50, players=3),
}


def motd(texts: Messages, view: ServerSnapshot, now: float = NOW) -> str:
    return plain(texts.status(view, now).description)


def hover(texts: Messages, view: ServerSnapshot, now: float = NOW) -> str:
    return "\n".join(plain(line) for line in texts.status(view, now).sample)


def kick(texts: Messages, view: ServerSnapshot, now: float = NOW) -> str:
    return plain(texts.kick(view, now, "Notch"))


@pytest.mark.parametrize("state", VIEWS)
@pytest.mark.parametrize("estimate", [None, 42.0])
@pytest.mark.parametrize("waiting", [0, 3])
@pytest.mark.parametrize("mirrored", [None, MIRRORED])
def test_every_state_has_texts_that_are_whole(
    state: str, estimate: float | None, waiting: int, mirrored: Mapping[str, object] | None
) -> None:
    view = replace(VIEWS[state], estimate=estimate, waiting=waiting, cached_status=mirrored)
    texts = Messages()
    lines = motd(texts, view).split("\n")
    assert len(lines) == (1 if mirrored is None else 2)
    everything = "\n".join([*lines, hover(texts, view), kick(texts, view)])
    assert all(line.strip() == line != "" for line in everything.split("\n"))
    assert not set("{}[]&\u00a7") & set(everything)
    assert max(len(line) for line in lines) <= 60
    reply = texts.status(view, NOW)
    assert len(reply.sample) in (1, 2)
    assert not any("\n" in line for line in reply.sample)
    assert reply.online == view.players


@pytest.mark.parametrize("state", VIEWS)
def test_each_state_has_its_own_message(state: str) -> None:
    texts = Messages()
    others = [view for name, view in VIEWS.items() if name != state]
    assert motd(texts, VIEWS[state]) not in [motd(texts, other) for other in others]
    assert kick(texts, VIEWS[state]) not in [kick(texts, other) for other in others]


def test_the_sleeping_message_says_that_joining_wakes_it() -> None:
    assert "Join to wake it" in motd(Messages(), VIEWS["sleeping"])
    assert "asleep" in kick(Messages(), VIEWS["sleeping"])


def test_no_estimate_is_quoted_before_one_is_known() -> None:
    texts = Messages()
    for state in ("sleeping", "starting"):
        unknown, known = VIEWS[state], replace(VIEWS[state], estimate=100.0)
        assert "about" not in motd(texts, unknown) + hover(texts, unknown) + kick(texts, unknown)
        assert "about" in motd(texts, known)
        assert "about" in hover(texts, known)
        assert "about" in kick(texts, known)


def test_while_starting_the_remaining_time_counts_down_and_then_is_not_quoted() -> None:
    texts = Messages()
    view = replace(VIEWS["starting"], since=NOW, estimate=60.0)
    lines = [motd(texts, view, NOW + passed) for passed in (0, 22, 56, 60, 600)]
    assert lines == [
        "Waking up, ready in about 60 s",
        "Waking up, ready in about 40 s",
        "Waking up, ready in a few seconds",
        "Waking up",
        "Waking up",
    ]


def test_a_failure_names_its_reason_and_the_next_try() -> None:
    texts = Messages()
    assert "in about 30 s" in motd(texts, VIEWS["failed"])
    assert "in about 30 s" in kick(texts, VIEWS["failed"])
    assert motd(texts, VIEWS["failed"], NOW + 31) == "Something went wrong. Join to try again"
    for state in ("failed", "given_up"):
        assert "its port is taken" in hover(texts, VIEWS[state])
        assert "its port is taken" in kick(texts, VIEWS[state])
    assert "again" not in motd(texts, VIEWS["given_up"])


def test_held_players_are_counted() -> None:
    assert "3" in hover(Messages(), replace(VIEWS["starting"], waiting=3))
    assert "waiting" not in hover(Messages(), VIEWS["starting"])


def test_held_too_long_names_the_hold_unless_the_state_changed() -> None:
    texts = Messages()
    held = plain(texts.held_too_long(replace(VIEWS["starting"], estimate=90.0), NOW, "Notch"))
    assert "longer" in held
    assert "about 40 s" in held
    assert plain(texts.held_too_long(VIEWS["given_up"], NOW, "Notch")) == kick(texts, VIEWS["given_up"])


@pytest.mark.parametrize("state", VIEWS)
def test_a_player_that_has_to_join_again(state: str) -> None:
    view, texts = replace(VIEWS[state], estimate=60.0), Messages()
    awake = state == "unreachable"  # it runs, and is not said to be unreachable
    assert texts.join_again(view, NOW) == (
        texts.refusal("ready", view, NOW, "") if awake else texts.kick(view, NOW, "")
    )


def test_during_a_lockout_nobody_is_asked_to_join_again() -> None:
    view = replace(VIEWS["unreachable"], lockout="Back at noon.")
    assert plain(Messages().join_again(view, NOW)) == "Back at noon."


def test_the_entry_of_a_state_has_nothing_of_the_real_server() -> None:
    view = replace(VIEWS["starting"], estimate=70.0, cached_status=MIRRORED)
    assert plain(Messages().entry(view, NOW)) == "Waking up, ready in about 20 s"
    assert plain(Messages({"locked_out": "{reason}"}).entry(replace(view, lockout="a\nb"), NOW)) == "a b"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-1, ""),
        (0, ""),
        (0.1, "a few seconds"),
        (7.4, "a few seconds"),
        (7.5, "about 10 s"),
        (12, "about 10 s"),
        (17, "about 15 s"),
        (27.4, "about 25 s"),
        (27.5, "about 30 s"),
        (42, "about 40 s"),
        (94, "about 90 s"),
        (95, "about 2 min"),
        (150.1, "about 3 min"),
        (5399, "about 90 min"),
        (5400, "about 2 h"),
        (86400, "about 24 h"),
    ],
)
def test_durations_are_rounded_words(seconds: float, expected: str) -> None:
    assert Messages().duration(seconds) == expected


def test_beside_the_mirrored_motd() -> None:
    texts = Messages({"sleeping": "&3zZz &7Asleep"})
    reply = texts.status(replace(VIEWS["sleeping"], cached_status=MIRRORED), NOW)
    assert plain(reply.description) == "A real server\nzZz Asleep"
    styles = {text.strip(): style for text, style in runs(reply.description)}
    assert styles["A real server"].color == "gold"
    assert styles["zZz"].color == "dark_aqua"


def test_in_place_of_the_mirrored_motd() -> None:
    texts = Messages({"sleeping": "one\ntwo"}, motd="replace")
    assert motd(texts, replace(VIEWS["sleeping"], cached_status=MIRRORED)) == "one\ntwo"


@pytest.mark.parametrize(
    ("description", "first"),
    [
        ("one line", "one line"),
        ("\nsecond", ""),
        ({"text": "one\ntwo", "extra": ["three"]}, "one"),
        ({"text": "", "extra": [{"text": "on", "bold": True}, "e\ntw", "o"]}, "one"),
        ({"text": "", "extra": [{"text": "", "extra": ["one", "\n"]}, "two"]}, "one"),
        (["one", {"text": "\ntwo"}, "three"], "one"),
        ({"extra": ["one"]}, "one"),
        ({"text": "\n", "extra": ["two"]}, ""),
        ({"text": "one", "extra": [7, None]}, "one"),
    ],
)
def test_of_a_mirrored_motd_the_first_line(description: object, first: str) -> None:
    texts = Messages({"sleeping": "ours\nand more"})
    assert motd(texts, replace(VIEWS["sleeping"], cached_status={"description": description})) == f"{first}\nours"


@pytest.mark.parametrize("description", ["", {}, [], None, 7])
def test_an_empty_cached_motd_leaves_both_lines_to_our_message(description: object) -> None:
    texts = Messages({"sleeping": "ours\nand more"})
    assert motd(texts, replace(VIEWS["sleeping"], cached_status={"description": description})) == "ours\nand more"


def test_the_mirrored_status_is_never_changed() -> None:
    description = {"text": "", "extra": [{"text": "one"}, "\ntwo"]}
    view = replace(VIEWS["sleeping"], cached_status={"description": description})
    Messages().status(view, NOW)
    assert description == {"text": "", "extra": [{"text": "one"}, "\ntwo"]}


def test_all_else_is_as_it_was_last_seen() -> None:
    reply = Messages().status(replace(VIEWS["sleeping"], cached_status=MIRRORED), NOW)
    assert (reply.online, reply.maximum) == (0, 40)
    assert reply.version_name == "Paper 1.21.4"
    assert reply.favicon == MIRRORED["favicon"]
    assert reply.extra == {"forgeData": {"mods": []}, "enforcesSecureChat": True, "somethingNew": [1]}
    assert reply.protocol is None


def test_before_it_was_ever_seen() -> None:
    reply = Messages().status(VIEWS["sleeping"], NOW)
    assert (reply.online, reply.maximum, reply.version_name, reply.favicon) == (0, 20, "zeroscale", ICON)
    assert reply.protocol is None
    assert reply.extra == {}


@pytest.mark.parametrize(
    ("mirrored", "protocol"),
    [
        (MIRRORED, 769),
        (None, None),
        ({}, None),
        ({"version": {"protocol": "x"}}, None),
        ({"version": {"protocol": -1}}, None),  # a server that echoes what the probe sent
    ],
)
def test_the_mirrored_protocol_where_it_is_asked_for(
    mirrored: Mapping[str, object] | None, protocol: int | None
) -> None:
    reply = Messages(status_protocol="mirror").status(replace(VIEWS["sleeping"], cached_status=mirrored), NOW)
    assert reply.protocol == protocol


def test_a_reply_is_one_object_until_it_shows_something_else() -> None:
    texts = Messages()
    view = replace(VIEWS["starting"], since=NOW, estimate=60.0, cached_status=MIRRORED)
    reply = texts.status(view, NOW)
    assert texts.status(replace(view), NOW + 2) is reply
    for other, now in [
        (view, NOW + 22),
        (replace(view, waiting=1), NOW),
        (replace(view, cached_status=dict(MIRRORED) | {"description": "new"}), NOW),
        (replace(view, status=Status.stopped), NOW),
    ]:
        assert astuple(texts.status(view, NOW)) == astuple(reply)
        assert astuple(texts.status(other, now)) != astuple(reply)


@pytest.mark.parametrize(
    ("state", "changes"), [("starting", {"since": NOW, "estimate": 60.0}), ("failed", {"retry_at": NOW + 60})]
)
def test_of_one_snapshot_only_the_remaining_time_changes_the_reply(state: str, changes: dict[str, object]) -> None:
    texts = Messages()
    view = replace(VIEWS[state], **changes)
    replies = [texts.status(view, NOW + seconds) for seconds in range(70)]
    shown = [plain(reply.description) for reply in replies]
    assert [reply is other for reply, other in pairwise(replies)] == [text == other for text, other in pairwise(shown)]
    assert len(set(shown)) == 10
    again = [texts.status(view, NOW + seconds) for seconds in range(70)]
    assert [astuple(reply) for reply in again] == [astuple(reply) for reply in replies]


@pytest.mark.parametrize("state", sorted(set(VIEWS) - {"starting", "failed"}))
def test_time_changes_nothing_in_other_replies(state: str) -> None:
    texts = Messages()
    view = replace(VIEWS[state], estimate=60.0)
    reply = texts.status(view, NOW)
    assert texts.status(view, NOW + 1e6) is reply


def test_the_operators_own_messages() -> None:
    texts = Messages(
        {
            "sleeping": "&a{server} is {state}[, wakes in {estimate}]",
            "sleeping_hover": ["one", "[{reason}]", "&btwo"],
            "starting_hover": "three\nfour",
            "stopping_hover": "",
            "starting_kick": [{"text": "Hello {player}"}, " of {waiting}"],
        }
    )
    assert motd(texts, VIEWS["sleeping"]) == "survival is sleeping"
    assert texts.status(VIEWS["sleeping"], NOW).sample == ("one", "\u00a7btwo")
    assert texts.status(VIEWS["starting"], NOW).sample == ("three", "four")
    assert texts.status(VIEWS["stopping"], NOW).sample == ()
    assert texts.kick(VIEWS["starting"], NOW, "Notch") == [{"text": "Hello Notch"}, " of 0"]
    assert kick(texts, VIEWS["paused"]) == kick(Messages(), VIEWS["paused"])


def test_untrusted_values_have_no_codes_and_no_line_breaks() -> None:
    texts = Messages(
        {"failed": "{reason}", "failed_hover": "{reason}", "failed_kick": "{player}: {reason}"}, motd="replace"
    )
    view = replace(VIEWS["failed"], reason="\u00a7cexit &4code\x1b[31m 1\nlast line\r" + "x" * 1000)
    assert motd(texts, view).startswith("cexit &4code[31m 1 last linexxx")
    assert len(motd(texts, view)) == 300
    assert "\n" not in hover(texts, view)
    assert plain(texts.kick(view, NOW, "&4\u00a74{server}")).startswith("&44{server}: cexit &4code[31m 1\nlast line")


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        ({"slepping": "x"}, "no text 'slepping': did you mean 'sleeping'"),
        ({"motd": "x"}, "no text 'motd'"),
        ({"sleeping": "{estimat}"}, "texts.sleeping has no variable {estimat}: did you mean {estimate}"),
        ({"sleeping": "{player}"}, "texts.sleeping has no variable {player}"),
        ({"sleeping_hover": ["ok", "{player}"]}, "texts.sleeping_hover has no variable {player}"),
        ({"sleeping": 7}, "texts.sleeping is 7: a text or a JSON component"),
        ({"sleeping": None}, "texts.sleeping is None"),
        ({"sleeping_hover": {"text": "x"}}, "texts.sleeping_hover is .*: a text or a list of texts"),
        ({"sleeping_hover": ["a\nb"]}, "texts.sleeping_hover has 'a.nb': each line"),
        ({"sleeping_hover": [["a"]]}, "texts.sleeping_hover has"),
    ],
)
def test_mistakes_name_the_text(overrides: Mapping[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        Messages(overrides)


def test_every_default_is_one_that_an_operator_could_write() -> None:
    Messages({name: list(text) if isinstance(text, tuple) else text for name, text in DEFAULTS.items()})


@pytest.mark.parametrize("status", Status)
def test_a_lockout_shows_the_operators_text(status: Status) -> None:
    texts = Messages()
    view = ServerSnapshot(name="test", status=status, since=0.0, lockout="Backup until five")
    assert "Backup until five" in plain(texts.status(view, 1.0).description)
    assert plain(texts.kick(view, 1.0, "Steve")) == "Backup until five"


def test_a_stuck_server_is_shown_before_a_lockout() -> None:
    view = ServerSnapshot(
        name="test", status=Status.stopping, since=0.0, lockout="Backup until five", stop_timed_out=True
    )
    assert "Backup" not in plain(Messages().status(view, 1.0).description)


GERMAN = {
    "about_moments": "gleich",
    "about_seconds": "etwa {number} Sekunden",
    "about_minutes": "etwa {number} Minuten",
    "about_hours": "etwa {number} Stunden",
    "unknown_time": "einer Weile",
    "unknown_reason": "unbekannt",
    "version": "Schlaf",
    "lockout_reason": "Wartung",
    "keep_asleep_reason": "[bis {until}]",
    "stop_warning": "&cStopp in {time}!",
    "warning_minutes": "{number} Minuten",
    "sleeping": "{estimate}",
    "failed": "{reason}",
}


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(3, "gleich"), (40, "etwa 40 Sekunden"), (120, "etwa 2 Minuten"), (7200, "etwa 2 Stunden")],
)
def test_the_words_of_a_duration_can_be_changed(seconds: float, expected: str) -> None:
    view = replace(VIEWS["sleeping"], estimate=seconds)
    assert motd(Messages(GERMAN), view) == expected


@pytest.mark.parametrize(
    ("seconds", "time"),
    [(0.2, "1 s"), (30, "30 s"), (59.6, "1 min"), (60, "1 min"), (90, "90 s"), (100, "2 min"), (599.7, "10 min")],
)
def test_a_warning_of_a_stop_names_the_time(seconds: float, time: str) -> None:
    assert Messages().stop_warning(seconds, restart=False) == f"The server stops in {time}."
    assert Messages().stop_warning(seconds, restart=True) == f"The server restarts in {time}."
    assert Messages(GERMAN).stop_warning(300, restart=False) == "Stopp in 5 Minuten!"


@given(st.text(max_size=100))
def test_a_warning_is_one_line_without_codes_and_control_characters(text: str) -> None:
    escaped = re.sub(r"[\[\]{}]", r"\g<0>\g<0>", text)
    warning = Messages({"stop_warning": f"{escaped}\u00a7\u00a7\n{{time}}\x1b\u2028"}).stop_warning(60, restart=False)
    assert warning.endswith("1 min")
    assert not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in warning)
    assert "\u00a7" not in warning


def test_the_words_for_what_is_not_known_can_be_changed() -> None:
    messages = Messages(GERMAN)
    assert motd(messages, replace(VIEWS["sleeping"], estimate=None)) == "einer Weile"
    assert motd(messages, replace(VIEWS["failed"], reason=None)) == "unbekannt"
    assert messages.status(VIEWS["sleeping"], NOW).version_name == "Schlaf"
    assert messages.lockout_reason == "Wartung"
    assert (messages.keep_asleep_reason("7:00"), messages.keep_asleep_reason("")) == ("bis 7:00", "")


@pytest.mark.parametrize("name", sorted(PHRASES))
def test_a_part_of_other_messages_is_a_plain_text(name: str) -> None:
    with pytest.raises(ConfigError, match=f"texts.{name} is .*: a text$"):
        Messages({name: {"text": "x"}})


def test_a_refusal_has_values_of_its_own() -> None:
    messages = Messages({"unavailable_kick": "{player}: {reason}", "banned_until_kick": "{reason}, {until}"})
    view = replace(VIEWS["failed"], reason="its own reason")
    assert plain(messages.refusal("unavailable", view, NOW, "Notch", {"reason": "closing"})) == "Notch: closing"
    ban = {"reason": "griefing\u00a7k", "until": "tomorrow"}
    assert plain(messages.refusal("banned_until", view, NOW, "Notch", ban)) == "griefingk, tomorrow"


def test_a_players_name_is_shown_in_one_line_without_codes() -> None:
    messages = Messages({"sleeping_kick": "<{player}>", "unknown_host_kick": "<{player}>"})
    name = "\u00a7ca\nb&c\x1b\x9b\u202e\u200f\u2028"
    assert plain(messages.kick(VIEWS["sleeping"], NOW, name)) == "<ca b&c>"
    assert plain(messages.unknown_host_kick("", name)) == "<ca b&c>"
    assert plain(messages.kick(VIEWS["sleeping"], NOW, "J\u00fcrgen Миряев")) == "<J\u00fcrgen Миряев>"


def test_an_unknown_host_reveals_nothing_to_scanners_by_default() -> None:
    reply = Messages().unknown_host_status("play.example.org")
    assert (plain(reply.description), reply.version_name, reply.favicon, reply.online, reply.maximum) == (
        "",
        "",
        None,
        0,
        0,
    )
    messages = Messages({"unknown_host": "No {host} here", "unknown_host_kick": "No {host}, {player}"})
    assert plain(messages.unknown_host_status("a.example.org").description) == "No a.example.org here"
    assert plain(messages.unknown_host_kick("a.example.org", "Notch")) == "No a.example.org, Notch"


# The documentation, and the rest of the product


def documented() -> dict[str, set[str]]:
    """The messages in docs/messages.md, and the variables that each may have."""
    found: dict[str, set[str]] = {}
    _, _, tables = (ROOT / "docs" / "messages.md").read_text().partition("## For each state")
    for row in re.findall(r"^\| (`.*) \|$", tables, re.MULTILINE):
        names, _, *variables = row.split(" | ")
        listed = set(re.findall(r"`{(\w+)}`", "".join(variables)))
        for name in re.findall(r"`(\w+)`", names):
            base = IN_KICKS if name.endswith("_kick") else IN_STATES
            exact = bool(variables) and variables[0].startswith(("only", "none"))
            found[name] = listed if exact else listed | base
    return found


def test_the_page_lists_every_message_with_its_variables() -> None:
    expected = {name: VARIABLES.get(name, IN_KICKS if name.endswith("_kick") else IN_STATES) for name in DEFAULTS}
    assert documented() == expected


def test_every_variable_is_explained() -> None:
    _, _, table = (ROOT / "docs" / "messages.md").read_text().partition("| variable | its value |")
    explained = set(re.findall(r"^\| `{(\w+)}` \|", table, re.MULTILINE))
    assert explained == set(IN_KICKS).union(*VARIABLES.values())


WHAT_PLAYERS_ARE_SENT = {"Kicked": 1, "send_kick": 1, "kick": 0, "StatusReply": 0}
"""Calls by which a player is sent a message, and which argument the message is."""


def fixed_messages(path: Path) -> list[str]:
    """The calls of a module that send a player a text which stands there."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        index = WHAT_PLAYERS_ARE_SENT.get(ast.unparse(node.func).rpartition(".")[2])
        named = [keyword.value for keyword in node.keywords if keyword.arg in ("message", "description")]
        arguments = [*node.args, *named]
        if index is not None and len(arguments) > index and isinstance(arguments[index], ast.Constant | ast.JoinedStr):
            found.append(f"{path}:{node.lineno}: {ast.unparse(node)}")
    return found


def test_players_read_nothing_that_is_not_in_the_table(tmp_path: Path) -> None:
    paths = sorted((ROOT / "zeroscale").rglob("*.py"))
    assert [call for path in paths for call in fixed_messages(path)] == []
    example = tmp_path / "example.py"
    example.write_text(
        'Kicked("full", f"Sorry: {reason}.")\nself.send_kick("full", text)\nStatusReply(description="x")\n'
    )
    assert len(fixed_messages(example)) == 2


@pytest.mark.parametrize("state", VIEWS)
def test_where_joining_does_not_wake_no_message_says_so(state: str) -> None:
    texts = Messages({"no_wake": "No", "no_wake_hover": "wake", "no_wake_kick": "here, {state}"}, wakes=False)
    view = VIEWS[state]
    shown = (motd(texts, view), hover(texts, view), kick(texts, view))
    if state in ("starting", "unreachable"):
        others = Messages()
        assert shown == (motd(others, view), hover(others, view), kick(others, view))
    else:
        assert shown == ("No", "wake", f"here, {state.replace('_', ' ')}")


def test_a_lockout_is_shown_where_joining_does_not_wake_too() -> None:
    view = replace(VIEWS["sleeping"], lockout="A backup")
    assert kick(Messages(wakes=False), view) == kick(Messages(), view)
