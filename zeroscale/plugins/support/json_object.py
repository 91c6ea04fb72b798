"""Read values out of JSON objects without their empty members, as programs written in Go encode them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

JsonObject = Mapping[str, object]


def member(data: object, *path: str) -> object:
    """Return the value at a path of names; None where there is none."""
    for name in path:
        data = data.get(name) if isinstance(data, Mapping) else None
    return data


def object_at(data: object, *path: str) -> JsonObject:
    """Return the object at a path; an empty one where there is none."""
    value = member(data, *path)
    return value if isinstance(value, Mapping) else {}


def list_at(data: object, *path: str) -> Sequence[object]:
    """Return the list at a path; an empty one where there is none."""
    value = member(data, *path)
    return value if isinstance(value, list) else []


def text_at(data: object, *path: str) -> str:
    """Return the text at a path; "" where there is none."""
    value = member(data, *path)
    return value if isinstance(value, str) else ""


def integer_at(data: object, *path: str) -> int:
    """Return the integer at a path; 0 where there is none."""
    value = member(data, *path)
    return value if isinstance(value, int) else 0
