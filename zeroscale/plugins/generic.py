"""Plugin generic: any command line that serves TCP, as in `zeroscale generic 6379 6380 -a 'redis-server --port 6380'`.

A connection starts it and waits until its port accepts connections. With `protocol=minecraft` a login starts it, and it
is ready when it answers the server list: for programs that are not started and stopped as the plugin `minecraft` does.

The program should stay in the foreground. One that puts itself into the background is found (`process.background`), but
its output and its exit code are not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from signal import SIGTERM

from zeroscale.errors import PluginError
from zeroscale.minecraft.server_files import ServerFiles, session_lock_holder
from zeroscale.plugins.base import ProcessServer
from zeroscale.plugins.support import arguments
from zeroscale.process.console_files import input_line
from zeroscale.process.environment import ChildEnvironment


class Server(ProcessServer):
    """A command line as a server.

    :ivar protocol: what its clients speak.
    """

    def __init__(
        self,
        *words: str,
        state_directory: str | Path,
        working_directory: str | Path | None = None,
        environment: ChildEnvironment | None = None,
        command: str | None = None,
        stop_signal: str | int = "SIGTERM",
        stop_to: str = "all",
        stop_command: str | None = None,
        protocol: str | None = None,
        ready_line: str | None = None,
        server_port: int | None = None,
        server_host: str | None = None,
    ) -> None:
        """Read the arguments.

        :param words: the command line, program and arguments.
        :param state_directory: this server's own directory.
        :param working_directory: the directory in which the command runs.
        :param environment: the configured environment of what is started here; None: that of zeroscale.
        :param command: the command line as one string, split as a shell would split it.
        :param stop_signal: the signal that asks the server to stop, by name or number.
        :param stop_to: the processes that get it: `all`, or the `first` one, if that stops the others itself.
        :param stop_command: a command of its console that stops it, in place of the signal; None: it gets that.
        :param protocol: `minecraft` or `http`, if its clients speak that; None: any TCP connection wakes it.
        :param ready_line: a regular expression for the line of output that shows that the server is ready; None: for
            Minecraft that of the game, else there is none.
        :param server_port: the port on which the server listens.
        :param server_host: the address at which it listens.
        :raises PluginError: there is no command, or a value is invalid.
        """
        with arguments.collect_mistakes() as mistakes:
            if command is not None and words:
                mistakes.add("the command is given twice: use either command=, or -a for each word")
            elif command is not None:
                self._command = mistakes.read(arguments.words, "command", command)
            elif words:
                self._command = list(words)
            else:
                mistakes.add("no command to run: give it with -a, as in -a 'redis-server --port 6380'")
            self.protocol = mistakes.read(arguments.protocol, protocol)
            mistakes.read(arguments.regular_expression, "ready_line", ready_line)
            if stop_to not in ("all", "first"):
                mistakes.add(f"stop_to={stop_to!r} must be all (processes) or first (the process that was started)")
            self._stop_signal = mistakes.read(arguments.stop_signal, "stop_signal", stop_signal)
            if stop_command is not None:
                mistakes.read(_check_console_line, stop_command)
        self._stop_to = stop_to
        self._stop_command = stop_command
        self._has_world = self.protocol == "minecraft"
        self.ready_line = ready_line or (arguments.MINECRAFT_READY if self._has_world else None)
        self.exclusive = self._has_world  # which two servers must not have
        super().__init__(
            working_directory=working_directory,
            state_directory=state_directory,
            environment=environment,
            server_port=server_port,
            server_host=server_host,
            own_lock_holder=self._world_holder,
        )

    @property
    def sigterm_arguments(self) -> str | None:
        """The arguments with which all processes get SIGTERM; None: they do."""
        if self._stop_command is not None:
            return "stop_command left out"
        changes = {"stop_signal=SIGTERM": self._stop_signal is not SIGTERM, "stop_to=all": self._stop_to != "all"}
        return " ".join(f"-a {argument}" for argument, needed in changes.items() if needed) or None

    def command(self) -> Sequence[str]:
        """Return the given command line."""
        return self._command

    async def request_stop(self) -> None:
        """Send the stop signal, or write the command to the console; in the background there is none to write to."""
        if self._stop_command is not None and self.reads_console:
            await self.send(self._stop_command)
        elif self._stop_to == "first":
            self._process.signal_first(self._stop_signal)
        else:
            self.signal(self._stop_signal)

    def _world_holder(self) -> int | None:
        if not self._has_world:
            return None
        return session_lock_holder(ServerFiles(self.working_directory).level_directory)


def _check_console_line(stop_command: str) -> None:
    if not stop_command.strip():
        raise PluginError("stop_command= is empty: give a command of the server's console, such as stop")
    try:
        input_line(stop_command)
    except PluginError as error:
        raise PluginError(f"stop_command={stop_command[:100]!r}: {error}") from None
