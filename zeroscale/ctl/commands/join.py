"""`zeroscalectl join`: try to join a server and print the result. This wakes a sleeping server."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from typing import TextIO

from zeroscale.access_lists import LONGEST_NAME, is_player_name
from zeroscale.ctl import exit_codes, terminal
from zeroscale.ctl.arguments import add_address, add_protocol, address_of, duration, with_reason
from zeroscale.ctl.commands.ping import ask
from zeroscale.ctl.game_connection import Address, GameConnection, closed_early
from zeroscale.errors import BackendError, ProtocolError
from zeroscale.protocols.minecraft import versions
from zeroscale.protocols.minecraft.client import (
    CompressionSet,
    CookieRequested,
    Disconnected,
    EncryptionRequested,
    LoginClient,
    LoginEvent,
    LoginSucceeded,
    PluginRequested,
)

DEFAULT_TIMEOUT = 30.0
"""Seconds without data after which the game gives up (docs/protocol.md, "Holding a client")."""

TICK = 1.0
"""Seconds between two updates of the progress line."""

LINE_EVERY = 10.0
"""Seconds between two progress lines where they cannot be overwritten."""

GREETING = "zeroscale:greeting"
"""The `insertion` in the text with which the demo server disconnects a player whom it has let in."""

Outcome = Disconnected | EncryptionRequested | LoginSucceeded


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "join",
        help="try to join a server",
        description="Tries to join as a player would, without an account, prints the result and leaves at once. "
        "This wakes a sleeping server.",
    )
    add_address(parser)
    parser.add_argument("--name", type=with_reason(player_name), default="zeroscalectl", help="the name of the player")
    add_protocol(parser, "what the server's status says, or the newest")
    parser.add_argument(
        "--timeout",
        type=with_reason(duration),
        default=DEFAULT_TIMEOUT,
        metavar="DURATION",
        help="give up after this long without data (default: %(default)g, as the game does)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    address = address_of(args.address, args)
    protocol = _server_protocol(address, args.timeout) if args.protocol is None else args.protocol
    began = time.monotonic()
    progress = HoldProgress(sys.stderr, began)
    try:
        outcome = attempt(address, protocol, args.name, args.timeout, progress.at)
    finally:
        progress.end()
    took = f"after {time.monotonic() - began:.1f} s"
    match outcome:
        case Disconnected(reason):
            greeted = isinstance(reason, Mapping) and reason.get("insertion") == GREETING
            text = terminal.render(reason, terminal.wants_colour(sys.stdout, os.environ))
            print(f"{'greeted' if greeted else 'kicked'} {took}: {text}")
            return exit_codes.DONE if greeted else exit_codes.REFUSED
        case EncryptionRequested():
            print(f"the real server answered {took}: it checks accounts (online mode), and this program has none")
        case LoginSucceeded(name):
            print(f"let in {took} as {terminal.render(name, False)}")
    return exit_codes.DONE


def attempt(address: Address, protocol: int, name: str, timeout: float, waiting: Callable[[float], None]) -> Outcome:
    """Log in and answer the server's requests until it lets the player in or kicks it.

    :param timeout: the most seconds without data; a server may hold the client longer by sending requests.
    :param waiting: called with the monotonic time about once in `TICK` seconds.
    :raises BackendError: connecting failed, or the server sent nothing for `timeout` seconds, or closed.
    :raises ProtocolError: the server does not speak Minecraft's protocol.
    """
    client = LoginClient(address.name, address.port, protocol, name)
    with GameConnection(address, timeout) as connection:
        connection.send(client.request())
        received_at = time.monotonic()
        answered = False
        while True:
            now = time.monotonic()
            waiting(now)
            if now - received_at >= timeout:
                raise BackendError(f"{address}: no data for {timeout:g} s; the game would have given up")
            data = connection.receive(min(TICK, received_at + timeout - now))
            if data is None:
                continue
            if not data:
                raise BackendError(f"{address}: closed the connection") if answered else closed_early(address)
            answered = True
            received_at = time.monotonic()
            for event in client.receive(data):
                if isinstance(event, Outcome):
                    return event
                _answer(event, connection)


def player_name(text: str) -> str:
    """Check a player's name (docs/protocol.md, "Login").

    :raises ValueError: it is too long or empty, or is not UTF-8.
    """
    if is_player_name(text) and not re.search("[\ud800-\udfff]", text):
        return text
    raise ValueError(f"{text!r} is not a player's name: 1 to {LONGEST_NAME} characters")


class HoldProgress:
    """A line on stderr with the time the client has been held: overwritten on a terminal, else repeated."""

    def __init__(self, stream: TextIO, began: float) -> None:
        self._stream = stream
        self._began = began
        self._on_terminal = stream.isatty()
        self._shown = began
        self._every = TICK if self._on_terminal else LINE_EVERY

    def at(self, now: float) -> None:
        """Show the line if it is due at this time."""
        if now - self._shown >= self._every:
            self._shown = now
            line = f"held for {now - self._began:.0f} s"
            self._stream.write(f"\r{line}" if self._on_terminal else f"{line}\n")
            self._stream.flush()

    def end(self) -> None:
        """End the line."""
        if self._on_terminal and self._shown > self._began:
            self._stream.write("\n")


def _answer(event: LoginEvent, connection: GameConnection) -> None:
    if isinstance(event, PluginRequested | CookieRequested):
        connection.send(event.answer)
    else:
        assert isinstance(event, CompressionSet)  # handled by the client itself


def _server_protocol(address: Address, timeout: float) -> int:
    """Return the protocol number in the server's status, else the newest; a sleeping server may not give one."""
    try:
        status = ask(address, -1, timeout).status
    except (BackendError, ProtocolError):  # the login reports what is wrong
        return versions.NEWEST
    version = status.get("version")
    number = version.get("protocol") if isinstance(version, dict) else None
    return number if isinstance(number, int) and 0 < number < 1 << 31 else versions.NEWEST
