"""The snapshot of a server: kept while nothing changes, and never older than a change."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from lifecycle.harness import OPERATOR, PLAYER, LifecycleHarness
from msgspec.structs import fields, replace

from zeroscale.lifecycle.idle_policy import IdlePolicy
from zeroscale.lifecycle.server_view import LOOK_EVERY
from zeroscale.status import PlayerSign, ServerSnapshot, Status


def with_estimate(harness: LifecycleHarness) -> None:
    harness.start_history.estimate = 20.0
    harness.lifecycle.look_again()


def with_cached_status(harness: LifecycleHarness) -> None:
    harness.status_cache.current = {"description": "real"}
    harness.lifecycle.look_again()


def failed(harness: LifecycleHarness) -> None:
    harness.plugin.exit(1)


def stuck(harness: LifecycleHarness) -> None:
    harness.lifecycle.sleep(OPERATOR)
    harness.lifecycle.view  # noqa: B018 - it is kept
    harness.clock.pump([150.0] * 2)


def entered_later(harness: LifecycleHarness) -> None:
    harness.clock.rightNow += 5.0  # nothing is due
    harness.lifecycle.sleep(OPERATOR)


def locked(harness: LifecycleHarness) -> None:
    harness.lockout = "a backup"


CHANGES: dict[str, tuple[Status, Callable[[LifecycleHarness], object], object]] = {
    "status": (Status.stopped, lambda harness: harness.lifecycle.wake(PLAYER), Status.starting),
    "since": (Status.running, entered_later, 5.0),
    "estimate": (Status.stopped, with_estimate, 20.0),
    "reason": (Status.running, failed, "it ended while it ran"),
    "detail": (Status.running, failed, "it ended while it ran (exit code 1: an error)"),
    "retry_at": (Status.running, failed, 0.0),
    "stop_timed_out": (Status.running, stuck, True),
    "lockout": (Status.stopped, locked, "a backup"),
    "waiting": (Status.starting, lambda harness: harness.wait_to_join(), 1),
    "players": (Status.running, lambda harness: harness.join(), 1),
    "cached_status": (Status.stopped, with_cached_status, {"description": "real"}),
}
"""For each field: the status before, the change, and the value after it."""


def test_each_field_has_a_test() -> None:
    assert {"name", *CHANGES} == {field.name for field in fields(ServerSnapshot)}


@pytest.mark.parametrize("field", CHANGES)
def test_a_change_is_seen_at_once(field: str) -> None:
    status, change, expected = CHANGES[field]
    harness = LifecycleHarness().in_state(status)
    before = harness.lifecycle.view
    assert getattr(before, field) != expected
    change(harness)
    after = harness.lifecycle.view
    assert getattr(after, field) == expected
    assert harness.lifecycle.view is after
    assert getattr(before, field) != expected, "a snapshot does not change"


@pytest.mark.parametrize("end", ["cancelled", "admitted", "rejected"])
def test_a_player_who_does_not_wait_any_more_is_not_counted(end: str) -> None:
    harness = LifecycleHarness().in_state(Status.starting)
    waiting = harness.lifecycle.admit().addErrback(lambda failure: failure.getErrorMessage())
    seen: list[int] = []
    waiting.addCallback(lambda _: seen.append(harness.lifecycle.view.waiting))
    assert harness.lifecycle.view.waiting == 1
    match end:
        case "cancelled":
            waiting.cancel()
        case "admitted":
            harness.become_ready()
        case "rejected":
            harness.plugin.exit(1)
    assert harness.lifecycle.view.waiting == 0
    assert seen == [0], "and neither is it while it is called"


def test_a_player_who_has_left_is_not_counted() -> None:
    harness = LifecycleHarness().running()
    session = harness.join()
    assert harness.lifecycle.view.players == 1
    session.end()
    assert harness.lifecycle.view.players == 0


def test_players_of_a_server_that_has_exited_are_not_counted() -> None:
    harness = LifecycleHarness().running()
    harness.join()
    assert harness.lifecycle.view.players == 1
    harness.plugin.exit(0)
    assert harness.lifecycle.view.players == 0


def test_another_plugins_lockout_and_status_are_seen_at_once() -> None:
    harness = LifecycleHarness().running()
    other = replace(harness.dependencies, lockout=lambda: "its own")
    assert harness.lifecycle.view.lockout is None
    seen: list[str | None] = []
    harness.lifecycle.replace_dependencies(other, lambda: seen.append(harness.lifecycle.view.lockout))
    assert harness.lifecycle.view.status is Status.running
    harness.plugin.exit(0)
    assert [*seen, harness.lifecycle.view.lockout] == ["its own", "its own"]


@pytest.mark.parametrize(("before", "after"), [(None, "a backup"), ("a backup", None)])
def test_a_flag_file_takes_effect_within_a_second(before: str | None, after: str | None) -> None:
    harness = LifecycleHarness()
    harness.flag_file = before
    first = harness.lifecycle.view
    assert first.lockout == before
    harness.flag_file = after
    harness.clock.advance(LOOK_EVERY - 0.1)
    assert harness.lifecycle.view is first
    harness.clock.advance(0.1)
    harness.lifecycle.wake(PLAYER)
    assert harness.status() is (Status.starting if after is None else Status.stopped)
    assert harness.lifecycle.view.lockout == after


def test_a_flag_file_takes_effect_at_once_when_the_status_changes() -> None:
    harness = LifecycleHarness().stopping()
    outcome = harness.wait_to_join()
    assert harness.lifecycle.view.lockout is None
    harness.flag_file = "a backup"
    harness.plugin.exit(0)
    assert (outcome, harness.status()) == (["a backup"], Status.stopped)


def test_nothing_is_looked_at_while_nobody_asks_and_once_a_second_while_everybody_does() -> None:
    harness = LifecycleHarness()
    first = harness.lifecycle.view
    harness.looks = 0
    harness.clock.advance(3600.0)
    assert (harness.looks, harness.clock.getDelayedCalls()) == (0, [])
    for _ in range(100):
        harness.clock.advance(0.1)
        assert harness.lifecycle.view is first
    assert harness.looks == 10


def test_sessions_and_waiting_players_do_not_make_files_be_looked_at() -> None:
    harness = LifecycleHarness().running()
    harness.lifecycle.view  # noqa: B018 - it is kept
    harness.looks = 0
    for _ in range(100):
        assert harness.lifecycle.view.players == 0
        session = harness.join()
        assert harness.lifecycle.view.players == 1
        session.end()
    assert harness.looks == 0


def test_the_first_bytes_of_a_player_are_seen_within_a_second() -> None:
    harness = LifecycleHarness().running()
    policy = IdlePolicy(60.0, player_sign=PlayerSign.server_bytes)
    harness.lifecycle.apply_policy(replace(harness.policy, idle=policy))
    session = harness.join()
    harness.lifecycle.view  # noqa: B018 - it is kept
    session.moved = lambda: (100, 5000)
    harness.clock.advance(LOOK_EVERY)
    assert harness.lifecycle.view.players == 1
    session.end()
    assert harness.lifecycle.view.players == 0
