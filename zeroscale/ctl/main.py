"""`zeroscalectl`: the operator's tool. Each command is a module of its own; here they are put together."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from zeroscale.ctl import exits, join, ping
from zeroscale.errors import BackendError, ProtocolError, ZeroscaleError
from zeroscale.version import VERSION

COMMANDS = (ping, join)
EPILOG = f"""\
exit codes: {exits.DONE} answered or let in, {exits.REFUSED} kicked, {exits.USAGE} a mistake in the command line,
{exits.UNREACHABLE} nobody there, or no answer in time
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code.

    :param argv: the words after the program's name; None: the process's own.
    """
    told = build_parser().parse_args(argv)
    try:
        code: int = told.run(told)
        sys.stdout.flush()
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
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_to(commands)
    return parser


def _complain(error: ZeroscaleError, code: int) -> int:
    sys.stderr.write(f"zeroscalectl: error: {error}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
