"""Notifications to a service manager: their content and time, and no heartbeat if reactor or relay hang."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from zeroscale.status import ServerSnapshot, Status
from zeroscale.system.sd_notify import (
    EXTEND_EVERY,
    LONGEST_STATUS,
    MOST_SERVERS,
    STATUS_GAP,
    NotifySocket,
    ServiceNotifier,
    status_line,
)
from zeroscale.system.socket_activation import ServiceManagerEnvironment

SLEEPING = ServerSnapshot("creative", Status.stopped, 0.0)
BUSY = ServerSnapshot("survival", Status.running, 0.0, players=3)


class Manager:
    """A service manager that listens."""

    def __init__(self, ours: socket.socket, address: str) -> None:
        self._socket = ours
        self.address = address

    def received(self) -> list[str]:
        """The datagrams since it was last asked."""
        found = []
        while True:
            try:
                found.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return found


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ours:
        ours.setblocking(False)
        ours.bind(path if request.param == "path" else "\0" + path)
        yield Manager(ours, path if request.param == "path" else "@" + path)


class Harness:
    def __init__(self, manager: Manager | None, watchdog: float | None = None) -> None:
        self.clock = Clock()
        self.views = [BUSY, SLEEPING]
        self.relay: list[Deferred[None]] | None = None
        address = None if manager is None else manager.address
        self.notifier = ServiceNotifier(
            self.clock, ServiceManagerEnvironment((), address, watchdog), lambda: self.views, self.heartbeat
        )

    def heartbeat(self) -> Deferred[None]:
        if self.relay is None:
            return succeed(None)
        self.relay.append(Deferred())
        return self.relay[-1]


def test_ready_comes_with_the_servers_states(manager: Manager) -> None:
    Harness(manager).notifier.ready()
    assert manager.received() == ["READY=1\nSTATUS=creative sleeping; survival running, 3 players"]


def test_changes_are_notified_at_once_but_not_too_often(manager: Manager) -> None:
    harness = Harness(manager)
    harness.notifier.changed()
    assert harness.clock.getDelayedCalls() == [], "nothing is told before it is ready"
    harness.notifier.ready()
    manager.received()
    harness.views = [SLEEPING]
    harness.notifier.changed()
    harness.clock.advance(0)
    assert manager.received() == ["STATUS=creative sleeping"]
    for players in range(1, 50):
        harness.views = [ServerSnapshot("survival", Status.running, 0.0, players=players)]
        harness.notifier.changed()
    harness.clock.advance(STATUS_GAP / 2)
    assert manager.received() == []
    harness.clock.advance(STATUS_GAP / 2)
    assert manager.received() == ["STATUS=survival running, 49 players"]
    harness.notifier.changed()
    harness.clock.advance(STATUS_GAP)
    assert manager.received() == [], "it is as it was"


def test_a_reload(manager: Manager) -> None:
    harness = Harness(manager)
    harness.notifier.reloading()
    harness.notifier.ready()
    reloading, ready = manager.received()
    first, second = reloading.split("\n")
    assert first == "RELOADING=1"
    assert int(second.removeprefix("MONOTONIC_USEC=")) > 0
    assert ready.startswith("READY=1\n")


def test_while_servers_stop_the_manager_is_asked_to_wait(manager: Manager) -> None:
    harness = Harness(manager)
    harness.notifier.stopping()
    assert manager.received() == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=60000000"]
    harness.clock.advance(EXTEND_EVERY)
    assert manager.received() == ["EXTEND_TIMEOUT_USEC=60000000"]
    harness.views = [SLEEPING, ServerSnapshot("survival", Status.stopping, 0.0, stop_timed_out=True)]
    harness.clock.advance(EXTEND_EVERY)
    assert manager.received() == [], "what does not stop is nothing to wait for"
    harness.notifier.stopped()
    assert harness.clock.getDelayedCalls() == []


def test_the_watchdog_is_fed_twice_as_often_as_is_asked(manager: Manager) -> None:
    harness = Harness(manager, watchdog=10.0)
    harness.notifier.ready()
    assert manager.received()[-1] == "WATCHDOG=1"
    harness.notifier.ready()
    assert "WATCHDOG=1" not in manager.received(), "the reload has no clock of its own"
    for _ in range(3):
        harness.clock.advance(4.9)
        manager.received()
        harness.clock.advance(0.1)
        assert manager.received() == ["WATCHDOG=1"]
    harness.notifier.stopping()
    manager.received()
    harness.clock.advance(5.0)
    assert manager.received() == ["WATCHDOG=1"], "a save is no reason to be aborted"
    harness.notifier.stopped()
    assert harness.clock.getDelayedCalls() == []


def test_a_hanging_relay_gives_no_heartbeat(manager: Manager) -> None:
    harness = Harness(manager, watchdog=10.0)
    harness.notifier.ready()
    manager.received()
    harness.relay = []
    for _ in range(5):
        harness.clock.advance(5.0)
    assert manager.received() == []
    assert len(harness.relay) == 1, "it is not asked again before it has answered"
    harness.relay[0].callback(None)
    assert manager.received() == ["WATCHDOG=1"]
    harness.clock.advance(5.0)
    assert len(harness.relay) == 2


def test_a_relay_that_cannot_be_asked_is_a_fault(manager: Manager, caplog: pytest.LogCaptureFixture) -> None:
    harness = Harness(manager, watchdog=10.0)
    harness.notifier = ServiceNotifier(
        harness.clock,
        ServiceManagerEnvironment((), manager.address, 10.0),
        list,
        lambda: fail(ZeroDivisionError("a defect")),
    )
    harness.notifier.ready()
    assert "a defect" in caplog.text
    assert "WATCHDOG=1" not in manager.received()


def test_no_notifications_without_a_socket() -> None:
    harness = Harness(None)
    harness.notifier.ready()
    harness.notifier.changed()
    harness.notifier.reloading()
    harness.notifier.stopping()
    assert harness.clock.getDelayedCalls() == []
    harness.notifier.stopped()


@pytest.mark.parametrize("address", ["/nowhere/at/all", "x" * 200, "a\0b"])
def test_a_manager_that_is_gone_is_one_line(address: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    notify_socket = NotifySocket(address)
    notify_socket.send("READY=1")
    notify_socket.send("STOPPING=1")
    [line] = caplog.messages
    assert line.startswith("Cannot notify the service manager: ")


def test_sending_leaves_no_descriptor(manager: Manager) -> None:
    before = len([*Path("/proc/self/fd").iterdir()])
    NotifySocket(manager.address).send("READY=1")
    assert len([*Path("/proc/self/fd").iterdir()]) == before


def test_the_status_line_in_words() -> None:
    stuck = ServerSnapshot("a", Status.stopping, 0.0, stop_timed_out=True)
    one = ServerSnapshot("b", Status.running, 0.0, players=1)
    assert status_line([one, stuck]) == "a stopping, does not stop; b running, 1 player"
    assert status_line([]) == ""


def test_the_line_is_bounded() -> None:
    many = [ServerSnapshot(f"s{number:03}", Status.failed, 0.0) for number in range(MOST_SERVERS + 5)]
    assert status_line(many).endswith("s019 failed; and 5 more")
    long = [ServerSnapshot(f"{number:0200}", Status.failed, 0.0) for number in range(MOST_SERVERS)]
    assert len(status_line(long)) == LONGEST_STATUS
