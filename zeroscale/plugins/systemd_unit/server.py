"""A systemd unit: `zeroscale systemd_unit 25565 25575 -a unit=minecraft@survival -a protocol=minecraft`.

The unit keeps its user, limits and journal; this plugin starts, stops and freezes it: by D-Bus if `dbus-fast` is
installed and a bus exists, else by the program `systemctl`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import shlex
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from zeroscale.errors import PluginError
from zeroscale.plugins.loader import requirement_for
from zeroscale.plugins.support import arguments
from zeroscale.plugins.support.claim import Claim
from zeroscale.plugins.support.external_server import ExternalServer, Poller
from zeroscale.plugins.support.stop_note import StopNote
from zeroscale.plugins.systemd_unit.systemctl import UnitCommands
from zeroscale.plugins.systemd_unit.unit_state import UnitControl, UnitState, unit_name
from zeroscale.status import Status

logger = logging.getLogger("zeroscale.plugin.systemd_unit")

LIBRARY = "dbus_fast"

POLL_INTERVAL = 5.0
"""Seconds between two polls, of some milliseconds each. With D-Bus it polls only while the unit runs, since systemd
sends no signal when others freeze a unit (seen with systemd 252)."""

FREEZE_ATTEMPTS = 3
"""Requests to freeze a unit until it says that it is frozen. systemd 252 may report success and then take the unit for
running, where one of its processes forked at that moment; the next request mends that."""


class Server:
    """A unit.

    :ivar status: the state as seen by this plugin.
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
        """Make no request yet.

        :param unit: its name; without a suffix it is a service.
        :param state_directory: this server's own directory.
        :param user: whether it is a unit of the manager of the user that zeroscale runs as.
        :param protocol: `minecraft` or `http`, if its clients speak that.
        :raises PluginError: a value is not valid.
        """
        self.status = Status.stopped
        with arguments.collect_mistakes() as mistakes:
            self.protocol = mistakes.read(arguments.protocol, protocol)
            self.unit = mistakes.read(unit_name, unit)
            self._user = mistakes.read(arguments.yes_or_no, "user", user)
        self._logs = Path(state_directory)
        self._claim = Claim(Path(state_directory))
        self._stop_note = StopNote(Path(state_directory), [self.unit, self._user])
        self._ending: UnitState | None = None  # as it was while it was being stopped, until that run has ended
        self._only_wait = False
        self._external = ExternalServer()
        self._control: UnitControl | None = None
        self._bus: UnitControl | None = None
        self._poller = Poller(self._poll, POLL_INTERVAL, logger)

    @property
    def controls(self) -> Mapping[str, bool]:
        """The unit, of the system or of the user."""
        return {f"{'user ' if self._user else ''}unit {self.unit}": True}

    @property
    def on_found(self) -> Callable[[], None] | None:
        """Called when others have started it."""
        return self._external.on_found

    @on_found.setter
    def on_found(self, found: Callable[[], None] | None) -> None:
        self._external.on_found = found

    @property
    def on_paused(self) -> Callable[[], None] | None:
        """Called when others have frozen it."""
        return self._external.on_paused

    @on_paused.setter
    def on_paused(self, paused: Callable[[], None] | None) -> None:
        self._external.on_paused = paused

    def fake_status(self) -> bytes:
        """Return nothing: clients are held."""
        return b""

    def check(self) -> None:
        """Check that systemd can be reached by D-Bus or `systemctl`, without a request.

        :raises PluginError: neither is installed.
        """
        if not _has_library() and shutil.which("systemctl") is None:
            library = shlex.quote(requirement_for(LIBRARY))
            raise PluginError(
                f"systemd cannot be reached: neither the library for D-Bus (pip install {library}) nor the program "
                "systemctl is installed; does this machine run systemd?"
            )

    async def adopt(self) -> bool | Status:
        """Take over the unit if it runs already; resume one that is frozen.

        :returns: whether it runs; `Status.stopping`: it does, but it is being stopped.
        :raises PluginError: systemd cannot be reached.
        """
        control, state = await self._connect()
        if not state.running:
            self._stop_note.remove()
            return False
        if state.frozen:
            await control.resume()
        self._external.mark_running()
        asked = self._stop_note.find(state.run) is not None
        self._only_wait = state.stopping and not asked
        self._ending = state if self._only_wait else None
        self.status = Status.stopping if state.stopping or asked else Status.running
        return self.status is Status.running or self.status

    async def start(self) -> None:
        """Start it; return when the start is complete, as its `Type=` defines.

        :raises PluginError: it did not start; the message has systemd's reason.
        """
        control, state = await self._connect()
        problem = state.load_problem(self.unit)
        if problem is not None:
            raise PluginError(problem)
        self.status = Status.starting
        self._ending, self._only_wait = None, False
        self._external.begin_change()
        try:
            await control.start()
        except PluginError:
            self.status = Status.stopped
            self._external.abort_change()
            raise
        self._external.mark_running()
        self.status = Status.running
        self._update(await control.state())  # it may have ended already, and systemd reports that only once

    async def stop(self) -> None:
        """Stop it, and wait until it has stopped. One that others are stopping, or restarting, is only waited for.

        :raises PluginError: it cannot be stopped.
        """
        only_wait, self._only_wait = self._only_wait, False
        control, state = await self._connect()
        if only_wait:
            self._update(state)
            if self._ending is not None:
                with contextlib.suppress(PluginError):  # the core's own wait() reports it
                    await self._external.wait()
            return
        if state.running:
            self.status = Status.stopping
            with self._stop_note.kept(state.run):
                await control.stop(state.run)
            if self.status is Status.stopping:  # its end was not seen yet: others may have started it again
                self._ending = state
            state = await control.state()
        self._update(state)

    async def pause(self) -> None:
        """Freeze it, which needs control groups of version 2.

        :raises PluginError: it cannot be frozen.
        """
        control, _ = await self._connect()
        self._external.begin_change()
        try:
            for _ in range(FREEZE_ATTEMPTS):
                await control.pause()
                if (await control.state()).frozen:
                    break
        except PluginError:
            self._external.abort_change()
            raise
        self._external.mark_running(paused=True)
        self.status = Status.paused

    async def resume(self) -> None:
        """Thaw it.

        :raises PluginError: it cannot be thawed.
        """
        control, _ = await self._connect()
        self._external.begin_change()
        try:
            await control.resume()
        except PluginError:
            self._external.abort_change()
            raise
        self._external.mark_running()
        self.status = Status.running

    async def wait(self) -> int | None:
        """Wait until it has ended.

        :returns: its main process's exit code; 0 if systemd counts it as a success.
        :raises PluginError: it has failed; the message says why.
        """
        return await self._external.wait()

    async def usage(self) -> tuple[float, int] | None:
        """Return the CPU seconds of this run, and the bytes of memory, where systemd counts both for the unit.

        :raises PluginError: systemd cannot be reached.
        """
        return None if self._control is None else (await self._control.state()).usage

    async def close(self) -> None:
        """Disconnect from systemd, and leave the unit as it is."""
        self._stop_note.leave()
        self._claim.release()
        self._external.close()
        await self._poller.close()
        for control in (self._control, self._bus):
            if control is not None:
                await control.close()
        self._control = self._bus = None
        await self._poller.close()  # a state that arrived in the meantime may have started it again

    async def _connect(self) -> tuple[UnitControl, UnitState]:
        """Return the control and the unit's state.

        :raises PluginError: systemd cannot be reached, or another server has the unit.
        """
        control, state = await self._reach()
        self._take(state)
        self._claim.check(f"unit {self.unit}")
        return control, state

    def _take(self, state: UnitState) -> bool:
        """Claim the unit; return whether no other server has it."""
        return self._claim.take(f"{'user ' if self._user else ''}unit {state.id or self.unit}")

    async def _reach(self) -> tuple[UnitControl, UnitState]:
        """Return the control and the unit's state. D-Bus or systemctl is chosen once, by what works first."""
        if self._control is not None:
            return self._control, await self._control.state()
        controls: list[UnitControl] = [UnitCommands(self.unit, user=self._user, logs=self._logs)]
        if _has_library():
            if self._bus is None:
                from zeroscale.plugins.systemd_unit.dbus import UnitBus

                self._bus = UnitBus(self.unit, user=self._user)
            controls.insert(0, self._bus)
        problems = []
        for control in controls:
            try:
                state = await control.state()
            except PluginError as error:
                problems.append(str(error))
                continue
            self._control = control
            if not control.notifies:
                for problem in problems:
                    logger.debug("%s is watched by systemctl: %s", self.unit, problem)
                self._poller.start()
            control.watch(self._update)
            return control, state
        raise PluginError("; and ".join(problems))

    async def _poll(self) -> None:
        if self._control is not None:
            self._update(await self._control.state())

    def _update(self, state: UnitState) -> None:
        if not self._take(state):
            return
        if state.running:
            self._poller.start()
            if self._ending is not None and (state.run != self._ending.run or not state.stopping):
                self._ending = None
                self.status = Status.running
                self._external.observe_stopped()  # of the run that has ended; the next one is found
            if self._external.running or not state.stopping:
                self._external.observe_running(paused=state.frozen)
            return
        self._ending = None
        if self._control is not None and self._control.notifies:
            self._poller.stop()
        if self.status in (Status.running, Status.stopping, Status.paused):
            self.status = Status.stopped
        self._external.observe_stopped(state.exit_code, state.failure(self.unit, " --user" if self._user else ""))


def _has_library() -> bool:
    return importlib.util.find_spec(LIBRARY) is not None
