"""Which admin socket is used."""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from control.fake_proxy import FakeProxy, FakeServer
from msgspec.structs import replace

from zeroscale.control import protocol
from zeroscale.ctl import socket_discovery as discovery
from zeroscale.ctl.client import ControlClient, UsageError
from zeroscale.errors import BackendError

Listen = Callable[[Path], Path]
Answer = Callable[..., None]


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


@pytest.fixture
def answer() -> Iterator[Answer]:
    """Makes sockets of proxies that have servers of these names, and no others."""
    with contextlib.ExitStack() as stack:

        def make(path: Path, *names: str, former: str = "") -> None:
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            path.parent.mkdir(exist_ok=True)
            listener.bind(str(path))
            listener.listen()
            thread = threading.Thread(target=serve, args=(listener, names, former))
            thread.start()
            stack.callback(thread.join)
            stack.callback(listener.shutdown, socket.SHUT_RDWR)

        yield make


def serve(listener: socket.socket, names: tuple[str, ...], former: str) -> None:
    with contextlib.suppress(OSError):
        while True:
            with listener.accept()[0] as client, client.makefile("rwb") as stream:
                for line in stream:
                    request = json.loads(line)
                    name = names[0] if request["server"] == former else request["server"]
                    if name in names:
                        report = replace(FakeProxy().report(), servers=(FakeServer(name).report(),))
                        answer: dict[str, object] = {"result": json.loads(protocol.encode_result(1, report))["result"]}
                    else:
                        answer = {"error": {"code": "unknown_server", "message": "no such server"}}
                    stream.write(json.dumps({"id": request["id"], **answer}).encode() + b"\n")
                    stream.flush()


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


def test_of_several_that_answer_one_must_be_chosen(directory: Path, listen: Listen) -> None:
    for name in ("demo-1", "demo-2"):
        listen(directory / "run" / f"{name}.sock")
    with pytest.raises(UsageError, match=r"choose one with --socket or \$ZEROSCALE_SOCKET: .*/demo-1.sock, .*demo-2"):
        found(directory)


def test_of_several_the_one_whose_proxy_has_the_server(directory: Path, answer: Answer) -> None:
    answer(directory / "run" / "control.sock", "survival", "twice")
    answer(directory / "run" / "lobby-25565.sock", "lobby-25565", former="lobby-25575")
    answer(directory / "user" / "control.sock", "creative", "twice")
    assert found(directory, "creative") == "user/control.sock"
    assert found(directory, "lobby-25565") == "run/lobby-25565.sock"
    assert found(directory, "lobby-25575") == "run/lobby-25565.sock"
    assert found(directory, "survivel") == "run/control.sock", "it says which there are"
    with pytest.raises(
        UsageError, match=r"several zeroscales have a server 'twice': .*: .*/run/control.*/user/control"
    ):
        found(directory, "twice")


def test_a_socket_is_found_by_the_name_of_earlier_versions(directory: Path, answer: Answer) -> None:
    answer(directory / "run" / "lobby-25565.sock", "lobby-25565", former="lobby-25575")
    answer(directory / "run" / "survival.sock", "survival")
    dead(directory / "run" / "dead.sock")
    with discovery.connect(argparse.Namespace(socket=str(directory / "run" / "lobby-25575.sock"))) as client:
        assert client.path.name == "lobby-25565.sock"
    [client] = discovery.connect_all(argparse.Namespace(socket=str(directory / "run" / "lobby-25575.sock")))
    client.close()
    assert client.path.name == "lobby-25565.sock"
    (directory / "run" / "survival.sock").rename(directory / "run" / "other.sock")
    for missing in ("survival.sock", "dead.sock", "lobby-25575", "gone.sock"):
        with pytest.raises(BackendError, match=f"no zeroscale answers on .*/{missing}: "):
            discovery.connect(argparse.Namespace(socket=str(directory / "run" / missing)))


def test_all_that_may_be_asked(directory: Path, listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(discovery.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory))
    monkeypatch.setattr("zeroscale.control.socket_path.SYSTEM_DIRECTORY", directory / "run")
    expected = [
        listen(directory / "zeroscale" / "control.sock"),
        listen(directory / "run" / "a.sock"),
        listen(directory / "run" / "b.sock"),
    ]
    dead(directory / "run" / "c.sock")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(client) for client in discovery.connect_all(argparse.Namespace())]
        assert [client.path for client in clients] == expected
        [only] = discovery.connect_all(argparse.Namespace(socket=str(expected[1])))
        assert stack.enter_context(only).path == expected[1]


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
    for name in ("a", "b", "c", "d"):  # left by zeroscales that were killed
        dead(directory / "run" / f"{name}.sock")
    with pytest.raises(BackendError, match=r"control\.sock: .*/a\.sock: .*/b\.sock: .*; and 2 more do not$"):
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
