"""`zeroscalectl logs`: a server's own output."""

from __future__ import annotations

import argparse
import sys

import msgspec

from zeroscale.control.protocol import decode_body
from zeroscale.ctl import exit_codes as exits
from zeroscale.ctl.arguments import add_server, add_socket
from zeroscale.ctl.socket_discovery import reach
from zeroscale.ctl.terminal import clean


class Output(msgspec.Struct, frozen=True):
    """Some lines of it.

    :ivar skipped: how many more were passed over, since we read slower than it writes.
    """

    lines: list[str]
    skipped: int = 0


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    parser = commands.add_parser(
        "logs", help="show a server's own output", description="Prints the last lines of a server's own output."
    )
    add_server(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="and those that come, until Ctrl-C")
    add_socket(parser)
    parser.set_defaults(run=run)


def run(told: argparse.Namespace) -> int:
    """Runs the command; returns its exit code."""
    with reach(told, told.server) as channel:
        if not told.follow:
            _print(channel.ask(Output, "logs", server=told.server))
            return exits.DONE
        for answer in channel.stream("logs", server=told.server, follow=True):
            _print(decode_body(answer.body, Output))
    return exits.DONE


def _print(output: Output) -> None:
    for line in output.lines:
        print(clean(line))
    sys.stdout.flush()
    if output.skipped:
        sys.stderr.write(f"({output.skipped} lines passed over)\n")
