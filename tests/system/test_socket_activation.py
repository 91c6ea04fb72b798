"""The environment of a service manager: read once, removed, and used only if it is for this process."""

from __future__ import annotations

from pathlib import Path

import pytest
from processes import python
from socket_parent import SocketParent

from zeroscale.system.socket_activation import FIRST_DESCRIPTOR, ServiceManagerEnvironment, pop_environment

MINE = 4711


def test_nothing_is_handed_over() -> None:
    assert pop_environment({"PATH": "/bin"}, MINE) == ServiceManagerEnvironment()


def test_all_of_it_leaves_the_environment() -> None:
    environment = {
        "PATH": "/bin",
        "NOTIFY_SOCKET": "/run/notify",
        "WATCHDOG_USEC": "2500000",
        "WATCHDOG_PID": str(MINE),
        "LISTEN_FDS": "1",
        "LISTEN_PID": "1",
        "LISTEN_FDNAMES": "game",
        "LISTEN_PIDFDID": "7",
    }
    assert pop_environment(environment, MINE) == ServiceManagerEnvironment((), "/run/notify", 2.5)
    assert environment == {"PATH": "/bin"}


@pytest.mark.parametrize(
    "environment",
    [
        {"WATCHDOG_USEC": "1000000"},  # no socket to notify
        {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"},  # for another process
        {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "0"},
        {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "soon"},
        {"NOTIFY_SOCKET": "@x"},
    ],
)
def test_no_watchdog(environment: dict[str, str]) -> None:
    assert pop_environment(environment, MINE).watchdog is None


HEIR = f"""
import os
{{first}}
from zeroscale.system.socket_activation import service_manager_environment
found = service_manager_environment()
print([(each.name, each.descriptor) for each in found.sockets], os.get_inheritable({FIRST_DESCRIPTOR}))
print(sorted(key for key in os.environ if key.startswith("LISTEN")))
"""
TWISTED_WAS_FIRST = "import twisted.internet.endpoints"


@pytest.mark.parametrize(
    ("first", "named", "found"),
    [
        ("", True, "[('game', 3)] False"),
        ("", False, "[('unknown', 3)] False"),
        (TWISTED_WAS_FIRST, True, "[('game', 3)] False"),
        ("os.environ['LISTEN_PID'] = '1'", True, "[] True"),
    ],
)
def test_sockets_that_listen_are_found(tmp_path: Path, first: str, named: bool, found: str) -> None:
    with (
        SocketParent("game", "deaf") as parent,
        parent.start(python("-c", HEIR.format(first=first)), tmp_path, named=named) as program,
    ):
        assert program.wait() == 0, program.output
    assert program.lines == [found, "[]"]


def test_sockets_of_udp_are_told_apart(tmp_path: Path) -> None:
    source = """
from zeroscale.system.socket_activation import service_manager_environment
print([(each.name, each.datagrams) for each in service_manager_environment().sockets])
"""
    with SocketParent("game", "udp") as parent, parent.start(python("-c", source), tmp_path) as program:
        assert program.wait() == 0, program.output
    assert program.lines == ["[('game', False), ('udp', True)]"]


def test_a_number_that_is_none() -> None:
    assert pop_environment({"LISTEN_FDS": "many", "LISTEN_PID": str(MINE)}, MINE).sockets == ()
