"""The server behind the relays: it answers each 64 bytes with 512, and the status requests of Minecraft.

A program of its own that needs only the standard library: `python backend.py PORT [FILE]`. One thread and one epoll
object, with as few system calls for a connection as there can be, so that it costs less than the relays in front of it.
With a FILE it opens its port after the seconds in it, and then writes into it when it was started and when its port was
open, by `time.perf_counter()`, which is the same for all processes.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time

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


def serve(port: int, file: str | None = None) -> None:
    """Answer until killed."""
    # Until here the process has only computed, so that its CPU time is its age.
    started = time.perf_counter() - time.process_time()
    if file:
        time.sleep(float(_read(file)))
    with socket.create_server(("127.0.0.1", port), backlog=4096) as listener, select.epoll() as epoll:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited by what it accepts
        epoll.register(listener, select.EPOLLIN)
        if file:
            _write(file, f"{started} {time.perf_counter()}")
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


def _read(file: str) -> bytes:
    descriptor = os.open(file, os.O_RDONLY)  # not by pathlib, whose import takes as long as the start of Python
    content = os.read(descriptor, 100)
    os.close(descriptor)
    return content


def _write(file: str, text: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_TRUNC)
    os.write(descriptor, text.encode())
    os.close(descriptor)


if __name__ == "__main__":
    serve(int(sys.argv[1]), *sys.argv[2:])
