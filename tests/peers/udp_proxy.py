"""A zeroscale with a UDP port, and one server."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peers.harness import ROOT
from peers.programs import Program, processes_in, wait_until
from ports import free_port


class UdpProxy(Program):
    """A zeroscale with one server.

    :param command: of the server; `{port}` is where it has to listen.
    :param listen: the main port.
    :param more: more lines of the server's table.
    """

    def __init__(self, directory: Path, command: Sequence[str], more: str, *, listen: str = "udp:{port}") -> None:
        self.directory = directory
        self.port, self.server_port = free_port(), free_port()
        self.socket = directory / "control.sock"
        work = directory / "server"
        work.mkdir(exist_ok=True)
        words = [word.format(port=self.server_port) for word in command]
        file = directory / "zeroscale.toml"
        file.write_text(
            f"""
state_directory = "{directory}/state"
control.listen = "unix:{self.socket}"

[servers.game]
plugin = "generic"
plugin_arguments.command = {json.dumps(words)}
listen = "{listen.format(port=self.port)}"
server = {self.server_port}
working_directory = "{work}"
idle_shutdown = "2s"
{more.format(port=self.port, server_port=self.server_port)}
"""
        )
        super().__init__([sys.executable, "-m", "zeroscale", "--config", str(file), "--debug"], ROOT)
        self.wait_for("Ready: ")

    def is_asleep(self) -> bool:
        """Whether the server has no process."""
        return not processes_in(self.directory / "server")

    def wait_until_asleep(self) -> None:
        """Wait until it has none."""
        wait_until(self.is_asleep, "the server is gone", program=self)

    def console(self) -> str:
        """The server's output in its last run."""
        path = self.directory / "state" / "game" / "console.log"
        return path.read_text() if path.exists() else ""

    def wakes(self) -> int:
        """How often it was started."""
        return sum(": starting: " in line for line in self.lines)

    def status(self) -> Any:
        """What `zeroscalectl status --json` says of it."""
        command = [sys.executable, "-m", "zeroscale.ctl.main", "--socket", str(self.socket), "status", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return json.loads(done.stdout)["servers"][0]

    def end(self) -> None:
        """End it as an operator does."""
        assert self.terminate() == 0, self.text()
        assert self.is_asleep()
        assert not re.search("Traceback|Unhandled|never awaited|never retrieved", self.text()), self.text()

    def discard(self) -> None:
        """Also end what a test that failed left behind it."""
        left = processes_in(self.directory / "server")
        super().discard()
        for pid in left:
            subprocess.run(["kill", "-KILL", str(pid)], check=False)
