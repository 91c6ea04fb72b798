"""`zeroscalectl console`: send a command to a server's console."""

from __future__ import annotations

import argparse
import sys

import msgspec

from zeroscale.ctl import exit_codes
from zeroscale.ctl.arguments import add_socket, add_words
from zeroscale.ctl.client import UsageError
from zeroscale.ctl.server_names import split_words
from zeroscale.ctl.socket_discovery import connect
from zeroscale.ctl.terminal import clean


class ConsoleReply(msgspec.Struct, frozen=True):
    """The console's answer; None where it gives none."""

    server: str
    answer: str | None = None


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "console",
        help="send a command to a server's console",
        description="Sends a command to a server's console and prints the answer, if the console gives one (RCON); "
        "otherwise see `logs`. The name may be omitted if there is only one server.",
    )
    add_words(parser, "COMMAND", "the command, as typed on the server's console")
    add_socket(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    words = [args.server, *args.words] if args.server is not None else []
    with connect(args, args.server) as client:
        server, command = split_words(client, words)
        if not command:
            raise UsageError("the command is missing: zeroscalectl console NAME COMMAND")
        line = " ".join(command)
        if any(ending in line for ending in "\0\r\n"):
            raise UsageError(f"a console command must be one line: {line!r}")
        reply = client.ask(ConsoleReply, "console", server=server, line=line)
    for line in (reply.answer or "").splitlines():
        print(clean(line))
    if reply.answer is None:
        name = clean(reply.server)
        where = f"see zeroscalectl logs {name}, or the server's own log"
        sys.stderr.write(f"Sent. The console of {name} gives no answer: {where}\n")
    return exit_codes.DONE
