"""Who is on a list."""

from __future__ import annotations

import pytest

from zeroscale.access import Player, PlayerList, normalised_uuid

NOTCH = "069a79f444e94726a5befca90e38aaf5"
OTHER = "853c80ef3c3749fdaa49938b674adae6"


@pytest.mark.parametrize(
    ("name", "uuid", "on"),
    [
        ("Notch", NOTCH, True),
        ("Renamed", NOTCH, True),
        ("Notch", OTHER, False),
        ("nOTCH", None, True),
        ("jeb_", OTHER, True),
        ("JEB_", None, True),
        ("Dinnerbone", None, False),
        ("Dinnerbone", OTHER, False),
    ],
)
def test_by_uuid_where_there_is_one_else_by_name(name: str, uuid: str | None, on: bool) -> None:
    assert PlayerList([Player("Notch", NOTCH), Player("jeb_"), Player(None, None)]).has(name, uuid) is on


def test_nobody_is_on_an_empty_list() -> None:
    assert PlayerList().has("Notch", NOTCH) is False


@pytest.mark.parametrize(
    ("text", "uuid"),
    [
        ("069a79f4-44e9-4726-a5be-fca90e38aaf5", NOTCH),
        (NOTCH.upper(), NOTCH),
        ("069a79f4", None),
        ("x" * 32, None),
        ("", None),
    ],
)
def test_uuids_are_32_digits(text: str, uuid: str | None) -> None:
    assert normalised_uuid(text) == uuid
