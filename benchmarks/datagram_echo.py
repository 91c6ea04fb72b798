"""The server behind the relays of datagrams: it returns each one. `python datagram_echo.py PORT`.

Only the standard library. It also accepts connections on the same port, which tells that it has started.
"""

from __future__ import annotations

import socket
import sys


def main() -> None:
    """Serve until killed."""
    port = int(sys.argv[1])
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind(("127.0.0.1", port))
    listener = socket.create_server(("127.0.0.1", port))
    buffer = bytearray(65535)
    view = memoryview(buffer)
    while listener:
        size, address = sock.recvfrom_into(buffer)
        sock.sendto(view[:size], address)


if __name__ == "__main__":
    main()
