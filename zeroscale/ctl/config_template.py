"""Make the first configuration file of a Minecraft server, as commented TOML, from a directory scan. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from zeroscale.ctl.directory_scan import DEFAULT_PORT, DirectoryScan
from zeroscale.minecraft.server_choice import DEFAULT_JAR

GIB = 1024**3
MIB = 1024**2
MOST_MEMORY = 8 * GIB
"""Bytes: a larger heap seldom helps a server, and its garbage collection takes longer."""

OTHER_JARS = 5
"""The most other jars that a comment names."""

TEMPLATE = """\
{head}
# The page "The configuration file" of zeroscale's documentation describes every key. Durations are seconds,
# or such as "15m".

# State is kept in /var/lib/zeroscale as root, else in ~/.local/state/zeroscale, or here:
# state_directory = "/var/lib/zeroscale"

[servers.{name}]
plugin = "minecraft"
working_directory = {working_directory}

# The port that players connect to. zeroscale listens on it.
listen = {listen}

# Where the real server listens.
{port_comment}
server = {server}

# Stop the server after this long with no players.
idle_shutdown = "15m"

# Several servers can share a port; players then connect each by a name of its own.
# hosts = ["survival.example.org"]

# "hold": players joining a sleeping server wait in the login screen; "kick" asks them to join again later.
# join = "hold"

[servers.{name}.plugin_arguments]
{plugin_arguments}
# Or your own command, instead of the keys above:
# command = ["./start.sh", "--nogui"]

[servers.{name}.texts]
# What the server list shows while it sleeps, below the first line of the server's MOTD,
# {motd}
# sleeping = "&3zZz &7Asleep. &fJoin to wake it[&7 ({{estimate}})]"

[servers.{name}.admission]
# The players that may wake the server, besides its operators: "anyone", "known" (they have joined before),
# "whitelist", "ops" or "nobody". Banned players never wake it.
{whitelist_comment}wake = "anyone"
"""

OF_INIT = """\
# zeroscale's configuration, made by 'zeroscalectl init'. Run it with
#     zeroscale --config {file} --info
# and look for mistakes, after a change, with
#     zeroscalectl check {file}"""

OF_SERVICE = """\
# The configuration of the service zeroscale, made by 'zeroscalectl systemd install'. After a change, look for mistakes
# with
#     zeroscalectl check {file}
# and let the service read it again with
#     systemctl reload zeroscale"""


def file_text(found: DirectoryScan, working_directory: str, head: str) -> str:
    """Return the text of the file.

    :param working_directory: the value to write: the server's directory, relative to the file.
    :param head: the comment at its beginning: what the file is for.
    """
    host, port = found.host or "127.0.0.1", server_port(found)
    return TEMPLATE.format(
        head=head,
        name=server_name(found.directory),
        working_directory=quoted(working_directory),
        listen=DEFAULT_PORT,
        port_comment="\n".join(f"# {line}" for line in _port_comment(found)),
        server=quoted(f"[{host}]:{port}" if ":" in host else f"{host}:{port}"),
        plugin_arguments="\n".join(_plugin_arguments(found)),
        motd=quoted("A Minecraft Server" if found.motd is None else found.motd),
        whitelist_comment=(
            "# The server's whitelist is on: only players on it wake the server, whatever is set here.\n"
            if found.whitelist
            else ""
        ),
    )


def manual_steps(found: DirectoryScan) -> Iterator[str]:
    """Return what the operator must do, since zeroscale does not change the server's own files."""
    if not found.eula:
        needed = "" if found.eula is False or found.choice.needs_eula else " (releases since 1.7.10 ask for it)"
        yield f"accept Minecraft's EULA{needed}: eula=true in {found.directory / 'eula.txt'}"
    if found.port == DEFAULT_PORT and not found.passes_arguments:
        properties = found.directory / "server.properties"
        yield f"move the server to another port: server-port={server_port(found)} in {properties}"


def notes(found: DirectoryScan) -> Iterator[str]:
    """Return what the operator may not expect."""
    choice = found.choice
    for script in choice.other_scripts:
        yield f"{choice.script or choice.jar} is run, and {script} is not; the file says how to change that"
    if choice.script is not None and choice.other_jars:
        yield f"{choice.script} is run, and not a jar; jar = {quoted(choice.other_jars[0])} in the file changes that"


def server_port(found: DirectoryScan) -> int:
    """Return the port for the real server: not the game's own port, where zeroscale listens."""
    if found.port != DEFAULT_PORT:
        return found.port
    taken = (found.rcon_port, found.query_port)
    return next(port for port in range(DEFAULT_PORT + 10, DEFAULT_PORT + 20) if port not in taken)


def server_name(directory: Path) -> str:
    """Return a name for the server, made from the name of its directory."""
    return re.sub("[^A-Za-z0-9_-]+", "-", directory.name).strip("-")[:50] or "minecraft"


def heap(memory: int | None) -> str:
    """Return the heap size, as in -Xmx: half of the memory, within bounds.

    :param memory: bytes of the machine or container; None: not known.
    """
    size = min((4 * GIB if memory is None else memory) // 2, MOST_MEMORY)
    if size >= GIB:
        return f"{size // GIB}G"
    return f"{max(size // MIB // 128 * 128, 256)}M"


def quoted(text: str) -> str:
    """Return a text as a TOML string on one line."""
    return re.sub("[\x7f-\x9f\u2028\u2029\ud800-\udfff]", _escape, json.dumps(text, ensure_ascii=False))


def _escape(letter: re.Match[str]) -> str:
    return "?" if "\ud800" <= letter[0] <= "\udfff" else f"\\u{ord(letter[0]):04x}"  # TOML has no lone surrogates


def _port_comment(found: DirectoryScan) -> Iterator[str]:
    port = server_port(found)
    if found.port != DEFAULT_PORT:
        yield f"server.properties says server-port={found.port}."
    else:
        yield f"It must move from port {DEFAULT_PORT}, where zeroscale listens, to port {port}."
        if found.passes_arguments:
            yield "zeroscale starts it with --port; you need not change server.properties."
        else:
            what = "your own command gets no --port" if found.command else f"{found.choice.script} passes no --port on"
            yield f"{what}: YOU must set in server.properties:"
            yield f"    server-port={port}"
    if found.rcon_port is not None:
        yield f"RCON on port {found.rcon_port} is used to list the players and to stop the server."
    if found.query_port is not None:
        yield f"The query protocol on UDP port {found.query_port} is answered only while the server runs."
    if not found.status:
        yield "It does not answer status requests (enable-status=false); it is asked by RCON or on its console."


def _plugin_arguments(found: DirectoryScan) -> Iterator[str]:
    if found.command:
        yield f"command = [{', '.join(map(quoted, found.command))}]"
        return
    choice = found.choice
    if choice.jar is not None and (found.jar_given or choice.jar != DEFAULT_JAR):
        yield f"jar = {quoted(choice.jar)}"
    if choice.script is not None:
        yield f"# {choice.script} is run."
    if others := choice.other_jars:
        named = ", ".join(quoted(other) for other in others[:OTHER_JARS])
        yield f"# There is also {named}{', ...' if others[OTHER_JARS:] else ''}."
    for script in choice.other_scripts:
        yield f'# There is also {script}, which is not run; command = ["./{script}"] runs it instead of the keys here.'
    if found.script_heap is not None:
        yield f"# It sets the most memory that Java may use itself: {found.script_heap}"
        return
    here = f"; there are {found.memory / GIB:.1f} GiB here" if found.memory is not None else ""
    yield f"# The most memory that Java may use for the world (-Xmx){here}."
    memory = f'memory = "{heap(found.memory)}"'
    if choice.script is not None:
        yield f"# Best set -Xmx where {choice.script} starts Java. This is for scripts that start Java 9 or newer:"
        yield f"# {memory}"
        return
    yield memory
    yield "# Which Java runs it, if not the first one in PATH."
    yield '# java = "/usr/lib/jvm/java-21/bin/java"'
