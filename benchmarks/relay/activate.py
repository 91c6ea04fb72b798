"""Starts a program with a listening socket, as systemd does: python -m benchmarks.relay.activate LISTEN PROGRAM..."""

from __future__ import annotations

import os
import socket
import sys

FIRST = 3
"""The first descriptor passed to a program (sd_listen_fds(3))."""


def main() -> None:
    """Listen, and execute the program."""
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=4096)
    if listener.fileno() == FIRST:
        os.set_inheritable(FIRST, True)
    else:
        os.dup2(listener.fileno(), FIRST)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
