"""Format durations, sizes and progress bars. Pure."""

from __future__ import annotations

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
_SIZES = ("KiB", "MiB", "GiB", "TiB")


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


def format_size(count: int) -> str:
    """Return a number of bytes with a unit and about three digits."""
    if count < 1024:
        return f"{count} bytes"
    value = float(count)
    for unit in _SIZES:
        value /= 1024
        if value < 1000 or unit == _SIZES[-1]:
            break
    return f"{value:.1f} {unit}"


def progress_bar(fraction: float, width: int) -> str:
    """Return a bar of `width` characters, filled to `fraction` (0 to 1)."""
    filled = round(min(max(fraction, 0.0), 1.0) * width)
    return "[" + "#" * filled + "." * (width - filled) + "]"
