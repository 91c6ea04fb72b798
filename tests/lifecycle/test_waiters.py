from __future__ import annotations

from typing import Any

import pytest
from lifecycle.harness import OPERATOR
from twisted.internet.defer import CancelledError

from zeroscale.errors import ServerUnavailable
from zeroscale.events import Cause, CauseKind
from zeroscale.lifecycle.waiters import Waiters
from zeroscale.status import ClientInfo


@pytest.fixture
def waiters() -> Waiters:
    return Waiters()


def join(client: ClientInfo) -> Any:
    return f"session of {client.name}"


def ignore(_: object) -> None:
    """A failure that was expected."""


def test_players_are_admitted_in_their_order(waiters: Waiters) -> None:
    seen: list[Any] = []
    for name in ("Alice", "Bob"):
        waiters.add(ClientInfo(name)).addCallback(seen.append)
    waiters.add_observer(OPERATOR, ignore_lockout=True).addCallback(seen.append)
    assert (len(waiters), waiters.names, waiters.ignore_lockout) == (2, ("Alice", "Bob"), True)
    waiters.admit(join)
    assert seen == ["session of Alice", "session of Bob", None]
    assert (len(waiters), bool(waiters), waiters.ignore_lockout) == (0, False, False)


def test_all_waiters_are_rejected_with_the_reason(waiters: Waiters) -> None:
    failures: list[Any] = []
    waiters.add(ClientInfo("Alice")).addErrback(failures.append)
    waiters.add_observer(OPERATOR).addErrback(failures.append)
    waiters.reject("it is being moved")
    assert [(failure.type, failure.getErrorMessage()) for failure in failures] == [
        (ServerUnavailable, "it is being moved")
    ] * 2
    assert not waiters


def test_the_operator_reads_the_detail(waiters: Waiters) -> None:
    reasons: list[str] = []
    waiters.add(ClientInfo("Alice")).addErrback(lambda failure: reasons.append(failure.getErrorMessage()))
    waiters.add_observer(OPERATOR).addErrback(lambda failure: reasons.append(failure.getErrorMessage()))
    waiters.reject("it ended while it started", "it ended while it started (exit code 1: an error)")
    assert reasons == ["it ended while it started", "it ended while it started (exit code 1: an error)"]


def test_an_observer_that_may_tell_players_has_their_reason_too(waiters: Waiters) -> None:
    errors: list[Any] = []
    waiters.add_observer(OPERATOR).addErrback(lambda failure: errors.append(failure.value))
    waiters.reject("it ended", "it ended (exit code 1)")
    assert [(str(error), error.reason) for error in errors] == [("it ended (exit code 1)", "it ended")]


def test_the_server_is_started_for_players_first_and_then_for_the_first_observer(waiters: Waiters) -> None:
    dependency = Cause(CauseKind.dependency, detail="needed by app")
    assert not waiters
    waiters.add_observer(dependency).addErrback(ignore)
    waiters.add_observer(OPERATOR, ignore_lockout=True).addErrback(ignore)
    causes = [waiters.cause]
    waiters.add(ClientInfo("Alice")).addErrback(ignore)
    causes.append(waiters.cause)
    assert causes == [dependency, Cause(CauseKind.login, ClientInfo("Alice"))]
    waiters.reject("no")


def test_a_cancelled_waiter_is_removed(waiters: Waiters) -> None:
    player, observer = waiters.add(ClientInfo("Alice")), waiters.add_observer(OPERATOR)
    assert waiters
    player.cancel()
    observer.cancel()
    assert not waiters
    for waiter in (player, observer):
        waiter.addErrback(lambda failure: failure.trap(CancelledError))
    waiters.admit(join)


@pytest.mark.parametrize("admits", [True, False])
def test_a_waiter_that_another_one_cancels_is_passed_over(waiters: Waiters, admits: bool) -> None:
    first, second = waiters.add(ClientInfo("Alice")), waiters.add(ClientInfo("Bob"))
    second.addErrback(ignore)
    first.addBoth(lambda _: second.cancel())
    if admits:
        joined: list[str] = []

        def join_and_record(client: ClientInfo) -> Any:
            joined.append(client.name)

        waiters.admit(join_and_record)
        assert joined == ["Alice"]
    else:
        waiters.reject("gone")
    assert second.called


def test_each_change_of_the_number_is_reported_before_the_players_are_called() -> None:
    seen: list[int | str] = []
    counted = Waiters(lambda: seen.append(len(counted)))
    for _ in range(2):
        counted.add(ClientInfo("Alice")).addBoth(lambda _: seen.append("called"))
    counted.admit(join)
    counted.add(ClientInfo("Bob")).addBoth(lambda _: seen.append("called"))
    counted.reject("gone")
    counted.add(ClientInfo("Bob")).addErrback(ignore).cancel()
    assert seen == [1, 2, 0, "called", "called", 1, 0, "called", 1, 0]
