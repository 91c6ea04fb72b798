"""A line for the console of a server in a container: by its stdin, or by a command that takes lines."""

from __future__ import annotations

import shlex

from aiodocker import Docker

from zeroscale.errors import PluginError
from zeroscale.plugins.docker.engine import Engine

MOST_SAID = 8192
"""Bytes of what a console command says, from its end."""


async def execute(engine: Engine, container: str, command: list[str]) -> list[str]:
    """Runs a command in a container; returns the lines it has said.

    :raises PluginError: it could not be run, or it failed.
    """

    async def run(client: Docker) -> tuple[int | None, str]:
        execution = await client.containers.container(container).exec(command)
        said = b""
        async with execution.start(detach=False) as stream:
            while (message := await stream.read_out()) is not None:
                said = (said + message.data)[-MOST_SAID:]
        return (await execution.inspect()).get("ExitCode"), said.decode(errors="replace")

    exit_code, said = await engine.ask(run)
    if exit_code:
        raise PluginError(f"{shlex.join(command)} ended with {exit_code}: {' '.join(said.split())[:300]}")
    return said.splitlines()


async def type_line(engine: Engine, container: str, line: str) -> None:
    """Types a line into a container's stdin.

    :raises PluginError: it could not be.
    """

    async def write(client: Docker) -> None:
        async with client.containers.container(container).attach(stdin=True) as stream:
            await stream.write_in(line.encode() + b"\n")

    await engine.ask(write)
