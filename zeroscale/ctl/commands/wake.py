"""`zeroscalectl wake`: starts a server, as a player's login would."""

from __future__ import annotations

import argparse
import sys
from typing import TextIO

from zeroscale.control.protocol import decode_body
from zeroscale.ctl import exit_codes as exits
from zeroscale.ctl.arguments import add_server, add_socket
from zeroscale.ctl.client import Result
from zeroscale.ctl.format import bar, span
from zeroscale.ctl.socket_discovery import reach
from zeroscale.ctl.terminal import clean
from zeroscale.reports import ServerReport
from zeroscale.status import Status

BAR_WIDTH = 30
LINE_EVERY = 10.0
"""Seconds between two progress lines where they cannot be overwritten."""

ALMOST = 0.98
"""How full the bar is at most, before it is true."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    parser = commands.add_parser(
        "wake",
        help="start a server",
        description="Starts a server, whoever else may wake it; one that has failed is tried again.",
    )
    add_server(parser)
    parser.add_argument("--wait", action="store_true", help="until it is ready, showing how far it is")
    add_socket(parser)
    parser.set_defaults(run=run)


def run(told: argparse.Namespace) -> int:
    """Runs the command; returns its exit code."""
    with reach(told, told.server) as channel:
        if not told.wait:
            report = channel.ask(ServerReport, "wake", server=told.server)
            print(f"{clean(report.name)} is {report.status.value}")
            return exits.DONE
        progress = Progress(sys.stderr)
        try:
            for answer in channel.stream("wake", server=told.server, wait=True):
                report = decode_body(answer.body, ServerReport)
                if not isinstance(answer, Result):
                    progress.at(report)
        finally:
            progress.end()
    took = "" if report.last_start is None else f" (its last start took {span(report.last_start)})"
    print(f"{clean(report.name)} is {report.status.value}{took}")
    return exits.DONE


class Progress:
    """A bar on a terminal, which is overwritten; elsewhere a line now and then."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._on_terminal = stream.isatty()
        self._longest = 0
        self._next = 0.0
        self._status: Status | None = None

    def at(self, report: ServerReport) -> None:
        """This is how it stands."""
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
        """No more of it."""
        if self._longest:
            self._stream.write(f"\r{'':<{self._longest}}\r")
            self._stream.flush()


def line_of(report: ServerReport) -> str:
    """How far it is, in one line; of a start that takes longer than it should, only the time."""
    name, passed = clean(report.name), span(report.status_age)
    if report.status is not Status.starting:
        return f"{name}: {report.status.value}, {passed}"
    if not report.estimate:
        return f"{name}: starting, {passed}"
    done = bar(min(report.status_age / report.estimate, ALMOST), BAR_WIDTH)
    return f"{name}: starting {done} {passed} of about {span(report.estimate)}"
