"""`zeroscalectl ping`: show a server's entry in the server list, or in server browsers. This never wakes it."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from msgspec import Struct

from zeroscale.ctl import exit_codes, terminal
from zeroscale.ctl.arguments import add_host, add_protocol, address_of, duration, with_reason
from zeroscale.ctl.client import UsageError
from zeroscale.ctl.game_connection import DEFAULT_PORT, Address, GameConnection, closed_early, parse_address
from zeroscale.ctl.query_ping import ServerEntry, ask_bedrock, ask_minecraft, ask_quake, ask_source
from zeroscale.errors import BackendError, ProtocolError
from zeroscale.protocols.conversation import Component
from zeroscale.protocols.minecraft import versions
from zeroscale.protocols.minecraft.client import (
    PongReceived,
    StatusClient,
    StatusEvent,
    StatusReceived,
    StatusUnreadable,
)

DEFAULT_TIMEOUT = 5.0


class Scheme(Struct, frozen=True):
    """A protocol other than that of Minecraft's server list.

    :ivar default_port: the port of an address without one.
    :ivar ask: asks within this number of seconds; raises `BackendError`.
    """

    default_port: int
    ask: Callable[[Address, float], ServerEntry]


SCHEMES: Mapping[str, Scheme] = {
    "a2s": Scheme(27015, ask_source),
    "quake": Scheme(27960, ask_quake),
    "query": Scheme(DEFAULT_PORT, ask_minecraft),
    "bedrock": Scheme(19132, ask_bedrock),
}
"""By what stands before `://` in an address."""

_FORM = f"[{{{','.join(SCHEMES)}}}://]HOST[:PORT]"


class PingTarget(Struct, frozen=True):
    """What to ask.

    :ivar scheme: one of `SCHEMES`; "": the status of Minecraft's server list.
    """

    scheme: str
    address: Address


def parse_target(text: str) -> PingTarget:
    """Parse an address, with or without a scheme.

    :raises ValueError: it is none.
    """
    scheme, found, rest = text.partition("://")
    if not found:
        return PingTarget("", parse_address(text))
    if scheme not in SCHEMES:
        raise ValueError(f"{scheme!r} is not a protocol: {', '.join(SCHEMES)}, or none for Minecraft's server list")
    return PingTarget(scheme, parse_address(rest.removesuffix("/"), SCHEMES[scheme].default_port))


class PingResult(Struct, frozen=True):
    """A server's status and latency.

    :ivar status: the status, decoded.
    :ivar raw: its JSON; see `StatusReceived.raw`.
    :ivar latency: seconds that the ping took; None: it was not answered.
    """

    status: dict[str, object]
    raw: str
    latency: float | None


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "ping",
        help="show a server's entry in the server list",
        description="Shows a server's entry in the server list, or in server browsers. This never wakes it.",
    )
    parser.add_argument(
        "address",
        metavar=_FORM,
        type=with_reason(parse_target),
        help="the server; without a protocol: as Minecraft's server list asks (port: "
        f"{DEFAULT_PORT}; {', '.join(f'{name}: {scheme.default_port}' for name, scheme in SCHEMES.items())})",
    )
    add_host(parser)
    add_protocol(parser, "the newest")
    parser.add_argument("--json", action="store_true", help="print the server's reply as JSON")
    parser.add_argument(
        "--timeout",
        type=with_reason(duration),
        default=DEFAULT_TIMEOUT,
        metavar="DURATION",
        help="time limit for the whole command (default: %(default)g)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    target: PingTarget = args.address
    if target.scheme:
        return _run_query(target, args)
    protocol = versions.NEWEST if args.protocol is None else args.protocol
    address = address_of(target.address, args)
    result = ask(address, protocol, args.timeout)
    found = not names_no_server(result.status)
    colour = terminal.wants_colour(sys.stdout, os.environ)
    if args.json:
        print(terminal.clean_json(result.raw))
    elif found:
        print("\n".join(show(result, colour)))
    else:
        print(f"no server of this name: {terminal.clean(address.name)}")
        if text := terminal.render(_component(result.status.get("description")), colour):
            print(text)
    return exit_codes.DONE if found else exit_codes.REFUSED


def _run_query(target: PingTarget, args: argparse.Namespace) -> int:
    if args.host is not None or args.protocol is not None:
        raise UsageError("--host and --protocol are for addresses without a protocol")
    entry = SCHEMES[target.scheme].ask(target.address, args.timeout)
    if args.json:
        print(terminal.clean_json(json.dumps(entry.as_json(), ensure_ascii=False)))
    else:
        print("\n".join(show_entry(entry, terminal.wants_colour(sys.stdout, os.environ))))
    return exit_codes.DONE


def ask(address: Address, protocol: int, timeout: float) -> PingResult:
    """Request a server's status and then its latency.

    :param timeout: seconds for both together.
    :raises BackendError: connecting failed, or the server did not answer in time or closed.
    :raises ProtocolError: the server does not speak Minecraft's protocol.
    """
    client = StatusClient(address.name, address.port, protocol)
    with GameConnection(address, timeout) as connection:
        events = _events(client, connection, address, time.monotonic() + timeout)
        connection.send(client.request())
        status = next(event for event in events if isinstance(event, StatusReceived | StatusUnreadable))
        if isinstance(status, StatusUnreadable):
            raise ProtocolError(f"{address}: its status reply cannot be read: {status.reason}")
        token = secrets.randbits(63)
        asked = time.monotonic()
        try:
            connection.send(client.ping(token))
            next(event for event in events if isinstance(event, PongReceived) and event.token == token)
        except BackendError:  # some servers close after the status, which is valid all the same
            return PingResult(status.status, status.raw, None)
        return PingResult(status.status, status.raw, time.monotonic() - asked)


def _events(
    client: StatusClient, connection: GameConnection, address: Address, deadline: float
) -> Iterator[StatusEvent]:
    while data := connection.receive(deadline - time.monotonic()):
        yield from client.receive(data)
    raise BackendError(f"{address}: no answer in time") if data is None else closed_early(address)


def names_no_server(status: Mapping[str, object]) -> bool:
    """Return whether a zeroscale has answered that it has no server of the host (`unknown_host = "answer"`).

    Nothing else sends a status without the name of a version and with no place for players.
    """
    players = _mapping(status.get("players"))
    return _mapping(status.get("version")).get("name") == "" and players.get("max") == 0 and players.get("online") == 0


def show(result: PingResult, colour: bool) -> Iterable[str]:
    """Return the lines to print."""
    status = result.status
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
        "none: the ping was not answered" if result.latency is None else f"{result.latency * 1e3:.1f} ms"
    )


def show_entry(entry: ServerEntry, colour: bool) -> Iterable[str]:
    """Return the lines to print of an entry in a server browser."""
    yield terminal.render(entry.name, colour)
    yield ""
    for title, text in (("Version", entry.version), ("Map", entry.map)):
        if text:
            yield f"{title:<8} {terminal.clean(text)}"
    yield f"Players  {entry.players} of {entry.maximum}"
    for name in entry.names:
        yield f"         {terminal.clean(name)}"
    yield f"Latency  {entry.latency * 1e3:.1f} ms"


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _component(value: object) -> Component:
    return value if isinstance(value, str | Mapping | list) else ""
