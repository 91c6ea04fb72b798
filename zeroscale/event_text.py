"""Events in words: for the log, notifications and the history. Pure."""

from __future__ import annotations

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def format_duration(seconds: float) -> str:
    """Return a duration in its two largest units."""
    rest = max(0, round(seconds))
    values: list[str] = []
    for name, size in _UNITS:
        count, rest = divmod(rest, size)
        if count or (name == "s" and not values):
            values.append(f"{count} {name}")
        elif values:
            values.append("")
        if len(values) == 2:
            break
    return " ".join(part for part in values if part)
