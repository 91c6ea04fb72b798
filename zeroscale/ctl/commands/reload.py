"""`zeroscalectl reload`: has the proxy read its configuration again."""

from __future__ import annotations

import argparse

import msgspec

from zeroscale.ctl import exit_codes as exits
from zeroscale.ctl.arguments import add_socket
from zeroscale.ctl.socket_discovery import reach
from zeroscale.ctl.terminal import clean


class Reloaded(msgspec.Struct, frozen=True):
    """What has changed, a line each."""

    changes: list[str]


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    parser = commands.add_parser(
        "reload",
        help="read the configuration again",
        description="Has the proxy read its configuration again, and prints what has changed. A file with mistakes "
        "changes nothing; they are printed, a line each.",
    )
    add_socket(parser)
    parser.set_defaults(run=run)


def run(told: argparse.Namespace) -> int:
    """Runs the command; returns its exit code."""
    with reach(told) as channel:
        changes = channel.ask(Reloaded, "reload").changes
    print("\n".join(clean(line) for line in changes) or "Nothing has changed.")
    return exits.DONE
