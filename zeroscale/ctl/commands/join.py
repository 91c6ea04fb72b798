"""`zeroscalectl join`: tries to join a server, and says what happened. It wakes one that sleeps."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import TextIO

from zeroscale.ctl import exit_codes as exits
from zeroscale.ctl import terminal
from zeroscale.ctl.arguments import add_address, add_protocol, seconds, with_reason
from zeroscale.ctl.commands.ping import ask
from zeroscale.ctl.game_connection import Address, Link
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
"""Seconds of silence after which the game itself gives up (docs/protocol.md, "Holding a client")."""

LONGEST_NAME = 16
TICK = 1.0
"""Seconds between two looks at the clock, for the progress line."""

LINE_EVERY = 10.0
"""Seconds between two progress lines where they cannot be overwritten."""

Outcome = Disconnected | EncryptionRequested | LoginSucceeded


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    parser = commands.add_parser(
        "join",
        help="try to join, and say what happens",
        description="Tries to join as a player would, without the game and without an account; it leaves at once.",
    )
    add_address(parser)
    parser.add_argument("--name", type=with_reason(player_name), default="zeroscalectl", help="the player to be")
    add_protocol(parser, "what the server's status says, or the newest")
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=DEFAULT_TIMEOUT,
        metavar="SECONDS",
        help="give up when the server is silent for so long (default: %(default)g, as the game does)",
    )
    parser.set_defaults(run=run)


def run(told: argparse.Namespace) -> int:
    """Runs the command; returns its exit code."""
    protocol = _spoken(told.address, told.timeout) if told.protocol is None else told.protocol
    began = time.monotonic()
    progress = Progress(sys.stderr, began)
    try:
        outcome = attempt(told.address, protocol, told.name, told.timeout, progress.at)
    finally:
        progress.end()
    took = f"after {time.monotonic() - began:.1f} s"
    match outcome:
        case Disconnected(reason):
            print(f"kicked {took}: {terminal.render(reason, terminal.wants_colour(sys.stdout, os.environ))}")
            return exits.REFUSED
        case EncryptionRequested():
            print(f"the real server answered {took}: it checks accounts (online mode), and this program has none")
        case LoginSucceeded(name):
            print(f"let in {took} as {terminal.render(name, False)}")
    return exits.DONE


def attempt(address: Address, protocol: int, name: str, timeout: float, waiting: Callable[[float], None]) -> Outcome:
    """Tries to log in, answering what is asked, until it is known how the server takes it.

    :param timeout: seconds of silence at most; a server may hold us for longer by asking questions.
    :param waiting: called with the time, now and then.
    :raises BackendError: it is not there, fell silent, or closed without a word.
    :raises ProtocolError: it does not speak Minecraft.
    """
    client = LoginClient(address.host, address.port, protocol, name)
    with Link(address, timeout) as link:
        link.send(client.request())
        heard = time.monotonic()
        while True:
            now = time.monotonic()
            waiting(now)
            if now - heard >= timeout:
                raise BackendError(f"{address}: silent for {timeout:g} s; the game would have given up")
            data = link.receive(min(TICK, heard + timeout - now))
            if data is None:
                continue
            if not data:
                raise BackendError(f"{address}: closed without a word")
            heard = time.monotonic()
            for event in client.receive(data):
                if isinstance(event, Outcome):
                    return event
                _answer(event, link)


def player_name(text: str) -> str:
    """A name that servers accept (docs/protocol.md, "Login").

    :raises ValueError: it is none.
    """
    if 0 < len(text) <= LONGEST_NAME and all(" " < character < "\x7f" for character in text):
        return text
    raise ValueError(f"{text!r} is not a player's name: 1 to {LONGEST_NAME} characters of ASCII, no space")


class Progress:
    """A line on stderr that says how long we have been held: overwritten on a terminal, else a new one now and then."""

    def __init__(self, stream: TextIO, began: float) -> None:
        self._stream = stream
        self._began = began
        self._on_terminal = stream.isatty()
        self._shown = began
        self._every = TICK if self._on_terminal else LINE_EVERY

    def at(self, now: float) -> None:
        """It is `now`: shows the line if it is time for it."""
        if now - self._shown >= self._every:
            self._shown = now
            line = f"held for {now - self._began:.0f} s"
            self._stream.write(f"\r{line}" if self._on_terminal else f"{line}\n")
            self._stream.flush()

    def end(self) -> None:
        """No more of it."""
        if self._on_terminal and self._shown > self._began:
            self._stream.write("\n")


def _answer(event: LoginEvent, link: Link) -> None:
    if isinstance(event, PluginRequested | CookieRequested):
        link.send(event.answer)
    else:
        assert isinstance(event, CompressionSet)  # which the client itself minds


def _spoken(address: Address, timeout: float) -> int:
    """The protocol number that the server's status names, where it names one; a sleeping server may not."""
    try:
        status = ask(address, -1, timeout).status
    except (BackendError, ProtocolError):  # the login will tell what is wrong
        return versions.NEWEST
    version = status.get("version")
    number = version.get("protocol") if isinstance(version, dict) else None
    return number if isinstance(number, int) and 0 < number < 1 << 31 else versions.NEWEST
