"""What the pages show of the log and of zeroscalectl is what the program writes: each of its fixed words is in the source."""

from __future__ import annotations

import ast
import re

import pytest
from pages import ROOT, blocks

PAGES = ("docs/get-started.md", "docs/operating.md", "docs/trouble.md")
LOG_LINE = re.compile(r"(?:DEBUG|INFO|WARNING|ERROR):zeroscale\.[a-z]+:(?P<message>.*)|zeroscale(?:ctl)?: error: (?P<error>.*)")
VARIABLE = re.compile(r"&[0-9a-f]|\{[^{}]*\}|%[-.0-9]*[a-z]|[][]")
"""What the source has in the place of values, colours and optional parts."""

EXAMPLES = re.compile(
    r"its last output: .*|"
    r"\b(?:Ada|Bob|Eve|Mallory|root|max|survival|creative|wiki|app|db|factory|bedrock|nosuch|localhost|backup runs)\b|"
    r"(?:Mon-Fri )?\d\d:\d\d(?:-\d\d:\d\d)?|\d+ \* \* \*|\(python\)|Back at nine\.|Connection refused|Permission denied|"
    r"Address already in use|/[\w./-]+|udp:\d+|\b\d[\d.:]*(?: (?:s|min|h|bytes)\b)?(?: \d+ (?:s|min)\b)?|\* \*"
)
"""Values of the examples, and texts of other programs."""


def fragments() -> list[str]:
    """The fixed texts of the source, the longest first."""
    found = set()
    for path in (ROOT / "zeroscale").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= {node.value, *VARIABLE.split(node.value)}
    stripped = {each.strip(" ,.:;()'\n") for each in found}
    return sorted((each for each in stripped if len(each) > 2 and "\n" not in each), key=len, reverse=True)


FRAGMENTS = fragments()


def unknown_words(text: str) -> list[str]:
    """Return the words of a message that are neither examples nor in the source."""
    rest = EXAMPLES.sub("|", text)
    for fragment in FRAGMENTS:
        if fragment in rest:
            rest = re.sub(rf"(?<!\w){re.escape(fragment)}(?!\w)", "|", rest)
    return re.findall(r"[A-Za-z]{2,}", rest)


def messages(page: str) -> list[str]:
    """The lines of the log that a page shows, and what its tables have in quotes in the first column."""
    lines = [line.strip() for block in blocks(page) for line in block.text.splitlines()]
    found = [match["message"] or match["error"] for line in lines if (match := LOG_LINE.fullmatch(line))]
    text = (ROOT / page).read_text()
    for row in re.findall(r"^\| (.*?) \| ", text, re.MULTILINE):
        found += [each for each in re.findall(r"`([^`]+ [^`]+)`", row) if not re.match(r"zeroscalectl |[a-z_]+ = |rm ", each)]
    return found


@pytest.mark.parametrize("page", PAGES)
def test_messages_on_a_page_are_those_of_the_program(page: str) -> None:
    shown = messages(page)
    assert len(shown) > 5
    assert {text: words for text in shown if (words := unknown_words(text))} == {}


def test_texts_for_players_are_those_of_the_program() -> None:
    section = (ROOT / "docs" / "trouble.md").read_text().split("| the player reads |")[1].split("\n\n")[0]
    texts = [text for row in re.findall(r"^\| (.*?) \| ", section, re.MULTILINE) for text in row.split(" / ")]
    assert len(texts) > 20
    assert {text: words for text in texts if (words := unknown_words(text.replace("(or your own text)", "")))} == {}


def test_a_message_that_is_none_is_found() -> None:
    assert unknown_words("survival: starting: Ada (203.0.113.7) joined") == []
    assert unknown_words("survival: launching: Ada (203.0.113.7) joined") == ["launching"]
