"""`zeroscalectl`: the operator's tool. Each command is a module of its own; here they are put together."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from zeroscale.ctl import (
    check,
    completion,
    console,
    exits,
    init,
    join,
    logs,
    orders,
    ping,
    reload,
    status,
    terminal,
    wake,
)
from zeroscale.ctl.arguments import add_socket
from zeroscale.ctl.channel import UsageError
from zeroscale.errors import BackendError, ProtocolError, ZeroscaleError
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


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code.

    :param argv: the words after the program's name; None: the process's own.
    """
    told = build_parser().parse_args(argv)
    try:
        code: int = told.run(told)
        sys.stdout.flush()
    except UsageError as error:
        return _complain(error, exits.USAGE)
    except (BackendError, ProtocolError) as error:
        return _complain(error, exits.UNREACHABLE)
    except ZeroscaleError as error:
        return _complain(error, exits.REFUSED)
    except BrokenPipeError:
        # Whoever reads us has enough, as `head` has. What is still buffered must not fail again on the way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.DONE
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    return code


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
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
    return parser


def _complain(error: ZeroscaleError, code: int) -> int:
    lines = "\n".join(terminal.clean(line) for line in str(error).splitlines())
    sys.stderr.write(f"zeroscalectl: error: {lines}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
