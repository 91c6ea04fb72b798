r"""Plugin command: a server that is started by one command and stopped by another.

    zeroscale command 25565 25575 -H 10.0.0.5 -a start='virsh start mc' -a stop='virsh shutdown mc' \
        -a status="sh -c 'virsh domstate mc | grep -q running'" -a protocol=minecraft

The commands end, and the server runs on. (For a command that is the server itself, use the plugin `generic`.) With
`status` the server is watched; without it, any server that answers on the port is taken for the server. A `status` that
has never said that the server does not run may always say the same: see `support.status_trust`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from zeroscale.errors import PluginError
from zeroscale.plugins.support import arguments
from zeroscale.plugins.support.command_status import CommandStatus
from zeroscale.plugins.support.external_server import ExternalServer, Poller
from zeroscale.plugins.support.status_trust import StatusTrust
from zeroscale.plugins.support.stop_note import StopNote
from zeroscale.process.command_runner import CommandResult, CommandRunner, CommandTimeout
from zeroscale.process.environment import ChildEnvironment
from zeroscale.process.record import StopProgress
from zeroscale.process.spawn import find_program
from zeroscale.status import Status
from zeroscale.system.files import create_own, directory_problem

logger = logging.getLogger("zeroscale.plugin.command")


class Server:
    """A server that is controlled by commands.

    :ivar status: the state as seen by this plugin.
    :ivar on_output: called with each line of output of the commands, except `status`.
    :ivar on_found: only with `status`: called when others have started the server.
    :ivar wait: only with `status`: waits until the server is gone and returns None.
    :ivar pause: only with `pause` and `resume`: runs the command.
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
        environment: ChildEnvironment | None = None,
        status: str | Sequence[str] | None = None,
        pause: str | Sequence[str] | None = None,
        resume: str | Sequence[str] | None = None,
        protocol: str | None = None,
        start_timeout: str | float = 120.0,
        stop_timeout: str | float = 120.0,
        timeout: str | float = 10.0,
        status_every: str | float = 10.0,
    ) -> None:
        """Read the arguments. Each command is a list of words, or a text that is split as a shell would split it.

        :param start: the command that starts the server.
        :param stop: the command that stops it.
        :param server_port: the port on which the server listens.
        :param state_directory: this server's own directory.
        :param server_host: the address on which the server listens.
        :param working_directory: the directory in which the commands run.
        :param environment: the configured environment of what is started here; None: that of zeroscale.
        :param status: a command that exits with 0 if the server runs; for other codes see `support.command_status`.
        :param pause: a command that freezes the server.
        :param resume: a command that lets it continue.
        :param protocol: `minecraft` or `http`, if the clients speak that.
        :param start_timeout: seconds for `start`, and again until `status` says that the server runs.
        :param stop_timeout: seconds for `stop`, and again until the server does not run any more.
        :param timeout: seconds for each of the other commands.
        :param status_every: seconds between two calls of `status`.
        :raises PluginError: a value is invalid.
        """
        self.status = Status.stopped
        self.on_output: Callable[[str], None] | None = None
        with arguments.collect_mistakes() as mistakes:
            read = mistakes.read
            self.protocol = read(arguments.protocol, protocol)
            self._start = read(arguments.words, "start", start)
            self._stop = read(arguments.words, "stop", stop)
            self._status = None if status is None else read(arguments.words, "status", status)
            if (pause is None) != (resume is None):
                mistakes.add("give both pause= and resume=, or neither")
            self._pause = None if pause is None else read(arguments.words, "pause", pause)
            self._resume = None if resume is None else read(arguments.words, "resume", resume)
            self._start_limit = read(arguments.seconds, "start_timeout", start_timeout)
            self._stop_limit = read(arguments.seconds, "stop_timeout", stop_timeout)
            self._limit = read(arguments.seconds, "timeout", timeout)
            interval = read(arguments.seconds, "status_every", status_every)
        self._directory = Path(working_directory or ".").absolute()
        self._commands = CommandRunner(self._directory, Path(state_directory), self._handle_line, environment)
        self._paused_marker = Path(state_directory) / "paused"
        self._stop_note = StopNote(
            Path(state_directory),
            [self._start, self._stop, self._status, server_host, server_port, str(self._directory)],
        )
        self._state = CommandStatus(
            None if self._status is None else self._ask_status,
            self._status[0] if self._status else "",
            server_host,
            server_port,
            StatusTrust(Path(state_directory), [self._status, server_host, server_port, str(self._directory)]),
        )
        self._earlier_stop: StopProgress | None = None
        self._ignore_status = False
        self._external = ExternalServer()
        self._poller = Poller(self._poll, interval, logger)
        if self._status is not None:
            self.on_found = None
            self.wait = self._external.wait
            self._external.on_found = self._handle_found
        if self._pause is not None:
            self.pause, self.resume = self._run_pause, self._run_resume

    @property
    def controls(self) -> Mapping[str, bool]:
        """What the commands start and stop in this directory; with an environment it may be something else.

        Their arguments, which may be secrets, are not shown.
        """
        if self._commands.environment != ChildEnvironment():
            return {}
        digest = hashlib.sha256(json.dumps([self._start, self._stop]).encode()).hexdigest()[:8]
        directory = os.path.realpath(self._directory)
        return {f"what {self._start[0]} starts and {self._stop[0]} stops in {directory} (commands {digest})": True}

    def fake_status(self) -> bytes:
        """Return nothing, so that clients are held."""
        return b""

    def check(self) -> None:
        """Check whether the programs and the working directory exist.

        :raises PluginError: one of them does not.
        """
        if (problem := directory_problem(self._directory)) is not None:
            raise PluginError(f"the working directory {self._directory} {problem}")
        self._commands.environment.check()
        environment = self._commands.environment.build()
        for name in ("start", "stop", "status", "pause", "resume"):
            argv: Sequence[str] | None = getattr(self, f"_{name}")
            if argv is None:
                continue
            program = argv[0]
            if "/" in program:
                if not (self._directory / program).exists():
                    raise PluginError(f"{name}={program}...: there is no such file")
            elif find_program(program, self._directory, environment) is None:
                raise PluginError(f"{name}={program}...: there is no {program!r} in PATH: install it, or give its path")

    async def adopt(self) -> bool | Status:
        """Take the server over if it runs already. Resume it if an earlier zeroscale has paused it.

        :returns: whether it runs; `Status.stopping`: it does, and an earlier zeroscale was about to stop it.
        :raises PluginError: `status` has no result.
        """
        if self._paused_marker.exists() and self._resume is not None:
            done = await self._commands.run("resume", self._resume, self._limit)
            if done.code != 0:
                logger.warning("The paused server cannot be resumed: %s", done.summary())
            self._remove_marker()
        runs = await self._state.runs()
        if self._status is not None:
            self._poller.start()
        if not runs:
            self._stop_note.remove()
            return False
        if await self._state.may_be_wrong():
            logger.warning(
                "status= says that the server runs, but %s does not answer; waiting for it. After the start timeout "
                "start= is run all the same",
                self._state.address,
            )
        self._external.mark_running()
        self._earlier_stop = self._stop_note.find(None)
        self.status = Status.running if self._earlier_stop is None else Status.stopping
        return self.status is Status.running or self.status

    async def start(self) -> None:
        """Run `start`, and wait until `status` says that the server runs.

        :raises PluginError: the command failed, or the server does not run after it.
        """
        self.check()
        self.status = Status.starting
        self._ignore_status = self._state.has_answered = False
        self._external.begin_change()
        try:
            try:
                done = await self._commands.run("start", self._start, self._start_limit)
            except CommandTimeout as error:
                raise PluginError(f"{error}; if the command is the server itself, use the plugin generic") from None
            if done.code != 0 and self._state.is_doubted:
                done = await self._restart(done)
            if done.code != 0:
                raise PluginError(f"the start command ({self._start[0]}) failed with {done.summary()}")
            if self._state.goes_by_command and not await self._state.becomes(True, self._start_limit):
                raise PluginError(
                    f"the start command succeeded, but status= did not say within {self._start_limit:g} s that the "
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

    def doubt(self) -> bool:
        """Return whether the server may not run, though `status` says so: it does not answer.

        From then on the port decides, until `status` says that the server does not run.
        """
        if not self._state.doubt():
            return False
        self.status = Status.stopped
        self._external.observe_stopped()
        return True

    async def stop(self) -> None:
        """Run `stop`, unless an earlier zeroscale has done so, and wait until the server is gone.

        :raises PluginError: the command failed, and the server still runs.
        """
        if self.status is Status.stopped:
            return
        earlier, self._earlier_stop = self._earlier_stop, None
        before = self.status if earlier is None else Status.running
        self.status = Status.stopping
        self._ignore_status = False
        try:
            with self._stop_note.kept(None, earlier or StopProgress.requested):
                await self._stop_server(earlier)
        except PluginError:
            self.status = before
            raise
        self.status = Status.stopped
        self._external.observe_stopped()

    async def _stop_server(self, earlier: StopProgress | None) -> None:
        """Run `stop`, unless an earlier zeroscale has done so, and wait until the server is gone.

        `earlier` is how far the stop of an earlier zeroscale got; None: there was none. After it, a server that still
        runs at the end of the time limit is no error, as it may have been started since: it is taken over.
        """
        if earlier is not StopProgress.sent:
            done = await self._commands.run("stop", self._stop, self._stop_limit)
            if done.code != 0 and earlier is None and await self._state.runs() and not await self._state.may_be_wrong():
                raise PluginError(f"the stop command ({self._stop[0]}) failed with {done.summary()}")
            self._stop_note.mark_sent()
        limit = None if self._state.is_proven and earlier is None else self._stop_limit
        while not await self._state.becomes(False, limit):
            if earlier is not None:
                logger.warning(
                    "The server still runs %g s after an earlier zeroscale was killed while it stopped it: it is taken "
                    "over, as it may have been started since",
                    self._stop_limit,
                )
                return
            if not self._state.goes_by_command:
                raise PluginError(
                    f"the stop command succeeded, but {self._state.address} still answers after {self._stop_limit:g} s"
                )
            if await self._state.may_be_wrong() and self.doubt():
                return

    async def close(self) -> None:
        """End the polling and a running command."""
        self._stop_note.leave()
        self._external.close()
        self._commands.close()
        await self._poller.close()

    async def _run_pause(self) -> None:
        assert self._pause is not None
        self._ignore_status = True
        try:
            os.close(create_own(self._paused_marker, os.O_WRONLY))
            await self._run("pause", self._pause)
        except (PluginError, OSError) as error:
            self._ignore_status = False
            self._remove_marker()
            raise PluginError(str(error)) from error
        self.status = Status.paused
        # Some `status` commands say that a frozen server does not run; then they are ignored until it is resumed.
        self._ignore_status = self._status is not None and not await self._state.runs()

    async def _run_resume(self) -> None:
        assert self._resume is not None
        await self._run("resume", self._resume)
        self._remove_marker()
        self.status = Status.running
        self._ignore_status = False

    def _remove_marker(self) -> None:
        try:
            self._paused_marker.unlink(missing_ok=True)
        except OSError as error:
            logger.warning(
                "Cannot remove %s (%s): the next zeroscale runs resume= once more", self._paused_marker, error
            )

    async def _run(self, kind: str, argv: Sequence[str]) -> None:
        done = await self._commands.run(kind, argv, self._limit)
        if done.code != 0:
            raise PluginError(f"the {kind} command ({argv[0]}) failed with {done.summary()}")

    async def _restart(self, failed: CommandResult) -> CommandResult:
        """Stop a server that could not be started, as `status` may be right that it runs, and start it again.

        `failed` is the result of the start command; that of the next one is returned.
        """
        logger.warning(
            "The start command (%s) failed with %s; as status= says that the server runs, it is stopped first",
            self._start[0],
            failed.summary(),
        )
        await self._commands.run("stop", self._stop, self._stop_limit)
        await self._state.becomes(False, self._stop_limit, self._state.command_says_running)
        return await self._commands.run("start", self._start, self._start_limit)

    async def _ask_status(self) -> CommandResult:
        assert self._status is not None
        return await self._commands.run("status", self._status, self._limit, quiet=True)

    async def _poll(self) -> None:
        if self._ignores_status():
            return
        runs = await self._state.runs(in_use=self.status is Status.running)
        if self._ignores_status():
            return  # a start, stop or pause has begun in the meantime
        if runs:
            self._external.observe_running(paused=False)
        elif self._state.goes_by_command or self._state.has_answered:  # else its port may not be open yet
            self.status = Status.stopped
            self._external.observe_stopped()

    def _ignores_status(self) -> bool:
        return self._ignore_status or self.status in (Status.starting, Status.stopping)

    def _handle_found(self) -> None:
        self.status = Status.running
        if self.on_found is not None:
            self.on_found()

    def _handle_line(self, line: str) -> None:
        if self.on_output is not None:
            self.on_output(line)
