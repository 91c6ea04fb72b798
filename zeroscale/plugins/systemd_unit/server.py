"""A systemd unit: `zeroscale systemd_unit 25565 25575 -a unit=minecraft@survival -a protocol=minecraft`.

The unit is systemd's, with its user, its limits and its journal; it is started, stopped and frozen here. By D-Bus where
`dbus-fast` is installed and a bus is there (`pip install 'zeroscale[systemd]'`), else by the program `systemctl`.
"""

from __future__ import annotations

import importlib.util
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from zeroscale.errors import PluginError
from zeroscale.plugins.support import arguments
from zeroscale.plugins.support.external_server import ExternalServer, Poller
from zeroscale.plugins.systemd_unit.systemctl import UnitCommands
from zeroscale.plugins.systemd_unit.unit_state import UnitState, unit_name
from zeroscale.status import Status

if TYPE_CHECKING:
    from zeroscale.plugins.systemd_unit.dbus import UnitBus

logger = logging.getLogger("zeroscale.plugins.systemd_unit")

LIBRARY = "dbus_fast"

POLL_INTERVAL = 5.0
"""Seconds between two looks, some milliseconds each. With signals only while the unit runs, since systemd has none for
what others freeze (seen with systemd 252)."""


class Server:
    """A unit.

    :ivar status: where this plugin believes it to be.
    :ivar on_output: never called: the unit's output is in the journal.
    """

    remote = True

    def __init__(
        self,
        unit: str,
        *,
        state_directory: str | Path,
        user: str | bool = False,
        protocol: str | None = None,
    ) -> None:
        """Asks for nothing.

        :param unit: its name; without a suffix it is a service.
        :param state_directory: this server's own directory.
        :param user: it is one of the manager of the user whom zeroscale runs as.
        :param protocol: `minecraft` where its clients speak that.
        :raises PluginError: one of the values cannot be understood.
        """
        self.status = Status.stopped
        self.protocol = arguments.protocol(protocol)
        self.unit = unit_name(unit)
        self._user = arguments.yes_or_no("user", user)
        self._logs = Path(state_directory)
        self._external = ExternalServer()
        self._hands: UnitBus | UnitCommands | None = None
        self._untried: UnitBus | None = None
        self._poller = Poller(self._poll, POLL_INTERVAL, logger)

    @property
    def on_found(self) -> Callable[[], None] | None:
        """Called when somebody else has started it."""
        return self._external.on_found

    @on_found.setter
    def on_found(self, found: Callable[[], None] | None) -> None:
        self._external.on_found = found

    @property
    def on_paused(self) -> Callable[[], None] | None:
        """Called when somebody else has frozen it."""
        return self._external.on_paused

    @on_paused.setter
    def on_paused(self, paused: Callable[[], None] | None) -> None:
        self._external.on_paused = paused

    def fake_status(self) -> bytes:
        """Nothing: a client is held."""
        return b""

    def check(self) -> None:
        """Whether there is a way to ask systemd at all.

        :raises PluginError: there is none.
        """
        if not _has_library() and shutil.which("systemctl") is None:
            raise PluginError(
                "there is no way to systemd: neither the library for D-Bus (pip install 'zeroscale[systemd]') nor the "
                "program systemctl; does this machine run systemd?"
            )

    async def adopt(self) -> bool:
        """Whether the unit runs already; one that is frozen goes on.

        :raises PluginError: systemd cannot be asked.
        """
        hands, state = await self._reach()
        if not state.runs:
            return False
        if state.frozen:
            await hands.thaw()
        self._external.mark_running()
        self.status = Status.running
        return True

    async def start(self) -> None:
        """Starts it; returns when systemd says that it has started, as its `Type=` has it.

        :raises PluginError: it did not start; the message says what systemd knows.
        """
        hands, state = await self._reach()
        problem = state.problem(self.unit)
        if problem is not None:
            raise PluginError(problem)
        self.status = Status.starting
        self._external.begin_change()
        try:
            await hands.start()
        except PluginError:
            self.status = Status.stopped
            self._external.abort_change()
            raise
        self._external.mark_running()
        self.status = Status.running
        self._saw(await hands.state())  # it may have ended already, and systemd does not say so twice

    async def stop(self) -> None:
        """Stops it, and waits until it has stopped.

        :raises PluginError: it cannot be stopped.
        """
        hands, state = await self._reach()
        if state.runs:
            self.status = Status.stopping
            await hands.stop()
            state = await hands.state()
        self._saw(state)

    async def pause(self) -> None:
        """Freezes it, which needs control groups of version 2.

        :raises PluginError: it cannot be frozen.
        """
        hands, _ = await self._reach()
        self._external.begin_change()
        try:
            await hands.freeze()
        except PluginError:
            self._external.abort_change()
            raise
        self._external.mark_running(paused=True)
        self.status = Status.paused

    async def resume(self) -> None:
        """Lets it go on.

        :raises PluginError: it cannot.
        """
        hands, _ = await self._reach()
        self._external.begin_change()
        try:
            await hands.thaw()
        except PluginError:
            self._external.abort_change()
            raise
        self._external.mark_running()
        self.status = Status.running

    async def wait(self) -> int | None:
        """Waits until it has ended; returns its main process's exit code, 0 where systemd counts it as a success.

        :raises PluginError: it has failed, and why.
        """
        return await self._external.wait()

    async def close(self) -> None:
        """Lets go of it, and leaves it as it is."""
        self._external.close()
        await self._poller.close()
        for hands in (self._hands, self._untried):
            if hands is not None:
                await hands.close()
        self._hands = self._untried = None
        await self._poller.close()  # an observation in the meantime may have started it again

    async def _reach(self) -> tuple[UnitBus | UnitCommands, UnitState]:
        """A way to systemd that works, and how the unit is. Which one is chosen once, by what works first."""
        if self._hands is not None:
            return self._hands, await self._hands.state()
        commands = UnitCommands(self.unit, user=self._user, logs=self._logs)
        ways: list[UnitBus | UnitCommands] = [commands]
        if _has_library():
            if self._untried is None:
                from zeroscale.plugins.systemd_unit.dbus import UnitBus

                self._untried = UnitBus(self.unit, user=self._user)
            ways.insert(0, self._untried)
        problems = []
        for hands in ways:
            try:
                state = await hands.state()
            except PluginError as error:
                problems.append(str(error))
                continue
            self._hands = hands
            if not hands.announces:
                for problem in problems:
                    logger.debug("%s is watched by systemctl: %s", self.unit, problem)
                self._poller.start()
            hands.watch(self._saw)
            return hands, state
        raise PluginError("; and ".join(problems))

    async def _poll(self) -> None:
        if self._hands is not None:
            self._saw(await self._hands.state())

    def _saw(self, state: UnitState) -> None:
        if state.runs:
            self._poller.start()
            self._external.observe_running(paused=state.frozen)
            return
        if self._hands is not None and self._hands.announces:
            self._poller.stop()
        if self.status in (Status.running, Status.stopping, Status.paused):
            self.status = Status.stopped
        self._external.observe_stopped(state.exit_code, state.failure(self.unit, " --user" if self._user else ""))


def _has_library() -> bool:
    return importlib.util.find_spec(LIBRARY) is not None
