"""The load of play: connections that each send 64 bytes twenty times a second, and are answered 512.

    python -m benchmarks.play PORT --connections 100 --seconds 10 [--login]

Prints a line "asking" when all are connected and answered once (with `--login`: as Minecraft players who log in), and
then one JSON object: `expected` questions, and `asked` and `took` of each answer: the time by `time.perf_counter()`,
which is the same for all processes, and the seconds until its last byte. Each question is sent when it is due, whether
the last one was answered or not. A line on its standard input ends the questions early; the connections stay open until
that ends, or has another line. One thread; only the standard library.
"""

from __future__ import annotations

import argparse
import collections
import ctypes
import json
import select
import socket
import sys
import time

from benchmarks.traffic import ANSWER, LOGIN, QUESTION

PER_SECOND = 20
"""Questions per second on each connection: the tick rate of a Minecraft server."""

PATIENCE = 5.0
"""Seconds to wait for the last answers."""

PR_SET_TIMERSLACK = 29


def sharpen_timers() -> None:
    """Set the timer slack of the process to 1 us instead of 50 us."""
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0)


def connect(port: int, first: bytes) -> socket.socket:
    """Open a connection, and wait for its first answer."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(first)
    if len(sock.recv(ANSWER, socket.MSG_WAITALL)) < ANSWER:
        raise ConnectionError("the proxy closed the connection")
    return sock


def ask(socks: list[socket.socket], seconds: float) -> tuple[list[float], list[float]]:
    """Ask on all connections in turn, evenly spread; return when each question was asked, and how long it took."""
    asked: list[float] = []
    took: list[float] = []
    unanswered: dict[int, collections.deque[float]] = {sock.fileno(): collections.deque() for sock in socks}
    taken = {sock.fileno(): 0 for sock in socks}
    by_number = {sock.fileno(): sock for sock in socks}
    now = time.perf_counter
    interval = 1.0 / (PER_SECOND * len(socks))
    with select.epoll() as epoll:
        for sock in socks:
            epoll.register(sock, select.EPOLLIN)
        watched = [epoll.fileno(), sys.stdin.fileno()]
        due = now()
        end = due + seconds
        turn = 0
        while due < end or (any(unanswered.values()) and now() < end + PATIENCE):
            while due <= now() and due < end:
                sock = socks[turn]
                unanswered[sock.fileno()].append(now())
                sock.send(QUESTION)
                turn = (turn + 1) % len(socks)
                due += interval
            # select(), since the timeouts of epoll are whole milliseconds.
            readable, _, _ = select.select(watched, (), (), max(0.0, due - now()) if due < end else 1.0)
            if sys.stdin.fileno() in readable:
                sys.stdin.readline()
                del watched[1:]
                end = now()
            for fd, _ in epoll.poll(0):
                data = by_number[fd].recv(65536)
                if not data:
                    raise ConnectionError("the proxy closed a connection")
                taken[fd] += len(data)
                while taken[fd] >= ANSWER:
                    taken[fd] -= ANSWER
                    asked.append(unanswered[fd].popleft())
                    took.append(now() - asked[-1])
    return asked, took


def main() -> None:
    """Ask as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--login", action="store_true")
    options = parser.parse_args()
    sharpen_timers()
    socks = [connect(options.port, LOGIN if options.login else QUESTION) for _ in range(options.connections)]
    print("asking", flush=True)
    asked, took = ask(socks, options.seconds)
    expected = int(options.seconds * PER_SECOND * options.connections)
    print(json.dumps({"expected": expected, "asked": asked, "took": took}), flush=True)
    sys.stdin.readline()  # keep the connections open until the parent has measured


if __name__ == "__main__":
    main()
