"""What the kernel knows of other processes: who lives, since when, in which session, and who holds a lock.

Reads /proc and asks the kernel; starts, signals and waits for nothing. Where there is no /proc every answer is
"unknown", never a guess.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """One process at one moment, as /proc/PID/stat has it (proc_pid_stat(5)).

    :ivar state: its state's letter.
    :ivar start_time: clock ticks from boot to its start: together with the boot, what tells it from a later process
        of the same number.
    :ivar threads: how many threads it has.
    """

    state: str
    start_time: int
    threads: int

    @property
    def live(self) -> bool:
        """Whether it can still do anything: no zombie. A process whose main thread alone has ended looks like one."""
        return self.state not in "ZXx" or self.threads > 1

    @property
    def stopped(self) -> bool:
        """Whether it was stopped by a signal."""
        return self.state == "T"


def facts(process_id: int) -> ProcessFacts | None:
    """The facts of one process; None: there is no such process (or no /proc)."""
    try:
        stat = (PROC / str(process_id) / "stat").read_bytes()
    except OSError:
        return None
    fields = stat.rpartition(b")")[2].split()  # the name before the ")" may hold anything, spaces and ")" as well
    if len(fields) < 20:
        return None
    return ProcessFacts(state=fields[0].decode("ascii"), start_time=int(fields[19]), threads=int(fields[17]))


def is_live(process_id: int) -> bool:
    """Whether a process of this number can still do anything."""
    found = facts(process_id)
    return found is not None and found.live


def boot_id() -> str | None:
    """What tells this boot of the machine from every other; None where that cannot be known."""
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None


def session_members(sessions: Collection[int]) -> list[int]:
    """The live processes in any of these sessions, lowest number first."""
    found = []
    for process_id in _process_ids():
        with contextlib.suppress(OSError):
            if os.getsid(process_id) in sessions and is_live(process_id):
                found.append(process_id)
    return sorted(found)


def has_environment(process_id: int, name: str, value: str) -> bool:
    """Whether the process was started with this in its environment; False where we may not look."""
    try:
        environment = (PROC / str(process_id) / "environ").read_bytes()
    except OSError:
        return False
    return os.fsencode(f"{name}={value}") in environment.split(b"\0")


def lock_holders(path: Path) -> list[int]:
    """The processes, but not this one, that hold the flock on this file: through the very description that has it.

    Others that merely have the file open are not among them, nor is who may not be looked into.
    """
    wanted = str(path.resolve())
    holders = []
    for process_id in _process_ids():
        if process_id == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if any(_holds(descriptor, wanted) for descriptor in (PROC / str(process_id) / "fd").iterdir()):
                holders.append(process_id)
    return sorted(holders)


def _process_ids() -> Iterator[int]:
    with contextlib.suppress(OSError), os.scandir(PROC) as entries:
        yield from (int(entry.name) for entry in entries if entry.name.isdigit())


def _holds(descriptor: Path, wanted: str) -> bool:
    """Whether this entry of /proc/PID/fd is a descriptor that has the lock on the file `wanted`."""
    try:
        if str(descriptor.readlink()) != wanted:
            return False
        # A flock belongs to the open description; fdinfo names it for that description alone (proc_pid_fdinfo(5)).
        return "FLOCK" in (descriptor.parents[1] / "fdinfo" / descriptor.name).read_text(encoding="ascii")
    except OSError:
        return False
