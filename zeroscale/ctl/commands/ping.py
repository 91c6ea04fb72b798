"""`zeroscalectl ping`: what the server list would show of a server. It never wakes one."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from zeroscale.ctl import exit_codes as exits
from zeroscale.ctl import terminal
from zeroscale.ctl.arguments import add_address, add_protocol, seconds
from zeroscale.ctl.game_connection import Address, Link
from zeroscale.errors import BackendError
from zeroscale.protocols.conversation import Component
from zeroscale.protocols.minecraft import versions
from zeroscale.protocols.minecraft.client import PongReceived, StatusClient, StatusEvent, StatusReceived

DEFAULT_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer to the server list.

    :ivar status: its status, decoded.
    :ivar raw: the JSON as it was sent.
    :ivar latency: seconds that a ping took; None when it went unanswered.
    """

    status: dict[str, object]
    raw: str
    latency: float | None


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    parser = commands.add_parser(
        "ping",
        help="show what the server list shows",
        description="Shows what the server list shows of a server. This never wakes one.",
    )
    add_address(parser)
    add_protocol(parser, "the newest")
    parser.add_argument("--json", action="store_true", help="print the server's reply as it is")
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=DEFAULT_TIMEOUT,
        metavar="SECONDS",
        help="how long it may take in all (default: %(default)g)",
    )
    parser.set_defaults(run=run)


def run(told: argparse.Namespace) -> int:
    """Runs the command; returns its exit code."""
    protocol = versions.NEWEST if told.protocol is None else told.protocol
    answer = ask(told.address, protocol, told.timeout)
    if told.json:
        print(terminal.clean_json(answer.raw))
    else:
        print("\n".join(show(answer, terminal.wants_colour(sys.stdout, os.environ))))
    return exits.DONE


def ask(address: Address, protocol: int, timeout: float) -> Answer:
    """Asks a server for its status, and then for its latency.

    :param timeout: seconds for all of it.
    :raises BackendError: it is not there, does not answer, or closes.
    :raises ProtocolError: it does not speak Minecraft.
    """
    client = StatusClient(address.host, address.port, protocol)
    with Link(address, timeout) as link:
        events = _events(client, link, address, time.monotonic() + timeout)
        link.send(client.request())
        status = next(event for event in events if isinstance(event, StatusReceived))
        token = secrets.randbits(63)
        asked = time.monotonic()
        try:
            link.send(client.ping(token))
            next(event for event in events if isinstance(event, PongReceived) and event.token == token)
        except BackendError:  # some servers close after the status, which is true all the same
            return Answer(status.status, status.raw, None)
        return Answer(status.status, status.raw, time.monotonic() - asked)


def _events(client: StatusClient, link: Link, address: Address, deadline: float) -> Iterator[StatusEvent]:
    while data := link.receive(deadline - time.monotonic()):
        yield from client.receive(data)
    raise BackendError(f"{address}: " + ("no answer in time" if data is None else "closed without an answer"))


def show(answer: Answer, colour: bool) -> Iterable[str]:
    """The lines to print."""
    status = answer.status
    yield terminal.render(_component(status.get("description")), colour)
    yield ""
    version = _mapping(status.get("version"))
    yield f"Version  {terminal.render(_component(version.get('name')), colour)} (protocol {version.get('protocol')!r})"
    players = _mapping(status.get("players"))
    yield f"Players  {players.get('online')!r} of {players.get('max')!r}"
    sample = players.get("sample")
    for line in sample if isinstance(sample, list) else []:
        yield f"         {terminal.render(_component(_mapping(line).get('name')), colour)}"
    yield "Latency  " + (
        "none: the ping was not answered" if answer.latency is None else f"{answer.latency * 1e3:.1f} ms"
    )


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _component(value: object) -> Component:
    return value if isinstance(value, str | Mapping | list) else ""
