"""`zeroscalectl notify test`: send a test to the targets of notifications."""

from __future__ import annotations

import argparse

from zeroscale.ctl import exit_codes
from zeroscale.ctl.arguments import add_socket
from zeroscale.ctl.socket_discovery import connect
from zeroscale.ctl.terminal import clean
from zeroscale.reports import NotificationReport


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "notify",
        help="test notifications",
        description="Sends a test to one target of notifications, or to all, and says whether it was delivered.",
    )
    parser.add_argument("action", choices=["test"], help="what to do")
    parser.add_argument("name", nargs="?", metavar="NAME", help="name of the target (default: all)")
    add_socket(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    with connect(args) as client:
        reports = client.ask(list[NotificationReport], "notify", name=args.name)
    for report in reports:
        print(clean(f"{report.name}: {report.problem or 'delivered'}"))
    return exit_codes.REFUSED if any(report.problem for report in reports) else exit_codes.DONE
