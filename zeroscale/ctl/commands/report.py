"""`zeroscalectl report`: what a bug report needs, without secrets."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from zeroscale.build_info import version_line
from zeroscale.ctl import exit_codes
from zeroscale.ctl.arguments import add_socket
from zeroscale.ctl.redaction import redacted_line, redacted_toml, secrets_of
from zeroscale.ctl.socket_discovery import connect_all
from zeroscale.ctl.terminal import clean
from zeroscale.errors import ZeroscaleError
from zeroscale.reports import ProxyReport
from zeroscale.system.files import read_configured

CONFIGS = (Path("/etc/zeroscale.toml"), Path("/etc/zeroscale/zeroscale.toml"))
"""Where a service and a container have their configuration."""

UNIT = "zeroscale"
LINES = 60
"""Lines of the log."""

LONGEST_LOG = 1024 * 1024
"""Bytes of a log file that are read, from its end."""

JOURNAL_TIMEOUT = 20.0
LIBRARIES = ("twisted", "automat", "msgspec", "quarry", "aiodocker", "kubernetes-asyncio", "dbus-fast", "apprise")


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "report",
        help="print what a bug report needs, without secrets",
        description="Prints versions, the configuration without secrets, the state of the servers, and the last lines "
        "of the log without IP addresses. Read it before you publish it. This never wakes a server.",
    )
    parser.add_argument(
        "--config", metavar="FILE", help=f"the configuration file (default: {' or '.join(map(str, CONFIGS))})"
    )
    parser.add_argument("--log", metavar="FILE", help="the log file (default: the journal of --unit)")
    parser.add_argument("--unit", metavar="UNIT", default=UNIT, help=f"the unit of systemd (default: {UNIT})")
    add_socket(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    found = (each for each in CONFIGS if os.access(each, os.F_OK))
    config = Path(args.config) if args.config else next(found, None)
    shown, secrets = (["none given: --config FILE"], []) if config is None else configuration(config)
    log = log_file(Path(args.log)) if args.log else journal(args.unit)
    sections = {
        "Versions": versions(),
        "Configuration": shown,
        "Status": status(args, secrets),
        "Log": [redacted_line(line, secrets) for line in log],
    }
    for title, lines in sections.items():
        print(f"### {title}\n\n```")
        for line in lines:
            print(clean(line).replace("```", '"""'))  # it would end the block
        print("```\n")
    return exit_codes.DONE


def versions() -> Iterator[str]:
    """Return lines with the versions of what runs here."""
    yield version_line("zeroscale")
    yield f"{platform.system()} {platform.release()} {platform.machine()}; {_distribution()}"
    for name in LIBRARIES:
        try:
            yield f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue


def configuration(file: Path) -> tuple[Sequence[str], Sequence[str]]:
    """Return the lines of a configuration without secrets, or why there are none; and its secrets, longest first."""
    try:
        text = read_configured(file, LONGEST_LOG).decode("utf-8-sig")
        table: Mapping[str, object] = tomllib.loads(text)
    except (ZeroscaleError, ValueError) as error:
        return [f"cannot be read: {redacted_line(str(error))}"], []
    return redacted_toml(table).splitlines(), sorted(set(secrets_of(table)), key=len, reverse=True)


def status(args: argparse.Namespace, secrets: Sequence[str]) -> Iterator[str]:
    """Return a line for each server of each zeroscale that answers, without players, or why none does."""
    try:
        for client in connect_all(args):
            with client:
                report = client.ask(ProxyReport, "status")
            yield f"zeroscale {report.version}, up {report.uptime:.0f} s"
            for server in report.servers:
                error = (
                    "" if server.last_error is None else f"; last error: {redacted_line(server.last_error, secrets)}"
                )
                awake = server.awake[0].kind.value if server.awake else "nothing"
                yield (
                    f"{server.name}: {server.plugin}, {server.status.value} for {server.status_age:.0f} s, "
                    f"{len(server.players)} players, kept awake by {awake}{error}"
                )
    except ZeroscaleError as error:
        yield f"not known: {error}"


def journal(unit: str) -> list[str]:
    """Return the last lines that a unit has logged, or why there are none."""
    program = shutil.which("journalctl")
    if program is None:
        return ["no journal here: give --log FILE, or add the last lines of 'docker logs' or 'kubectl logs'"]
    command = [program, "--unit", unit, "--lines", str(LINES), "--no-pager", "--output", "short-iso"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=JOURNAL_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return [f"the journal cannot be read: {error}"]
    return (done.stdout or done.stderr).splitlines()


def log_file(path: Path) -> list[str]:
    """Return the last lines of a log file, or why there are none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LONGEST_LOG))
            lines = file.read(LONGEST_LOG).decode("utf-8", "replace").splitlines()
    except OSError as error:
        return [f"cannot be read: {error.strerror}"]
    return lines[-LINES:]


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return "no Linux distribution"
