"""Format sizes and progress bars. Pure."""

from __future__ import annotations

_SIZES = ("KiB", "MiB", "GiB", "TiB")


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
