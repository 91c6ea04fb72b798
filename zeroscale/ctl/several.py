"""Commands for one server, for several, or for all."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from zeroscale.ctl import exit_codes, failure
from zeroscale.ctl.client import ControlClient, Event, Result, UsageError
from zeroscale.errors import ZeroscaleError
from zeroscale.reports import ProxyReport, ServerReport


def add_servers(parser: argparse.ArgumentParser, all_help: str) -> None:
    """Add NAME... as `servers` and --all as `all`.

    :param all_help: which servers --all stands for.
    """
    parser.add_argument(
        "servers", metavar="NAME", nargs="*", help="the servers (may be omitted if there is only one server)"
    )
    parser.add_argument("--all", action="store_true", help=all_help)


def first_name(args: argparse.Namespace) -> str | None:
    """Return the first name on the command line, by which the proxy is found; None: there is none."""
    return args.servers[0] if args.servers else None


def chosen(
    client: ControlClient,
    args: argparse.Namespace,
    in_all: Callable[[ServerReport], bool],
    ordered: Callable[[Sequence[ServerReport]], Sequence[ServerReport]] | None = None,
) -> list[str | None]:
    """Return the names of the servers that a command is for; None stands for the only server.

    :param in_all: whether --all stands for this server.
    :param ordered: returns all servers in the order of the command; None: as they are named, or as they come.
    :raises ZeroscaleError: there was no answer, or names and --all are given.
    """
    if args.all and args.servers:
        raise UsageError("give names or --all, not both")
    named = list(dict.fromkeys(args.servers))
    if not args.all and (ordered is None or len(named) < 2):
        return [*named] or [None]
    reports = client.ask(ProxyReport, "status").servers
    if ordered is not None:
        reports = tuple(ordered(reports))
    if args.all:
        return [each.name for each in reports if in_all(each)]
    places = {each.name: place for place, each in enumerate(reports)}
    return [*sorted(named, key=lambda name: places.get(name, len(places)))]


def ask_each(
    client: ControlClient,
    command: str,
    servers: list[str | None],
    fields: dict[str, object],
    answered: Callable[[str | None, Event | Result], None],
    failed: Callable[[str | None], None] = lambda _: None,
    *,
    stream: bool = False,
) -> int:
    """Send a command for each of the servers; errors are printed, and the others go on.

    :param fields: further fields of the requests.
    :param answered: called with each event and result.
    :param failed: called before the error of a server is printed.
    :param stream: the command is answered with a stream of events.
    :return: the exit code: the highest one of the servers.
    :raises ZeroscaleError: the connection failed.
    """
    code = exit_codes.DONE
    requests = [{**fields, "server": server} for server in servers]
    for index, answer in client.together(command, requests, stream=stream):
        if isinstance(answer, ZeroscaleError):
            failed(servers[index])
            code = max(code, failure.report(answer))
        else:
            answered(servers[index], answer)
    return code
