"""`zeroscalectl status`: how the servers stand."""

from __future__ import annotations

import argparse
import os
import sys

import msgspec

from zeroscale.control.protocol import decode_body
from zeroscale.ctl import exit_codes as exits
from zeroscale.ctl import terminal
from zeroscale.ctl.arguments import add_server, add_socket
from zeroscale.ctl.client import Channel, UsageError
from zeroscale.ctl.report_format import noticeable, show
from zeroscale.ctl.socket_discovery import reach
from zeroscale.reports import ProxyReport

CLEAR = "\033[H\033[2J"
"""Cursor home, and the screen erased (ECMA-48 CUP, ED)."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    codes = ", ".join(f"{code} {status.value}" for status, code in exits.OF_STATUS.items())
    parser = commands.add_parser(
        "status",
        help="show how the servers stand",
        description="Shows how the servers stand, or one of them. This never wakes one.",
    )
    add_server(parser)
    parser.add_argument("--json", action="store_true", help="print all there is to know, as JSON")
    parser.add_argument("--watch", action="store_true", help="again whenever it changes, until Ctrl-C")
    parser.add_argument("--exit-code", action="store_true", help=f"end with the status of one server: {codes}")
    add_socket(parser)
    parser.set_defaults(run=run)


def run(told: argparse.Namespace) -> int:
    """Runs the command; returns its exit code."""
    with reach(told, told.server) as channel:
        if told.watch:
            return _watch(channel, told)
        body = channel.ask_raw("status", server=told.server)
    report = decode_body(body, ProxyReport)
    if told.json:
        print(terminal.clean_json(msgspec.json.format(body, indent=2).decode()))
    else:
        print("\n".join(show(report, terminal.wants_colour(sys.stdout, os.environ))))
    return _exit_code(report) if told.exit_code else exits.DONE


def _watch(channel: Channel, told: argparse.Namespace) -> int:
    shown: object = None
    on_terminal = sys.stdout.isatty()
    for answer in channel.stream("status", server=told.server, watch=True):
        if told.json:
            print(terminal.clean_json(bytes(answer.body).decode()), flush=True)
            continue
        report = decode_body(answer.body, ProxyReport)
        lines = "\n".join(show(report, terminal.wants_colour(sys.stdout, os.environ)))
        if on_terminal:
            print(CLEAR + lines, flush=True)
        elif noticeable(report) != shown:
            print(lines, flush=True)
        shown = noticeable(report)
    return exits.DONE


def _exit_code(report: ProxyReport) -> int:
    if len(report.servers) != 1:
        raise UsageError("--exit-code is for one server: say which")
    return exits.OF_STATUS[report.servers[0].status]
