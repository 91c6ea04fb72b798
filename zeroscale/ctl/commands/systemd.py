"""`zeroscalectl systemd`: install zeroscale as a service of systemd, or remove that again."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from zeroscale.build_info import PACKAGE
from zeroscale.config import loader
from zeroscale.config.conflicts import port_of
from zeroscale.ctl import exit_codes
from zeroscale.ctl.commands.example import EXAMPLES
from zeroscale.ctl.directory_scan import DEFAULT_PORT, DirectoryScan, scan_directory
from zeroscale.ctl.setup_steps import Step, WriteFile, is_active
from zeroscale.ctl.unit_plan import (
    SERVICE_USER,
    UNIT,
    Install,
    Places,
    configured_directories,
    enabled_units,
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

STARTS_OTHERS = frozenset({"cron", "crond", "atd", "ssh", "sshd", "docker", "containerd", "podman"})
"""Services whose group has processes that they started for somebody: to disable them would be too much."""

STOP_FIRST = "stop it and disable the service that starts it first"


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
    active = is_active(UNIT)
    if not active:
        _refuse_running_servers(found)
        for port, datagrams in _listen_ports(places.config):
            _refuse_taken_port(port, datagrams=datagrams)
    first = needed_first(found, user)
    in_new_file = () if places.config.exists() else given[:1]
    later = list(missing_in([*configured, *in_new_file], found, places.config))
    install = Install(found, user, configured=configured, start=not (active or args.no_start or first))
    steps = list(install_steps(install, places))
    rewritten = any(isinstance(each, WriteFile) and each.mark and not each.is_done for each in steps)
    changed = _carry_out(steps, dry_run=args.dry_run)
    old = enabled_units(places.units, [*configured, *given])
    for step in (*first, *later, *old):
        print(f"To do: {step}")
    verb = "restart" if active and rewritten else "reload" if active or install.start else "start"
    if first or later:
        print(f"Then: systemctl {verb} {UNIT}")
    elif active and rewritten:
        print(f"It still runs as before, until: systemctl restart {UNIT}")
    elif active and not changed:
        print("Nothing has changed.")
    if first:
        return exit_codes.DONE
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
        if holder is not None and _unit_of(holder) != UNIT:
            process = f"process {holder}" if holder else "another process"
            raise ConfigError(
                f"the server in {found.directory} runs ({process} has its world open): {_how_to_stop(holder)}"
            )


def _listen_ports(config: Path) -> Iterator[tuple[int, bool]]:
    """Return the ports that zeroscale will listen on, and whether each is of UDP."""
    if not config.exists():
        yield DEFAULT_PORT, False
        return
    listen = (
        each
        for server in loader.examine(config, os.environ, os.geteuid()).config.servers
        for port in server.all_ports
        for each in port.listen or ()  # None: it has a mistake
        if "interface=" not in each  # another program may have the port at another address
    )
    for transport, number in sorted({found for found in map(port_of, listen) if found is not None}):
        yield number, transport == "udp"


def _refuse_taken_port(port: int, *, datagrams: bool) -> None:
    """Refuse a port on which another program listens.

    :raises ConfigError: one does.
    """
    holder = listeners.describe(port, datagrams=datagrams)
    process = next(iter(listeners.processes(port, datagrams=datagrams)), 0)
    if holder is not None and _unit_of(process) != UNIT:
        kind = "UDP port" if datagrams else "port"
        raise ConfigError(f"{holder} listens on {kind} {port}: {_how_to_stop(process)}")


def _how_to_stop(process_id: int) -> str:
    """Return what to do about a process that is to make room, in words.

    :param process_id: 0: it is not known.
    """
    unit = _unit_of(process_id)
    if unit is None or re.split("[@.]", unit)[0] in STARTS_OTHERS:
        return STOP_FIRST
    return f"stop it first, for good: systemctl disable --now {shlex.quote(unit)}"


def _unit_of(process_id: int) -> str | None:
    """Return the service of the system that a process belongs to; None: not known, or none."""
    try:
        groups = (PROC / str(process_id) / "cgroup").read_text("utf-8", "replace")
    except OSError:
        return None
    # Below user.slice are the sessions of users, and their own services, which the system's manager does not know.
    found = re.search(
        r"^(?:0:|\d+:name=systemd):/(?!user\.slice/)(?:[^/\n]+\.slice/)*([^/\n]+\.service)(?:/|$)", groups, re.M
    )
    return found[1] if found else None


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
