"""Releases by name."""

from __future__ import annotations

import pytest

from zeroscale.protocols.minecraft.release_names import PROTOCOLS, SAME_AS, protocol_number


@pytest.mark.parametrize(
    ("text", "number"),
    [("47", 47), ("1.8.9", 47), ("1.8", 47), ("1.12.2", 340), ("1.20", 763), ("1.21.4", 769), ("26.3", 777), ("0", 0)],
)
def test_known(text: str, number: int) -> None:
    assert protocol_number(text) == number


def test_a_near_miss_is_named() -> None:
    with pytest.raises(ValueError, match=r"1\.21\.4"):
        protocol_number("1.21.44")


@pytest.mark.parametrize("text", ["", "-1", "new", str(1 << 31), "\u00b2"])
def test_unknown(text: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        protocol_number(text)


def test_the_tables_fit_together() -> None:
    assert set(SAME_AS.values()) <= set(PROTOCOLS)
    assert not set(SAME_AS) & set(PROTOCOLS)
    assert list(PROTOCOLS.values()) == sorted(PROTOCOLS.values())
