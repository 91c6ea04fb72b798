"""A systemd unit, by D-Bus and by `systemctl`, as the core drives it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from plugins.process_fixture import until
from plugins.systemd_unit.fake_systemctl import Systemctl
from plugins.systemd_unit.fake_systemd import Daemon, Systemd

from zeroscale.errors import PluginError
from zeroscale.plugins.support import external_server
from zeroscale.plugins.systemd_unit import dbus as unit_bus
from zeroscale.plugins.systemd_unit import server as systemd_unit
from zeroscale.plugins.systemd_unit.dbus import UnitBus
from zeroscale.plugins.systemd_unit.server import Server
from zeroscale.plugins.testing import (
    AdoptableTests,
    ApiTests,
    PausableTests,
    PermissionTests,
    PluginTests,
    RemovableTests,
    ReportsPausesTests,
    ReportsStartsTests,
    ServerUnderTest,
    WaitableTests,
    driving,
)
from zeroscale.status import Status

UNIT = "game.service"


class ByBus(ServerUnderTest):
    """A unit of a fake systemd, on a bus of its own."""

    permission_hint = "polkit rule"

    def __init__(self, state: Path, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._state = state
        self._directory = directory
        self._monkeypatch = monkeypatch

    async def set_up(self) -> None:
        self._monkeypatch.setattr(unit_bus, "FIRST_DELAY", 0.02)
        self._monkeypatch.setattr(systemd_unit, "POLL_INTERVAL", 0.02)
        self._daemon = Daemon(self._directory)
        self._monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", self._daemon.address)
        await self._daemon.start()
        self.systemd = Systemd(self._daemon.address, UNIT)
        await self.systemd.connect()

    async def tear_down(self) -> None:
        await self.systemd.disconnect()
        await self._daemon.stop()

    def make_plugin(self) -> Server:
        return Server(UNIT, state_directory=self._state)

    async def is_running(self) -> bool:
        return self.systemd.properties["ActiveState"] not in ("inactive", "failed")

    async def start(self) -> None:
        self.systemd.run()

    async def stop(self) -> None:
        self.systemd.end(code=1, status=0)

    async def crash(self) -> None:
        self.systemd.end("signal", code=2, status=9)

    async def block_stop(self) -> None:
        self.systemd.hold_stop(True)

    async def stop_requested(self) -> None:
        await self.systemd.stopping.wait()

    async def unblock_stop(self) -> None:
        self.systemd.hold_stop(False)

    async def is_paused(self) -> bool:
        return self.systemd.properties["FreezerState"] == "frozen"

    async def pause(self) -> None:
        self.systemd.change(FreezerState="frozen")

    async def resume(self) -> None:
        self.systemd.change(FreezerState="running")

    async def remove(self) -> None:
        self.systemd.properties["LoadState"] = "not-found"
        if await self.is_running():
            self.systemd.end()

    async def forbid(self) -> None:
        self.systemd.denied = True

    async def break_api(self) -> None:
        await self.systemd.disconnect()
        await self._daemon.stop()

    async def stall_api(self) -> None:
        self.systemd.answer(False)

    async def restore_api(self) -> None:
        self.systemd.answer(True)
        if not self.systemd.is_connected:
            await self._daemon.start()
            await self.systemd.connect()

    async def api_requested(self) -> None:
        await self.systemd.asked.wait()


@pytest.mark.peers("dbus-daemon")
class TestByBus(
    PluginTests,
    WaitableTests,
    AdoptableTests,
    ReportsStartsTests,
    PausableTests,
    ReportsPausesTests,
    RemovableTests,
    PermissionTests,
    ApiTests,
):
    """The tests of the plugin contract, by D-Bus."""

    @pytest.fixture
    def subject(self, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServerUnderTest:
        return ByBus(state, tmp_path, monkeypatch)


@pytest.mark.peers("dbus-daemon")
@pytest.mark.parametrize("end", ["stop", "close"])
async def test_a_start_that_takes_for_ever_can_be_ended(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    unit = ByBus(state, tmp_path, monkeypatch)
    await unit.set_up()
    server = unit.make_plugin()
    try:
        assert not await server.adopt()
        unit.systemd.holds_start = True
        starting = asyncio.ensure_future(server.start())
        await until(lambda: unit.systemd.starting)
        await getattr(server, end)()
        with pytest.raises(PluginError, match=r"canceled|connection to systemd was lost"):
            await starting
        if end == "stop":
            assert not await unit.is_running()
            unit.systemd.holds_start = False
            await server.start()
    finally:
        await server.close()
        await unit.tear_down()


@pytest.fixture
def subject(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ByBus:
    return ByBus(state, tmp_path, monkeypatch)


@pytest.mark.peers("dbus-daemon")
async def test_what_it_uses(subject: ByBus) -> None:
    async with driving(subject) as driver:
        assert isinstance(driver.plugin, Server)
        assert await driver.plugin.usage() is None
        await driver.start()
        assert await driver.plugin.usage() is None, "systemd does not count"
        subject.systemd.properties |= {"CPUUsageNSec": 1_500_000_000, "MemoryCurrent": 4096}
        assert await driver.plugin.usage() == (1.5, 4096)
        await driver.stop()


def stopped_by_others(unit: ByBus) -> None:
    """Let the unit run, and let others stop it, which lasts."""
    unit.systemd.run()
    unit.systemd.change(ActiveState="deactivating", SubState="stop-sigterm")


@pytest.mark.peers("dbus-daemon")
async def test_a_unit_that_is_not_frozen_after_all_is_asked_to_freeze_again(subject: ByBus) -> None:
    async with driving(subject) as driver:
        await driver.start()
        subject.systemd.misses_freezes = 1
        await driver.pause()
        assert await subject.is_paused()
        await driver.stop()


@pytest.mark.peers("dbus-daemon")
async def test_a_unit_that_others_are_stopping_is_waited_for(subject: ByBus) -> None:
    stopped_by_others(subject)
    async with driving(subject) as driver:
        assert await driver.adopt() is Status.stopping
        stopping = asyncio.ensure_future(driver.stop())
        subject.systemd.end()
        await stopping
        assert driver.exit is not None
        assert (await driver.exit).is_clean
        assert "StopUnit" not in subject.systemd.calls, "it would cancel a restart"
        assert not driver.found.is_set()
        await driver.start()
        await driver.stop()
        assert "StopUnit" in subject.systemd.calls


@pytest.mark.peers("dbus-daemon")
@pytest.mark.parametrize("when", ["before the stop", "during the stop"])
async def test_a_unit_that_others_restart_is_found_again(subject: ByBus, when: str) -> None:
    stopped_by_others(subject)
    async with driving(subject) as driver:
        assert await driver.adopt() is Status.stopping
        ended = driver.exit
        if when == "before the stop":
            subject.systemd.run()
        stopping = asyncio.ensure_future(driver.plugin.stop())
        await until(lambda: subject.systemd.calls.count("GetAll") >= 2)
        subject.systemd.run()
        await stopping
        await driver.found.wait()
        assert ended is not None
        assert (await ended).is_clean
        assert await subject.is_running()
        assert "StopUnit" not in subject.systemd.calls


@pytest.mark.peers("dbus-daemon")
async def test_a_unit_that_is_first_seen_stopping_is_not_found(subject: ByBus) -> None:
    async with driving(subject) as driver:
        assert not await driver.adopt()
        found: list[str] = []
        driver.plugin.on_found = lambda: found.append(str(subject.systemd.properties["ActiveState"]))

        async def see(**properties: object) -> None:
            reads = subject.systemd.calls.count("GetAll")
            subject.systemd.change(**properties)
            await until(lambda: subject.systemd.calls.count("GetAll") > reads)

        await see(ActiveState="deactivating")
        await see(ActiveState="inactive")
        await see(ActiveState="active")
        await until(lambda: found)
        assert found == ["active"]


@pytest.mark.peers("dbus-daemon")
async def test_a_stop_that_did_not_reach_systemd_is_requested_again(
    subject: ByBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    requested = asyncio.Event()

    async def killed(_: UnitBus, run: str | None) -> None:
        requested.set()
        await asyncio.Event().wait()

    async with driving(subject) as first:
        await first.start()
        with monkeypatch.context() as patch:
            patch.setattr(UnitBus, "stop", killed)
            stopping = asyncio.ensure_future(first.plugin.stop())
            await requested.wait()
            stopping.cancel()
            await asyncio.wait([stopping])
    assert subject.systemd.properties["ActiveState"] == "active"
    async with driving(subject) as second:
        assert await second.adopt() is Status.stopping
        await second.stop()
        assert "StopUnit" in subject.systemd.calls


@pytest.mark.peers("dbus-daemon")
async def test_what_others_start_while_a_stop_has_lost_systemd_is_not_stopped(subject: ByBus) -> None:
    async with driving(subject) as driver:
        await driver.start()
        await subject.block_stop()
        stopping = asyncio.ensure_future(driver.stop())
        await subject.stop_requested()
        await subject.break_api()
        subject.systemd.end()
        await subject.start()
        await subject.restore_api()
        await stopping
        await driver.found.wait()
        assert await subject.is_running()
        assert subject.systemd.calls.count("StopUnit") == 1
        await driver.start()
        await driver.stop()
        assert not await subject.is_running()


@pytest.mark.peers("dbus-daemon")
async def test_what_others_start_right_after_a_stop_is_found(subject: ByBus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end and its start may be seen at once."""

    def end_and_run() -> None:
        subject.systemd.properties["ActiveState"] = "inactive"
        subject.systemd.run()

    async with driving(subject) as driver:
        await driver.start()
        with monkeypatch.context() as patch:
            patch.setattr(subject.systemd, "end", end_and_run)
            await driver.stop()
        await driver.found.wait()
        await driver.start()
        await driver.stop()
        assert not await subject.is_running()


class ByCommand(ServerUnderTest):
    """A unit of a fake `systemctl`."""

    permission_hint = "polkit rule"

    def __init__(self, state: Path, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._state = state
        self._systemctl = Systemctl(directory)
        self._runs = 0
        monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere/bus")
        monkeypatch.setattr(systemd_unit, "POLL_INTERVAL", 0.02)
        monkeypatch.setattr(external_server, "LONGEST_INTERVAL", 0.05)

    def make_plugin(self) -> Server:
        return Server("game", state_directory=self._state)

    async def is_running(self) -> bool:
        return self._systemctl.runs

    async def start(self) -> None:
        self._runs += 1
        self._systemctl.set(ActiveState="active", InvocationID=f"by hand {self._runs}")

    async def stop(self) -> None:
        self._systemctl.set(ActiveState="inactive", ExecMainCode=1, ExecMainStatus=0)

    async def crash(self) -> None:
        self._systemctl.set(ActiveState="failed", Result="signal", ExecMainCode=2, ExecMainStatus=9)

    async def block_stop(self) -> None:
        self._systemctl.switch("held", True)

    async def stop_requested(self) -> None:
        await self._systemctl.until("stopping")

    async def unblock_stop(self) -> None:
        self._systemctl.switch("held", False)

    async def is_paused(self) -> bool:
        return self._systemctl.has("frozen")

    async def pause(self) -> None:
        self._systemctl.switch("frozen", True)

    async def resume(self) -> None:
        self._systemctl.switch("frozen", False)

    async def remove(self) -> None:
        self._systemctl.set(LoadState="not-found", ActiveState="inactive")

    async def forbid(self) -> None:
        self._systemctl.switch("denied", True)

    async def break_api(self) -> None:
        self._systemctl.switch("broken", True)

    async def stall_api(self) -> None:
        self._systemctl.switch("slow", True)

    async def restore_api(self) -> None:
        self._systemctl.switch("broken", False)
        self._systemctl.switch("slow", False)

    async def api_requested(self) -> None:
        await self._systemctl.until("asked")


@pytest.mark.slow
class TestByCommand(
    PluginTests,
    WaitableTests,
    AdoptableTests,
    ReportsStartsTests,
    PausableTests,
    ReportsPausesTests,
    RemovableTests,
    PermissionTests,
    ApiTests,
):
    """The tests of the plugin contract, by `systemctl`."""

    @pytest.fixture
    def subject(self, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServerUnderTest:
        return ByCommand(state, tmp_path, monkeypatch)


def test_without_dbus_and_systemctl_the_check_fails(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    Server("game", state_directory=state).check()
    monkeypatch.setattr(systemd_unit, "LIBRARY", "no_such_library")
    with pytest.raises(PluginError, match=r"\(pip install no_such_library\)"):
        Server("game", state_directory=state).check()


async def test_a_machine_without_systemd_is_reported(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere/bus")
    server = Server("game", state_directory=state)
    with pytest.raises(PluginError, match=r"no D-Bus connection to systemd: .*; and there is no systemctl in PATH"):
        await server.adopt()
    await server.close()


async def alias_belongs_to_one_server(unit: ByBus | ByCommand, directory: Path) -> None:
    (directory / "two").mkdir()
    one, two = unit.make_plugin(), Server("alias", state_directory=directory / "two")
    found: list[str] = []
    two.on_found = lambda: found.append("found")
    message = "unit alias.service is what the server 'state' starts and stops, by another name"
    try:
        assert not await one.adopt()
        with pytest.raises(PluginError, match=message):
            await two.adopt()
        await one.start()
        with pytest.raises(PluginError, match=message):
            await two.start()
        with pytest.raises(PluginError, match=message):
            await two.stop()
        assert (await one.adopt(), found) == (True, [])
        await one.stop()
        await one.close()
        assert not await two.adopt()
        await asyncio.wait_for(two.start(), 30)
        await asyncio.wait_for(two.stop(), 30)
    finally:
        await one.close()
        await two.close()


async def test_a_unit_and_its_alias_belong_to_one_server(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await alias_belongs_to_one_server(ByCommand(state, tmp_path, monkeypatch), tmp_path)


@pytest.mark.peers("dbus-daemon")
async def test_a_unit_and_its_alias_belong_to_one_server_by_dbus(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = ByBus(state, tmp_path, monkeypatch)
    await unit.set_up()
    try:
        await alias_belongs_to_one_server(unit, tmp_path)
    finally:
        await unit.tear_down()


async def test_a_failure_has_systemd_s_reason(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = ByCommand(state, tmp_path, monkeypatch)
    server = unit.make_plugin()
    await server.start()
    await unit.crash()
    with pytest.raises(
        PluginError, match=r"its process was killed by a signal \(SIGKILL\); see journalctl -u game\.ser"
    ):
        await server.wait()
    await server.close()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"unit": "a b"}, "is not a unit's name"),
        ({"unit": "--now"}, "is not a unit's name"),
        ({"unit": "game", "user": "maybe"}, "user='maybe' is neither yes nor no"),
        ({"unit": "game", "protocol": "minecarft"}, "protocol='minecarft': zeroscale speaks minecraft"),
    ],
)
def test_values_that_cannot_be_understood(state: Path, values: dict[str, str], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        Server(**values, state_directory=state)


@pytest.mark.parametrize(
    ("unit", "user", "name"),
    [
        ("mc", "no", "unit mc.service"),
        ("mc.service", False, "unit mc.service"),
        ("mc", "yes", "user unit mc.service"),
        ("mc@a", False, "unit mc@a.service"),
        ("mc.target", False, "unit mc.target"),
    ],
)
def test_what_it_controls_has_one_spelling(state: Path, unit: str, user: str | bool, name: str) -> None:
    assert Server(unit, state_directory=state, user=user).controls == {name: True}


@pytest.mark.parametrize("protocol", [None, "minecraft"])
def test_its_protocol(state: Path, protocol: str | None) -> None:
    server = Server("game", state_directory=state, protocol=protocol)
    assert server.protocol == protocol
    assert server.unit == UNIT
    assert server.fake_status() == b""
