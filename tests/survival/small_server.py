"""A small Minecraft server that starts quickly and records when events happen.

With `enable-status=false` in server.properties its status is off; `list` answers the number in the file `online`, and
what `say` says is recorded. With `--online-mode` it asks each login for an encryption, waits for any answer and sends a
world; its status knows nobody. With `--flood` it writes 5 MB of output a second, except for the last third of its
start. Output that cannot be written is lost, as with Java.

With `--answers` it closes the connection at status requests with other protocol numbers, and at a ping of before 1.7
unless that is one of them; `--slow-status` delays a reply. `--list` is the line that `list` writes, with {} for the
number.

A program of its own, which knows nothing of zeroscale: `python small_server.py PORT RECORD [--start SECONDS]`. Each
line of the record is a JSON object with an `event` and its time `at` by the monotonic clock, which all processes share.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

LEGACY_PING = 0xFE
STATUS = {"version": {"name": "small", "protocol": 767}, "players": {"max": 20, "online": 0}, "description": "small"}

WORLD = 4096
"""Bytes: the least that the real server sends to a player whom it has accepted."""


class Record:
    """Events in a file."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(self, event: str) -> None:
        """Record an event that happens now."""
        line = json.dumps({"event": event, "at": time.monotonic()})
        os.write(self._descriptor, f"{line}\n".encode())


class Client(socketserver.BaseRequestHandler):
    """One connection."""

    server: Server

    def handle(self) -> None:
        received = self.request.recv(65536)
        if not received:
            return  # a check whether the port is open
        if received[0] == LEGACY_PING:
            self.answer_status("legacy", legacy_reply())
            return
        login = received[received[0]] == 2  # the last byte of a handshake of less than 128 bytes
        if login:
            self.server.record.note("login")
            if self.server.online_mode:
                self.request.sendall(frame(1, "x" * 300))  # as long as an encryption request
                if self.request.recv(65536):
                    self.request.sendall(b"w" * WORLD)
                    self.request.recv(65536)
                return
            self.request.sendall(frame(0, json.dumps({"text": "You have woken the zeroscale demo server"})))
        else:
            self.answer_status(str(protocol_of(received)), frame(0, json.dumps(STATUS)))

    def answer_status(self, way: str, reply: bytes) -> None:
        self.server.record.note("question" if self.server.ready else "early question")
        answers = self.server.answers
        if self.server.ready and not self.server.status_off and (way in answers if answers else way != "legacy"):
            time.sleep(self.server.slow_status)
            with suppress(OSError):
                self.request.sendall(reply)


class Server(socketserver.ThreadingTCPServer):
    """Serves all connections."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128
    ready = False
    status_off = False
    online_mode = False
    answers: tuple[str, ...] = ()
    slow_status = 0.0
    record: Record


def legacy_reply() -> bytes:
    """Return the reply of 1.6.4 to a ping."""
    text = "\u00a71\x0078\x001.6.4\x00small\x000\x0020"
    return b"\xff" + len(text).to_bytes(2, "big") + text.encode("utf-16-be")


def protocol_of(handshake: bytes) -> int:
    """Return the protocol number in a handshake, signed."""
    number = shift = 0
    for byte in handshake[2:7]:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return number - (1 << 32) if number >> 31 else number


def frame(packet: int, text: str) -> bytes:
    """Return a packet that holds one text."""
    encoded = text.encode()
    body = bytes([packet]) + varint(len(encoded)) + encoded
    return varint(len(body)) + body


def varint(number: int) -> bytes:
    """Return a number as VarInt."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def write(text: str) -> None:
    """Write one line of the log."""
    write_line(f"[Server thread/INFO]: {text}")


def write_line(line: str) -> None:
    """Write one line of output as it is."""
    with suppress(OSError):
        os.write(1, f"{line}\n".encode())


def flood(allowed: threading.Event) -> None:
    """Write output without end, while it is allowed."""
    lines = (b"x" * 99 + b"\n") * 1000
    while allowed.wait():
        with suppress(OSError):
            os.write(1, lines)
        time.sleep(0.02)


def main() -> None:
    """Run until `stop` is read, or SIGTERM comes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("record", type=Path)
    parser.add_argument("--start", type=float, default=0.0, help="seconds; its port is bound after a third of them")
    parser.add_argument("--stop", type=float, default=0.0, help="seconds, for all of which its port is closed")
    parser.add_argument("--online-mode", action="store_true")
    parser.add_argument("--flood", action="store_true")
    parser.add_argument("--answers", nargs="+", default=(), metavar="NUMBER|legacy")
    parser.add_argument("--slow-status", type=float, default=0.0, help="seconds")
    parser.add_argument("--list", default="[Server thread/INFO]: There are {} of a max of 20 players online: ")
    options = parser.parse_args()
    record = Record(options.record)
    record.note("started")
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    write("Starting minecraft server")
    may_flood = threading.Event()
    may_flood.set()
    if options.flood:
        threading.Thread(target=flood, args=(may_flood,), daemon=True).start()
    time.sleep(options.start / 3)
    with Server(("127.0.0.1", options.port), Client) as server:
        server.record = record
        server.online_mode = options.online_mode
        server.answers = tuple(options.answers)
        server.slow_status = options.slow_status
        properties = Path("server.properties")
        server.status_off = properties.exists() and "enable-status=false" in properties.read_text()
        record.note("bound")
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        time.sleep(options.start / 3)
        may_flood.clear()
        time.sleep(options.start / 3)
        server.ready = True
        record.note("ready")
        write('Done (0.1s)! For help, type "help"')
        may_flood.set()
        for line in sys.stdin:
            if line.strip() == "list":
                online = Path("online").read_text() if Path("online").exists() else "0"
                write_line(options.list.replace("{}", online))
            if line.startswith("say "):
                record.note(f"said {line.removeprefix('say ').strip()}")
            if line.strip() in ("stop", "restart"):
                server.shutdown()
                server.server_close()  # before the next one is started: it binds the same port
                time.sleep(options.stop)
                if line.strip() == "restart":  # as Paper does; its child inherits no descriptor of zeroscale either
                    subprocess.Popen([sys.executable, "-S", "-E", *sys.argv])
                record.note("stopped")
                os._exit(0)
        signal.pause()  # a shell's background job has no input


if __name__ == "__main__":
    main()
