"""What is written down of a running server's process, so that whoever comes after us can find it again.

Knows the file and nothing of processes. It is not synced to the disk: it means nothing after a power cut, since
then no process of it lives.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

logger = logging.getLogger(__name__)

VERSION = 1
LARGEST_RECORD = 1024 * 1024
"""Bytes: Linux takes no longer command line by default (execve(2), a quarter of an 8 MiB stack is 2 MiB)."""


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """One start of a server.

    :ivar pid: its first process, which leads a session and a process group of the same number.
    :ivar start_time: when that process started, in clock ticks since boot; None where it could not be known.
    :ivar boot_id: the boot in which that was; None where it could not be known.
    :ivar argv: its command.
    :ivar ready: the line of output that said it was ready; None before.
    """

    pid: int
    start_time: int | None
    boot_id: str | None
    argv: Sequence[str]
    ready: str | None = None

    def with_ready(self, line: str) -> ProcessRecord:
        """The same start, ready."""
        return replace(self, ready=line)

    def save(self, path: Path) -> None:
        """Writes it, in one step as others see it.

        :raises OSError: the directory cannot be written.
        """
        beside = path.with_name(path.name + ".new")
        beside.write_text(json.dumps({"version": VERSION, **asdict(self)}) + "\n", encoding="utf-8")
        beside.replace(path)


def load_record(path: Path) -> ProcessRecord | None:
    """Reads it; None: there is none, or none that can be understood (one warning)."""
    try:
        with path.open(encoding="utf-8") as file:
            content = json.loads(file.read(LARGEST_RECORD))
        return _understood(content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:  # JSON's and UTF-8's errors are ValueErrors
        logger.warning("%s: the record of the last server cannot be used: %s", path, error)
        return None


def _understood(content: object) -> ProcessRecord:
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
        } if pid > 1 and all(isinstance(word, str) for word in argv):
            return ProcessRecord(pid=pid, start_time=start_time, boot_id=boot_id, argv=argv, ready=ready)
        case _:
            raise ValueError("it is damaged")
