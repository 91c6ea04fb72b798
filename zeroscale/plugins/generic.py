"""Any command line that serves TCP: `zeroscale generic 6379 6380 -a 'redis-server --port 6380'`.

A connection wakes it and waits until its port answers. It must run in the foreground: of a program that puts itself
in the background only the first process is seen, and that ends at once. (It is found again by the lock it inherits
unless it closes what it does not know, as daemons do.)
"""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Sequence
from pathlib import Path

from zeroscale.errors import PluginError
from zeroscale.plugins.base import ProcessServer


class Server(ProcessServer):
    """Any command line."""

    def __init__(
        self,
        *words: str,
        state_directory: str | Path,
        working_directory: str | Path | None = None,
        command: str | None = None,
        stop_signal: str | int = "SIGTERM",
        stop_to: str = "all",
        ready_line: str | None = None,
    ) -> None:
        """Starts nothing.

        :param words: the command line, program and arguments.
        :param state_directory: this server's own directory.
        :param working_directory: where it runs.
        :param command: the command line as one string, split as a shell would.
        :param stop_signal: the signal that asks it to stop, by name or number.
        :param stop_to: whom it is sent: `all` processes, or the `first` one, for a server that tells its others itself.
        :param ready_line: a regular expression of the line of output that says it is ready.
        :raises PluginError: no command, or one of the values cannot be understood.
        """
        if command is not None and words:
            raise PluginError("the command is given twice: either as command=, or as values of its own")
        try:
            self._command = list(words) if command is None else shlex.split(command)
        except ValueError as error:
            raise PluginError(f"command={command!r} cannot be split into words: {error}") from None
        if not self._command:
            raise PluginError("no command to run: give it with -a, as in -a 'redis-server --port 6380'")
        if ready_line is not None:
            try:
                re.compile(ready_line)
            except re.error as error:
                raise PluginError(f"ready_line={ready_line!r} is no regular expression: {error}") from None
            self.ready_line = ready_line
        if stop_to not in ("all", "first"):
            raise PluginError(f"stop_to={stop_to!r} is neither all (processes) nor first (the one that was started)")
        self._stop_signal = signal_number(stop_signal)
        self._stop_to = stop_to
        super().__init__(working_directory=working_directory, state_directory=state_directory)

    def command(self) -> Sequence[str]:
        """The command line as it was given."""
        return self._command

    async def ask_to_stop(self) -> None:
        """Sends the stop signal."""
        if self._stop_to == "first":
            self._process.signal_first(self._stop_signal)
        else:
            self.signal(self._stop_signal)


def signal_number(name: str | int) -> signal.Signals:
    """A signal by name (with or without its SIG) or number.

    :raises PluginError: there is no such signal.
    """
    try:
        if isinstance(name, int) or name.isdigit():
            return signal.Signals(int(name))
        upper = name.strip().upper()
        return signal.Signals[upper if upper.startswith("SIG") else f"SIG{upper}"]
    except (KeyError, ValueError):
        raise PluginError(f"stop_signal={name!r} is no signal: SIGTERM, SIGINT and SIGQUIT are usual") from None
