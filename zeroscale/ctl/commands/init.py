"""`zeroscalectl init`: write a first configuration file for a Minecraft server. Nothing is overwritten."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from zeroscale.ctl import exit_codes
from zeroscale.ctl.client import UsageError
from zeroscale.ctl.config_template import OF_INIT, file_text, manual_steps, notes
from zeroscale.ctl.directory_scan import scan_directory
from zeroscale.errors import ConfigError

FILE_NAME = "zeroscale.toml"
STDOUT = "-"


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "init",
        help="write a first configuration file for a Minecraft server",
        description="Examines the Minecraft server in a directory and writes a commented configuration file for it. "
        "Nothing is overwritten, and the server's own files are not changed.",
    )
    parser.add_argument(
        "directory", metavar="DIR", nargs="?", default=".", help="the server's directory (default: here)"
    )
    parser.add_argument(
        "--output",
        "-o",
        metavar="FILE",
        help=f"where to write it; '{STDOUT}' prints it (default: {FILE_NAME} in DIR)",
    )
    parser.add_argument(
        "--plugin-argument",
        "-a",
        metavar="VALUE",
        action="append",
        default=[],
        help="what to run, as for zeroscale: jar=NAME, or a command (default: found out)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit code.

    :raises ConfigError: there is no server, or the file exists.
    :raises UsageError: -a is neither a jar nor a command.
    """
    jar, command = what_to_run(args.plugin_argument)
    found = scan_directory(Path(args.directory), jar=jar, command=command)
    for warning in found.choice.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    if args.output == STDOUT:
        sys.stdout.write(file_text(found, str(found.directory), OF_INIT.format(file=FILE_NAME)))
        return exit_codes.DONE
    path = Path(args.output or found.directory / FILE_NAME).absolute()
    directory = "." if path.parent == found.directory else str(found.directory)
    write_new(path, file_text(found, directory, OF_INIT.format(file=FILE_NAME)))
    print(f"Written: {path}")
    for note in notes(found):
        print(f"Note: {note}")
    for step in manual_steps(found):
        print(f"To do: {step}")
    print(f"Then run it: zeroscale --config {shlex.quote(str(path))} --info")
    return exit_codes.DONE


def what_to_run(values: Sequence[str]) -> tuple[str | None, tuple[str, ...]]:
    """Return the jar and the command that the values of -a name; None and an empty command: none.

    :raises UsageError: they are something else.
    """
    if values and values[0].startswith("jar=") and len(values) == 1:
        return values[0].removeprefix("jar="), ()
    named = next((value for value in values if re.match(r"[a-z_]+=", value)), None)
    if named is not None:
        raise UsageError(f"-a {shlex.quote(named)}: give jar=NAME or a command; write other arguments into the file")
    if len(values) != 1:
        return None, tuple(values)
    try:
        return None, tuple(shlex.split(values[0]))
    except ValueError as error:
        raise UsageError(f"-a {shlex.quote(values[0])}: {error}") from None


def write_new(path: Path, text: str) -> None:
    """Write a new file.

    :raises ConfigError: the file exists, or cannot be written.
    """
    try:
        file = path.open("x", encoding="utf-8")
    except FileExistsError:
        raise ConfigError(f"{path} exists and is not overwritten; give --output FILE to write another file") from None
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None
    try:
        with file:
            file.write(text)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None
