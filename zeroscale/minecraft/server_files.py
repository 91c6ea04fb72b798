"""Read a Minecraft server's server.properties, eula.txt and server-icon.png, and find its world's lock.

Files are read again when they change. A missing or invalid file is no error: its values are the defaults.
"""

from __future__ import annotations

import base64
import errno
import fcntl
import logging
import os
import re
import struct
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from zeroscale.system.files import read_bounded, read_start

logger = logging.getLogger("zeroscale.server")

LARGEST_PROPERTIES = 256 * 1024
"""Bytes; the game's own file has less than 3 KiB."""

LARGEST_SCRIPT = 64 * 1024
"""Bytes of a start script that are read."""

LARGEST_ICON = 22_000
"""Bytes. 64x64 pixels of 4 bytes are 16 KiB before compression; a file may have a colour profile or texts as well. As
base64 they leave 3400 of the status's 32767 characters (docs/protocol.md, "Status") to the rest."""

ICON_SIDE = 64
"""Pixels: old clients accept no other size (docs/protocol.md, "Status")."""

DEFAULT_RCON_PORT = 25575
DEFAULT_LEVEL_NAME = "world"
DEFAULT_MAX_TICK_TIME = 60000

T = TypeVar("T")

_PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.?))", re.DOTALL)
_LINE_END = re.compile(r"\r\n|[\r\n]")
_PAIR = re.compile(r"((?:[^\\ \t\f=:]|\\.)*)[ \t\f]*[=:]?[ \t\f]*(.*)", re.DOTALL)
_FLOCK = "hhqqi" if sys.platform == "linux" else "qqihh"
"""struct flock: type, whence, start, length, pid on Linux; start, length, pid, type, whence on macOS and the BSDs."""


def read_properties(path: Path) -> dict[str, str]:
    """Read a file in the format of `java.util.Properties`, as UTF-8 if it is valid, else as Latin-1, like the game.

    :returns: the values by key, in the file's order; empty where there is no readable file.
    """
    try:
        content = read_bounded(path, LARGEST_PROPERTIES)
    except (OSError, ValueError) as error:
        logger.warning("Cannot read %s: %s", path, error)
        return {}
    if content is None:
        return {}
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return parse_properties(text)


def parse_properties(text: str) -> dict[str, str]:
    """Parse a text as the documentation of `java.util.Properties.load` describes."""
    properties: dict[str, str] = {}
    for line in _logical_lines(text):
        pair = _PAIR.fullmatch(line)
        if pair is not None:
            properties[_unescaped(pair[1])] = _unescaped(pair[2])
    return properties


def line_of(path: Path, key: str) -> int | None:
    """Return the number of the last line that sets a key, which is the one that counts; None: there is none."""
    try:
        content = read_bounded(path, LARGEST_PROPERTIES) or b""
    except (OSError, ValueError):
        return None
    pattern = re.compile(rf"\s*{re.escape(key)}\s*[=:\s]")
    lines = enumerate(content.decode("latin-1").splitlines(), start=1)
    return max((number for number, line in lines if pattern.match(line)), default=None)


def read_script(path: Path) -> str:
    """Return the beginning of a start script.

    :raises OSError: it cannot be read, or is not a regular file.
    """
    try:
        content = read_start(path, LARGEST_SCRIPT)
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error)) from None
    if content is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    return content.decode("utf-8", "replace")


class CachedFile(Generic[T]):
    """The parsed content of one file, parsed again only when the file has changed.

    :param path: the file; need not exist.
    :param read: reads and parses it, and never raises.
    """

    def __init__(self, path: Path, read: Callable[[Path], T]) -> None:
        self.path = path
        self._name = str(path)
        self._read = read
        self._known: tuple[tuple[int, int, int] | None, T] | None = None

    def get(self) -> T:
        """Return the parsed content; the same object until the file changes."""
        try:
            found = os.stat(self._name)  # noqa: PTH116 - called for each status; Path.stat() takes three times as long
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        except OSError:
            stamp = None
        if self._known is None or self._known[0] != stamp:
            self._known = (stamp, self._read(self.path))
        return self._known[1]


class ServerFiles:
    """The files of one Minecraft server.

    :param directory: the server's working directory; need not exist.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._properties = CachedFile(directory / "server.properties", read_properties)
        self._eula = CachedFile(directory / "eula.txt", read_properties)
        self._icon = CachedFile(directory / "server-icon.png", _read_icon)
        self._status: tuple[tuple[object, ...], Mapping[str, object] | None] | None = None

    @property
    def properties_file(self) -> Path:
        """The path of server.properties."""
        return self._properties.path

    @property
    def eula_file(self) -> Path:
        """The path of eula.txt."""
        return self._eula.path

    @property
    def properties(self) -> Mapping[str, str]:
        """The content of server.properties; empty where there is none."""
        return self._properties.get()

    @property
    def server_port(self) -> int | None:
        """`server-port`; None if it is missing or invalid."""
        return self._integer("server-port", 1, 65535)

    @property
    def motd(self) -> str | None:
        """`motd`, with section-sign codes; None if it is missing."""
        return self.properties.get("motd")

    @property
    def max_players(self) -> int | None:
        """`max-players`; None if it is missing or invalid."""
        return self._integer("max-players", 0, 2**31 - 1)

    @property
    def enable_status(self) -> bool:
        """`enable-status`: whether the server answers the server list."""
        return self._boolean("enable-status", default=True)

    @property
    def white_list(self) -> bool:
        """`white-list`: whether only listed players and operators may join."""
        return self._boolean("white-list", default=False)

    @property
    def max_tick_time(self) -> int:
        """`max-tick-time`: milliseconds of one tick after which the watchdog ends the server; -1: no watchdog."""
        value = self._integer("max-tick-time", -1, 2**63 - 1)
        return DEFAULT_MAX_TICK_TIME if value is None else value

    @property
    def enable_rcon(self) -> bool:
        """Whether RCON is on: `enable-rcon`, and a password, without which the game does not start RCON."""
        return self._boolean("enable-rcon", default=False) and bool(self.rcon_password)

    @property
    def rcon_port(self) -> int:
        """`rcon.port`."""
        return self._integer("rcon.port", 1, 65535) or DEFAULT_RCON_PORT

    @property
    def rcon_password(self) -> str:
        """`rcon.password`: a secret, never to be logged."""
        return self.properties.get("rcon.password", "")

    @property
    def level_name(self) -> str:
        """`level-name`: the name of the world's directory."""
        return self.properties.get("level-name") or DEFAULT_LEVEL_NAME

    @property
    def level_directory(self) -> Path:
        """The path of the world's directory."""
        return self.directory / self.level_name

    @property
    def icon(self) -> str | None:
        """server-icon.png as a data URL; None where there is none that every client draws."""
        return self._icon.get()

    @property
    def eula_accepted(self) -> bool | None:
        """Whether eula.txt accepts the EULA; None where there is no file (older and other servers have none)."""
        content = self._eula.get()
        if not content and not self.eula_file.exists():
            return None
        return content.get("eula", "").strip().lower() == "true"

    def fallback_status(self) -> Mapping[str, object] | None:
        """Return the status that the files describe, as decoded JSON; None if nothing.

        The same object until a file changes.
        """
        properties, icon = self.properties, self.icon
        key = (properties, icon)
        if self._status is None or self._status[0] != key:
            motd, max_players = self.motd, self.max_players
            status: dict[str, object] = {}
            if motd is not None:
                status["description"] = motd
            if max_players is not None:
                status["players"] = {"max": max_players, "online": 0}
            if icon is not None:
                status["favicon"] = icon
            self._status = (key, status or None)
        return self._status[1]

    def _boolean(self, name: str, *, default: bool) -> bool:
        value = self.properties.get(name)
        return default if value is None else value.strip().lower() == "true"  # as Java's Boolean.valueOf

    def _integer(self, name: str, low: int, high: int) -> int | None:
        value = self.properties.get(name, "").strip()
        if not value.isascii() or not value.removeprefix("-").isdigit() or len(value) > 20:
            return None
        number = int(value)
        return number if low <= number <= high else None


def session_lock_holder(level_directory: Path) -> int | None:
    """Return the id of the process that holds the world's session.lock, without locking it.

    The game locks the file with Java's `FileChannel.tryLock`, a POSIX record lock.

    :returns: None if no process holds it; 0 if the holder has no id here (a process of another container).
    """
    try:
        descriptor = os.open(level_directory / "session.lock", os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if sys.platform == "linux":
            asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, _, _, holder = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
        else:
            asked = struct.pack(_FLOCK, 0, 0, 0, fcntl.F_WRLCK, os.SEEK_SET)
            _, _, holder, kind, _ = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None if kind == fcntl.F_UNLCK else max(holder, 0)


def _logical_lines(text: str) -> list[str]:
    """Return the lines with content, with continuation lines joined."""
    lines = []
    line_so_far = ""
    continued = False
    for natural in _LINE_END.split(text):
        line = natural.lstrip(" \t\f")
        if not continued and (not line or line[0] in "#!"):
            continue
        continued = (len(line) - len(line.rstrip("\\"))) % 2 == 1
        line_so_far += line[:-1] if continued else line
        if not continued:
            lines.append(line_so_far)
            line_so_far = ""
    if line_so_far:
        lines.append(line_so_far)
    return lines


def _unescaped(escaped: str) -> str:
    plain = _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else _ESCAPES.get(found[2], found[2]), escaped)
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # Java writes surrogate pairs


def _read_icon(path: Path) -> str | None:
    """Return the PNG as a data URL; None where there is none, or none that every client draws."""
    try:
        content = read_bounded(path, LARGEST_ICON)
    except (OSError, ValueError) as error:
        logger.warning("%s is not shown: %s", path, error)
        return None
    if content is None:
        return None
    if not content.startswith(_PNG) or len(content) < len(_PNG) + 8:
        logger.warning("%s is not shown: it is not a PNG image", path)
        return None
    width, height = struct.unpack_from(">II", content, len(_PNG))
    if (width, height) != (ICON_SIDE, ICON_SIDE):
        logger.warning(
            "%s is not shown: it is %dx%d, and clients draw %dx%d only", path, width, height, ICON_SIDE, ICON_SIDE
        )
        return None
    return "data:image/png;base64," + base64.b64encode(content).decode()
