"""`zeroscalectl stats`: show sums of the history, and what the servers did not use while they slept."""

from __future__ import annotations

import argparse

import msgspec

from zeroscale.ctl import history_source
from zeroscale.ctl.history_format import stats_lines
from zeroscale.ctl.terminal import clean_json
from zeroscale.history.values import HistoryStats


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "stats",
        help="show how long the servers slept, and what that saved",
        description="Shows of all servers, or of one: hours asleep, wakes, start times, players' hours, and the "
        "processor time and memory that were not used.",
    )
    history_source.add_arguments(parser, "30d")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit code."""

    def read(directories: history_source.Directories, now: float) -> list[HistoryStats]:
        from zeroscale.history.queries import read_stats  # SQLite is needed only without a running zeroscale

        return list(read_stats(directories, now - args.since, now))

    answers, code = history_source.ask(args, list[HistoryStats], "stats", read)
    servers = sorted((stats for answer in answers for stats in answer), key=lambda stats: stats.server)
    if args.json:
        print(clean_json(msgspec.json.format(msgspec.json.encode(servers), indent=2).decode()))
        return code
    for stats in servers:
        print("\n".join(stats_lines(stats)))
    if not servers:
        print("There is no history.")
    return code
