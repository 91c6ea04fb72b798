"""Plugin minecraft: a Minecraft server (Java Edition), such as vanilla, Paper, Fabric, Forge or NeoForge.

It edits no file of the user's. Where a file does not fit, the error message has the line to write.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
import signal
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from zeroscale.errors import PluginError
from zeroscale.minecraft.server_files import (
    ServerFiles,
    line_of,
    read_properties,
    read_script,
    session_lock_holder,
)
from zeroscale.plugins.base import ProcessServer
from zeroscale.plugins.minecraft.console import MinecraftConsole
from zeroscale.plugins.minecraft.stop_method import DEFAULT_COMMAND, parse_stop
from zeroscale.plugins.support import arguments
from zeroscale.process.environment import ChildEnvironment

logger = logging.getLogger(__name__)

DEFAULT_JAR = "server.jar"
START_SCRIPT = "run.sh"
JAVA_ARGUMENTS_FILE = "user_jvm_args.txt"
NAMED_AT_MOST = 10
PORT_OPTION = re.compile(r"(?:--port|--server-port)(?:=(.*))?")
SHORT_PORT_OPTION = re.compile(r"(?:-p|--port|--server-port)(?:=(.*))?")
"""Vanilla has --port; CraftBukkit and its successors have the other two, too. Many other programs have a -p."""

FIRST_CLASS_FILE_VERSION = 44
"""Class files of Java N have version 44 + N (JVM specification, table 4.1-A)."""


class Server(ProcessServer):
    """A Minecraft server as a child process."""

    protocol = "minecraft"
    exclusive = True
    ready_line = arguments.MINECRAFT_READY

    def __init__(
        self,
        *words: str,
        server_port: int,
        state_directory: str | Path,
        server_host: str = "127.0.0.1",
        working_directory: str | Path | None = None,
        environment: ChildEnvironment | None = None,
        jar: str | None = None,
        java: str | None = None,
        memory: str | None = None,
        stop: str = DEFAULT_COMMAND,
    ) -> None:
        """Read the arguments.

        Without `words` the command is `java -jar server.jar nogui --port SERVER_PORT`. If there is no server.jar, it is
        run.sh (Forge, NeoForge), or else the only jar in the directory.

        :param words: the whole command line, program and arguments.
        :param server_port: the port on which the server must listen.
        :param state_directory: this server's own directory.
        :param server_host: the address at which the server is reached.
        :param working_directory: the server's directory, with its world and server.properties.
        :param environment: the configured environment of what is started here; None: that of zeroscale.
        :param jar: the jar to run, relative to the working directory.
        :param java: the Java program.
        :param memory: the largest heap, such as 4G (Java's -Xmx). The smallest is left to Java, since a server with a
            small heap starts sooner.
        :param stop: what it is asked to stop by: a command on its console (or by RCON, where that is on), `rcon` alone,
            or the name of a signal for all of its processes.
        :raises PluginError: a value is invalid, or values contradict each other.
        """
        super().__init__(
            working_directory=working_directory,
            state_directory=state_directory,
            environment=environment,
            server_port=server_port,
            server_host=server_host,
            own_lock_holder=self._world_holder,
        )
        self._files = ServerFiles(self.working_directory)
        with arguments.collect_mistakes() as mistakes:
            if words and (jar or java or memory):
                mistakes.add("jar=, java= and memory= cannot be combined with a command: write them into the command")
            if memory is not None and not re.fullmatch(r"[1-9][0-9]*[kKmMgGtT]?", memory):
                mistakes.add(f"memory={memory!r} is not a size for Java: write 4G, or 4096M")
            self._stop = mistakes.read(parse_stop, stop)
        self._console = MinecraftConsole(self._files, server_host, self._write_line)
        self._words = words
        self._port = server_port
        self._jar = jar
        self._java = java
        self._memory = memory

    @property
    def sigterm_arguments(self) -> str | None:
        """The argument with which it gets SIGTERM; None: it does."""
        return None if self._stop.signal is signal.SIGTERM else "-a stop=SIGTERM"

    def command(self) -> Sequence[str]:
        """Return the command line for the present contents of the working directory.

        :raises PluginError: something is missing or does not fit; the message says what to do.
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

    def check(self) -> None:
        """Check whether the server could be started and stopped, as far as that can be seen without starting it.

        :raises PluginError: it could not; the message says what to do.
        """
        super().check()
        self._stop.check(self._files, self._port)

    async def request_stop(self) -> None:
        """Ask the server to stop as `stop=` says, after which it saves the world and ends.

        In the background, without RCON, it gets SIGTERM in place of a command, on which it does the same.
        """
        if self._stop.signal is not None:
            self._process.signal(self._stop.signal)
            return
        try:
            await self._console.stop(self._stop, self._process.wait)
        except PluginError as error:
            if self.reads_console:
                raise
            logger.info("%s; sending SIGTERM, on which it saves", error)
            self._process.signal(signal.SIGTERM)

    async def send(self, line: str) -> str | None:
        """Send a command by RCON if that is enabled, or else write it to the console.

        :returns: the answer, which only RCON gives.
        :raises PluginError: the server does not accept it now, or does not answer.
        """
        return await self._console.send(line)

    async def players(self) -> int | None:
        """Return the number of players by RCON, or from the console if the status is off; None: not known.

        :raises PluginError: the status is off and the server, which has answered before, does not answer now.
        """
        return await self._console.players()

    def explain_exit(self, exit_code: int | None) -> str | None:
        """Return the reason why a server has ended during its start, if it is one of the usual ones."""
        if self._process.ready is not None:
            return None
        if self._eula() is False:
            return self._eula_message()
        for line in self.last_lines:
            if too_old := re.search(r"UnsupportedClassVersionError.*class file version (\d+)", line):
                needed = int(too_old[1]) - FIRST_CLASS_FILE_VERSION
                return f"it needs Java {needed} or newer: install it, or give its path with -a java=/path/to/bin/java"
            if "FAILED TO BIND TO PORT" in line:
                return (
                    f"it could not listen on port {self._port}: another program does, or server-ip in "
                    f"{self.working_directory / 'server.properties'} is not an address of this machine"
                )
            if re.search(r"Could not reserve enough space|Invalid maximum heap size|insufficient memory", line):
                return f"Java could not allocate the memory it is configured to use: {line.strip()}"
        return None

    def _world_holder(self) -> int | None:
        return session_lock_holder(self._files.level_directory)

    def _write_line(self, line: str) -> None:
        self._process.send(line)

    def _handle_line(self, line: str) -> None:
        self._console.handle_line(line)
        super()._handle_line(line)

    # The command line

    def _find_jar(self) -> str | None:
        """Return the jar to run, or None to run run.sh."""
        directory = self.working_directory
        if self._jar is not None:
            if not (directory / self._jar).is_file():
                raise PluginError(f"there is no {directory / self._jar}{_alternatives(self._jars())}")
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
                f"there is no {DEFAULT_JAR} in {directory}: put the server there, or give its directory with -w"
            )
        raise PluginError(f"there is no {DEFAULT_JAR} in {directory}{_alternatives(jars)}")

    def _jars(self) -> list[str]:
        try:
            return sorted(path.name for path in self.working_directory.glob("*.jar") if path.is_file())
        except OSError:
            return []

    def _script(self) -> Sequence[str]:
        script = self.working_directory / START_SCRIPT
        if self._memory:
            raise PluginError(
                f"memory= has no effect on {script}: write the line -Xmx{self._memory} "
                f"into {self.working_directory / JAVA_ARGUMENTS_FILE}"
            )
        if self._java:
            raise PluginError(
                f"java= has no effect on {script}, which runs java itself: put the right one first in PATH"
            )
        try:
            text = read_script(script)
        except OSError as error:
            raise PluginError(f"cannot read {script}: {error.strerror}") from None
        if not re.search(r"\$[@*]", text):  # the script does not pass our --port on to the server
            self._check_port_in_properties()
        # A script unpacked from an archive may not be executable.
        return [f"./{START_SCRIPT}"] if os.access(script, os.X_OK) else ["sh", START_SCRIPT]

    def _check_java(self) -> None:
        java = self._java or "java"
        found = shutil.which(java if "/" not in java else str(self.working_directory / java))
        if found is None and self._java:
            raise PluginError(f"java={java}: there is no such program")
        if found is None:
            raise PluginError(
                "there is no java in PATH: install a Java runtime (Debian: apt install default-jre-headless), "
                "or give its path with -a java=/path/to/bin/java"
            )

    # The port

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
                    f"{shlex.join(words)}: the command has port {value}, but zeroscale expects the server on port "
                    f"{self._port}: make them the same"
                )
            return
        self._check_port_in_properties()

    def _check_port_in_properties(self) -> None:
        path = self.working_directory / "server.properties"
        if not path.is_file():
            return  # the server will write the file, or does not use it
        port = read_properties(path).get("server-port")
        if port is None and self._port != 25565:
            raise PluginError(f"{path} has no server-port, which means 25565: add the line server-port={self._port}")
        if port is not None and port.strip() != str(self._port):
            raise PluginError(f"line {line_of(path, 'server-port')} of {path}: server-port={port} must be {self._port}")

    # The EULA

    def _eula(self) -> bool | None:
        path = self.working_directory / "eula.txt"
        if not path.is_file():
            return None
        return read_properties(path).get("eula", "false").strip().lower() == "true"

    def _check_eula(self, words: Sequence[str]) -> None:
        accepted = any("com.mojang.eula.agree=true" in word for word in words)
        if not accepted and self._eula() is False:
            raise PluginError(self._eula_message())

    def _eula_message(self) -> str:
        path = self.working_directory / "eula.txt"
        line = line_of(path, "eula")
        where = f"line {line} of {path}: eula=false must be eula=true" if line else f"{path} needs the line eula=true"
        return f"the Minecraft EULA has not been accepted: {where}"


def _alternatives(jars: Sequence[str]) -> str:
    if not jars:
        return ", nor any other jar"
    named = ", ".join(jars[:NAMED_AT_MOST]) + (", ..." if len(jars) > NAMED_AT_MOST else "")
    return f"; choose a jar, such as -a jar={shlex.quote(jars[0])} (there is {named})"
