"""Control a systemd unit by the program `systemctl`: used where D-Bus or the library for it is missing.

It reports no changes by others: the state must be polled.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from zeroscale.errors import PluginError
from zeroscale.plugins.systemd_unit.unit_state import PROPERTIES, UnitState, parse_properties, refusal
from zeroscale.process.command_runner import CommandResult, CommandRunner

SHOW_LIMIT = 15.0
"""Seconds for `systemctl show`: it answers within milliseconds, and with a busy systemd within a few seconds."""

JOB_LIMIT = 3600.0
"""Seconds for a start or stop: the unit's own TimeoutStartSec= and TimeoutStopSec= end them sooner."""

# Messages of polkit and sd-bus, and those of `systemctl` where it cannot ask for a password.
_DENIED = re.compile(r"access denied|permission denied|authentication (is )?required|not permitted", re.IGNORECASE)


class UnitCommands:
    """One unit. Implements `UnitControl`.

    :param unit: its full name.
    :param user: whether it is a unit of the user's own manager.
    :param logs: a directory for the output of the commands.
    """

    notifies = False

    def __init__(self, unit: str, *, user: bool, logs: Path) -> None:
        self._unit = unit
        self._user = user
        self._commands = CommandRunner(Path("/"), logs, lambda _: None)
        self._argv = ["systemctl", *(["--user"] if user else []), "--no-ask-password", "--no-pager"]

    def watch(self, changed: Callable[[UnitState], None]) -> None:
        """Do nothing: systemctl does not report changes."""

    async def state(self) -> UnitState:
        """Read the unit's present state.

        :raises PluginError: systemd cannot be reached.
        """
        if shutil.which("systemctl") is None:
            raise PluginError(
                "there is no systemctl in PATH: this machine has no systemd, or it is hidden from zeroscale"
            )
        done = await self._run("show", SHOW_LIMIT, f"--property={','.join(PROPERTIES)}", "--", self._unit)
        if done.code != 0:
            raise PluginError(f"systemctl cannot show the state of {self._unit}: {done.summary()}")
        return parse_properties(dict(line.split("=", 1) for line in done.lines if "=" in line))

    async def start(self) -> None:
        """Start it; return when the start is complete, as its Type= defines.

        :raises PluginError: it did not start.
        """
        await self._job("start")

    async def stop(self, run: str | None = None) -> None:
        """Stop it, and wait until it has stopped.

        :param run: of no effect: the command is run once.
        :raises PluginError: it cannot be stopped.
        """
        await self._job("stop")

    async def pause(self) -> None:
        """Freeze its processes.

        :raises PluginError: they cannot be frozen.
        """
        await self._job("freeze")

    async def resume(self) -> None:
        """Thaw its processes.

        :raises PluginError: they cannot be thawed.
        """
        await self._job("thaw")

    async def close(self) -> None:
        """End the commands that run; systemd's jobs for them go on."""
        self._commands.close()

    async def _job(self, verb: str) -> None:
        done = await self._run(verb, JOB_LIMIT, "--", self._unit)
        if done.code == 0:
            return
        denied = next((line.strip() for line in done.lines if _DENIED.search(line)), None)
        if denied is not None:
            raise PluginError(refusal(verb, self._unit, denied[:200]))
        failure = (await self.state()).failure(self._unit, " --user" if self._user else "")
        if failure is not None:
            raise PluginError(failure)
        first_line = next((line.strip() for line in done.lines if line.strip()), "")
        raise PluginError(f"systemctl could not {verb} {self._unit}: {first_line[:300] or f'exit code {done.code}'}")

    async def _run(self, verb: str, limit: float, *argv: str) -> CommandResult:
        return await self._commands.run(f"systemctl-{verb}", [*self._argv, verb, *argv], limit)
