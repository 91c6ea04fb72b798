"""The state of a systemd unit, read from its properties, and the interface for controlling one. Does no I/O.

The properties are those of org.freedesktop.systemd1.Unit and .Service (org.freedesktop.systemd1(5)); `systemctl show`
prints the same by the same names.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import Struct

from zeroscale.errors import PluginError

PROPERTIES = (
    "Id",
    "LoadState",
    "ActiveState",
    "SubState",
    "InvocationID",
    "FreezerState",
    "Result",
    "ExecMainCode",
    "ExecMainStatus",
    "CPUUsageNSec",
    "MemoryCurrent",
)

SUFFIXES = (".service", ".target", ".slice", ".scope", ".socket", ".mount", ".timer", ".path", ".swap", ".automount")

EXITED = 1
"""ExecMainCode CLD_EXITED; 2 and 3 mean ended by a signal, without and with a core dump (waitid(2))."""

NOT_SET = 2**64 - 1
"""What D-Bus has for a number that is not known."""

SIGNAL_EXIT_CODES = (129, 130, 143)
"""Java's exit codes after SIGHUP, SIGINT and SIGTERM: for systemd a failure without SuccessExitStatus=, for us not."""

RESULTS = {
    "exit-code": "its process exited with an error",
    "signal": "its process was killed by a signal",
    "core-dump": "its process crashed and dumped core",
    "timeout": "it took too long (TimeoutStartSec=, TimeoutStopSec=)",
    "watchdog": "its watchdog timed out (WatchdogSec=)",
    "oom-kill": "it was killed because memory ran out",
    "start-limit-hit": "it was started too often (StartLimitBurst=): systemctl reset-failed lets it start again",
    "resources": "systemd lacked resources for it, or permission to use them",
    "protocol": "it did not report that it is ready, as its Type= demands",
    "exec-condition": "its ExecCondition= was not met",
}

LOAD_PROBLEMS = {
    "not-found": "there is no unit {unit}: is its file in /etc/systemd/system, and was systemctl daemon-reload run?",
    "bad-setting": "the unit {unit} has a setting that systemd refuses: see systemd-analyze verify {unit}",
    "error": "systemd cannot load the unit {unit}: see systemctl status {unit}",
    "masked": "the unit {unit} is masked: systemctl unmask {unit}",
}


def unit_name(name: str) -> str:
    """Return a unit's full name; without a suffix it is a service.

    :raises PluginError: it is not a valid name.
    """
    if not re.fullmatch(r"[A-Za-z0-9:_.\\@-]{1,255}", name) or name.startswith("-"):
        raise PluginError(f"unit={name!r} is not a unit's name, such as minecraft.service or minecraft@survival")
    return name if name.endswith(SUFFIXES) else f"{name}.service"


class UnitState(Struct, frozen=True):
    """A unit at one moment.

    :ivar load: LoadState.
    :ivar active: ActiveState: active, reloading, inactive, failed, activating, deactivating and, newer, refreshing.
    :ivar sub: SubState, more detailed, with its own values for each type of unit.
    :ivar run: InvocationID, which is different after each start; None: systemd gives none.
    :ivar frozen: whether its processes are frozen, or about to be.
    :ivar result: the result of a service's last run.
    :ivar main_code: how its main process ended: ExecMainCode.
    :ivar main_status: the exit code or the number of the signal: ExecMainStatus.
    :ivar usage: CPU seconds of this run, and bytes of memory; None: systemd does not count them for this unit.
    :ivar id: Id, the unit's name, also where it was read by an alias; "": not known.
    """

    load: str
    active: str
    sub: str = ""
    run: str | None = None
    frozen: bool = False
    result: str = "success"
    main_code: int = 0
    main_status: int = 0
    usage: tuple[float, int] | None = None
    id: str = ""

    @property
    def running(self) -> bool:
        """Whether it has processes, or is about to; a unit that is stopping is still running."""
        return self.active not in ("inactive", "failed")

    @property
    def stopping(self) -> bool:
        """Whether it is being stopped."""
        return self.active == "deactivating"

    @property
    def exit_code(self) -> int | None:
        """Exit code of the last run; 0 if systemd counts it as a success; None: it had no main process."""
        if self.main_code == 0:
            return None
        if self.result == "success":
            return 0
        return self.main_status if self.main_code == EXITED else 128 + self.main_status

    def load_problem(self, unit: str) -> str | None:
        """Return why it cannot be started at all; None: it can."""
        text = LOAD_PROBLEMS.get(self.load)
        return None if text is None else text.format(unit=unit)

    def failure(self, unit: str, manager: str = "") -> str | None:
        """Return why it failed and where to read more; None: it has not failed.

        :param manager: the option for journalctl, ` --user` for a unit of a user's manager.
        """
        if self.active != "failed":
            return None
        if self.result == "exit-code" and self.main_code == EXITED and self.main_status in SIGNAL_EXIT_CODES:
            return None
        reason = RESULTS.get(self.result, f"its result is {self.result}")
        if self.result in ("exit-code", "signal", "core-dump") and self.main_code:
            reason += f" ({_exit_status(self.main_code, self.main_status)})"
        return f"systemd says that {unit} failed: {reason}; see journalctl{manager} -u {unit}"


class UnitControl(Protocol):
    """How a unit is read and controlled.

    :ivar notifies: whether `watch` reports changes by others; if not, the state must be polled.
    """

    notifies: bool

    def watch(self, changed: Callable[[UnitState], None]) -> None:
        """Call `changed` with each new state from now on, if it notifies."""
        ...

    async def state(self) -> UnitState:
        """Read the present state.

        :raises PluginError: systemd cannot be reached.
        """
        ...

    async def start(self) -> None:
        """Start it; return when the start is complete, as its Type= defines.

        :raises PluginError: it did not start.
        """
        ...

    async def stop(self, run: str | None = None) -> None:
        """Stop it, and wait until it has stopped.

        :param run: the run that is stopped; None: whichever it is.
        :raises PluginError: it cannot be stopped.
        """
        ...

    async def pause(self) -> None:
        """Freeze its processes.

        :raises PluginError: they cannot be frozen.
        """
        ...

    async def resume(self) -> None:
        """Thaw its processes.

        :raises PluginError: they cannot be thawed.
        """
        ...

    async def close(self) -> None:
        """Release the connection, and leave the unit as it is."""
        ...


def parse_properties(properties: Mapping[str, object]) -> UnitState:
    """Read a unit's properties; those that are missing have harmless defaults."""
    invocation = properties.get("InvocationID")
    return UnitState(
        load=str(properties.get("LoadState", "loaded")),
        active=str(properties.get("ActiveState", "inactive")),
        sub=str(properties.get("SubState", "")),
        run=(invocation.hex() if isinstance(invocation, bytes) else str(invocation or "")) or None,
        frozen=str(properties.get("FreezerState", "")).startswith(("freez", "frozen")),
        result=str(properties.get("Result", "success")) or "success",
        main_code=_integer(properties.get("ExecMainCode")),
        main_status=_integer(properties.get("ExecMainStatus")),
        usage=_usage(properties),
        id=str(properties.get("Id", "")),
    )


def refusal(what: str, unit: str, detail: str) -> str:
    """Return the message for a user without permission to `what` (start, stop, freeze, thaw) a unit."""
    if what in ("freeze", "thaw"):  # D-Bus' policy for systemd allows these to root alone (seen with 252)
        return (
            f"systemd does not let this user {what} {unit} ({detail}): only root may, so run zeroscale as root, or "
            "give --idle-action stop, or use user=yes for a unit of your own"
        )
    return (
        f"systemd does not let this user {what} {unit} ({detail}): run zeroscale as root, or allow it by a polkit rule "
        "for org.freedesktop.systemd1.manage-units (docs/plugins.md has one), or use user=yes for a unit of your own"
    )


def _exit_status(code: int, status: int) -> str:
    if code == EXITED:
        return f"exit code {status}"
    try:
        return signal.Signals(status).name
    except ValueError:
        return f"signal {status}"


def _usage(properties: Mapping[str, object]) -> tuple[float, int] | None:
    """Return what the unit uses; by systemctl what is not counted is "[not set]", by D-Bus the highest number."""
    try:
        cpu, memory = (int(str(properties.get(name))) for name in ("CPUUsageNSec", "MemoryCurrent"))
    except ValueError:
        return None
    return None if NOT_SET in (cpu, memory) else (cpu / 1e9, memory)


def _integer(value: object) -> int:
    try:
        return int(str(value))
    except ValueError:
        return 0
