"""`zeroscalectl check`: whether a configuration file can be run, without running it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from zeroscale.config import loader
from zeroscale.ctl import exit_codes as exits
from zeroscale.errors import ConfigMistakes


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    parser = commands.add_parser(
        "check",
        help="look for mistakes in a configuration file",
        description="Looks for mistakes in a configuration file, and names all of them: keys, values, ports, plugins "
        f"and what is in the servers' directories. Nothing is started. Exit code {exits.USAGE}: there are some.",
    )
    parser.add_argument("file", metavar="FILE", help="the configuration file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns its exit code."""
    servers, mistakes = check(Path(args.file).absolute())
    if mistakes:
        sys.stderr.write("".join(f"{mistake}\n" for mistake in mistakes))
        return exits.USAGE
    print(f"{args.file}: all is well, {servers} server{'' if servers == 1 else 's'}")
    return exits.DONE


def check(path: Path) -> tuple[int, list[str]]:
    """Judges a file as `zeroscale` would before it starts, and further: what can be judged beside its mistakes is.

    :returns: how many servers it has, and what is wrong, each line with the file's path before it.
    """
    reading = loader.look(path, os.environ, os.geteuid())
    mistakes = list(reading.mistakes)
    if reading.config is None:
        return 0, mistakes
    from zeroscale.proxy import service  # what it is made of takes half a second to import, and installs a reactor

    try:
        service.check(reading.config, file=path)
    except ConfigMistakes as error:
        mistakes += error.mistakes
    return len(reading.config.servers), mistakes
