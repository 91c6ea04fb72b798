"""Durations, sizes and bars, as people read them. Pure."""

from __future__ import annotations

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
_SIZES = ("KiB", "MiB", "GiB", "TiB")


def span(seconds: float) -> str:
    """A duration in its two largest units."""
    rest = max(0, round(seconds))
    parts: list[str] = []
    for name, size in _UNITS:
        count, rest = divmod(rest, size)
        if count or (name == "s" and not parts):
            parts.append(f"{count} {name}")
        elif parts:
            parts.append("")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part)


def size(count: int) -> str:
    """A number of bytes, to three digits or so."""
    if count < 1024:
        return f"{count} bytes"
    value = float(count)
    for unit in _SIZES:
        value /= 1024
        if value < 1000 or unit == _SIZES[-1]:
            break
    return f"{value:.1f} {unit}"


def bar(fraction: float, width: int) -> str:
    """A bar of so many characters, filled so far."""
    filled = round(min(max(fraction, 0.0), 1.0) * width)
    return "[" + "#" * filled + "." * (width - filled) + "]"
