"""A whole zeroscale in front of the demo server, players on blocking sockets, and what the kernel knows of all this.

Everything is waited for with a deadline, and judged from outside: by what players see, by the log, by the processes
there are, and by the demo server's journal, in which a cut save or a second server at work cannot hide.
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
from collections.abc import Callable, Iterator
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
"""1.21: a client that can be held for as long as one likes."""

AT_ONCE = 3.0
"""Seconds within which a player hears what has happened: no time-out of ours is as short, a busy machine as slow."""


class Scene:
    """One world, and the zeroscales that run its server one after the other.

    :ivar world: the server's working directory, in which nothing else runs.
    :ivar state: the state directory.
    :ivar port: where players connect.
    :ivar server_port: where the real server listens.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.world = directory / "world"
        self.elsewhere = directory / "elsewhere"
        self.state = directory / "state"
        self.port = free_port()
        self.server_port = free_port()
        self._programs: list[Program] = []
        self._players: list[Player] = []
        for made in (self.world, self.elsewhere):
            made.mkdir()

    def run(self, plugin: str, *options: str, state: Path | None = None, listens: bool = True) -> Program:
        """Starts a zeroscale, and waits until it listens."""
        where = ["-w", str(self.world), "--state_directory", str(state or self.state)]
        command = [sys.executable, "-W", "default", "-m", "zeroscale", *where, "--debug", *options]
        program = Program([*command, plugin, str(self.port), str(self.server_port)], self.elsewhere)
        self._programs.append(program)
        if listens:
            program.wait_for(r"Listening on \('0\.0\.0\.0'")
        return program

    def configured(self, file: Path) -> Program:
        """Starts a zeroscale as a configuration file says, and waits until it listens."""
        program = Program(
            [sys.executable, "-W", "default", "-m", "zeroscale", "--debug", "--config", str(file)], self.elsewhere
        )
        self._programs.append(program)
        program.wait_for(r"Listening on \('0\.0\.0\.0'")
        return program

    def demo(
        self,
        *options: str,
        switches: str = "",
        start: float = 0.0,
        idle: float = 60,
        state: Path | None = None,
        listens: bool = True,
    ) -> Program:
        """Starts a zeroscale in front of the demo server, which keeps a journal."""
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

    def small(
        self, *options: str, start: float = 0.0, stop: float = 0.0, idle: float = 60, through: str = "exec {}"
    ) -> Program:
        """Starts a zeroscale in front of `small_server.py`, which is run by a shell.

        :param start: how many seconds it takes to start.
        :param stop: how many seconds it takes to stop, with its port closed.
        :param through: the shell's line, around the server's command.
        """
        program = Path(__file__).with_name("small_server.py")
        words = [sys.executable, "-S", "-E", str(program), str(self.server_port), str(self.record)]
        words += ["--start", f"{start}", "--stop", f"{stop}"]
        line = through.format(shlex.join(words))
        return self.run("minecraft", "-t", f"{idle:g}", *options, "-a", "sh", "-a", "-c", "-a", line)

    @property
    def record(self) -> Path:
        """Where the small server writes down what happens."""
        return self.directory / "record"

    def moments(self, event: str) -> list[float]:
        """When that happened in the small server, by the monotonic clock."""
        if not self.record.exists():
            return []
        lines = [json.loads(line) for line in self.record.read_text().splitlines()]
        return [line["at"] for line in lines if line["event"] == event]

    def player(self, name: str = "Steve") -> Player:
        """Lets somebody join, from a thread."""
        player = Player(self.port, name)
        self._players.append(player)
        return player

    def servers(self) -> set[int]:
        """The server's processes."""
        return processes_in(self.world)

    def server(self) -> int:
        """The server's only process."""
        (found,) = self.servers()
        return found

    def server_is_gone(self, proxy: Program | None = None, within: float = DEADLINE) -> None:
        """Waits until no process of the server is left, nor its port: one just ending has no directory any more."""
        wait_until(lambda: not self.servers() and not answers(self.server_port), "no server is left", within, proxy)

    def motd(self) -> str:
        """What the server list shows."""
        return text_of(self.status()["description"])

    def status(self) -> dict[str, object]:
        """What the server list is told."""
        return ask_status(self.port)

    def journal(self) -> JournalReport:
        """What the world tells."""
        return verify_journal(self.world / "journal")

    def console(self) -> str:
        """What the server has said since its start."""
        (output,) = self.state.glob("*/console.log")
        return output.read_text()

    def type(self, line: str) -> None:
        """Types a line into the server's console, past the proxy."""
        (fifo,) = self.state.glob("*/stdin")
        with fifo.open("w") as console:
            console.write(f"{line}\n")

    def close(self) -> None:
        """Leaves nothing behind."""
        for player in self._players:
            player.leave()
        for program in self._programs:
            program.discard()
        for pid in self.servers():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.servers(), "the test's servers are gone")


class Player:
    """One player, who joins at once, in a thread.

    :ivar began: when, by the monotonic clock.
    """

    def __init__(self, port: int, name: str) -> None:
        self.began = time.monotonic()
        self._client = LoginClient("localhost", port, PROTOCOL, name)
        self._login = self._client.request()
        self._connection = socket.create_connection(("127.0.0.1", port), DEADLINE)
        self._connection.settimeout(None)
        self._kept = b""
        self._words: str | None = None
        self._changed = threading.Condition()
        self._closed_at: float | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def is_told(self, within: float = DEADLINE) -> str:
        """Waits until it has been told to leave, and the connection is closed; returns what it read."""
        self.is_closed(within)
        assert self._words is not None, f"closed without a word, after {self._kept!r}"
        return self._words

    def is_greeted(self, within: float = DEADLINE) -> None:
        """Waits until the demo server has greeted it."""
        words = self.is_told(within)
        assert "You have woken the zeroscale demo server" in words, words

    def is_in(self, within: float = DEADLINE) -> None:
        """Waits until a demo server that echoes has sent back the login: the player is in, and stays."""
        self._wait(lambda: self._kept.startswith(self._login), "is in", within)

    def is_closed(self, within: float = DEADLINE) -> float:
        """Waits until the connection is closed; returns when it was, by the monotonic clock."""
        self._wait(lambda: self._closed_at is not None, "is closed", within)
        assert self._closed_at is not None
        return self._closed_at

    @property
    def waits(self) -> bool:
        """Whether it has neither been let in nor closed."""
        return self._closed_at is None and not self._kept

    def leave(self) -> None:
        """Disconnects."""
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
        self._kept += data
        if self._login.startswith(self._kept[: len(self._login)]):
            with self._changed:  # an echo, which is no conversation
                self._changed.notify_all()
            return
        for event in self._client.receive(data):
            match event:
                case Disconnected(reason=reason):
                    self._words = text_of(reason)
                case PluginRequested(answer=answer) | CookieRequested(answer=answer):
                    self._kept = b""
                    self._connection.sendall(answer)


def ask_status(port: int) -> dict[str, object]:
    """What the server list is told on this port."""
    client = StatusClient("localhost", port, PROTOCOL)
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as connection:
        connection.sendall(client.request())
        while data := connection.recv(65536):
            for event in client.receive(data):
                if isinstance(event, StatusReceived):
                    return event.status
    raise AssertionError("no status")


def text_of(component: object) -> str:
    """A component's text, without its looks."""
    match component:
        case str():
            return component
        case list():
            return "".join(map(text_of, component))
        case dict():
            return str(component.get("text", "")) + text_of(component.get("extra", []))
    raise AssertionError(f"no component: {json.dumps(component)}")


def state_of(pid: int) -> str:
    """A process's state, as the letter of /proc/PID/stat: T is stopped by a signal."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def kill(program: Program) -> None:
    """Kills a zeroscale, as the kernel does when there is no memory left."""
    program.process.kill()
    program.process.wait()


@contextmanager
def at_once(what: str, within: float = AT_ONCE) -> Iterator[None]:
    """Holds that what is done in here takes no time worth speaking of."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert took < within, f"{what} took {took:.2f} s"
