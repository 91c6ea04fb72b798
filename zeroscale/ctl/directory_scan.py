"""Examine the directory of a Minecraft server, and the memory of the machine. Nothing is written."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from zeroscale.errors import ConfigError
from zeroscale.minecraft.server_files import ServerFiles, read_script

DEFAULT_PORT = 25565
DEFAULT_JAR = "server.jar"
START_SCRIPT = "run.sh"
JAVA_ARGUMENTS_FILE = "user_jvm_args.txt"
CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Files with the memory limit of a container (cgroup v2 and v1)."""

SERVER_JARS = re.compile(
    r"paper|purpur|pufferfish|folia|spigot|bukkit|fabric|quilt|neoforge|forge|server|minecraft", re.I
)
NO_SERVERS = re.compile(r"installer|client|sources|javadoc", re.I)


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryScan:
    """What is in the directory.

    :ivar directory: absolute.
    :ivar jars: all jars, the one to run first; empty where run.sh is run.
    :ivar script: run.sh is run.
    :ivar script_passes_arguments: run.sh passes its arguments on to the server.
    :ivar java_memory: the -Xmx of run.sh's user_jvm_args.txt.
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
    jars: tuple[str, ...] = (DEFAULT_JAR,)
    script: bool = False
    script_passes_arguments: bool = True
    java_memory: str | None = None
    port: int = DEFAULT_PORT
    host: str | None = None
    eula: bool | None = None
    rcon_port: int | None = None
    query_port: int | None = None
    whitelist: bool = False
    status: bool = True
    motd: str | None = None
    memory: int | None = None


def scan_directory(directory: Path) -> DirectoryScan:
    """Examine a directory.

    :raises ConfigError: there is no Minecraft server in it.
    """
    directory = directory.absolute()
    if not directory.is_dir():
        raise ConfigError(f"there is no directory {directory}")
    jars = _jars(directory)
    script = DEFAULT_JAR not in jars and (directory / START_SCRIPT).is_file()
    if not jars and not script:
        raise ConfigError(f"there is no Minecraft server in {directory}: neither a jar nor {START_SCRIPT}")
    files = ServerFiles(directory)
    properties = files.properties
    memory = re.findall(r"^\s*-Xmx([0-9]+[kKmMgGtT]?)\s*$", _text(directory / JAVA_ARGUMENTS_FILE), re.MULTILINE)
    return DirectoryScan(
        directory=directory,
        jars=() if script else jars,
        script=script,
        script_passes_arguments=not script or re.search(r"\$[@*]", _text(directory / START_SCRIPT)) is not None,
        java_memory=memory[-1] if memory else None,
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


def _jars(directory: Path) -> tuple[str, ...]:
    """Return the names of the jars, the one that is most likely the server first."""
    names = sorted((path.name for path in directory.glob("*.jar") if path.is_file()), reverse=True)
    return tuple(sorted(names, key=_rank))


def _rank(jar: str) -> int:
    if jar == DEFAULT_JAR:
        return 0
    if NO_SERVERS.search(jar):
        return 3
    return 1 if SERVER_JARS.search(jar) else 2


def _text(path: Path) -> str:
    try:
        return read_script(path)
    except OSError:
        return ""


def _on(value: str | None) -> bool:
    return value is not None and value.strip().lower() == "true"


def _port(text: str) -> int:
    return int(text) if re.fullmatch("[0-9]{1,5}", text.strip()) else DEFAULT_PORT
