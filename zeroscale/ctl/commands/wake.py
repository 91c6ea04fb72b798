"""`zeroscalectl wake`: start a server, as a player's login would."""

from __future__ import annotations

import argparse
import sys
from typing import TextIO

from zeroscale.control.protocol import decode_body
from zeroscale.ctl import exit_codes
from zeroscale.ctl.arguments import add_server, add_socket
from zeroscale.ctl.client import Result
from zeroscale.ctl.format import format_duration, progress_bar
from zeroscale.ctl.socket_discovery import connect
from zeroscale.ctl.terminal import clean
from zeroscale.reports import ServerReport
from zeroscale.status import Status

BAR_WIDTH = 30
LINE_EVERY = 10.0
"""Seconds between two progress lines where they cannot be overwritten."""

ALMOST = 0.98
"""The most that the bar is filled before the server is ready."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "wake",
        help="start a server",
        description="Starts a server, whatever the rules for players are; a server that has failed is tried again.",
    )
    add_server(parser)
    parser.add_argument("--wait", action="store_true", help="wait until it is ready, and show the progress")
    add_socket(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    with connect(args, args.server) as client:
        if not args.wait:
            report = client.ask(ServerReport, "wake", server=args.server)
            print(f"{clean(report.name)} is {report.status.value}")
            return exit_codes.DONE
        progress = WakeProgress(sys.stderr)
        try:
            for answer in client.stream("wake", server=args.server, wait=True):
                report = decode_body(answer.body, ServerReport)
                if not isinstance(answer, Result):
                    progress.at(report)
        finally:
            progress.end()
    took = "" if report.last_start is None else f" (its last start took {format_duration(report.last_start)})"
    print(f"{clean(report.name)} is {report.status.value}{took}")
    return exit_codes.DONE


class WakeProgress:
    """A progress bar, overwritten on a terminal; elsewhere a line every `LINE_EVERY` seconds."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._on_terminal = stream.isatty()
        self._longest = 0
        self._next = 0.0
        self._status: Status | None = None

    def at(self, report: ServerReport) -> None:
        """Show the progress of this report."""
        line = line_of(report)
        if self._on_terminal:
            self._longest = max(self._longest, len(line))
            self._stream.write(f"\r{line:<{self._longest}}")
        elif report.status is not self._status or report.status_age >= self._next:
            self._stream.write(line + "\n")
            self._next = report.status_age + LINE_EVERY
        self._status = report.status
        self._stream.flush()

    def end(self) -> None:
        """Erase the bar."""
        if self._longest:
            self._stream.write(f"\r{'':<{self._longest}}\r")
            self._stream.flush()


def line_of(report: ServerReport) -> str:
    """Return the progress in one line."""
    name, passed = clean(report.name), format_duration(report.status_age)
    if report.status is not Status.starting:
        return f"{name}: {report.status.value}, {passed}"
    if not report.estimate:
        return f"{name}: starting, {passed}"
    done = progress_bar(min(report.status_age / report.estimate, ALMOST), BAR_WIDTH)
    return f"{name}: starting {done} {passed} of about {format_duration(report.estimate)}"
