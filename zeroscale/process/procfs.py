"""Read from /proc which processes are alive, since when, in which session, and what they have open.

It starts, signals and waits for nothing. Where there is no /proc every answer is "unknown", never a guess.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from zeroscale.system.files import resolved

PROC = Path("/proc")

MULTIPLEXERS = frozenset({"tmux", "tmux: server", "screen", "SCREEN", "dtach", "abduco"})
"""Names of programs whose windows outlive the command that opened them."""

TICKS = os.sysconf("SC_CLK_TCK")
"""Clock ticks of a second."""

PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")
"""Bytes of a page of memory."""


class ProcessFacts(Struct, frozen=True):
    """One process at one moment, from /proc/PID/stat (proc_pid_stat(5)).

    :ivar state: the letter of its state.
    :ivar parent: its parent process.
    :ivar start_time: clock ticks from boot to its start; with the boot's id, this tells it from a later process of the
        same number.
    :ivar threads: number of its threads.
    """

    state: str
    parent: int
    start_time: int
    threads: int

    @property
    def live(self) -> bool:
        """Whether it is no zombie; after the end of its main thread, other threads show that it is none."""
        return self.state not in "ZXx" or self.threads > 1

    @property
    def stopped(self) -> bool:
        """Whether it was stopped by a signal."""
        return self.state == "T"


def facts(process_id: int) -> ProcessFacts | None:
    """Read the facts of one process; None: there is no such process (or no /proc)."""
    try:
        stat = _content(process_id, "stat")
    except OSError:
        return None
    fields = stat.rpartition(b")")[2].split()  # the name before the ")" may hold anything, spaces and ")" as well
    if len(fields) < 20:
        return None
    return ProcessFacts(
        state=fields[0].decode("ascii"),
        parent=int(fields[1]),
        start_time=int(fields[19]),
        threads=int(fields[17]),
    )


def usage(process_id: int) -> tuple[float, int] | None:
    """Return the CPU seconds that a process and its ended children have used, and the bytes of memory it has now.

    The memory is its resident set: what it shares with other processes counts for each of them. None: there is no
    such process.
    """
    try:
        fields = _content(process_id, "stat").rpartition(b")")[2].split()
    except OSError:
        return None
    if len(fields) < 22:
        return None
    return sum(map(int, fields[11:15])) / TICKS, int(fields[21]) * PAGE_SIZE


def is_live(process_id: int) -> bool:
    """Return whether a process with this number exists and is no zombie."""
    found = facts(process_id)
    return found is not None and found.live


def boot_id() -> str | None:
    """Return the id of this boot of the machine, different at each boot; None where unknown."""
    try:
        return (PROC / "sys/kernel/random/boot_id").read_bytes().decode("ascii").strip()
    except OSError:
        return None


def ticks(seconds: float) -> int:
    """Return the time in so many seconds from now, as `ProcessFacts.start_time` counts it."""
    return int((time.clock_gettime(time.CLOCK_BOOTTIME) + seconds) * TICKS)


def session_members(sessions: Collection[int]) -> list[int]:
    """Return the live processes in any of these sessions, lowest number first."""
    return _members(sessions, 0, os.getsid)


def members(ids: Collection[int], since: int = 0) -> list[int]:
    """Return the live processes in any of these sessions or process groups, lowest number first.

    :param since: only those that were started at that time or later, as `ticks` counts it.
    """
    return _members(ids, since, os.getpgid, os.getsid)


def unchanged(ids: Mapping[int, int | None]) -> list[int]:
    """Return the sessions or process groups that are still the same.

    :param ids: their numbers, each with the start time of its first process; None: that had ended.

    The kernel does not reuse a number while any process is in the session or group of that number, so a first process
    with another start time means that no process of the old one is left there.
    """
    same = []
    for number, start_time in ids.items():
        first = facts(number)
        if first is None or first.start_time == start_time:
            same.append(number)
    return same


class ProcessesSince:
    """The live processes, except this one, that were started at a time or later.

    Each earlier one costs one read, however often the others are read: a machine may have thousands.

    :param since: that time, as `ticks` counts it.
    """

    def __init__(self, since: int) -> None:
        self.since = since
        self._earlier: set[int] = set()

    def read(self) -> dict[int, ProcessFacts]:
        """Return them now."""
        process_ids = set(_process_ids()) - {os.getpid()}
        self._earlier &= process_ids
        found = {}
        for process_id in process_ids - self._earlier:
            process = facts(process_id)
            if process is not None and process.start_time < self.since:
                self._earlier.add(process_id)
            elif process is not None and process.live:
                found[process_id] = process
        return found


def ancestors(processes: Iterable[int]) -> set[int]:
    """Return the parents of these processes, and theirs, without init."""
    found: set[int] = set()
    for process_id in processes:
        descendant = facts(process_id)
        while descendant is not None and descendant.parent > 1 and descendant.parent not in found:
            found.add(descendant.parent)
            descendant = facts(descendant.parent)
    return found


def users(process_id: int) -> frozenset[int]:
    """Return its real, effective and saved user; none: there is no such process, or it is hidden."""
    try:
        status = _content(process_id, "status")
    except OSError:
        return frozenset()
    found = re.search(rb"^Uid:\t([0-9]+)\t([0-9]+)\t([0-9]+)", status, re.MULTILINE)
    return frozenset(map(int, found.groups())) if found else frozenset()


def environment(process_id: int) -> Mapping[str, str]:
    """Return the variables that the process was started with; none where they may not be read."""
    try:
        content = _content(process_id, "environ")
    except OSError:
        return {}
    pairs = (os.fsdecode(pair).partition("=") for pair in content.split(b"\0"))
    return {name: value for name, equals, value in pairs if equals}


def program_name(process_id: int) -> str | None:
    """Return the short name of its program, of at most 15 characters; None: there is no such process."""
    try:
        return _content(process_id, "comm").decode(errors="replace").rstrip("\n")
    except OSError:
        return None


def command_line(process_id: int) -> Sequence[str]:
    """Return the words of its command line; none where there is no such process."""
    try:
        content = _content(process_id, "cmdline")
    except OSError:
        return ()
    return [os.fsdecode(word) for word in content.split(b"\0")[:-1]]


def executable(process_id: int) -> str | None:
    """Return the name of the file that it runs: of a script, the interpreter's; None where that may not be read."""
    path = _link(process_id, "exe")
    return path.name.removesuffix(" (deleted)") if path else None


def ignores(process_id: int, number: int) -> bool:
    """Return whether the process ignores a signal; False where that may not be read."""
    try:
        status = _content(process_id, "status")
    except OSError:
        return False
    found = re.search(rb"^SigIgn:\s*([0-9a-f]+)", status, re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> (number - 1) & 1)


def multiplexer_runs() -> bool:
    """Return whether tmux, screen or the like runs, whoever's it is."""
    return any(is_multiplexer(process_id) and is_live(process_id) for process_id in _process_ids())


def is_multiplexer(process_id: int) -> bool:
    """Return whether the process is tmux, screen or the like, by its name."""
    return program_name(process_id) in MULTIPLEXERS


def working_directory(process_id: int) -> Path | None:
    """Return its current directory; None where that may not be read."""
    return _link(process_id, "cwd")


def standard_input(process_id: int) -> Path | None:
    """Return the file that is its standard input; None where that may not be read."""
    return _link(process_id, "fd/0")


def holders_of_sockets(inodes: Collection[int], among: Collection[int] | None = None) -> list[int]:
    """Return the processes that have any of these sockets open, except those that we may not inspect.

    :param among: look only at these processes; None: at all.
    """
    wanted = {f"socket:[{inode}]" for inode in inodes}
    candidates = _process_ids() if among is None else among
    return sorted(process_id for process_id in candidates if wanted and any(_open_files(process_id, wanted)))


def lock_holders(path: Path) -> list[int]:
    """Return the processes, except this one, that hold the flock on this file.

    Processes that merely have the file open are not among them, nor those that we may not inspect.
    """
    wanted = {str(resolved(path))}
    return sorted(
        process_id
        for process_id in _process_ids()
        if process_id != os.getpid() and any(_is_locked(process_id, name) for name in _open_files(process_id, wanted))
    )


def _members(ids: Collection[int], since: int, *ids_of: Callable[[int], int]) -> list[int]:
    found = []
    for process_id in _process_ids():
        with contextlib.suppress(OSError):
            if not any(id_of(process_id) in ids for id_of in ids_of):
                continue
            process = facts(process_id)
            if process is not None and process.live and process.start_time >= since:
                found.append(process_id)
    return sorted(found)


def _content(process_id: int, entry: str) -> bytes:
    """Return the content of /proc/PID/ENTRY.

    It is read without a Path, which interns each number: that enlarges Python's table of strings, in 3.12 for good.

    :raises OSError: there is no such process, or it may not be read.
    """
    with open(f"{PROC}/{process_id}/{entry}", "rb") as file:  # noqa: PTH123
        return file.read()


def _link(process_id: int, entry: str) -> Path | None:
    try:
        return Path(os.readlink(f"{PROC}/{process_id}/{entry}"))  # noqa: PTH115 - as in _content
    except OSError:
        return None


def _open_files(process_id: int, targets: Collection[str]) -> Iterator[str]:
    """Return the descriptors of the process that are these files; none where it may not be inspected."""
    with contextlib.suppress(OSError), os.scandir(f"{PROC}/{process_id}/fd") as descriptors:
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                if os.readlink(descriptor) in targets:  # noqa: PTH115 # a Path for each descriptor costs more
                    yield descriptor.name


def _process_ids() -> Iterator[int]:
    with contextlib.suppress(OSError), os.scandir(PROC) as entries:
        yield from (int(entry.name) for entry in entries if entry.name.isdigit())


def _is_locked(process_id: int, descriptor: str) -> bool:
    """Return whether the file is locked by this descriptor.

    A flock belongs to the open description; fdinfo names it for that description alone (proc_pid_fdinfo(5)).
    """
    try:
        return b"FLOCK" in _content(process_id, f"fdinfo/{descriptor}")
    except OSError:
        return False
