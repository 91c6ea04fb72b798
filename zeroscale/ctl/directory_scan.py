"""Examine the directory of a Minecraft server, and the memory of the machine. Nothing is written."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from msgspec import Struct

from zeroscale.errors import ConfigError
from zeroscale.minecraft.server_choice import ServerChoice, choose_server
from zeroscale.minecraft.server_files import ServerFiles, read_script
from zeroscale.minecraft.start_script import read_start_script

DEFAULT_PORT = 25565
CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Files with the memory limit of a container (cgroup v2 and v1)."""


class DirectoryScan(Struct, frozen=True, kw_only=True):
    """What is in the directory.

    :ivar directory: absolute.
    :ivar choice: the jar or the script to run, and what else is there; nothing where `command` is given.
    :ivar jar_given: the jar was asked for.
    :ivar command: the command that was asked for; empty: none was.
    :ivar passes_arguments: what is run passes arguments on to the server.
    :ivar script_heap: the option for the largest heap that the script sets.
    :ivar port: the port in server.properties.
    :ivar host: the address in server.properties; None: all addresses.
    :ivar eula: whether the EULA is accepted; None: there is no eula.txt.
    :ivar rcon_port: None: RCON is off.
    :ivar query_port: None: the query protocol is off.
    :ivar whitelist: the whitelist is on.
    :ivar status: the server answers status requests.
    :ivar motd: the MOTD in server.properties.
    :ivar memory: bytes of memory of the machine or container; None: not known.
    """

    directory: Path
    choice: ServerChoice
    jar_given: bool = False
    command: tuple[str, ...] = ()
    passes_arguments: bool = True
    script_heap: str | None = None
    port: int = DEFAULT_PORT
    host: str | None = None
    eula: bool | None = None
    rcon_port: int | None = None
    query_port: int | None = None
    whitelist: bool = False
    status: bool = True
    motd: str | None = None
    memory: int | None = None


def scan_directory(directory: Path, *, jar: str | None = None, command: tuple[str, ...] = ()) -> DirectoryScan:
    """Examine a directory.

    :param jar: the jar to run, relative to the directory; None: it is chosen as the plugin chooses it.
    :param command: what is run instead; empty: a jar or a script.
    :raises ConfigError: there is no Minecraft server in it, or several to choose from.
    """
    directory = directory.absolute()
    if not directory.is_dir():
        raise ConfigError(f"there is no directory {directory}")
    choice = ServerChoice() if command else choose_server(directory, jar)
    if choice.refusal is not None:
        raise ConfigError(choice.refusal)
    files = ServerFiles(directory)
    properties = files.properties
    try:
        script = None if choice.script is None else read_start_script(directory / choice.script)
    except OSError as error:
        raise ConfigError(f"cannot read {directory / str(choice.script)}: {error.strerror}") from None
    heap = script.heap() if script else None
    return DirectoryScan(
        directory=directory,
        choice=choice,
        jar_given=jar is not None,
        command=command,
        passes_arguments=script.passes_arguments if script else not command,
        script_heap=heap[1] if heap else None,
        port=files.server_port or DEFAULT_PORT,
        host=properties.get("server-ip", "").strip() or None,
        eula=files.eula_accepted,
        rcon_port=files.rcon_port if files.enable_rcon else None,
        query_port=_port(properties.get("query.port", "")) if _on(properties.get("enable-query")) else None,
        whitelist=_on(properties.get("white-list")),
        status=files.enable_status,
        motd=files.motd,
        memory=memory_of_machine(),
    )


def memory_of_machine(limits: tuple[Path, ...] = CGROUP_LIMITS) -> int | None:
    """Return the bytes of memory that may be used; None if not known.

    :param limits: files with the memory limit of the container.
    """
    found = []
    with contextlib.suppress(OSError, ValueError):  # a system without these values
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for path in limits:
        text = _text(path).strip()
        if text.isascii() and text.isdecimal():
            found.append(int(text))
    return min(found) if found else None


def _text(path: Path) -> str:
    try:
        return read_script(path)
    except OSError:
        return ""


def _on(value: str | None) -> bool:
    return value is not None and value.strip().lower() == "true"


def _port(text: str) -> int:
    return int(text) if re.fullmatch("[0-9]{1,5}", text.strip()) else DEFAULT_PORT
