"""Minecraft's protocol numbers where something that matters here changed (docs/protocol.md, "Versions")."""

from __future__ import annotations

NEWEST = 777
"""26.3."""

LAST_1_7 = 5
LAST_1_12 = 340

LOGIN_PLUGIN_REQUEST = 393
"""1.13; the snapshots just before had other packet ids."""

REFUSALS_IN_WORDS = 393
"""1.13: the client's language has the server's reasons for not letting somebody in; before, servers spelled them out
(minecraft-data, `language.json` of 1.7 to 26.1)."""

BINARY_UUID = 735
"""1.16: Login Success carries its UUID as 16 bytes."""

SIGNATURE = 759
"""1.19: a Login Start may carry a key and a signature."""

OPTIONAL_UUID = 760
"""1.19.1: and a UUID."""

NO_SIGNATURE = 761
"""1.19.3: the key and the signature are gone again."""

UUID = 764
"""1.20.2: a Login Start always carries a UUID."""


def layout_of(protocol: int) -> int:
    """The number whose packet layouts apply: -1 ("I do not know") and what is newer than we are count as the newest.

    Snapshots are numbered from 0x40000000 on.
    """
    return protocol if 0 <= protocol <= NEWEST else NEWEST
