"""The story that the log tells at INFO, by a whole zeroscale with real sockets: whole lines, in their order."""

from __future__ import annotations

import os
import pwd
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from peers.programs import DEADLINE, Program
from survival.harness import PROTOCOL, SurvivalHarness

from zeroscale.protocols.minecraft.client import LoginClient

NEWS = r"^\S+ (INFO:|WARNING:|ERROR:)(zeroscale\.[a-z.]+):([^:]+): (.*)"


def news(proxy: Program, name: str, logger: str = "zeroscale.server") -> list[str]:
    """Return what the lines about the server at INFO and above say, with seconds as `N`."""
    found = [match for line in proxy.lines if (match := re.match(NEWS, line)) and match[3] == name]
    assert {match[1] for match in found} == {"INFO:"}
    return [re.sub(r"[0-9.]+ s\b", "N s", match[4]) for match in found if match[2] == logger]


@contextmanager
def player(port: int, name: str) -> Iterator[None]:
    """A player whom the server has let in: the demo server sends back what it is sent, more than 4 KiB."""
    login = LoginClient("localhost", port, PROTOCOL, name).request()
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as connection:
        connection.sendall(login)
        received = 0
        while received < len(login):
            received += len(connection.recv(65536))
        connection.sendall(bytes(8192))
        while received < len(login) + 8192:
            received += len(connection.recv(65536))
        yield


def ctl(*words: str) -> None:
    """Run `zeroscalectl`."""
    command = [sys.executable, "-m", "zeroscale.ctl.main", *words]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.slow
def test_two_players_a_scanner_and_an_operator(harness: SurvivalHarness) -> None:
    name = f"survival-{harness.port}"  # else another zeroscale of this machine might have it
    proxy = harness.run_demo("--name", name, switches="--echo", idle=5)
    with player(harness.port, "Ada"):
        proxy.wait_for("Ada joined")
        with player(harness.port, "Bob"):
            proxy.wait_for("Bob joined")
        proxy.wait_for("Bob left")
        scanner = harness.player("Scanner")  # let in no further: no 4 KiB
        scanner.is_joined()
        scanner.leave()
        harness.motd()
    proxy.wait_for(": stopped after")
    ctl("wake", name, "--wait")
    ctl("sleep", name, "--now")
    at = proxy.wait_for(": stopping: stopped by operator")
    proxy.wait_for(": stopped after", after=at)
    assert proxy.terminate() == 0
    [connection] = news(proxy, name, "zeroscale.access")
    assert re.match(r"Scanner \(127\.0\.0\.1:\d+\): closed after N s, and has not joined ", connection)
    operator = pwd.getpwuid(os.getuid()).pw_name
    assert news(proxy, name) == [
        "starting: Ada (127.0.0.1) joined",
        "ready after N s, 1 player waiting",
        "Ada joined (1 player)",
        "Bob joined (2 players)",
        "Bob left after N s (1 player)",
        "Ada left after N s (0 players)",
        "stopping: no players for N s",
        "stopped after N s",
        f"starting: woken by operator {operator}",
        "ready after N s",
        f"stopping: stopped by operator {operator}",
        "stopped after N s",
    ]
