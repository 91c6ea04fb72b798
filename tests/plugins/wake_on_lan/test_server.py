"""A sleeping machine, played by a listener for magic packets on the loopback interface."""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path
from typing import Any

import pytest
from plugins.process_fixture import POLL_INTERVAL, until
from ports import free_port

from zeroscale.errors import PluginError
from zeroscale.lifecycle.plugin_adapter import PluginAdapter
from zeroscale.plugins.support.tcp_check import TcpResult
from zeroscale.plugins.testing import (
    AdoptableTests,
    PluginTests,
    ServerUnderTest,
    WaitableTests,
    driving,
    kill_while_stopping,
)
from zeroscale.plugins.wake_on_lan import server as wake_on_lan
from zeroscale.plugins.wake_on_lan.magic_packet import hardware_address, magic_packet
from zeroscale.plugins.wake_on_lan.server import Server
from zeroscale.process.environment import ChildEnvironment
from zeroscale.status import Status

MAC = "00:11:22:aa:bb:cc"

FALL_ASLEEP = """#!/bin/sh
touch asked
while [ -e held ]; do sleep 0.01; done
touch fall-asleep
while [ -e fall-asleep ]; do sleep 0.01; done
"""


class Machine(ServerUnderTest, asyncio.DatagramProtocol):
    """A machine with a network card, whose server starts with it.

    :ivar packets: the packets that its card has received.
    :ivar deaf: the number of packets that it ignores.
    """

    reports_crashes = False
    has_runs = False

    def __init__(self, state: Path, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(wake_on_lan, "CHECK_EVERY", 0.01)
        self.packets: list[bytes] = []
        self.deaf = 0
        self.password = b""
        self.port = free_port()
        self.directory = directory
        self._state = state
        self._listener: asyncio.Server | None = None
        self._waking: asyncio.Future[None] | None = None
        (directory / "sleep").write_text(FALL_ASLEEP)
        (directory / "sleep").chmod(0o700)

    async def set_up(self) -> None:
        loop = asyncio.get_running_loop()
        self._card, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        self.card_port: int = self._card.get_extra_info("sockname")[1]
        self._ear = loop.create_task(self._listen_to_command())

    async def tear_down(self) -> None:
        self._card.close()
        self._ear.cancel()
        await asyncio.wait([self._ear])
        await self.stop()

    def make_plugin(self, **changes: Any) -> Server:
        values: dict[str, Any] = {
            "server_host": "127.0.0.1",
            "server_port": self.port,
            "broadcast": "127.0.0.1",
            "port": self.card_port,
            "state_directory": self._state,
            "working_directory": self.directory,
            "stop": "./sleep",
            "every": 0.02,
            "watch_every": 0.02,
            **changes,
        }
        return Server(MAC, **values)

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.packets.append(data)
        wakes = len(self.packets) > self.deaf and data == magic_packet(hardware_address(MAC), self.password)
        if wakes and (self._waking is None or self._waking.done()):
            self._waking = asyncio.ensure_future(self.start())

    async def is_running(self) -> bool:
        return self._listener is not None

    async def start(self) -> None:
        if self._listener is None:
            loop = asyncio.get_running_loop()
            self._listener = await loop.create_server(asyncio.Protocol, "127.0.0.1", self.port)

    async def stop(self) -> None:
        for _packet in range(2 * wake_on_lan.PACKETS):  # those that were sent before must not wake it again
            await asyncio.sleep(0)
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
            await listener.wait_closed()

    async def crash(self) -> None:
        await self.stop()

    async def block_stop(self) -> None:
        (self.directory / "held").touch()

    async def stop_requested(self) -> None:
        await until((self.directory / "asked").exists)

    async def unblock_stop(self) -> None:
        (self.directory / "held").unlink()

    async def _listen_to_command(self) -> None:
        while True:
            if (self.directory / "fall-asleep").exists():
                await self.stop()
                (self.directory / "fall-asleep").unlink()
            await asyncio.sleep(POLL_INTERVAL)


@pytest.mark.slow
class TestBehaviour(PluginTests, WaitableTests, AdoptableTests):
    """The contract tests."""

    @pytest.fixture
    def subject(self, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServerUnderTest:
        return Machine(state, tmp_path, monkeypatch)


@pytest.fixture
def subject(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(state, tmp_path, monkeypatch)


async def test_packets_are_sent_until_the_server_answers(subject: Machine) -> None:
    subject.deaf = 4
    async with driving(subject) as driver:
        await driver.start()
        await until(lambda: len(subject.packets) >= 2 * wake_on_lan.PACKETS)
        sent = len(subject.packets)
        await driver.stop()
        await driver.start()
    assert sent < 20
    assert set(subject.packets) == {magic_packet(hardware_address(MAC))}


async def test_the_server_is_remote(subject: Machine) -> None:
    assert PluginAdapter(subject.make_plugin()).is_remote


async def test_the_password_is_in_the_packet(subject: Machine) -> None:
    subject.password = bytes([192, 0, 2, 1])
    server = subject.make_plugin(password="192.0.2.1")
    await server.start()
    assert subject.packets[0][-4:] == subject.password
    await server.close()


async def test_a_machine_that_does_not_answer_is_reported(subject: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    subject.deaf = 1_000_000
    server = subject.make_plugin(wake_timeout=0.05)
    with pytest.raises(PluginError, match=r"127\.0\.0\.1 is awake, but nothing listens on its port"):
        await server.start()

    async def silent(host: str, port: int, limit: float) -> TcpResult:
        return TcpResult.unreachable

    monkeypatch.setattr(wake_on_lan, "tcp_check", silent)
    with pytest.raises(PluginError, match=rf"did not answer within 0\.05 s after \d+ magic packets for {MAC} to"):
        await server.start()
    assert server.status is Status.stopped


async def test_without_a_stop_command_nothing_is_run(subject: Machine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    server = subject.make_plugin(stop=None)
    await server.start()
    gone = asyncio.ensure_future(server.wait())
    await server.stop()
    assert await gone is None
    assert await subject.is_running()
    assert "has to suspend itself" in caplog.text
    await server.close()


async def test_a_failing_stop_command_is_an_error_only_if_the_machine_still_answers(subject: Machine) -> None:
    (subject.directory / "sleep").write_text("#!/bin/sh\necho a password is required; exit 1\n")
    server = subject.make_plugin()
    await server.start()
    with pytest.raises(PluginError, match=r"stop command \(\./sleep\) failed with exit code 1: a password is required"):
        await server.stop()
    (subject.directory / "sleep").write_text(FALL_ASLEEP + "exit 255\n")
    await server.stop()
    assert not await subject.is_running()
    await server.close()


async def test_a_machine_that_stays_awake_is_reported(subject: Machine) -> None:
    (subject.directory / "sleep").write_text("#!/bin/sh\nexit 0\n")
    server = subject.make_plugin(stop_timeout=0.2)
    await server.start()
    with pytest.raises(PluginError, match=r"still answers 0\.2 s after the stop command"):
        await server.stop()
    await server.close()


@pytest.mark.parametrize("woken", [False, True])
async def test_a_stop_command_that_has_ended_is_not_run_again(subject: Machine, woken: bool) -> None:
    """A machine that has been woken since is not suspended again."""
    (subject.directory / "sleep").write_text("#!/bin/sh\necho x >>stops\n")
    note = subject.directory / "state" / "stop.json"
    async with driving(subject) as first:
        await first.start()
        stopping = asyncio.ensure_future(first.plugin.stop())
        await until(lambda: note.exists() and b"sent" in note.read_bytes())
        stopping.cancel()
        await asyncio.wait([stopping])
    second = subject.make_plugin(stop_timeout=0.2)
    assert await second.adopt() is Status.stopping
    if not woken:
        await subject.stop()
    await second.stop()
    assert await subject.is_running() is woken
    assert await second.adopt() is woken
    assert (subject.directory / "stops").read_text() == "x\n"
    await second.close()


async def test_the_note_of_a_stop_is_not_believed_of_another_machine(subject: Machine) -> None:
    await kill_while_stopping(subject)
    second = subject.make_plugin(server_host="localhost")
    assert await second.adopt() is True
    await second.close()


@pytest.mark.parametrize(
    ("mac", "host", "names"),
    [
        ("00:11:22:AA:BB:CC", "192.168.1.20", {"machine 00:11:22:aa:bb:cc", "machine 192.168.1.20"}),
        ("00-11-22-aa-bb-cc", "Tower.local.", {"machine 00:11:22:aa:bb:cc", "machine tower.local"}),
        ("001122aabbcc", "fd00:0::1", {"machine 00:11:22:aa:bb:cc", "machine fd00::1"}),
        ("001122aabbcc", "8.8.8.8", {"machine 00:11:22:aa:bb:cc"}),
    ],
)
@pytest.mark.parametrize("stop", [None, "suspend-it"])
def test_what_it_controls_has_one_spelling(
    tmp_path: Path, mac: str, host: str, names: set[str], stop: str | None
) -> None:
    server = Server(mac, server_host=host, server_port=1, state_directory=tmp_path, stop=stop)
    assert server.controls == dict.fromkeys(names, stop is not None)


@pytest.mark.parametrize(
    (("arguments", "argv")),
    [
        ({"stop": None, "ssh": "mc@box"}, ["mc@box", "sudo systemctl suspend"]),
        ({"stop": None, "ssh": "mc@box", "ssh_command": "sudo poweroff"}, ["mc@box", "sudo poweroff"]),
        ({"stop": "ssh -p 2222 mc@box sudo poweroff"}, ["-p", "2222", "mc@box", "sudo", "poweroff"]),
    ],
)
async def test_ssh_runs_in_batch_mode(
    subject: Machine, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, str], argv: list[str]
) -> None:
    ssh = subject.directory / "ssh"
    ssh.write_text('#!/bin/sh\nprintf "%s\\n" "$@" >words\nexec ./sleep\n')
    ssh.chmod(0o700)
    monkeypatch.setenv("PATH", f"{subject.directory}:/usr/bin:/bin")
    server = subject.make_plugin(**arguments)
    server.check()
    await server.start()
    await server.stop()
    words = (subject.directory / "words").read_text().splitlines()
    assert words == ["-o", "BatchMode=yes", "-o", "ConnectTimeout=10", *argv]
    await server.close()


async def test_a_packet_that_cannot_be_sent_is_reported(subject: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    server = subject.make_plugin(broadcast="a..b")
    with pytest.raises(PluginError, match=r"broadcast=a\.\.b has no address: give one, such as 192\.168\.1\.255"):
        await server.start()

    def refuse(*_: object) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(socket.socket, "sendto", refuse)
    with pytest.raises(
        PluginError, match=r"cannot be sent to 127\.0\.0\.1: Operation not permitted; give broadcast= .*"
    ):
        await subject.make_plugin().start()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ssh": "mc@box"}, "ssh= and stop= both suspend"),
        ({"stop": None, "ssh": "-oProxyCommand=evil"}, "is not a destination for ssh"),
        ({"port": "0"}, "port='0' is not a UDP port"),
        ({"port": "nine"}, "port='nine' is not a UDP port"),
        ({"every": "-1"}, "every='-1' is not a duration"),
        ({"password": "secret"}, "password= must be six bytes"),
        ({"protocol": "chess"}, "zeroscale speaks minecraft"),
    ],
)
async def test_invalid_values(subject: Machine, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PluginError) as raised:
        subject.make_plugin(**changes)
    assert message in str(raised.value)


async def test_check_reports_what_is_missing(subject: Machine, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(PluginError, match="there is no 'no-such-program' in PATH"):
        subject.make_plugin(stop="no-such-program --now").check()
    assert "give the address of the other one by --server-host" in caplog.text


async def test_the_stop_command_is_looked_for_in_the_configured_path(subject: Machine, tmp_path: Path) -> None:
    script = tmp_path / "own-command"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    subject.make_plugin(stop=script.name, environment=ChildEnvironment({"PATH": str(tmp_path)})).check()
