"""The messages that pages show are those of the program: all of their fixed words are in its source."""

from __future__ import annotations

import ast
import re

import pytest
from pages import ROOT, blocks

PAGES = ("docs/get-started.md", "docs/operating.md", "docs/trouble.md")
LOG_LINE = re.compile(
    r"(?:DEBUG|INFO|WARNING|ERROR):zeroscale\.[a-z]+:(?P<message>.*)|zeroscale(?:ctl)?: error: (?P<error>.*)"
)
VARIABLE = re.compile(r"\n|[:;] |&[0-9a-f]|\{[^{}]*\}|%[-.0-9]*[a-z]|[][]")
"""What ends a part of a text: values, colours, optional parts, and where a page may break off."""

EXAMPLES = re.compile(
    r"its last output: .*|"
    r"\b(?:Ada|Bob|Eve|Mallory|root|max|survival|creative|wiki|app|db|factory|bedrock|nosuch|localhost|backup runs)\b|"
    r"(?:Mon-Fri )?\d\d:\d\d(?:-\d\d:\d\d)?|\d+ \* \* \*|\(python\)|Back at nine\.|Connection refused|"
    r"Permission denied|Address already in use|/[\w./-]+|"
    r"udp:\d+|\b\d[\d.:]*(?: (?:s|min|h|bytes)\b)?(?: \d+ (?:s|min)\b)?|\* \*"
)
"""Values of the examples, and texts of other programs."""


NOT_MESSAGES = r"zeroscalectl |kubectl |helm |docker |pip |rm |[a-z_]+ = |\W"
"""What else stands in quotes in the first column of a table: commands, and keys of files."""


def fragments() -> set[str]:
    """The fixed texts of the source."""
    found = set()
    for path in (ROOT / "zeroscale").rglob("*.py"):
        tree = ast.parse(path.read_text())
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                found |= {node.value, *VARIABLE.split(node.value)}
    stripped = {each.strip(" ,.:;()'\n") for each in found}
    return {each for each in stripped if each and "\n" not in each}


FRAGMENTS = fragments()


def unknown_words(text: str) -> list[str]:
    """Return the words of a message that are neither examples nor in the source."""
    known = [re.escape(fragment) + "s?" for fragment in FRAGMENTS if fragment in text]
    covered = [False] * len(text)
    for pattern in [EXAMPLES, *(re.compile(rf"(?<!\w){each}(?!\w)") for each in known)]:
        for match in pattern.finditer(text):
            covered[match.start() : match.end()] = [True] * len(match[0])
    return [match[0] for match in re.finditer(r"[A-Za-z]+", text) if not all(covered[match.start() : match.end()])]


def messages(page: str) -> list[str]:
    """The lines of the log that a page shows, and what its tables have in quotes in the first column."""
    lines = [line.strip() for block in blocks(page) for line in block.text.splitlines()]
    found = [match["message"] or match["error"] for line in lines if (match := LOG_LINE.fullmatch(line))]
    text = (ROOT / page).read_text()
    for row in re.findall(r"^\| (.*?) \| ", text, re.MULTILINE):
        found += [each for each in re.findall(r"`([^`]+ [^`]+)`", row) if re.match(NOT_MESSAGES, each) is None]
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
