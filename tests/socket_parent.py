"""Holds listening sockets and hands them to programs, as systemd does with a socket unit."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from processes import Program

# Not a shell's work: dash knows descriptors of one digit only. LISTEN_PID is the program's own.
LAUNCH = """
import os, sys
descriptors, command = sys.argv[1].split(","), sys.argv[2:]
for index, descriptor in enumerate(descriptors):
    os.dup2(int(descriptor), 3 + index)
os.environ.setdefault("LISTEN_PID", str(os.getpid()))
os.environ["LISTEN_FDS"] = str(len(descriptors))
os.execvp(command[0], command)
"""


class SocketParent:
    """A socket on the loopback for each name. Two may have the same; "deaf" does not listen, "udp" is of UDP."""

    def __init__(self, *names: str) -> None:
        self._stack = contextlib.ExitStack()
        self.names = names
        self.sockets = [self._stack.enter_context(_bound(name)) for name in names]

    def __enter__(self) -> SocketParent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def port(self, name: str) -> int:
        """The first one's of that name."""
        number: int = self.sockets[self.names.index(name)].getsockname()[1]
        return number

    def start(
        self,
        command: Sequence[str],
        directory: Path,
        environment: Mapping[str, str] | None = None,
        *,
        named: bool = True,
    ) -> Program:
        """Starts a program with all of them.

        :param named: whether their names are passed.
        """
        descriptors = [each.fileno() for each in self.sockets]
        names = {"LISTEN_FDNAMES": ":".join(self.names)} if named else {}
        launch = [sys.executable, "-S", "-c", LAUNCH, ",".join(map(str, descriptors)), *command]
        return Program(launch, directory, {**names, **(environment or {})}, kept=descriptors)


def _bound(name: str) -> socket.socket:
    ours = socket.socket(type=socket.SOCK_DGRAM if name == "udp" else socket.SOCK_STREAM)
    ours.bind(("127.0.0.1", 0))
    if name not in ("deaf", "udp"):
        ours.listen(128)
    return ours
