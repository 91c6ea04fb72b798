"""`zeroscalectl sleep`, `keep-awake`, `release` and `lockout`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from zeroscale.control.protocol import decode_body
from zeroscale.ctl import exit_codes
from zeroscale.ctl.arguments import add_server, add_socket, add_words, duration_ahead, duration_or_time, with_reason
from zeroscale.ctl.client import Event, Result, UsageError
from zeroscale.ctl.report_format import planned_text
from zeroscale.ctl.server_names import split_words
from zeroscale.ctl.several import add_servers, ask_each, chosen, first_name
from zeroscale.ctl.socket_discovery import connect
from zeroscale.ctl.terminal import clean
from zeroscale.event_text import format_duration
from zeroscale.reports import AwakeKind, ServerReport
from zeroscale.status import Status


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parsers of the commands."""
    sleep = commands.add_parser(
        "sleep",
        help="stop or pause servers",
        description="Stops or pauses servers as when they are idle; refused while players are on.",
    )
    add_servers(sleep, "all servers that run; with --cancel all of which a stop is planned")
    when = sleep.add_mutually_exclusive_group()
    when.add_argument("--now", action="store_true", help="even while players are on or it is kept awake")
    when.add_argument(
        "--at",
        type=with_reason(duration_or_time),
        metavar="WHEN",
        help="stop it in a while, such as 10m, or at a time of day in its time zone, such as 22:30; players are "
        "warned before",
    )
    when.add_argument("--cancel", action="store_true", help="cancel a stop of --at, or else the next restart")
    sleep.set_defaults(run=_sleep)
    keep_awake = commands.add_parser(
        "keep-awake",
        help="keep an idle server running",
        description="Keeps a server running while no player is on. This does not wake it.",
    )
    add_server(keep_awake)
    keep_awake.add_argument(
        "--for",
        dest="seconds",
        type=with_reason(duration_ahead),
        metavar="DURATION",
        help="for how long, such as 2h or 1h30m (default: until released)",
    )
    keep_awake.set_defaults(run=_keep_awake)
    release = commands.add_parser(
        "release",
        help="undo keep-awake, lockout and a planned stop",
        description="Undoes keep-awake, lockout and a stop of `sleep --at`, and allows a server that has failed too "
        "often to be started again at the next login.",
    )
    add_server(release)
    release.set_defaults(run=_release)
    lockout = commands.add_parser(
        "lockout",
        help="let no player wake a server",
        description="Lets no player wake a server until it is released. Players on it stay. If there is only "
        "one server, its name may be omitted before the message.",
    )
    add_words(lockout, "MESSAGE", "what players read")
    lockout.set_defaults(run=_lockout)
    for parser in (sleep, keep_awake, release, lockout):
        add_socket(parser)


def _sleep(args: argparse.Namespace) -> int:
    with connect(args, first_name(args)) as client:
        if args.cancel:
            servers = chosen(client, args, _can_be_cancelled)
            return ask_each(client, "sleep", servers, {"cancel": True}, _cancelled)
        servers = chosen(client, args, lambda report: report.status not in (Status.stopped, Status.failed), _needs_last)
        if args.at is not None:
            when = {"at" if isinstance(args.at, str) else "after": args.at}
            return ask_each(client, "sleep", servers, when, _planned)
        return ask_each(client, "sleep", servers, {"now": args.now}, _put_to_sleep)


def _needs_last(reports: Sequence[ServerReport]) -> Sequence[ServerReport]:
    """Return the servers in the order of a stop: a needed server is refused while another one is to run."""
    from graphlib import TopologicalSorter

    by_name = {report.name: report for report in reversed(reports)}
    needs = {  # those of the configuration have no cycles
        name: () if report.draining else [need for need in report.needs if need in by_name]
        for name, report in by_name.items()
    }
    return [by_name[name] for name in TopologicalSorter(needs).static_order()][::-1]


def _can_be_cancelled(report: ServerReport) -> bool:
    return any(stop.kind in ("operator", "restart") for stop in report.planned_stops)


def _planned(_: str | None, answer: Event | Result) -> None:
    report = decode_body(answer.body, ServerReport)
    for stop in report.planned_stops:
        if stop.kind == "operator":
            print(f"{clean(report.name)} is put to sleep in {format_duration(stop.seconds)}", flush=True)


def _cancelled(_: str | None, answer: Event | Result) -> None:
    report = decode_body(answer.body, ServerReport)
    later = [f"; {clean(planned_text(stop))}" for stop in report.planned_stops[:1]]
    print(f"{clean(report.name)}: cancelled{''.join(later)}", flush=True)


def _put_to_sleep(_: str | None, answer: Event | Result) -> None:
    report = decode_body(answer.body, ServerReport)
    # the server is queried for players before it is stopped, and so may still be running
    now = "it is first queried for players" if report.status is Status.running else f"it is {report.status.value}"
    if report.awake and report.awake[0].kind is AwakeKind.needed:
        now = f"it is still {clean(report.awake[0].text)}"
    print(f"{clean(report.name)} is being put to sleep: {now}", flush=True)


def _keep_awake(args: argparse.Namespace) -> int:
    try:
        return _send_override(args, args.server, "keep-awake", seconds=args.seconds)
    except UsageError as error:
        if args.seconds is None and _is_duration(args.server or ""):
            raise UsageError(f"{error}; to name a duration, use --for {args.server}") from None
        raise


def _is_duration(text: str) -> bool:
    try:
        return duration_ahead(text) > 0
    except ValueError:
        return False


def _release(args: argparse.Namespace) -> int:
    return _send_override(args, args.server, "release")


def _lockout(args: argparse.Namespace) -> int:
    words = [args.server, *args.words] if args.server is not None else []
    with connect(args, args.server) as client:
        server, words = split_words(client, words)
        report = client.ask(ServerReport, "lockout", server=server, message=" ".join(words))
    print("\n".join(_summary(report)))
    return exit_codes.DONE


def _send_override(args: argparse.Namespace, server: str | None, command: str, **fields: object) -> int:
    with connect(args, server) as client:
        report = client.ask(ServerReport, command, server=server, **fields)
    print("\n".join(_summary(report)))
    return exit_codes.DONE


def _summary(report: ServerReport) -> Iterator[str]:
    line = f"{clean(report.name)} is {report.status.value}"
    if report.idle_in is not None and report.keep_awake_reason is None:
        line += f", and sleeps in {format_duration(report.idle_in)} unless a player joins"
    yield line
    if report.keep_awake_reason is not None:
        yield clean(report.keep_awake_reason)
    if report.lockout is not None:
        yield f"locked out: {clean(report.lockout)}"
    if report.keep_asleep_reason is not None:
        yield clean(report.keep_asleep_reason)
