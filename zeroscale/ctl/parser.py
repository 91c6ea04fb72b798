"""The argument parser of `zeroscalectl`: one subparser for each command."""

from __future__ import annotations

import argparse

from zeroscale.ctl import exit_codes as exits
from zeroscale.ctl.arguments import add_socket
from zeroscale.ctl.commands import check, completion, console, init, join, logs, ping, reload, status, wake
from zeroscale.ctl.commands import overrides as orders
from zeroscale.version import VERSION

COMMANDS = (status, wake, orders, reload, logs, console, ping, join, check, init, completion)
EPILOG = f"""\
exit codes:
  {exits.DONE:<4} done; answered; let in
  {exits.REFUSED:<4} refused, or it failed; kicked
  {exits.USAGE:<4} a mistake in the command line or the file, or there is no such server
  {exits.UNREACHABLE:<4} no zeroscale there, or no game server; no answer in time
  {exits.INTERRUPTED:<4} Ctrl-C
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="zeroscalectl",
        description="Look at game servers, and at the proxy in front of them.",
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
