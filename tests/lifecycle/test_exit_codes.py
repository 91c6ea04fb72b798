from __future__ import annotations

import pytest

from zeroscale.lifecycle import exit_codes


@pytest.mark.parametrize("code", [0, 129, 130, 143, None])
def test_exit_codes_after_which_the_world_is_saved_are_clean(code: int | None) -> None:
    assert exit_codes.is_clean(code)


@pytest.mark.parametrize("code", [1, 2, 126, 127, 134, 137, 139])
def test_all_other_exit_codes_are_crashes(code: int) -> None:
    assert not exit_codes.is_clean(code)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, "exit code unknown"),
        (3, "exit code 3"),
        (1, "exit code 1: an error"),
        (127, "exit code 127: its command was not found"),
        (137, "exit code 137: killed, often because memory ran out"),
        (139, "exit code 139: ended by SIGSEGV"),
        (255, "exit code 255"),
    ],
)
def test_an_exit_code_is_described_in_words(code: int | None, words: str) -> None:
    assert exit_codes.describe(code) == words


def test_the_last_lines_of_output_are_quoted_without_empty_ones() -> None:
    assert exit_codes.quote_output(["one", " ", "two"]) == "; its last output: one | two"
    assert exit_codes.quote_output([str(number) for number in range(9)]) == "; its last output: 4 | 5 | 6 | 7 | 8"
    assert exit_codes.quote_output([" ", ""]) == ""
