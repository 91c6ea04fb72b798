"""`zeroscalectl status`: show the state of the servers."""

from __future__ import annotations

import argparse
import os
import sys

import msgspec

from zeroscale.control.protocol import decode_body
from zeroscale.ctl import exit_codes, terminal
from zeroscale.ctl.arguments import add_server, add_socket
from zeroscale.ctl.client import ControlClient, UsageError
from zeroscale.ctl.report_format import show, visible_state
from zeroscale.ctl.socket_discovery import connect
from zeroscale.reports import ProxyReport

CLEAR = "\033[H\033[2J"
"""Move the cursor home and erase the screen (ECMA-48 CUP, ED)."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser of the command."""
    codes = ", ".join(f"{code} {status.value}" for status, code in exit_codes.OF_STATUS.items())
    parser = commands.add_parser(
        "status",
        help="show the state of the servers",
        description="Shows the state of all servers, or of one. This never wakes a server.",
    )
    add_server(parser)
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON")
    parser.add_argument("--watch", action="store_true", help="print again at every change, until Ctrl-C")
    parser.add_argument("--exit-code", action="store_true", help=f"exit with the status of one server: {codes}")
    add_socket(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    with connect(args, args.server) as client:
        if args.watch:
            return _watch(client, args)
        body = client.ask_raw("status", server=args.server)
    report = decode_body(body, ProxyReport)
    if args.json:
        print(terminal.clean_json(msgspec.json.format(body, indent=2).decode()))
    else:
        print("\n".join(show(report, terminal.wants_colour(sys.stdout, os.environ))))
    return _exit_code(report) if args.exit_code else exit_codes.DONE


def _watch(client: ControlClient, args: argparse.Namespace) -> int:
    shown: object = None
    on_terminal = sys.stdout.isatty()
    for answer in client.stream("status", server=args.server, watch=True):
        if args.json:
            print(terminal.clean_json(bytes(answer.body).decode()), flush=True)
            continue
        report = decode_body(answer.body, ProxyReport)
        lines = "\n".join(show(report, terminal.wants_colour(sys.stdout, os.environ)))
        if on_terminal:
            print(CLEAR + lines, flush=True)
        elif visible_state(report) != shown:
            print(lines, flush=True)
        shown = visible_state(report)
    return exit_codes.DONE


def _exit_code(report: ProxyReport) -> int:
    if len(report.servers) != 1:
        raise UsageError("--exit-code needs the name of one server")
    return exit_codes.OF_STATUS[report.servers[0].status]
