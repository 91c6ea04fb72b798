"""`zeroscalectl init`: write a first configuration file for a Minecraft server. Nothing is overwritten."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from zeroscale.ctl import exit_codes
from zeroscale.ctl.config_template import file_text, manual_steps
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
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit code.

    :raises ConfigError: there is no server, or the file exists.
    """
    found = scan_directory(Path(args.directory))
    if args.output == STDOUT:
        sys.stdout.write(file_text(found, str(found.directory)))
        return exit_codes.DONE
    path = Path(args.output or found.directory / FILE_NAME).absolute()
    write_new(path, file_text(found, "." if path.parent == found.directory else str(found.directory)))
    print(f"Written: {path}")
    for step in manual_steps(found):
        print(f"To do: {step}")
    print(f"Then run it: zeroscale --config {path} --info")
    return exit_codes.DONE


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
