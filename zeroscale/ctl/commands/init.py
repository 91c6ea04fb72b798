"""`zeroscalectl init`: a first configuration file for the Minecraft server in a directory. It overwrites nothing."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from zeroscale.ctl import exit_codes as exits
from zeroscale.ctl.config_template import chores, file_text
from zeroscale.ctl.directory_scan import survey
from zeroscale.errors import ConfigError

FILE_NAME = "zeroscale.toml"
STDOUT = "-"


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    parser = commands.add_parser(
        "init",
        help="write a first configuration file for a Minecraft server",
        description="Looks at the Minecraft server in a directory, and writes a commented configuration file for it. "
        "Nothing is overwritten, and nothing of the server's own is changed.",
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


def run(told: argparse.Namespace) -> int:
    """Runs the command; returns its exit code.

    :raises ConfigError: there is no server, or the file is there already.
    """
    found = survey(Path(told.directory))
    if told.output == STDOUT:
        sys.stdout.write(file_text(found, str(found.directory)))
        return exits.DONE
    path = Path(told.output or found.directory / FILE_NAME).absolute()
    write_new(path, file_text(found, "." if path.parent == found.directory else str(found.directory)))
    print(f"{path} is written.")
    for chore in chores(found):
        print(f"To do: {chore}")
    print(f"Then run it: zeroscale --config {path} --info")
    return exits.DONE


def write_new(path: Path, text: str) -> None:
    """Writes a file that is not there yet.

    :raises ConfigError: it is, or cannot be written.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(
            f"{path} is there already, and is left as it is; say --output FILE to write another"
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None
