"""Sizes of files as people write them: "100MB", "64 MiB", or a number of bytes. Pure."""

from __future__ import annotations

import re

EXPECTED = 'a size: a number of bytes, or such as "100MB" or "64MiB"'
"""What a size is, for the message about something else."""

_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def bytes_of(text: str) -> int:
    """Return the bytes of a size: kB, MB, GB and TB are powers of 1000, KiB, MiB, GiB and TiB of 1024.

    :raises ValueError: it is not a size; the message can be shown to the operator.
    """
    written = re.fullmatch(r"(?a)([0-9]{1,12}(?:\.[0-9]{1,6})?) ?([kmgt]?)(i?)b?", text.strip().lower())
    if written is None or (written[3] and not written[2]):
        raise ValueError(f"{text!r} is not {EXPECTED}")
    unit: int = (1024 if written[3] else 1000) ** _UNITS[written[2]]
    return round(float(written[1]) * unit)
