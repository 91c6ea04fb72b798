"""`python datagram_echo.py PORT`: returns each datagram. Uses only the standard library."""

from __future__ import annotations

import socket
import sys


def main() -> None:
    """Serve until killed."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind(("127.0.0.1", int(sys.argv[1])))
    buffer = bytearray(65535)
    view = memoryview(buffer)
    while True:
        size, address = sock.recvfrom_into(buffer)
        sock.sendto(view[:size], address)


if __name__ == "__main__":
    main()
