"""How answers of the Source query protocol are split into datagrams, both ways. Sans-I/O.

Source: docs/protocol.md, "Source query". There are three forms of headers. Clients know the game, and by it the form.
Here it is found out by the answer's own beginning, which follows the header of the first part.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import Enum

from zeroscale.errors import ProtocolError

SINGLE = b"\xff\xff\xff\xff"
SPLIT = b"\xfe\xff\xff\xff"

LARGEST_PACKET = 1400
"""Bytes of a datagram of ours; Steam's limit."""

PART = 1248
"""Bytes of a part of a split answer, as Source servers send."""

LARGEST_ANSWER = 1 << 16
"""Bytes of a whole answer: the longest lists of rules have some ten thousand."""

MOST_PARTS = 64
"""Datagrams of a split answer: the bytes above, in parts of 1024."""

REPLIES = b"\x44\x45\x49"
"""The first bytes of answers; some servers leave out the `SINGLE` before them."""

WITHOUT_SIZE = (215, 240, 17550, 17700)
"""Applications whose split answers have no size field, if their protocol is 7."""

GOLDSRC_PROTOCOL, OLD_PROTOCOL = 48, 7
MOST_GOLDSRC_PARTS = 0x0F
IS_COMPRESSED = 0x80


class SplitForm(Enum):
    """The form of the headers, by their layout."""

    source = "<4sIBBH"
    goldsrc = "<4sIB"
    without_size = "<4sIBB"


def form_of(protocol: int, app_id: int) -> SplitForm:
    """Return the form that clients expect of a game."""
    if protocol == GOLDSRC_PROTOCOL:
        return SplitForm.goldsrc
    return SplitForm.without_size if protocol == OLD_PROTOCOL and app_id in WITHOUT_SIZE else SplitForm.source


def split(raw: bytes, form: SplitForm) -> tuple[bytes, ...]:
    """Return the datagrams of an answer: one, or its parts.

    :param raw: the answer, from the byte that names it.
    """
    whole = SINGLE + raw
    if len(whole) <= LARGEST_PACKET:
        return (whole,)
    parts = [whole[begin : begin + PART] for begin in range(0, len(whole), PART)]
    if form is SplitForm.goldsrc and len(parts) > MOST_GOLDSRC_PARTS:
        form = SplitForm.source
    return tuple(_header(form, len(parts), number) + part for number, part in enumerate(parts))


def _header(form: SplitForm, total: int, number: int) -> bytes:
    match form:
        case SplitForm.goldsrc:
            return struct.pack(form.value, SPLIT, 1, number << 4 | total)
        case SplitForm.without_size:
            return struct.pack(form.value, SPLIT, 1, total, number)
        case SplitForm.source:
            return struct.pack(form.value, SPLIT, 1, total, number, PART)


class SplitAnswer:
    """Puts the datagrams of a split answer together, in whatever order they come."""

    def __init__(self) -> None:
        self._id = b""
        self._parts: list[bytes] = []

    def add(self, datagram: bytes) -> bytes | None:
        """Take a part; return the whole answer, from the byte that names it, once it is complete.

        :raises ProtocolError: it is no part, or the answer is compressed or too long.
        """
        if not datagram.startswith(SPLIT) or len(datagram) <= struct.calcsize(SplitForm.goldsrc.value):
            raise ProtocolError("a datagram that is no answer to a Source query")
        if datagram[7] & IS_COMPRESSED:
            raise ProtocolError("a compressed answer, as of games before 2007")
        if datagram[4:8] != self._id:
            self._id = datagram[4:8]
            self._parts = []
        if datagram not in self._parts:
            self._parts.append(datagram)
        if len(self._parts) > MOST_PARTS or sum(map(len, self._parts)) > LARGEST_ANSWER:
            self._parts = []
            raise ProtocolError(f"an answer of more than {LARGEST_ANSWER} bytes or {MOST_PARTS} datagrams")
        for form in SplitForm:
            whole = _joined(form, self._parts)
            if whole is not None:
                self._parts = []
                return whole
        return None


def _joined(form: SplitForm, parts: Sequence[bytes]) -> bytes | None:
    """Return the whole answer without `SINGLE`, if the parts are complete with headers of this form."""
    found: dict[int, bytes] = {}
    size = struct.calcsize(form.value)
    for part in parts:
        if len(part) <= size:
            return None
        total, number = (part[8] & 0x0F, part[8] >> 4) if form is SplitForm.goldsrc else (part[8], part[9])
        if total != len(parts) or number >= total:
            return None
        found[number] = part[size:]
    if len(found) < len(parts):
        return None
    whole = b"".join(found[number] for number in range(len(parts)))
    if whole.startswith(SINGLE):
        return whole[len(SINGLE) :]
    return whole if form is SplitForm.source and whole[0] in REPLIES else None
