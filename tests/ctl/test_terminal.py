"""Components on a terminal."""

from __future__ import annotations

import io
import json

import pytest

from zeroscale.ctl.terminal import LiveLines, can_overwrite, clean, clean_json, render, wants_colour


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_are_overwritten_only_where_that_is_possible() -> None:
    assert can_overwrite(Terminal(), {"TERM": "xterm", "NO_COLOR": "1"})
    assert not can_overwrite(Terminal(), {"TERM": "dumb"})
    assert not can_overwrite(io.StringIO(), {"TERM": "xterm"})


def test_lines_that_are_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "10")
    monkeypatch.setenv("LINES", "4")
    stream = Terminal()
    lines = LiveLines(stream)
    lines.erase()
    lines.show(["one", "a line that is too long"])
    lines.show(["1", "2", "3", "4"])
    lines.erase()
    lines.erase()
    assert stream.getvalue().split("\r\033[J") == ["", "one\na line th\033[1A", "1\n2\nand 2 mor\033[2A", ""]


@pytest.mark.parametrize(
    ("stream", "environment", "wanted"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ],
)
def test_when_colours_are_wanted(stream: io.StringIO, environment: dict[str, str], wanted: bool) -> None:
    assert wants_colour(stream, environment) is wanted


def test_plain() -> None:
    assert render({"text": "\u00a76gold", "bold": True, "extra": [" and ", "more"]}, colour=False) == "gold and more"


def test_in_colour() -> None:
    assert render("\u00a7cred", colour=True) == "\033[38;2;255;85;85mred\033[0m"
    assert render({"text": "x", "color": "#010203", "bold": True}, colour=True) == "\033[1;38;2;1;2;3mx\033[0m"
    assert render("as it is", colour=True) == "as it is"


def test_a_colour_ends_with_its_line() -> None:
    assert render("\u00a7lone\ntwo", colour=True) == "\033[1mone\033[0m\n\033[1mtwo\033[0m"


@pytest.mark.parametrize("colour", [True, False])
def test_untrusted_text_cannot_control_the_terminal(colour: bool) -> None:
    assert "\033[2J" not in render("\033[2Jgone", colour)


CONTROLS = "\x1b\x00\x7f\x9b\u061c\u200e\u200f\u202e\u2066"


def test_a_name_cannot_control_the_terminal() -> None:
    assert clean(f"Миряев{CONTROLS}!") == "Миряев" + "\ufffd" * len(CONTROLS) + "!"


def test_json_with_a_name_stays_the_same_json() -> None:
    shown = clean_json(json.dumps({"name": f"Миряев{CONTROLS}"}, ensure_ascii=False))
    assert not any(each in shown for each in CONTROLS)
    assert json.loads(shown) == {"name": f"Миряев{CONTROLS}"}
