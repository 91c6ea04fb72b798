"""`zeroscalectl completion`: what a shell needs to complete our command line, the servers' names as well."""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Iterator

from zeroscale.ctl import exit_codes as exits
from zeroscale.ctl.arguments import add_socket
from zeroscale.ctl.server_names import server_names
from zeroscale.ctl.socket_discovery import reach
from zeroscale.errors import ZeroscaleError

SHELLS = ("bash", "zsh")
SERVERS = "servers"
"""Not a shell: asked for by the shells' functions, which may get no answer, but no complaint."""

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
    """Adds the command's parser."""
    parser = commands.add_parser(
        "completion",
        help="print what a shell needs to complete all this",
        description="Prints a script that has a shell complete the command line of zeroscalectl.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=(*SHELLS, SERVERS), metavar="bash|zsh", help="the shell")
    add_socket(parser)
    parser.set_defaults(run=run)


def run(told: argparse.Namespace) -> int:
    """Runs the command; returns its exit code."""
    if told.shell == SERVERS:
        with contextlib.suppress(ZeroscaleError), reach(told) as channel:
            # a name that a shell would take apart cannot be completed by one
            print("\n".join(name for name in server_names(channel) if re.fullmatch(r"[\w.@%+-]+", name)))
        return exits.DONE
    print(script(told.root, told.shell))
    return exits.DONE


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script for one shell.

    :param parser: of all commands; arguments called NAME are servers, FILE and PATH files, and DIR directories.
    """
    import shtab  # only here: it takes longer to import than most commands take

    complete: dict[str, object] = {
        "NAME": {"bash": "_zeroscalectl_servers", "zsh": "_zeroscalectl_servers"},
        "FILE": shtab.FILE,
        "PATH": shtab.FILE,
        "DIR": shtab.DIRECTORY,
    }
    for action in _actions(parser):
        if isinstance(action.metavar, str) and action.metavar in complete:
            action.complete = complete[action.metavar]  # type: ignore[attr-defined]  # shtab's own way
        if action.metavar == "bash|zsh":
            action.choices = SHELLS
    return str(shtab.complete(parser, shell, preamble=PREAMBLE[shell]))


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from _actions(each)
