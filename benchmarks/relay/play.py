"""Play-like traffic: a server that answers 64 bytes with 512, and clients that ask twenty times a second each.

python -m benchmarks.relay.play serve PORT
python -m benchmarks.relay.play ask PORT --connections 100 --seconds 10      prints latencies as JSON
python -m benchmarks.relay.play join PORT --times 100                        prints the time to a first answer

Client and server are processes of their own, so that they do not share an interpreter lock. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import select
import socket
import statistics
import sys
import time

QUESTION = 64
ANSWER = 512
PER_SECOND = 20
"""Questions per second on each connection: the tick rate of a Minecraft server."""

PR_SET_TIMERSLACK = 29


def sharpen_timers() -> None:
    """Set the timer slack of the process to 1 us instead of 50 us."""
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0)


def serve(port: int) -> None:
    """Answer until killed."""
    answer = bytes(ANSWER)
    with socket.create_server(("127.0.0.1", port), backlog=4096) as listener, select.epoll() as epoll:
        listener.setblocking(False)
        epoll.register(listener, select.EPOLLIN)
        connections: dict[int, socket.socket] = {}
        incomplete: dict[int, int] = {}
        print("serving", flush=True)
        while True:
            for fd, _ in epoll.poll():
                sock = connections.get(fd)
                if sock is None:
                    with contextlib.suppress(BlockingIOError):
                        while True:
                            new, _ = listener.accept()
                            new.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                            connections[new.fileno()] = new
                            incomplete[new.fileno()] = 0
                            epoll.register(new, select.EPOLLIN)
                    continue
                try:
                    data = sock.recv(65536)
                    asked = incomplete[fd] + len(data)
                    incomplete[fd] = asked % QUESTION
                    for _ in range(asked // QUESTION):
                        sock.sendall(answer)
                except OSError:
                    data = b""
                if not data:
                    epoll.unregister(fd)
                    del connections[fd], incomplete[fd]
                    sock.close()


def connect(port: int) -> socket.socket:
    """Open a connection with TCP_NODELAY."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def exchange(sock: socket.socket) -> None:
    """Send one question and read its answer."""
    sock.sendall(bytes(QUESTION))
    taken = 0
    while taken < ANSWER:
        data = sock.recv(ANSWER)
        if not data:
            raise ConnectionError("the server closed the connection")
        taken += len(data)


def ask(port: int, connections: int, seconds: float) -> None:
    """Ask on all connections in turn, evenly spread over time; prints a line when the measurement starts."""
    sharpen_timers()
    question = bytes(QUESTION)
    socks = [connect(port) for _ in range(connections)]
    for sock in socks:
        exchange(sock)
    latencies: list[float] = []
    asked_at: dict[int, float] = {}
    taken = {sock.fileno(): 0 for sock in socks}
    by_number = {sock.fileno(): sock for sock in socks}
    now = time.perf_counter
    interval = 1.0 / (PER_SECOND * connections)
    late = 0
    with select.epoll() as epoll:
        for sock in socks:
            epoll.register(sock, select.EPOLLIN)
        watched = [epoll.fileno()]
        print("asking", flush=True)
        begun = now()
        due, turn, end = begun, 0, begun + seconds
        while due < end or asked_at:
            while due <= now() and due < end:
                sock = socks[turn]
                fd = sock.fileno()
                if fd in asked_at:
                    late += 1  # the last answer took longer than a tick
                else:
                    asked_at[fd] = now()
                    sock.send(question)
                turn = (turn + 1) % connections
                due += interval
            select.select(watched, (), (), max(0.0, due - now()) if due < end else 1.0)
            for fd, _ in epoll.poll(0):
                taken[fd] += len(by_number[fd].recv(65536))
                if taken[fd] >= ANSWER:
                    taken[fd] -= ANSWER
                    latencies.append(now() - asked_at.pop(fd))
            if now() > end + 5:
                break
    quantiles = statistics.quantiles(latencies, n=100)
    report = {
        "answers": len(latencies),
        "expected": int(seconds * PER_SECOND * connections),
        "late": late,
        "p50_us": quantiles[49] * 1e6,
        "p99_us": quantiles[98] * 1e6,
    }
    print(json.dumps(report), flush=True)
    sys.stdin.readline()  # keep the connections open until the parent has measured
    for sock in socks:
        sock.close()


def join(port: int, times: int) -> None:
    """Connect, ask once and close, repeatedly; prints the median and the 99th percentile."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        with connect(port) as sock:
            exchange(sock)
            taken.append(time.perf_counter() - begun)
        time.sleep(0.002)
    quantiles = statistics.quantiles(taken, n=100)
    print(json.dumps({"p50_us": quantiles[49] * 1e6, "p99_us": quantiles[98] * 1e6}), flush=True)


def main() -> None:
    """Run the chosen program."""
    parser = argparse.ArgumentParser()
    parser.add_argument("program", choices=["serve", "ask", "join"])
    parser.add_argument("port", type=int)
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--times", type=int, default=100)
    options = parser.parse_args()
    if options.program == "serve":
        serve(options.port)
    elif options.program == "ask":
        ask(options.port, options.connections, options.seconds)
    else:
        join(options.port, options.times)


if __name__ == "__main__":
    main()
