"""All processes of one server: find those that are alive, and signal them together.

They are identified by the session of the server's first process, and by a lock that it inherited. The kernel keeps the
lock until the last process that has it has ended, so it also shows processes without a record, and those that a start
script moved into a session of their own. A server that restarts itself closes the lock (Java does); then a variable
in its environment identifies its session. A server that its command has left in the background is recognized by the
signs of `background`. Uses no event loop, and reads no output.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from zeroscale.errors import PluginError, StateError
from zeroscale.process import inherited_lock, procfs
from zeroscale.process.background import BackgroundServer, CommandRun, ServerSigns
from zeroscale.process.record import ProcessRecord
from zeroscale.system import lock_file
from zeroscale.system.files import resolved

MARK = "ZEROSCALE_SERVER"
"""The environment variable that every server of ours gets; its value is the path of the server's lock."""

LOCK = "alive"
"""The name of the lock in the server's state directory."""

SIGNAL_ATTEMPTS = 20
SIGNAL_INTERVAL = 0.005
"""How often, and how many seconds apart, a signal is tried while the lock is held by a process that cannot be found: it
is hidden for a moment while it calls exec. Nothing else is done meanwhile."""


def mark_of(directory: Path) -> str:
    """Return the value of `MARK` for the server of a state directory."""
    return str(resolved(directory) / LOCK)


class ChildState(Struct, frozen=True):
    """What the system says of a server's first process.

    :ivar has_ended: also if it is not our child, so that its end cannot be observed.
    :ivar exit_code: 128 plus the signal's number if a signal ended it; None: it has not ended, or is not our child.
    """

    has_ended: bool
    exit_code: int | None = None


class ProcessGroup:
    """The processes of one server.

    :ivar environment: variables that the server must be started with.
    :ivar background: the part of the server that its command has left in the background.
    """

    def __init__(self, directory: Path, signs: ServerSigns) -> None:
        """Find nothing yet.

        :param directory: the server's state directory; the lock's file in it is created when needed and never removed.
        :param signs: how a server that its command has left in the background is recognized.
        """
        self._mark = mark_of(directory)
        self.environment = {MARK: self._mark}
        self._lock_path = directory / LOCK
        self._child: subprocess.Popen[bytes] | None = None
        self._first: int | None = None
        self._sessions: dict[int, int | None] = {}
        self._signs = signs
        self.background = self._no_background()

    def acquire_lock(self) -> int:
        """Acquire the lock.

        :returns: its descriptor, which the server must inherit and the caller then close.
        :raises PluginError: a process of an earlier start holds it.
        :raises OSError: its file cannot be opened.
        """
        try:
            return inherited_lock.acquire(self._lock_path)
        except lock_file.LockHeldError:
            raise PluginError(f"an earlier start of this server still runs: it holds {self._lock_path}") from None
        except StateError as error:
            raise PluginError(str(error)) from None

    def track_child(self, child: subprocess.Popen[bytes], record: ProcessRecord) -> None:
        """Take this child, and what it starts, as the server. Only this object may wait for the child."""
        self._mark = self.environment[MARK]
        self._forget_processes()
        self._child = child
        self._first = child.pid
        self._sessions = {child.pid: record.start_time}

    def find(self, record: ProcessRecord | None) -> bool:
        """Look for processes of an earlier start of the server, and take them as the server.

        Only what certainly belongs to it counts: the recorded process with the recorded start time and boot, holders
        of the lock, processes in the recorded session that were started with this server's `MARK`, recorded groups in
        the background, and if none was recorded what `BackgroundServer.look_without_groups` finds.

        :returns: whether any is alive.
        :raises PluginError: one is alive, but cannot be found now: a process is hidden for a moment while it calls
            exec.
        """
        self._mark = record.mark if record and record.mark else self.environment[MARK]
        self._forget_processes()
        self._first = record.pid if record else None
        if record and _is_recorded(record):
            self._sessions[record.pid] = record.start_time
            return True
        holders = self._lock_holders()
        if not holders and self.lock_is_held():
            raise PluginError(
                f"an earlier start of this server still runs and holds {self._lock_path}, but its processes cannot "
                "be found: stop it by hand"
            )
        if record and (
            self._has_descendants(record) or any(_session(process_id) == record.pid for process_id in holders)
        ):
            self._sessions[record.pid] = record.start_time
        self._find_in_background(record)
        return bool(holders or self._sessions or self.background.groups)

    @property
    def is_adopted(self) -> bool:
        """Whether the first process is not our child, so that its end and its exit code are not known."""
        return self._child is None

    def lock_is_held(self) -> bool:
        """Return whether any process of any start holds the lock, whether it can be found or not."""
        return inherited_lock.is_held(self._lock_path)

    def members(self) -> list[int]:
        """Return every live process of the server, the first one of the start before the others."""
        if not procfs.PROC.is_dir():
            return self._child_and_its_group()
        in_background = self.background.members()
        members = procfs.session_members(procfs.unchanged(self._sessions))
        if not members and not in_background:
            members = self._lock_holders()
        others = [process_id for process_id in members if process_id not in in_background]
        return sorted([*in_background, *others], key=lambda process_id: process_id != self._first)

    def usage(self) -> tuple[float, int] | None:
        """Return the CPU seconds that the processes have used in all, and the bytes of memory they have now.

        None: there are none, or there is no /proc.
        """
        found = [each for each in map(procfs.usage, self.members()) if each is not None]
        return (sum(cpu for cpu, _ in found), sum(memory for _, memory in found)) if found else None

    def signal(self, number: int) -> None:
        """Send a signal to every process of the server; do nothing if all have ended.

        :raises PluginError: that is not permitted, or they cannot be found.
        """
        self.background.note_signal()
        for attempt in range(SIGNAL_ATTEMPTS):
            if attempt:
                time.sleep(SIGNAL_INTERVAL)
            if self._reach(number) or not self.lock_is_held():
                return
        raise PluginError(f"cannot send {signal.Signals(number).name} to the server: its processes cannot be found")

    def signal_late(self, number: int) -> None:
        """Send a signal to processes in the background that were found only after `signal` had sent it."""
        for process_id in self.background.late_targets():
            with contextlib.suppress(OSError):  # they are signalled again by what comes after an unanswered signal
                os.kill(process_id, number)
        self.background.note_signal()

    def signal_first(self, number: int) -> None:
        """Send a signal to the server's first process; if that has ended, to all that are left.

        :raises PluginError: that is not permitted, or they cannot be found.
        """
        first = self._first
        if first is None or first not in self.members():
            self.signal(number)
            return
        try:
            os.kill(first, number)
        except ProcessLookupError:
            self.signal(number)
        except OSError as error:
            raise PluginError(f"cannot send {signal.Signals(number).name} to the server: {error.strerror}") from error

    def poll_child(self) -> ChildState:
        """Return whether the first process has ended, and its exit code."""
        if self._child is None:
            return ChildState(has_ended=True)
        if not procfs.PROC.is_dir():
            code = self._child.poll()
            return ChildState(code is not None, 128 - code if code is not None and code < 0 else code)
        try:
            # It is not reaped before all have ended: as a zombie it keeps its number, which is the session's, in use.
            ended = os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # another part of the program has waited for it
            return ChildState(has_ended=True)
        if ended is None:
            return ChildState(has_ended=False)
        return ChildState(True, ended.si_status if ended.si_code == os.CLD_EXITED else 128 + ended.si_status)

    def forget(self, *, running: bool = False) -> None:
        """Track no process any more: all have ended, or (`running`) are left running."""
        if self._child is not None and running:
            self._child.returncode = 0  # or Popen's destructor would warn of a child left running, which is intended
        elif self._child is not None:
            self._child.poll()
        self._forget_processes()

    def _forget_processes(self) -> None:
        self._child = None
        self._sessions = {}
        self.background = self._no_background()

    def _no_background(self) -> BackgroundServer:
        return BackgroundServer(self._signs, (MARK, self._mark))

    def _find_in_background(self, record: ProcessRecord | None) -> None:
        if record and (record.boot_id is None or record.boot_id != procfs.boot_id()):
            record = None
        if record:
            self.background.restore(record.background, record.start_time or 0)
        if not self.background.groups and not self._sessions:
            command = None
            if record and record.start_time is not None:
                command = CommandRun(record.start_time, ran_server=record.ready is not None)
            self.background.look_without_groups(command, certain=bool(record and record.background))

    def _has_descendants(self, record: ProcessRecord) -> bool:
        """Return whether the recorded session still has processes of this server, though its first one has ended."""
        return any(
            procfs.environment(process_id).get(MARK) == self._mark and self.background.is_trusted(process_id)
            for process_id in procfs.session_members({record.pid})
        )

    def _lock_holders(self) -> list[int]:
        holders = inherited_lock.holders(self._lock_path)
        for process_id in holders:
            found = procfs.facts(process_id)
            if found and _session(process_id) == process_id:
                self._sessions[process_id] = found.start_time
        return holders

    def _reach(self, number: int) -> bool:
        """Send a signal to every process that can be found now; return whether there was one."""
        refused: OSError | None = None
        reached = False
        for send, target in self._targets(all_at_once=number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT)):
            try:
                send(target, number)
                reached = True
            except ProcessLookupError:
                continue
            except OSError as error:
                refused = error
        if refused is not None and not reached:
            name = signal.Signals(number).name
            raise PluginError(f"cannot send {name} to the server: {refused.strerror}")
        return reached

    def _child_and_its_group(self) -> list[int]:
        """Return the child while its process group has any process: all that is known where there is no /proc."""
        if self._child is None:
            return []
        self._child.poll()  # reaps it: a zombie would still count as a process of the group
        try:
            os.killpg(self._child.pid, 0)
        except ProcessLookupError:
            return []
        except PermissionError:
            return [self._child.pid]
        return [self._child.pid]

    def _targets(self, *, all_at_once: bool) -> Iterator[tuple[Callable[[int, int], None], int]]:
        if not procfs.PROC.is_dir():
            yield from ((os.killpg, group) for group in self._child_and_its_group())
            return
        holders = self._lock_holders()
        members = procfs.session_members(procfs.unchanged(self._sessions))
        # Only `BackgroundServer.targets` knows which of its own processes must not get the signal yet.
        in_background = set(self.background.members())
        alone: list[int] = []
        groups: dict[int, list[int]] = {}
        for process_id in members:
            with contextlib.suppress(ProcessLookupError):
                groups.setdefault(os.getpgid(process_id), []).append(process_id)
        for group, processes in sorted(groups.items()):
            if in_background.isdisjoint(processes):
                yield os.killpg, group
            else:
                alone += processes
        others = [process_id for process_id in holders if process_id not in members]
        background = self.background.targets(all_at_once=all_at_once)
        alone = [process_id for process_id in [*alone, *others] if process_id not in in_background]
        yield from ((os.kill, process_id) for process_id in [*background, *alone])


def _is_recorded(record: ProcessRecord) -> bool:
    found = procfs.facts(record.pid)
    return (
        found is not None
        and found.live
        and found.start_time == record.start_time
        and record.boot_id is not None
        and record.boot_id == procfs.boot_id()
    )


def _session(process_id: int) -> int | None:
    try:
        return os.getsid(process_id)
    except OSError:
        return None
