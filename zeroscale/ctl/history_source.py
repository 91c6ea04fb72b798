"""Where `history` and `stats` read: the running zeroscales by default, else the files in a state directory.

The files can also be read while no zeroscale runs, by who may read the state directory.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from zeroscale.config.model import default_state_directory
from zeroscale.control.protocol import decode_body
from zeroscale.ctl import exit_codes, failure
from zeroscale.ctl.arguments import add_server, add_socket, duration, with_reason
from zeroscale.ctl.client import UsageError
from zeroscale.ctl.socket_discovery import VARIABLE, connect, connect_all
from zeroscale.errors import BackendError, ControlError, ZeroscaleError
from zeroscale.history.values import FILE

T = TypeVar("T")

Directories = Sequence[tuple[str, Path]]
"""Names of servers, with their directories."""


def add_arguments(parser: argparse.ArgumentParser, since: str) -> None:
    """Add what both commands have.

    :param since: how far they look back by default.
    """
    add_server(parser)
    parser.add_argument(
        "--since",
        metavar="DURATION",
        type=with_reason(duration),
        default=duration(since),
        help=f"how far to look back, such as 12h or 30d (default: {since})",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--state-directory",
        metavar="DIRECTORY",
        type=Path,
        help="read the files in this state directory, also while no zeroscale runs",
    )
    add_socket(parser)


def ask(
    args: argparse.Namespace,
    kind: type[T],
    command: str,
    read: Callable[[Directories, float], T],
    **fields: object,
) -> tuple[list[T], int]:
    """Return the answers of all zeroscales that run here, or what the files say.

    Of several, those that do not answer, or keep no history, are reported.

    :param kind: the type of an answer.
    :param command: the command of the control protocol.
    :param read: reads the files; its second argument is the time now.
    :param fields: more fields of the request.
    :returns: the answers, and the exit code.
    :raises ZeroscaleError: there is no answer and no file, or they cannot be read.
    """
    if args.state_directory is not None:
        return [read(_directories(args.state_directory, args.server), time.time())], exit_codes.DONE
    try:
        clients = connect_all(args) if args.server is None else [connect(args, args.server)]
    except BackendError as error:
        directory = default_state_directory(os.environ, os.geteuid())
        if hasattr(args, "socket") or os.environ.get(VARIABLE):
            raise
        try:
            directories = _directories(directory, args.server)
        except ControlError:
            raise error from None
        if not directories:
            raise
        return [read(directories, time.time())], exit_codes.DONE
    answers: list[T] = []
    errors: list[ZeroscaleError] = []
    for client in clients:
        with client:
            try:
                body = client.ask_raw(command, server=args.server, seconds=args.since, **fields)
                answers.append(decode_body(body, kind))
            except ZeroscaleError as error:
                errors.append(error)
    if not answers:
        raise errors[0]
    return answers, max(map(failure.report, errors), default=exit_codes.DONE)


def _directories(state_directory: Path, server: str | None) -> Directories:
    """Return the servers that have a history below a state directory."""
    try:
        found = [(each.name, each) for each in sorted(state_directory.iterdir()) if (each / FILE).exists()]
    except OSError as error:
        raise ControlError(f"cannot read {state_directory}: {error.strerror}") from None
    if server is None:
        return found
    if server not in dict(found):
        raise UsageError(f"there is no history of a server {server!r} in {state_directory}")
    return [each for each in found if each[0] == server]
