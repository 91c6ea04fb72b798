"""The blocking client, with valid and invalid answers."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from zeroscale.ctl import client as channel_module
from zeroscale.ctl.client import ControlClient, Event, Result, UsageError
from zeroscale.errors import BackendError, ConfigMistakes, ControlError, ProtocolError, ZeroscaleError

Answering = Callable[..., Path]


@pytest.fixture
def answering(directory: Path) -> Iterator[Answering]:
    """Makes a socket where one client is answered with these bytes, once it has asked; then it is closed."""
    path = directory / "control.sock"
    threads: list[threading.Thread] = []

    def begin(*chunks: bytes, stay: bool = False) -> Path:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()

        def play() -> None:
            with listener:
                connection, _ = listener.accept()
            with connection:
                connection.settimeout(10)
                connection.recv(1000)
                for chunk in chunks:
                    connection.sendall(chunk)
                while stay and connection.recv(1000):
                    pass

        threads.append(threading.Thread(target=play, daemon=True))
        threads[-1].start()
        return path

    yield begin
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def ask(path: Path) -> Any:
    with ControlClient(path) as client:
        return client.ask(dict, "status")


def test_an_answer_in_pieces(answering: Answering) -> None:
    assert ask(answering(b'{"id":9,"result":{}}\n{"id":1,"event":{}}\n{"i', b'd":1,"result":{"a":1}}\n')) == {"a": 1}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("refused", ControlError),
        ("failed", ControlError),
        ("internal", ControlError),
        ("news of a later version", ControlError),
        ("busy", BackendError),
        ("configuration", ConfigMistakes),
        ("environment", ConfigMistakes),
        ("unknown_server", UsageError),
        ("which_server", UsageError),
        ("version", ProtocolError),
        ("malformed", ProtocolError),
    ],
)
def test_errors(answering: Answering, code: str, kind: type[ZeroscaleError]) -> None:
    path = answering(b'{"id":1,"error":{"code":"%s","message":"no\\nnever"}}\n' % code.encode())
    with pytest.raises(kind) as raised:
        ask(path)
    assert type(raised.value) is kind and str(raised.value) == "no\nnever"


def test_an_error_about_the_connection_itself(answering: Answering) -> None:
    with pytest.raises(BackendError, match="too many"):
        ask(answering(b'{"id":null,"error":{"code":"busy","message":"too many"}}\n'))


@pytest.mark.parametrize("garbage", [b"SSH-2.0\r\n", b"[]\n", b'{"id":1,"result":[]}\n', b"[" * 5000 + b"\n"])
def test_something_else_listens_there(answering: Answering, garbage: bytes) -> None:
    with pytest.raises(ProtocolError):
        ask(answering(garbage))


def test_an_end_without_an_answer(answering: Answering) -> None:
    with pytest.raises(BackendError, match="has ended"):
        ask(answering(b'{"id":1,"res'))


def test_no_answer_in_time(answering: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "ANSWER_TIMEOUT", 0.05)
    with pytest.raises(BackendError, match=r"no answer in 0\.05 s"):
        ask(answering(stay=True))


def test_a_stream(answering: Answering) -> None:
    path = answering(b'{"id":1,"event":1}\n{"id":1,"event":2}\n{"id":1,"result":3}\n')
    with ControlClient(path) as client:
        events = list(client.stream("status", watch=True))
    assert events == [Event(msgspec.Raw(b"1")), Event(msgspec.Raw(b"2")), Result(msgspec.Raw(b"3"))]


def test_requests_that_are_open_together(answering: Answering) -> None:
    path = answering(
        b'{"id":2,"event":1}\n{"id":1,"error":{"code":"refused","message":"no"}}\n{"id":7,"result":0}\n',
        b'{"id":2,"result":2}\n',
        stay=True,  # or the second request would meet a closed connection
    )
    with ControlClient(path) as client:
        answers = list(client.together("wake", [{"server": "a"}, {"server": "b"}], stream=True))
    [first, (refused, error), last] = answers
    assert (first, last) == ((1, Event(msgspec.Raw(b"1"))), (1, Result(msgspec.Raw(b"2"))))
    assert refused == 0 and isinstance(error, ControlError) and str(error) == "no"


def test_the_reason_is_read_though_further_requests_find_the_connection_closed(directory: Path) -> None:
    path = directory / "control.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with ControlClient(path) as client:
            connection, _ = listener.accept()
            connection.sendall(b'{"error":{"code":"busy","message":"too many clients"}}\n')
            connection.close()
            with pytest.raises(BackendError, match=r"^too many clients$"):
                list(client.together("wake", [{"server": "a"}, {"server": "b"}], stream=True))
            with pytest.raises(BackendError, match=r"has ended$"):
                client.ask(dict, "status")


def test_one_that_belongs_to_others(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = directory / "control.sock"

    class Forbidden(socket.socket):
        def connect(self, address: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "socket", Forbidden)
    with pytest.raises(BackendError, match=rf"^{path}: Permission denied; only zeroscale's user and group, and root"):
        ControlClient(path)


def test_nobody_there(directory: Path) -> None:
    path = directory / "control.sock"
    with pytest.raises(BackendError, match=rf"^no zeroscale answers on {path}: No such file"):
        ControlClient(path)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(BackendError, match="refused"):
        ControlClient(path)
    for strange in ("a\0b", "a" * 200):
        with pytest.raises(BackendError, match="no zeroscale answers"):
            ControlClient(Path(strange))
