"""What plugins share that run their server as a child process: a plugin's methods, in terms of `ServerProcess`.

A plugin of your own needs none of this: a class `Server` with `status`, `start()`, `stop()` and `fake_status()` is
one. Derive from this one to get a server that outlives a crash of the proxy, with its console and its signals.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from zeroscale.errors import PluginError
from zeroscale.process import spawn
from zeroscale.process.child import ServerProcess
from zeroscale.status import Status


class ProcessServer:
    """A server that is a command line.

    :cvar ready_line: a regular expression of the line of output that says it is ready; None: none does.
    :cvar alone: no second server may run in its working directory.
    :ivar status: where this plugin believes its server to be.
    """

    ready_line: str | None = None
    alone = False

    def __init__(self, *, working_directory: str | Path | None, state_directory: str | Path) -> None:
        """Starts nothing.

        :param working_directory: where the server runs; None is where we run.
        :param state_directory: this server's own directory, for its console and record; it exists.
        """
        self.status = Status.stopped
        self._on_output: Callable[[str], None] | None = None
        self._ready_untold: str | None = None
        self.working_directory = Path(working_directory or ".").absolute()
        self._asked_to_end = False
        self._process = ServerProcess(
            Path(state_directory),
            on_line=self._line,
            ready_line=self.ready_line,
            exclusive_directory=self.working_directory if self.alone else None,
        )

    def command(self) -> Sequence[str]:
        """The command line, made anew for every start.

        :raises PluginError: there can be none, or the server could not run with it.
        """
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """What the server's environment has beside our own."""
        return {}

    async def ask_to_stop(self) -> None:
        """Asks the running server to stop; need not wait for it.

        :raises PluginError: it cannot be asked.
        """
        raise NotImplementedError

    def explain_end(self, exit_code: int | None) -> str | None:
        """Why the server ended that was not asked to, where this plugin knows better than its exit code says."""
        return None

    @property
    def on_output(self) -> Callable[[str], None] | None:
        """What is called with each line of the server's output, when not None."""
        return self._on_output

    @on_output.setter
    def on_output(self, take_line: Callable[[str], None] | None) -> None:
        self._on_output = take_line
        line, self._ready_untold = self._ready_untold, None
        if take_line is not None and line is not None:  # adopted before anybody listened: the one line that matters
            asyncio.get_running_loop().call_soon(take_line, line)

    @property
    def last_lines(self) -> Sequence[str]:
        """The last lines of its output, oldest first, bounded in number and length."""
        return self._process.last_lines

    def fake_status(self) -> bytes:
        """Nothing: a client is held."""
        return b""

    def check(self) -> None:
        """Whether the server could be started now, as far as that is seen without starting it.

        :raises PluginError: it could not, and what mends it.
        """
        if not self.working_directory.is_dir():
            raise PluginError(f"the working directory {self.working_directory} does not exist")
        spawn.check_program(self.command(), self.working_directory)

    async def start(self) -> None:
        """Starts it; returns once its process is there.

        :raises PluginError: it cannot be started.
        """
        self.check()
        self.status = Status.starting
        self._asked_to_end = False
        try:
            await self._process.start(
                self.command(), working_directory=self.working_directory, environment=self.environment()
            )
        except PluginError:
            self.status = Status.stopped
            raise
        self.status = Status.running

    async def stop(self) -> None:
        """Asks it to stop, and waits until it is gone.

        :raises PluginError: it cannot be asked.
        """
        if not self._process.alive:
            return
        self.status = Status.stopping
        self._asked_to_end = True
        await self.ask_to_stop()
        await self._process.wait()
        self.status = Status.stopped

    async def wait(self) -> int | None:
        """Waits until it is gone; returns its exit code where that is known.

        :raises PluginError: it ended by itself, and this says why better than the code.
        """
        exit_code = await self._process.wait()
        self.status = Status.stopped
        reason = None if self._asked_to_end else self.explain_end(exit_code)
        if reason is not None:
            raise PluginError(reason)
        return exit_code

    async def adopt(self) -> bool:
        """Takes over a server of an earlier zeroscale, if one still lives.

        :raises PluginError: one lives, but cannot be found.
        """
        adopted = await self._process.adopt()
        if adopted:
            self.status = Status.running
        return adopted

    def signal(self, number: int) -> None:
        """Sends a signal to the whole process group.

        :raises PluginError: the system does not let us.
        """
        self._asked_to_end = True
        self._process.signal(number)

    async def pause(self) -> None:
        """Stops its processes where they stand.

        :raises PluginError: the system does not let us.
        """
        self._process.pause()
        self.status = Status.paused

    async def resume(self) -> None:
        """Lets them go on.

        :raises PluginError: the system does not let us.
        """
        self._process.resume()
        self.status = Status.running

    def send(self, line: str) -> Coroutine[Any, Any, str | None] | None:
        """Types a line into its console.

        :returns: nothing; of a subclass, what answers it.
        :raises PluginError: it cannot be written now.
        """
        self._process.send(line)
        return None

    def detach(self) -> None:
        """Forgets it and leaves it running, for the next zeroscale to adopt."""
        self._process.detach()

    def _line(self, line: str) -> None:
        if self._on_output is not None:
            self._on_output(line)
        elif line is self._process.ready:
            self._ready_untold = line
