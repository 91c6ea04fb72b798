"""The version table: protocol numbers of Minecraft's releases, and where a packet layout changed.

Source: docs/protocol.md, "Versions" and "Login". A new protocol version needs a change here only.
"""

from __future__ import annotations

from zeroscale.errors import suggest

RELEASES = {
    "1.7.2": 4,
    "1.7.10": 5,
    "1.8": 47,
    "1.9": 107,
    "1.9.4": 110,
    "1.10": 210,
    "1.11": 315,
    "1.11.2": 316,
    "1.12": 335,
    "1.12.1": 338,
    "1.12.2": 340,
    "1.13": 393,
    "1.13.2": 404,
    "1.14.4": 498,
    "1.15.2": 578,
    "1.16": 735,
    "1.16.1": 736,
    "1.16.2": 751,
    "1.16.3": 753,
    "1.16.5": 754,
    "1.17": 755,
    "1.17.1": 756,
    "1.18.1": 757,
    "1.18.2": 758,
    "1.19": 759,
    "1.19.2": 760,
    "1.19.3": 761,
    "1.19.4": 762,
    "1.20.1": 763,
    "1.20.2": 764,
    "1.20.4": 765,
    "1.20.6": 766,
    "1.21.1": 767,
    "1.21.3": 768,
    "1.21.4": 769,
    "1.21.5": 770,
    "1.21.6": 771,
    "1.21.8": 772,
    "1.21.10": 773,
    "1.21.11": 774,
    "26.1": 775,
    "26.2": 776,
    "26.3": 777,
}
"""The protocol number of each release; of releases that share a number, the last one's name."""

SAME_PROTOCOL = {
    "1.7.3": "1.7.2",
    "1.7.4": "1.7.2",
    "1.7.5": "1.7.2",
    "1.7.6": "1.7.10",
    "1.7.7": "1.7.10",
    "1.7.8": "1.7.10",
    "1.7.9": "1.7.10",
    **{f"1.8.{patch}": "1.8" for patch in range(1, 10)},
    "1.9.3": "1.9.4",
    "1.10.1": "1.10",
    "1.10.2": "1.10",
    "1.11.1": "1.11.2",
    "1.16.4": "1.16.5",
    "1.18": "1.18.1",
    "1.19.1": "1.19.2",
    "1.20": "1.20.1",
    "1.20.3": "1.20.4",
    "1.20.5": "1.20.6",
    "1.21": "1.21.1",
    "1.21.2": "1.21.3",
    "1.21.7": "1.21.8",
    "1.21.9": "1.21.10",
    "26.1.1": "26.1",
    "26.1.2": "26.1",
}
"""Releases that share another release's protocol number, with that release."""

NEWEST = max(RELEASES.values())
"""The newest protocol number known."""

LAST_1_7 = 5
LAST_1_12 = 340

LOGIN_PLUGIN_REQUEST = 393
"""1.13; earlier snapshots have other packet ids."""

REFUSAL_TRANSLATIONS = 393
"""1.13: the client's language files contain the reasons of a refused login (docs/protocol.md, "Kick text")."""

ANY_COLOR = 735
"""1.16: text may have any colour, not only the sixteen."""

BINARY_UUID = 735
"""1.16: Login Success has the UUID as 16 bytes."""

SIGNATURE = 759
"""1.19: a Login Start may contain a key and a signature."""

OPTIONAL_UUID = 760
"""1.19.1: a Login Start may contain a UUID."""

NO_SIGNATURE = 761
"""1.19.3: a Login Start has no key and signature any more."""

UUID = 764
"""1.20.2: a Login Start always contains a UUID."""


def protocol_number(text: str) -> int:
    """Return the protocol number of a release, or the number that the text itself is.

    :raises ValueError: it is neither; the message names similar releases.
    """
    if text.isascii() and text.isdigit() and int(text) < 1 << 31:
        return int(text)
    name = SAME_PROTOCOL.get(text, text)
    if name in RELEASES:
        return RELEASES[name]
    suggestion = suggest(text, [*RELEASES, *SAME_PROTOCOL], show=str, most=3)
    raise ValueError(
        f"{text!r} is neither a protocol number nor a release known here" + (f"; {suggestion}" if suggestion else "")
    )


def layout_of(protocol: int) -> int:
    """Return the protocol number of the release with the same packet layouts: `NEWEST` for -1, newer and snapshots.

    Snapshots are numbered from 0x40000000 on.
    """
    return protocol if 0 <= protocol <= NEWEST else NEWEST
