"""Lists of players, bans and addresses, and how a client is matched against them. Pure: no file access, no clock.

A client's name and UUID are what it claims; at this point nothing of it is authenticated.
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from msgspec import Struct, field

WakeRule = Literal["anyone", "known", "whitelist", "ops", "nobody"]
"""Which players may wake a server if no list of the configuration names them."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

NIL_UUID = "0" * 32
"""The nil UUID, which some tools and old proxies send instead of none."""

LONGEST_NAME = 16
"""UTF-16 units of a player's name (docs/protocol.md, "Login")."""

_MISTAKEN_ADDRESS = re.compile(r"\d+\.[\d.]*|.*[/:].*")
"""Names may have unusual characters, as those of Bedrock players do; a mistyped network is not taken as a name."""


class ClaimedIdentity(Struct, frozen=True):
    """What a client claims to be, and its address.

    :ivar name: the name; "" if the protocol has none.
    :ivar uuid: the UUID, 32 lower-case hexadecimal digits; None if the client sends none.
    :ivar address: without port, in its shortest form; an IPv4 address never as `::ffff:...`.
    """

    name: str
    uuid: str | None
    address: str


class Ban(Struct, frozen=True):
    """A ban of a player or an address.

    :ivar reason: text of the operator.
    :ivar expires: seconds since 1970; None: never.
    :ivar until: the expiry as the file has it; "" if it never expires.
    """

    reason: str
    expires: float | None = None
    until: str = ""

    def is_active(self, now: float) -> bool:
        """Return whether the ban has not expired at `now`, in seconds since 1970."""
        return self.expires is None or now < self.expires


class ListedPlayer(Struct, frozen=True):
    """One player on a list.

    :ivar name: the name at the time the player was added.
    :ivar uuid: 32 lower-case hexadecimal digits; None if the list has none.
    :ivar ban: the ban, on a list of bans.
    """

    name: str
    uuid: str | None
    ban: Ban | None = None

    @property
    def matches_by_name(self) -> bool:
        """Whether the name alone identifies the player: there is no UUID, or it is derived from the name."""
        return self.uuid is None or self.uuid == offline_uuid(self.name)


class PlayerList:
    """A list of players, indexed by UUID and by name.

    :param players: the players, in the file's order.
    """

    __slots__ = ("_named", "_players", "_with_uuid")

    def __init__(self, players: Iterable[ListedPlayer] = ()) -> None:
        self._players = tuple(players)
        self._with_uuid: dict[str, list[ListedPlayer]] = {}
        self._named: dict[str, list[ListedPlayer]] = {}
        for player in self._players:
            if player.uuid is not None:
                self._with_uuid.setdefault(player.uuid, []).append(player)
            self._named.setdefault(player.name.lower(), []).append(player)

    def __len__(self) -> int:
        return len(self._players)

    def __iter__(self) -> Iterator[ListedPlayer]:
        return iter(self._players)

    def has_name(self, name: str) -> bool:
        """Return whether a player of this name is on the list, ignoring case."""
        return name.lower() in self._named

    def find(self, claim: ClaimedIdentity) -> list[ListedPlayer]:
        """Return the players on the list that match the client.

        A client that sends a UUID is matched by that, whatever its name is now; one that sends none by its name,
        ignoring case. If the list's UUID is derived from the name, as on a server in offline mode, the name counts
        for both: players of such a server send the UUIDs of their accounts, if they have one.
        """
        named = self._named.get(claim.name.lower(), []) if claim.name else []
        if claim.uuid is None or claim.uuid == NIL_UUID:
            return list(named)
        found = self._with_uuid.get(claim.uuid, [])
        return found + [player for player in named if player.uuid != claim.uuid and player.matches_by_name]


class ServerLists(Struct, frozen=True):
    """The lists in one Minecraft server's own files. A list is empty if its file is missing or damaged.

    :ivar enforces_whitelist: whether the server admits only players on its whitelist, and the file exists.
    :ivar whitelist: the whitelist, whether it is enforced or not.
    :ivar operators: the server's operators.
    :ivar known: players in the server's user cache: they have joined it before.
    :ivar bans: banned players.
    :ivar address_bans: banned addresses, in the form of `ClaimedIdentity.address`.
    """

    enforces_whitelist: bool = False
    whitelist: PlayerList = field(default_factory=PlayerList)
    operators: PlayerList = field(default_factory=PlayerList)
    known: PlayerList = field(default_factory=PlayerList)
    bans: PlayerList = field(default_factory=PlayerList)
    address_bans: Mapping[str, Ban] = field(default_factory=dict)


class AccessList:
    """A list of the configuration: names, UUIDs, addresses and networks.

    :param entries: the entries as written.
    :raises ValueError: an entry is none of these; the message names the first.
    """

    __slots__ = ("_names", "_networks", "_uuids")

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self._names: set[str] = set()
        self._uuids: set[str] = set()
        self._networks: list[Network] = []
        for entry in entries:
            self._add(entry)

    def _add(self, entry: str) -> None:
        identity = parse_uuid(entry)
        if identity is not None:
            self._uuids.add(identity)
            return
        try:
            self._networks.append(parse_network(entry))
            return
        except ValueError:
            pass
        # What cannot be seen at an entry's ends or in it is a slip: it would never match.
        visible = entry.isprintable() and entry == entry.strip()
        if not (visible and is_player_name(entry)) or _MISTAKEN_ADDRESS.fullmatch(entry) is not None:
            raise ValueError(f"{entry!r} is not a player name, UUID, address or network")
        self._names.add(entry.lower())

    def matches(self, claim: ClaimedIdentity) -> bool:
        """Return whether an entry matches the client.

        A name matches every client with that name, whatever its UUID; a UUID also matches the player with this UUID on
        a server in offline mode.
        """
        if claim.name.lower() in self._names or claim.uuid in self._uuids:
            return True
        if self._uuids and claim.name and offline_uuid(claim.name) in self._uuids:
            return True
        if not self._networks:
            return False
        try:
            address = ipaddress.ip_address(claim.address)
        except ValueError:  # a client of a Unix socket has no address
            return False
        return any(address in network for network in self._networks)


def is_player_name(text: str) -> bool:
    """Return whether the game accepts a text as a player's name by its length, the only rule of all its versions.

    Vanilla servers accept printable ASCII only, others more; a running server judges that itself.
    """
    return 0 < len(text.encode("utf-16-le", "surrogatepass")) <= 2 * LONGEST_NAME


def parse_network(text: str) -> Network:
    """Parse an address or a network. IPv4-mapped IPv6 networks become IPv4 networks, as in `ClaimedIdentity.address`.

    :raises ValueError: it is neither.
    """
    parsed = ipaddress.ip_network(text, strict=False)
    mapped = parsed.network_address.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Network) else None
    beyond = parsed.prefixlen - (ipaddress.IPV6LENGTH - ipaddress.IPV4LENGTH)
    return parsed if mapped is None or beyond < 0 else ipaddress.IPv4Network((mapped, beyond))


def parse_uuid(text: str) -> str | None:
    """Parse a UUID with or without hyphens, and return 32 lower-case hexadecimal digits; None: it is not a UUID."""
    digits = text.replace("-", "").lower()
    hyphens = [index for index, character in enumerate(text) if character == "-"]
    if len(digits) != 32 or hyphens not in ([], [8, 13, 18, 23]):
        return None
    return digits if all(digit in "0123456789abcdef" for digit in digits) else None


def offline_uuid(name: str) -> str:
    """Return the UUID of a player in offline mode: Java's `UUID.nameUUIDFromBytes("OfflinePlayer:" + name)`.

    :returns: 32 lower-case hexadecimal digits.
    """
    import hashlib  # it loads OpenSSL's libcrypto: 3.3 MiB, which no sleeping proxy needs

    digest = hashlib.md5(f"OfflinePlayer:{name}".encode("utf-8", "replace"), usedforsecurity=False).digest()
    return uuid.UUID(bytes=digest, version=3).hex
