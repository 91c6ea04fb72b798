"""Planned stops with whole programs: `zeroscalectl sleep --at`, and what players are told on the server's console."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from peers.programs import DEADLINE, Program, wait_until
from ports import free_port
from protocols.minecraft.rcon_server import RconServer
from survival.harness import AT_ONCE, PROTOCOL, SurvivalHarness, kill_proxy
from survival.small_server import WORLD

from zeroscale.protocols.minecraft.client import LoginClient

STAYS = ["--online-mode"]


def ctl(proxy: Program, *words: str) -> str:
    """Run `zeroscalectl`; return its output."""
    proxy.wait_for("Control socket: ")
    [control] = re.findall("Control socket: (.*)", proxy.text())
    command = [sys.executable, "-m", "zeroscale.ctl.main", words[0], "--socket", control, *words[1:]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait_for(harness: SurvivalHarness, event: str, proxy: Program) -> float:
    """Wait until the server has recorded an event; return when it was."""
    wait_until(lambda: harness.times_of(event) != [], event, program=proxy)
    return harness.times_of(event)[-1]


@contextmanager
def player_on(harness: SurvivalHarness, proxy: Program) -> Iterator[socket.socket]:
    """Wake the server, and let a player join who stays: the server has sent it a world."""
    ctl(proxy, "wake", "--wait")
    login = LoginClient("localhost", harness.port, PROTOCOL, "Steve").request()
    with socket.create_connection(("127.0.0.1", harness.port), DEADLINE) as connection:
        connection.sendall(login)
        assert connection.recv(1, socket.MSG_PEEK)  # an encryption request
        connection.sendall(b"an answer")
        received = 0
        while received < WORLD:
            received += len(connection.recv(65536))
        yield connection


@pytest.mark.slow
def test_players_are_told_and_then_the_server_stops(harness: SurvivalHarness) -> None:
    proxy = harness.run_small_server("--stop-warnings", "2", "--stop-warnings", "1", switches=STAYS)
    with player_on(harness, proxy):
        began = time.monotonic()
        assert "is put to sleep in 4 s" in ctl(proxy, "sleep", "--at", "4s")
        assert "it is stopped in" in ctl(proxy, "status")
        first = wait_for(harness, "said The server stops in 2 s.", proxy)
        second = wait_for(harness, "said The server stops in 1 s.", proxy)
        stopped = wait_for(harness, "stopped", proxy)
    assert began + 2 <= first and 0.7 < second - first < AT_ONCE and 0.7 < stopped - second < AT_ONCE
    harness.server_is_gone(proxy)
    assert "Planned" not in ctl(proxy, "status")
    assert proxy.terminate() == 0


@pytest.mark.slow
def test_it_stops_at_once_when_all_who_were_told_have_left(harness: SurvivalHarness) -> None:
    proxy = harness.run_small_server(switches=STAYS)
    with player_on(harness, proxy):
        ctl(proxy, "sleep", "--at", "10m")
        wait_for(harness, "said The server stops in 10 min.", proxy)
        left = time.monotonic()
    assert wait_for(harness, "stopped", proxy) - left < AT_ONCE
    assert proxy.terminate() == 0


@pytest.mark.slow
def test_a_plan_survives_a_kill_and_can_be_cancelled(harness: SurvivalHarness) -> None:
    first = harness.run_small_server("--on_exit", "leave", switches=STAYS)
    ctl(first, "wake", "--wait")
    ctl(first, "sleep", "--at", "1h")
    wait_until(lambda: any(map(has_plan, harness.state.glob("*/operator.json"))), "it is written", program=first)
    kill_proxy(first)
    second = harness.run_small_server("--on_exit", "leave", switches=STAYS)
    second.wait_for("ready: it ran already")
    assert re.search("it is stopped in (59 min|1 h)", ctl(second, "status"))
    assert "cancelled" in ctl(second, "sleep", "--cancel")
    assert "Planned" not in ctl(second, "status")
    ctl(second, "sleep", "--now")
    harness.server_is_gone(second)
    assert second.terminate() == 0


def has_plan(file: Path) -> bool:
    """Whether a planned stop is written there."""
    return "stop_at" in json.loads(file.read_text())


@contextmanager
def rcon_server(port: int, game: RconServer) -> Iterator[None]:
    """Serve RCON on a port, one connection after the other, in a thread."""
    listener = socket.create_server(("127.0.0.1", port))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    while data := connection.recv(1460):
                        connection.sendall(game.read(data) or b"")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(DEADLINE)


@pytest.mark.slow
def test_players_are_told_by_rcon(harness: SurvivalHarness) -> None:
    port = free_port()
    properties = f"server-port={harness.server_port}\nenable-rcon=true\nrcon.port={port}\nrcon.password=secret\n"
    (harness.world / "server.properties").write_text(properties)
    game = RconServer(
        "secret", lambda command: "There are 0 of a max of 20 players online: " if command == "list" else ""
    )
    with rcon_server(port, game):
        proxy = harness.run_small_server("-a", "stop=SIGTERM", "--stop-warnings", "1", switches=STAYS)
        with player_on(harness, proxy):
            ctl(proxy, "sleep", "--at", "2s")
            harness.server_is_gone(proxy)
        assert proxy.terminate() == 0
    assert "say The server stops in 1 s." in [text for _, kind, text in game.requests if kind == 2]
    assert not harness.times_of("said The server stops in 1 s.")
