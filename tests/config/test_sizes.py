"""Sizes as operators write them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.config.sizes import bytes_of


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1500", 1500),
        ("100MB", 100_000_000),
        ("100 mb", 100_000_000),
        ("100M", 100_000_000),
        ("64MiB", 64 << 20),
        (" 64 Mi ", 64 << 20),
        ("1.5GiB", 3 << 29),
        ("20kB", 20_000),
        ("20KiB", 20_480),
        ("2TB", 2 * 10**12),
    ],
)
def test_what_is_one(text: str, size: int) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "big", "MB", "-5MB", "1e6", "10iB", "1,5GB", "1 2", "٣MB", "5MBs", "inf"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match='such as "100MB"'):
        bytes_of(text)


@given(st.text(max_size=20))
def test_any_text_is_a_size_or_a_mistake(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert bytes_of(text) >= 0
