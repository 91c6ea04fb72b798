"""Which layouts a protocol number has."""

from __future__ import annotations

import pytest

from zeroscale.protocols.minecraft import versions


@pytest.mark.parametrize("protocol", [-1, -2147483648, 778, 1000, 0x40000000 + 338, 0x7FFFFFFF])
def test_what_we_do_not_know_is_taken_for_the_newest(protocol: int) -> None:
    assert versions.layout_of(protocol) == versions.NEWEST


@pytest.mark.parametrize("protocol", [0, 4, 5, 47, 340, 385, 393, 758, 777])
def test_what_we_know_is_what_it_says(protocol: int) -> None:
    assert versions.layout_of(protocol) == protocol
