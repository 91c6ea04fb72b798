"""Whole zeroscale processes in front of the demo server, and players on blocking sockets.

Every wait has a deadline. Tests look only from outside: at what players see, at the log, at the processes, and at the
demo server's journal, which shows an interrupted save and a second server on the same world.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from peers.programs import DEADLINE, Program, answers, processes_in, wait_until
from ports import free_port

from zeroscale.plugins.demo.journal import JournalReport, verify_journal
from zeroscale.protocols.minecraft.client import (
    CookieRequested,
    Disconnected,
    LoginClient,
    PluginRequested,
    StatusClient,
    StatusReceived,
)

PROTOCOL = 767
"""1.21: such a client can be held for any time."""

AT_ONCE = 3.0
"""Seconds for what needs no wait: shorter than any time-out of zeroscale, long enough for a busy machine."""


class SurvivalHarness:
    """One world, and the zeroscale processes that run its server.

    :ivar world: the server's working directory, in which nothing else runs.
    :ivar state: the state directory.
    :ivar port: where players connect.
    :ivar server_port: where the real server listens.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.world = directory / "world"
        self.other_directory = directory / "elsewhere"
        self.state = directory / "state"
        self.port = free_port()
        self.server_port = free_port()
        self._programs: list[Program] = []
        self._players: list[Player] = []
        for made in (self.world, self.other_directory):
            made.mkdir()

    def run(self, plugin: str, *options: str, state: Path | None = None, listens: bool = True) -> Program:
        """Start a zeroscale, and wait until it listens."""
        where = ["-w", str(self.world), "--state_directory", str(state or self.state)]
        command = [sys.executable, "-W", "default", "-m", "zeroscale", *where, "--debug", *options]
        program = Program([*command, plugin, str(self.port), str(self.server_port)], self.other_directory)
        self._programs.append(program)
        if listens:
            program.wait_for(r"Listening on \('0\.0\.0\.0'")
        return program

    def run_configured(self, file: Path) -> Program:
        """Start a zeroscale with a configuration file, and wait until it listens."""
        program = Program(
            [sys.executable, "-W", "default", "-m", "zeroscale", "--debug", "--config", str(file)], self.other_directory
        )
        self._programs.append(program)
        program.wait_for(r"Listening on \('0\.0\.0\.0'")
        return program

    def run_demo(
        self,
        *options: str,
        switches: str = "",
        start: float = 0.0,
        idle: float = 60,
        state: Path | None = None,
        listens: bool = True,
    ) -> Program:
        """Start a zeroscale in front of the demo server, which writes a journal."""
        return self.run(
            "demo",
            "-t",
            f"{idle:g}",
            "-a",
            f"start_seconds={start:g}",
            "-a",
            f"switches=--journal journal {switches}",
            *options,
            state=state,
            listens=listens,
        )

    def run_small_server(
        self,
        *options: str,
        start: float = 0.0,
        stop: float = 0.0,
        idle: float = 60,
        shell_line: str = "exec {}",
        switches: Sequence[str] = (),
        plugin: str = "minecraft",
    ) -> Program:
        """Start a zeroscale in front of `small_server.py`, which is run by a shell.

        :param start: how many seconds it takes to start.
        :param stop: how many seconds it takes to stop, with its port closed.
        :param shell_line: what the shell runs; {} stands for the server's command.
        :param switches: more options of the server's.
        :param plugin: `minecraft`, or `generic`, which does not see the server's ready line.
        """
        program = Path(__file__).with_name("small_server.py")
        command = [sys.executable, "-S", "-E", str(program), str(self.server_port), str(self.record)]
        command += ["--start", f"{start}", "--stop", f"{stop}", *switches]
        line = shell_line.format(shlex.join(command))
        words = ["sh", "-c", line, *(["protocol=minecraft", "ready_line=no such line"] if plugin == "generic" else [])]
        return self.run(plugin, "-t", f"{idle:g}", *options, *(option for word in words for option in ("-a", word)))

    @property
    def record(self) -> Path:
        """The small server's record of events."""
        return self.directory / "record"

    def times_of(self, event: str) -> list[float]:
        """Return when the event happened in the small server, in seconds of the monotonic clock."""
        if not self.record.exists():
            return []
        lines = [json.loads(line) for line in self.record.read_text().splitlines()]
        return [line["at"] for line in lines if line["event"] == event]

    def player(self, name: str = "Steve", protocol: int = PROTOCOL) -> Player:
        """Let a player join, in a thread of its own."""
        player = Player(self.port, name, protocol)
        self._players.append(player)
        return player

    def servers(self) -> set[int]:
        """Return the ids of the server's processes."""
        return processes_in(self.world)

    def server(self) -> int:
        """Return the id of the server's only process."""
        (found,) = self.servers()
        return found

    def server_is_gone(self, proxy: Program | None = None, within: float = DEADLINE) -> None:
        """Wait until the server has no process and no port: an exiting process has no working directory any more."""
        wait_until(lambda: not self.servers() and not answers(self.server_port), "no server is left", within, proxy)

    def motd(self) -> str:
        """Return the description in the server list."""
        return text_of(self.status()["description"])

    def status(self) -> dict[str, object]:
        """Return the status reply."""
        return ask_status(self.port)

    def journal(self) -> JournalReport:
        """Return the report on the demo server's journal."""
        return verify_journal(self.world / "journal")

    def console(self) -> str:
        """Return the server's output since its start."""
        (output,) = self.state.glob("*/console.log")
        return output.read_text()

    def send_to_console(self, line: str) -> None:
        """Write a line to the server's console, without the proxy."""
        (fifo,) = self.state.glob("*/stdin")
        with fifo.open("w") as console:
            console.write(f"{line}\n")

    def close(self) -> None:
        """End all players, proxies and servers."""
        for player in self._players:
            player.leave()
        for program in self._programs:
            program.discard()
        for pid in self.servers():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.servers(), "the test's servers are gone")


class Player:
    """A player who joins at once, in a thread.

    :ivar began: when, by the monotonic clock.
    """

    def __init__(self, port: int, name: str, protocol: int = PROTOCOL) -> None:
        self.began = time.monotonic()
        self._client = LoginClient("localhost", port, protocol, name)
        self._login = self._client.request()
        self._connection = socket.create_connection(("127.0.0.1", port), DEADLINE)
        self._connection.settimeout(None)
        self._received = b""
        self._message: str | None = None
        self._changed = threading.Condition()
        self._closed_at: float | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def kick_message(self, within: float = DEADLINE) -> str:
        """Wait until the connection is closed; return the message of the kick."""
        self.is_closed(within)
        assert self._message is not None, f"closed without a message, after {self._received!r}"
        return self._message

    def is_greeted(self, within: float = DEADLINE) -> None:
        """Wait until the demo server has kicked the player with its greeting."""
        message = self.kick_message(within)
        assert "You have woken the zeroscale demo server" in message, message

    def is_joined(self, within: float = DEADLINE) -> None:
        """Wait until a demo server with --echo has sent back the login: the player has joined, and stays."""
        self._wait(lambda: self._received.startswith(self._login), "is in", within)

    def is_closed(self, within: float = DEADLINE) -> float:
        """Wait until the connection is closed; return when that was, in seconds of the monotonic clock."""
        self._wait(lambda: self._closed_at is not None, "is closed", within)
        assert self._closed_at is not None
        return self._closed_at

    @property
    def is_waiting(self) -> bool:
        """Whether nothing was received and the connection is open."""
        return self._closed_at is None and not self._received

    def send(self, data: bytes) -> None:
        """Send bytes to the server."""
        self._connection.sendall(data)

    def leave(self) -> None:
        """Disconnect."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(DEADLINE)

    def _wait(self, condition: Callable[[], bool], what: str, within: float) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, within), f"not within {within:g} s: the player {what}"

    def _read(self) -> None:
        try:
            self._connection.sendall(self._login)
            while data := self._connection.recv(65536):
                self._take(data)
        except OSError:
            pass
        with self._changed:
            self._closed_at = time.monotonic()
            self._changed.notify_all()
        self._connection.close()

    def _take(self, data: bytes) -> None:
        self._received += data
        if self._login.startswith(self._received[: len(self._login)]):
            with self._changed:  # an echo
                self._changed.notify_all()
            return
        for event in self._client.receive(data):
            match event:
                case Disconnected(reason=reason):
                    self._message = text_of(reason)
                case PluginRequested(answer=answer) | CookieRequested(answer=answer):
                    self._received = b""
                    self._connection.sendall(answer)


def ask_status(port: int) -> dict[str, object]:
    """Return the status reply on this port."""
    client = StatusClient("localhost", port, PROTOCOL)
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as connection:
        connection.sendall(client.request())
        while data := connection.recv(65536):
            for event in client.receive(data):
                if isinstance(event, StatusReceived):
                    return event.status
    raise AssertionError("no status")


def text_of(component: object) -> str:
    """Return a text component's text without its style."""
    match component:
        case str():
            return component
        case list():
            return "".join(map(text_of, component))
        case dict():
            return str(component.get("text", "")) + text_of(component.get("extra", []))
    raise AssertionError(f"no component: {json.dumps(component)}")


def state_of(pid: int) -> str:
    """Return a process's state, the letter of /proc/PID/stat: T is stopped by a signal."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def kill_proxy(program: Program) -> None:
    """Kill a zeroscale with SIGKILL, as the kernel does without memory."""
    program.process.kill()
    program.process.wait()


@contextmanager
def without_delay(within: float = AT_ONCE) -> Iterator[None]:
    """Assert that the block takes less than `within` seconds."""
    began = time.monotonic()
    yield
    seconds = time.monotonic() - began
    assert seconds < within, f"it took {seconds:.2f} s"
