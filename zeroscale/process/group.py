"""All processes of one server as one: which live, and a signal to every one of them.

They are known by the session of the server's first process, and by a lock that it inherited: the kernel keeps it
until the last process that has it is gone, so it tells the truth also when nobody wrote anything down, and of what
a start script sent into a session of its own. A server that restarts itself closes it (Java does); then a name in its
environment tells whose session it is. Knows no event loop, and reads no output.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from zeroscale.errors import PluginError
from zeroscale.process import procfs
from zeroscale.process.record import ProcessRecord

MARK = "ZEROSCALE_SERVER"
"""The name of what every server of ours finds in its environment."""


class ProcessGroup:
    """The processes of one server.

    :ivar environment: what the server is to find in its environment.
    """

    def __init__(self, lock_path: Path) -> None:
        """Finds none yet.

        :param lock_path: the lock's file; it is made when needed and never taken away.
        """
        self.environment = {MARK: str(lock_path.resolve())}
        self._lock_path = lock_path
        self._child: subprocess.Popen[bytes] | None = None
        self._first: int | None = None
        self._sessions: dict[int, int | None] = {}

    def acquire_lock(self) -> int:
        """The lock's descriptor, which the server is to inherit and the caller then to close.

        :raises PluginError: a process of an earlier start has it.
        :raises OSError: its file cannot be opened.
        """
        lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise PluginError(f"an earlier start of this server still lives: it holds {self._lock_path}") from None
        except OSError:
            os.close(lock)
            raise
        return lock

    def started(self, child: subprocess.Popen[bytes], record: ProcessRecord) -> None:
        """The server is this child of ours and what it starts. Nobody else may wait for the child."""
        self._child = child
        self._first = child.pid
        self._sessions = {child.pid: record.start_time}

    def find(self, record: ProcessRecord | None) -> bool:
        """Looks for an earlier start of the server; True: some of it lives, and is what `self` now means.

        Only what certainly is its own counts: the recorded process with the recorded start time and boot, who holds
        the lock, and who is in the recorded session and was given this server's environment.

        :raises PluginError: one lives, but cannot be found (now: a process that is just replacing itself may hide).
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
                f"an earlier start of this server still lives and holds {self._lock_path}, but its processes cannot "
                "be found: stop it by hand"
            )
        if record and (
            self._has_descendants(record) or any(_session(process_id) == record.pid for process_id in holders)
        ):
            self._sessions[record.pid] = record.start_time
        return bool(holders or self._sessions)

    def lock_is_held(self) -> bool:
        """Whether any process of any start has the lock, found or not."""
        try:
            probe = os.open(self._lock_path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(probe, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two who only ask do not see each other
        except BlockingIOError:
            return True
        finally:
            os.close(probe)
        return False

    def members(self) -> list[int]:
        """Every live process of the server, its first one before the others."""
        if not procfs.PROC.is_dir():
            return self._child_and_its_group()
        members = procfs.session_members(self._live_sessions()) or self._lock_holders()
        return sorted(members, key=lambda process_id: process_id != self._first)

    def signal(self, number: int) -> None:
        """Sends a signal to every process of the server; to none if all are gone.

        :raises PluginError: the system does not let us, or hides them.
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
        """Sends a signal to the server's first process; where that is gone, to every one that is left.

        :raises PluginError: the system does not let us, or hides them.
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
        """The exit code of the first process, 128 plus the signal's number if a signal ended it.

        None: it has not ended, or is no child of ours.
        """
        if self._child is None:
            return None
        if not procfs.PROC.is_dir():
            code = self._child.poll()
            return 128 - code if code is not None and code < 0 else code
        try:
            # Not reaped before all are gone: a zombie keeps its number, and so its session's, from being given again.
            ended = os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # somebody else has waited for it
            return None
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else 128 + ended.si_status

    def forget(self, *, running: bool = False) -> None:
        """Lets the server go: all of it is gone, or (`running`) is left to live on."""
        if self._child is not None and running:
            self._child.returncode = 0  # else its destructor warns of a child left running, which is what is wanted
        elif self._child is not None:
            self._child.poll()
        self._child = None
        self._sessions = {}

    def _has_descendants(self, record: ProcessRecord) -> bool:
        """Whether the first process is gone, but not its session."""
        return any(
            procfs.has_environment(process_id, MARK, self.environment[MARK])
            for process_id in procfs.session_members({record.pid})
        )

    def _lock_holders(self) -> list[int]:
        if not self.lock_is_held():  # far cheaper than looking at every descriptor of every process
            return []
        holders = list(filter(procfs.is_live, procfs.lock_holders(self._lock_path)))
        for process_id in holders:
            found = procfs.facts(process_id)
            if found and _session(process_id) == process_id:
                self._sessions[process_id] = found.start_time
        return holders

    def _live_sessions(self) -> list[int]:
        """Our sessions, less those whose number now belongs to something else.

        A number is not given out again while any process is in the session of that number, so a leader with another
        start time means that nothing of ours is left there.
        """
        live = []
        for session, start_time in self._sessions.items():
            leader = procfs.facts(session)
            if leader is None or leader.start_time == start_time:
                live.append(session)
        return live

    def _child_and_its_group(self) -> list[int]:
        """Where there is no /proc: a group's number stands for all of it."""
        if self._child is None:
            return []
        self._child.poll()  # a zombie would still count as one of its group
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
