"""A real HTTP server for webhooks, which answers as a test wants."""

from __future__ import annotations

import json
import queue
import ssl
import subprocess
import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import pytest

DEADLINE = 30.0
"""Seconds after which a test gives up waiting."""


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """Make a self-signed certificate for 127.0.0.1, and its key, in PEM files."""
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=hook -addext subjectAltName=IP:127.0.0.1 -days 2 "
        "-keyout key.pem -out cert.pem"
    )
    try:
        subprocess.run(command.split(), cwd=directory, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no openssl to make a certificate with")
    return directory / "cert.pem", directory / "key.pem"


class Request(NamedTuple):
    """One request that the server has had."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Answer(NamedTuple):
    """What the server does with one request: it answers, or writes these bytes and closes."""

    status: int = 204
    headers: Sequence[tuple[str, str]] = ()
    raw: bytes | None = None
    wait_for: threading.Event | None = None


class Receiver:
    """The server, on 127.0.0.1 in threads; requests are answered with `answers` in their order, then with 204.

    :param port: 0: any.
    :param certificate: PEM files of the certificate and the key; None: plain HTTP.
    """

    def __init__(self, *answers: Answer, port: int = 0, certificate: tuple[Path, Path] | None = None) -> None:
        self.requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        for answer in answers:
            self._answers.put(answer)
        self._server = _Server(("127.0.0.1", port), _handler(self))
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port: int = self._server.server_address[1]
        self._secure = certificate is not None
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"{'https' if self._secure else 'http'}://127.0.0.1:{self.port}/hook?token=SECRET"

    def __enter__(self) -> Receiver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(DEADLINE)

    def get(self) -> Request:
        """Return the next request."""
        return self.requests.get(timeout=DEADLINE)

    def next_answer(self) -> Answer:
        try:
            return self._answers.get_nowait()
        except queue.Empty:
            return Answer()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that leave, which some tests want."""


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = receiver.next_answer()
            receiver.requests.put(Request(self.command, self.path, headers, body))
            if answer.wait_for is not None:
                answer.wait_for.wait(DEADLINE)
            if answer.raw is not None:
                self.wfile.write(answer.raw)
                self.close_connection = True
                return
            self.send_response(answer.status)
            for header in answer.headers:
                self.send_header(*header)
            self.end_headers()

        do_CONNECT = do_POST

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
