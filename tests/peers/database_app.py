"""A small web application that keeps what happens in a PostgreSQL: it needs that from its first moment to its last.

A program of its own, which knows nothing of zeroscale: `python database_app.py PORT PSQL DATABASE_PORT`. It creates its
table, answers each request with the number of rows, after it has added one, and adds a last one on SIGTERM.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer


def query(*statements: str) -> str:
    """Return what psql prints; the program fails where the database does not answer."""
    words = [word for statement in statements for word in ("-c", statement)]
    settings = ["-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", sys.argv[3], "-U", "postgres"]
    return subprocess.run([sys.argv[2], "-qAt", *settings, *words], check=True, capture_output=True, text=True).stdout


class Handler(BaseHTTPRequestHandler):
    """Answers a request."""

    def do_GET(self) -> None:
        """Add a row, and answer with the number of all."""
        body = query("insert into story values ('request')", "select count(*) from story").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Run until SIGTERM."""
    query("create table if not exists story (event text)", "insert into story values ('started')")
    server = HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ending.wait()
    query("insert into story values ('stopped')")
    os._exit(0)


if __name__ == "__main__":
    main()
