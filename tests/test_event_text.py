"""Events in words."""

from __future__ import annotations

import pytest

from zeroscale.event_text import format_duration


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
