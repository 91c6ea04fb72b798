"""A Minecraft server (Java Edition): vanilla, Paper, Fabric, Forge, NeoForge, or a command line of the user's own.

Nothing of the user's is edited: what does not fit is said, with the line that mends it.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from zeroscale.errors import PluginError
from zeroscale.minecraft.server_files import ServerFiles, read_properties
from zeroscale.plugins.base import ProcessServer
from zeroscale.plugins.minecraft.console import MinecraftConsole

DEFAULT_JAR = "server.jar"
START_SCRIPT = "run.sh"
JAVA_ARGUMENTS_FILE = "user_jvm_args.txt"
NAMED_AT_MOST = 10
LARGEST_SCRIPT = 64 * 1024
"""Bytes of a start script that are looked at; Forge's is under 1 KiB."""

PORT_OPTION = re.compile(r"(?:--port|--server-port)(?:=(.*))?")
SHORT_PORT_OPTION = re.compile(r"(?:-p|--port|--server-port)(?:=(.*))?")
"""Vanilla knows --port, CraftBukkit and its heirs the other two as well; but many other programs have a -p."""

FIRST_CLASS_FILE_VERSION = 44
"""Java N's class files are of version 44 + N (JVM specification, table 4.1-A)."""


class Server(ProcessServer):
    """A Minecraft server."""

    protocol = "minecraft"
    alone = True
    ready_line = r"Done \([0-9.,]+s\)!"  # docs/protocol.md, "The server's process"

    def __init__(
        self,
        *words: str,
        server_port: int,
        state_directory: str | Path,
        server_host: str = "127.0.0.1",
        working_directory: str | Path | None = None,
        jar: str | None = None,
        java: str | None = None,
        memory: str | None = None,
    ) -> None:
        """Starts nothing.

        Without `words` the server is `java -jar server.jar nogui --port SERVER_PORT`; where there is no server.jar, it
        is run.sh (Forge, NeoForge), else the only jar there is.

        :param words: the whole command line, program and arguments.
        :param server_port: the port that it is to listen on.
        :param state_directory: this server's own directory.
        :param server_host: where it is reached.
        :param working_directory: the server's directory, with its world and server.properties.
        :param jar: the jar to run, seen from the working directory.
        :param java: the Java to run it with.
        :param memory: the most heap it may use, such as 4G (Java's -Xmx). The least is left to Java: a heap that
            starts small is sooner awake.
        :raises PluginError: the values contradict each other or cannot be understood.
        """
        super().__init__(working_directory=working_directory, state_directory=state_directory)
        if words and (jar or java or memory):
            raise PluginError("a command of your own has its jar, java and memory in it: give only the command")
        if memory is not None and not re.fullmatch(r"[1-9][0-9]*[kKmMgGtT]?", memory):
            raise PluginError(f"memory={memory!r} is no size that Java knows: write 4G, or 4096M")
        self._console = MinecraftConsole(ServerFiles(self.working_directory), server_host, self._type)
        self._words = words
        self._port = server_port
        self._jar = jar
        self._java = java
        self._memory = memory

    def command(self) -> Sequence[str]:
        """The command line for what is in the working directory now.

        :raises PluginError: something is missing or does not fit, and what mends it.
        """
        if self._words:
            self._check_port_of(self._words)
            self._check_eula(self._words)
            return self._words
        jar = self._find_jar()
        self._check_java()
        self._check_eula(())
        arguments = ("nogui", "--port", str(self._port))
        if jar is None:
            return (*self._script(), *arguments)
        heap = (f"-Xmx{self._memory}",) if self._memory else ()
        return (self._java or "java", *heap, "-jar", jar, *arguments)

    async def ask_to_stop(self) -> None:
        """Says `stop`, on which it saves."""
        await self._console.stop(self._process.wait)

    async def send(self, line: str) -> str | None:
        """Gives it a command, by RCON where that is on, which answers; else it is typed into its console.

        :returns: its answer, where there is one.
        :raises PluginError: it does not take it now, or does not answer.
        """
        return await self._console.say(line)

    async def players(self) -> int | None:
        """How many are on, by RCON, or through its console where its status is off; None: it cannot say.

        :raises PluginError: it could before, has no status, and does not answer now.
        """
        return await self._console.players()

    def explain_end(self, exit_code: int | None) -> str | None:
        """The usual reasons why a new server does not start."""
        if self._process.ready is not None:
            return None
        if self._eula() is False:
            return self._eula_message()
        for line in self.last_lines:
            if too_old := re.search(r"UnsupportedClassVersionError.*class file version (\d+)", line):
                needed = int(too_old[1]) - FIRST_CLASS_FILE_VERSION
                return f"it needs Java {needed} or newer: install that, or name it with -a java=/path/to/bin/java"
            if "FAILED TO BIND TO PORT" in line:
                return (
                    f"it could not listen on port {self._port}: something else does, or server-ip in "
                    f"{self.working_directory / 'server.properties'} is no address of this machine"
                )
            if re.search(r"Could not reserve enough space|Invalid maximum heap size|insufficient memory", line):
                return f"Java did not get the memory it was told to take: {line.strip()}"
        return None

    def _type(self, line: str) -> None:
        self._process.send(line)

    def _line(self, line: str) -> None:
        self._console.heard(line)
        super()._line(line)

    # What is in the working directory.

    def _find_jar(self) -> str | None:
        """The jar to run, or None: run.sh is to be run."""
        directory = self.working_directory
        if self._jar is not None:
            if not (directory / self._jar).is_file():
                raise PluginError(f"there is no {directory / self._jar}{_instead(self._jars())}")
            return self._jar
        if (directory / DEFAULT_JAR).is_file():
            return DEFAULT_JAR
        if (directory / START_SCRIPT).is_file():
            return None
        jars = self._jars()
        if len(jars) == 1:
            return jars[0]
        if not jars:
            raise PluginError(
                f"there is no {DEFAULT_JAR} in {directory}: put the server there, or say with -w where it is"
            )
        raise PluginError(f"there is no {DEFAULT_JAR} in {directory}{_instead(jars)}")

    def _jars(self) -> list[str]:
        try:
            return sorted(path.name for path in self.working_directory.glob("*.jar") if path.is_file())
        except OSError:
            return []

    def _script(self) -> Sequence[str]:
        script = self.working_directory / START_SCRIPT
        if self._memory:
            raise PluginError(
                f"memory= is not for {script}: write the line -Xmx{self._memory} "
                f"into {self.working_directory / JAVA_ARGUMENTS_FILE}"
            )
        if self._java:
            raise PluginError(f"java= is not for {script}, which calls java itself: have the right one first in PATH")
        try:
            with script.open(encoding="utf-8", errors="replace") as file:
                text = file.read(LARGEST_SCRIPT)
        except OSError as error:
            raise PluginError(f"cannot read {script}: {error.strerror}") from None
        if not re.search(r"\$[@*]", text):  # then our --port would not reach the server
            self._check_port_in_properties()
        # Unpacked from an archive it may have lost its x.
        return [f"./{START_SCRIPT}"] if os.access(script, os.X_OK) else ["sh", START_SCRIPT]

    def _check_java(self) -> None:
        java = self._java or "java"
        found = shutil.which(java if "/" not in java else str(self.working_directory / java))
        if found is None and self._java:
            raise PluginError(f"java={java}: there is no such program")
        if found is None:
            raise PluginError(
                "there is no java in PATH: install a Java runtime (Debian: apt install default-jre-headless), "
                "or name it with -a java=/path/to/bin/java"
            )

    # Where it would listen.

    def _check_port_of(self, words: Sequence[str]) -> None:
        arguments = words[words.index("-jar") + 1 :] if "-jar" in words else words[1:]
        pattern = SHORT_PORT_OPTION if "-jar" in words else PORT_OPTION
        for word, following in pairwise([*arguments, ""]):
            option = pattern.fullmatch(word)
            if option is None:
                continue
            value = following if option[1] is None else option[1]
            if value != str(self._port):
                raise PluginError(
                    f"{shlex.join(words)}: says port {value}, and zeroscale was told that the server listens on "
                    f"{self._port}: make them the same"
                )
            return
        self._check_port_in_properties()

    def _check_port_in_properties(self) -> None:
        path = self.working_directory / "server.properties"
        if not path.is_file():
            return  # the server writes one, or has no use for it
        port = read_properties(path).get("server-port")
        if port is None and self._port != 25565:
            raise PluginError(f"{path} has no server-port, which means 25565: add the line server-port={self._port}")
        if port is not None and port.strip() != str(self._port):
            raise PluginError(
                f"line {_line_of(path, 'server-port')} of {path}: server-port={port} must be {self._port}"
            )

    # Whether it may run.

    def _eula(self) -> bool | None:
        path = self.working_directory / "eula.txt"
        if not path.is_file():
            return None
        return read_properties(path).get("eula", "false").strip().lower() == "true"

    def _check_eula(self, words: Sequence[str]) -> None:
        agreed = any("com.mojang.eula.agree=true" in word for word in words)
        if not agreed and self._eula() is False:
            raise PluginError(self._eula_message())

    def _eula_message(self) -> str:
        path = self.working_directory / "eula.txt"
        line = _line_of(path, "eula")
        where = f"line {line} of {path}: eula=false must be eula=true" if line else f"{path} needs the line eula=true"
        return f"the Minecraft EULA has not been accepted: {where}"


def _instead(jars: Sequence[str]) -> str:
    if not jars:
        return ", nor any other jar"
    named = ", ".join(jars[:NAMED_AT_MOST]) + (", ..." if len(jars) > NAMED_AT_MOST else "")
    return f"; say which it is, as with -a jar={shlex.quote(jars[0])} (there is {named})"


def _line_of(path: Path, key: str) -> int | None:
    """The number of the line that sets `key`: the last one, since that is the one that counts."""
    number = None
    try:
        with path.open(encoding="latin-1") as file:
            for count, line in enumerate(file, start=1):
                if re.match(rf"\s*{re.escape(key)}\s*[=:\s]", line):
                    number = count
    except OSError:
        return None
    return number
