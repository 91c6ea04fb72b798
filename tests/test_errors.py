"""Errors as the lines that the operator is shown."""

from __future__ import annotations

import pytest

from zeroscale.errors import ConfigError, ConfigMistakes, lines_of, one_line


@pytest.mark.parametrize(("text", "line"), [("one", "one"), ("one\n\n  two\n", "one; two"), ("", "")])
def test_one_line(text: str, line: str) -> None:
    assert one_line(text) == line


def test_an_error_is_one_line_and_a_files_mistakes_are_one_each() -> None:
    assert lines_of(ConfigError("no such port\nuse another")) == ["no such port; use another"]
    assert lines_of(ConfigMistakes(["a: 1", "b: 2"])) == ["a: 1", "b: 2"]
