"""`python tests/hostile/forged_datagrams.py [DATAGRAMS]`: UDP ports among datagrams whose senders are forged.

A million of them, by default, come from 100 000 addresses of this machine: pings and connection requests to a Bedrock
server that sleeps, queries to a game of Quake's protocol that sleeps, and anything to a server that runs. None of them
may wake a server, answers have to stay below their limits, and memory within bounds; meanwhile a player stays on the
running server, and others wake the ones that sleep.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import random
import re
import socket
import struct
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from peers.harness import HERE
from peers.programs import Program
from ports import free_ports
from protocols.bedrock import joins

from zeroscale.protocols.bedrock.offline import MAGIC

ADDRESSES = 100_000
CROWDED = "127.77.7"
"""The /24 from which each fourth datagram comes."""

PER_NETWORK, IN_ALL = 10, 200
"""Answers a second, to a network and to all, that are longer than their questions."""

MEMORY = 48 << 20
"""Bytes by which the proxy may grow: three ports with full tables, one of which has 4096 sessions."""

PLAYED_AT_LEAST = 0.5
"""Of a player's datagrams: the flood fills the socket's buffer, which the kernel does not share out fairly."""

JOIN_WITHIN = 45.0
PAUSE = 0.02
IP_PKTINFO = 8  # Python 3.11 does not have it
PKTINFO = struct.Struct("=I4s4s")
MINECRAFT = 766
INFO, STATUS = b"\xff\xff\xff\xffgetinfo xxx", b"\xff\xff\xff\xffgetstatus"
CHALLENGE = b"\xff\xff\xff\xffgetchallenge 1 Quake3Arena"
PING = b"\x01" + bytes(8) + MAGIC + bytes(8)
PONG = 0x1C

CONFIGURATION = """
state_directory = "{directory}/state"
control = {{ listen = "unix:{directory}/control.sock" }}
[servers.bedrock]
listen = "udp:{bedrock}"
protocol = "bedrock"
server = {real_bedrock}
plugin = "generic"
plugin_arguments = {{ command = "sleep 3600" }}
[servers.arena]
listen = "udp:{arena}"
protocol = "quake-query"
ready = "command:true"
server = {real_arena}
plugin = "generic"
plugin_arguments = {{ command = "{python} -IS {echo} {real_arena}" }}
[servers.plain]
listen = "udp:{plain}"
server = {real_plain}
plugin = "generic"
plugin_arguments = {{ command = "{python} -IS {echo} {real_plain}" }}
"""


class Flood(threading.Thread):
    """Sends the datagrams, and more of them until the players have joined, and counts the answers.

    :ivar sent: datagrams so far.
    :ivar answers: those longer than the question, as (seconds, network).
    """

    def __init__(self, ports: dict[str, int], count: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.sent = 0
        self.answers: list[tuple[float, str]] = []
        self._players_joined = threading.Event()
        self._count = count
        self._random = random.Random(seed)
        self._ports = ports
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        self._sock.bind(("0.0.0.0", 0))
        self._sock.setblocking(False)

    def run(self) -> None:
        """Send them."""
        with self._sock:
            self._run()

    def _run(self) -> None:
        for source, target, datagram in self._datagrams():
            control = [(socket.IPPROTO_IP, IP_PKTINFO, PKTINFO.pack(0, source, bytes(4)))]
            with contextlib.suppress(BlockingIOError):
                self._sock.sendmsg([datagram], control, 0, target)
            self.sent += 1
            if self.sent % 64 == 0:
                self._receive()
        time.sleep(1)
        self._receive()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._players_joined.set()
        self.join()

    def _datagrams(self) -> Iterator[tuple[bytes, tuple[str, int], bytes]]:
        choose = self._random
        targets = {name: ("127.0.0.1", port) for name, port in self._ports.items()}
        kinds: list[tuple[str, Callable[[], bytes]]] = [
            ("bedrock", lambda: PING),
            ("bedrock", lambda: joins.first_request(choose.choice((576, 1492)))),
            ("bedrock", lambda: joins.second_request(choose.randbytes(4))),
            ("bedrock", lambda: joins.sent(0, joins.reliable(joins.request_settings(MINECRAFT)))),
            ("bedrock", lambda: choose.randbytes(choose.randrange(1, 100))),
            ("arena", lambda: INFO),
            ("arena", lambda: STATUS),
            ("plain", lambda: choose.randbytes(choose.randrange(0, 100))),
        ]
        crowded = socket.inet_aton(f"{CROWDED}.0")[:3]
        first = int.from_bytes(socket.inet_aton("127.100.0.0"))
        for number in itertools.count():
            if number >= self._count and self._players_joined.is_set():
                return
            target, make = kinds[number % len(kinds)]
            if number // len(kinds) % 4 == 0:
                source = crowded + bytes((choose.randrange(256),))
            else:
                source = (first + choose.randrange(ADDRESSES)).to_bytes(4)
            yield source, targets[target], make()

    def _receive(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                datagram, control, _, sender = self._sock.recvmsg(65535, 64)
                if sender[1] == self._ports["bedrock"]:
                    longer = datagram[0] == PONG
                else:
                    longer = sender[1] == self._ports["arena"] and b"Response" in datagram[:20]
                if longer:
                    address = socket.inet_ntoa(PKTINFO.unpack(control[0][2])[2])
                    self.answers.append((time.monotonic(), address.rpartition(".")[0]))


class Player(threading.Thread):
    """Plays on a server that returns each datagram.

    :ivar sent: datagrams, one each `PAUSE` seconds.
    :ivar answered: of these.
    """

    def __init__(self, port: int, datagram: bytes) -> None:
        super().__init__(daemon=True)
        self.sent = self.answered = 0
        self.first_answer: float | None = None
        self.began = time.monotonic()
        self._datagram = datagram
        self._ends = threading.Event()
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.connect(("127.0.0.1", port))
        self._sock.settimeout(PAUSE)

    def run(self) -> None:
        """Play until told to end."""
        with self._sock:
            self._run()

    def _run(self) -> None:
        while not self._ends.is_set():
            next_one = time.monotonic() + PAUSE
            with contextlib.suppress(OSError):
                self._sock.send(self._datagram)
                self.sent += 1
                self._sock.recv(65535)
                self.answered += 1
                self.first_answer = self.first_answer or time.monotonic() - self.began
            time.sleep(max(0.0, next_one - time.monotonic()))

    def is_on(self) -> float:
        """Wait until the server answers; return how many seconds that took."""
        until = self.began + JOIN_WITHIN
        while self.first_answer is None:
            assert time.monotonic() < until, "the server does not answer"
            time.sleep(PAUSE)
        return self.first_answer

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ends.set()
        self.join()


def join_bedrock(port: int, proxy: Program) -> float:
    """Join as a Bedrock client does, and repeat what is not answered, until the server starts; return the seconds."""
    began = time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        sock.settimeout(0.2)

        def ask(datagram: bytes, expected: int) -> bytes:
            while True:
                assert time.monotonic() < began + JOIN_WITHIN, f"no answer {expected:#x} to a join"
                sock.send(datagram)
                with contextlib.suppress(TimeoutError):
                    while (answer := sock.recv(2048))[0] != expected:
                        pass
                    return answer

        cookie = ask(joins.first_request(), 0x06)[26:30]
        ask(joins.second_request(cookie), 0x08)
        ask(joins.sent(0, joins.reliable(joins.CONNECTION_REQUEST)), 0x84)
        number = 1
        while not any("bedrock: starting: " in line for line in proxy.lines):
            assert time.monotonic() < began + JOIN_WITHIN, "a join does not wake"
            sock.send(joins.sent(number, joins.reliable(joins.request_settings(MINECRAFT), 1)))
            number += 1
            time.sleep(0.2)
    return time.monotonic() - began


def most_in_a_second(times: list[float]) -> int:
    """Return the most of these moments within a second."""
    most, window = 0, deque[float]()
    for moment in times:
        window.append(moment)
        while window[0] < moment - 1:
            window.popleft()
        most = max(most, len(window))
    return most


def run(count: int, seed: int, directory: Path) -> dict[str, object]:
    """Run with so many datagrams; return the figures.

    :raises AssertionError: something is not as it has to be.
    """
    names = ("bedrock", "arena", "plain", "real_bedrock", "real_arena", "real_plain")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    echo = HERE / "datagram_echo.py"
    file = directory / "zeroscale.toml"
    file.write_text(CONFIGURATION.format(directory=directory, python=sys.executable, echo=echo, **ports))
    with Program([sys.executable, "-m", "zeroscale", "--info", "--config", str(file)], directory) as proxy:
        proxy.wait_for("Ready: ")
        with Player(ports["plain"], b"still here") as player:
            player.is_on()
            facts = flooded(proxy, ports, count, seed, player)
        assert proxy.terminate() == 0, proxy.text()
    defects = [line for line in proxy.lines if re.search("Traceback|Unhandled|CRITICAL|A fault in", line)]
    assert not defects, defects[:5]
    return facts


def flooded(proxy: Program, ports: dict[str, int], count: int, seed: int, player: Player) -> dict[str, object]:
    """Flood the ports, and let players join after half of it."""
    before, began = resident(proxy), time.monotonic()
    sent, answered = player.sent, player.answered
    with Flood({name: ports[name] for name in ("bedrock", "arena", "plain")}, count, seed) as flood:
        while flood.sent < count // 2:
            time.sleep(PAUSE)
        starts = [line for line in proxy.lines if ": starting: " in line]
        assert len(starts) == 1, f"woken by forged datagrams: {starts[1:]}"
        joined = join_bedrock(ports["bedrock"], proxy)
        with Player(ports["arena"], CHALLENGE) as visitor:
            woken = visitor.is_on()
    seconds = time.monotonic() - began
    grown = resident(proxy) - before
    played = (player.answered - answered) / (player.sent - sent)
    in_all = most_in_a_second([moment for moment, _ in flood.answers])
    networks = Counter(network for _, network in flood.answers)
    crowded = most_in_a_second([moment for moment, network in flood.answers if network == CROWDED])
    facts: dict[str, object] = {
        "datagrams": flood.sent,
        "seconds": round(seconds, 1),
        "answers": len(flood.answers),
        "most answers in a second": in_all,
        "to the crowded network": networks[CROWDED],
        "most to it in a second": crowded,
        "grown by MiB": round(grown / 2**20, 1),
        "player's datagrams answered": round(played, 3),
        "seconds to wake Bedrock": round(joined, 2),
        "seconds to wake the game": round(woken, 2),
    }
    # What was sent within a second may be read within less.
    assert in_all <= 2 * IN_ALL, facts
    assert crowded <= 2 * PER_NETWORK, facts
    assert len(flood.answers) <= IN_ALL * (seconds + 2), facts
    assert networks[CROWDED] <= PER_NETWORK * (seconds + 2), facts
    assert len(flood.answers) > IN_ALL, f"hardly any answers: {facts}"
    assert grown < MEMORY, facts
    assert played > PLAYED_AT_LEAST, facts
    return facts


def resident(program: Program) -> int:
    """Return the bytes of its resident memory."""
    status = Path(f"/proc/{program.process.pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) * 1024


def main() -> None:
    """Run, and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip())
    parser.add_argument("datagrams", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        sys.stdout.write(f"seed {options.seed}\n")
        sys.stdout.write(json.dumps(run(options.datagrams, options.seed, Path(directory)), indent=1) + "\n")


if __name__ == "__main__":
    main()
