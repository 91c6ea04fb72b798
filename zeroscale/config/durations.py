"""Durations as people write them: "15m", "1h30m", "500ms". Used for keys, options, labels, plugin arguments. Pure."""

from __future__ import annotations

import re

EXPECTED = 'a number of seconds, or such as "15m", "1h30m", "500ms"'
"""What a duration is, for the message about something else."""

_NUMBER = r"([0-9]{1,12}(?:\.[0-9]{1,6})?)"
_WRITTEN = rf"(?a)(?:{_NUMBER}d)? ?(?:{_NUMBER}h)? ?(?:{_NUMBER}m(?!s))? ?(?:{_NUMBER}s)? ?(?:{_NUMBER}ms)?"
_SECONDS = (86400.0, 3600.0, 60.0, 1.0, 0.001)


def seconds_of(text: str) -> float:
    """Return the seconds of a duration.

    :param text: a number of seconds, or days, hours, minutes, seconds and milliseconds, in this order: `1d2h3m4s5ms`.
    :raises ValueError: it is not a duration; the message can be shown to the operator.
    """
    text = text.strip()
    if re.fullmatch(_NUMBER, text):
        return float(text)
    written = re.fullmatch(_WRITTEN, text)
    if written is None or not any(written.groups()):
        raise ValueError(f"{text!r} is not a duration: {EXPECTED}")
    return sum(float(number) * unit for number, unit in zip(written.groups(), _SECONDS, strict=True) if number)
