"""Read a Minecraft server's whitelist, bans, operators and known players, as values of `access_lists`.

Servers up to 1.7.5 have text files with other names; such a file is read where the JSON file is missing, as a newer
server does, which then converts it.

They are looked at when the lists are asked for, at most once a second, and read again when they have changed. A
missing file counts as an empty list; so does an invalid one, which is logged once. Invalid entries are left out, as the
game does.
"""

from __future__ import annotations

import ipaddress
import itertools
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from zeroscale.access_lists import Ban, ListedPlayer, PlayerList, ServerLists, parse_uuid
from zeroscale.minecraft import gson
from zeroscale.minecraft.server_files import CachedFile, ServerFiles
from zeroscale.system.files import read_bounded

logger = logging.getLogger("zeroscale.server")

LARGEST_LIST = 4 * 1024 * 1024
"""Bytes: some 45000 players, which block the reactor for 250 ms, and for 700 ms where `gson` has to read them.
The game's own cache has 1000 players."""

MOST_ENTRIES = 60_000
"""Entries of a list; no shorter ones are written by the game. Without this bound the reactor would be blocked for 30 s
by a file of the shortest ones."""

LONGEST_REASON = 300
"""Characters of a ban's reason: a kick shows a few lines."""

LOOK_EVERY = 1.0
"""Seconds after which the files are looked at again. There are up to eleven of them, and each login asks."""

DEFAULT_REASON = "Banned by an operator."
"""The game's reason for a ban without one."""

DATE = "%Y-%m-%d %H:%M:%S %z"
"""The format of a ban's end. The game takes what is no date, such as "forever", as no end."""

DATE_FOR_PLAYERS = "%Y-%m-%d at %H:%M:%S UTC"
"""The game's format, but in UTC instead of the machine's time zone."""


_LINE_END = re.compile("\r\n|[\r\n]")

T = TypeVar("T")
Entry = Mapping[str, object]
"""A player or an address, with the keys of the JSON files."""


class PlayerLists:
    """The lists of one Minecraft server.

    :param files: the server's other files; its server.properties switches the whitelist on.
    :param seconds: returns the time of a monotonic clock.
    """

    def __init__(self, files: ServerFiles, seconds: Callable[[], float]) -> None:
        self._files = files
        self._seconds = seconds
        self._last = ServerLists()
        self._look_at = float("-inf")
        directory = files.directory
        self._whitelist = _ListFile(directory, "whitelist.json", "white-list.txt", _whitelist)
        self._operators = _ListFile(directory, "ops.json", "ops.txt", _players)
        self._known = _ListFile(directory, "usercache.json", None, _players)
        self._bans = _ListFile(directory, "banned-players.json", "banned-players.txt", _bans)
        self._address_bans = _ListFile(directory, "banned-ips.json", "banned-ips.txt", _address_bans)

    def get(self) -> ServerLists:
        """Return the lists; a change of a file is seen within `LOOK_EVERY`."""
        now = self._seconds()
        if now >= self._look_at:
            self._last = self.read()
            self._look_at = now + LOOK_EVERY
        return self._last

    def read(self) -> ServerLists:
        """Look at the files now, and return the lists."""
        whitelist = self._whitelist.get()
        return ServerLists(
            enforces_whitelist=whitelist is not None and self._files.white_list,
            whitelist=PlayerList() if whitelist is None else whitelist,
            operators=self._operators.get(),
            known=self._known.get(),
            bans=self._bans.get(),
            address_bans=self._address_bans.get(),
        )


class _ListFile(Generic[T]):
    """One list: its JSON file, or the text file of older servers where there is none.

    :param convert: makes the list of the file's entries; they are None where there is no valid file.
    """

    def __init__(
        self, directory: Path, name: str, old_name: str | None, convert: Callable[[list[Entry] | None], T]
    ) -> None:
        self._file = CachedFile(directory / name, lambda path: convert(_read(path, _json_entries)))
        self._old_file = None
        if old_name is not None:
            self._old_file = CachedFile(directory / old_name, lambda path: convert(_read(path, _text_entries)))

    def get(self) -> T:
        """Return the list; the same object until the file changes."""
        if self._old_file is None or self._file.path.exists():
            return self._file.get()
        return self._old_file.get()


def _read(path: Path, parse: Callable[[bytes], Iterable[Entry]]) -> list[Entry] | None:
    """Return a file's entries; None where there is no valid file."""
    try:
        content = read_bounded(path, LARGEST_LIST)
        if content is None:
            return None
        entries = list(itertools.islice(parse(content), MOST_ENTRIES + 1))
        if len(entries) > MOST_ENTRIES:
            raise ValueError(f"it has more than {MOST_ENTRIES} entries")
        return entries
    except (OSError, ValueError) as error:
        logger.warning("Cannot read %s; it is ignored: %s", path, error)
        return None


def _json_entries(content: bytes) -> list[Entry]:
    """Return the objects in a JSON array.

    :raises ValueError: it is no array, or one that the game cannot read.
    """
    try:
        # Decoding to plain types calls nothing, and its result is bounded by the file's size.
        decoded: object = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        decoded = gson.decode(content)
        decoded = [] if decoded is None else decoded
    if not isinstance(decoded, list):
        raise ValueError("it is no JSON array")
    return [entry for entry in decoded if isinstance(entry, dict)]


def _text_entries(content: bytes) -> Iterator[Entry]:
    """Yield the entries in the lines of a text file; those of bans have five fields, all but the first optional.

    The fields are: the name or address, the date of the ban, who banned, the end of the ban, and the reason.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    for line in map(str.strip, _LINE_END.split(text)):
        if line and not line.startswith("#"):
            name, _, _, expires, reason = [*(field.strip() for field in line.split("|", 4)), "", "", "", ""][:5]
            yield {"name": name, "ip": name, "expires": expires, "reason": reason}


def _whitelist(entries: list[Entry] | None) -> PlayerList | None:
    """Return the whitelist; None where there is no valid file, which is not the same as an empty list."""
    return None if entries is None else PlayerList(_listed(entries))


def _players(entries: list[Entry] | None) -> PlayerList:
    return PlayerList(_listed(entries or []))


def _bans(entries: list[Entry] | None) -> PlayerList:
    return PlayerList(_listed(entries or [], banned=True))


def _address_bans(entries: list[Entry] | None) -> Mapping[str, Ban]:
    normalised = ((_normalised(_text(entry.get("ip"))), entry) for entry in entries or [])
    return {address: _ban(entry) for address, entry in normalised if address is not None}


def _text(value: object) -> str:
    """Return a value as a string, as the game reads a number without quotes; "" where it is neither."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _listed(entries: Iterable[Entry], *, banned: bool = False) -> Iterator[ListedPlayer]:
    for entry in entries:
        name = _text(entry.get("name"))
        if name:
            yield ListedPlayer(name, parse_uuid(_text(entry.get("uuid"))), _ban(entry) if banned else None)


def _ban(entry: Entry) -> Ban:
    reason = _text(entry.get("reason"))[:LONGEST_REASON] or DEFAULT_REASON
    try:
        end = datetime.strptime(_text(entry.get("expires")), DATE).astimezone(UTC)
    except (ValueError, OverflowError):
        return Ban(reason)
    return Ban(reason, end.timestamp(), end.strftime(DATE_FOR_PLAYERS))


def _normalised(address: str) -> str | None:
    """Return an address in the form of `ClaimedIdentity.address`; None if it is invalid."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)
