"""Events in words."""

from __future__ import annotations

import time

import pytest

from zeroscale.event_text import format_duration, format_moment


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (7260, "2 h 1 min"),
        (86400, "1 d"),
        (86400 * 400 + 3 * 3600 + 59, "400 d 3 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


NOW = 1_796_000_000.0
"""2026-11-30 00:53:20 UTC, a Monday."""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "00:53"),
        (22 * 3600.0, "22:53"),
        (24 * 3600.0, "Tue 00:53"),
        (-3600.0, "Sun 23:53"),
        (6 * 86400.0 - 1, "Sun 00:53"),
        (6 * 86400.0, "2026-12-06 00:53"),
        (400 * 86400.0, "2028-01-04 00:53"),
    ],
)
def test_moments(seconds: float, text: str) -> None:
    assert format_moment(NOW + seconds, NOW, time.gmtime) == text
