"""`zeroscalectl status`: show the state of the servers, of all zeroscales that may be asked."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from zeroscale.control.protocol import decode_body
from zeroscale.control.socket_path import NAME_WITH_CONFIG_FILE
from zeroscale.ctl import exit_codes, failure, terminal
from zeroscale.ctl.arguments import add_server, add_socket
from zeroscale.ctl.client import ControlClient, UsageError
from zeroscale.ctl.report_format import ReportStyle, show, visible_state
from zeroscale.ctl.socket_discovery import connect, connect_all
from zeroscale.errors import BackendError, ZeroscaleError
from zeroscale.event_text import format_moment
from zeroscale.reports import ProxyReport, ServerReport

CLEAR = "\033[H\033[2J"
"""Move the cursor home and erase the screen (ECMA-48 CUP, ED)."""

LOOK_EVERY = 1.0
"""Seconds between two reports of several zeroscales; one alone sends them by itself."""


class SocketReport(Struct, frozen=True):
    """The report of one zeroscale.

    :ivar socket: the path of its admin socket.
    :ivar body: the report, not decoded.
    """

    socket: Path
    body: msgspec.Raw


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser of the command."""
    codes = ", ".join(f"{code} {status.value}" for status, code in exit_codes.OF_STATUS.items())
    parser = commands.add_parser(
        "status",
        help="show the state of the servers",
        description="Shows the state of all servers, or of one: who is on, who woke it, why it does not sleep. Of "
        "several zeroscales all are asked that may be. This never wakes a server.",
    )
    add_server(parser)
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON")
    parser.add_argument("--watch", action="store_true", help="print again at every change, until Ctrl-C")
    parser.add_argument("--exit-code", action="store_true", help=f"exit with the status of one server: {codes}")
    add_socket(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    clients = {client.path: client for client in _connected(args)}
    only_one = len(clients) == 1
    screen = _Screen(as_json=args.json, as_list=not only_one)
    code = exit_codes.DONE
    try:
        if args.watch:
            rounds = _stream(next(iter(clients.values())), args.server) if only_one else _looks(clients)
            for answers in rounds:
                screen.show_again(answers)
            return code
        answers, code = _ask(clients, args.server)
    finally:
        for client in clients.values():
            client.close()
    screen.show(answers)
    return _exit_code(_servers(answers)) if args.exit_code else code


def _connected(args: argparse.Namespace) -> Sequence[ControlClient]:
    return connect_all(args) if args.server is None else [connect(args, args.server)]


def _ask(clients: dict[Path, ControlClient], server: str | None = None) -> tuple[Sequence[SocketReport], int]:
    """Ask all for their reports. Those that do not answer are reported and left out from now on.

    :returns: the reports, and the exit code.
    :raises ZeroscaleError: none answers.
    """
    answers: list[SocketReport] = []
    code = exit_codes.DONE
    for path, client in list(clients.items()):
        try:
            answers.append(SocketReport(path, client.ask_raw("status", server=server)))
        except ZeroscaleError as error:
            client.close()
            del clients[path]
            if not clients and not answers:
                raise
            code = failure.report(error)
    return answers, code


def _looks(clients: dict[Path, ControlClient]) -> Iterator[Sequence[SocketReport]]:
    while True:
        yield _ask(clients)[0]
        if not clients:
            raise BackendError("no zeroscale is left")
        time.sleep(LOOK_EVERY)


def _stream(client: ControlClient, server: str | None) -> Iterator[Sequence[SocketReport]]:
    for answer in client.stream("status", server=server, watch=True):
        yield [SocketReport(client.path, answer.body)]


class _Screen:
    """Prints reports.

    :param as_json: as JSON.
    :param as_list: with a list of reports in JSON, not one.
    """

    def __init__(self, *, as_json: bool, as_list: bool) -> None:
        self._as_json = as_json
        self._as_list = as_list
        self._on_terminal = sys.stdout.isatty()
        self._shown: object = None

    def show(self, answers: Sequence[SocketReport]) -> None:
        """Print reports."""
        if self._as_json:
            print(terminal.clean_json(msgspec.json.format(self._json(answers), indent=2).decode()))
        else:
            print(self._text(_servers(answers)))

    def show_again(self, answers: Sequence[SocketReport]) -> None:
        """Print reports in place of the former ones; where they cannot be replaced, only if they differ visibly."""
        if self._as_json:
            print(terminal.clean_json(self._json(answers).decode()), flush=True)
            return
        servers = _servers(answers)
        state = visible_state(servers)
        if self._on_terminal:
            print(CLEAR + self._text(servers), flush=True)
        elif state != self._shown:
            print(self._text(servers), flush=True)
        self._shown = state

    def _json(self, answers: Sequence[SocketReport]) -> bytes:
        if not self._as_list:
            return bytes(answers[0].body)
        reports = [{"socket": str(each.socket), **decode_body(each.body, dict)} for each in answers]
        return msgspec.json.encode(reports)

    def _text(self, servers: Sequence[ServerReport]) -> str:
        now = time.time()
        style = ReportStyle(
            clock_time=lambda ago: format_moment(now - ago, now, time.localtime),
            colour=terminal.wants_colour(sys.stdout, os.environ),
            width=shutil.get_terminal_size().columns if self._on_terminal else None,
        )
        return "\n".join(show(servers, style))


def _servers(answers: Iterable[SocketReport]) -> Sequence[ServerReport]:
    """Return the servers of all reports by name; of those with the same name, that of their zeroscale is added."""
    found = [(each.socket, server) for each in answers for server in decode_body(each.body, ProxyReport).servers]
    times = Counter(server.name for _, server in found)
    servers = [
        server if times[server.name] == 1 else replace(server, name=f"{server.name} ({_proxy_name(socket)})")
        for socket, server in found
    ]
    return sorted(servers, key=lambda server: server.name)


def _proxy_name(socket: Path) -> str:
    return socket.parent.name if socket.stem == NAME_WITH_CONFIG_FILE else socket.stem


def _exit_code(servers: Sequence[ServerReport]) -> int:
    if len(servers) != 1:
        raise UsageError("--exit-code needs the name of one server")
    return exit_codes.OF_STATUS[servers[0].status]
