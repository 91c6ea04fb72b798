"""The last wake and the last stop."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.events import Cause, CauseKind, Failed, Joined, Ready, ServerEvent, Stopped, Stopping, Woken
from zeroscale.state.last_events import CausedEvent, LastEvents
from zeroscale.status import ClientInfo

ADA = ClientInfo("Ada", "203.0.113.7:4321")
WOKEN = Woken(server="survival", at=100.0, cause=Cause(CauseKind.login, ADA))
IDLE = Cause(CauseKind.idle, detail="no players for 15 min")


def test_a_wake_and_a_stop() -> None:
    last = LastEvents().after(WOKEN)
    assert last == LastEvents(wake=CausedEvent(at=100.0, kind="login", player="Ada"))
    last = last.after(Stopping(server="survival", at=200.0, cause=IDLE))
    assert last.stop == CausedEvent(at=200.0, kind="idle", detail="no players for 15 min")
    last = last.after(Stopped(server="survival", at=210.0, cause=IDLE, seconds=10.0))
    assert last.stop == CausedEvent(at=210.0, kind="idle", detail="no players for 15 min")
    assert last.wake == CausedEvent(at=100.0, kind="login", player="Ada")


def test_an_operator_pauses_and_resumes() -> None:
    by_max = Cause(CauseKind.operator, operator="max")
    last = LastEvents().after(Stopping(server="survival", at=1.0, cause=by_max, pause=True))
    last = last.after(Woken(server="survival", at=2.0, cause=by_max, resumed=True))
    assert last.stop == CausedEvent(at=1.0, kind="operator", operator="max", pause=True)
    assert last.wake == CausedEvent(at=2.0, kind="operator", operator="max", pause=True)


@pytest.mark.parametrize("during", ["run", "stop"])
def test_a_crash_is_a_stop(during: str) -> None:
    failed = Failed(server="survival", at=3.0, during=during, reason="it crashed", detail="exit code 1\noutput")
    assert LastEvents().after(failed).stop == CausedEvent(at=3.0, kind="failed", detail="it crashed")


@pytest.mark.parametrize(
    "event",
    [
        Failed(server="survival", at=3.0, during="start", reason="eula.txt", detail="eula.txt: eula=false"),
        Ready(server="survival", at=3.0, seconds=1.0),
        Joined(server="survival", at=3.0, client=ADA, players=1),
    ],
)
def test_other_events_change_nothing(event: ServerEvent) -> None:
    last = LastEvents().after(WOKEN)
    assert last.after(event) is last


@given(st.text(), st.text(), st.text())
def test_whatever_it_is_called_it_can_be_written_and_read_again(name: str, operator: str, detail: str) -> None:
    cause = Cause(CauseKind.operator, ClientInfo(name * 50, "203.0.113.7:1"), operator * 50, detail * 50)
    last = LastEvents().after(Woken(server="survival", at=1.0, cause=cause))
    content = msgspec.json.encode(last)
    assert msgspec.json.decode(content, type=LastEvents) == last
    assert len(content) < 6 * 600 + 200


def test_an_address_is_not_kept() -> None:
    assert b"203.0.113.7" not in msgspec.json.encode(LastEvents().after(WOKEN))


def test_a_lone_surrogate_can_be_written() -> None:
    cause = Cause(CauseKind.login, ClientInfo("\ud800"))
    msgspec.json.encode(LastEvents().after(Woken(server="survival", at=1.0, cause=cause)))
