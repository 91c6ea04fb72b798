"""Which admin socket is used."""

from __future__ import annotations

import argparse
import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from zeroscale.ctl import socket_discovery as discovery
from zeroscale.ctl.client import ControlClient, UsageError
from zeroscale.errors import BackendError

Listen = Callable[[Path], Path]


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Makes listening sockets."""
    with contextlib.ExitStack() as stack:

        def make(path: Path) -> Path:
            path.parent.mkdir(exist_ok=True)
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(str(path))
            listener.listen()
            return path

        yield make


def dead(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))


def found(directory: Path, server: str | None = None) -> str:
    with discovery.search([directory / "run", directory / "user"], server) as client:
        return str(client.path.relative_to(directory))


def test_the_only_one(directory: Path, listen: Listen) -> None:
    listen(directory / "user" / "demo-1.sock")
    dead(directory / "run" / "control.sock")
    (directory / "run" / "control.txt").touch()
    (directory / "run" / "file.sock").touch()
    assert found(directory) == "user/demo-1.sock"


def test_a_files_one_goes_before_others(directory: Path, listen: Listen) -> None:
    listen(directory / "run" / "a.sock")
    listen(directory / "user" / "control.sock")
    assert found(directory) == "user/control.sock"
    listen(directory / "run" / "control.sock")
    assert found(directory) == "run/control.sock"


def test_of_several_the_one_called_as_the_server(directory: Path, listen: Listen) -> None:
    for name in ("demo-1", "demo-2"):
        listen(directory / "run" / f"{name}.sock")
    assert found(directory, "demo-2") == "run/demo-2.sock"
    with pytest.raises(UsageError, match=r"choose one with --socket or \$ZEROSCALE_SOCKET: .*/demo-1.sock, .*demo-2"):
        found(directory)


def test_instances_have_directories_of_their_own(directory: Path, listen: Listen) -> None:
    for name in ("a", "b"):
        (directory / "run" / name).mkdir(parents=True)
    listen(directory / "run" / "a" / "control.sock")
    assert found(directory) == "run/a/control.sock"
    listen(directory / "run" / "b" / "control.sock")
    with pytest.raises(UsageError, match=r"choose one with --socket .*: .*/a/control.sock, .*/b/control.sock"):
        found(directory)


def test_none_answers(directory: Path) -> None:
    with pytest.raises(
        BackendError, match=r"no \*\.sock in .*/run, .*/user; if one runs elsewhere, give --socket PATH"
    ):
        found(directory)
    dead(directory / "run" / "control.sock")
    with pytest.raises(BackendError, match=r"no zeroscale answers on .*/run/control\.sock: Connection refused$"):
        found(directory)


def test_what_is_named_is_meant(directory: Path, listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = listen(directory / "first.sock"), listen(directory / "second.sock")
    monkeypatch.setenv(discovery.VARIABLE, str(second))
    with discovery.connect(argparse.Namespace(socket=str(first))) as client:
        assert client.path == first
    with discovery.connect(argparse.Namespace()) as client:
        assert client.path == second


def test_else_it_is_looked_for(directory: Path, listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(discovery.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory))
    path = listen(directory / "zeroscale" / "control.sock")
    monkeypatch.setattr("zeroscale.control.socket_path.SYSTEM_DIRECTORY", directory / "run")
    with discovery.connect(argparse.Namespace()) as client:
        assert isinstance(client, ControlClient) and client.path == path
