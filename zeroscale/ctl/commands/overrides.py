"""`zeroscalectl sleep`, `keep-awake`, `release` and `lockout`: what is said to a server and done at once."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from zeroscale.ctl import exit_codes as exits
from zeroscale.ctl.arguments import add_server, add_socket, add_words, duration, with_reason
from zeroscale.ctl.format import span
from zeroscale.ctl.server_names import split_words
from zeroscale.ctl.socket_discovery import reach
from zeroscale.ctl.terminal import clean
from zeroscale.reports import ServerReport
from zeroscale.status import Status


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the commands' parsers."""
    sleep = commands.add_parser(
        "sleep",
        help="stop a server, or pause it",
        description="Has a server stopped, or paused, as it would be when idle; refused while players are on it.",
    )
    add_server(sleep)
    sleep.add_argument("--now", action="store_true", help="though players are on it, or it is kept awake")
    sleep.set_defaults(run=_sleep)
    keep_awake = commands.add_parser(
        "keep-awake",
        help="keep a server up though it is idle",
        description="Keeps a server up though nobody is on it. It is not woken by that.",
    )
    add_server(keep_awake)
    keep_awake.add_argument(
        "--for",
        dest="seconds",
        type=with_reason(duration),
        metavar="DURATION",
        help="for how long, such as 2h or 1h30m (default: until released)",
    )
    keep_awake.set_defaults(run=_keep_awake)
    release = commands.add_parser(
        "release",
        help="take keep-awake and lockout back",
        description="Takes back what was said by keep-awake and lockout, and has a server that has failed too often "
        "tried again at the next login.",
    )
    add_server(release)
    release.set_defaults(run=_release)
    lockout = commands.add_parser(
        "lockout",
        help="have nobody wake a server",
        description="Has nobody wake a server until it is released. Who is on it stays. Where there is one server, "
        "words that do not begin with its name are the message.",
    )
    add_words(lockout, "MESSAGE", "what players read")
    lockout.set_defaults(run=_lockout)
    for parser in (sleep, keep_awake, release, lockout):
        add_socket(parser)


def _sleep(told: argparse.Namespace) -> int:
    with reach(told, told.server) as channel:
        report = channel.ask(ServerReport, "sleep", server=told.server, now=told.now)
    # it is asked who is on before it is stopped, and so may still be running
    now = "first it is asked who is on it" if report.status is Status.running else f"it is {report.status.value}"
    print(f"{clean(report.name)} goes to sleep: {now}")
    return exits.DONE


def _keep_awake(told: argparse.Namespace) -> int:
    return _order(told, told.server, "keep-awake", seconds=told.seconds)


def _release(told: argparse.Namespace) -> int:
    return _order(told, told.server, "release")


def _lockout(told: argparse.Namespace) -> int:
    words = [told.server, *told.words] if told.server is not None else []
    with reach(told, told.server) as channel:
        server, words = split_words(channel, words)
        report = channel.ask(ServerReport, "lockout", server=server, message=" ".join(words))
    print("\n".join(_now(report)))
    return exits.DONE


def _order(told: argparse.Namespace, server: str | None, command: str, **fields: object) -> int:
    with reach(told, server) as channel:
        report = channel.ask(ServerReport, command, server=server, **fields)
    print("\n".join(_now(report)))
    return exits.DONE


def _now(report: ServerReport) -> Iterator[str]:
    line = f"{clean(report.name)} is {report.status.value}"
    if report.idle_in is not None and report.keep_awake_reason is None:
        line += f", and sleeps in {span(report.idle_in)} if nobody comes"
    yield line
    if report.keep_awake_reason is not None:
        yield f"kept awake: {clean(report.keep_awake_reason)}"
    if report.lockout is not None:
        yield f"locked out: {clean(report.lockout)}"
