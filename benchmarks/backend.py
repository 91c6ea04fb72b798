"""The server behind the relays: it answers each 64 bytes with 512, and the status requests of Minecraft.

A program of its own that needs only the standard library: `python backend.py PORT`. One thread and one epoll object,
with as few system calls for a connection as there can be, so that it costs less than the relays in front of it.
"""

from __future__ import annotations

import select
import socket
import sys

QUESTION = 64
ANSWER = bytes(512)

_STATUS = (
    b'{"version":{"name":"1.20.4","protocol":765},"players":{"max":20,"online":0},"description":{"text":"benchmark"}}'
)
STATUS_REPLY = bytes([len(_STATUS) + 2, 0, len(_STATUS)]) + _STATUS
PING_LENGTH = 10

assert len(_STATUS) < 0x80 - 2, "its lengths have one byte each"


class Connection:
    """One connection.

    :ivar surplus: bytes of an incomplete question.
    :ivar asks_status: whether it began with the handshake of a status request.
    """

    __slots__ = ("asks_status", "fresh", "sock", "surplus")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.surplus = 0
        self.fresh = True
        self.asks_status = False

    def receive(self) -> bool:
        """Read and answer; return whether the connection continues."""
        try:
            data = self.sock.recv(65536)
            if not data:
                return False
            if self.fresh:
                self.fresh = False
                self.asks_status = is_status_handshake(data)
                data = data[data[0] + 1 :] if self.asks_status else data
            if self.asks_status:
                self._answer_status(data)
                return True
            asked, self.surplus = divmod(self.surplus + len(data), QUESTION)
            if asked:
                self.sock.sendall(ANSWER * asked)
        except OSError:
            return False
        return True

    def _answer_status(self, data: bytes) -> None:
        while data:
            packet, data = data[: data[0] + 1], data[data[0] + 1 :]
            self.sock.sendall(packet if len(packet) == PING_LENGTH else STATUS_REPLY)


def is_status_handshake(data: bytes) -> bool:
    """Return whether this begins with the handshake of a status request, which is taken to come in one piece."""
    length = data[0]
    return 3 < length < 0x80 and len(data) > length and data[1] == 0 and data[length] == 1


def serve(port: int) -> None:
    """Answer until killed."""
    with socket.create_server(("127.0.0.1", port), backlog=4096) as listener, select.epoll() as epoll:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited by what it accepts
        epoll.register(listener, select.EPOLLIN)
        connections: dict[int, Connection] = {}
        while True:
            for descriptor, _ in epoll.poll():
                connection = connections.get(descriptor)
                if connection is None:
                    sock, _ = listener.accept()
                    connections[sock.fileno()] = Connection(sock)
                    epoll.register(sock, select.EPOLLIN)
                elif not connection.receive():
                    del connections[descriptor]
                    connection.sock.close()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
