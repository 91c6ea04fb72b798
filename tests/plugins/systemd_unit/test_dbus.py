"""A systemd unit by D-Bus, with a fake systemd on a bus of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from plugins.process_fixture import until
from plugins.systemd_unit.fake_systemd import Daemon, Systemd

from zeroscale.errors import PluginError
from zeroscale.plugins.systemd_unit import dbus as unit_bus
from zeroscale.plugins.systemd_unit.dbus import UnitBus
from zeroscale.plugins.systemd_unit.unit_state import UnitState

pytestmark = pytest.mark.peers("dbus-daemon")


@asynccontextmanager
async def harness(directory: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Daemon, Systemd, UnitBus]]:
    monkeypatch.setattr(unit_bus, "FIRST_DELAY", 0.02)
    daemon = Daemon(directory)
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", daemon.address)
    await daemon.start()
    systemd = Systemd(daemon.address, "game.service")
    await systemd.connect()
    unit = UnitBus("game.service", user=False)
    try:
        yield daemon, systemd, unit
    finally:
        await unit.close()
        await systemd.disconnect()
        await daemon.stop()


async def test_a_start_a_freeze_and_a_stop_as_systemd_sees_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with harness(tmp_path, monkeypatch) as (_, systemd, unit):
        assert not (await unit.state()).running
        await unit.start()
        assert (await unit.state()).running
        await unit.pause()
        assert (await unit.state()).frozen
        await unit.resume()
        assert not (await unit.state()).frozen
        await unit.stop()
        assert await unit.state() == UnitState(
            "loaded", "inactive", "dead", run=f"{1:032x}", main_code=1, id="game.service"
        )
        assert systemd.calls.count("LoadUnit") == 1, "one connection serves all of it"


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        (
            {"ActiveState": "failed", "Result": "exit-code", "ExecMainCode": 1, "ExecMainStatus": 3},
            r"game\.service failed: its process exited with an error \(exit code 3\); see journalctl -u game\.service",
        ),
        ({"ActiveState": "inactive"}, r"could not start game\.service: the job ended with failed"),
    ],
)
async def test_a_start_that_fails_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, properties: dict[str, object], message: str
) -> None:
    async with harness(tmp_path, monkeypatch) as (_, systemd, unit):
        systemd.fail_start = properties
        with pytest.raises(PluginError, match=message):
            await unit.start()


async def test_changes_by_others_are_reported_also_after_a_disconnection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with harness(tmp_path, monkeypatch) as (daemon, systemd, unit):
        states: list[UnitState] = []
        unit.watch(states.append)
        await until(lambda: states)
        assert not states[-1].running
        systemd.run()
        await until(lambda: states[-1].running)
        await systemd.disconnect()
        await daemon.stop()
        systemd.properties.update(ActiveState="failed", Result="oom-kill")
        await daemon.start()
        await systemd.connect()
        await until(lambda: states[-1].result == "oom-kill")


async def test_a_state_is_of_one_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit that another program starts again while it is read has not failed with the result success."""
    async with harness(tmp_path, monkeypatch) as (_, systemd, unit):
        await unit.state()
        systemd.end("exit-code", status=7)
        systemd.after_answer = systemd.run
        states = [await unit.state(), await unit.state()]
        assert [(state.active, state.result) for state in states] == [("failed", "exit-code"), ("active", "success")]


async def test_the_last_of_many_changes_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with harness(tmp_path, monkeypatch) as (_, systemd, unit):
        states: list[UnitState] = []
        unit.watch(states.append)
        await until(lambda: states)
        systemd.after_answer = systemd.run  # the first of the changes has just been read
        systemd.change(SubState="one")
        systemd.change(SubState="two")
        await until(lambda: states[-1].running)


async def test_a_new_systemd_on_the_same_bus_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with harness(tmp_path, monkeypatch) as (_, systemd, unit):
        states: list[UnitState] = []
        unit.watch(states.append)
        await until(lambda: states)
        await systemd.disconnect()
        await systemd.connect()
        await until(lambda: systemd.calls.count("Subscribe") == 2)
        systemd.run()
        await until(lambda: states[-1].running)


async def test_a_stop_survives_a_disconnection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with harness(tmp_path, monkeypatch) as (daemon, systemd, unit):
        await unit.start()
        systemd.hold_stop(True)
        stopping = asyncio.ensure_future(unit.stop())
        await systemd.stopping.wait()
        await systemd.disconnect()
        await daemon.stop()
        systemd.hold_stop(False)
        assert not stopping.done()
        await daemon.start()
        await systemd.connect()
        await stopping
        assert not (await unit.state()).running


async def test_a_missing_bus_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere/bus")
    unit = UnitBus("game.service", user=False)
    with pytest.raises(PluginError, match=r"no D-Bus connection to systemd: .*No such file"):
        await unit.state()
    await unit.close()


async def test_a_bus_without_systemd_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with harness(tmp_path, monkeypatch) as (_, systemd, unit):
        await systemd.disconnect()
        with pytest.raises(PluginError, match="systemd cannot be reached by D-Bus"):
            await unit.state()


@pytest.mark.parametrize("message", [True, False])
async def test_the_bus_of_the_user_is_found_also_without_a_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: bool
) -> None:
    async with harness(tmp_path, monkeypatch) as (daemon, _, _unit):
        monkeypatch.delenv("DBUS_SYSTEM_BUS_ADDRESS")
        if message:
            monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", daemon.address)
        else:
            monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
            monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        unit = UnitBus("game.service", user=True)
        assert (await unit.state()).load == "loaded"
        await unit.close()
