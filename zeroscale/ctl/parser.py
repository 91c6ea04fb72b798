"""The argument parser of `zeroscalectl`: one subparser for each command."""

from __future__ import annotations

import argparse

from zeroscale.ctl import exit_codes
from zeroscale.ctl.arguments import add_socket
from zeroscale.ctl.commands import (
    check,
    completion,
    console,
    example,
    init,
    join,
    logs,
    overrides,
    ping,
    reload,
    status,
    wake,
)
from zeroscale.version import VERSION

COMMANDS = (status, wake, overrides, reload, logs, console, ping, join, check, init, example, completion)
EPILOG = f"""\
exit codes:
  {exit_codes.DONE:<4} done; the server answered; the player was let in
  {exit_codes.REFUSED:<4} refused or failed; the player was kicked
  {exit_codes.USAGE:<4} a mistake in the command line or the file, or no server of this name
  {exit_codes.UNREACHABLE:<4} no zeroscale or game server there, or no answer in time
  {exit_codes.INTERRUPTED:<4} Ctrl-C
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="zeroscalectl",
        description="Show and control game servers and the proxy in front of them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    add_socket(parser)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_to(commands)
    parser.set_defaults(root=parser)
    return parser
