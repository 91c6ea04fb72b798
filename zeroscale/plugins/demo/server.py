"""A small Minecraft server of our own, so that the whole job can be seen without Java: `zeroscale demo 25565 25575`.

The server itself is `demo_server`, in a process of its own.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from zeroscale.errors import PluginError
from zeroscale.plugins.base import ProcessServer


class Server(ProcessServer):
    """The demo server."""

    protocol = "minecraft"
    alone = True
    ready_line = r"Done \([0-9.,]+s\)!"

    def __init__(
        self,
        *,
        server_port: int,
        state_directory: str | Path,
        server_host: str = "127.0.0.1",
        working_directory: str | Path | None = None,
        start_seconds: str | float = 4.0,
        switches: str = "",
    ) -> None:
        """Starts nothing.

        :param server_port: where it listens.
        :param state_directory: this server's own directory.
        :param server_host: on which address it listens.
        :param working_directory: where it runs.
        :param start_seconds: how long it takes to start.
        :param switches: further arguments of `python -m zeroscale.plugins.demo.program`, split as a shell would.
        :raises PluginError: one of the values cannot be understood.
        """
        try:
            seconds = float(start_seconds)
        except ValueError:
            raise PluginError(f"start_seconds={start_seconds!r} is no number") from None
        if not 0 <= seconds <= 3600:
            raise PluginError(f"start_seconds={start_seconds} is not from 0 to 3600")
        try:
            further = shlex.split(switches)
        except ValueError as error:
            raise PluginError(f"switches={switches!r} cannot be split into words: {error}") from None
        super().__init__(working_directory=working_directory, state_directory=state_directory)
        self._arguments = ["--host", server_host, "--port", str(server_port), "--start-seconds", str(seconds), *further]

    def command(self) -> Sequence[str]:
        """This Python, with the demo server; -P, so that no file of the working directory is taken for a module."""
        return [sys.executable, "-P", "-m", "zeroscale.plugins.demo.program", *self._arguments]

    def environment(self) -> Mapping[str, str]:
        """Where the child finds this very package, also when it runs from a checkout."""
        package = str(Path(__file__).parents[2])
        inherited = os.environ.get("PYTHONPATH")
        return {"PYTHONPATH": f"{package}{os.pathsep}{inherited}" if inherited else package}

    async def ask_to_stop(self) -> None:
        """Types `stop`, as one does with a Minecraft server."""
        self.send("stop")
