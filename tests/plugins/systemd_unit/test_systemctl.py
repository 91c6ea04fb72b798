"""A systemd unit by `systemctl`, with a fake of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from plugins.systemd_unit.fake_systemctl import Systemctl

from zeroscale.errors import PluginError
from zeroscale.plugins.systemd_unit.systemctl import UnitCommands


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemctl:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return Systemctl(tmp_path)


async def test_a_start_a_freeze_and_a_stop(systemctl: Systemctl, state: Path) -> None:
    unit = UnitCommands("game.service", user=False, logs=state)
    assert not (await unit.state()).running
    await unit.start()
    assert (await unit.state()).running
    await unit.pause()
    assert (await unit.state()).frozen
    await unit.resume()
    assert not (await unit.state()).frozen
    await unit.stop()
    assert not (await unit.state()).running
    assert systemctl.calls[1] == "--no-ask-password --no-pager start -- game.service"


async def test_a_user_s_own_manager(systemctl: Systemctl, state: Path) -> None:
    await UnitCommands("game.service", user=True, logs=state).start()
    assert systemctl.calls == ["--user --no-ask-password --no-pager start -- game.service"]


@pytest.mark.parametrize("switch", ["denied", "failing"])
async def test_a_refusal_is_reported(systemctl: Systemctl, state: Path, switch: str) -> None:
    message = {
        "denied": r"does not let this user start game\.service \(Failed to start .*entication required\.\): .*polkit",
        "failing": r"systemd says that game\.service failed: .*; see journalctl -u game\.service",
    }
    systemctl.switch(switch, True)
    with pytest.raises(PluginError, match=message[switch]):
        await UnitCommands("game.service", user=False, logs=state).start()


async def test_a_failing_systemctl_is_reported(systemctl: Systemctl, state: Path) -> None:
    systemctl.switch("broken", True)
    with pytest.raises(
        PluginError, match=r"cannot show the state of game\.service: exit code 1: Failed to connect to bus"
    ):
        await UnitCommands("game.service", user=False, logs=state).state()


@pytest.mark.peers("systemctl")
async def test_the_real_systemctl_takes_our_options(state: Path) -> None:
    """Without systemd there is an error; with it, the unit does not exist."""
    unit = UnitCommands("zeroscale-has-no-such-unit.service", user=False, logs=state)
    try:
        assert (await unit.state()).load_problem("it") is not None
    except PluginError as error:
        assert "not been booted with systemd" in str(error) or "Failed to connect to bus" in str(error)
