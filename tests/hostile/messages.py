"""What hostile clients send: names and hosts of all bytes, broken and whole messages, all kinds of PROXY headers."""

from __future__ import annotations

import random

from broken_messages import OTHER_PROTOCOLS, mutated
from hostile.listeners import Kind, Listener

from zeroscale.protocols.minecraft import packets
from zeroscale.protocols.minecraft.client import LOGIN, STATUS, login_start
from zeroscale.protocols.minecraft.versions import layout_of
from zeroscale.protocols.proxy_protocol import local_header

PROTOCOLS = (-1, 0, 4, 5, 47, 340, 404, 758, 759, 761, 763, 767, 770, 2**31 - 1)

WORLD, OPEN = "world.example", "open.example"
"""The hosts of the two Minecraft servers."""


class Messages:
    """Random messages, the same for the same generator."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def first(self, listener: Listener) -> bytes:
        """Return what a hostile client sends first, after the PROXY header."""
        chance = self._chance
        match chance.randrange(8):
            case 0:
                return chance.randbytes(chance.choice((1, 2, 3, 40, 300, 3000, 40_000)))
            case 1:
                return mutated(chance, chance.choice(OTHER_PROTOCOLS))
            case 2 if listener.server != "minecraft":
                return b"GET /" + self.text(60) + b" HTTP/1.1\r\nHost: " + self.text(30) + b"\r\n\r\n"
            case 2 | 3:
                return self.handshake(STATUS) + packets.frame(0) + self.ping()
            case 4:
                return mutated(chance, self.login())
            case 5:
                return self.handshake(chance.choice((0, 1, 2, 3, 4, 255, -1)))
            case _:
                return self.login()

    def login(self) -> bytes:
        """Return a whole login, mostly for the server that anyone may wake."""
        chance = self._chance
        protocol = chance.choice(PROTOCOLS)
        login = login_start(layout_of(protocol), "x" * 3)
        if chance.random() < 0.5:
            name = self.text(16)
            login = packets.frame(0, packets.varint(len(name)) + name, chance.randbytes(chance.choice((0, 1, 16, 17))))
        return self.handshake(LOGIN, protocol) + login

    def handshake(self, intent: int, protocol: int | None = None) -> bytes:
        """Return a handshake; its host is a server's, or consists of any bytes."""
        chance = self._chance
        match chance.randrange(40):
            case 0:
                host = WORLD.encode()
            case number if number < 20:
                host = OPEN.encode() + chance.choice((b"", b".", b"\0FML2\0", b"\0" + self.text(20)))
            case _:
                host = self.text(chance.choice((1, 16, 255, 300)))
        number = chance.choice(PROTOCOLS) if protocol is None else protocol
        port = chance.randbytes(2)
        return packets.frame(0, packets.varint(number), packets.varint(len(host)) + host, port, packets.varint(intent))

    def ping(self) -> bytes:
        """Return a ping."""
        return packets.frame(1, self._chance.randbytes(8))

    def text(self, longest: int) -> bytes:
        """Return up to so many characters: letters, any bytes, control characters, or two-byte letters."""
        chance = self._chance
        size = chance.randrange(longest + 1)
        match chance.randrange(4):
            case 0:
                return bytes(chance.choice(b"abcXYZ019_-. ") for _ in range(size))
            case 1:
                return chance.randbytes(size)
            case 2:
                return bytes(chance.choice(b"\x00\x07\x1b\x7f\r\n%{}\"'\\") for _ in range(size))
            case _:
                return "\u00a7\u00df\u202e"[chance.randrange(3)].encode() * (size // 3)

    def header(self, listener: Listener) -> bytes:
        """Return what comes before: mostly a valid PROXY header, from one of many addresses."""
        if listener.kind not in (Kind.proxy_v1, Kind.proxy_v2):
            return b""
        match self._chance.randrange(20):
            case 0:
                return mutated(self._chance, listener.header(self.address()))
            case 1:
                return local_header(self._chance.choice(("v1", "v2")))
            case 2:
                return b""
            case _:
                return listener.header(self.address())

    def address(self) -> str:
        """Return a client's address: one of very many, of few, or one that is trusted."""
        chance = self._chance
        match chance.randrange(4):
            case 0:
                return f"203.0.113.{chance.randrange(1, 9)}"
            case 1:
                return f"198.51.100.{chance.randrange(1, 255)}"
            case 2:
                return f"2001:db8:{chance.randrange(1 << 16):x}:{chance.randrange(1 << 16):x}::1"
            case _:
                return f"10.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(1, 255)}"
