"""A systemd unit through the program `systemctl`: for where there is no D-Bus, or no library for it.

Nothing announces itself here: what a unit does is seen by looking.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from zeroscale.errors import PluginError
from zeroscale.plugins.systemd_unit.unit_state import PROPERTIES, UnitState, from_properties, refusal
from zeroscale.process.command_runner import CommandResult, CommandRunner

QUESTION_LIMIT = 15.0
"""Seconds for a question: systemctl answers within milliseconds, and a busy systemd within a few seconds."""

JOB_LIMIT = 3600.0
"""Seconds for a start or stop: the unit's own TimeoutStartSec= and TimeoutStopSec= end them sooner."""

# polkit's and sd-bus' words, and those of `systemctl` where nobody can be asked
_DENIED = re.compile(r"access denied|permission denied|authentication (is )?required|not permitted", re.IGNORECASE)


class UnitCommands:
    """One unit.

    :param unit: its whole name.
    :param user: it is one of the user's own manager.
    :param logs: a directory for the output of the commands.
    """

    announces = False

    def __init__(self, unit: str, *, user: bool, logs: Path) -> None:
        self._unit = unit
        self._user = user
        self._commands = CommandRunner(Path("/"), logs, lambda _: None)
        self._argv = ["systemctl", *(["--user"] if user else []), "--no-ask-password", "--no-pager"]

    def watch(self, changed: Callable[[UnitState], None]) -> None:
        """Is of no use here."""

    async def state(self) -> UnitState:
        """The unit as it is now.

        :raises PluginError: systemd cannot be asked.
        """
        if shutil.which("systemctl") is None:
            raise PluginError("there is no systemctl in PATH: this machine has no systemd, or zeroscale may not see it")
        done = await self._run("show", QUESTION_LIMIT, f"--property={','.join(PROPERTIES)}", "--", self._unit)
        if done.code != 0:
            raise PluginError(f"systemctl cannot say how {self._unit} is: {done.summary()}")
        return from_properties(dict(line.split("=", 1) for line in done.lines if "=" in line))

    async def start(self) -> None:
        """Starts it; returns when its start is done, as its Type= has it.

        :raises PluginError: it did not start.
        """
        await self._job("start")

    async def stop(self) -> None:
        """Stops it, and waits until it has stopped.

        :raises PluginError: it cannot be stopped.
        """
        await self._job("stop")

    async def freeze(self) -> None:
        """Freezes its processes.

        :raises PluginError: they cannot be frozen.
        """
        await self._job("freeze")

    async def thaw(self) -> None:
        """Lets them go on.

        :raises PluginError: they cannot.
        """
        await self._job("thaw")

    async def close(self) -> None:
        """Ends the commands that run; what systemd does for them goes on."""
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
        said = next((line.strip() for line in done.lines if line.strip()), "")
        raise PluginError(f"systemctl could not {verb} {self._unit}: " + (said[:300] or f"exit code {done.code}"))

    async def _run(self, verb: str, limit: float, *words: str) -> CommandResult:
        return await self._commands.run(f"systemctl-{verb}", [*self._argv, verb, *words], limit)
