"""A game server over UDP that is queried on the port that is played on, with the answers of real servers.

Usage: query_server.py source|quake|minecraft PORT

`play NAME` lets a player in, who stays until `leave NAME`; both are echoed. It uses nothing of zeroscale. The answers
to queries of Quake 3 are those of a recorded OpenArena, with these players; the others have the published layouts.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

SINGLE = b"\xff\xff\xff\xff"
CHALLENGE = b"\x11\x22\x33\x44"
RULES = b"\x45\x02\0mode\0easy\0long\0" + b"x" * 2000 + b"\0"
TOKEN = 9513307

FIXTURES = Path(__file__).parent.parent / "fixtures"

Players = dict[bytes, None]


def source(datagram: bytes, players: Players) -> Iterable[bytes]:
    """Answer Source queries as servers since 2020 do: each only after a challenge."""
    if not datagram.startswith(SINGLE) or datagram[4:5] not in (b"T", b"U", b"V"):
        return
    if not datagram.endswith(CHALLENGE):
        yield SINGLE + b"\x41" + CHALLENGE
        return
    if datagram[4:5] == b"T":
        counts = bytes((len(players), 32, 0))
        yield SINGLE + b"\x49\x11Meadows\0Midgard\0valheim\0Valheim\0\x0a\0" + counts + b"dl\0\x001.2.3\0\0"
    elif datagram[4:5] == b"U":
        each = (b"\0" + name + b"\0" + struct.pack("<if", 5, 60.0) for name in players)
        yield SINGLE + b"\x44" + bytes((len(players),)) + b"".join(each)
    else:
        whole = SINGLE + RULES
        parts = [whole[begin : begin + 1248] for begin in range(0, len(whole), 1248)]
        for number, part in enumerate(parts):
            yield b"\xfe\xff\xff\xff" + struct.pack("<IBBH", 7, len(parts), number, 1248) + part


def quake(datagram: bytes, players: Players) -> Iterable[bytes]:
    """Answer as OpenArena did, without its bot."""
    recorded = json.loads((FIXTURES / "udp_queries.json").read_text())["servers"]
    words = datagram.removeprefix(SINGLE).split(b"\0")[0].split()
    challenge = words[1] if len(words) > 1 else b""
    count = b"%d" % len(players)
    if words[:1] == [b"getinfo"]:
        answer = bytes.fromhex(recorded["openarena getinfo"]).replace(b"clients\\1", b"clients\\" + count)
        yield answer.replace(b"g_humanplayers\\0", b"g_humanplayers\\" + count).replace(b"abc12", challenge)
    elif words[:1] == [b"getstatus"]:
        head, line, _ = bytes.fromhex(recorded["openarena getstatus"]).split(b"\n", 2)
        each = (b'5 48 "' + name + b'"\n' for name in players)
        yield head + b"\n" + line.replace(b"abc12", challenge) + b"\n" + b"".join(each)


def minecraft(datagram: bytes, players: Players) -> Iterable[bytes]:
    """Answer as a vanilla server with `enable-query` does."""
    session, rest = datagram[3:7], datagram[7:]
    if datagram[:3] == b"\xfe\xfd\x09":
        yield b"\x09" + session + b"%d\0" % TOKEN
    elif datagram[:3] == b"\xfe\xfd\x00" and rest[:4] == TOKEN.to_bytes(4):
        count = b"%d" % len(players)
        if len(rest) < 8:
            yield b"\0" + session + b"Meadows\0SMP\0world\0" + count + b"\x0032\0\xdd\x63127.0.0.1\0"
            return
        pairs = (
            (b"hostname", b"Meadows"),
            (b"gametype", b"SMP"),
            (b"game_id", b"MINECRAFT"),
            (b"version", b"1.21.4"),
            (b"plugins", b""),
            (b"map", b"world"),
            (b"numplayers", count),
            (b"maxplayers", b"32"),
            (b"hostport", b"25565"),
            (b"hostip", b"127.0.0.1"),
        )
        variables = b"".join(key + b"\0" + value + b"\0" for key, value in pairs)
        names = b"".join(name + b"\0" for name in players)
        yield b"\0" + session + b"splitnum\0\x80\0" + variables + b"\0\x01player_\0\0" + names + b"\0"


PROTOCOLS: dict[str, Callable[[bytes, Players], Iterable[bytes]]] = {
    "source": source,
    "quake": quake,
    "minecraft": minecraft,
}


def main() -> None:
    """Serve until the process is ended."""
    answer, port = PROTOCOLS[sys.argv[1]], int(sys.argv[2])
    players: Players = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", port))
        while True:
            datagram, client = udp.recvfrom(65535)
            verb, _, name = datagram.partition(b" ")
            if verb == b"play":
                players[name] = None
            elif verb == b"leave":
                players.pop(name, None)
            for each in [datagram] if verb in (b"play", b"leave") else answer(datagram, players):
                udp.sendto(each, client)


main()
