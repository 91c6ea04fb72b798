"""Why a server does not sleep."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from lifecycle.harness import OPERATOR, LifecycleHarness
from msgspec.structs import replace
from twisted.internet.defer import Deferred, succeed

from zeroscale.errors import BackendError
from zeroscale.events import Cause, CauseKind
from zeroscale.lifecycle.awake_reasons import AwakeFacts, BusyAnswer, IdleFacts, awake_reasons
from zeroscale.lifecycle.idle_monitor import PlayerSession
from zeroscale.lifecycle.idle_policy import IdlePolicy, SessionCounts
from zeroscale.status import ClientInfo, ProbeResult, Status

NOW = 10_000.0
POLICY = IdlePolicy(900.0, minimum_online=60.0, minimum_unvisited=120.0)
LONG_AGO = SessionCounts(ready_at=0.0, players=0, quiet_since=0.0, grace_until=0.0, visited=True)


def reasons(status: Status = Status.running, idle: dict[str, Any] | None = None, **facts: Any) -> list[str]:
    """Return the texts for a server without players whose times are all over, with these changes.

    :param idle: changes of `IdleFacts`, or of the `SessionCounts` in it.
    """
    changes = dict(idle or {})
    names = SessionCounts.__struct_fields__
    counts = replace(LONG_AGO, **{name: changes.pop(name) for name in list(changes) if name in names})
    all_facts = AwakeFacts(status=status, now=NOW, idle=IdleFacts(counts=counts, policy=POLICY, **changes), **facts)
    return [reason.text for reason in awake_reasons(all_facts)]


def cause(kind: CauseKind, name: str = "", operator: str = "", detail: str = "") -> Cause:
    return Cause(kind, ClientInfo(name, "203.0.113.7:4321"), operator, detail)


@pytest.mark.parametrize("status", [Status.stopped, Status.stopping, Status.paused, Status.failed])
def test_one_that_sleeps(status: Status) -> None:
    assert reasons(status, keep_awake="kept awake by max until 22:00", idle={"players": 1}) == []


@pytest.mark.parametrize(
    ("waiting", "woken", "text"),
    [
        (("Ada",), None, "starting for Ada"),
        (("Ada", "Bob"), cause(CauseKind.login, "Ada"), "starting for Ada, Bob"),
        (("A", "B", "C", "D", "E", "F", "G"), None, "starting for A, B, C, D, E and 2 more"),
        (("", "Ada"), None, "starting for Ada and 1 more"),
        (("",), None, "starting for a client"),
        (("", ""), None, "starting for 2 clients"),
        (("Bob",), cause(CauseKind.operator, operator="max"), "starting for Bob"),
        ((), cause(CauseKind.login, "Ada"), "starting for Ada"),
        ((), cause(CauseKind.connection), "starting for a client"),
        ((), cause(CauseKind.operator, operator="max"), "starting for operator max"),
        ((), cause(CauseKind.operator), "starting for its operator"),
        (
            (),
            cause(CauseKind.schedule, detail="schedule Mon-Fri 16:00-22:00"),
            "starting: schedule Mon-Fri 16:00-22:00",
        ),
        ((), cause(CauseKind.restart, detail="restart 0 5 * * *"), "restarting: restart 0 5 * * *"),
        ((), cause(CauseKind.restart), "restarting"),
        ((), cause(CauseKind.dependency, detail="needed by app"), "starting: needed by app"),
        ((), cause(CauseKind.found), "starting: another program has resumed it"),
        ((), None, "it was found running, and does not answer yet"),
    ],
)
def test_one_that_starts(waiting: tuple[str, ...], woken: Cause | None, text: str) -> None:
    found = reasons(Status.starting, waiting=waiting, woken=woken, keep_awake="kept awake by max until 22:00")
    assert found == [text], "nothing else keeps it from sleeping now"


def test_one_that_waits_for_what_it_needs() -> None:
    found = reasons(Status.starting, waiting=("Ada",), waits_for=("db", "cache"))
    assert found == ["starting for Ada; it waits for db, cache"]


def test_one_that_others_need_has_no_idle_time() -> None:
    idle, schedule = {"quiet_since": NOW - 10.0}, "schedule daily 16:00-22:00"
    assert reasons(idle=idle, needed_by=("app", "api")) == ["needed by app, api"]
    assert reasons(idle=idle, needed_by=("app",), schedule=schedule) == ["needed by app", schedule]


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (("Ada",), "1 player: Ada"),
        (("Ada", "Bob"), "2 players: Ada, Bob"),
        (("A", "B", "C", "D", "E", "F"), "6 players: A, B, C, D, E and 1 more"),
        (("Ada", ""), "2 players: Ada and 1 more"),
        (("Ada, Bob", "\x1b[2J"), r"2 players: 'Ada, Bob', '\x1b[2J'"),
        (("",), "a connection"),
        (("", "", ""), "3 connections"),
    ],
)
def test_players(names: tuple[str, ...], text: str) -> None:
    counts = replace(LONG_AGO, players=len(names))
    facts = AwakeFacts(status=Status.running, now=NOW, idle=IdleFacts(counts=counts, policy=POLICY, players=names))
    assert [reason.text for reason in awake_reasons(facts)] == [text]


@pytest.mark.parametrize(
    ("facts", "idle", "texts"),
    [
        ({}, {}, ["it is asked for players now"]),
        ({}, {"is_asked": True, "grace_until": NOW + 5}, ["it is asked for players now"]),
        ({"keep_awake": "kept awake by max until 22:00"}, {}, ["kept awake by max until 22:00"]),
        ({"schedule": "schedule Mon-Fri 16:00-22:00"}, {}, ["schedule Mon-Fri 16:00-22:00"]),
        ({}, {"quiet_since": NOW - 600.0}, ["idle time, 5 min left"]),
        ({}, {"ready_at": NOW - 20.0}, ["minimum time, 40 s left"]),
        (
            {},
            {"ready_at": NOW - 20.0, "visited": False, "quiet_since": NOW - 20.0},
            [
                "idle time, 14 min 40 s left",
                "minimum time until a player comes, 1 min 40 s left",
                "minimum time, 40 s left",
            ],
        ),
        ({}, {"grace_until": NOW + 12.0}, ["it is asked for players in 12 s"]),
        ({}, {"probation_until": NOW + 12.0}, ["it is asked for players in 12 s"]),
        ({}, {"candidates": ("",), "probation_until": NOW + 12.0}, ["a connection that may be a player's, 12 s left"]),
        (
            {},
            {"candidates": ("Ada",), "probation_until": NOW + 12.0},
            ["a connection that may be a player's (Ada), 12 s left"],
        ),
        (
            {},
            {"candidates": ("Ada", "", ""), "probation_until": NOW + 12.0},
            ["3 connections that may be players' (Ada and 2 more), 12 s left"],
        ),
        ({}, {"candidates": ("Ada",), "probation_until": NOW - 12.0}, ["it is asked for players now"]),
        (
            {"busy": BusyAnswer("players that zeroscale does not relay: 2", NOW - 10)},
            {"grace_until": NOW + 290.0},
            ["players that zeroscale does not relay: 2", "it is asked for players in 4 min 50 s"],
        ),
        (
            {"busy": BusyAnswer("it does not say who is on (no answer)", NOW - 10)},
            {"quiet_since": NOW - 5.0},
            ["idle time, 14 min 55 s left"],
        ),
        (
            {
                "keep_awake": "kept awake by max",
                "schedule": "schedule Mon-Fri 16:00-22:00",
                "busy": BusyAnswer("it is busy", NOW - 10),
            },
            {"candidates": ("",), "probation_until": NOW + 30.0, "ready_at": NOW - 20.0, "quiet_since": NOW - 20.0},
            [
                "kept awake by max",
                "schedule Mon-Fri 16:00-22:00",
                "it is busy",
                "idle time, 14 min 40 s left",
                "minimum time, 40 s left",
                "a connection that may be a player's, 30 s left",
            ],
        ),
    ],
)
def test_one_without_players(facts: dict[str, Any], idle: dict[str, Any], texts: list[str]) -> None:
    assert reasons(idle=idle, **facts) == texts


def test_players_count_before_all_else() -> None:
    counts = replace(LONG_AGO, players=1, ready_at=NOW)
    idle = IdleFacts(counts=counts, policy=POLICY, players=("Ada",), candidates=("Bob",), probation_until=NOW + 99.0)
    facts = AwakeFacts(
        status=Status.running, now=NOW, keep_awake="kept awake by max", busy=BusyAnswer("it is busy", NOW), idle=idle
    )
    found = awake_reasons(facts)
    assert [(reason.kind.value, reason.text, reason.seconds) for reason in found] == [
        ("players", "1 player: Ada", None),
        ("kept_awake", "kept awake by max", None),
        ("connection", "a connection that may be a player's (Bob), 1 min 39 s left", 99.0),
        ("minimum_time", "minimum time, 1 min left", 60.0),
    ]


def texts(harness: LifecycleHarness) -> list[str]:
    return [reason.text for reason in harness.lifecycle.awake_reasons]


def test_of_a_whole_lifecycle() -> None:
    harness = LifecycleHarness()
    assert texts(harness) == []
    harness.lifecycle.wake(OPERATOR)
    assert texts(harness) == ["starting for operator max"]
    [waiting] = [harness.lifecycle.admit(ClientInfo("Bob"))]
    assert texts(harness) == ["starting for Bob"]
    sessions: list[PlayerSession] = []
    waiting.addCallback(sessions.append)
    harness.become_ready()
    assert texts(harness) == ["1 player: Bob"]
    harness.keep_awake_reason = "kept awake by max until 22:00"
    harness.clock.advance(30.0)
    sessions[0].end()
    assert texts(harness) == ["kept awake by max until 22:00", "idle time, 1 min left"]
    harness.clock.advance(60.0)
    assert texts(harness) == ["kept awake by max until 22:00", "it is asked for players in 1 min"]
    harness.keep_awake_reason = None
    harness.probe.answer = ProbeResult({"description": "real"}, 2)
    harness.clock.advance(60.0)
    assert texts(harness) == ["players that zeroscale does not relay: 2", "it is asked for players in 1 min"]
    harness.probe.answer = BackendError("no answer")
    harness.clock.pump([60.0, 30.0])
    assert texts(harness)[0] == "it does not say who is on (no answer)"
    harness.probe.answer = ProbeResult({"description": "real"}, 0)
    session = harness.join()
    harness.clock.advance(30.0)
    session.end()
    assert texts(harness) == ["idle time, 1 min left"], "it was asked before"
    harness.probe.slow = True
    harness.clock.advance(60.0)
    assert texts(harness) == ["it is asked for players now"]
    harness.probe.questions[0].callback(ProbeResult({"description": "real"}, 0))
    assert texts(harness) == []


def test_only_its_players_keep_a_retired_server() -> None:
    harness = LifecycleHarness().running()
    harness.keep_awake_reason = "kept awake by max until 22:00"
    session = harness.join()
    harness.lifecycle.retire()
    assert texts(harness) == ["a connection"]
    session.end()


@pytest.mark.parametrize("keeps", ["busy", "schedule"])
def test_every_reason_can_be_sent(keeps: str) -> None:
    """The reasons of a configuration are marked as expected, by a type that a message cannot have."""
    harness = LifecycleHarness().running()
    if keeps == "busy":
        harness.busy = lambda: succeed("busy: a backup")
    else:
        harness.schedule_reason = lambda: "busy: a backup"
    harness.clock.advance(60.0)
    sent = msgspec.json.decode(msgspec.json.encode(harness.lifecycle.awake_reasons))
    assert [each["text"] for each in sent] == ["busy: a backup", "it is asked for players in 1 min"]


def test_one_that_was_found_running() -> None:
    harness = LifecycleHarness(opened=False)
    harness.plugin.adoptable = True
    Deferred.fromCoroutine(harness.lifecycle.open())
    assert texts(harness) == ["it was found running, and does not answer yet"]
