"""Find a server that its start command has left running in the background.

A start script may end while its server runs on: under tmux or screen, with `nohup ... &`, or as a daemon. Such a server
is not always in the session of the script: tmux closes the inherited lock, a tmux that ran before gives neither its
parent nor its environment, and some daemons overwrite their environment. No sign alone is enough, so all are looked at:

- it listens on the server's port, or holds a lock of the server's own (a world's);
- its environment has the variable that every server of ours gets;
- it was started in the server's directory while the script ran, in a window of tmux or screen or as a daemon.

Looks at processes that were started since the script, and signals none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from zeroscale.process import listeners, procfs

INIT = 1
"""The process that becomes the parent of a daemon."""

WINDOW_VARIABLES = (("TMUX", "TMUX_PANE"), ("STY", "WINDOW"))
"""Variables by which tmux and screen tell a program in which of their windows it runs."""


@dataclass(frozen=True, slots=True)
class ServerSigns:
    """How the processes of one server are recognized.

    :ivar directory: the server's working directory.
    :ivar port: the port on which it listens; None: not known.
    :ivar own_lock_holder: returns the process that holds a lock which only this server takes; None or 0: not known.
    """

    directory: Path
    port: int | None = None
    own_lock_holder: Callable[[], int | None] = lambda: None


@dataclass(frozen=True, slots=True)
class BackgroundProcesses:
    """What was found.

    :ivar certain: processes that listen on the server's port or hold its own lock: the server itself.
    :ivar likely: others with our variable, and those that the script has left in a window or as a daemon: the server,
        as long as no process is certain.
    """

    certain: frozenset[int] = frozenset()
    likely: frozenset[int] = frozenset()


def find(signs: ServerSigns, mark: tuple[str, str], *, since: int, until: int | None) -> BackgroundProcesses:
    """Look for the processes of a server.

    :param mark: name and value of the variable that this server's processes get.
    :param since: when the start command was started, as `procfs.ticks`.
    :param until: when it ended, or a little later; None: not known, so no window or daemon is taken for the script's.
    """
    started = procfs.started_since(since)
    candidates = {
        process_id: procfs.environment(process_id) for process_id in started if _may_be_the_server(process_id)
    }
    name, value = mark
    marked = {process_id for process_id, variables in candidates.items() if variables.get(name) == value}
    own = {process_id for process_id, variables in candidates.items() if variables.get(name, value) == value}
    left_by_script = {
        process_id
        for process_id in own
        if until is not None
        and started[process_id].start_time <= until
        and (_is_of_another_window(candidates[process_id]) or started[process_id].parent == INIT)
        and _is_in(process_id, signs.directory)
    }
    certain = {signs.own_lock_holder()} & own
    if signs.port is not None:
        certain |= {
            process_id
            for process_id in own.intersection(listeners.processes(signs.port))
            if process_id in marked
            or _is_of_another_window(candidates[process_id])
            or _is_in(process_id, signs.directory)
        }
    return BackgroundProcesses(
        certain=frozenset(process_id for process_id in certain if process_id), likely=frozenset(marked | left_by_script)
    )


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


def _is_in(process_id: int, directory: Path) -> bool:
    found = procfs.working_directory(process_id)
    return found is not None and found.is_relative_to(directory.resolve())
