"""Servers that others run, behind a real zeroscale: what a command starts, and what a magic packet wakes."""

from __future__ import annotations

import getpass
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from peers.dockerd import IMAGE, dockerd
from peers.harness import PeerHarness, Proxy
from peers.programs import Program, answers, wait_until
from peers.test_generic import exactly, sshd_command
from ports import free_port

ECHO = """
import signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    client, _ = listener.accept()
    with client:
        while data := client.recv(65536):
            client.sendall(data)
"""

MAC = "00:11:22:aa:bb:cc"
PACKET = b"\xff" * 6 + bytes.fromhex("001122aabbcc") * 16


def says(port: int, data: bytes) -> None:
    """A client, whose bytes come back."""
    with socket.create_connection(("127.0.0.1", port), 30) as client:
        client.sendall(data)
        assert exactly(client, len(data)) == data


def wait_for_end_of(port: int, proxy: Proxy) -> None:
    wait_until(lambda: not answers(port), "the server is gone", program=proxy)


class Commands:
    """An echo server that commands leave in the background, far from the proxy."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.port = free_port()
        self.pid = directory / "pid"
        echo = directory / "echo.py"
        echo.write_text(ECHO)
        self._script(
            directory / "start",
            f"cd /; setsid {sys.executable} -SE {echo} {self.port} >/dev/null 2>&1 & echo $! >{self.pid}",
        )
        self._script(directory / "stop", f"kill $(cat {self.pid})")
        self._script(directory / "status", f"kill -0 $(cat {self.pid}) 2>/dev/null && ! grep -qs ') Z' {self._stat}")
        self.words = [f"{name}={directory / name}" for name in ("start", "stop", "status")] + ["status_every=0.2"]

    @property
    def _stat(self) -> str:
        return f"/proc/$(cat {self.pid})/stat"

    @staticmethod
    def _script(path: Path, work: str) -> None:
        path.write_text(f"#!/bin/sh\n{work}\n")
        path.chmod(0o700)


@pytest.mark.slow
def test_what_commands_start_is_woken_stopped_missed_and_found(harness: PeerHarness) -> None:
    commands = Commands(harness.directory / "commands")
    proxy = harness.proxy("command", "commanded", commands.words, commands.port, options=["-t", "1"])
    says(proxy.port, b"first")
    wait_for_end_of(commands.port, proxy)
    seen = proxy.wait_for(": stopped( after|:)")
    with socket.create_connection(("127.0.0.1", proxy.port), 30) as client:
        client.sendall(b"second")
        assert exactly(client, 6) == b"second"
        os.kill(int(commands.pid.read_text()), 9)
        assert client.recv(1) == b"", "its end is passed on"
    seen = proxy.wait_for("it exited by itself", after=seen)
    with Program([commands.pid.parent / "start"], harness.directory) as by_hand:
        assert by_hand.wait() == 0
    proxy.wait_for("found running, not started by this zeroscale", after=seen)
    wait_for_end_of(commands.port, proxy)
    proxy.end()


@pytest.mark.slow
def test_what_commands_started_is_left_and_taken_over_by_the_next(harness: PeerHarness) -> None:
    commands = Commands(harness.directory / "left")
    proxy = harness.proxy("command", "left-alone", commands.words, commands.port, options=["--on_exit", "leave"])
    says(proxy.port, b"first")
    assert proxy.terminate() == 0
    assert answers(commands.port)
    next_one = harness.proxy("command", "left-alone", commands.words, commands.port)
    next_one.wait_for("found running, not started by this zeroscale")
    says(next_one.port, b"second")
    wait_for_end_of(commands.port, next_one)
    next_one.end()


SLOW_STOP = """
trap 'asked=1; echo saving' TERM; trap 'saved=1' USR2
busybox nc -ll -p {port} -e busybox cat &
while [ -z "$asked" ] || [ -z "$saved" ]; do busybox sleep 0.05; done
"""
"""An echo server that still accepts connections while it saves, until SIGUSR2."""


@pytest.mark.slow
@pytest.mark.peers("dockerd", "docker", "busybox")
def test_nobody_is_connected_to_a_container_that_a_killed_zeroscale_was_stopping(
    harness: PeerHarness, tmp_path: Path
) -> None:
    port = free_port()
    with dockerd(tmp_path) as engine:
        script = SLOW_STOP.format(port=port)
        engine.docker("create", "--name", "slow", "--network", "host", IMAGE, "/bin/sh", "-c", script)
        words = ["container=slow", f"base_url={engine.url}"]
        named = ["--name", "slow"]  # else each is called after its own listen port
        old = harness.proxy("docker", "slow", words, port, idle_shutdown=0.3, options=named)
        says(old.port, b"first")
        wait_until(lambda: "saving" in engine.docker("logs", "slow"), "it saves", program=old)
        old.process.kill()
        old.process.wait()
        new = harness.proxy("docker", "slow", words, port, options=named)
        new.wait_for("stopping: an earlier zeroscale or another program")
        with socket.create_connection(("127.0.0.1", new.port), 30) as client:
            client.sendall(b"second")
            new.wait_for("will be started again")
            assert answers(port)
            engine.docker("kill", "--signal", "USR2", "slow")
            assert exactly(client, 6) == b"second"
        assert engine.docker("logs", "slow").count("saving") == 1, "the stop was not requested again"
        new.wait_for("Total clients: 1")
        offline, online, relayed = (
            new.text().index(text) for text in (": stopped after", ": ready", "Total clients: 1")
        )
        assert offline < online < relayed
        wait_until(lambda: engine.docker("logs", "slow").count("saving") == 2, "it saves again", program=new)
        engine.docker("kill", "--signal", "USR2", "slow")
        engine.wait_for_state("slow", "exited", new)
        new.end()


@contextmanager
def ssh_server(directory: Path) -> Iterator[list[str]]:
    """A real sshd; the words of an ssh that gets in by a key."""
    port = free_port()
    with Program(sshd_command(directory, port), directory.parent) as server:
        wait_until(lambda: answers(port), "sshd listens", program=server)
        settings = directory / "ssh_config"
        settings.write_text(
            f"""\
Host box
HostName 127.0.0.1
Port {port}
User {getpass.getuser()}
IdentityFile "{directory / "user_key"}"
IdentitiesOnly yes
StrictHostKeyChecking no
UserKnownHostsFile /dev/null
GlobalKnownHostsFile /dev/null
LogLevel ERROR
"""
        )
        yield ["ssh", "-F", str(settings), "box"]


@pytest.mark.slow
@pytest.mark.peers("sshd", "ssh", "ssh-keygen")
def test_a_machine_is_woken_by_a_packet_and_put_to_sleep_through_ssh(harness: PeerHarness) -> None:
    server_port = free_port()
    sleep_log = harness.directory / "told to sleep"
    echo = harness.directory / "machine.py"
    echo.write_text(ECHO)
    with (
        ssh_server(harness.directory / "machine keys") as ssh,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as card,
    ):
        card.bind(("127.0.0.1", 0))
        card.settimeout(30)
        stop = " ".join(f"'{word}'" for word in [*ssh, f'touch "{sleep_log}"'])
        words = [MAC, "broadcast=127.0.0.1", f"port={card.getsockname()[1]}", "every=0.2", f"stop={stop}"]
        proxy = harness.proxy("wake_on_lan", "machine", words, server_port, options=["-t", "1"])
        with socket.create_connection(("127.0.0.1", proxy.port), 30) as client:
            client.sendall(b"wake up")
            assert card.recv(2000) == PACKET
            with Program([sys.executable, "-SE", echo, str(server_port)], harness.directory) as machine:
                assert exactly(client, 7) == b"wake up"
                client.close()
                wait_until(sleep_log.exists, "ssh came through", program=proxy)
                assert machine.terminate() == 0
        proxy.wait_for(": stopped( after|:)")
        proxy.end()
