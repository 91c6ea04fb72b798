"""Who listens on a port of this machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from ports import free_port

from zeroscale.process import listeners, procfs, sock_diag

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


@pytest.mark.parametrize("by_proc", [False, True])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_a_listener_is_found_at_any_address(host: str, by_proc: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if by_proc:
        monkeypatch.setattr(sock_diag, "listeners", lambda port, *, datagrams=False: None)
    port = free_port()
    assert listeners.describe(port) is None
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family):
        assert [listener.user_id for listener in listeners.listeners(port)] == [os.geteuid()]
        assert listeners.processes(port) == [os.getpid()]
        assert listeners.describe(port) == f"process {os.getpid()} ({procfs.program_name(os.getpid())})"
    assert listeners.listeners(port) == []


def test_a_connection_is_no_listener() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert listeners.listeners(client.getsockname()[1]) == []


@pytest.mark.parametrize("by_proc", [False, True])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_a_socket_that_receives_datagrams_is_found(host: str, by_proc: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if by_proc:
        monkeypatch.setattr(sock_diag, "listeners", lambda port, *, datagrams=False: None)
    port = free_port()
    assert listeners.describe(port, datagrams=True) is None
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((host, port))
        [found] = listeners.listeners(port, datagrams=True)
        assert found.user_id == os.geteuid()
        assert listeners.listeners(port) == []  # of TCP
        assert str(os.getpid()) in (listeners.describe(port, datagrams=True) or "")
        assert listeners.processes(port, datagrams=True) == [os.getpid()] and listeners.processes(port) == []
        with socket.socket(server.family, socket.SOCK_DGRAM) as client:
            client.connect(server.getsockname())
            assert listeners.listeners(client.getsockname()[1], datagrams=True) == []  # receives from one address only


def test_a_process_that_may_not_be_inspected_is_told_by_its_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sock_diag, "listeners", lambda port, *, datagrams=False: None)
    monkeypatch.setattr(procfs, "PROC", tmp_path)
    (tmp_path / "net").mkdir()
    line = (
        "   0: 0100007F:63DD 00000000:0000 0A 00000000:00000000 00:00000000 00000000     {} 0 4711 1 0 100 0 0 10 0\n"
    )
    (tmp_path / "net" / "tcp").write_text(HEAD + line.format(0))
    assert listeners.describe(25565) == "a process of user root (`ss -ltnp` shows it to root)"
    (tmp_path / "net" / "tcp").write_text(HEAD + line.format(123456789))
    assert listeners.describe(25565) == "a process of user 123456789 (`ss -ltnp` shows it to root)"


def test_where_the_kernel_cannot_be_asked_and_there_is_no_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sock_diag, "listeners", lambda port, *, datagrams=False: None)
    monkeypatch.setattr(procfs, "PROC", tmp_path / "missing")
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert listeners.describe(server.getsockname()[1]) is None
