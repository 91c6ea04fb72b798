"""Tests with real peers: a zeroscale, a real server behind it, real clients in front of it.

Nothing here imports zeroscale: the product is run as its users run it, and judged by its log, its exit code, the
processes it leaves and what real clients and servers see of it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from peers.programs import DEADLINE, Program, answers, descendants, processes_in, wait_until
from ports import free_port

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

NEWEST_VERSION = "26.1"
"""The newest that the npm packages of package.json support."""


class Proxy(Program):
    """A `zeroscale` in the foreground, with one server behind it.

    :ivar port: where its clients connect.
    :ivar server_port: where the real server listens while it runs.
    :ivar directory: the server's working directory, used by this test only.
    """

    def __init__(
        self,
        plugin: str,
        directory: Path,
        command: Sequence[str | Path],
        *,
        port: int,
        server_port: int,
        idle_shutdown: float = 2,
        log: str = "--debug",
        options: Sequence[str] = (),
    ):
        self.port = port
        self.server_port = server_port
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        state_directory = directory.parent / f"{directory.name}.state"
        arguments = [arg for word in command for arg in ("-a", str(word))]
        args = ["-t", f"{idle_shutdown:g}", "-w", str(directory), "--state_directory", str(state_directory), log]
        super().__init__(
            [sys.executable, "-m", "zeroscale", *args, *options, *arguments, plugin, str(port), str(server_port)], ROOT
        )
        self.wait_until_ready(lambda: answers(port), "the proxy listens")

    def server_processes(self) -> set[int]:
        """The server and whatever it started: what runs in its working directory, or descends from the proxy."""
        return processes_in(self.directory) | descendants(self.process.pid)

    def assert_asleep(self) -> None:
        """Nothing runs behind it."""
        assert self.server_processes() == set()
        assert not answers(self.server_port)

    def wait_until_asleep(self, within: float = DEADLINE) -> None:
        """Waits until nothing runs behind it."""
        wait_until(
            lambda: not self.server_processes() and not answers(self.server_port), "the server is gone", within, self
        )

    def end(self, within: float = DEADLINE) -> None:
        """Stops it as an operator does; holds that it ends well and leaves nothing behind."""
        code = self.terminate(within)
        assert code == 0, f"exit code {code}; its output:\n{self.text()}"
        self.assert_asleep()
        self.assert_no_defects()

    def assert_no_defects(self) -> None:
        """No traceback, and nothing that was never awaited or closed, in its log."""
        defects = [line for line in self.lines if re.search("Traceback|Unhandled|never awaited|never retrieved", line)]
        assert not defects, self.text()

    def discard(self) -> None:
        """Also ends what a test that failed left behind it."""
        left = self.server_processes()
        super().discard()
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class Player(Program):
    """A real client: `client.js`, whose events are JSON lines."""

    def __init__(self, version: str, port: int, name: str, *arguments: str):
        args = ["--version", version, "--port", str(port), "--name", name, *arguments]
        super().__init__(["node", HERE / "client.js", *args], HERE)

    def wait_for_event(self, name: str, within: float = DEADLINE) -> dict[str, Any]:
        """Waits for an event of that name; returns the first."""
        at = self.wait_for(f'^{{"event":"{name}"', within)
        event: dict[str, Any] = json.loads(self.lines[at - 1])
        return event

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events of that name so far."""
        events = (json.loads(line) for line in self.lines if line.startswith("{"))
        return [event for event in events if event["event"] == name]

    def leave(self) -> None:
        """Disconnects, as a player does."""
        self.write_line("quit")
        assert self.wait() == 0, self.text()


class Record:
    """What a server started by `server.js --record` has seen, by its own account."""

    def __init__(self, path: Path):
        self.path = path

    def lines(self) -> list[dict[str, Any]]:
        """Everything, in order; a run of the server begins with a `started` line and ends with an `exited` one."""
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def exit_codes(self) -> list[int]:
        """The exit code of each run that has ended."""
        return [line["code"] for line in self.lines() if line["event"] == "exited"]

    def starts(self) -> int:
        """How often it was started."""
        return sum(line["event"] == "started" for line in self.lines())

    def logins(self) -> list[Login]:
        """The connections of the latest run that meant to join (or that began with no handshake at all)."""
        lines = self.lines()
        begun = max((i for i, line in enumerate(lines) if line["event"] == "started"), default=0)
        connections: dict[int, list[dict[str, Any]]] = {}
        for line in lines[begun + 1 :]:
            if "connection" in line:
                connections.setdefault(line["connection"], []).append(line)
        logins = [Login(events) for events in connections.values()]
        return [login for login in logins if login.sent and login.intent != 1]


class Login:
    """One connection that meant to join, as the server saw it.

    :ivar intent: the handshake's; None if it sent none.
    :ivar name: the player's name; None if it sent none.
    :ivar sent: what it sent before the server's first answer.
    :ivar packets: all the packets it ever sent, in the server's parser's words.
    """

    def __init__(self, events: list[dict[str, Any]]):
        kinds = [event["event"] for event in events]
        answered = kinds.index("first_reply") if "first_reply" in kinds else len(events)
        self.intent: int | None = _first(events, "intent")
        self.name: str | None = _first(events, "player")
        self.sent = b"".join(bytes.fromhex(event["hex"]) for event in events[:answered] if "hex" in event)
        self.packets = [event["name"] for event in events if event["event"] == "packet"]

    def frames(self) -> int:
        """How many frames it sent before the server's first answer.

        :raises AssertionError: they do not end where the last of them ends.
        """
        rest, frames = self.sent, 0
        while rest:
            header = next(at for at, byte in enumerate(rest) if byte < 0x80) + 1
            length = sum((byte & 0x7F) << (7 * at) for at, byte in enumerate(rest[:header]))
            assert len(rest) >= header + length, f"half a frame: {self.sent.hex()}"
            rest = rest[header + length :]
            frames += 1
        return frames


def _first(events: list[dict[str, Any]], key: str) -> Any:
    return next((event[key] for event in events if key in event), None)


def server_command(
    engine: str,
    version: str,
    port: int,
    *,
    start_delay: float = 0,
    stop_delay: float = 0,
    record: Path | None = None,
) -> list[str]:
    """The command line of a real server."""
    command = ["node", str(HERE / "server.js"), "--engine", engine, "--version", version, "--port", str(port)]
    if start_delay:
        command += ["--start-delay", f"{start_delay:g}"]
    if stop_delay:
        command += ["--stop-delay", f"{stop_delay:g}"]
    if record:
        command += ["--record", str(record)]
    return command


ProgramT = TypeVar("ProgramT", bound=Program)


class PeerHarness:
    """Start proxies, servers and clients for a test; end them after it.

    Several threads may use it at once: each proxy has its own subdirectory.
    """

    def __init__(self, directory: Path):
        self.directory = directory
        self._programs: list[Program] = []
        self._lock = threading.Lock()

    def track(self, program: ProgramT) -> ProgramT:
        """Has it ended after the test."""
        with self._lock:
            self._programs.append(program)
        return program

    def proxy(self, plugin: str, name: str, command: Sequence[str | Path], server_port: int, **options: Any) -> Proxy:
        """Starts a proxy whose server's working directory has that name."""
        return self.track(
            Proxy(plugin, self.directory / name, command, port=free_port(), server_port=server_port, **options)
        )

    def minecraft(
        self, engine: str, version: str, name: str, *, start_delay: float = 0, stop_delay: float = 0, **options: Any
    ) -> tuple[Proxy, Record]:
        """Start a proxy in front of a real Minecraft server; return it and the server's record."""
        record = Record(self.directory / f"{name}.record")
        server_port = free_port()
        command = server_command(
            engine, version, server_port, start_delay=start_delay, stop_delay=stop_delay, record=record.path
        )
        return self.proxy("minecraft", name, [" ".join(command)], server_port, **options), record

    def player(self, version: str, port: int, name: str = "Steve", *arguments: str) -> Player:
        """Lets a real client join."""
        return self.track(Player(version, port, name, *arguments))

    def close(self) -> None:
        """Ends everything."""
        for program in reversed(self._programs):
            program.discard()
