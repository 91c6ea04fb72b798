"""Durations as operators write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.config.durations import seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("900", 900.0),
        ("0.5", 0.5),
        ("15m", 900.0),
        ("1h30m", 5400.0),
        ("1h 30m", 5400.0),
        (" 2h ", 7200.0),
        ("500ms", 0.5),
        ("2d", 172800.0),
        ("1.5h", 5400.0),
        ("1m30s500ms", 90.5),
        ("1d2h3m4s5ms", 93784.005),
        ("0s", 0.0),
    ],
)
def test_what_is_one(text: str, seconds: float) -> None:
    assert seconds_of(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", " ", "soon", "15 minutes", "m", "-5", "1e3", "nan", "30m1h", "1m1m", "1y", "1,5h", "٣s", "1h-1m", "5mss"],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r'a number of seconds, or such as "15m"'):
        seconds_of(text)


@given(hours=st.integers(0, 99), minutes=st.integers(0, 59), milliseconds=st.integers(0, 999))
def test_any_is_read_as_it_is_written(hours: int, minutes: int, milliseconds: int) -> None:
    expected = hours * 3600 + minutes * 60 + milliseconds / 1000
    assert seconds_of(f"{hours}h{minutes}m{milliseconds}ms") == pytest.approx(expected)


@given(st.text())
def test_any_text_is_one_or_is_refused(text: str) -> None:
    try:
        assert seconds_of(text) >= 0
    except ValueError as error:
        assert "is not a duration" in str(error)
