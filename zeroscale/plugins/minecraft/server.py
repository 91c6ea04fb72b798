"""Plugin minecraft: a Minecraft server (Java Edition), such as vanilla, Paper, Fabric, Forge or NeoForge.

It edits no file of the user's. Where a file does not fit, the error message has the line to write.
"""

from __future__ import annotations

import logging
import re
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from zeroscale.errors import PluginError
from zeroscale.minecraft.server_files import ServerFiles, session_lock_holder
from zeroscale.plugins.base import ProcessServer
from zeroscale.plugins.minecraft.command_line import JAVA_OPTIONS, CommandLine
from zeroscale.plugins.minecraft.console import MinecraftConsole
from zeroscale.plugins.minecraft.java import how_to_install, needed_java, newest_java
from zeroscale.plugins.minecraft.stop_method import DEFAULT_COMMAND, parse_stop
from zeroscale.plugins.support import arguments
from zeroscale.process.environment import ChildEnvironment

logger = logging.getLogger("zeroscale.plugin.minecraft")

OPTIONS_SEEN = f"NOTE: Picked up {JAVA_OPTIONS}"
"""How the line begins that Java prints where it takes them."""


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
        arguments_table: str | None = None,
        jar: str | None = None,
        java: str | None = None,
        memory: str | None = None,
        stop: str = DEFAULT_COMMAND,
    ) -> None:
        """Read the arguments.

        Without `words` the command is `java -jar JAR nogui --port SERVER_PORT`, or a start script with the same
        arguments; `choose_server` chooses.

        :param words: the whole command line, program and arguments.
        :param server_port: the port on which the server must listen.
        :param state_directory: this server's own directory.
        :param server_host: the address at which the server is reached.
        :param working_directory: the server's directory, with its world and server.properties.
        :param environment: the configured environment of what is started here; None: that of zeroscale.
        :param arguments_table: the table of the configuration file that has these arguments; None: the command line.
        :param jar: the jar to run, relative to the working directory.
        :param java: the Java program.
        :param memory: the largest heap, such as 4G (Java's -Xmx). A script's Java gets it by `JAVA_OPTIONS`. The
            smallest is left to Java, since a server with a small heap starts sooner.
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
        self._command = CommandLine(
            self._files,
            server_port,
            words=words,
            jar=jar,
            java=java,
            memory=memory,
            arguments_table=arguments_table,
        )
        self._port = server_port
        self._memory = memory
        self._reported: set[str] = set()
        self._options_unseen = False
        """Whether the Java of a script has not said yet that it has taken `JAVA_OPTIONS`."""

    @property
    def sigterm_arguments(self) -> str | None:
        """The argument with which it gets SIGTERM; None: it does."""
        return None if self._stop.signal is signal.SIGTERM else "-a stop=SIGTERM"

    def command(self) -> Sequence[str]:
        """Return the command line for the present contents of the working directory.

        :raises PluginError: something is missing or does not fit; the message says what to do.
        """
        return self._command.build(self._environment.build())

    def environment(self) -> Mapping[str, str]:
        """Return the variable by which a script's Java gets the heap size."""
        return self._command.java_options(self._environment.build())

    def check(self) -> None:
        """Check whether the server could be started and stopped, and log once what may prevent it and cannot be seen.

        :raises PluginError: it could not; the message says what to do.
        """
        super().check()
        self._stop.check(self._files, self._port)
        warnings = set(self._command.warnings(self._environment.build()))
        for warning in sorted(warnings - self._reported):
            logger.warning("%s", warning)
        self._reported |= warnings

    async def start(self) -> None:
        """Start the server; return when its process exists.

        :raises PluginError: it cannot be started.
        """
        self._options_unseen = bool(self.environment())
        await super().start()

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
        """Return the number of players by RCON; None: it is off or does not answer, or its answer says nothing.

        :raises PluginError: the answer is not understood, and cannot mean that nobody is on.
        """
        return await self._console.players()

    def explain_exit(self, exit_code: int | None) -> str | None:
        """Return the reason why a server has ended during its start, if it is one of the usual ones."""
        if self._process.ready is not None:
            return None
        if self._files.eula_accepted is False:
            return self._command.eula_message()
        needed, newest = needed_java(self.last_lines), newest_java(self.last_lines)
        if needed is not None:
            needed = max(needed, self._command.choice().java_version or 0)
            return f"it needs Java {needed} or newer: {how_to_install(needed)}, {self._command.how_to_use_java()}"
        if newest is not None:
            return f"it runs with Java {newest} at most: install that, {self._command.how_to_use_java()}"
        for line in self.last_lines:
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
        self._look_for_options(line)
        super()._handle_line(line)

    def _look_for_options(self, line: str) -> None:
        if self._options_unseen and line is self._process.ready:
            logger.warning(
                "memory=%s may have had no effect: Java has not said that it has taken %s, which Java 8 and older do "
                "not know; write -Xmx%s into the script",
                self._memory,
                JAVA_OPTIONS,
                self._memory,
            )
        if line is self._process.ready or line.startswith(OPTIONS_SEEN):
            self._options_unseen = False
