"""`zeroscalectl completion`: print a script that completes the command line and the servers' names."""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Iterator

from zeroscale.ctl import exit_codes
from zeroscale.ctl.arguments import add_socket
from zeroscale.ctl.server_names import server_names
from zeroscale.ctl.socket_discovery import connect_all
from zeroscale.errors import ZeroscaleError

SHELLS = ("bash", "zsh")
SERVERS = "servers"
"""Not a shell: the scripts run `completion servers` for the names, which prints nothing where no proxy answers."""

EPILOG = """\
bash:  zeroscalectl completion bash > ~/.local/share/bash-completion/completions/zeroscalectl
zsh:   zeroscalectl completion zsh > ~/.zfunc/_zeroscalectl    (a directory of your $fpath)
"""

PREAMBLE = {
    "bash": """\
_zeroscalectl_servers() {
  compgen -W "$(command zeroscalectl completion servers 2>/dev/null)" -- "$1"
}
""",
    "zsh": """\
_zeroscalectl_servers() {
  local -a names
  names=("${(@f)$(command zeroscalectl completion servers 2>/dev/null)}")
  compadd -a names
}
""",
}


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "completion",
        help="print a script for shell completion",
        description="Prints a script with which a shell completes the command line of zeroscalectl.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=(*SHELLS, SERVERS), metavar="bash|zsh", help="the shell")
    add_socket(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    if args.shell == SERVERS:
        with contextlib.suppress(ZeroscaleError):
            for client in connect_all(args):
                with client:
                    names = server_names(client)
                # a shell cannot complete a name with other characters
                print("".join(f"{name}\n" for name in names if re.fullmatch(r"[\w.@%+-]+", name)), end="")
        return exit_codes.DONE
    print(script(args.root, args.shell))
    return exit_codes.DONE


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script for one shell.

    :param parser: the parser of all commands; NAME completes servers, FILE and PATH files, DIR directories.
    """
    import shtab  # imported here: importing it takes longer than most commands

    complete: dict[str, object] = {
        "NAME": {"bash": "_zeroscalectl_servers", "zsh": "_zeroscalectl_servers"},
        "FILE": shtab.FILE,
        "PATH": shtab.FILE,
        "DIR": shtab.DIRECTORY,
    }
    for action in _actions(parser):
        if isinstance(action.metavar, str) and action.metavar in complete:
            action.complete = complete[action.metavar]  # type: ignore[attr-defined]  # the attribute that shtab reads
        if action.metavar == "bash|zsh":
            action.choices = SHELLS
    written = str(shtab.complete(parser, shell, preamble=PREAMBLE[shell]))
    return written.replace('"(*)::', '"*:')  # zsh: shtab's pattern for several words completes only the first one


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from _actions(each)
