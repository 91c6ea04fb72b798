"""A server that its start command has left running in the background: find it, and tell its processes.

A start script may end while its server runs on: under tmux or screen, with `nohup ... &`, or as a daemon. Such a server
is not always in the session of the script: tmux closes the inherited lock, a tmux that ran before gives neither its
parent nor its environment, and some daemons overwrite their environment. No sign alone is enough, so all are looked at:

- it listens on the server's port, or holds a lock of the server's own (a world's);
- its environment has the variable that every server of ours gets;
- it was started in the server's directory, in a window of tmux or screen or as a daemon, at about the time when the
  script was started or ended.

Only processes that were started since the script, and only those of our own user and of the owner of the server's
directory, are looked at: others could imitate every sign. The server then is the session of each process found, if the
script has begun it (a window of tmux or screen, a daemon), else the process group. It includes the shells around the
server, such as a loop that starts it again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import weakref
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from zeroscale.process import listeners, procfs
from zeroscale.system.files import read_start, resolved

SHELLS = frozenset({"sh", "dash", "bash", "zsh", "ksh", "mksh", "ash", "fish", "busybox"})
"""Names of programs that run the server's command in a window, and may start it again."""

INIT = 1
"""The process that becomes the parent of a daemon, unless a process in between adopts it (a subreaper)."""

WINDOW_VARIABLES = (("TMUX", "TMUX_PANE"), ("STY", "WINDOW"))
"""Variables by which tmux and screen tell a program in which of their windows it runs."""

WINDOW_APPEARS_WITHIN = 2.0
"""Seconds from the end of a start command until a window of tmux or screen that it has asked for is there."""

SCRIPT_WITHIN = 3
"""Words of a command, among which its script is: `./start.sh`, `sh start.sh`, `bash -e start.sh`."""

LARGEST_SCRIPT = 64 * 1024
"""Bytes of a start script that are read."""

TRAP_ENDS_WITHIN = 10.0
"""Seconds from SIGTERM to a shell around a server that has ended; then it is hung up if it has started something."""

NEAR = 10.0
"""Seconds from the start of a command, and before its end, in which it leaves something in the background. An operator
may open a window in the server's directory at any time."""


class ServerSigns(Struct, frozen=True):
    """How the processes of one server are recognized.

    :ivar directory: the server's working directory; None: not known.
    :ivar port: the port on which it listens; None: not known.
    :ivar own_lock_holder: returns the process that holds a lock which only this server takes; None or 0: not known.
    :ivar host: the address at which it is reached; None: any.
    """

    directory: Path | None
    port: int | None = None
    own_lock_holder: Callable[[], int | None] = lambda: None
    host: str | None = None


class CommandRun(Struct, frozen=True):
    """When a start command ran, in `procfs.ticks`, and what it may have left in the background.

    :ivar started: when it was started.
    :ivar ended: when it ended; None: not known.
    :ivar ran_server: it ran the server itself, so that only an unmistakable process is one that it has left.
    :ivar succeeded: it ended by itself and reported success. A server in the foreground that fails, or is stopped, has
        left nothing; what was started then in an interactive shell, or just before its end, is the operator's.
    """

    started: int
    ended: int | None = None
    ran_server: bool = False
    succeeded: bool = False

    def may_have_left(self, start_time: int) -> bool:
        """Return whether a process that was started then can be one that the command has left."""
        if self.ran_server or start_time < self.started:
            return False
        if self.ended is not None and start_time > self.ended + procfs.TICKS * WINDOW_APPEARS_WITHIN:
            return False
        if start_time <= self.started + procfs.TICKS * NEAR:
            return True
        return self.succeeded and self.ended is not None and start_time >= self.ended - procfs.TICKS * NEAR


class BackgroundServer:
    """The processes of one server in the background.

    :param signs: how they are recognized.
    :param mark: name and value of the variable that this server's processes get.
    :ivar groups: their sessions and process groups, each with the start time of its first process, None where that has
        ended.
    :ivar is_certain: whether one of them has listened on the server's port, or held its own lock.
    :ivar was_found: whether there ever was one.
    """

    def __init__(self, signs: ServerSigns, mark: tuple[str, str]) -> None:
        self._signs = signs
        self._mark = mark
        self._young = procfs.ProcessesSince(0)
        self._server: dict[int, int] = {}
        self._around: dict[int, int] = {}
        self._is_typed = False
        self._signalled: set[int] = set()
        self._stop_began: int | None = None
        self._ended: dict[int, int] = {}
        self._server_seen = 0
        self.groups: dict[int, int | None] = {}
        self.is_certain = False
        self.was_found = False
        _tracked.add(self)

    def look(self, command: CommandRun) -> None:
        """Look for the server again, after its start command has ended."""
        if not self._is_known():
            found = self._find(command)
            if found.certain:
                around = self._ancestors(found.certain, command)
                earlier = self.groups if self.is_certain else {}
                self.groups = earlier | _groups_of({*found.certain, *around}, command)
                self._server, self._around = _with_start_times(found.certain), _with_start_times(around)
                self.is_certain = True
            elif not self.is_certain:
                self._take_likely(found, command)
        self._drop_others()
        self.was_found |= bool(self.groups)

    def _take_likely(self, found: _Found, command: CommandRun) -> None:
        likely = found.marked | found.left
        if not likely and (self._is_typed or not self.was_found):
            likely, self._is_typed = found.typed, True
        elif likely and self._is_typed:
            self.groups, self._is_typed = {}, False
        self.groups |= _groups_of(likely, command)

    def _is_known(self) -> bool:
        """Return whether there is nothing to look for. In a stop, a shell may have started the server again."""
        if self._stop_began is not None and self._server:
            return bool(self.members())
        return self.is_certain and bool(_live(self._server))

    def restore(self, groups: Mapping[int, int | None], since: int) -> None:
        """Take recorded groups, as far as they still have processes.

        :param since: when the server's command was started.
        """
        self._young = procfs.ProcessesSince(since)
        self.groups = dict(groups)
        self._drop_others()
        self.was_found = bool(self.groups)

    def look_without_groups(self, command: CommandRun | None, *, certain: bool) -> None:
        """Look for a server that an earlier zeroscale has left, and of which no group is recorded.

        :param command: when its command ran; None: not known. Then it must have our variable, as well as listen on the
            server's port or hold its own lock: an operator may have started another one by hand.
        :param certain: it must listen on the server's port or hold its own lock.

        Without a command and with a closed port nothing is looked for: it is the usual case, at each start of a server.
        """
        if command is None and (self._signs.port is None or not listeners.listeners(self._signs.port)):
            return
        run = command or CommandRun(0, ran_server=True)
        if (command is None or certain) and not self.port_is_open and not self._signs.own_lock_holder():
            return
        found = self._find(run)
        if command is None:
            processes = found.certain & found.with_variable
        else:
            processes = found.certain | (frozenset() if certain else found.marked | found.left)
        self.groups = _groups_of(processes, run)
        self.was_found = bool(self.groups)

    def members(self) -> list[int]:
        """Return the live processes; the server itself, as far as it is known, before the others."""
        members = procfs.members(procfs.unchanged(self.groups), self._young.since) if self.groups else []
        return sorted(members, key=lambda process_id: process_id not in self._server)

    def targets(self, *, all_at_once: bool = False) -> list[int]:
        """Return the processes that a signal for the server has to reach now.

        What is around the server gets it only after the server's end: a shell that ended before would close the
        window, and the server would not save. As long as it is not certain whether a process is this server's or
        another one's, it gets none.

        :param all_at_once: what is around the server gets it as well, and first: a shell may start the server again.
        """
        members = self._unshared(self.members())
        shells = self._shells(members)
        rest = [process_id for process_id in members if process_id not in shells]
        return [*shells, *rest] if all_at_once else rest or members

    def late_targets(self) -> list[int]:
        """Return those of `targets` that were found only after the last `note_signal`."""
        return [process_id for process_id in self.targets() if not self._signalled.intersection(_ids(process_id))]

    def note_signal(self) -> None:
        """Note that `targets` have been signalled."""
        self._signalled = {number for process_id in self.targets() for number in _ids(process_id)}

    def continue_stop(self, began: int | None) -> None:
        """Do what is left to do in a stop: after the server's end, end the shells around it.

        What they have started since the stop began is ended with them: it is the server again, or delays it.

        :param began: when the stop began, as `procfs.ticks`; None: now, or at the first call.
        """
        if self._stop_began is None:
            self._stop_began = procfs.ticks(0) if began is None else began
        members = self._unshared(self.members())
        if not self._server and not self._around:
            self._around = _with_start_times(self._shells(members))
            self._server = _with_start_times(set(members) - set(self._around))
        self._server = {number: start for number, start in self._server.items() if start < self._stop_began}
        now = procfs.ticks(0)
        if _live(self._server):
            self._server_seen = now
            return
        around = self._shells(members)
        others = set(members) - around
        again = {process_id for process_id in others if self._is_started_again(process_id, around)}
        if others and not again:
            return
        for process_id in {*around, *again}:
            # An interactive shell ignores SIGTERM. Another one may save in its trap, and gets each signal once.
            is_first = process_id not in self._ended
            goes_on = bool(again) and now - self._ended.get(process_id, now) > TRAP_ENDS_WITHIN * procfs.TICKS
            if is_first or goes_on:
                self._ended[process_id] = now
                with contextlib.suppress(OSError):
                    is_deaf = goes_on or procfs.ignores(process_id, signal.SIGTERM)
                    os.kill(process_id, signal.SIGHUP if is_deaf else signal.SIGTERM)

    def only_shells_are_left(self) -> bool:
        """Return whether the server has ended, but not what is around it."""
        members = self.members()
        return not _live(self._server) and self._shells(members) == set(members)

    @property
    def multiplexer_began(self) -> bool:
        """Whether a multiplexer was started since the command: the command may have asked it for a window."""
        return any(map(procfs.is_multiplexer, self._young.read()))

    def may_get_window(self, argv: Sequence[str]) -> bool:
        """Return whether a multiplexer runs that this start command, or the script that it runs, has named."""
        texts = [os.fsencode(word) for word in argv]
        for word in argv[:SCRIPT_WITHIN]:
            with contextlib.suppress(OSError, ValueError):
                texts.append(read_start((self._signs.directory or Path.cwd()) / word, LARGEST_SCRIPT) or b"")
        names = {os.fsencode(name).partition(b":")[0] for name in procfs.MULTIPLEXERS}
        return any(name in text for text in texts for name in names) and procfs.multiplexer_runs()

    def is_in_window(self) -> bool:
        """Return whether the server runs in a window of tmux, screen or the like."""
        leaders = [procfs.facts(number) for process_id in self.targets() for number in _ids(process_id)]
        return any(procfs.is_multiplexer(leader.parent) for leader in leaders if leader)

    def is_server_among(self, processes: Collection[int]) -> bool:
        """Return whether one of these processes listens on the server's port, or holds its own lock."""
        return self._signs.own_lock_holder() in processes or bool(self._listening(processes))

    def is_trusted(self, process_id: int) -> bool:
        """Return whether the process is our own user's, or of the owner of the server's directory.

        Other users could imitate the signs of a server, so that root would signal their processes, wait for them, or
        let players into them.
        """
        return _is_of(self._trusted_users(), process_id)

    @property
    def listener(self) -> str | None:
        """Who listens on the server's port, for a message; None: nobody, or the port is not known."""
        return None if self._signs.port is None else listeners.describe(self._signs.port, self._signs.host)

    @property
    def port_is_open(self) -> bool:
        """Whether any process listens on the server's port."""
        return self._signs.port is not None and bool(listeners.listeners(self._signs.port, self._signs.host))

    def _find(self, command: CommandRun) -> _Found:
        if self._young.since != command.started:
            self._young = procfs.ProcessesSince(command.started)
        own, known, marked, with_variable = set(), set(), set(), set()
        left: set[int] = set()
        typed: set[int] = set()
        name, value = self._mark
        trusted = self._trusted_users()
        directory = resolved(self._signs.directory) if self._signs.directory else None
        adopters = procfs.ancestors([os.getpid()])
        for process_id, process in self._young.read().items():
            if not _may_be_the_server(process_id, trusted):
                continue
            variables = procfs.environment(process_id)
            in_window = _is_of_another_window(variables)
            mark = variables.get(name)
            # A multiplexer gives the variable of the server that has started it to all of its windows.
            if mark not in (None, value) and not in_window:
                continue
            own.add(process_id)
            if mark == value:
                with_variable.add(process_id)
                # Where ours is inherited, so is that of unrelated programs: they come from the same window.
                if not in_window and os.environ.get(name) != value:
                    marked.add(process_id)
            in_directory = directory is not None and _is_in(directory, process_id)
            may_be_left = (
                command.may_have_left(process.start_time)
                and (in_window or _is_orphan(process_id, process.parent, adopters))
                and (command.succeeded or not _is_in_interactive_shell(process_id))
            )
            if may_be_left and (in_directory or mark == value):
                (typed if in_window and not _is_in_window_of(command, process_id) else left).add(process_id)
            if may_be_left or in_window or in_directory or process_id in marked:
                known.add(process_id)
        certain = (own & {self._signs.own_lock_holder()}) | self._listening(known)
        return _Found(
            certain=frozenset(certain),
            marked=frozenset(marked),
            left=frozenset(left),
            typed=frozenset(typed),
            with_variable=frozenset(with_variable),
        )

    def _listening(self, processes: Collection[int]) -> set[int]:
        if self._signs.port is None:
            return set()
        return set(listeners.processes(self._signs.port, self._signs.host, among=processes))

    def _trusted_users(self) -> Collection[int]:
        with contextlib.suppress(OSError):
            if self._signs.directory:
                return {os.geteuid(), self._signs.directory.stat().st_uid}
        return {os.geteuid()}

    def _ancestors(self, processes: Iterable[int], command: CommandRun) -> set[int]:
        """Return the ancestors that were left in the background with these processes."""
        ancestors = _with_start_times(procfs.ancestors(processes))
        trusted = self._trusted_users()
        return {
            process_id
            for process_id, start_time in ancestors.items()
            if command.may_have_left(start_time) and _may_be_the_server(process_id, trusted)
        }

    def _shells(self, members: Collection[int]) -> set[int]:
        """Return what is around the server: its ancestors; where the server is not known, shells."""
        if self._server or self._around:
            return _live(self._around).intersection(members)
        return {process_id for process_id in members if procfs.executable(process_id) in SHELLS}

    def _is_started_again(self, process_id: int, around: Collection[int]) -> bool:
        """Return whether the shells around the server have started it since the stop began."""
        found = procfs.facts(process_id)
        if found is None or self._stop_began is None or found.start_time < self._stop_began:
            return False
        if not procfs.ancestors([process_id]).isdisjoint(around):
            return True
        # A shell may have started it just before it got its signal and ended.
        return bool(self._ended) and found.start_time >= self._server_seen

    def _unshared(self, members: list[int]) -> list[int]:
        if self.is_certain:
            return members
        shared = {number for other in self._others() for number in other.groups}
        return [process_id for process_id in members if shared.isdisjoint(_ids(process_id))]

    def _others(self) -> list[BackgroundServer]:
        return [other for other in _tracked if other._mark != self._mark]

    def _drop_others(self) -> None:
        """Forget groups that have ended, since their numbers may be given again, and those of another server."""
        wanted = procfs.unchanged(self.groups)
        used: set[int] = set()
        for _ in range(2):  # a process that forks and ends while the table is read could hide its child once
            used |= {number for process_id in procfs.members(wanted, self._young.since) for number in _ids(process_id)}
            if used.issuperset(wanted):
                break
        if not self.is_certain:
            used -= {number for other in self._others() if other.is_certain for number in other.groups}
        self.groups = {number: self.groups[number] for number in wanted if number in used}


_tracked: weakref.WeakSet[BackgroundServer] = weakref.WeakSet()
"""The servers of this zeroscale: two that are in one directory are told from each other by their ports alone."""


class _Found(Struct, frozen=True):
    """Processes that were found.

    :ivar certain: those that listen on the server's port or hold its own lock: the server itself.
    :ivar marked: those that have inherited our variable from the start command, not from a multiplexer.
    :ivar left: those that the command may have left in a window or as a daemon: the server, as long as no process is
        certain.
    :ivar typed: those that it may have typed into a window that was open before. They may as well be what an operator
        has started there, so they count only if there are no others.
    :ivar with_variable: those with our variable.
    """

    certain: frozenset[int]
    marked: frozenset[int]
    left: frozenset[int]
    typed: frozenset[int]
    with_variable: frozenset[int]


def _may_be_the_server(process_id: int, trusted: Collection[int]) -> bool:
    """Return whether we may signal it, and it is neither in our own process group nor a multiplexer.

    A multiplexer has windows of others as well.
    """
    try:
        os.kill(process_id, 0)
        if os.getpgid(process_id) == os.getpgrp():
            return False
    except OSError:
        return False
    return _is_of(trusted, process_id) and not procfs.is_multiplexer(process_id)


def _is_of(trusted: Collection[int], process_id: int) -> bool:
    """Return whether it has the rights of these users only."""
    users = procfs.users(process_id)
    return bool(users) and users.issubset(trusted)


def _is_in(directory: Path, process_id: int) -> bool:
    found = procfs.working_directory(process_id)
    return found is not None and found.is_relative_to(directory)


def _is_of_another_window(variables: Mapping[str, str]) -> bool:
    return any(
        all(name in variables for name in names)
        and any(variables[name] != os.environ.get(name) for name in names)  # ours are inherited by what we start
        for names in WINDOW_VARIABLES
    )


def _is_orphan(process_id: int, parent: int, adopters: Collection[int]) -> bool:
    """Return whether the process has lost its parent: one that adopts orphans is init, or an ancestor of ours.

    :param adopters: our ancestors.
    """
    if parent == INIT:
        return True
    try:
        return parent in adopters and os.getsid(process_id) != os.getsid(parent)
    except OSError:
        return False


def _is_in_window_of(command: CommandRun, process_id: int) -> bool:
    """Return whether the command may have opened the window in which the process runs."""
    try:
        leader = procfs.facts(os.getsid(process_id))
    except OSError:
        return False
    return leader is not None and command.may_have_left(leader.start_time)


def _is_in_interactive_shell(process_id: int) -> bool:
    try:
        leader = os.getsid(process_id)
    except OSError:
        return False
    options = procfs.command_line(leader)[1:]
    return procfs.executable(leader) in SHELLS and all(
        option.startswith("--") or (option.startswith("-") and "c" not in option) for option in options
    )


def _ids(process_id: int) -> set[int]:
    """Return the process group and the session of a process."""
    try:
        return {os.getpgid(process_id), os.getsid(process_id)}
    except OSError:
        return set()


def _groups_of(processes: Iterable[int], command: CommandRun) -> dict[int, int | None]:
    """Return the sessions of these processes that the command has begun; of the others, the process groups."""
    groups: dict[int, int | None] = {}
    for process_id in processes:
        with contextlib.suppress(ProcessLookupError):
            number = os.getsid(process_id)
            first = procfs.facts(number)
            if first is None or not command.may_have_left(first.start_time):
                number = os.getpgid(process_id)
                first = procfs.facts(number)
            if number > INIT:
                groups[number] = first.start_time if first else None
    return groups


def _with_start_times(processes: Iterable[int]) -> dict[int, int]:
    found = ((process_id, procfs.facts(process_id)) for process_id in processes)
    return {process_id: facts.start_time for process_id, facts in found if facts is not None}


def _live(processes: Mapping[int, int]) -> set[int]:
    """Return those of the processes that live, by their start times."""
    found = ((process_id, procfs.facts(process_id)) for process_id in processes)
    return {
        process_id
        for process_id, facts in found
        if facts is not None and facts.live and facts.start_time == processes[process_id]
    }
