"""Who is on which list: frozen values, read from files elsewhere, judged elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Player:
    """One entry of a list.

    :ivar name: as it is written there; None where the list has only UUIDs.
    :ivar uuid: 32 lower-case hexadecimal digits; None where the list has only names.
    """

    name: str | None = None
    uuid: str | None = None


class PlayerList:
    """A set of players, asked as the game asks its own: by UUID where there is one, else by name ignoring case.

    :param players: the entries.
    """

    def __init__(self, players: Iterable[Player] = ()) -> None:
        entries = tuple(players)
        self._uuids = frozenset(entry.uuid for entry in entries if entry.uuid is not None)
        self._names = frozenset(entry.name.lower() for entry in entries if entry.name is not None)
        self._uuidless = frozenset(
            entry.name.lower() for entry in entries if entry.name is not None and entry.uuid is None
        )

    def has(self, name: str, uuid: str | None) -> bool:
        """Whether the player is on it.

        :param name: the name it claims.
        :param uuid: the UUID it claims, 32 lower-case hexadecimal digits, or None.
        """
        if uuid is None:
            return name.lower() in self._names
        return uuid in self._uuids or name.lower() in self._uuidless


def normalised_uuid(text: str) -> str | None:
    """32 lower-case hexadecimal digits of a UUID with or without dashes; None where it is none."""
    digits = text.replace("-", "").lower()
    if len(digits) == 32 and all(digit in "0123456789abcdef" for digit in digits):
        return digits
    return None
