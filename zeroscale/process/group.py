"""All processes of one server: find those that are alive, and signal them together.

They are identified by the session of the server's first process, and by a lock that it inherited. The kernel keeps the
lock until the last process that has it has ended, so it also shows processes without a record, and those that a start
script moved into a session of their own. A server that restarts itself closes the lock (Java does); then a variable
in its environment identifies its session. Uses no event loop, and reads no output.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from zeroscale.errors import PluginError, StateError
from zeroscale.process import procfs
from zeroscale.process.record import ProcessRecord
from zeroscale.system import lock_file

MARK = "ZEROSCALE_SERVER"
"""The environment variable that every server of ours gets; its value is the path of the server's lock."""


class ProcessGroup:
    """The processes of one server.

    :ivar environment: variables that the server must be started with.
    """

    def __init__(self, lock_path: Path) -> None:
        """Find nothing yet.

        :param lock_path: the lock's file; it is created when needed and never removed.
        """
        self.environment = {MARK: str(lock_path.resolve())}
        self._lock_path = lock_path
        self._child: subprocess.Popen[bytes] | None = None
        self._first: int | None = None
        self._sessions: dict[int, int | None] = {}

    def acquire_lock(self) -> int:
        """Acquire the lock.

        :returns: its descriptor, which the server must inherit and the caller then close.
        :raises PluginError: a process of an earlier start holds it.
        :raises OSError: its file cannot be opened.
        """
        try:
            return lock_file.acquire(self._lock_path)
        except lock_file.LockHeldError:
            raise PluginError(f"an earlier start of this server still runs: it holds {self._lock_path}") from None
        except StateError as error:
            raise PluginError(str(error)) from None

    def track_child(self, child: subprocess.Popen[bytes], record: ProcessRecord) -> None:
        """Take this child, and what it starts, as the server. Only this object may wait for the child."""
        self._child = child
        self._first = child.pid
        self._sessions = {child.pid: record.start_time}

    def find(self, record: ProcessRecord | None) -> bool:
        """Look for processes of an earlier start of the server, and take them as the server.

        Only what certainly belongs to it counts: the recorded process with the recorded start time and boot, holders
        of the lock, and processes in the recorded session that were started with this server's `MARK`.

        :returns: whether any is alive.
        :raises PluginError: one is alive, but cannot be found now: a process is hidden for a moment while it calls
            exec.
        """
        self._child = None
        self._sessions = {}
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
        return bool(holders or self._sessions)

    def lock_is_held(self) -> bool:
        """Return whether any process of any start holds the lock, whether it can be found or not."""
        return lock_file.is_held(self._lock_path)

    def members(self) -> list[int]:
        """Return every live process of the server, the first one of the start before the others."""
        if not procfs.PROC.is_dir():
            return self._child_and_its_group()
        members = procfs.session_members(self._live_sessions()) or self._lock_holders()
        return sorted(members, key=lambda process_id: process_id != self._first)

    def signal(self, number: int) -> None:
        """Send a signal to every process of the server; do nothing if all have ended.

        :raises PluginError: that is not permitted, or they cannot be found.
        """
        refused: OSError | None = None
        reached = False
        for send, target in self._targets():
            try:
                send(target, number)
                reached = True
            except ProcessLookupError:
                continue
            except OSError as error:
                refused = error
        if not reached and (refused or self.lock_is_held()):
            why = refused.strerror if refused else "its processes cannot be found"
            raise PluginError(f"cannot send {signal.Signals(number).name} to the server: {why}")

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

    def exit_code(self) -> int | None:
        """Return the exit code of the first process, 128 plus the signal's number if a signal ended it.

        None: it has not ended, or is not our child.
        """
        if self._child is None:
            return None
        if not procfs.PROC.is_dir():
            code = self._child.poll()
            return 128 - code if code is not None and code < 0 else code
        try:
            # It is not reaped before all have ended: as a zombie it keeps its number, which is the session's, in use.
            ended = os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # another part of the program has waited for it
            return None
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else 128 + ended.si_status

    def forget(self, *, running: bool = False) -> None:
        """Track no process any more: all have ended, or (`running`) are left running."""
        if self._child is not None and running:
            self._child.returncode = 0  # or Popen's destructor would warn of a child left running, which is intended
        elif self._child is not None:
            self._child.poll()
        self._child = None
        self._sessions = {}

    def _has_descendants(self, record: ProcessRecord) -> bool:
        """Return whether the recorded session still has processes of this server, though its first one has ended."""
        return any(
            procfs.has_environment(process_id, MARK, self.environment[MARK])
            for process_id in procfs.session_members({record.pid})
        )

    def _lock_holders(self) -> list[int]:
        if not self.lock_is_held():  # far cheaper than reading every descriptor of every process
            return []
        holders = list(filter(procfs.is_live, procfs.lock_holders(self._lock_path)))
        for process_id in holders:
            found = procfs.facts(process_id)
            if found and _session(process_id) == process_id:
                self._sessions[process_id] = found.start_time
        return holders

    def _live_sessions(self) -> list[int]:
        """Return our sessions, except those with a reused number.

        The kernel does not reuse a number while any process is in the session of that number, so a leader with another
        start time means that no process of ours is left there.
        """
        live = []
        for session, start_time in self._sessions.items():
            leader = procfs.facts(session)
            if leader is None or leader.start_time == start_time:
                live.append(session)
        return live

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

    def _targets(self) -> Iterator[tuple[Callable[[int, int], None], int]]:
        if not procfs.PROC.is_dir():
            yield from ((os.killpg, group) for group in self._child_and_its_group())
            return
        holders = self._lock_holders()
        members = procfs.session_members(self._live_sessions())
        groups = set()
        for process_id in members:
            with contextlib.suppress(ProcessLookupError):
                groups.add(os.getpgid(process_id))
        yield from ((os.killpg, group) for group in sorted(groups))
        yield from ((os.kill, process_id) for process_id in holders if process_id not in members)


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
