"""The real server's last status, kept on disk, so that asleep it looks as it did when it was last seen.

What a server says is bounded and checked before it is kept, and again when it is read: the file may be anybody's.
It does not know who asks the server, nor what is made of its status.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from zeroscale.system.files import BackgroundFile, read_bounded

logger = logging.getLogger(__name__)

VERSION = 1
"""Of the file's format."""

LARGEST_STATUS = 64 * 1024
"""Bytes as JSON. A client reads at most 32767 UTF-16 units (docs/protocol.md, "Status"), half of this if ASCII."""

DEEPEST = 64
"""Levels of nesting; a client takes 255, real MOTDs have fewer than ten, and every reader of ours recurses."""

LONGEST_VERSION_NAME = 200
ICON_PREFIX = "data:image/png;base64,"
LONGEST_ICON = 32767
"""Characters: the whole status has no more (docs/protocol.md, "Status")."""

INTEGER = 2**31
"""Players and protocol numbers are signed 32-bit integers."""


class _File(msgspec.Struct, kw_only=True):
    version: int
    status: dict[str, object]


class StatusCache:
    """The last status of one server.

    :param directory: the server's own, held by `Records`.
    :param fallback: what to show until a real status has been seen; asked anew each time.
    """

    def __init__(self, directory: Path, fallback: Callable[[], Mapping[str, object] | None]) -> None:
        self._file = directory / "status.json"
        self._kept = BackgroundFile(self._file)
        self._fallback = fallback
        self._stored: Mapping[str, object] | None = None
        self._read = False
        self._merged: tuple[Mapping[str, object], object, Mapping[str, object]] | None = None
        self._refused: str | None = None

    @property
    def current(self) -> Mapping[str, object] | None:
        """The last real status without its players, or the fallback, or None. The same object until it changes."""
        if not self._read:
            self._read = True
            self._stored = self._load()
        if self._stored is not None and "favicon" in self._stored:
            return self._stored
        fallback = self._fallback()
        if self._stored is None:
            return fallback
        if fallback is None or "favicon" not in fallback:
            return self._stored
        return self._with_icon(self._stored, fallback["favicon"])

    def store(self, status: Mapping[str, object]) -> None:
        """Keeps a status that the real server has just sent. One that cannot be kept costs a warning.

        It is shown from now on; the disk has it a moment later.

        :param status: the decoded JSON object.
        """
        try:
            kept = replayable(status)
        except ValueError as error:
            if self._refused != str(error):
                self._refused = str(error)
                logger.warning("The server's status is not kept: %s", error)
            return
        if self._read and kept == self._stored:
            return
        self._read = True
        self._stored = kept
        self._kept.write(msgspec.json.encode(_File(version=VERSION, status=kept)))

    def flush(self) -> None:
        """Waits until all is written."""
        self._kept.flush()

    def _load(self) -> Mapping[str, object] | None:
        try:
            content = read_bounded(self._file, 2 * LARGEST_STATUS)
            return None if content is None else _decoded(content)
        except OSError as error:
            logger.warning("Cannot read %s: %s", self._file, error.strerror)
        except ValueError as error:
            logger.warning("%s is damaged (%s): ignored until the server is seen again", self._file, error)
        return None

    def _with_icon(self, stored: Mapping[str, object], icon: object) -> Mapping[str, object]:
        if self._merged is None or self._merged[0] is not stored or self._merged[1] != icon:
            self._merged = (stored, icon, {**stored, "favicon": icon})
        return self._merged[2]


def replayable(status: Mapping[str, object]) -> dict[str, object]:
    """What of a status may be shown while nobody is on: all but the players, and known keys only in their shape.

    A known key of another shape counts as absent, as it does for a client (docs/protocol.md, "Status").

    :raises ValueError: it is no JSON, nested too deeply, or too large.
    """
    _check(status, DEEPEST)
    kept = dict(status)
    players = kept.pop("players", None)
    if isinstance(players, Mapping) and _is_integer(players.get("max")):
        kept["players"] = {"max": players["max"], "online": 0}
    if not _is_version(kept.get("version")):
        kept.pop("version", None)
    if not _is_icon(kept.get("favicon")):
        kept.pop("favicon", None)
    if not isinstance(kept.get("description"), str | list | dict):
        kept.pop("description", None)
    size = len(msgspec.json.encode(kept))
    if size > LARGEST_STATUS:
        raise ValueError(f"it has {size} bytes, and at most {LARGEST_STATUS} are kept")
    return kept


def _decoded(content: bytes) -> Mapping[str, object]:
    """:raises ValueError: it is none of ours."""
    try:
        file = msgspec.json.decode(content, type=_File)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if file.version != VERSION:
        raise ValueError(f"its format is {file.version}, not {VERSION}")
    return replayable(file.status)


def _check(value: object, levels: int) -> None:
    """:raises ValueError: this is nothing that JSON can say, or nested too deeply."""
    if levels < 0:
        raise ValueError(f"it is nested more than {DEEPEST} deep")
    match value:
        case None | bool() | int() | str():  # half of a surrogate pair fails as a UnicodeEncodeError when encoded
            pass
        case float():
            if not math.isfinite(value):
                raise ValueError(f"{value} is no JSON")
        case list():
            for item in value:
                _check(item, levels - 1)
        case dict():
            for key, item in value.items():
                _check(key, levels - 1)
                _check(item, levels - 1)
        case _:
            raise ValueError(f"{type(value).__name__} is no JSON")


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
