"""Formatted sizes."""

from __future__ import annotations

import pytest

from zeroscale.ctl.format import format_size, progress_bar


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (999 * 1024, "999.0 KiB"),
        (1023 * 1024, "1.0 MiB"),
        (3 * 1024**3, "3.0 GiB"),
        (5000 * 1024**4, "5000.0 TiB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert format_size(count) == text


@pytest.mark.parametrize(
    ("fraction", "text"), [(-1, "[....]"), (0, "[....]"), (0.5, "[##..]"), (1, "[####]"), (9, "[####]")]
)
def test_bars(fraction: float, text: str) -> None:
    assert progress_bar(fraction, 4) == text
