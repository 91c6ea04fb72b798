"""`zeroscalectl history`: show what happened to the servers."""

from __future__ import annotations

import argparse

import msgspec

from zeroscale.control.protocol import MAX_ENTRIES
from zeroscale.ctl import history_source
from zeroscale.ctl.arguments import with_reason
from zeroscale.ctl.history_format import entry_lines
from zeroscale.ctl.terminal import clean_json
from zeroscale.history.values import HistoryPage

DEFAULT_LIMIT = 1000


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "history",
        help="show what happened to the servers",
        description="Shows wakes, sessions, stops, failures and refused logins of all servers, or of one; "
        "the newest last.",
    )
    history_source.add_arguments(parser, "7d")
    parser.add_argument(
        "--limit",
        metavar="N",
        type=with_reason(_limit),
        default=DEFAULT_LIMIT,
        help=f"show the newest N entries, up to {MAX_ENTRIES} (default: {DEFAULT_LIMIT})",
    )
    parser.set_defaults(run=run)


def _limit(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_ENTRIES:
        raise ValueError(f"{text!r} is not a number from 1 to {MAX_ENTRIES}")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit code."""

    def read(directories: history_source.Directories, now: float) -> HistoryPage:
        from zeroscale.history.queries import read_history  # SQLite is needed only without a running zeroscale

        return read_history(directories, now - args.since, args.limit)

    pages, code = history_source.ask(args, HistoryPage, "history", read, limit=args.limit)
    entries = sorted((entry for page in pages for entry in page.entries), key=lambda entry: entry.at)
    more = any(page.more for page in pages) or len(entries) > args.limit
    page = HistoryPage(tuple(entries[-args.limit :]), more)
    if args.json:
        print(clean_json(msgspec.json.format(msgspec.json.encode(page), indent=2).decode()))
        return code
    for line in entry_lines(page):
        print(line)
    if not page.entries:
        print("Nothing happened in this time.")
    return code
