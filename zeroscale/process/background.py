"""A server that its start command has left running in the background: find it, and tell its processes.

A start script may end while its server runs on: under tmux or screen, with `nohup ... &`, or as a daemon. Such a server
is not always in the session of the script: tmux closes the inherited lock, a tmux that ran before gives neither its
parent nor its environment, and some daemons overwrite their environment. No sign alone is enough, so all are looked at:

- it listens on the server's port, or holds a lock of the server's own (a world's);
- its environment has the variable that every server of ours gets;
- it was started in the server's directory while the script ran, in a window of tmux or screen or as a daemon.

Only processes that were started since the script are looked at. The server then is the process group of each one found,
with the shells around it, such as a loop that starts it again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from zeroscale.process import listeners, procfs
from zeroscale.system.files import resolved

SHELLS = frozenset({"sh", "dash", "bash", "zsh", "ksh", "mksh", "ash", "fish", "busybox"})
"""Names of programs that run the server's command in a window, and may start it again."""

INIT = 1
"""The process that becomes the parent of a daemon."""

WINDOW_VARIABLES = (("TMUX", "TMUX_PANE"), ("STY", "WINDOW"))
"""Variables by which tmux and screen tell a program in which of their windows it runs."""


@dataclass(frozen=True, slots=True)
class ServerSigns:
    """How the processes of one server are recognized.

    :ivar directory: the server's working directory; None: not known.
    :ivar port: the port on which it listens; None: not known.
    :ivar own_lock_holder: returns the process that holds a lock which only this server takes; None or 0: not known.
    """

    directory: Path | None
    port: int | None = None
    own_lock_holder: Callable[[], int | None] = lambda: None


class BackgroundServer:
    """The processes of one server in the background.

    :param signs: how they are recognized.
    :param mark: name and value of the variable that this server's processes get.
    :ivar groups: their process groups, each with the start time of its first process, None where that has ended.
    :ivar is_certain: whether one of them has listened on the server's port, or held its own lock.
    """

    def __init__(self, signs: ServerSigns, mark: tuple[str, str]) -> None:
        self._signs = signs
        self._mark = mark
        self._server: frozenset[int] = frozenset()
        self.groups: dict[int, int | None] = {}
        self.is_certain = False

    def look(self, *, since: int, until: int | None) -> None:
        """Look for the server again, after its start command has ended.

        :param since: when the command was started, as `procfs.ticks`.
        :param until: when it had ended; None: not known, so nothing is taken for what it has left.
        """
        found = self._find(since, until)
        if found.certain:
            self._server = found.certain
            self.groups = _groups_of(found.certain)
            self.is_certain = True
        elif not self.is_certain:
            self.groups |= _groups_of(found.likely)

    def restore(self, groups: Mapping[int, int | None]) -> None:
        """Take recorded groups, as far as they still have processes."""
        self.groups = {group: groups[group] for group in procfs.unchanged(groups) if procfs.group_members({group})}

    def look_without_record(self, since: int, *, certain: bool) -> None:
        """Look for processes with our variable that an earlier zeroscale has left.

        :param certain: they must also listen on the server's port or hold its own lock, since a multiplexer that a
            script of ours has started gives the variable to its other windows.
        """
        found = self._find(since, None)
        self.groups = _groups_of(found.likely & found.certain if certain else found.likely)

    def members(self) -> list[int]:
        """Return the live processes; the server itself, as far as it is known, before the others."""
        members = procfs.group_members(procfs.unchanged(self.groups)) if self.groups else []
        return sorted(members, key=lambda process_id: process_id not in self._server)

    def targets(self) -> list[int]:
        """Return the processes that a signal for the server has to reach now: those around it only after its end.

        A shell that ended before the server in its window would close the window, and the server would not save.
        """
        members = self.members()
        return [process_id for process_id in members if process_id not in self._around(members)] or members

    def is_only_around(self) -> bool:
        """Return whether the server itself has ended, but not what is around it."""
        members = self.members()
        return bool(members) and set(members) == self._around(members)

    @property
    def listener(self) -> str | None:
        """Who listens on the server's port, for a message; None: nobody, or the port is not known."""
        return None if self._signs.port is None else listeners.describe(self._signs.port)

    def _around(self, members: Iterable[int]) -> set[int]:
        if self.is_certain:
            live = self._server.intersection(members)
            return _ancestors(live).intersection(members) if live else set(members)
        return {process_id for process_id in members if procfs.program_name(process_id) in SHELLS}

    def _find(self, since: int, until: int | None) -> _Found:
        started = procfs.started_since(since)
        variables = {
            process_id: procfs.environment(process_id) for process_id in started if _may_be_the_server(process_id)
        }
        name, value = self._mark
        own = {process_id for process_id in variables if variables[process_id].get(name, value) == value}
        marked = {process_id for process_id in own if name in variables[process_id]}
        left = {
            process_id
            for process_id in own
            if until is not None
            and started[process_id].start_time <= until
            and (_is_of_another_window(variables[process_id]) or started[process_id].parent == INIT)
            and self._is_in_directory(process_id)
        }
        certain = {self._signs.own_lock_holder()} & own
        if self._signs.port is not None:
            certain |= {
                process_id
                for process_id in own.intersection(listeners.processes(self._signs.port))
                if process_id in marked
                or _is_of_another_window(variables[process_id])
                or self._is_in_directory(process_id)
            }
        return _Found(
            certain=frozenset(process_id for process_id in certain if process_id), likely=frozenset(marked | left)
        )

    def _is_in_directory(self, process_id: int) -> bool:
        found, wanted = procfs.working_directory(process_id), self._signs.directory
        return found is not None and wanted is not None and found.is_relative_to(resolved(wanted))


@dataclass(frozen=True, slots=True)
class _Found:
    """Processes that were found.

    :ivar certain: those that listen on the server's port or hold its own lock: the server itself.
    :ivar likely: others with our variable, and those that the script has left in a window or as a daemon: the server,
        as long as no process is certain.
    """

    certain: frozenset[int]
    likely: frozenset[int]


def multiplexer_runs() -> bool:
    """Return whether tmux, screen or the like runs: a window that it was asked for may appear after the request."""
    return any(map(procfs.is_multiplexer, procfs.started_since(0)))


def _may_be_the_server(process_id: int) -> bool:
    """Return whether we may signal it, and it is neither in our own process group nor a multiplexer.

    A multiplexer has windows of others as well.
    """
    try:
        os.kill(process_id, 0)
        return os.getpgid(process_id) != os.getpgrp() and not procfs.is_multiplexer(process_id)
    except OSError:
        return False


def _is_of_another_window(variables: Mapping[str, str]) -> bool:
    return any(
        all(name in variables for name in names)
        and any(variables[name] != os.environ.get(name) for name in names)  # ours are inherited by what we start
        for names in WINDOW_VARIABLES
    )


def _ancestors(processes: Iterable[int]) -> set[int]:
    found: set[int] = set()
    for process_id in processes:
        ancestor = procfs.facts(process_id)
        while ancestor is not None and ancestor.parent > INIT and ancestor.parent not in found:
            found.add(ancestor.parent)
            ancestor = procfs.facts(ancestor.parent)
    return found


def _groups_of(processes: Iterable[int]) -> dict[int, int | None]:
    groups: dict[int, int | None] = {}
    for process_id in processes:
        with contextlib.suppress(ProcessLookupError):
            group = os.getpgid(process_id)
            first = procfs.facts(group)
            groups[group] = first.start_time if first else None
    return groups
