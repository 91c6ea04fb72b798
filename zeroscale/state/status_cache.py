"""The real server's last status, kept on disk, so that a sleeping server looks as it did when it ran.

A status is bounded and checked before it is stored, and again when the file is read. A part of it that cannot be kept
is left out by itself.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

import msgspec

from zeroscale.server_log import ServerLog
from zeroscale.system.background_file import BackgroundFile, FileWriter
from zeroscale.system.files import load

logger = logging.getLogger("zeroscale.server")

VERSION = 1
"""The version of the file's format."""

LARGEST_STATUS = 256 * 1024
"""Bytes as JSON: as much as a status reply of the server may have (`protocols.minecraft.client`)."""

DEEPEST = 64
"""Levels of nesting: clients accept 255, real MOTDs have fewer than ten, and the parsers here recurse."""

USUAL = frozenset({"description", "players", "version"})
"""Keys that every status has (docs/protocol.md, "Status")."""

LONGEST_VERSION_NAME = 200
ICON_PREFIX = "data:image/png;base64,"
LONGEST_ICON = 32767
"""Characters: the whole status has no more (docs/protocol.md, "Status")."""

SHOWN = 40
"""Characters of a key that the log shows."""

PARTS_SHOWN = 10
"""Parts of a status that one line of the log names."""

INTEGER = 2**31
"""Players and protocol numbers are signed 32-bit integers."""


class _File(msgspec.Struct, kw_only=True):
    version: int
    status: dict[str, object]


class StatusCache:
    """The last status of one server.

    :param directory: the server's state directory, locked by `StartHistory`.
    :param writer: writes the file.
    :param fallback: returns the status to show until a real one has been seen; called each time.
    :param changed: called when another status has been stored.
    """

    def __init__(
        self,
        directory: Path,
        writer: FileWriter,
        fallback: Callable[[], Mapping[str, object] | None],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._file = directory / "status.json"
        self._log = ServerLog(logger, directory.name)
        self._writer = BackgroundFile(self._file, writer)
        self._fallback = fallback
        self._changed = changed
        self._stored: Mapping[str, object] | None = None
        self._read = False
        self._merged: tuple[Mapping[str, object], object, Mapping[str, object]] | None = None
        self._refused: list[str] = []

    @property
    def current(self) -> Mapping[str, object] | None:
        """The last real status without players, else the fallback, else None; the same object until it changes."""
        stored = self._load()
        if stored is not None and "favicon" in stored:
            return stored
        fallback = self._fallback()
        if stored is None:
            return fallback
        if fallback is None or "favicon" not in fallback:
            return stored
        return self._with_icon(stored, fallback["favicon"])

    def store(self, status: Mapping[str, object]) -> None:
        """Store a status of the real server, without the parts that cannot be kept; log those as a warning.

        `current` changes at once, the file a moment later.

        :param status: the decoded JSON object. Where it has no `version`, the last one is kept; where nothing is left
            of what every status has, it is ignored.
        """
        refused: list[str] = []
        kept = {} if "version" in status else self._load() or {}
        version = {key: value for key, value in kept.items() if key == "version"}
        replay = replayable({**status, **version}, refused.append)
        if refused and refused != self._refused:
            self._refused = refused
            parts = "; ".join(refused[:PARTS_SHOWN])
            more = f"; and {len(refused) - PARTS_SHOWN} more" if len(refused) > PARTS_SHOWN else ""
            self._log.warning("these parts of its status are not shown while it sleeps: %s%s", parts, more)
        if not status.keys() & replay.keys() & USUAL:
            return
        if self._read and replay == self._stored:
            return
        self._read = True
        self._stored = replay
        self._writer.write(msgspec.json.encode(_File(version=VERSION, status=replay)))
        self._changed()

    def flush(self) -> None:
        """Wait until everything is written."""
        self._writer.flush()

    def _load(self) -> Mapping[str, object] | None:
        if not self._read:
            self._read = True
            lost = "it is ignored until the server sends a status again"
            self._stored = load(self._file, 2 * LARGEST_STATUS, _decoded, lost)
        return self._stored

    def _with_icon(self, stored: Mapping[str, object], icon: object) -> Mapping[str, object]:
        if self._merged is None or self._merged[0] is not stored or self._merged[1] != icon:
            self._merged = (stored, icon, {**stored, "favicon": icon})
        return self._merged[2]


def replayable(status: Mapping[str, object], refused: Callable[[str], None] = lambda _: None) -> dict[str, object]:
    """Return the part of a status that a sleeping server shows: all keys, but 0 players online and no sample.

    A known key with an invalid value is left out, as a client ignores it (docs/protocol.md, "Status").

    :param refused: called for each other key that is left out, with its name and the reason: those that are not JSON or
        nested too deeply, and the largest ones of a status that is too large.
    """
    replay = dict(status)
    players = replay.pop("players", None)
    if isinstance(players, Mapping) and _is_integer(players.get("max")):
        replay["players"] = {"max": players["max"], "online": 0}
    if not _is_version(replay.get("version")):
        replay.pop("version", None)
    if not _is_icon(replay.get("favicon")):
        replay.pop("favicon", None)
    if not isinstance(replay.get("description"), str | list | dict):
        replay.pop("description", None)
    sizes: dict[str, int] = {}
    for key, value in list(replay.items()):
        try:
            sizes[key] = _size(key, value)
        except ValueError as error:
            del replay[key]
            refused(f"{key[:SHOWN]!r} ({error})")
    whole = sum(sizes.values())
    for key in sorted(sizes, key=lambda each: sizes[each], reverse=True):
        if whole <= LARGEST_STATUS:
            break
        whole -= sizes[key]
        del replay[key]
        refused(f"{key[:SHOWN]!r} ({sizes[key]} bytes, where the whole may have {LARGEST_STATUS})")
    return replay


def _size(key: str, value: object) -> int:
    """Return the bytes that a key and its value have as JSON.

    :raises ValueError: the value is not JSON, or nested too deeply.
    """
    _check(value, DEEPEST)
    try:
        return len(msgspec.json.encode({key: value}))
    except UnicodeEncodeError:
        raise ValueError("it contains half of a surrogate pair") from None


def _decoded(content: bytes) -> Mapping[str, object]:
    """Decode the file's content.

    :raises ValueError: it is invalid.
    """
    file = msgspec.json.decode(content, type=_File)
    if file.version != VERSION:
        raise ValueError(f"its format is {file.version}, not {VERSION}")
    return replayable(file.status, _damaged)


def _damaged(part: str) -> NoReturn:
    raise ValueError(f"it has what is never stored: {part}")


def _check(value: object, levels: int) -> None:
    """Check a value and all in it.

    :raises ValueError: JSON cannot express it, or it is nested too deeply.
    """
    if levels < 0:
        raise ValueError(f"nested more than {DEEPEST} deep")
    match value:
        case None | bool() | int() | str():
            pass
        case float():
            if not math.isfinite(value):
                raise ValueError(f"{value} is not JSON")
        case list():
            for item in value:
                _check(item, levels - 1)
        case dict():
            for key, item in value.items():
                _check(key, levels - 1)
                _check(item, levels - 1)
        case _:
            raise ValueError(f"{type(value).__name__} is not JSON")


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -INTEGER <= value < INTEGER


def _is_version(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("name"), str)
        and len(value["name"]) <= LONGEST_VERSION_NAME
        and _is_integer(value.get("protocol"))
    )


def _is_icon(value: object) -> bool:
    return isinstance(value, str) and value.startswith(ICON_PREFIX) and len(value) <= LONGEST_ICON
