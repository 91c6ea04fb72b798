"""Send a line to the console of a server in a container: to its stdin, or through a command inside the container."""

from __future__ import annotations

import shlex

from aiodocker import Docker

from zeroscale.errors import PluginError
from zeroscale.plugins.docker.engine import Engine

LARGEST_OUTPUT = 8192
"""Bytes of a command's output that are kept, from its end."""


async def execute(engine: Engine, container: str, command: list[str]) -> list[str]:
    """Run a command in a container; return the lines of its output.

    :raises PluginError: it could not be run, or it failed.
    """

    async def run(client: Docker) -> tuple[int | None, str]:
        execution = await client.containers.container(container).exec(command)
        output = b""
        async with execution.start(detach=False) as stream:
            while (message := await stream.read_out()) is not None:
                output = (output + message.data)[-LARGEST_OUTPUT:]
        return (await execution.inspect()).get("ExitCode"), output.decode(errors="replace")

    exit_code, output = await engine.request(f"POST /containers/{container}/exec", run)
    if exit_code:
        raise PluginError(f"{shlex.join(command)} ended with {exit_code}: {' '.join(output.split())[:300]}")
    return output.splitlines()


async def write_stdin(engine: Engine, container: str, line: str) -> None:
    """Write a line to a container's stdin.

    :raises PluginError: it could not be written.
    """

    async def write(client: Docker) -> None:
        async with client.containers.container(container).attach(stdin=True) as stream:
            await stream.write_in(line.encode() + b"\n")

    await engine.request(f"POST /containers/{container}/attach", write)
