"""What systemd says of a unit, understood. Pure.

The properties are those of org.freedesktop.systemd1.Unit and .Service (org.freedesktop.systemd1(5)); `systemctl show`
says the same by the same names.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass

from zeroscale.errors import PluginError

PROPERTIES = ("LoadState", "ActiveState", "SubState", "FreezerState", "Result", "ExecMainCode", "ExecMainStatus")

SUFFIXES = (".service", ".target", ".slice", ".scope", ".socket", ".mount", ".timer", ".path", ".swap", ".automount")

EXITED = 1
"""CLD_EXITED, as ExecMainCode; 2 and 3 are ended by a signal, without and with a core dump (waitid(2))."""

CLEAN = (130, 143)
"""After SIGINT and SIGTERM, as Java ends: a failure for systemd unless SuccessExitStatus= says so, and none for us."""

RESULTS = {
    "exit-code": "its process ended badly",
    "signal": "its process was ended by a signal",
    "core-dump": "its process crashed and dumped core",
    "timeout": "it took too long (TimeoutStartSec=, TimeoutStopSec=)",
    "watchdog": "its watchdog was not fed (WatchdogSec=)",
    "oom-kill": "it was killed for want of memory",
    "start-limit-hit": "it was started too often (StartLimitBurst=): systemctl reset-failed lets it start again",
    "resources": "systemd had no resources for it, or no right to them",
    "protocol": "it did not say that it is ready, as its Type= has it",
    "exec-condition": "its ExecCondition= did not hold",
}

LOAD_PROBLEMS = {
    "not-found": "there is no unit {unit}: is its file in /etc/systemd/system, and was systemctl daemon-reload run?",
    "bad-setting": "the unit {unit} has a setting that systemd refuses: see systemd-analyze verify {unit}",
    "error": "systemd cannot load the unit {unit}: see systemctl status {unit}",
    "masked": "the unit {unit} is masked: systemctl unmask {unit}",
}


def unit_name(name: str) -> str:
    """A unit's whole name: what has no suffix is a service.

    :raises PluginError: there can be no such unit.
    """
    if not re.fullmatch(r"[A-Za-z0-9:_.\\@-]{1,255}", name) or name.startswith("-"):
        raise PluginError(f"unit={name!r} is no unit's name, such as minecraft.service or minecraft@survival")
    return name if name.endswith(SUFFIXES) else f"{name}.service"


@dataclass(frozen=True)
class UnitState:
    """A unit at one moment.

    :ivar load: LoadState.
    :ivar active: ActiveState: active, reloading, inactive, failed, activating, deactivating and, newer, refreshing.
    :ivar sub: SubState, finer, and of its own for each type.
    :ivar frozen: its processes are frozen, or on their way.
    :ivar result: of a service's last run.
    :ivar main_code: how its main process ended.
    :ivar main_status: with which exit code, or by which signal.
    """

    load: str
    active: str
    sub: str = ""
    frozen: bool = False
    result: str = "success"
    main_code: int = 0
    main_status: int = 0

    @property
    def runs(self) -> bool:
        """It has processes, or is about to: stopping is running still."""
        return self.active not in ("inactive", "failed")

    @property
    def exit_code(self) -> int | None:
        """The exit code of a run that ended; 0 where systemd counts it as a success; None: it had no main process."""
        if self.main_code == 0:
            return None
        if self.result == "success":
            return 0
        return self.main_status if self.main_code == EXITED else 128 + self.main_status

    def problem(self, unit: str) -> str | None:
        """Why it cannot be started at all."""
        text = LOAD_PROBLEMS.get(self.load)
        return None if text is None else text.format(unit=unit)

    def failure(self, unit: str, manager: str = "") -> str | None:
        """Why it failed, and where more is to be read; None: it has not.

        :param manager: ` --user` for one of a user's manager.
        """
        if self.active != "failed":
            return None
        if self.result == "exit-code" and self.main_code == EXITED and self.main_status in CLEAN:
            return None
        words = RESULTS.get(self.result, f"its result is {self.result}")
        if self.result in ("exit-code", "signal", "core-dump") and self.main_code:
            words += f" ({_ended(self.main_code, self.main_status)})"
        return f"systemd says that {unit} failed: {words}; see journalctl{manager} -u {unit}"


def from_properties(properties: Mapping[str, object]) -> UnitState:
    """What systemd said; what it did not say is taken for well."""
    return UnitState(
        load=str(properties.get("LoadState", "loaded")),
        active=str(properties.get("ActiveState", "inactive")),
        sub=str(properties.get("SubState", "")),
        frozen=str(properties.get("FreezerState", "")).startswith(("freez", "frozen")),
        result=str(properties.get("Result", "success")) or "success",
        main_code=_integer(properties.get("ExecMainCode")),
        main_status=_integer(properties.get("ExecMainStatus")),
    )


def refusal(what: str, unit: str, detail: str) -> str:
    """What to tell who may not `what` (start, stop, freeze, thaw) a unit."""
    if what in ("freeze", "thaw"):  # D-Bus' own policy for systemd lets these through for root alone (seen with 252)
        return (
            f"systemd does not let this user {what} {unit} ({detail}): only root may, so run zeroscale as root, or "
            "give --idle_action stop, or use user=yes for a unit of your own"
        )
    return (
        f"systemd does not let this user {what} {unit} ({detail}): run zeroscale as root, or allow it by a polkit rule "
        "for org.freedesktop.systemd1.manage-units (docs/plugins.md has one), or use user=yes for a unit of your own"
    )


def _ended(code: int, status: int) -> str:
    if code == EXITED:
        return f"exit code {status}"
    try:
        return signal.Signals(status).name
    except ValueError:
        return f"signal {status}"


def _integer(value: object) -> int:
    try:
        return int(str(value))
    except ValueError:
        return 0
