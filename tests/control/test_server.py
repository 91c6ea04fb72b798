"""The admin socket, with the kernel's sockets."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from control.fake_proxy import FakeProxy
from harness import running_reactor
from twisted.internet.threads import deferToThread

from zeroscale.control import server as server_module
from zeroscale.control.server import ControlServer
from zeroscale.control.socket_path import ControlSocket
from zeroscale.errors import ConfigError

DEADLINE = 20.0


@pytest.fixture
def directory() -> Iterator[Path]:
    """Return a directory with a path that is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="zs-") as name:
        yield Path(name)


class Client:
    """A blocking client, to be used in a thread."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(DEADLINE)
        self.socket.connect(str(path))
        self.stream = self.socket.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()
        self.socket.close()

    def say(self, command: str, **fields: object) -> None:
        self.socket.sendall(json.dumps({"version": 1, "id": 1, "command": command, **fields}).encode() + b"\n")

    def read(self) -> Any:
        line = self.stream.readline()
        return json.loads(line) if line else None

    def ask(self, command: str, **fields: object) -> Any:
        self.say(command, **fields)
        return self.read()


Serve = Callable[[Callable[[Path, FakeProxy], Any]], Coroutine[Any, Any, Any]]


@pytest.fixture
def serve(directory: Path) -> Serve:
    """Return a function that runs a function in a thread while the server serves it."""

    async def play(use_socket: Callable[[Path, FakeProxy], Any]) -> Any:
        path = directory / "control.sock"
        proxy = FakeProxy("a", "b")
        server = ControlServer(proxy, running_reactor(), ControlSocket(path), required=True)
        await server.start()
        try:
            return await deferToThread(use_socket, path, proxy)
        finally:
            await server.stop()
            assert not path.exists()
            assert proxy.observers == [] and proxy.servers["a"].subscribers == []

    return play


@pytest_twisted.ensureDeferred
async def test_requests_are_answered(serve: Serve) -> None:
    def use_socket(path: Path, proxy: FakeProxy) -> None:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with Client(path) as client:
            assert client.ask("logs", server="a") == {"id": 1, "result": {"lines": ["first", "second"], "skipped": 0}}
            assert client.ask("fly")["error"]["code"] == "unknown_command"
            assert len(client.ask("status")["result"]["servers"]) == 2

    await serve(use_socket)


@pytest_twisted.ensureDeferred
async def test_the_server_learns_the_account_of_its_operator(serve: Serve) -> None:
    def use_socket(path: Path, proxy: FakeProxy) -> None:
        with Client(path) as client:
            client.ask("wake", server="a")
            client.ask("sleep", server="a")
        assert proxy.servers["a"].operators == [pwd.getpwuid(os.getuid()).pw_name] * 2

    await serve(use_socket)


@pytest_twisted.ensureDeferred
async def test_a_client_that_closes_its_sending_side_gets_its_answers(serve: Serve) -> None:
    def use_socket(path: Path, proxy: FakeProxy) -> None:
        with Client(path) as client:
            client.say("keep-awake", server="a")
            client.socket.shutdown(socket.SHUT_WR)
            assert client.read()["result"]["keep_awake_reason"]
            assert client.read() is None

    await serve(use_socket)


@pytest_twisted.ensureDeferred
async def test_a_client_that_never_reads_does_not_delay_others(serve: Serve) -> None:
    def use_socket(path: Path, proxy: FakeProxy) -> None:
        with Client(path) as deaf, Client(path) as other:
            deaf.socket.setblocking(False)
            line = json.dumps({"version": 1, "id": 1, "command": "status"}).encode() + b"\n"
            sent = 0
            with pytest.raises(BlockingIOError):
                while sent < 100 * 1024 * 1024:
                    sent += deaf.socket.send(line * 100)
                    assert other.ask("logs", server="a")["id"] == 1
            assert sent < 10 * 1024 * 1024, "we have stopped reading long ago"
            assert other.ask("logs", server="a")["id"] == 1

    await serve(use_socket)


@pytest_twisted.ensureDeferred
async def test_a_client_that_closes_early_does_not_affect_others(serve: Serve) -> None:
    def use_socket(path: Path, proxy: FakeProxy) -> None:
        for _ in range(50):
            with Client(path) as client:
                client.say("status", watch=True)
                client.socket.sendall(b'{"version":1,"id":')
            with Client(path) as client:
                client.say("logs", server="a", follow=True)
                assert client.read()["event"]["lines"] == ["first", "second"]
        with Client(path) as client:
            assert client.ask("logs", server="a")["id"] == 1

    await serve(use_socket)


@pytest_twisted.ensureDeferred
async def test_the_number_of_clients_is_limited(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MAX_CLIENTS", 2)

    def use_socket(path: Path, proxy: FakeProxy) -> None:
        with Client(path) as first, Client(path) as second:
            assert first.ask("logs", server="a") and second.ask("logs", server="a")
            with Client(path) as third:
                assert third.read()["error"]["code"] == "busy"
                assert third.read() is None
            assert first.ask("logs", server="a")["result"]

    await serve(use_socket)


@pytest_twisted.ensureDeferred
async def test_streams_end_with_the_proxy(directory: Path) -> None:
    path = directory / "control.sock"
    server = ControlServer(FakeProxy("a"), running_reactor(), ControlSocket(path, 0o600), required=True)
    await server.start()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def watch() -> list[Any]:
        with Client(path) as client:
            client.say("status", watch=True)
            responses = [client.read()]
            running_reactor().callFromThread(server.stop)
            while (line := client.read()) is not None:
                responses.append(line)
            return responses

    responses = await deferToThread(watch)
    assert "event" in responses[0] and responses[-1]["error"]["code"] == "refused"


@pytest_twisted.ensureDeferred
async def test_the_socket_of_a_dead_proxy_is_replaced(directory: Path) -> None:
    path = directory / "deeper" / "control.sock"
    for _ in range(2):
        server = ControlServer(FakeProxy("a"), running_reactor(), ControlSocket(path), required=True)
        await server.start()
        await server.stop()
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))


@pytest_twisted.ensureDeferred
async def test_the_socket_of_a_running_proxy_is_kept(directory: Path) -> None:
    path = directory / "control.sock"
    servers = [ControlServer(FakeProxy("a"), running_reactor(), ControlSocket(path), required=True) for _ in range(2)]
    await servers[0].start()
    with pytest.raises(ConfigError, match="another zeroscale listens on"):
        await servers[1].start()
    await servers[1].stop()
    assert path.exists()
    await servers[0].stop()


@pytest_twisted.ensureDeferred
async def test_a_removed_directory_does_not_prevent_the_stop(directory: Path) -> None:
    path = directory / "deeper" / "control.sock"
    server = ControlServer(FakeProxy("a"), running_reactor(), ControlSocket(path), required=True)
    await server.start()
    shutil.rmtree(path.parent)
    await server.stop()


@pytest.mark.parametrize("required", [True, False])
@pytest_twisted.ensureDeferred
async def test_a_default_socket_that_cannot_be_created_is_only_a_warning(
    directory: Path, required: bool, caplog: pytest.LogCaptureFixture
) -> None:
    (directory / "file").touch()
    path = directory / "file" / "control.sock"
    server = ControlServer(FakeProxy(), running_reactor(), ControlSocket(path), required)
    if required:
        with pytest.raises(ConfigError, match=f"cannot create the control socket {path}: "):
            await server.start()
    else:
        await server.start()
        [message] = caplog.messages
        assert message.startswith(f"zeroscalectl cannot be used: cannot create the control socket {path}: ")
    await server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its user")
@pytest_twisted.ensureDeferred
async def test_a_user_without_write_permission_cannot_connect(serve: Serve) -> None:
    def use_socket(path: Path, proxy: FakeProxy) -> None:
        path.parent.chmod(0o755)
        with Client(path) as client:
            assert client.ask("logs", server="a")["id"] == 1
        child = os.fork()
        if child == 0:
            os.setgid(12345)
            os.setuid(12345)
            try:
                Client(path)
            except PermissionError:
                os._exit(13)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 13

    await serve(use_socket)


@pytest_twisted.ensureDeferred
async def test_a_client_is_closed_where_its_modules_cannot_be_imported(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def use_socket(path: Path, proxy: FakeProxy) -> Any:
        with Client(path) as client:
            assert client.read() is None
        monkeypatch.undo()
        with Client(path) as client:
            return client.ask("status")

    monkeypatch.setitem(sys.modules, "zeroscale.control.handlers", None)
    answer = await serve(use_socket)
    assert [each["name"] for each in answer["result"]["servers"]] == ["a", "b"]
    assert "zeroscalectl cannot be used: import of zeroscale.control.handlers halted" in caplog.text
