"""Errors as the lines that the operator is shown."""

from __future__ import annotations

import pytest

from zeroscale.errors import ConfigError, ConfigMistakes, lines_of, one_line, suggest


@pytest.mark.parametrize(("text", "line"), [("one", "one"), ("one\n\n  two\n", "one; two"), ("", "")])
def test_one_line(text: str, line: str) -> None:
    assert one_line(text) == line


def test_an_error_is_one_line_and_a_files_mistakes_are_one_each() -> None:
    assert lines_of(ConfigError("no such port\nuse another")) == ["no such port; use another"]
    assert lines_of(ConfigMistakes(["a: 1", "b: 2"])) == ["a: 1", "b: 2"]


KNOWN = ["idle_shutdown", "idle_action", "kill_timeout", "join"]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("idle-shutdown", "did you mean 'idle_shutdown'?"),
        ("JOIN", "did you mean 'join'?"),
        ("idle_timeout", "did you mean 'idle_shutdown'?"),
        ("idle-timeout", "did you mean 'idle_shutdown'?"),
        ("idle_timout", "did you mean 'idle_shutdown'?"),
        ("idle", "did you mean 'idle_shutdown' or 'idle_action'?"),
        ("idle_shutdwn", "did you mean 'idle_shutdown'?"),
        ("--idle-timeout", "did you mean 'idle_shutdown'?"),
        ("--port", ""),
        ("port", ""),
        ("colour", ""),
        ("", ""),
    ],
)
def test_what_may_be_meant_by_a_word(word: str, meant: str) -> None:
    aliases = {"idle_timeout": "idle_shutdown", "part": "join", "path": "join"}
    assert suggest(word, KNOWN, aliases) == meant


def test_several_words_may_be_meant() -> None:
    assert suggest("s", ["sea", "sand", "stone", "shell"], show=str) == "did you mean sea or sand or stone?"
    assert suggest("s", ["survival-1", "survival-2"], show=str) == "did you mean survival-1 or survival-2?"
    assert suggest("surwival", ["survival1", "survival2"], show=str, most=2) == "did you mean survival2 or survival1?"
