"""The version table, and the layouts that a protocol number has."""

from __future__ import annotations

import pytest

from zeroscale.protocols.minecraft import versions


@pytest.mark.parametrize("protocol", [-1, -2147483648, versions.NEWEST + 1, 0x40000000 + 338, 0x7FFFFFFF])
def test_unknown_protocols_have_the_newest_layout(protocol: int) -> None:
    assert versions.layout_of(protocol) == versions.NEWEST


@pytest.mark.parametrize("protocol", [0, 4, 5, 47, 340, 385, 393, 758, 777])
def test_known_protocols_have_their_own_layout(protocol: int) -> None:
    assert versions.layout_of(protocol) == protocol


@pytest.mark.parametrize(
    ("text", "number"),
    [("47", 47), ("1.8.9", 47), ("1.8", 47), ("1.12.2", 340), ("1.20", 763), ("1.21.4", 769), ("26.3", 777), ("0", 0)],
)
def test_numbers_and_releases(text: str, number: int) -> None:
    assert versions.protocol_number(text) == number


def test_similar_releases_are_named() -> None:
    with pytest.raises(ValueError, match=r"1\.21\.4"):
        versions.protocol_number("1.21.44")


@pytest.mark.parametrize("text", ["", "-1", "new", str(1 << 31), "\u00b2"])
def test_unknown_releases(text: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        versions.protocol_number(text)


def test_the_tables_fit_together() -> None:
    assert set(versions.SAME_PROTOCOL.values()) <= set(versions.RELEASES)
    assert not set(versions.SAME_PROTOCOL) & set(versions.RELEASES)
    assert list(versions.RELEASES.values()) == sorted(versions.RELEASES.values())
