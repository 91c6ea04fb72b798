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

SHELLS = ("bash", "fish", "zsh")
WORD = "|".join(SHELLS)
SERVERS = "servers"
"""Not a shell: the scripts run `completion servers` for the names, which prints nothing where no proxy answers."""

EPILOG = """\
bash:  zeroscalectl completion bash > ~/.local/share/bash-completion/completions/zeroscalectl
fish:  zeroscalectl completion fish > ~/.config/fish/completions/zeroscalectl.fish
zsh:   zeroscalectl completion zsh > ~/.zfunc/_zeroscalectl    (a directory of your $fpath)
"zeroscalectl systemd install" puts the scripts of both programs in place.
"""

PREAMBLE = {
    "bash": """\
_zeroscalectl_servers() {
  compgen -W "$(command zeroscalectl completion servers 2>/dev/null)" -- "$1"
}
""",
    "fish": """\
function _zeroscalectl_servers
  command zeroscalectl completion servers 2>/dev/null
end
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
    parser.add_argument("shell", choices=(*SHELLS, SERVERS), metavar=WORD, help="the shell")
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

    :param parser: the parser of a program; NAME completes servers, FILE and PATH files, DIR and DIRECTORY directories.
    """
    import shtab  # imported here: importing it takes longer than most commands

    names = {"bash": "_zeroscalectl_servers", "fish": "(_zeroscalectl_servers)", "zsh": "_zeroscalectl_servers"}
    complete: dict[str, object] = {
        "NAME": names,
        "FILE": shtab.FILE,
        "PATH": shtab.FILE,
        "DIR": shtab.DIRECTORY,
        "DIRECTORY": shtab.DIRECTORY,
    }
    for action in _actions(parser):
        if isinstance(action.metavar, str) and action.metavar in complete:
            action.complete = complete[action.metavar]  # type: ignore[attr-defined]  # the attribute that shtab reads
        elif action.metavar == WORD:
            action.choices = SHELLS
        elif action.choices is None and re.fullmatch("{.+}", str(action.metavar)):
            action.choices = str(action.metavar).strip("{}").split(",")
    written = str(shtab.complete(parser, shell, preamble=PREAMBLE[shell]))
    if shell == "zsh":
        written = written.replace('"(*)::', '"*:')  # shtab's pattern for several words completes only the first one
        # For words that cannot be completed zsh would show a message, and then insert no option.
        written = re.sub('^( +":.*):"$', r'\1:{false}"', written, flags=re.MULTILINE)
    return written


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from _actions(each)
