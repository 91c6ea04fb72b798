"""The argument parser of `zeroscalectl`: one subparser for each command."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from zeroscale.build_info import PrintVersion
from zeroscale.ctl import exit_codes
from zeroscale.ctl.arguments import add_socket
from zeroscale.ctl.commands import (
    check,
    completion,
    console,
    example,
    health,
    history,
    init,
    join,
    logs,
    notify,
    overrides,
    ping,
    reload,
    report,
    stats,
    status,
    systemd,
    wake,
)
from zeroscale.errors import suggest

COMMANDS = (
    status,
    history,
    stats,
    wake,
    overrides,
    reload,
    notify,
    logs,
    console,
    ping,
    join,
    check,
    init,
    systemd,
    health,
    report,
    example,
    completion,
)
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
    parser = _Parser(
        prog="zeroscalectl",
        description="Show and control game servers and the proxy in front of them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=PrintVersion)
    add_socket(parser)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_to(commands)
    parser.set_defaults(root=parser)
    return parser


class _Parser(argparse.ArgumentParser):
    """Accepts underscores for hyphens in options, and suggests similar names for unknown commands and options."""

    def add_argument(self, *names: Any, **details: Any) -> argparse.Action:
        action = super().add_argument(*names, **details)
        for name in (name for name in action.option_strings if name.startswith("--")):
            self._option_string_actions.setdefault("--" + name[2:].replace("-", "_"), action)
        return action

    def error(self, message: str) -> NoReturn:
        suggestion = ""
        if found := re.search(r"invalid choice: '([^']*)'", message):
            suggestion = suggest(
                found[1], (str(choice) for action in self._actions for choice in action.choices or ()), show=str
            )
        elif found := re.search(r"unrecognized arguments: (--[^ =]*)", message):
            parsers = [self, *self._commands().values()]
            suggestion = suggest(found[1], sorted(name for parser in parsers for name in parser._options()), show=str)
        super().error(f"{message}; {suggestion}" if suggestion else message)

    def _commands(self) -> dict[str, _Parser]:
        choices = [action.choices for action in self._actions if isinstance(action.choices, dict)]
        return {name: parser for parsers in choices for name, parser in parsers.items()}

    def _options(self) -> Iterator[str]:
        return (name for action in self._actions for name in action.option_strings if name.startswith("--"))
