"""`zeroscalectl health`: whether zeroscale runs and answers, for health checks of containers."""

from __future__ import annotations

import argparse

from zeroscale.ctl import exit_codes
from zeroscale.ctl.arguments import add_socket
from zeroscale.ctl.socket_discovery import connect
from zeroscale.reports import ProxyReport
from zeroscale.status import Status


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "health",
        help="tell a health check whether zeroscale answers",
        description="Asks zeroscale itself; exits with 0 if it answers. A server that sleeps, or cannot be started, "
        "does not make zeroscale unhealthy, and nothing is woken.",
    )
    add_socket(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit code.

    :raises BackendError: zeroscale does not answer.
    """
    with connect(args) as client:
        report = client.ask(ProxyReport, "status")
    failed = sum(server.status is Status.failed for server in report.servers)
    servers = f"{len(report.servers)} server{'' if len(report.servers) == 1 else 's'}"
    print(f"zeroscale answers: {servers}{f', {failed} of them failed' if failed else ''}")
    return exit_codes.DONE
