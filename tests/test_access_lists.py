"""Matching clients against lists, by UUID, name and address."""

from __future__ import annotations

import pytest

from zeroscale.access_lists import (
    NIL_UUID,
    AccessList,
    Ban,
    ClaimedIdentity,
    ListedPlayer,
    PlayerList,
    offline_uuid,
    parse_uuid,
)

ACCOUNT = "6f1b0b1e5c1d4c6a9b0f0d7f7c9a1a01"
ANOTHER = "0a9c2f647be04b1c8f7e3d1f5e6a7b02"


def claim(name: str = "Ada", uuid: str | None = None, address: str = "203.0.113.7") -> ClaimedIdentity:
    """A player."""
    return ClaimedIdentity(name, uuid, address)


@pytest.mark.parametrize(
    ("name", "uuid"),
    [
        ("Notch", "b50ad385-829d-3141-a216-7e7d7539ba7f"),
        ("slowentity", "7b62e657-3b2a-3dad-b070-53b9114fc1f0"),  # as a server of 1.21.4 wrote it
        ("G3TD0NE", "c7e683c6-e1f8-34c2-9d0b-6005710db225"),  # and one of 1.8, in the case that he plays in
    ],
)
def test_offline_uuids_are_those_of_the_game(name: str, uuid: str) -> None:
    assert offline_uuid(name) == parse_uuid(uuid)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("6F1B0B1E-5c1d-4c6a-9b0f-0d7f7c9a1a01", ACCOUNT),
        (ACCOUNT, ACCOUNT),
        ("6f1b0b1e5-c1d-4c6a-9b0f-0d7f7c9a1a01", None),
        ("-" * 4 + ACCOUNT, None),
        (ACCOUNT[:-1], None),
        (ACCOUNT[:-1] + "g", None),
        ("", None),
    ],
)
def test_a_uuid_has_two_spellings(text: str, parsed: str | None) -> None:
    assert parse_uuid(text) == parsed


@pytest.mark.parametrize(
    ("listed", "client", "found"),
    [
        (ListedPlayer("Ada", ACCOUNT), claim("Ada", ACCOUNT), True),
        (ListedPlayer("Ada", ACCOUNT), claim("Renamed", ACCOUNT), True),
        (ListedPlayer("Ada", ACCOUNT), claim("Ada", ANOTHER), False),
        (ListedPlayer("Ada", ACCOUNT), claim("ADA"), True),
        (ListedPlayer("Ada", ACCOUNT), claim("Ada", NIL_UUID), True),
        (ListedPlayer("Ada", ACCOUNT), claim("Bob"), False),
        (ListedPlayer("Ada", None), claim("ada", ANOTHER), True),
        # Offline mode: the file's UUID is made of the name, the client may send its account's.
        (ListedPlayer("Ada", offline_uuid("Ada")), claim("Ada", ACCOUNT), True),
        (ListedPlayer("Ada", offline_uuid("Ada")), claim("aDA", ACCOUNT), True),
        (ListedPlayer("Ada", offline_uuid("Ada")), claim("Ada", offline_uuid("Ada")), True),
        (ListedPlayer("Ada", offline_uuid("Ada")), claim("Ada"), True),
        # A UUID of version 3 that is not made of this name does not depend on the name.
        (ListedPlayer("Ada", offline_uuid("Bob")), claim("Ada", ACCOUNT), False),
        # An entry of an account does not match a player without an account who uses its name.
        (ListedPlayer("Ada", ACCOUNT), claim("Ada", offline_uuid("Ada")), False),
        (ListedPlayer("Ada", ACCOUNT), claim("", None), False),
    ],
)
def test_players_found_on_a_list(listed: ListedPlayer, client: ClaimedIdentity, found: bool) -> None:
    assert PlayerList([ListedPlayer("Zoe", None), listed]).find(client) == ([listed] if found else [])


def test_all_players_with_a_name_are_found_once() -> None:
    former, offline = ListedPlayer("Ada", ACCOUNT), ListedPlayer("ada", offline_uuid("ada"))
    roll = PlayerList([former, offline])
    assert roll.find(claim("ADA")) == [former, offline]
    assert roll.find(claim("Ada", offline_uuid("ada"))) == [offline]
    assert (len(roll), list(roll)) == (2, [former, offline])


def test_a_ban_ends() -> None:
    assert Ban("why").is_active(1e12)
    assert Ban("why", 100.0).is_active(99.9)
    assert not Ban("why", 100.0).is_active(100.0)


@pytest.mark.parametrize(
    ("entry", "client", "found"),
    [
        ("Ada", claim("aDa", ANOTHER), True),
        ("Ada", claim("Adam"), False),
        ("Миряев", claim("миряев"), True),
        ("J\u00fcrgen", claim("J\u00dcRGEN", ANOTHER), True),
        ("two words", claim("Two Words"), True),
        ("\U0001f600" * 8, claim("\U0001f600" * 8), True),
        ("6F1B0B1E-5C1D-4C6A-9B0F-0D7F7C9A1A01", claim("Anybody", ACCOUNT), True),
        (ACCOUNT, claim("Anybody", ANOTHER), False),
        (ACCOUNT, claim("Anybody"), False),
        (offline_uuid("Ada"), claim("Ada", ACCOUNT), True),
        ("203.0.113.7", claim(), True),
        ("203.0.113.0/24", claim(), True),
        ("203.0.113.9/24", claim(), True),
        ("10.0.0.0/8", claim(), False),
        ("2001:db8::/32", claim(address="2001:db8::1"), True),
        ("2001:db8::/32", claim(), False),
        ("0.0.0.0/0", claim(address="local"), False),
        ("::ffff:203.0.113.7", claim(), True),
        ("::ffff:203.0.113.0/120", claim(), True),
        ("::ffff:203.0.112.0/120", claim(), False),
    ],
)
def test_access_lists_have_names_uuids_and_networks(entry: str, client: ClaimedIdentity, found: bool) -> None:
    assert AccessList(["Zoe", entry]).matches(client) is found
    assert not AccessList().matches(client)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "a name that is too long",
        "10.0.0.0/99",
        "10.0.0.256",
        "fe80:::1",
        "g" * 32,
        "\U0001f600" * 9,
        " Ada",
        "Ada\u200f",
        "Ada\x00",
        "\ud800",
    ],
)
def test_invalid_entries(entry: str) -> None:
    with pytest.raises(ValueError, match="is not a player name, UUID, address or network"):
        AccessList(["Ada", entry])
