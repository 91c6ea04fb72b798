"""The machine that runs the commands of pages, and the commands of pages that need no more than it."""

from __future__ import annotations

from pathlib import Path

import pytest
from machine import Machine

pytestmark = [pytest.mark.slow, pytest.mark.peers("nsenter", "unshare")]


def test_it_runs_commands(machine: Machine) -> None:
    machine.write("/srv/survival/eula.txt", "eula=true\n")
    machine.run("useradd --create-home max")
    assert not Path("/home/max").exists()
    assert machine.run("cat eula.txt; touch x; id -un; echo ~", "/srv/survival") == "eula=true\nroot\n/root\n"
    assert machine.run("id -un; echo ~", "/home/max", "max") == "max\n/home/max\n"
    assert machine.path("/srv/survival/x").exists()
    with pytest.raises(AssertionError, match="exit code 1"):
        machine.run("false\ntrue")


def test_a_proxy_in_it(machine: Machine) -> None:
    with machine.start("zeroscale demo 25565 25575 --info -a start_seconds=0.5") as proxy:
        proxy.wait_for("Ready: players come to port 25565")
        assert "Asleep" in machine.run("zeroscalectl ping localhost")
        machine.run("zeroscalectl join localhost")
        assert any("stopped" in line for line in machine.interrupt(proxy))
