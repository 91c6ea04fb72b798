"""The record of a running server's process, by which the next zeroscale finds it again.

Reads and writes the file, and does not look at processes. The file is not synced to the disk: it means nothing after
a power cut, since no process survives one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import asdict, replace

from zeroscale.system.files import load, write_atomically

VERSION = 1
FILE = "process.json"
"""The name of the record in the server's state directory."""

LARGEST_RECORD = 1024 * 1024
"""Bytes: Linux takes no longer command line by default (execve(2), a quarter of an 8 MiB stack is 2 MiB)."""


class StopProgress(StrEnum):
    """How far a stop of the server has got."""

    requested = "requested"
    """The server is to be asked to stop, and may have been asked."""
    sent = "sent"
    """It has been asked."""


class ProcessRecord(Struct, frozen=True):
    """One start of a server.

    :ivar pid: its first process, which leads a session and a process group of the same number.
    :ivar start_time: when that process started, in clock ticks since boot; None where unknown.
    :ivar boot_id: the boot in which that was; None where unknown.
    :ivar argv: its command.
    :ivar ready: the line of output by which it became ready; None until then.
    :ivar stop: how far its stop has got; None: it is not to stop.
    :ivar stop_began: when that began, in clock ticks since boot; None where unknown.
    :ivar background: the process groups in which it runs after its command has ended; each with the start time of its
        first process, None where that has ended.
    :ivar mark: the value of `group.MARK` in its environment; None: it is that of the directory the record is in.
    """

    pid: int
    start_time: int | None
    boot_id: str | None
    argv: Sequence[str]
    ready: str | None = None
    stop: StopProgress | None = None
    stop_began: int | None = None
    background: Mapping[int, int | None] = field(default_factory=dict)
    mark: str | None = None

    def with_ready(self, line: str) -> ProcessRecord:
        """Return the record of the same start, ready by that line."""
        return replace(self, ready=line)

    def with_stop(self, progress: StopProgress, now: int) -> ProcessRecord:
        """Return the record of the same start, which is being stopped.

        :param now: the time, in clock ticks since boot.
        """
        return replace(self, stop=progress, stop_began=now if self.stop_began is None else self.stop_began)

    def with_background(self, groups: Mapping[int, int | None]) -> ProcessRecord:
        """Return the record of the same start, whose server runs in these process groups."""
        return replace(self, background=dict(groups))

    def with_mark(self, mark: str) -> ProcessRecord:
        """Return the record of the same start, for a directory that is about to be renamed; an earlier mark stays.

        :param mark: the mark of the directory as it is called now.
        """
        return replace(self, mark=self.mark or mark)

    def save(self, path: Path) -> None:
        """Write the file atomically.

        :raises OSError: the directory cannot be written.
        """
        content = json.dumps({"version": VERSION, **asdict(self), "background": list(self.background.items())}) + "\n"
        write_atomically(path, content.encode(), sync=False)


def load_record(path: Path) -> ProcessRecord | None:
    """Read the record; None where there is none, or only a damaged one (logged)."""
    return load(path, LARGEST_RECORD, lambda content: _parse(json.loads(content)), "the server may not be found again")


def _parse(content: object) -> ProcessRecord:
    match content:
        case {"version": int(version), **_rest} if version != VERSION:
            raise ValueError(f"it is of version {version}, not {VERSION}")
        case {
            "version": int(),
            "pid": int(pid),
            "start_time": int() | None as start_time,
            "boot_id": str() | None as boot_id,
            "argv": [*argv],
            "ready": str() | None as ready,
            **more,
        } if pid > 1 and all(isinstance(word, str) for word in argv):
            stop, background = more.get("stop"), more.get("background", [])  # of an earlier zeroscale: missing
            stop_began, mark = more.get("stop_began"), more.get("mark")
            return ProcessRecord(
                pid=pid,
                start_time=start_time,
                boot_id=boot_id,
                argv=argv,
                ready=ready,
                stop=None if stop is None else StopProgress(str(stop)),
                stop_began=stop_began if isinstance(stop_began, int) else None,
                background=_groups(background),
                mark=mark if isinstance(mark, str) else None,
            )
        case _:
            raise ValueError("it is damaged")


def _groups(content: object) -> Mapping[int, int | None]:
    groups: dict[int, int | None] = {}
    for pair in content if isinstance(content, list) else [content]:
        match pair:
            case [int(group), int() | None as start_time] if group > 1:
                groups[group] = start_time
            case _:
                raise ValueError("it is damaged")
    return groups
