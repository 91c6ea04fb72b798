"""Notifications from the event to a real HTTP server: filters, the disk, reload, the end."""

from __future__ import annotations

import errno
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import wait_until
from webhooks import DEADLINE, Answer, Receiver

from zeroscale.errors import ConfigError
from zeroscale.events import EVENTS, Failed, Joined, Ready, ServerEvent
from zeroscale.notify.http_url import parse_http_url
from zeroscale.notify.notifier import Notifier
from zeroscale.notify.spool import DIRECTORY, Spool
from zeroscale.notify.target import DeliveryOutcome, Target
from zeroscale.status import ClientInfo
from zeroscale.system.files import write_atomically

GONE = "http://127.0.0.1:1/hook"
"""Where nobody listens."""


def target(url: str = GONE, name: str = "hook", **values: Any) -> Target:
    given = {"name": name, "kind": "url", "url": parse_http_url(url), "events": frozenset(EVENTS), "timeout": 20.0}
    return Target(**{**given, **values})


def ready(server: str = "a") -> Ready:
    return Ready(server=server, at=time.time(), seconds=1.0)


def files(directory: Path, name: str = "hook") -> list[Path]:
    return sorted((directory / DIRECTORY / name).glob("*.json"))


Make = Callable[..., Notifier]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Notifier] = []

    def make(*targets: Target) -> Notifier:
        notifier = Notifier(tmp_path)
        made.append(notifier)
        notifier.configure(targets)
        return notifier

    yield make
    for each in made:
        each.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("zeroscale-notify")]


def test_each_target_gets_what_it_wants(make: Make) -> None:
    with Receiver() as everything, Receiver() as some:
        notifier = make(
            target(everything.url, "everything"),
            target(some.url, "some", servers=frozenset({"a"}), events=frozenset({"joined"})),
        )
        for server in ("b", "a"):
            notifier.observe(ready(server))
            notifier.observe(Joined(server=server, at=time.time(), client=ClientInfo("Ada"), players=1))
        notifier.close()
        got = [everything.get().json for _ in range(4)]
        assert [(each["server"], each["event"]) for each in got] == [
            ("b", "ready"),
            ("b", "joined"),
            ("a", "ready"),
            ("a", "joined"),
        ]
        assert [some.get().json["server"], some.requests.qsize()] == ["a", 0]


def test_addresses_are_sent_only_where_that_is_configured(make: Make) -> None:
    with Receiver() as without, Receiver() as some:
        notifier = make(target(without.url, "without"), target(some.url, "some", addresses=True))
        notifier.observe(Joined(server="a", at=time.time(), client=ClientInfo("Ada", "203.0.113.7:1"), players=1))
        assert some.get().json["address"] == "203.0.113.7:1"
        assert b"203.0.113.7" not in without.get().body


def test_any_text_can_be_written_and_read_again(tmp_path: Path, make: Make) -> None:
    """A path that is not UTF-8 has surrogates, and the last output of a server may be long."""
    first = make(target())
    first.observe(Failed(server="a", at=time.time(), during="start", reason="no /srv/\udcff", detail="x" * 200_000))
    first.observe(ready("b"))
    first.close()
    assert len(files(tmp_path)) == 2
    with Receiver() as receiver:
        make(target(receiver.url)).close()
        assert receiver.get().json["reason"] == "no /srv/?"
        assert receiver.get().json["server"] == "b"


def test_a_fault_of_ours_costs_one_event(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def faulty(event: ServerEvent, *, addresses: bool) -> ServerEvent:
        if event.server == "a":
            raise KeyError
        return event

    monkeypatch.setattr("zeroscale.notify.notifier.sendable", faulty)
    with Receiver() as receiver:
        notifier = make(target(receiver.url))
        notifier.observe(ready("a"))
        notifier.observe(ready("b"))
        assert receiver.get().json["server"] == "b"
    assert "A fault in zeroscale itself: an event is lost" in caplog.text


def test_what_waits_is_delivered_by_the_next_run_in_order(tmp_path: Path, make: Make) -> None:
    first = make(target())
    for name in ("a", "b", "c"):
        first.observe(ready(name))
    first.close()
    assert len(files(tmp_path)) == 3
    with Receiver(Answer(), Answer(500)) as receiver:
        second = make(target(receiver.url))
        second.observe(ready("d"))
        got = [receiver.get().json for _ in range(5)]
        second.close()
    assert [each["server"] for each in got] == ["a", "b", "b", "c", "d"]
    assert got[1]["id"] == got[2]["id"]
    assert len({each["id"] for each in got}) == 4
    assert files(tmp_path) == []


def test_a_target_that_is_not_configured_any_more(tmp_path: Path, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    notifier = make(target(), target(name="other"))
    notifier.observe(ready())
    wait_until(lambda: files(tmp_path) and files(tmp_path, "other"), lambda: "")
    notifier.configure([target(name="other")])
    wait_until(lambda: not (tmp_path / DIRECTORY / "hook").exists(), lambda: "")
    assert "Notification hook is not configured any more: 1 are dropped" in caplog.messages
    notifier.close()
    make(target(name="third")).close()
    assert "Notification other is not configured any more: 1 are dropped" in caplog.messages
    assert not files(tmp_path, "other")


def test_one_that_comes_back_keeps_new_events_only(tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the disk was busy all the time."""
    begun, may_write = threading.Event(), threading.Event()

    def write_slowly(path: Path, content: bytes) -> None:
        begun.set()
        assert may_write.wait(DEADLINE)
        write_atomically(path, content)

    monkeypatch.setattr("zeroscale.notify.spool.write_atomically", write_slowly)
    with Receiver() as receiver:
        other = target(receiver.url, "other")
        notifier = make(target(), other)
        notifier.observe(ready("old"))
        assert begun.wait(DEADLINE)
        receiver.get()
        notifier.configure([other])
        notifier.configure([target(), other])
        notifier.observe(ready("new"))
        assert receiver.get().json["server"] == "new"
        may_write.set()
        notifier.close()
    [path] = files(tmp_path)
    assert b'"new"' in path.read_bytes()


def test_a_changed_target_keeps_what_waits(make: Make) -> None:
    notifier = make(target())
    notifier.observe(ready())
    with Receiver() as receiver:
        notifier.configure([target(receiver.url, texts={"ready": "up: {server}"})])
        assert receiver.get().json["text"] == "up: a"


def test_a_text_that_cannot_be_used_changes_nothing(make: Make) -> None:
    with Receiver() as receiver:
        notifier = make(target(receiver.url))
        with pytest.raises(ConfigError):
            notifier.configure([target(texts={"ready": "{moon}"})])
        notifier.observe(ready())
        receiver.get()


def test_a_test_does_not_wait_for_others(make: Make) -> None:
    outcomes: queue.SimpleQueue[DeliveryOutcome] = queue.SimpleQueue()
    with Receiver(Answer(503, [("Retry-After", "600")]), Answer(200), Answer(404)) as receiver:
        notifier = make(target(receiver.url))
        notifier.observe(ready())
        receiver.get()
        notifier.test("hook", outcomes.put)
        assert outcomes.get(timeout=DEADLINE) == DeliveryOutcome()
        assert receiver.get().json["event"] == "test"
        notifier.test("hook", outcomes.put)
        assert outcomes.get(timeout=DEADLINE) == DeliveryOutcome("HTTP 404", final=True)
        with pytest.raises(KeyError):
            notifier.test("moon", outcomes.put)


def test_a_full_disk_costs_a_warning(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    full = threading.Event()
    full.set()
    failures: queue.SimpleQueue[None] = queue.SimpleQueue()

    def write_if_there_is_room(path: Path, content: bytes) -> None:
        if full.is_set():
            failures.put(None)
            raise OSError(errno.ENOSPC, "No space left on device")
        write_atomically(path, content)

    monkeypatch.setattr("zeroscale.notify.spool.write_atomically", write_if_there_is_room)
    never = threading.Event()
    with Receiver(Answer(wait_for=never)) as receiver:
        notifier = make(target(receiver.url))
        notifier.observe(ready("a"))
        notifier.observe(ready("b"))
        failures.get(timeout=DEADLINE)
        full.clear()
        wait_until(lambda: len(files(tmp_path)) == 2, lambda: "")
        never.set()
        assert [receiver.get().json["server"] for _ in range(2)] == ["a", "b"]
    warnings = [message for message in caplog.messages if "written" in message or "memory" in message]
    assert warnings == [
        "Notifications that wait are kept in memory only: No space left on device",
        "Notifications that wait are written to the disk again",
    ]


def test_where_another_zeroscale_has_the_directory(
    tmp_path: Path, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    other = Spool(tmp_path)
    other.open()
    with Receiver() as receiver:
        notifier = make(target(receiver.url))
        notifier.observe(ready())
        receiver.get()
    other.close()
    assert sum("in memory only" in message for message in caplog.messages) == 1


def test_a_state_directory_that_cannot_be_made(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    with Receiver() as receiver:
        notifier = Notifier(tmp_path / "file" / "state")
        notifier.configure([target(receiver.url)])
        notifier.observe(ready())
        receiver.get()
        notifier.close()
    assert sum("in memory only" in message for message in caplog.messages) == 1


def test_the_end_waits_for_what_can_be_delivered(make: Make) -> None:
    with Receiver() as receiver:
        notifier = make(target(receiver.url))
        for _ in range(20):
            notifier.observe(ready())
        notifier.close()
        assert receiver.requests.qsize() == 20


def test_without_a_thread_nothing_is_lost(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def no_thread(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with Receiver() as receiver:
        monkeypatch.setattr(threading.Thread, "start", no_thread)
        notifier = make(target(receiver.url))
        notifier.observe(ready("a"))
        monkeypatch.setattr(threading.Thread, "start", start)
        notifier.observe(ready("b"))
        assert [receiver.get().json["server"] for _ in range(2)] == ["a", "b"]
