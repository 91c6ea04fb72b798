"""The load of a burst: many players join at once, and stay.

    python -m benchmarks.burst PORT --players 500 --patience 10

All connections are opened in one loop, without waiting for any of them. Each sends its Minecraft handshake and login
start (64 bytes) as soon as it is connected, and is in when the server's first answer (512 bytes) is complete. Prints
one JSON object: `began`, by `time.perf_counter()`, which is the same for all processes; `joined`, the seconds from then
until each that has got in was in; `refused`, how many were closed. The connections stay open until its standard input
ends. One thread; only the standard library.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import sys
import time

from benchmarks.traffic import ANSWER, LOGIN


def burst(port: int, players: int, patience: float) -> tuple[dict[str, object], list[socket.socket]]:
    """Join; return the report, and the connections.

    :param patience: seconds after which those that are not in are given up.
    """
    now = time.perf_counter
    missing: dict[int, int] = {}
    joined: list[float] = []
    refused = 0
    with select.epoll() as epoll:
        began = now()
        socks = {sock.fileno(): sock for sock in (_connecting(port) for _ in range(players))}
        for descriptor in socks:
            epoll.register(descriptor, select.EPOLLOUT)
        while len(joined) + refused < players and now() < began + patience:
            for descriptor, event in epoll.poll(0.1):
                sock = socks[descriptor]
                try:
                    if descriptor not in missing and event == select.EPOLLOUT:
                        sock.send(LOGIN)
                        missing[descriptor] = ANSWER
                        epoll.modify(descriptor, select.EPOLLIN)
                        continue
                    data = sock.recv(65536)
                except OSError:
                    data = b""
                if data:
                    missing[descriptor] -= len(data)
                    if missing[descriptor] > 0:
                        continue
                    joined.append(now() - began)
                else:
                    refused += 1
                epoll.unregister(descriptor)
    return {"began": began, "joined": joined, "refused": refused}, list(socks.values())


def _connecting(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    sock.connect_ex(("127.0.0.1", port))
    return sock


def main() -> None:
    """Join as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--players", type=int, default=500)
    parser.add_argument("--patience", type=float, default=10.0)
    options = parser.parse_args()
    report, socks = burst(options.port, options.players, options.patience)
    print(json.dumps(report), flush=True)
    sys.stdin.readline()
    for sock in socks:
        sock.close()


if __name__ == "__main__":
    main()
