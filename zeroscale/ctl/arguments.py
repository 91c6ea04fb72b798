"""Arguments that several commands have, and their types."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import TypeVar

from msgspec.structs import replace

from zeroscale.config.durations import EXPECTED, seconds_of
from zeroscale.control.protocol import LONGEST_AHEAD, LONGEST_LOOK_BACK, TIME_OF_DAY
from zeroscale.ctl.game_connection import DEFAULT_PORT, Address, parse_address, parse_host
from zeroscale.event_text import format_duration
from zeroscale.protocols.minecraft.versions import protocol_number

T = TypeVar("T")


def add_address(parser: argparse.ArgumentParser) -> None:
    """Add HOST[:PORT] as `address`, and --host as `host`; see `address_of`."""
    parser.add_argument(
        "address", metavar="HOST[:PORT]", type=with_reason(parse_address), help=f"the server (port: {DEFAULT_PORT})"
    )
    add_host(parser)


def add_host(parser: argparse.ArgumentParser) -> None:
    """Add --host as `host`; see `address_of`."""
    parser.add_argument(
        "--host",
        type=with_reason(parse_host),
        metavar="HOST",
        help="name this host to the server, as a client does that has looked it up (default: the address)",
    )


def address_of(address: Address, args: argparse.Namespace) -> Address:
    """Return an address with the host that the command line names."""
    return replace(address, other_name=args.host or "")


def add_protocol(parser: argparse.ArgumentParser, default: str) -> None:
    """Add --protocol: a protocol number, or None."""
    parser.add_argument(
        "--protocol",
        type=with_reason(protocol_number),
        metavar="VERSION",
        help=f"the client's version: a protocol number or a release such as 1.21.4 (default: {default})",
    )


def add_socket(parser: argparse.ArgumentParser) -> None:
    """Add --socket, which may also stand before the command."""
    # SUPPRESS: otherwise the default of the command's parser would replace a value from before the command
    parser.add_argument(
        "--socket",
        metavar="PATH",
        default=argparse.SUPPRESS,
        help="the admin socket of the proxy (default: $ZEROSCALE_SOCKET, else the one that is found)",
    )


def add_server(parser: argparse.ArgumentParser) -> None:
    """Add NAME as `server`: a name, or None."""
    parser.add_argument("server", metavar="NAME", nargs="?", help="the server (may be omitted if there is only one)")


def add_words(parser: argparse.ArgumentParser, metavar: str, text: str) -> None:
    """Add NAME and free text as `server` and `words`; options must stand before them."""
    add_server(parser)
    parser.add_argument("words", metavar=metavar, nargs=argparse.REMAINDER, help=text)


def duration(text: str, most: float = LONGEST_LOOK_BACK) -> float:
    """Parse a duration above 0; return seconds.

    :param most: the longest one, in seconds.
    :raises ValueError: it is not one.
    """
    number = seconds_of(text)
    if number <= 0:
        raise ValueError(f"{text!r} is not above 0: {EXPECTED}")
    if number > most:
        raise ValueError(f"{text!r} is more than {format_duration(most)}")
    return number


def duration_ahead(text: str) -> float:
    """Parse for how long something holds, or until when; see `duration`."""
    return duration(text, LONGEST_AHEAD)


def duration_or_time(text: str) -> float | str:
    """Parse a duration above 0, or a time of day; return seconds, or the time as `22:30`.

    :raises ValueError: it is neither.
    """
    if ":" not in text:
        return duration_ahead(text)
    time = text.rjust(5, "0")
    if not re.match(TIME_OF_DAY, time):
        raise ValueError(f"{text!r} is not a time of day from 00:00 to 23:59")
    return time


def with_reason(convert: Callable[[str], T]) -> Callable[[str], T]:
    """Make argparse show the message of a ValueError, which it would replace by its own."""

    def converted(text: str) -> T:
        try:
            return convert(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return converted
