"""Any server that others start: by one command, and stopped by another.

    zeroscale command 25565 25575 -H 10.0.0.5 -a start='virsh start mc' -a stop='virsh shutdown mc' \\
        -a status="sh -c 'virsh domstate mc | grep -q running'" -a protocol=minecraft

The commands end; the server does not. (A command that is the server itself is for the plugin `generic`.) With `status`
the server is watched; without it, whoever answers on the server's port is taken for the server.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from zeroscale.errors import PluginError
from zeroscale.plugins.support import arguments
from zeroscale.plugins.support.external_server import ExternalServer, Poller
from zeroscale.plugins.support.tcp_check import TcpResult, tcp_check
from zeroscale.process.command_runner import CommandResult, CommandRunner, CommandTimeout
from zeroscale.status import Status

logger = logging.getLogger(__name__)

CHECK_EVERY = 1.0
"""Seconds between two looks at a server that has just been told to start or to stop: somebody waits for it."""

CONNECT_LIMIT = 3.0
"""Seconds: a machine that takes longer for a TCP handshake serves nobody."""

CANNOT_TELL = frozenset({4, 126, 127})
"""Exit codes of `status` that say nothing of the server: LSB's "unknown", and the shell's for a command that it cannot
run. So do all from 128 on: a signal's, and ssh's 255. Any other but 0 says that the server does not run."""


class Server:
    """A server behind commands.

    :ivar status: where this plugin believes it to be.
    :ivar on_output: called with each line that the commands say, but for `status`.
    :ivar on_found: only with `status`: called when somebody else has started the server.
    :ivar wait: only with `status`: waits until the server is gone, for an exit code that nobody knows.
    :ivar pause: only where both are given: runs the command.
    :ivar resume: the same.
    """

    on_found: Callable[[], None] | None
    wait: Callable[[], Awaitable[int | None]] | None = None
    pause: Callable[[], Awaitable[None]] | None = None
    resume: Callable[[], Awaitable[None]] | None = None

    def __init__(
        self,
        start: str | Sequence[str],
        stop: str | Sequence[str],
        *,
        server_port: int,
        state_directory: str | Path,
        server_host: str = "127.0.0.1",
        working_directory: str | Path | None = None,
        status: str | Sequence[str] | None = None,
        pause: str | Sequence[str] | None = None,
        resume: str | Sequence[str] | None = None,
        protocol: str | None = None,
        start_timeout: str | float = 120.0,
        stop_timeout: str | float = 120.0,
        timeout: str | float = 10.0,
        status_every: str | float = 10.0,
    ) -> None:
        """Runs nothing.

        :param start: the command that starts the server, and ends; like all here, words or split as a shell would.
        :param stop: the command that stops it.
        :param server_port: where it listens.
        :param state_directory: this server's own directory.
        :param server_host: on which address.
        :param working_directory: where the commands run.
        :param status: ends with 0 when the server runs; what other codes say is told at `CANNOT_TELL`.
        :param pause: freezes it.
        :param resume: lets it go on.
        :param protocol: `minecraft` where its clients speak that.
        :param start_timeout: seconds for `start`, and again until `status` says that the server runs.
        :param stop_timeout: seconds for `stop`, and again until the server does not answer any more.
        :param timeout: seconds for each of the others.
        :param status_every: seconds between two looks.
        :raises PluginError: one of the values cannot be understood.
        """
        self.status = Status.stopped
        self.protocol = arguments.protocol(protocol)
        self.on_output: Callable[[str], None] | None = None
        self._start = arguments.words("start", start)
        self._stop = arguments.words("stop", stop)
        self._status = None if status is None else arguments.words("status", status)
        if (pause is None) != (resume is None):
            raise PluginError("pause= and resume= belong together: give both, or none")
        self._pause = None if pause is None else arguments.words("pause", pause)
        self._resume = None if resume is None else arguments.words("resume", resume)
        self._start_limit = arguments.seconds("start_timeout", start_timeout)
        self._stop_limit = arguments.seconds("stop_timeout", stop_timeout)
        self._limit = arguments.seconds("timeout", timeout)
        self._host, self._port = server_host, server_port
        self._directory = Path(working_directory or ".").absolute()
        self._commands = CommandRunner(self._directory, Path(state_directory), self._line)
        self._paused = Path(state_directory) / "paused"
        self._blind = False
        self._external = ExternalServer()
        self._poller = Poller(self._poll, arguments.seconds("status_every", status_every), logger)
        if self._status is not None:
            self.on_found = None
            self.wait = self._external.wait
            self._external.on_found = self._found
        if self._pause is not None:
            self.pause, self.resume = self._freeze, self._thaw

    def fake_status(self) -> bytes:
        """Nothing: a client is held."""
        return b""

    def check(self) -> None:
        """Whether the commands are there.

        :raises PluginError: one is not, or the working directory.
        """
        if not self._directory.is_dir():
            raise PluginError(f"the working directory {self._directory} does not exist")
        for name in ("start", "stop", "status", "pause", "resume"):
            argv: Sequence[str] | None = getattr(self, f"_{name}")
            if argv is None:
                continue
            program = argv[0]
            if "/" in program:
                if not (self._directory / program).exists():
                    raise PluginError(f"{name}={program}...: there is no such file")
            elif shutil.which(program) is None:
                raise PluginError(f"{name}={program}...: there is no {program!r} in PATH: install it, or give its path")

    async def adopt(self) -> bool:
        """Whether the server runs already; one that an earlier zeroscale paused is resumed.

        :raises PluginError: `status` cannot say it.
        """
        if self._paused.exists() and self._resume is not None:
            done = await self._commands.run("resume", self._resume, self._limit)
            if done.code != 0:
                logger.warning("what was paused cannot be resumed: %s", done.summary())
            self._paused.unlink(missing_ok=True)
        runs = await self._runs()
        if self._status is not None:
            self._poller.start()
        if runs:
            self._external.mark_running()
            self.status = Status.running
        return runs

    async def start(self) -> None:
        """Runs `start`, and waits until `status` says that the server runs.

        :raises PluginError: the command failed, or the server does not run after it.
        """
        self.check()
        self.status = Status.starting
        self._blind = False
        self._external.begin_change()
        try:
            try:
                done = await self._commands.run("start", self._start, self._start_limit)
            except CommandTimeout as error:
                raise PluginError(f"{error}; if it is the server itself, use the plugin generic") from None
            if done.code != 0:
                raise PluginError(f"the start command ({self._start[0]}) failed with {done.summary()}")
            if self._status is not None and not await self._becomes(True, self._start_limit):
                raise PluginError(
                    f"the start command ended well, but status= did not say within {self._start_limit:g} s that the "
                    "server runs"
                )
        except PluginError:
            self.status = Status.stopped
            self._external.abort_change()
            raise
        self._external.mark_running()
        self.status = Status.running
        if self._status is not None:
            self._poller.start()

    async def stop(self) -> None:
        """Runs `stop`, and waits until the server is gone.

        :raises PluginError: the command failed, and the server still runs.
        """
        if self.status is Status.stopped:
            return
        before, self.status = self.status, Status.stopping
        self._blind = False
        try:
            done = await self._commands.run("stop", self._stop, self._stop_limit)
            if done.code != 0 and await self._runs():
                raise PluginError(f"the stop command ({self._stop[0]}) failed with {done.summary()}")
            limit = None if self._status is not None else self._stop_limit
            if not await self._becomes(False, limit):
                raise PluginError(
                    f"the stop command ended well, but {self._host}:{self._port} still answers after "
                    f"{self._stop_limit:g} s"
                )
        except PluginError:
            self.status = before
            raise
        self.status = Status.stopped
        self._external.observe_stopped()

    async def close(self) -> None:
        """Watches no more."""
        self._external.close()
        self._commands.close()
        await self._poller.close()

    async def _freeze(self) -> None:
        assert self._pause is not None
        self._blind = True
        try:
            self._paused.touch()
            await self._well("pause", self._pause)
        except (PluginError, OSError) as error:
            self._blind = False
            self._paused.unlink(missing_ok=True)
            raise PluginError(str(error)) from error
        self.status = Status.paused
        # There are those whose `status` says of a frozen server that it does not run: they are not asked meanwhile.
        self._blind = self._status is not None and not await self._runs()

    async def _thaw(self) -> None:
        assert self._resume is not None
        await self._well("resume", self._resume)
        self._paused.unlink(missing_ok=True)
        self.status = Status.running
        self._blind = False

    async def _well(self, kind: str, argv: Sequence[str]) -> None:
        done = await self._commands.run(kind, argv, self._limit)
        if done.code != 0:
            raise PluginError(f"the {kind} command ({argv[0]}) failed with {done.summary()}")

    async def _runs(self) -> bool:
        """:raises PluginError: `status` cannot say it."""
        if self._status is None:
            return await tcp_check(self._host, self._port, CONNECT_LIMIT) is TcpResult.accepted
        done: CommandResult = await self._commands.run("status", self._status, self._limit, quiet=True)
        if done.code in CANNOT_TELL or done.code >= 128:
            raise PluginError(f"the status command ({self._status[0]}) cannot tell: {done.summary()}")
        return done.code == 0

    async def _becomes(self, wanted: bool, limit: float | None) -> bool:
        """Looks until the server runs, or does not; whether it came to that in time. That nobody can tell is no end."""
        loop = asyncio.get_running_loop()
        deadline = None if limit is None else loop.time() + limit
        said = ""
        while True:
            try:
                if await self._runs() is wanted:
                    return True
            except PluginError as error:
                if str(error) != said:
                    said = str(error)
                    logger.warning("%s; looking again", said)
            if deadline is not None and loop.time() >= deadline:
                return False
            await asyncio.sleep(CHECK_EVERY)

    async def _poll(self) -> None:
        if self._looks_away():
            return
        runs = await self._runs()
        if self._looks_away():
            return  # what was asked before that began says nothing of it
        if runs:
            self._external.observe_running(paused=False)
        else:
            self.status = Status.stopped
            self._external.observe_stopped()

    def _looks_away(self) -> bool:
        return self._blind or self.status in (Status.starting, Status.stopping)

    def _found(self) -> None:
        self.status = Status.running
        if self.on_found is not None:
            self.on_found()

    def _line(self, line: str) -> None:
        if self.on_output is not None:
            self.on_output(line)
