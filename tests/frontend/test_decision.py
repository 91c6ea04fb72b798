"""What is decided about a client, over every status of its server."""

from __future__ import annotations

import pytest

from zeroscale.frontend.decision import (
    AnswerPing,
    AnswerStatus,
    ClientEvent,
    Decision,
    HoldDecision,
    JoinPolicy,
    PassStatus,
    Refusal,
    RefuseDecision,
    RelayDecision,
    Wait,
    decide,
    may_retry,
    would_wake,
)
from zeroscale.protocols.conversation import (
    ClientRecognised,
    Connected,
    LoginRequested,
    PingRequested,
    StatusRequested,
)
from zeroscale.status import ServerSnapshot, Status

NOW = 1000.0
HOLDING = JoinPolicy(holds=True, hold_limit=300.0)
KICKING = JoinPolicy(holds=False, hold_limit=300.0)
ANSWERING = JoinPolicy(holds=True, hold_limit=300.0, wake_on_answer=True)
STATUS = StatusRequested(protocol=769, host="play.example.org", port=25565)


def login(max_hold: float | None = None) -> LoginRequested:
    """A player of some version."""
    return LoginRequested(
        protocol=769, host="play.example.org", port=25565, name="Steve", uuid=None, transfer=False, max_hold=max_hold
    )


def view(
    status: Status, retry_at: float | None = None, *, stop_timed_out: bool = False, lockout: str | None = None
) -> ServerSnapshot:
    """A server."""
    return ServerSnapshot(
        name="survival", status=status, since=0.0, retry_at=retry_at, stop_timed_out=stop_timed_out, lockout=lockout
    )


@pytest.mark.parametrize("status", Status)
def test_a_status_is_the_servers_own_while_it_runs(status: Status) -> None:
    expected = PassStatus() if status is Status.running else AnswerStatus()
    assert decide(STATUS, view(status), HOLDING, NOW) == expected


@pytest.mark.parametrize("status", Status)
def test_we_answer_pings(status: Status) -> None:
    assert decide(PingRequested(), view(status), HOLDING, NOW) == AnswerPing()


@pytest.mark.parametrize("status", Status)
def test_a_connection_is_relayed_before_its_first_byte_unless_it_may_be_a_health_check(status: Status) -> None:
    relayed = RelayDecision() if status is Status.running else Wait()
    assert decide(Connected(), view(status), HOLDING, NOW) == relayed
    assert decide(Connected(may_be_check=True), view(status), HOLDING, NOW) == Wait()


@pytest.mark.parametrize("question", [STATUS, PingRequested()])
@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("policy", [KICKING, ANSWERING])
def test_no_ping_ever_wakes(question: ClientEvent, status: Status, policy: JoinPolicy) -> None:
    assert not isinstance(
        decide(question, view(status, NOW), policy, NOW), RelayDecision | HoldDecision | RefuseDecision
    )


@pytest.mark.parametrize("client", [login(), login(0.0), login(27.0), ClientRecognised()])
@pytest.mark.parametrize("policy", [HOLDING, KICKING, ANSWERING])
def test_a_client_is_relayed_while_the_server_runs(client: ClientEvent, policy: JoinPolicy) -> None:
    assert decide(client, view(Status.running), policy, NOW) == RelayDecision()


@pytest.mark.parametrize("status", [Status.stopped, Status.starting, Status.stopping, Status.paused])
@pytest.mark.parametrize(
    ("client", "policy", "expected"),
    [
        (login(), HOLDING, HoldDecision(300.0)),
        (login(27.0), HOLDING, HoldDecision(27.0)),
        (login(400.0), HOLDING, HoldDecision(300.0)),
        (ClientRecognised(), HOLDING, HoldDecision(300.0)),
        (login(0.0), HOLDING, RefuseDecision(wakes=True)),
        (login(), KICKING, RefuseDecision(wakes=True)),
        (ClientRecognised(), KICKING, RefuseDecision(wakes=True)),
        (login(), ANSWERING, HoldDecision(300.0, once_answered=True)),
        (login(27.0), ANSWERING, HoldDecision(27.0)),
        (login(0.0), ANSWERING, RefuseDecision(wakes=True)),
        (ClientRecognised(), ANSWERING, HoldDecision(300.0)),
        (login(), JoinPolicy(False, 300.0, True), RefuseDecision(wakes=True, once_answered=True)),
        (login(27.0), JoinPolicy(False, 300.0, True), RefuseDecision(wakes=True)),
    ],
)
def test_a_client_while_the_server_does_not_run(
    status: Status, client: ClientEvent, policy: JoinPolicy, expected: Decision
) -> None:
    assert decide(client, view(status), policy, NOW) == expected


def test_a_server_that_does_not_stop_is_wanted_again_but_not_waited_for() -> None:
    stuck = view(Status.stopping, stop_timed_out=True)
    assert decide(login(), stuck, HOLDING, NOW) == RefuseDecision(wakes=True)
    assert decide(login(), stuck, ANSWERING, NOW) == RefuseDecision(wakes=True, once_answered=True)


@pytest.mark.parametrize(("retry_at", "again"), [(None, False), (NOW + 0.1, False), (NOW, True), (NOW - 100, True)])
def test_a_failed_server_is_tried_again_when_it_may_be(retry_at: float | None, again: bool) -> None:
    failed = view(Status.failed, retry_at)
    assert may_retry(failed, NOW) is again
    assert decide(login(), failed, HOLDING, NOW) == (HoldDecision(300.0) if again else RefuseDecision(wakes=False))
    assert decide(ClientRecognised(), failed, KICKING, NOW) == RefuseDecision(wakes=again)


@pytest.mark.parametrize("status", Status)
def test_a_lockout_refuses_all_clients(status: Status) -> None:
    held_down = view(status, lockout="a backup")
    assert decide(login(), held_down, HOLDING, NOW) == RefuseDecision(wakes=False, reason="lockout")
    assert not would_wake(held_down, NOW)


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("lockout", [None, "a backup"])
def test_a_verdict_decides_whatever_the_server_does(status: Status, lockout: str | None) -> None:
    verdict = Refusal("banned", "in banned-players.json", "You are banned")
    expected = RefuseDecision(wakes=False, reason="banned", refusal=verdict)
    assert decide(login(), view(status, lockout=lockout), HOLDING, NOW, verdict) == expected
    assert decide(ClientRecognised(), view(status, NOW, lockout=lockout), ANSWERING, NOW, verdict) == expected


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("retry_at", [None, NOW, NOW + 1])
@pytest.mark.parametrize("lockout", [None, "a backup"])
def test_would_wake_agrees_with_the_decision(status: Status, retry_at: float | None, lockout: str | None) -> None:
    asleep = view(status, retry_at, lockout=lockout)
    wakes = decide(login(), asleep, KICKING, NOW) == RefuseDecision(wakes=True)
    assert would_wake(asleep, NOW) is (wakes and status is not Status.starting)


@pytest.mark.parametrize("status", Status)
def test_a_client_of_a_port_that_does_not_wake_is_relayed_to_a_running_server_only(status: Status) -> None:
    policy = JoinPolicy(holds=True, hold_limit=300.0, wakes=False)
    expected = RelayDecision() if status is Status.running else RefuseDecision(wakes=False)
    for event in (Connected(), ClientRecognised(), login()):
        assert decide(event, view(status, retry_at=0.0), policy, NOW) == expected
    assert decide(Connected(may_be_check=True), view(status), policy, NOW) == Wait()


@pytest.mark.parametrize("status", Status)
def test_where_a_refusal_is_a_reply_it_waits_for_the_request(status: Status) -> None:
    policy = JoinPolicy(holds=True, hold_limit=300.0, wakes=False, explains=True)
    is_running = status is Status.running
    assert decide(Connected(), view(status), policy, NOW) == (RelayDecision() if is_running else Wait())
    expected = RelayDecision() if is_running else RefuseDecision(wakes=False)
    assert decide(ClientRecognised(), view(status, retry_at=0.0), policy, NOW) == expected


def test_a_lockout_is_not_for_clients_that_are_no_players() -> None:
    policy = JoinPolicy(holds=True, hold_limit=300.0, wakes=False, for_players=False)
    locked_out = ServerSnapshot(name="survival", status=Status.running, since=0.0, lockout="a backup")
    assert decide(ClientRecognised(), locked_out, policy, NOW) == RelayDecision()
    assert decide(ClientRecognised(), locked_out, HOLDING, NOW) == RefuseDecision(wakes=False, reason="lockout")
