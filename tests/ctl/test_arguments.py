"""Arguments that several commands share."""

from __future__ import annotations

import argparse

import pytest

from zeroscale.ctl.arguments import add_address, add_protocol, duration


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(exit_on_error=False)
    add_address(made)
    add_protocol(made, "the newest")
    return made


def test_they_are_converted() -> None:
    parsed = parser().parse_args(["localhost:1", "--protocol", "1.8.9"])
    assert (parsed.address.port, parsed.protocol) == (1, 47)
    assert parser().parse_args(["localhost"]).protocol is None


@pytest.mark.parametrize(
    ("words", "named"), [(["a b"], "is not an address"), (["localhost", "--protocol", "1.8.99"], "did you mean 1.8")]
)
def test_argparse_gives_the_reason(words: list[str], named: str) -> None:
    with pytest.raises(argparse.ArgumentError, match=named):
        parser().parse_args(words)


@pytest.mark.parametrize(("text", "seconds"), [("0.5", 0.5), ("5s", 5.0), ("1h30m", 5400.0), ("500ms", 0.5)])
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["0", "-1", "inf", "nan", "soon", "0ms"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match='a number of seconds, or such as "15m"'):
        duration(text)
