"""A server as a child process that survives zeroscale and is adopted by the next one.

It combines the server's console (`console_files`), processes (`group`) and record (`record`), and polls them. Plain
asyncio. Uses no plugin, no game protocol and no idle time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from zeroscale.errors import PluginError, StartRefused
from zeroscale.process import procfs
from zeroscale.process.background import WINDOW_APPEARS_WITHIN, CommandRun, ServerSigns
from zeroscale.process.console_files import READ_SIZE, InputFifo, OutputFile
from zeroscale.process.directory_lock import DirectoryLock
from zeroscale.process.environment import ChildEnvironment
from zeroscale.process.group import ProcessGroup
from zeroscale.process.record import FILE, ProcessRecord, StopProgress, load_record
from zeroscale.process.spawn import PASSING_ERRORS, spawn
from zeroscale.server_log import ServerLog
from zeroscale.system.files import make_private, resolved

logger = logging.getLogger("zeroscale.server")

STARTING_INTERVAL = 0.02
RUNNING_INTERVAL = 1.0
"""Seconds between reads of the output file, before and after the ready line (epoll does not take files)."""

SHARE_OF_START = 0.01
"""The interval between reads, as a share of the time since the start and between the two above, of a server of which no
ready line is known (`--ready line:` may wait for one all the same), or that is silent."""

CATCH_UP_INTERVAL = 0.01
"""Seconds between reads while output comes faster than we read: leaves time for other work."""

QUIET_AFTER = 30.0
"""Seconds without output after which even a starting server is read less often."""

LONGEST_START = 900.0
"""Seconds after which a server that never prints the expected ready line is read less often."""

EXIT_INTERVAL = 0.25
"""Seconds between polls of the processes where no pidfd announces their end: the kernel has none (before Linux 5.3,
macOS), or the lock is held by a process that cannot be found."""

PIDFD_RECHECK_INTERVAL = 10.0
"""Seconds between polls of the processes where a pidfd announces their end: the number of the process may have been
reused before the pidfd was opened."""

UNCLEAR_INTERVAL = 1.0
"""Seconds between polls of the processes until one is known to be the server, and in the stop of a background one."""

UNCLEAR_AT_MOST = 60.0
"""Seconds for which it is looked for so often: a client of a container engine, say, never opens the port here."""

SHELLS_END_WITHIN = 10.0
"""Seconds from the end of a server in the background for which the shells around it may start it again. One that does
nothing since then is left alone, such as that of a window in which the server's command was typed."""

PORT_CLOSES_WITHIN = 10.0
"""Seconds from the end of the last process of a server in the background until its port must be closed."""

HIDDEN_AT_MOST = 0.5
"""Seconds from the end of a start command for which a daemon that it has left may not be recognized: while it calls
exec, neither its directory nor its variables can be read."""

NAMED_AT_MOST = 5
"""Processes that a message names."""

FIND_ATTEMPTS = 20
FIND_INTERVAL = 0.05
"""How often, and how many seconds apart, we look for the holders of the lock."""


class ServerProcess:
    """One server's process, with everything that it starts: signalled together, and ended once all have ended.

    :ivar ready: the line of output by which it became ready; None until then.
    :ivar listener: after its end: who listens on its port nevertheless, though its command has ended with 0 and no
        process of it could be identified; else None.
    """

    def __init__(
        self,
        state_directory: Path,
        *,
        on_line: Callable[[str], None] | None = None,
        ready_line: str | None = None,
        exclusive_directory: Path | None = None,
        signs: ServerSigns | None = None,
    ) -> None:
        """Start nothing yet.

        :param state_directory: this server's own directory; it exists.
        :param on_line: called with each line of output, without colours and other controls.
        :param ready_line: a regular expression; the first line in which it is found is `ready`.
        :param exclusive_directory: a directory in which no server of another zeroscale may run at the same time.
        :param signs: how the server is recognized if its command leaves it in the background; None: only by what it
            inherits.
        """
        self.ready: str | None = None
        self.listener: str | None = None
        self._on_line = on_line
        self._ready_line = re.compile(ready_line) if ready_line else None
        self._group = ProcessGroup(state_directory, signs or ServerSigns(None))
        self._directory_lock = DirectoryLock(exclusive_directory) if exclusive_directory else None
        self._output = OutputFile(state_directory / "console.log", self._line)
        self._input = InputFifo(state_directory / "stdin")
        self._record_path = state_directory / FILE
        self._log = ServerLog(logger, state_directory.name)
        self._record: ProcessRecord | None = None
        self._exit_code: int | None = None
        self._end: asyncio.Future[int | None] | None = None
        self._command: CommandRun | None = None
        self._command_ended = self._last_seen = 0.0
        self._command_seen = self._ran_server = False
        self._stop_signal: int | None = None
        self._warned_of_background = False
        self._pidfd: int | None = None
        self._exit_timer: asyncio.TimerHandle | None = None
        self._output_timer: asyncio.TimerHandle | None = None
        self._last_output = self._started_at = 0.0
        self._paused = False
        self._muted = False
        self._output_failed = False
        self._record_failed = False

    @property
    def alive(self) -> bool:
        """Whether any process of the server is alive, by the last poll."""
        return self._end is not None and not self._end.done()

    @property
    def pid(self) -> int | None:
        """The number of its first process, also after that has ended; None where unknown."""
        return self._record.pid if self._record else None

    @property
    def stop_progress(self) -> StopProgress | None:
        """How far the stop of this run has got, also if an earlier zeroscale began it; None: it is not to stop."""
        return self._record.stop if self._record else None

    @property
    def last_lines(self) -> Sequence[str]:
        """The last lines of its output, oldest first, bounded in number and length."""
        return tuple(self._output.last_lines)

    def usage(self) -> tuple[float, int] | None:
        """Return the CPU seconds that its processes have used, and their bytes of memory; see `ProcessGroup.usage`."""
        return self._group.usage() if self.alive else None

    @property
    def reads_console(self) -> bool:
        """Whether lines of `send` can reach the server; not if its command has left it with another standard input."""
        return self._command is None or any(
            procfs.standard_input(member) == resolved(self._input.path) for member in self._group.members()
        )

    async def start(
        self, argv: Sequence[str], *, working_directory: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start the server; return once its program runs. For the parameters see `spawn.spawn`.

        :raises PluginError: it cannot be started, or an earlier start of it still runs.
        """
        if self.alive or await self._find(load_record(self._record_path)):
            raise PluginError(f"an earlier start of this server still runs; {self._record_path} names its process")
        try:
            with contextlib.ExitStack() as always, contextlib.ExitStack() as on_failure:
                make_private(self._record_path.parent)
                # Only the server keeps the locks: with a descriptor of ours they would outlive it.
                locks = [self._group.acquire_lock()]
                always.callback(os.close, locks[0])
                if self._directory_lock is not None and (directory_lock := self._directory_lock.acquire()) is not None:
                    locks.append(directory_lock)
                    always.callback(self._directory_lock.remove)  # does nothing once the server holds it
                    always.callback(os.close, directory_lock)
                self._record_path.unlink(missing_ok=True)
                self._output.rotate()
                self._output.open()
                on_failure.callback(self._output.close)
                self._input.create()
                on_failure.callback(self._input.remove)
                output = self._output.open_for_child()
                always.callback(os.close, output)
                input_ = self._input.open_for_child()
                always.callback(os.close, input_)
                child = spawn(
                    argv,
                    working_directory=working_directory,
                    environment={
                        **(ChildEnvironment().build() if environment is None else environment),
                        **self._group.environment,
                    },
                    standard_input=input_,
                    standard_output=output,
                    pass_fds=locks,
                )
                on_failure.callback(self._kill_unwatched, child)
                always.close()  # or our own descriptors would say that a server which has ended at once still runs
                self._watch_child(child, argv)
                on_failure.pop_all()
        except OSError as error:
            kind = StartRefused if error.errno in PASSING_ERRORS else PluginError
            raise kind(f"cannot keep the server's console and record: {error}") from error
        except MemoryError as error:
            raise StartRefused("cannot start the server: no memory is left") from error

    async def adopt(self) -> bool:
        """Take over a server that an earlier zeroscale started from the same state directory, if it still runs.

        A paused one is resumed. Its exit code cannot be known.

        :returns: whether one runs.
        :raises PluginError: one runs, but it cannot be found.
        """
        if self.alive:
            return True
        record = load_record(self._record_path)
        if not await self._find(record):
            return False
        self._record = record
        members = self._group.members()
        self._log.debug("adopting process %s", ", ".join(map(str, members)))
        try:
            self._input.open()
        except OSError as error:
            self._log.warning("the adopted server's console takes no input: %s", error)
        try:
            self._output.open(from_end=READ_SIZE)
        except OSError as error:
            self._log.warning("the adopted server's output cannot be read: %s", error)
        if any(found.stopped for found in map(procfs.facts, members) if found):
            self._group.signal(signal.SIGCONT)
        self._begin(adopted=True)
        return True

    async def wait(self) -> int | None:
        """Wait until every process of the server has ended.

        :returns: the exit code of its first process, 128 plus the signal's number if a signal ended it; None where
            that cannot be known (an adopted server), or if there was none.
        """
        if self._end is None:
            return None
        return await asyncio.shield(self._end)

    def record_stop(self, progress: StopProgress) -> None:
        """Write down how far the stop of this run has got: the next zeroscale continues it if this one is killed.

        A record that cannot be written is logged, does not prevent the stop, and is written later.
        """
        if self._record is not None:
            self._note_server_of_command(self._group.members())
            self._record = self._record.with_stop(progress, procfs.ticks(0))
            self._save_record()
            self._look_in_background()

    def signal(self, number: int) -> None:
        """Send a signal to every process of the server; do nothing if all have ended. A paused server is resumed.

        :raises PluginError: that is not permitted.
        """
        if not self.alive:
            return
        self._look_in_background()
        self._group.signal(number)
        if number not in (signal.SIGSTOP, signal.SIGCONT):
            self._stop_signal = number
        if self._paused and number not in (signal.SIGSTOP, signal.SIGCONT, signal.SIGKILL):
            self.resume()  # a stopped process takes nothing but SIGKILL

    def signal_first(self, number: int) -> None:
        """Send a signal to the server's first process; if that has ended, to all that are left.

        :raises PluginError: that is not permitted.
        """
        if self.alive:
            self._group.signal_first(number)

    def pause(self) -> None:
        """Stop every process of the server with SIGSTOP, and stop reading its output.

        :raises PluginError: that is not permitted, or not possible.
        """
        if self._group.background.is_in_window():
            raise PluginError("it runs in a window of tmux or screen, which continue a process that is paused")
        self.signal(signal.SIGSTOP)
        self._paused = True
        self._stop_reading()

    def resume(self) -> None:
        """Continue the processes that `pause` has stopped.

        :raises PluginError: that is not permitted.
        """
        was_paused, self._paused = self._paused, False
        if was_paused:
            self._poll_processes()
        self.signal(signal.SIGCONT)
        if was_paused and self.alive:
            self._poll_output()

    def send(self, line: str) -> None:
        """Write one line to the server's console.

        :raises PluginError: it cannot be written now; the message says why.
        """
        if not self.reads_console:
            raise PluginError("the server runs in the background, where it does not read its console")
        self._input.send(line)

    def detach(self) -> None:
        """Leave the server running, for the next zeroscale to adopt. `wait()` is cancelled."""
        self._stop_watching()
        self._stop_reading()
        self._output.close()
        self._input.close()
        self._group.forget(running=True)
        if self._end is not None:
            self._end.cancel()

    def _watch_child(self, child: subprocess.Popen[bytes], argv: Sequence[str]) -> None:
        found = procfs.facts(child.pid)
        self._record = ProcessRecord(
            pid=child.pid,
            start_time=found.start_time if found else None,
            boot_id=procfs.boot_id(),
            argv=tuple(argv),
        )
        self._group.track_child(child, self._record)
        self._save_record()
        self._begin()

    def _kill_unwatched(self, child: subprocess.Popen[bytes]) -> None:
        """Kill a server that was just started: an error prevents that it is watched, so nothing would stop it."""
        self._stop_watching()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        self._finish()

    async def _find(self, record: ProcessRecord | None) -> bool:
        for _attempt in range(FIND_ATTEMPTS - 1):
            try:
                return self._group.find(record)
            except PluginError:
                await asyncio.sleep(FIND_INTERVAL)
        return self._group.find(record)

    def _begin(self, *, adopted: bool = False) -> None:
        loop = asyncio.get_running_loop()
        self._exit_code = None
        self._paused = False
        self._command = self._stop_signal = self.listener = None
        self._command_seen = not adopted
        self._warned_of_background = False
        self._end = loop.create_future()
        self._started_at = self._last_output = loop.time()
        self.ready = self._record.ready if self._record else None
        self._ran_server = self.ready is not None
        if adopted:
            self._muted = True  # the last zeroscale has reported this output; only the ready line is of interest
            self._read_output()
            self._muted = False
            if self.ready is not None:
                self._report(self.ready)
        self._poll_output()
        self._poll_processes()

    def _save_record(self) -> None:
        if self._record is None:
            return
        try:
            self._record.save(self._record_path)
        except OSError as error:  # a disk may recover
            if not self._record_failed:
                self._log.warning(
                    "the record of the server's process cannot be written now; its lock has to do: %s", error.strerror
                )
            self._record_failed = True
        else:
            self._record_failed = False

    def _poll_processes(self) -> None:
        """While a process is left, wait for its end and poll again: that finds what it started in between."""
        if not self.alive:
            return
        self._stop_watching()
        if self._record_failed:
            self._save_record()
        # Twice: a process that forks and ends while the table is read could hide its child once.
        members = self._group.members() or self._group.members()
        child = self._group.poll_child()
        if self._exit_code is None:
            self._exit_code = child.exit_code
        loop = asyncio.get_running_loop()
        if self._command is None:
            self._follow_command(members)
        if self._command is not None:
            self._look_in_background()
            members = self._group.members()
        if members and not (self._is_background and self._group.background.only_shells_are_left()):
            self._last_seen = loop.time()
        if members:
            has_ended = loop.time() - self._last_seen > SHELLS_END_WITHIN and not self._group.lock_is_held()
        else:
            # A child that calls exec is hidden, and lets go of the lock before its end can be seen.
            has_ended = child.has_ended and not self._group.lock_is_held() and not self._may_still_appear(loop.time())
        if has_ended:
            self._finish()
            return
        announced = False
        if members:
            # Errors: the system has no pidfds, or the process has just ended.
            with contextlib.suppress(AttributeError, OSError):
                self._pidfd = os.pidfd_open(members[0])
                loop.add_reader(self._pidfd, self._poll_processes)
                announced = True
        if announced and self._paused and self._command is None and not self._record_failed:
            return  # stopped processes start no others; `resume` polls again
        interval = PIDFD_RECHECK_INTERVAL if announced else EXIT_INTERVAL
        if self._is_unclear():
            interval = min(interval, UNCLEAR_INTERVAL)
        self._exit_timer = loop.call_later(interval, self._poll_processes)

    def _is_unclear(self) -> bool:
        """Return whether the processes have to be polled more often than at the end of one of them."""
        if self._command is None:
            return not self._ran_server and asyncio.get_running_loop().time() - self._started_at < UNCLEAR_AT_MOST
        if not self._group.background.groups:
            return False
        return self._is_stopping or (
            not self._group.background.is_certain
            and asyncio.get_running_loop().time() - self._command_ended < UNCLEAR_AT_MOST
        )

    def _follow_command(self, members: Sequence[int]) -> None:
        """Note that the start command runs the server itself, or that it has ended."""
        if self._exit_code is None and (not self._group.is_adopted or self.pid in members):
            self._command_seen = True
            self._note_server_of_command(members)
            return
        if self._command_seen and self._stop_signal is None and self._is_stopping:
            self._stop_signal = signal.SIGTERM  # what the command was asked has not reached what it has left
        started = self._record.start_time if self._record else None
        self._command_ended = self._last_seen = asyncio.get_running_loop().time()
        self._command = CommandRun(
            started or 0,
            ended=procfs.ticks(0) if self._command_seen else None,
            ran_server=self._ran_server or self.ready is not None or started is None,
            succeeded=self._command_seen and not self._exit_code and not self._is_stopping,
        )

    def _note_server_of_command(self, members: Sequence[int]) -> None:
        if self._command is None and not self._ran_server:
            self._ran_server = self._group.background.is_server_among(members)

    def _look_in_background(self) -> None:
        if self._record is None or self._command is None:
            return
        background = self._group.background
        background.look(self._command)
        if background.groups != self._record.background:
            self._record = self._record.with_background(background.groups)
            self._save_record()
        self._warn_of_background()
        if not self._is_stopping or not self._is_background:
            return
        background.continue_stop(self._record.stop_began)
        if self._stop_signal is not None:
            self._group.signal_late(self._stop_signal)

    @property
    def _is_stopping(self) -> bool:
        return self.stop_progress is not None or self._stop_signal is not None

    @property
    def _is_background(self) -> bool:
        """Whether the server was left in the background: what outlives one that the command ran is not the server."""
        background = self._group.background
        return background.was_found and (background.is_certain or not self._ran_server)

    def _warn_of_background(self) -> None:
        if self._warned_of_background or self._is_stopping or not self._is_background:
            return
        if self.reads_console:
            return
        members = self._group.members()
        if not members:
            return
        self._warned_of_background = True
        self._log.warning(
            "the start command has ended, and its server runs in the background (%s): it cannot be reached by its "
            "console, and its output is not seen. Have the command run it in the foreground: without tmux, screen, "
            "nohup and &, and with exec in a script",
            ", ".join(f"process {member} ({procfs.program_name(member)})" for member in members[:NAMED_AT_MOST]),
        )

    def _may_still_appear(self, now: float) -> bool:
        """Return whether, though no process is left, the server has not ended for certain."""
        if self._command is None:
            return False
        if self._is_background:
            gone_for = now - self._last_seen
            if gone_for < WINDOW_APPEARS_WITHIN and not self._group.background.is_certain and not self._is_stopping:
                return True  # of several commands in one line the next one begins
            return gone_for < PORT_CLOSES_WITHIN and self._group.background.port_is_open
        if self._command.ran_server or now - self._command_ended >= WINDOW_APPEARS_WITHIN:
            return False
        if self._command.succeeded and now - self._command_ended < HIDDEN_AT_MOST:
            return True
        background = self._group.background
        return background.multiplexer_began or (
            self._command.succeeded and self._record is not None and background.may_get_window(self._record.argv)
        )

    def _stop_watching(self) -> None:
        if self._exit_timer is not None:
            self._exit_timer.cancel()
            self._exit_timer = None
        if self._pidfd is not None:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None

    def _finish(self) -> None:
        exit_code, background = self._exit_code, self._group.background
        if exit_code == 0 and not self._is_stopping and not background.was_found:
            self.listener = background.listener
        if exit_code and background.is_certain:
            exit_code = None  # it is the script's, not the server's
        self._stop_reading()
        try:
            self._output.finish()
        except OSError as error:
            self._log.warning("the server's last output cannot be read: %s", error)
        try:
            self._input.remove()
            self._record_path.unlink(missing_ok=True)
        except OSError as error:
            self._log.warning("files of the server that has ended cannot be removed: %s", error)
        self._group.forget()
        if self._directory_lock is not None:
            self._directory_lock.remove()
        if self._end is not None and not self._end.done():
            self._end.set_result(exit_code)

    def _poll_output(self) -> None:
        loop = asyncio.get_running_loop()
        read = self._read_output()
        now = loop.time()
        if read:
            self._last_output = now
        interval = CATCH_UP_INTERVAL if read >= READ_SIZE else self._output_interval(now)
        self._output_timer = loop.call_later(interval, self._poll_output)

    def _output_interval(self, now: float) -> float:
        if self.ready is not None:
            return RUNNING_INTERVAL
        elapsed = now - self._started_at
        if self._ready_line is not None and elapsed < LONGEST_START and now - self._last_output < QUIET_AFTER:
            return STARTING_INTERVAL
        return min(max(STARTING_INTERVAL, SHARE_OF_START * elapsed), RUNNING_INTERVAL)

    def _read_output(self) -> int:
        try:
            read = self._output.read()
        except OSError as error:  # a disk may recover
            if not self._output_failed:
                self._log.warning("the server's output cannot be read now: %s", error)
            self._output_failed = True
            return 0
        self._output_failed = False
        return read

    def _stop_reading(self) -> None:
        if self._output_timer is not None:
            self._output_timer.cancel()
            self._output_timer = None

    def _line(self, line: str) -> None:
        if self.ready is None and self._ready_line is not None and self._ready_line.search(line):
            self.ready = line
            if self._record is not None:
                self._record = self._record.with_ready(line)
                self._save_record()
        if not self._muted:
            self._report(line)

    def _report(self, line: str) -> None:
        if self._on_line is None:
            return
        try:
            self._on_line(line)
        except Exception:
            self._log.exception("a line of the server's output could not be handled")
