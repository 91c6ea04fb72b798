"""`zeroscalectl check`: find all mistakes in a configuration file without starting anything."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path

from zeroscale.config import loader
from zeroscale.config.model import ServerConfig
from zeroscale.ctl import exit_codes
from zeroscale.errors import ConfigMistakes
from zeroscale.version import DISTRIBUTION, OLDER

BOTH_INSTALLED = (
    f"warning: the distribution {OLDER!r}, an older program, is installed beside {DISTRIBUTION!r}, and each has "
    f"overwritten files of the other: run 'pip uninstall {OLDER} {DISTRIBUTION}', then install this one again\n"
)


class _Warnings(logging.Handler):
    """Writes what is logged during the check; the exit code does not depend on it."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"warning: {record.getMessage()}\n")


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "check",
        help="find mistakes in a configuration file",
        description="Finds all mistakes in a configuration file: keys, values, ports, plugins and the servers' "
        f"directories. Nothing is started. Exit code {exit_codes.USAGE}: there are mistakes; {exit_codes.REFUSED}: "
        "only something around it is missing, such as a directory or a library.",
    )
    parser.add_argument("file", metavar="FILE", help="the configuration file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    if _is_installed(OLDER) and _is_installed(DISTRIBUTION):
        sys.stderr.write(BOTH_INSTALLED)
    warnings = _Warnings(logging.WARNING)
    logging.getLogger("zeroscale").addHandler(warnings)
    try:
        servers = check(Path(args.file).absolute())
    except ConfigMistakes as error:
        sys.stderr.write(f"{error}\n")
        return exit_codes.USAGE if error.usage else exit_codes.REFUSED
    finally:
        logging.getLogger("zeroscale").removeHandler(warnings)
    print(f"{args.file}: no mistakes, {len(servers)} server{'' if len(servers) == 1 else 's'}")
    for line in hosts_by_port(servers):
        print(line)
    return exit_codes.DONE


def hosts_by_port(servers: Iterable[ServerConfig]) -> Iterator[str]:
    """Yield a line for each port with `hosts`: which host leads to which server."""
    by_port: dict[str, list[tuple[str, str]]] = {}
    for server in servers:
        for port in server.all_ports:
            for listen in port.listen:
                by_port.setdefault(listen, []).append((", ".join(port.hosts), server.name))
    for listen, led in by_port.items():
        named = [f"{hosts} to {server}" for hosts, server in led if hosts]
        if named:
            default = next((server for hosts, server in led if not hosts), "no server")
            yield f"  {listen}: {'; '.join(named)}; other hosts to {default}"


def check(path: Path) -> Sequence[ServerConfig]:
    """Check a file as `zeroscale` does before it starts, and return its servers.

    :raises ConfigMistakes: all mistakes, each with the path of the file before it.
    """
    reading = loader.examine(path, os.environ, os.geteuid())
    from zeroscale.proxy import service  # importing it takes half a second and installs a reactor

    service.check(reading.config, file=path, known=reading.mistakes)
    return reading.config.servers


def _is_installed(distribution: str) -> bool:
    try:
        return bool(metadata.version(distribution))
    except metadata.PackageNotFoundError:
        return False
