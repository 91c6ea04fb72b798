"""`zeroscalectl wake`: start servers, as a player's login would."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TextIO

from zeroscale.control.protocol import decode_body
from zeroscale.ctl.arguments import add_socket
from zeroscale.ctl.client import Event, Result
from zeroscale.ctl.format import progress_bar
from zeroscale.ctl.several import add_servers, ask_each, chosen, first_name
from zeroscale.ctl.socket_discovery import connect
from zeroscale.ctl.terminal import LiveLines, can_overwrite, clean
from zeroscale.event_text import format_duration
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
        help="start servers",
        description="Starts servers, whatever the rules for players are; a server that has failed is tried again. "
        "What keeps a server asleep (zeroscale.keep-asleep, a lockout, a schedule) is obeyed unless --force is given.",
    )
    add_servers(parser, "all servers")
    parser.add_argument("--wait", action="store_true", help="wait until they are ready, and show the progress")
    parser.add_argument("--force", action="store_true", help="even what is kept asleep")
    add_socket(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    fields: dict[str, object] = {name: True for name in ("wait", "force") if getattr(args, name)}
    with connect(args, first_name(args)) as client:
        servers = chosen(client, args, lambda report: not report.draining)
        progress = WakeProgress(sys.stderr, can_overwrite(sys.stderr, os.environ))

        def answered(server: str | None, answer: Event | Result) -> None:
            report = decode_body(answer.body, ServerReport)
            if isinstance(answer, Event):
                progress.at(server, report)
            else:
                progress.end(server)
                print(_outcome(report, args.wait), flush=True)

        try:
            return ask_each(client, "wake", servers, fields, answered, progress.end, stream=args.wait)
        finally:
            progress.erase()


def _outcome(report: ServerReport, waited: bool) -> str:
    took = ""
    if waited and report.last_start is not None:
        took = f" (its last start took {format_duration(report.last_start)})"
    return f"{clean(report.name)} is {report.status.value}{took}"


class WakeProgress:
    """One progress bar for each server, overwritten on a terminal; elsewhere a line every `LINE_EVERY` seconds.

    :param overwrite: whether lines can be overwritten.
    """

    def __init__(self, stream: TextIO, overwrite: bool) -> None:
        self._stream = stream
        self._live = LiveLines(stream) if overwrite else None
        self._lines: dict[str | None, str] = {}
        self._shown: dict[str | None, tuple[Status, float]] = {}

    def at(self, server: str | None, report: ServerReport) -> None:
        """Show the progress of a server.

        :param server: the server as the command line names it.
        """
        line = line_of(report, bar=self._live is not None)
        if self._live is not None:
            self._lines[server] = line
            self._live.show(list(self._lines.values()))
            return
        if report.status is Status.running:
            return  # the result says so
        status, next_at = self._shown.get(server, (None, 0.0))
        if report.status is not status or report.status_age >= next_at:
            self._shown[server] = report.status, report.status_age + LINE_EVERY
            self._stream.write(line + "\n")
            self._stream.flush()

    def end(self, server: str | None) -> None:
        """End the progress of a server, and erase all bars, so that its result can be printed."""
        self._lines.pop(server, None)
        self.erase()

    def erase(self) -> None:
        """Erase the bars; the next progress shows them again."""
        if self._live is not None:
            self._live.erase()


def line_of(report: ServerReport, *, bar: bool) -> str:
    """Return the progress in one line, with a bar or in words."""
    name, passed = clean(report.name), format_duration(report.status_age)
    if report.status is not Status.starting:
        return f"{name}: {report.status.value}, {passed}"
    if not report.estimate:
        return f"{name}: starting, {passed}"
    time = f"{passed} of about {format_duration(report.estimate)}"
    if not bar:
        return f"{name}: starting, {time}"
    return f"{name}: starting {progress_bar(min(report.status_age / report.estimate, ALMOST), BAR_WIDTH)} {time}"
