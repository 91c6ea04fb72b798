"""Arguments that several commands share."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import TypeVar

from zeroscale.config.durations import EXPECTED, seconds_of
from zeroscale.ctl.game_connection import DEFAULT_PORT, parse_address
from zeroscale.protocols.minecraft.versions import protocol_number

T = TypeVar("T")


def add_address(parser: argparse.ArgumentParser) -> None:
    """Adds HOST[:PORT], as `address`."""
    parser.add_argument(
        "address", metavar="HOST[:PORT]", type=with_reason(parse_address), help=f"the server (port: {DEFAULT_PORT})"
    )


def add_protocol(parser: argparse.ArgumentParser, default: str) -> None:
    """Adds --protocol, a number or None."""
    parser.add_argument(
        "--protocol",
        type=with_reason(protocol_number),
        metavar="VERSION",
        help=f"the client to be: a protocol number or a release such as 1.21.4 (default: {default})",
    )


def add_socket(parser: argparse.ArgumentParser) -> None:
    """Adds --socket, which may stand before the command as well."""
    # suppressed: the command's parser would otherwise undo what was said before the command
    parser.add_argument(
        "--socket",
        metavar="PATH",
        default=argparse.SUPPRESS,
        help="the proxy's admin socket (default: $ZEROSCALE_SOCKET, or the one that is found)",
    )


def add_server(parser: argparse.ArgumentParser) -> None:
    """Adds NAME, as `server`, a name or None."""
    parser.add_argument("server", metavar="NAME", nargs="?", help="the server (may be left out where there is one)")


def add_words(parser: argparse.ArgumentParser, metavar: str, text: str) -> None:
    """Adds NAME and words that are not ours to read, as `server` and `words`; options have to stand before them."""
    add_server(parser)
    parser.add_argument("words", metavar=metavar, nargs=argparse.REMAINDER, help=text)


def duration(text: str) -> float:
    """A duration above 0, in seconds.

    :raises ValueError: it is none.
    """
    number = seconds_of(text)
    if number <= 0:
        raise ValueError(f"{text!r} is no time at all: {EXPECTED}")
    return number


def seconds(text: str) -> float:
    """A number of seconds above 0.

    :raises argparse.ArgumentTypeError: it is none.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if 0 < number < math.inf:
        return number
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")


def with_reason(convert: Callable[[str], T]) -> Callable[[str], T]:
    """Makes argparse show the text of a ValueError, which it would replace by one of its own."""

    def converted(text: str) -> T:
        try:
            return convert(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return converted
