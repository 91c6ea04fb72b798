"""Arguments that several commands share."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import TypeVar

from zeroscale.ctl.link import DEFAULT_PORT, parse_address
from zeroscale.ctl.versions import protocol_number

T = TypeVar("T")


def add_address(parser: argparse.ArgumentParser) -> None:
    """Adds HOST[:PORT], as `address`."""
    parser.add_argument(
        "address", metavar="HOST[:PORT]", type=told_why(parse_address), help=f"the server (port: {DEFAULT_PORT})"
    )


def add_protocol(parser: argparse.ArgumentParser, default: str) -> None:
    """Adds --protocol, a number or None."""
    parser.add_argument(
        "--protocol",
        type=told_why(protocol_number),
        metavar="VERSION",
        help=f"the client to be: a protocol number or a release such as 1.21.4 (default: {default})",
    )


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


def told_why(convert: Callable[[str], T]) -> Callable[[str], T]:
    """Makes argparse show the text of a ValueError, which it would replace by one of its own."""

    def converted(text: str) -> T:
        try:
            return convert(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return converted
