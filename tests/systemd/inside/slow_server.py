"""A server that takes some time to save at SIGTERM, and records that in a journal. It sends its process id first."""

import os
import signal
import socketserver
import sys
import threading
import time
from pathlib import Path
from types import FrameType

PORT, JOURNAL = int(sys.argv[1]), Path(sys.argv[2])
CHUNKS = 12


class Greeting(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(f"{os.getpid()} {os.getuid()}\n".encode())
        self.request.recv(1)


def write(line: str) -> None:
    with JOURNAL.open("a") as journal:
        journal.write(f"{os.getpid()} {line}\n")


def save(number: int, frame: FrameType | None) -> None:
    threading.Thread(target=server.shutdown).start()


socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer.daemon_threads = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", PORT), Greeting)
signal.signal(signal.SIGTERM, save)
server.serve_forever()
for chunk in range(CHUNKS):
    write(f"chunk {chunk}")
    time.sleep(0.5)
write("saved")
