"""`zeroscalectl console`: one command for a server's own console."""

from __future__ import annotations

import argparse

import msgspec

from zeroscale.ctl import exit_codes as exits
from zeroscale.ctl.arguments import add_socket, add_words
from zeroscale.ctl.client import UsageError
from zeroscale.ctl.server_names import split_words
from zeroscale.ctl.socket_discovery import reach
from zeroscale.ctl.terminal import clean


class Answered(msgspec.Struct, frozen=True):
    """What its console said, where it says something to whoever asks."""

    server: str
    answer: str | None = None


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    parser = commands.add_parser(
        "console",
        help="give a command to a server's own console",
        description="Gives a command to a server's own console, and prints the answer where there is one (RCON); "
        "elsewhere `logs` shows what came of it. Where there is one server, its name may be left out.",
    )
    add_words(parser, "COMMAND", "the command, as the server knows it")
    add_socket(parser)
    parser.set_defaults(run=run)


def run(told: argparse.Namespace) -> int:
    """Runs the command; returns its exit code."""
    words = [told.server, *told.words] if told.server is not None else []
    with reach(told, told.server) as channel:
        server, command = split_words(channel, words)
        if not command:
            raise UsageError("what is the command? say zeroscalectl console NAME COMMAND")
        line = " ".join(command)
        if any(ending in line for ending in "\0\r\n"):
            raise UsageError(f"a console command is one line: {line!r}")
        answered = channel.ask(Answered, "console", server=server, line=line)
    for line in (answered.answer or "").splitlines():
        print(clean(line))
    return exits.DONE
