"""Read a Minecraft server's whitelist, bans, operators and known players, as values of `access_lists`.

Files are read again when they change. A missing file counts as an empty list; so does an invalid one, which is logged
once. Invalid entries are left out, as the game does.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from zeroscale.access_lists import Ban, ListedPlayer, PlayerList, ServerLists, parse_uuid
from zeroscale.minecraft.server_files import CachedFile, ServerFiles
from zeroscale.system.files import read_bounded

logger = logging.getLogger(__name__)

LARGEST_LIST = 4 * 1024 * 1024
"""Bytes: some 45000 players, which block the reactor for 250 ms. The game's own cache has 1000 players."""

LONGEST_REASON = 300
"""Characters of a ban's reason: a kick shows a few lines."""

DEFAULT_REASON = "Banned by an operator."
"""The game's reason for a ban without one."""

DATE = "%Y-%m-%d %H:%M:%S %z"
"""The format of a ban's end. The game takes what is no date, such as "forever", as no end."""

DATE_FOR_PLAYERS = "%Y-%m-%d at %H:%M:%S UTC"
"""The game's format, but in UTC instead of the machine's time zone."""


class PlayerLists:
    """The lists of one Minecraft server.

    :param files: the server's other files; its server.properties switches the whitelist on.
    """

    def __init__(self, files: ServerFiles) -> None:
        self._files = files
        self._whitelist = CachedFile(files.directory / "whitelist.json", _read_whitelist)
        self._operators = CachedFile(files.directory / "ops.json", _read_list)
        self._known = CachedFile(files.directory / "usercache.json", _read_list)
        self._bans = CachedFile(files.directory / "banned-players.json", _read_bans)
        self._address_bans = CachedFile(files.directory / "banned-ips.json", _read_address_bans)

    def read(self) -> ServerLists:
        """Return the lists; files that have not changed are not read again."""
        whitelist = self._whitelist.get()
        return ServerLists(
            enforces_whitelist=whitelist is not None and self._files.white_list,
            whitelist=PlayerList() if whitelist is None else whitelist,
            operators=self._operators.get(),
            known=self._known.get(),
            bans=self._bans.get(),
            address_bans=self._address_bans.get(),
        )


def _read_whitelist(path: Path) -> PlayerList | None:
    """Return the whitelist; None where there is no valid file, which is not the same as an empty list."""
    entries = _entries(path)
    return None if entries is None else PlayerList(_listed(entries))


def _read_list(path: Path) -> PlayerList:
    return PlayerList(_listed(_entries(path) or []))


def _read_bans(path: Path) -> PlayerList:
    return PlayerList(_listed(_entries(path) or [], banned=True))


def _read_address_bans(path: Path) -> Mapping[str, Ban]:
    bans = {}
    for entry in _entries(path) or []:
        address = _normalised(entry.get("ip"))
        if address is not None:
            bans[address] = _ban(entry)
    return bans


def _entries(path: Path) -> list[Mapping[str, object]] | None:
    """Return the objects in a file's JSON array; None where there is no valid file."""
    try:
        content = read_bounded(path, LARGEST_LIST)
        if content is None:
            return None
        # Decoding to plain types calls nothing, and its result is bounded by the file's size.
        decoded = msgspec.json.decode(content, type=list[object]) if content.strip() else []
    except (OSError, ValueError, msgspec.MsgspecError, RecursionError) as error:
        logger.warning("Cannot read %s; it is ignored: %s", path, error)
        return None
    return [entry for entry in decoded if isinstance(entry, dict)]


def _listed(entries: list[Mapping[str, object]], *, banned: bool = False) -> Iterator[ListedPlayer]:
    for entry in entries:
        name, uuid = entry.get("name"), entry.get("uuid")
        digits = parse_uuid(uuid) if isinstance(uuid, str) else None
        if isinstance(name, str) and name:
            yield ListedPlayer(name, digits, _ban(entry) if banned else None)


def _ban(entry: Mapping[str, object]) -> Ban:
    reason, expires = entry.get("reason"), entry.get("expires")
    text = reason[:LONGEST_REASON] if isinstance(reason, str) and reason else DEFAULT_REASON
    if not isinstance(expires, str):
        return Ban(text)
    try:
        end = datetime.strptime(expires, DATE).astimezone(UTC)
    except (ValueError, OverflowError):
        return Ban(text)
    return Ban(text, end.timestamp(), end.strftime(DATE_FOR_PLAYERS))


def _normalised(address: object) -> str | None:
    """Return an address in the form of `ClaimedIdentity.address`; None if it is invalid."""
    if not isinstance(address, str):
        return None
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)
