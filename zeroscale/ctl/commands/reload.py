"""`zeroscalectl reload`: make the proxy read its configuration again."""

from __future__ import annotations

import argparse

import msgspec

from zeroscale.ctl import exit_codes
from zeroscale.ctl.arguments import add_socket
from zeroscale.ctl.socket_discovery import connect
from zeroscale.ctl.terminal import clean
from zeroscale.errors import ConfigMistakes

NOT_RELOADED = "not reloaded; the configuration that was read before stays in use:"


class Reloaded(msgspec.Struct, frozen=True):
    """The changes, one line each."""

    changes: list[str]


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "reload",
        help="read the configuration again",
        description="Makes the proxy read its configuration again and prints the changes. If the file has mistakes, "
        f"they are printed and nothing changes. Exit code {exit_codes.USAGE}: there are mistakes in the file; "
        f"{exit_codes.REFUSED}: only something around it is missing, such as a directory or a library.",
    )
    add_socket(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    with connect(args) as client:
        try:
            changes = client.ask(Reloaded, "reload").changes
        except ConfigMistakes as error:
            raise ConfigMistakes([NOT_RELOADED, *error.mistakes], usage=error.usage) from None
    print("\n".join(clean(line) for line in changes) or "Nothing has changed.")
    return exit_codes.DONE
