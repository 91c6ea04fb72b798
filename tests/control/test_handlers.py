"""Commands of the control protocol, executed on a fake proxy and a fake clock."""

from __future__ import annotations

from typing import Any

import pytest
from control.fake_proxy import FakeProxy
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock

from zeroscale.control import protocol
from zeroscale.control.handlers import MAX_BACKLOG, Backlog, CommandHandler, TimedEvent
from zeroscale.control.protocol import RequestError
from zeroscale.errors import ControlError, ServerUnavailable
from zeroscale.reports import ProxyReport, ServerReport
from zeroscale.status import Status


class Harness:
    """A command handler for a fake proxy, and the events it sent.

    :ivar client_ready: fires when the client can take another event; None: it always can.
    """

    def __init__(self, *names: str) -> None:
        self.clock = Clock()
        self.proxy = FakeProxy(*names)
        self.events: list[Any] = []
        self.client_ready: Deferred[None] | None = None
        self.commands = CommandHandler(self.proxy, self.clock)

    def send(self, event: object) -> Deferred[None]:
        self.events.append(event)
        return succeed(None) if self.client_ready is None else self.client_ready

    def ask(self, request: protocol.AnyRequest) -> Deferred[Any]:
        return Deferred.fromCoroutine(self.commands.perform(request, self.send))

    def result(self, request: protocol.AnyRequest) -> Any:
        results: list[Any] = []
        asked = self.ask(request)
        asked.addCallback(results.append)
        if not results:
            raise self.failure(asked)
        return results[0]

    def failure(self, asked: Deferred[Any]) -> BaseException:
        failures: list[Any] = []
        asked.addErrback(failures.append)
        assert failures, "it did not fail"
        error: BaseException = failures[0].value
        return error


def head(**fields: Any) -> dict[str, Any]:
    return {"version": 1, "id": 1, **fields}


@pytest.mark.parametrize(
    ("request_", "asked"),
    [
        (protocol.WakeRequest(**head()), ["wake", "waits no more"]),
        (protocol.WakeRequest(**head(force=True)), ["wake by force"]),
        (protocol.SleepRequest(**head(server="a")), ["sleep"]),
        (protocol.SleepRequest(**head(now=True)), ["sleep now"]),
        (protocol.SleepRequest(**head(after=600.0)), ["stop in 600.0"]),
        (protocol.SleepRequest(**head(at="22:30")), ["stop at 22:30"]),
        (protocol.SleepRequest(**head(cancel=True)), ["cancel"]),
        (protocol.KeepAwakeRequest(**head(seconds=5.0)), ["keep awake 5.0"]),
        (protocol.KeepAwakeRequest(**head()), ["keep awake None"]),
        (protocol.ReleaseRequest(**head()), ["release"]),
        (protocol.LockoutRequest(**head(message="later")), ["lock out 'later'"]),
    ],
)
def test_commands_for_the_only_server(request_: protocol.AnyRequest, asked: list[str]) -> None:
    harness = Harness("a")
    report = harness.result(request_)
    assert harness.proxy.servers["a"].asked == asked
    assert isinstance(report, ServerReport) and report == harness.proxy.servers["a"].report()


def test_the_status_of_all_and_of_one() -> None:
    harness = Harness("a", "b")
    assert harness.result(protocol.StatusRequest(**head())) == harness.proxy.report()
    [only] = harness.result(protocol.StatusRequest(**head(server="b"))).servers
    assert only.name == "b"


def test_a_name_of_earlier_versions_is_understood() -> None:
    harness = Harness("a", "b")
    harness.proxy.servers["b"].former_name = "formerly"
    [only] = harness.result(protocol.StatusRequest(**head(server="formerly"))).servers
    assert only.name == "b"
    harness.result(protocol.ReleaseRequest(**head(server="formerly")))
    assert harness.proxy.servers["b"].asked == ["release"]
    watching = harness.ask(protocol.StatusRequest(**head(server="formerly", watch=True)))
    harness.clock.advance(0.2)
    harness.proxy.changed("b")
    assert len(harness.events) == 2
    watching.cancel()
    harness.failure(watching)


@pytest.mark.parametrize(
    ("names", "server", "code", "message"),
    [
        (["survival", "creative"], None, "which_server", "there are 2 servers: say which one: survival, creative"),
        ([], None, "which_server", "there is no server"),
        (["survival", "creative"], "survivel", "unknown_server", "no server 'survivel'; did you mean survival?"),
        (["survival"], "x", "unknown_server", "no server 'x'; there are: survival"),
        ([str(number) for number in range(30)], None, "which_server", "18, 19 and 10 more"),
    ],
)
def test_which_server(names: list[str], server: str | None, code: str, message: str) -> None:
    harness = Harness(*names)
    with pytest.raises(RequestError, match=message) as raised:
        harness.result(protocol.WakeRequest(**head(server=server)))
    assert raised.value.code == code


def test_a_command_that_is_impossible_now_is_an_error() -> None:
    harness = Harness("a")
    harness.proxy.servers["a"].refuses = "2 players are on it"
    for request in (
        protocol.SleepRequest(**head()),
        protocol.WakeRequest(**head()),
        protocol.ConsoleRequest(**head(line="x")),
    ):
        with pytest.raises(ControlError, match="2 players"):
            harness.result(request)


def test_the_console_answers() -> None:
    harness = Harness("a")
    assert harness.result(protocol.ConsoleRequest(**head(line="list"))) == {"server": "a", "answer": None}
    harness.proxy.servers["a"].answer = "There are 0 players"
    assert harness.result(protocol.ConsoleRequest(**head(line="list")))["answer"] == "There are 0 players"
    assert harness.proxy.servers["a"].asked == ["console list"] * 2


def test_a_reload_returns_the_changes() -> None:
    harness = Harness()
    harness.proxy.changes = ["survival: added"]
    assert harness.result(protocol.ReloadRequest(**head())) == {"changes": ["survival: added"]}


def test_a_test_of_notifications() -> None:
    harness = Harness()
    assert harness.result(protocol.NotifyRequest(**head(name="hook"))) == harness.proxy.tests
    assert harness.proxy.asked == [("notify", "hook")]


def test_a_watch_sends_changes_and_regular_reports() -> None:
    harness = Harness("a", "b")
    watching = harness.ask(protocol.StatusRequest(**head(server="a", watch=True)))
    assert len(harness.events) == 1
    harness.proxy.changed("b")
    harness.clock.advance(0.2)
    assert len(harness.events) == 1, "it watches a"
    harness.proxy.changed("a")
    assert len(harness.events) == 2
    harness.clock.pump([0.1, 0.9])
    assert len(harness.events) == 3
    assert all(isinstance(each, ProxyReport) and len(each.servers) == 1 for each in harness.events)
    watching.cancel()
    assert isinstance(harness.failure(watching), CancelledError)
    assert harness.proxy.observers == [] and harness.clock.getDelayedCalls() == []


def test_many_changes_become_a_few_reports() -> None:
    harness = Harness("a")
    watching = harness.ask(protocol.StatusRequest(**head(watch=True)))
    for _ in range(1000):
        harness.proxy.changed("a")
        harness.clock.advance(0.001)
    assert 9 <= len(harness.events) <= 12
    watching.cancel()
    harness.failure(watching)


def test_a_client_that_does_not_read_is_sent_no_more_reports() -> None:
    harness = Harness("a")
    harness.client_ready = Deferred()
    watching = harness.ask(protocol.StatusRequest(**head(watch=True)))
    harness.proxy.changed("a")
    harness.clock.pump([1.0] * 10)
    assert len(harness.events) == 1
    client_ready, harness.client_ready = harness.client_ready, None
    client_ready.callback(None)
    harness.clock.advance(0.2)
    assert len(harness.events) == 2
    watching.cancel()
    harness.failure(watching)


def test_a_watch_ends_when_its_server_is_removed() -> None:
    harness = Harness("a", "b")
    watching = harness.ask(protocol.StatusRequest(**head(server="a", watch=True)))
    del harness.proxy.servers["a"]
    harness.clock.pump([0.1, 1.0])
    assert isinstance(harness.failure(watching), RequestError)
    assert harness.proxy.observers == []


def test_waiting_for_a_wake() -> None:
    harness = Harness("a")
    server = harness.proxy.servers["a"]
    waiting = harness.ask(protocol.WakeRequest(**head(wait=True)))
    harness.clock.pump([0.1, 1.0])
    assert [each.status for each in harness.events] == [Status.starting] * 2
    server.status = Status.running
    server.ready.callback(None)
    harness.clock.advance(0.1)
    results: list[Any] = []
    waiting.addCallback(results.append)
    assert [each.status for each in results] == [Status.running]
    assert server.asked == ["wake"] and harness.proxy.observers == [] and harness.clock.getDelayedCalls() == []


def test_a_wake_that_fails() -> None:
    harness = Harness("a")
    waiting = harness.ask(protocol.WakeRequest(**head(wait=True)))
    harness.proxy.servers["a"].ready.errback(ServerUnavailable("it has crashed"))
    harness.clock.advance(0.1)
    error = harness.failure(waiting)
    assert isinstance(error, ServerUnavailable) and str(error) == "a: it has crashed"
    assert harness.proxy.observers == []


def test_a_forced_wake_waits_on_for_the_end_of_a_stop_and_may_fail() -> None:
    harness = Harness("a")
    harness.result(protocol.WakeRequest(**head(force=True)))
    harness.proxy.servers["a"].ready.errback(ServerUnavailable("it has crashed"))
    assert harness.proxy.servers["a"].asked == ["wake by force"]


@pytest.mark.parametrize("wait", [True, False])
def test_a_wake_of_a_server_that_is_kept_asleep(wait: bool) -> None:
    harness = Harness("a")
    harness.proxy.servers["a"].keeps_asleep = "it is locked"
    with pytest.raises(ControlError, match="it is locked"):
        harness.result(protocol.WakeRequest(**head(wait=wait)))
    assert harness.proxy.servers["a"].asked == []


@pytest.mark.parametrize("wait", [True, False])
def test_a_wake_that_fails_at_once(wait: bool) -> None:
    harness = Harness("a")
    harness.proxy.servers["a"].ready = fail(ServerUnavailable("its port is taken"))
    with pytest.raises(ServerUnavailable, match="taken"):
        harness.result(protocol.WakeRequest(**head(wait=wait)))


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_cancelling_a_wait_does_not_cancel_the_wake(seconds: float) -> None:
    harness = Harness("a")
    waiting = harness.ask(protocol.WakeRequest(**head(wait=True)))
    harness.clock.advance(seconds)
    waiting.cancel()
    assert isinstance(harness.failure(waiting), CancelledError)
    assert harness.proxy.servers["a"].asked == ["wake", "waits no more"]
    assert harness.proxy.observers == [] and harness.clock.getDelayedCalls() == []


def test_logs() -> None:
    assert Harness("a").result(protocol.LogsRequest(**head())) == {"lines": ["first", "second"], "skipped": 0}


def test_the_history_of_one_server_or_of_all() -> None:
    harness = Harness("b", "a")
    page = harness.result(protocol.HistoryRequest(**head(server="b", seconds=60.0, limit=5)))
    assert bytes(page) == b'{"entries":[]}'
    harness.result(protocol.HistoryRequest(**head(seconds=60.0, limit=5)))
    harness.result(protocol.StatsRequest(**head(seconds=9.0)))
    assert harness.proxy.asked == [
        ("history", ("b",), 60.0, 5),
        ("history", ("a", "b"), 60.0, 5),
        ("stats", ("a", "b"), 9.0),
    ]
    with pytest.raises(RequestError, match="there is no server 'c'"):
        harness.result(protocol.StatsRequest(**head(server="c", seconds=9.0)))


def test_following_logs() -> None:
    harness = Harness("a")
    server = harness.proxy.servers["a"]
    following = harness.ask(protocol.LogsRequest(**head(follow=True)))
    server.says("third")
    harness.client_ready = Deferred()
    server.says("fourth")
    server.says("fifth")
    server.says("sixth")
    client_ready, harness.client_ready = harness.client_ready, None
    client_ready.callback(None)
    assert [each["lines"] for each in harness.events] == [
        ["first", "second"],
        ["third"],
        ["fourth"],
        ["fifth", "sixth"],
    ]
    following.cancel()
    assert isinstance(harness.failure(following), CancelledError)
    assert server.subscribers == []


def test_a_backlog_is_bounded() -> None:
    backlog = Backlog()
    assert backlog.take() is None
    for _ in range(MAX_BACKLOG // 100):
        backlog.add("x" * 199)
    taken = backlog.take()
    assert taken is not None
    assert len(taken["lines"]) == MAX_BACKLOG // 200  # type: ignore[arg-type]
    assert taken["skipped"] == MAX_BACKLOG // 100 - MAX_BACKLOG // 200
    backlog.add("again")
    assert backlog.take() == {"lines": ["again"], "skipped": 0}


def test_an_event_that_was_set_before_the_wait_ends_it_once() -> None:
    clock = Clock()
    event = TimedEvent(clock)
    event.set()
    event.set()
    assert event.wait(1.0).called
    waiting = event.wait(1.0)
    assert not waiting.called
    clock.advance(1.0)
    assert waiting.called
