"""Base class for plugins with a child process as the server, which survives a crash of the proxy.

A plugin does not need it (see `zeroscale.plugins.api`). It gives the server a console, signals, pause, and adoption by
the next zeroscale process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from zeroscale.errors import PluginError
from zeroscale.process import spawn
from zeroscale.process.background import ServerSigns
from zeroscale.process.child import ServerProcess
from zeroscale.process.environment import ChildEnvironment
from zeroscale.process.record import StopProgress
from zeroscale.status import Status
from zeroscale.system.files import directory_problem


class ProcessServer:
    """A server that is a command line. A subclass has at least `command` and `request_stop`.

    :cvar ready_line: a regular expression for the line of output that shows that the server is ready; None: there is
        no such line.
    :cvar exclusive: whether a second server must not run in the same working directory.
    :ivar status: the state as seen by this plugin.
    :ivar working_directory: the directory in which the server runs.
    """

    ready_line: str | None = None
    exclusive = False

    def __init__(
        self,
        *,
        working_directory: str | Path | None,
        state_directory: str | Path,
        environment: ChildEnvironment | None = None,
        server_port: int | None = None,
        server_host: str | None = None,
        own_lock_holder: Callable[[], int | None] = lambda: None,
    ) -> None:
        """Prepare a server without starting it.

        :param working_directory: the directory in which the server runs; None: the current one.
        :param state_directory: this server's own directory for its console and record; it must exist.
        :param environment: the server's configured environment; None: it inherits that of zeroscale.
        :param server_port: the port on which the server listens, by which it is found if its command leaves it in the
            background; None: not known.
        :param server_host: the address at which it listens, for the same; None: any.
        :param own_lock_holder: returns the process that holds a lock which only this server takes, for the same.
        """
        self.status = Status.stopped
        self.working_directory = Path(working_directory or ".").absolute()
        self._environment = environment or ChildEnvironment()
        self._on_output: Callable[[str], None] | None = None
        self._pending_ready_line: str | None = None
        self._stop_requested = False
        self._already_asked = False
        self._process = ServerProcess(
            Path(state_directory),
            on_line=self._handle_line,
            ready_line=self.ready_line,
            exclusive_directory=self.working_directory if self.exclusive else None,
            signs=ServerSigns(self.working_directory, server_port, own_lock_holder, server_host),
        )

    def command(self) -> Sequence[str]:
        """Return the command line. Called for each start.

        :raises PluginError: the server could not run, and why.
        """
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """Return variables for the server's environment, in addition to the inherited and the configured ones."""
        return {}

    async def request_stop(self) -> None:
        """Ask the running server to stop; need not wait for it.

        :raises PluginError: it cannot be asked.
        """
        raise NotImplementedError

    def explain_exit(self, exit_code: int | None) -> str | None:
        """Return why the server has ended without a request, if more than its exit code is known."""
        return None

    @property
    def on_output(self) -> Callable[[str], None] | None:
        """The function that is called with each line of the server's output."""
        return self._on_output

    @on_output.setter
    def on_output(self, function: Callable[[str], None] | None) -> None:
        self._on_output = function
        line, self._pending_ready_line = self._pending_ready_line, None
        if function is not None and line is not None:
            asyncio.get_running_loop().call_soon(function, line)

    @property
    def last_lines(self) -> Sequence[str]:
        """The last lines of output, oldest first, bounded in number and length."""
        return self._process.last_lines

    @property
    def reads_console(self) -> bool:
        """Whether `send` can reach the server's console; not if its command has left it in the background."""
        return self._process.reads_console

    def fake_status(self) -> bytes:
        """Return nothing, so that clients are held."""
        return b""

    def check(self) -> None:
        """Check whether the server could be started, as far as that can be seen without starting it.

        :raises PluginError: it could not; the message says what to do.
        """
        if (problem := directory_problem(self.working_directory)) is not None:
            raise PluginError(f"the working directory {self.working_directory} {problem}")
        self._environment.check()
        environment = self._environment.build(self.environment())
        spawn.check_program(self.command(), self.working_directory, environment)

    async def start(self) -> None:
        """Start the server; return when its process exists.

        :raises PluginError: it cannot be started.
        """
        self.check()
        self.status = Status.starting
        self._stop_requested = self._already_asked = False
        try:
            await self._process.start(
                self.command(),
                working_directory=self.working_directory,
                environment=self._environment.build(self.environment()),
            )
        except PluginError:
            self.status = Status.stopped
            raise
        self.status = Status.running

    async def stop(self) -> None:
        """Ask the server to stop, unless an earlier zeroscale has done so, and wait until it is gone.

        :raises PluginError: it cannot be asked.
        """
        if not self._process.alive:
            return
        self.status = Status.stopping
        self._stop_requested = True
        if not self._already_asked:
            self._process.record_stop(StopProgress.requested)
            await self.request_stop()
            self._process.record_stop(StopProgress.sent)
        await self._process.wait()
        self.status = Status.stopped

    async def wait(self) -> int | None:
        """Wait until the server is gone; return its exit code, or None if that is not known.

        :raises PluginError: it has ended without a request; the message is the reason from `explain_exit`, or that it
            may run where zeroscale cannot find it.
        """
        exit_code = await self._process.wait()
        self.status = Status.stopped
        reason = None if self._stop_requested else self.explain_exit(exit_code)
        if reason is None and self._process.listener is not None:
            reason = (
                f"its command has ended, and {self._process.listener} listens on the server's port, but is not known "
                "to be the server: stop it, and have the command run the server in the foreground"
            )
        if reason is not None:
            raise PluginError(reason)
        return exit_code

    async def adopt(self) -> bool | Status:
        """Take over the server of an earlier zeroscale process, if it still runs.

        :returns: whether it runs; `Status.stopping`: it does, but the earlier zeroscale was about to stop it.
        :raises PluginError: it runs, but its processes cannot be found.
        """
        if not await self._process.adopt():
            return False
        progress = self._process.stop_progress
        # A second request could do harm: many programs take a second SIGINT for "at once".
        self._already_asked = progress is StopProgress.sent
        self._stop_requested = progress is not None
        self.status = Status.running if progress is None else Status.stopping
        return self.status is Status.running or self.status

    def signal(self, number: int) -> None:
        """Send a signal to the server's process group.

        :raises PluginError: the operating system refuses it.
        """
        self._stop_requested = True
        self._process.signal(number)

    async def pause(self) -> None:
        """Freeze the server's processes.

        :raises PluginError: the operating system refuses it.
        """
        self._process.pause()
        self.status = Status.paused

    async def resume(self) -> None:
        """Let the server's processes continue.

        :raises PluginError: the operating system refuses it.
        """
        self._process.resume()
        self.status = Status.running

    async def send(self, line: str) -> str | None:
        """Write a line to the server's console.

        :returns: None; a subclass may return the server's answer.
        :raises PluginError: it cannot be written now.
        """
        self._process.send(line)
        return None

    async def usage(self) -> tuple[float, int] | None:
        """Return the CPU seconds that the server's processes have used, and the bytes of memory they have now."""
        return self._process.usage()

    def detach(self) -> None:
        """Stop watching the server and leave it running, for the next zeroscale process to adopt."""
        self._process.detach()

    def _handle_line(self, line: str) -> None:
        if self._on_output is not None:
            self._on_output(line)
        elif line is self._process.ready:
            self._pending_ready_line = line  # `on_output` is set only after an adopted server's output has been read
