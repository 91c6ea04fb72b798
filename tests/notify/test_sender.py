"""The thread of one target: order, attempts, and what is logged of it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import wait_until
from webhooks import Answer, Receiver

from zeroscale.events import EVENTS, Ready
from zeroscale.notify.delivery import Delivery
from zeroscale.notify.http_url import parse_http_url
from zeroscale.notify.queue import LONGEST_AGE, MOST_WAITING, Waiting
from zeroscale.notify.sender import Sender
from zeroscale.notify.target import Target

DEADLINE = 30.0


class Harness:
    """A sender, as a notifier uses it."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.may_begin = True
        self.discarded: list[Path] = []
        self.sender: Sender | None = None

    def target(self, url: str) -> Target:
        return Target(name="hook", kind="url", url=parse_http_url(url), events=frozenset(EVENTS), timeout=20.0)

    def start(self, url: str) -> None:
        target = self.target(url)
        self.sender = Sender(target, Delivery(target), self.changed, lambda: self.may_begin, self.discarded.append)
        self.sender.start()

    def call(self, name: str, *arguments: object) -> None:
        with self.changed:
            getattr(self.sender, name)(*arguments)
            self.changed.notify_all()

    def add(self, *ids: str, at: float | None = None) -> None:
        moment = time.time() if at is None else at
        for each in ids:
            self.call("add", Waiting(each, Ready(server="a", at=moment, seconds=1.0), path=Path(each)))

    def close(self) -> None:
        if self.sender is not None:
            self.call("finish")
            self.sender.join(DEADLINE)


@pytest.fixture
def harness() -> Iterator[Harness]:
    harness = Harness()
    yield harness
    harness.close()


def test_in_order_and_their_files_are_discarded(harness: Harness) -> None:
    with Receiver() as receiver:
        harness.start(receiver.url)
        harness.add("1", "2", "3")
        assert [receiver.get().json["id"] for _ in range(3)] == ["1", "2", "3"]
        harness.close()
    assert harness.discarded == [Path("1"), Path("2"), Path("3")]


def test_one_that_fails_is_tried_again_before_the_others(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    soon = [("Retry-After", "0")]
    with Receiver(Answer(500, soon), Answer(503, soon)) as receiver:
        harness.start(receiver.url)
        harness.add("1", "2")
        assert [receiver.get().json["id"] for _ in range(4)] == ["1", "1", "1", "2"]
        harness.close()
    assert [record.getMessage() for record in caplog.records] == [
        "Notification hook is not delivered: HTTP 500; it is tried again",
        "Notification hook is delivered again",
    ]


def test_it_waits_as_long_as_the_receiver_says(harness: Harness) -> None:
    with Receiver(Answer(429, [("Retry-After", "1.3")])) as receiver:
        harness.start(receiver.url)
        harness.add("1")
        receiver.get()
        begin = time.monotonic()
        receiver.get()
    assert time.monotonic() - begin > 1.2


def test_a_final_refusal_drops_one_and_is_logged_once(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    with Receiver(Answer(404), Answer(404)) as receiver:
        harness.start(receiver.url)
        harness.add("1", "2", "3")
        assert [receiver.get().json["id"] for _ in range(3)] == ["1", "2", "3"]
        harness.close()
    assert [record.getMessage() for record in caplog.records] == [
        "Notification hook is dropped: HTTP 404",
        "Notification hook is delivered again; 2 were dropped",
    ]
    assert len(harness.discarded) == 3


def test_too_many_and_too_old_ones_are_dropped(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    harness.may_begin = False
    with Receiver() as receiver:
        harness.start(receiver.url)
        harness.add("old", at=time.time() - LONGEST_AGE - 1)
        wait_until(lambda: harness.discarded == [Path("old")], lambda: "")
        harness.add(*map(str, range(MOST_WAITING + 2)))
        assert receiver.requests.empty(), "what an earlier run has left comes first"
        harness.may_begin = True
        harness.call("restore", [])
        assert receiver.get().json["id"] == "2"
        harness.call("end")
    assert "Notification hook is dropped: too old" in caplog.messages
    assert sum("dropped" in message for message in caplog.messages) <= 2


def test_a_clock_that_is_set_forward_drops_nothing(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    with Receiver() as receiver:
        harness.may_begin = False
        harness.start(receiver.url)
        harness.add("before", at=real())
        monkeypatch.setattr(time, "time", lambda: real() + 365 * 86400)
        harness.add("after")
        harness.may_begin = True
        harness.call("restore", [])
        assert [receiver.get().json["id"] for _ in range(2)] == ["before", "after"]


def test_other_settings_are_used_at_once(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    with Receiver(Answer(503, [("Retry-After", "600")])) as broken, Receiver() as receiver:
        harness.start(broken.url)
        harness.add("1")
        broken.get()
        wait_until(lambda: caplog.records, lambda: "")
        target = harness.target(receiver.url)
        harness.call("reconfigure", target, Delivery(target))
        assert receiver.get().json["id"] == "1"


@pytest.mark.parametrize("status", [404, 503])
def test_an_attempt_with_the_former_settings_does_not_count(harness: Harness, status: int) -> None:
    may_answer = threading.Event()
    answer = Answer(status, [("Retry-After", "600")], wait_for=may_answer)
    with Receiver(answer) as broken, Receiver() as receiver:
        harness.start(broken.url)
        harness.add("1")
        broken.get()
        target = harness.target(receiver.url)
        harness.call("reconfigure", target, Delivery(target))
        may_answer.set()
        assert receiver.get().json["id"] == "1"


def test_it_ends_after_what_can_be_delivered_at_once(harness: Harness) -> None:
    with Receiver(Answer(), Answer(503)) as receiver:
        harness.start(receiver.url)
        with harness.changed:
            for each in ("1", "2", "3"):
                harness.add(each)
            harness.call("finish")
        assert harness.sender is not None
        harness.sender.join(DEADLINE)
        assert [receiver.get().json["id"] for _ in range(2)] == ["1", "2"]
        assert receiver.requests.empty()
    assert harness.discarded == [Path("1")]


def test_a_fault_of_ours_costs_one_notification(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[str] = []
    attempt = Delivery.attempt

    def faulty(self: Delivery, identifier: str, *arguments: Any) -> Any:
        attempts.append(identifier)
        if len(attempts) == 1:
            raise LookupError("a fault")
        return attempt(self, identifier, *arguments)

    monkeypatch.setattr(Delivery, "attempt", faulty)
    with Receiver() as receiver:
        harness.start(receiver.url)
        harness.add("1", "2")
        assert receiver.get().json["id"] == "2"
