"""The demo server as the plugin runs it, with real processes and clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from mcstatus import JavaServer
from plugins.process_fixture import kill_at_end
from ports import free_port

from zeroscale.ctl.commands.join import GREETING
from zeroscale.errors import PluginError
from zeroscale.plugins.demo.journal import verify_journal
from zeroscale.plugins.demo.server import Server
from zeroscale.plugins.testing import RecordedOutput
from zeroscale.process import procfs

PROTOCOLS = [4, 47, 340, 760, 777, 1073742162, -1]
"""1.7.2 to 26.3, a snapshot, and a client without a protocol number."""


class Demo:
    """A demo server under test."""

    def __init__(self, state: Path, directory: Path) -> None:
        self.port = free_port()
        self.output = RecordedOutput()
        self._state = state
        self._directory = directory

    def make(self, switches: str = "", start_seconds: str = "0") -> Server:
        """Construct the plugin."""
        server = Server(
            server_port=self.port,
            state_directory=self._state,
            working_directory=self._directory,
            start_seconds=start_seconds,
            switches=switches,
        )
        server.on_output = self.output
        kill_at_end(server)
        return server

    async def ready(self, switches: str = "", start_seconds: str = "0") -> Server:
        """Start the server, and return the plugin when it is ready."""
        server = self.make(switches, start_seconds)
        await server.start()
        await self.output.line_with("Done (")
        return server

    async def ask(self, sent: bytes) -> bytes:
        """Send bytes as a client; return everything received until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(sent)
            return await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionResetError):
                await writer.wait_closed()


@pytest.fixture
def demo(state: Path, tmp_path: Path) -> Demo:
    return Demo(state, tmp_path)


def varint(number: int) -> bytes:
    number &= 0xFFFFFFFF
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def string(text: str) -> bytes:
    return varint(len(text.encode())) + text.encode()


def packet(number: int, *fields: bytes) -> bytes:
    body = varint(number) + b"".join(fields)
    return varint(len(body)) + body


def handshake(protocol: int, intent: int) -> bytes:
    return packet(0, varint(protocol), string("play.example"), struct.pack(">H", 25565), varint(intent))


def login(protocol: int, name: str = "Steve", intent: int = 2) -> bytes:
    return handshake(protocol, intent) + packet(0, string(name), bytes(16))


def unpacked(data: bytes) -> tuple[int, dict[str, object]]:
    """Return the number and the JSON of a single packet."""

    def number(at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            value |= (data[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if not data[at - 1] & 0x80:
                return value, at

    length, at = number(0)
    assert at + length == len(data)
    packet_id, at = number(at)
    text_length, at = number(at)
    assert at + text_length == len(data)
    return packet_id, json.loads(data[at:])


@pytest.mark.slow
async def test_it_starts_in_its_time_and_stops(demo: Demo) -> None:
    server = await demo.ready(start_seconds="0.3")
    assert any("Starting Minecraft server on 127.0.0.1" in line for line in demo.output.lines)
    assert any("Preparing spawn area: 100%" in line for line in demo.output.lines)
    await server.send("list")
    await demo.output.line_with("There are 0 of a max of 20 players online")
    await server.stop()
    assert await server.wait() == 0
    assert "All dimensions are saved" in demo.output.lines[-1]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_signals_stop_it_cleanly(demo: Demo, tmp_path: Path, number: int, code: int) -> None:
    server = await demo.ready(f"--journal '{tmp_path / 'the world'}'")
    server.signal(number)
    assert await server.wait() == code
    report = verify_journal(tmp_path / "the world")
    assert report.consistent and report.closed


async def test_mcstatus_finds_it(demo: Demo) -> None:
    await demo.ready("--players 7")
    java = JavaServer("127.0.0.1", demo.port, timeout=10)
    status = await java.async_status()
    assert (status.players.online, status.players.max, status.version.name) == (7, 20, "zeroscale demo")
    assert "zeroscale demo server" in status.motd.to_plain()
    assert await java.async_ping() >= 0


async def test_clients_of_every_version_are_answered(demo: Demo) -> None:
    server = await demo.ready()
    for protocol in PROTOCOLS:
        token = struct.pack(">Q", 0xDEADBEEF)
        answer = await demo.ask(handshake(protocol, 1) + packet(0) + packet(1, token))
        pong = packet(1, token)
        assert answer.endswith(pong)
        packet_id, status = unpacked(answer.removesuffix(pong))
        assert packet_id == 0
        assert status["version"] == {"name": "zeroscale demo", "protocol": protocol}
        for intent in (2, 3):
            packet_id, greeting = unpacked(await demo.ask(login(protocol, "Steve", intent)))
            assert packet_id == 0
            assert "Hello Steve!" in str(greeting["text"])
            assert greeting["insertion"] == GREETING
    await server.stop()


GARBAGE = [
    b"GET / HTTP/1.1\r\n\r\n" + bytes(200),
    b"\xff" * 100,
    b"\xff\xff\xff\xff\x0f" + bytes(100),
    handshake(47, 9),
    handshake(47, 2) + packet(7),
    handshake(47, 1) + b"\xff\xff\xff\xff\x07" + bytes(140_000),
    handshake(47, 2) + packet(0, varint(3), b"\xff\xff\xff"),
    packet(0, varint(47), varint(-5)),
]


@pytest.mark.slow
async def test_garbage_is_closed_and_other_clients_are_unaffected(demo: Demo) -> None:
    server = await demo.ready()
    for garbage in GARBAGE:
        with contextlib.suppress(ConnectionResetError):
            assert await demo.ask(garbage) == b""
    assert await demo.ask(login(47))
    await server.stop()
    assert not any("Traceback" in line or "rror" in line for line in demo.output.lines)


@pytest.mark.slow
async def test_before_it_is_ready_it_accepts_and_does_not_answer(demo: Demo) -> None:
    server = demo.make(start_seconds="3")
    await server.start()
    await demo.output.line_with('Preparing level "world"')
    assert await demo.ask(handshake(47, 1) + packet(0)) == b""
    await demo.output.line_with("Status asked while starting")
    assert "still starting" in str(unpacked(await demo.ask(login(47)))[1]["text"])
    assert not any("Done" in line for line in demo.output.lines)
    await server.stop()
    assert not any("Done" in line for line in demo.output.lines), "a stop does not wait for the start"


async def test_echo_sends_every_byte_back(demo: Demo) -> None:
    server = await demo.ready("--echo")
    sent = login(777) + bytes(range(256)) * 4096
    reader, writer = await asyncio.open_connection("127.0.0.1", demo.port)
    writer.write(sent)
    assert await reader.readexactly(len(sent)) == sent
    await demo.output.line_with("Steve joined the game")
    status = await JavaServer("127.0.0.1", demo.port, timeout=10).async_status()
    assert status.players.online == 1
    writer.write(sent)
    writer.write_eof()
    assert await reader.read() == sent, "also what was on its way when we had no more to say"
    writer.close()
    await writer.wait_closed()
    await demo.output.line_with("Steve left the game")
    await server.stop()


async def test_status_off(demo: Demo) -> None:
    await demo.ready("--status-off")
    assert await demo.ask(handshake(47, 1) + packet(0)) == b""
    assert await demo.ask(login(47))


async def test_a_kill_during_a_save_is_seen_in_the_journal(demo: Demo, tmp_path: Path) -> None:
    server = await demo.ready("--journal world --slow-stop 60")
    stopping = asyncio.ensure_future(server.stop())
    await demo.output.line_with("Saving worlds")
    server.signal(signal.SIGKILL)
    await stopping
    assert await server.wait() == 137
    assert verify_journal(tmp_path / "world").cut_saves == 1


async def test_it_can_ignore_stop_and_sigterm(demo: Demo) -> None:
    server = await demo.ready("--ignore-stop --ignore-term")
    await server.send("stop")
    await demo.output.line_with("Ignoring stop (--ignore-stop)")
    server.signal(signal.SIGTERM)
    await server.send("list")
    await demo.output.line_with("There are 0")
    server.signal(signal.SIGKILL)
    assert await server.wait() == 137


@pytest.mark.parametrize(
    ("switches", "message"),
    [("--crash-at-start", "told to crash at start"), ("--crash-after 0", "told to crash in play")],
)
async def test_crashes(demo: Demo, switches: str, message: str) -> None:
    server = demo.make(switches)
    await server.start()
    assert await server.wait() == 1
    assert message in demo.output.lines[-1]


@pytest.mark.slow
async def test_a_forked_child_has_the_port_and_the_console(demo: Demo) -> None:
    server = await demo.ready("--fork-child")
    record = json.loads((Path(demo._state) / "process.json").read_text())
    assert len(procfs.session_members({record["pid"]})) == 2
    await server.send("list")
    await demo.output.line_with("There are 0")
    await server.stop()
    assert await server.wait() == 0
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", demo.port))


@pytest.mark.slow
async def test_it_fills_its_output(demo: Demo, state: Path) -> None:
    server = await demo.ready("--fill-output 1000000")
    await demo.output.line_with("xxxx")
    await server.stop()
    assert (state / "console.log").stat().st_size > 10_000


@pytest.mark.slow
async def test_a_port_in_use(demo: Demo) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", demo.port))
        listener.listen()
        server = demo.make()
        await server.start()
        assert await server.wait() == 1
    assert any("FAILED TO BIND TO PORT" in line for line in demo.output.lines)


@pytest.mark.slow
async def test_no_module_is_imported_from_the_working_directory(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "twisted.py").write_text("raise SystemExit('taken')")
    server = await demo.ready()
    await server.stop()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda demo: demo.make(start_seconds="soon"), "start_seconds='soon' is not a duration"),
        (lambda demo: demo.make(start_seconds="2h"), "is not from 0 to 3600 seconds"),
        (lambda demo: demo.make(start_seconds="nan"), "is not a duration"),
        (lambda demo: demo.make("'"), "cannot be split into words"),
    ],
)
def test_invalid_values(demo: Demo, make: Callable[[Demo], Server], message: str) -> None:
    with pytest.raises(PluginError) as raised:
        make(demo)
    assert message in str(raised.value)
