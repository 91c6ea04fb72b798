"""Durations as operators write them: "15m", "1h30m", "500ms". Pure, and of no use but for what people write."""

from __future__ import annotations

import re

EXPECTED = 'a number of seconds, or such as "15m", "1h30m", "500ms"'
"""What is to be said to who has written something else."""

_NUMBER = r"([0-9]{1,12}(?:\.[0-9]{1,6})?)"
_WRITTEN = re.compile(
    rf"(?:{_NUMBER}d)? ?(?:{_NUMBER}h)? ?(?:{_NUMBER}m(?!s))? ?(?:{_NUMBER}s)? ?(?:{_NUMBER}ms)?", re.ASCII
)
_SECONDS = (86400.0, 3600.0, 60.0, 1.0, 0.001)


def seconds_of(text: str) -> float:
    """The seconds that a text means: days, hours, minutes, seconds and milliseconds, in this order, or a bare number.

    :raises ValueError: it means none; the message is fit for the operator.
    """
    text = text.strip()
    if re.fullmatch(_NUMBER, text):
        return float(text)
    written = _WRITTEN.fullmatch(text)
    if written is None or not any(written.groups()):
        raise ValueError(f"{text!r} is not a duration: {EXPECTED}")
    return sum(float(number) * unit for number, unit in zip(written.groups(), _SECONDS, strict=True) if number)
