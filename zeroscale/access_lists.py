"""Who is on which list: frozen values, and how somebody is found on one. It knows no file and no clock.

A client's name and UUID are what it says of itself before anything is proven.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

Wake = Literal["anyone", "known", "whitelist", "ops", "nobody"]
"""Who may wake a server, of those whom no list names."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

NIL = "0" * 32
"""The UUID that says nothing: some tools and old proxies fill the field with it."""

_NAME = re.compile(r"[!-.0-9;-~]{1,16}")
_MISTAKEN_ADDRESS = re.compile(r"\d+\.[\d.]*")
"""A name may have strange characters, as those of Bedrock players do, but not so that a mistyped network is one."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Who somebody says to be.

    :ivar name: the name; "" where the protocol has none.
    :ivar uuid: the UUID, 32 lower-case hexadecimal digits; None where the client sends none.
    :ivar address: where it comes from, without port, in its shortest form; an IPv4 one never as `::ffff:...`.
    """

    name: str
    uuid: str | None
    address: str


@dataclass(frozen=True, slots=True)
class Ban:
    """Why somebody is kept out, and until when.

    :ivar reason: in the operator's words.
    :ivar expires: seconds since 1970; None: never.
    :ivar until: the same in words; "" where it never ends.
    """

    reason: str
    expires: float | None = None
    until: str = ""

    def holds(self, now: float) -> bool:
        """Whether it holds at `now`, in seconds since 1970."""
        return self.expires is None or now < self.expires


@dataclass(frozen=True, slots=True)
class Listed:
    """One player on a list.

    :ivar name: the name that he had when he was put there.
    :ivar uuid: 32 lower-case hexadecimal digits; None where the list has none.
    :ivar ban: on a list of bans, his.
    """

    name: str
    uuid: str | None
    ban: Ban | None = None

    @property
    def by_name(self) -> bool:
        """Whether the name says all: there is no UUID, or one that is made of this very name (offline mode)."""
        return self.uuid is None or self.uuid == offline_uuid(self.name)


class Roll:
    """A list of players, found by UUID or by name in the same time however long it is.

    :param players: who is on it, in the file's order.
    """

    __slots__ = ("_named", "_players", "_with_uuid")

    def __init__(self, players: Iterable[Listed] = ()) -> None:
        self._players = tuple(players)
        self._with_uuid: dict[str, list[Listed]] = {}
        self._named: dict[str, list[Listed]] = {}
        for player in self._players:
            if player.uuid is not None:
                self._with_uuid.setdefault(player.uuid, []).append(player)
            self._named.setdefault(player.name.lower(), []).append(player)

    def __len__(self) -> int:
        return len(self._players)

    def __iter__(self) -> Iterator[Listed]:
        return iter(self._players)

    def find(self, claim: Claim) -> list[Listed]:
        """Those on it whom the claim means.

        A client that sends a UUID is known by that, whatever it is called by now; one that sends none by its name, in
        whatever case. Where the list's own UUID is only made of the name, as a server in offline mode makes it, the
        name counts for both: such a server's players send the UUIDs of their accounts, if they have one.
        """
        named = self._named.get(claim.name.lower(), []) if claim.name else []
        if claim.uuid is None or claim.uuid == NIL:
            return list(named)
        found = self._with_uuid.get(claim.uuid, [])
        return found + [player for player in named if player.by_name and player not in found]


@dataclass(frozen=True, slots=True)
class ServerLists:
    """What one server's own files say. Each is empty where its file is missing or broken.

    :ivar enforces_whitelist: it lets in only those on its whitelist, which it has.
    :ivar whitelist: who is on it, whether it is enforced or not.
    :ivar operators: its operators.
    :ivar known: who has been on it, as far as it remembers.
    :ivar bans: banned players.
    :ivar address_bans: banned addresses, each in the form of `Claim.address`.
    """

    enforces_whitelist: bool = False
    whitelist: Roll = field(default_factory=Roll)
    operators: Roll = field(default_factory=Roll)
    known: Roll = field(default_factory=Roll)
    bans: Roll = field(default_factory=Roll)
    address_bans: Mapping[str, Ban] = field(default_factory=dict)


class Names:
    """A list of our own: names, UUIDs, addresses and networks.

    :param entries: as the operator wrote them.
    :raises ValueError: naming the first that is none of these.
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
        if _NAME.fullmatch(entry) is None or _MISTAKEN_ADDRESS.fullmatch(entry) is not None:
            raise ValueError(f"{entry!r} is no player's name, no UUID, no address and no network")
        self._names.add(entry.lower())

    def mean(self, claim: Claim) -> bool:
        """Whether they mean somebody.

        A name means whoever bears it, whatever his UUID; a UUID also who would have it on a server in offline mode.
        """
        if claim.name.lower() in self._names or claim.uuid in self._uuids:
            return True
        if self._uuids and claim.name and offline_uuid(claim.name) in self._uuids:
            return True
        try:
            address = ipaddress.ip_address(claim.address)
        except ValueError:  # a Unix socket's peer has none
            return False
        return any(address in network for network in self._networks)


def parse_network(text: str) -> Network:
    """An address or a network; one of IPv4 addresses in IPv6's clothes is one of IPv4 addresses, as `Claim.address` is.

    :raises ValueError: it is none.
    """
    parsed = ipaddress.ip_network(text, strict=False)
    mapped = parsed.network_address.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Network) else None
    beyond = parsed.prefixlen - (ipaddress.IPV6LENGTH - ipaddress.IPV4LENGTH)
    return parsed if mapped is None or beyond < 0 else ipaddress.IPv4Network((mapped, beyond))


def parse_uuid(text: str) -> str | None:
    """A UUID, with hyphens or without, as 32 lower-case hexadecimal digits; None where it is none."""
    digits = text.replace("-", "").lower()
    hyphens = [index for index, character in enumerate(text) if character == "-"]
    if len(digits) != 32 or hyphens not in ([], [8, 13, 18, 23]):
        return None
    return digits if all(digit in "0123456789abcdef" for digit in digits) else None


def offline_uuid(name: str) -> str:
    """The UUID that a server in offline mode gives a player: Java's `UUID.nameUUIDFromBytes("OfflinePlayer:" + name)`.

    :returns: 32 lower-case hexadecimal digits.
    """
    digest = hashlib.md5(f"OfflinePlayer:{name}".encode("utf-8", "replace"), usedforsecurity=False).digest()
    return uuid.UUID(bytes=digest, version=3).hex
