"""`zeroscalectl logs`: print a server's output."""

from __future__ import annotations

import argparse
import sys

import msgspec

from zeroscale.control.protocol import decode_body
from zeroscale.ctl import exit_codes
from zeroscale.ctl.arguments import add_server, add_socket
from zeroscale.ctl.socket_discovery import connect
from zeroscale.ctl.terminal import clean


class OutputLines(msgspec.Struct, frozen=True):
    """Some lines of a server's output.

    :ivar skipped: how many lines were dropped because they were read too slowly.
    """

    lines: list[str]
    skipped: int = 0


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "logs", help="show a server's output", description="Prints the last lines of a server's output."
    )
    add_server(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="go on with new lines until Ctrl-C")
    add_socket(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    with connect(args, args.server) as client:
        if not args.follow:
            _print(client.ask(OutputLines, "logs", server=args.server))
            return exit_codes.DONE
        for answer in client.stream("logs", server=args.server, follow=True):
            _print(decode_body(answer.body, OutputLines))
    return exit_codes.DONE


def _print(output: OutputLines) -> None:
    for line in output.lines:
        print(clean(line))
    sys.stdout.flush()
    if output.skipped:
        sys.stderr.write(f"({output.skipped} lines dropped)\n")
