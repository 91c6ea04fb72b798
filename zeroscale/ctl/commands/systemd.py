"""`zeroscalectl systemd`: install zeroscale as a service of systemd, or remove that again."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from zeroscale.build_info import PACKAGE
from zeroscale.ctl import exit_codes
from zeroscale.ctl.commands.example import EXAMPLES
from zeroscale.ctl.directory_scan import DEFAULT_PORT, DirectoryScan, scan_directory
from zeroscale.ctl.setup_steps import Step
from zeroscale.ctl.unit_plan import (
    SERVICE_USER,
    UNIT,
    Install,
    Places,
    configured_directories,
    install_steps,
    installed_user,
    left_behind,
    missing_in,
    needed_first,
    uninstall_steps,
    user_for,
)
from zeroscale.errors import ConfigError
from zeroscale.minecraft.server_files import ServerFiles, session_lock_holder
from zeroscale.process import listeners
from zeroscale.system.accounts import account_name

PROC = Path("/proc")
BOOTED = Path("/run/systemd/system")
"""Exists where systemd is the system's service manager (sd_booted(3))."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "systemd",
        help="install zeroscale as a service of systemd, or remove it",
        description="Installs zeroscale as a service that starts at each boot, or removes that service.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    install = actions.add_parser(
        "install",
        help="write the unit, and start it",
        description="Writes the unit zeroscale.service for this machine, a configuration file if there is none, and "
        "starts the service. May be run again: it then changes what has changed.",
    )
    install.add_argument(
        "--server",
        metavar="DIR",
        action="append",
        default=[],
        help="directory of a Minecraft server; may be given several times",
    )
    install.add_argument(
        "--user",
        metavar="USER",
        help="user that runs the servers (default: that of before, else the directory's owner, else zeroscale)",
    )
    install.add_argument("--no-start", action="store_true", help="do not start it now, only at the next boot")
    install.set_defaults(run=run_install)
    uninstall = actions.add_parser(
        "uninstall",
        help="stop the service, and remove its unit",
        description="Stops the service and its servers, and removes its unit. Servers and configuration are left.",
    )
    uninstall.set_defaults(run=run_uninstall)
    for each in (install, uninstall):
        each.add_argument("--dry-run", action="store_true", help="print what would be done, and do nothing")


def run_install(args: argparse.Namespace) -> int:
    """Run `systemd install` and return its exit code.

    :raises ConfigError: it cannot be installed so, or a step failed.
    """
    places = here()
    found = [scan_directory(Path(each).resolve()) for each in args.server]
    configured = configured_directories(places.config)
    if not found and not places.config.exists():
        raise ConfigError(f"there is no {places.config}: give --server DIR, the directory of your Minecraft server")
    given = [each.directory for each in found]
    asked = args.user or installed_user(places)
    owners = [account_name(each.stat().st_uid) for each in given]
    user = user_for(given, owners, asked)
    was_installed = places.unit.exists()
    if not was_installed:
        _refuse_running_servers(found)
        if not places.config.exists():
            _refuse_taken_port(DEFAULT_PORT)
    first = needed_first(found, user)
    in_new_file = () if places.config.exists() else given[:1]
    later = list(missing_in([*configured, *in_new_file], found, places.config))
    install = Install(found, user, configured=configured, start=not (args.no_start or first))
    changed = _carry_out(install_steps(install, places), dry_run=args.dry_run)
    for step in (*first, *later):
        print(f"To do: {step}")
    if first:
        print(f"Then start it: systemctl {'restart' if was_installed else 'start'} {UNIT}")
        return exit_codes.DONE
    if was_installed and not changed:
        print("Nothing has changed, and zeroscale still runs as before.")
    elif was_installed:
        print(f"If it ran already, it still runs as before, until: systemctl restart {UNIT}")
    if later:
        print(f"Then read the file again: systemctl reload {UNIT}")
    print("Now: zeroscalectl status; journalctl --unit zeroscale --follow; zeroscalectl ping localhost")
    return exit_codes.DONE


def run_uninstall(args: argparse.Namespace) -> int:
    """Run `systemd uninstall` and return its exit code.

    :raises ConfigError: a step failed.
    """
    places = here()
    user = installed_user(places) or SERVICE_USER
    _carry_out(uninstall_steps(places), dry_run=args.dry_run)
    for each in left_behind(places, user, planned=args.dry_run):
        print(f"Left: {each}")
    return exit_codes.DONE


def _refuse_running_servers(servers: Iterable[DirectoryScan]) -> None:
    """Refuse servers that run without zeroscale.

    :raises ConfigError: a process has a world open.
    """
    for found in servers:
        level = ServerFiles(found.directory).level_directory
        holder = session_lock_holder(level)
        if holder is not None:
            process = f"process {holder}" if holder else "another process"
            raise ConfigError(
                f"the server in {found.directory} runs ({process} has its world open): {_how_to_stop(holder)}"
            )


def _refuse_taken_port(port: int) -> None:
    """Refuse a port on which another program listens.

    :raises ConfigError: one does.
    """
    holder = listeners.describe(port)
    if holder is not None:
        raise ConfigError(
            f"{holder} listens on port {port}: {_how_to_stop(next(iter(listeners.processes(port)), None))}"
        )


def _how_to_stop(process_id: int | None) -> str:
    """Return what to do about a process that is to make room, in words."""
    try:
        group = (PROC / str(process_id) / "cgroup").read_text("utf-8", "replace")
    except OSError:
        group = ""
    unit = re.search(r"/([^/\s]+\.service)$", group, re.MULTILINE)
    if unit is None:
        return "stop it and disable the service that starts it first"
    return f"stop it first, for good: systemctl disable --now {unit[1]}"


def here() -> Places:
    """Return the places of this machine and of the environment that runs."""
    return Places(
        prefix=Path(sys.prefix),
        examples=EXAMPLES,
        python=Path(sys.executable).resolve(),
        package=PACKAGE.parent,
        is_environment=sys.prefix != sys.base_prefix,
    )


def _carry_out(steps: Iterable[Step], *, dry_run: bool) -> bool:
    """Do all steps, or print them; return whether any of those that can be done already was not.

    :raises ConfigError: this is not root, or no system with systemd; or a step failed, and the next ones were not done.
    """
    planned = list(steps)
    if not dry_run:
        if not BOOTED.is_dir():
            raise ConfigError("systemd does not run here: --dry-run shows what would be done")
        if os.geteuid() != 0:
            raise ConfigError("this changes the system: run it as root, with sudo; --dry-run shows what it does")
    changed = False
    for step in planned:
        what = step.describe()
        changed = changed or not (step.is_done or step.repeats)
        if step.is_done:
            print(f"Is so already: {what}")
        elif dry_run:
            print(f"Would {what}")
        else:
            step.do()
            print(f"Done: {what}")
    return changed
