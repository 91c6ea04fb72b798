"""Plugin demo: a small Minecraft server of our own, to try zeroscale without Java: `zeroscale demo 25565 25575`.

The server itself is `zeroscale.plugins.demo.program`, which runs as a child process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from zeroscale.plugins.base import ProcessServer
from zeroscale.plugins.support import arguments
from zeroscale.process.environment import ChildEnvironment


class Server(ProcessServer):
    """The demo server."""

    protocol = "minecraft"
    exclusive = True
    ready_line = arguments.MINECRAFT_READY

    def __init__(
        self,
        *,
        server_port: int,
        state_directory: str | Path,
        server_host: str = "127.0.0.1",
        working_directory: str | Path | None = None,
        environment: ChildEnvironment | None = None,
        start_seconds: str | float = 4.0,
        switches: str = "",
    ) -> None:
        """Read the arguments.

        :param server_port: the port on which the server listens.
        :param state_directory: this server's own directory.
        :param server_host: the address on which the server listens.
        :param working_directory: the directory in which the server runs.
        :param environment: the configured environment of what is started here; None: that of zeroscale.
        :param start_seconds: how long a start takes.
        :param switches: further arguments for `python -m zeroscale.plugins.demo.program`, split as a shell would.
        :raises PluginError: a value is invalid.
        """
        with arguments.collect_mistakes() as mistakes:
            seconds = mistakes.read(arguments.seconds, "start_seconds", start_seconds, least=0, most=3600)
            words = mistakes.read(arguments.words, "switches", switches) if switches else ()
        super().__init__(working_directory=working_directory, state_directory=state_directory, environment=environment)
        self._arguments = ["--host", server_host, "--port", str(server_port), "--start-seconds", str(seconds), *words]

    def command(self) -> Sequence[str]:
        """Return the command line of the demo server. `-P` keeps Python from importing from the working directory."""
        return [sys.executable, "-P", "-m", "zeroscale.plugins.demo.program", *self._arguments]

    def environment(self) -> Mapping[str, str]:
        """Return a PYTHONPATH on which the child finds this package, even if that is in a checkout."""
        package = str(Path(__file__).parents[2])
        inherited = os.environ.get("PYTHONPATH")
        return {"PYTHONPATH": f"{package}{os.pathsep}{inherited}" if inherited else package}

    async def request_stop(self) -> None:
        """Write `stop` to the console."""
        await self.send("stop")
