"""The contract tests with a unit of the systemd that is process 1.

Run inside a container by peers/test_real_systemd.py.
"""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest
from plugins.process_fixture import until

from zeroscale.errors import PluginError
from zeroscale.plugins.systemd_unit import server as systemd_unit
from zeroscale.plugins.systemd_unit.server import Server
from zeroscale.plugins.testing import (
    AdoptableTests,
    PausableTests,
    PluginTests,
    RemovableTests,
    ReportsPausesTests,
    ReportsStartsTests,
    ServerUnderTest,
    WaitableTests,
    becomes,
    driving,
)
from zeroscale.status import Status

UNIT = "zeroscale-test.service"
UNIT_FILE = Path("/etc/systemd/system") / UNIT
HELD = Path("/run/zeroscale-test-held")
READY = Path("/run/zeroscale-test-ready")

SETTINGS = f"""[Service]
ExecStartPre=/bin/rm -f {READY}
ExecStart=/bin/sh -c 'trap "while [ -e {HELD} ]; do sleep 0.02; done; exit 143" TERM; touch {READY}; \\
while :; do sleep 0.05; done'
"""


def systemctl(*words: str) -> str:
    return subprocess.run(["systemctl", *words], check=False, capture_output=True, text=True).stdout.strip()


def says(name: str) -> str:
    return systemctl("show", "--property", name, "--value", UNIT)


def hold(held: bool) -> None:
    if held:
        HELD.touch()
    else:
        HELD.unlink(missing_ok=True)


class Unit(ServerUnderTest):
    """A shell that ends slowly, with Java's exit code."""

    def __init__(self, state: Path) -> None:
        self.state = state

    async def set_up(self) -> None:
        UNIT_FILE.write_text(SETTINGS)
        systemctl("daemon-reload")

    async def tear_down(self) -> None:
        hold(False)
        systemctl("thaw", UNIT)
        systemctl("stop", UNIT)
        systemctl("reset-failed")

    def make_plugin(self) -> Server:
        return Server(UNIT, state_directory=self.state)

    async def is_running(self) -> bool:
        return says("ActiveState") not in ("inactive", "failed")

    async def start(self) -> None:
        systemctl("start", UNIT)

    async def stop(self) -> None:
        systemctl("stop", UNIT)

    async def crash(self) -> None:
        systemctl("kill", "--signal", "KILL", UNIT)

    async def block_stop(self) -> None:
        await until(READY.exists)
        hold(True)

    async def stop_requested(self) -> None:
        async def stops() -> bool:
            return says("ActiveState") == "deactivating"

        await becomes(stops, True)

    async def unblock_stop(self) -> None:
        hold(False)

    async def is_paused(self) -> bool:
        return says("FreezerState") == "frozen"

    async def pause(self) -> None:
        systemctl("freeze", UNIT)

    async def resume(self) -> None:
        systemctl("thaw", UNIT)

    async def remove(self) -> None:
        UNIT_FILE.unlink()
        systemctl("daemon-reload")
        await self.crash()


@pytest.fixture(params=["bus", "commands"])
def subject(request: pytest.FixtureRequest, state: Path, monkeypatch: pytest.MonkeyPatch) -> ServerUnderTest:
    monkeypatch.setattr(systemd_unit, "POLL_INTERVAL", 0.2)
    if request.param == "commands":
        monkeypatch.setattr(systemd_unit, "LIBRARY", "no_such_library")
    return Unit(state)


class TestBehaviour(
    PluginTests, WaitableTests, AdoptableTests, ReportsStartsTests, PausableTests, ReportsPausesTests, RemovableTests
):
    """The tests of the plugin contract."""

    @pytest.fixture
    def subject(self, subject: ServerUnderTest) -> ServerUnderTest:
        return subject


async def test_a_unit_that_others_restart_is_waited_for_and_found_again(subject: Unit) -> None:
    systemctl("start", UNIT)
    await subject.block_stop()
    systemctl("restart", "--no-block", UNIT)
    await subject.stop_requested()
    run = says("InvocationID")
    async with driving(subject) as driver:
        assert await driver.adopt() is Status.stopping
        stopping = asyncio.ensure_future(driver.stop())
        await subject.unblock_stop()
        await stopping
        assert driver.exit is not None
        assert (await driver.exit).is_clean
        await driver.found.wait()
        assert await subject.is_running()
        assert says("InvocationID") != run
        assert await driver.adopt() is True
        await driver.stop()


async def test_a_unit_that_fails_to_start_says_how(subject: Unit) -> None:
    UNIT_FILE.write_text("[Service]\nType=notify\nExecStart=/bin/sh -c 'exit 7'\n")
    systemctl("daemon-reload")
    server = subject.make_plugin()
    with pytest.raises(
        PluginError, match=r"its process exited with an error \(exit code 7\); see journalctl -u zeroscale-test"
    ):
        await server.start()
    await server.close()


async def test_a_start_that_takes_for_ever_is_ended_by_a_stop(subject: Unit) -> None:
    UNIT_FILE.write_text("[Service]\nType=notify\nTimeoutStartSec=infinity\nExecStart=/bin/sleep 600\n")
    systemctl("daemon-reload")
    server = subject.make_plugin()
    starting = asyncio.ensure_future(server.start())
    await becomes(subject.is_running, True)
    await server.stop()
    with pytest.raises(PluginError):
        await starting
    assert not await subject.is_running()
    await server.close()


async def test_a_unit_and_its_alias_are_one(tmp_path: Path) -> None:
    alias = "zeroscale-alias.service"
    UNIT_FILE.write_text(SETTINGS)
    (UNIT_FILE.parent / alias).symlink_to(UNIT_FILE)
    systemctl("daemon-reload")
    directories = tmp_path / "one", tmp_path / "two"
    for directory in directories:
        directory.mkdir()
    one, two = Server(alias, state_directory=directories[0]), Server(UNIT, state_directory=directories[1])
    assert not await one.adopt()
    await asyncio.wait_for(one.start(), 20)
    with pytest.raises(PluginError, match=r"unit zeroscale-test\.service is what the server 'one' starts and stops"):
        await two.adopt()
    await asyncio.wait_for(one.stop(), 20)
    await one.close()
    assert not await two.adopt()
    await two.close()
