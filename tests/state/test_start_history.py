"""Start times and crashes of a server, with files in any state."""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.errors import StateError
from zeroscale.events import Cause, CauseKind, Stopped, Woken
from zeroscale.state import start_history
from zeroscale.state.last_events import CausedEvent, LastEvents
from zeroscale.state.start_history import StartHistory
from zeroscale.status import ClientInfo
from zeroscale.system.background_file import FileWriter
from zeroscale.system.privileges import Owner, acting_as


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state" / "survival"


def reopened(directory: Path) -> StartHistory:
    """Return the history as a later process reads it."""
    found = StartHistory(directory, FileWriter())
    found.open()
    found.close()
    return found


def test_without_a_start(directory: Path) -> None:
    fresh = StartHistory(directory, FileWriter())
    fresh.open()
    assert (fresh.estimate, fresh.crashes, fresh.reason, fresh.player_protocol) == (None, 0, None, None)
    assert directory.stat().st_mode & 0o777 == 0o700
    fresh.close()


def test_the_estimate_is_the_median_across_restarts(directory: Path) -> None:
    first = StartHistory(directory, FileWriter())
    first.open()
    for seconds in (300.0, 40.0, 42.0):
        first.record_start(seconds)
    assert first.estimate == 42.0
    first.close()
    assert reopened(directory).estimate == 42.0


def test_old_starts_are_dropped(directory: Path) -> None:
    first = StartHistory(directory, FileWriter())
    first.open()
    first.record_start(1000.0)
    for _ in range(start_history.STARTS_KEPT):
        first.record_start(10.0)
    first.close()
    assert json.loads((directory / "record.json").read_bytes())["starts"] == [10.0] * start_history.STARTS_KEPT


def test_crashes_are_counted_across_starts_and_restarts(directory: Path) -> None:
    first = StartHistory(directory, FileWriter())
    first.open()
    assert first.record_crash("it ended with exit code 1") == 1
    assert first.record_crash("it ended with exit code 2") == 2
    first.close()
    second = reopened(directory)
    assert (second.crashes, second.reason) == (2, "it ended with exit code 2")
    second.open()
    second.record_start(3.0)
    second.close()
    third = reopened(directory)
    assert (third.crashes, third.reason, third.estimate) == (2, "it ended with exit code 2", 3.0)


def test_clearing_crashes_leaves_the_starts(directory: Path) -> None:
    first = StartHistory(directory, FileWriter())
    first.open()
    first.record_start(3.0)
    first.record_crash("why")
    first.clear_crashes()
    first.close()
    second = reopened(directory)
    assert (second.crashes, second.reason, second.estimate) == (0, None, 3.0)


def test_the_last_players_protocol_number_is_kept_whatever_else_is_recorded(directory: Path) -> None:
    first = StartHistory(directory, FileWriter())
    first.open()
    first.record_player(47)
    first.record_player(758)
    first.record_start(3.0)
    first.record_crash("why")
    first.clear_crashes()
    assert first.player_protocol == 758
    first.close()
    assert reopened(directory).player_protocol == 758


def test_the_same_protocol_number_is_not_written_again(directory: Path) -> None:
    first = StartHistory(directory, FileWriter())
    first.open()
    first.record_player(758)
    first.close()
    (directory / "record.json").unlink()
    second = StartHistory(directory, FileWriter())
    second.open()
    second.record_player(758)
    second.close()
    before = (directory / "record.json").stat().st_mtime_ns
    second.open()
    second.record_player(758)
    second.close()
    assert (directory / "record.json").stat().st_mtime_ns == before


def test_any_reason_can_be_stored(directory: Path) -> None:
    first = StartHistory(directory, FileWriter())
    first.open()
    first.record_crash("\ud800" + "x" * 10000)
    first.close()
    kept = reopened(directory)
    assert kept.crashes == 1
    assert kept.reason == "?" + "x" * (start_history.LONGEST_REASON - 1)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 100,
        b"not JSON",
        b"[]",
        b'{"version": 1',
        b'{"version": 2, "starts": [1.0]}',
        b'{"version": "1"}',
        b'{"version": 1, "starts": [-1]}',
        b'{"version": 1, "starts": "many"}',
        b'{"version": 1, "starts": [1e99]}',
        b'{"version": 1, "crashes": -1}',
        b'{"version": 1, "reason": "\xff"}',
        b'{"x":' + b"[" * 10000,
        b" " * (start_history.LARGEST_FILE + 1),
    ],
)
def test_a_damaged_file_is_renamed_and_logged_once(
    directory: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    directory.mkdir(parents=True)
    (directory / "record.json").write_bytes(content)
    (directory / "record.json.damaged").write_bytes(b"an earlier one")
    found = StartHistory(directory, FileWriter())
    found.open()
    assert (found.estimate, found.crashes) == (None, 0)
    [warning] = caplog.records
    assert warning.levelno == logging.WARNING
    assert "record.json is damaged" in warning.getMessage()
    assert (directory / "record.json.damaged").read_bytes() == content
    found.record_start(5.0)
    found.close()
    assert reopened(directory).estimate == 5.0


@given(st.binary(max_size=200))
def test_any_file_content_is_accepted_or_ignored(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    directory = tmp_path_factory.mktemp("state")
    (directory / "record.json").write_bytes(content)
    assert reopened(directory).estimate is None


def test_what_was_written_into_a_removed_directory_is_there_after_a_restart(directory: Path) -> None:
    first = StartHistory(directory, FileWriter())
    first.open()
    shutil.rmtree(directory.parent)
    assert first.lock_error() is None
    assert directory.stat().st_mode & 0o777 == 0o700
    with pytest.raises(StateError, match="another server of this zeroscale"):
        StartHistory(directory, FileWriter()).open()
    shutil.rmtree(directory)
    first.record_start(7.0)
    first.close()
    assert reopened(directory).estimate == 7.0


def test_another_zeroscale_that_used_the_removed_directory_is_a_reason_not_to_start(directory: Path) -> None:
    first, second = StartHistory(directory, FileWriter()), StartHistory(directory, FileWriter())
    first.open()
    shutil.rmtree(directory)
    second.open()
    assert str(first.lock_error()).startswith("another server of this zeroscale holds")
    second.close()
    first.close()


def test_nothing_is_written_after_close(directory: Path) -> None:
    first = StartHistory(directory, FileWriter())
    first.open()
    first.close()
    first.record_start(7.0)
    first.close()
    assert not (directory / "record.json").exists()


def test_a_second_proxy_for_the_same_server_is_refused(directory: Path) -> None:
    first = StartHistory(directory, FileWriter())
    first.open()
    with pytest.raises(StateError, match=f"zeroscale holds {directory / 'lock'}"):
        StartHistory(directory, FileWriter()).open()
    first.close()
    reopened(directory)


def test_a_second_proxy_for_the_same_world_is_refused(tmp_path: Path) -> None:
    world = tmp_path / "world"
    world.mkdir()
    first = StartHistory(tmp_path / "one", FileWriter(), world)
    first.open()
    second = StartHistory(tmp_path / "two", FileWriter(), world)
    with pytest.raises(StateError, match=r"\.zeroscale\.lock"):
        second.open()
    first.close()
    second.open()
    second.close()
    assert list(world.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to act as another user")
def test_a_lock_of_another_user_in_the_world_prevents_only_this_server(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Who can write to one world must not keep the servers of all others from starting with the next zeroscale."""
    for each in (tmp_path, *tmp_path.parents[:-2]):
        each.chmod(0o755)
    for name, mode in (("state", 0o777), ("world", 0o1777)):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(mode)
    lock = tmp_path / "world" / ".zeroscale.lock"
    lock.touch(mode=0o600)
    with acting_as(Owner(65534, 65534)):
        history = StartHistory(tmp_path / "state" / "mc", FileWriter(), tmp_path / "world")
        history.open()
        assert f"cannot use the lock {lock}, which belongs to user root" in caplog.text
        assert f"cannot use the lock {lock}, which belongs to user root" in str(history.lock_error())
        os.seteuid(0)
        lock.unlink()
        os.seteuid(65534)
        assert history.lock_error() is None
        assert lock.exists()
        history.close()


def test_a_world_that_cannot_be_locked_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = StartHistory(tmp_path / "state", FileWriter(), tmp_path / "missing")
    first.open()
    first.record_start(1.0)
    first.close()
    [warning] = caplog.records
    assert "second zeroscale" in warning.getMessage()


def test_an_unusable_state_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StateError, match="--state-directory"):
        StartHistory(tmp_path / "file" / "survival", FileWriter()).open()


def test_each_change_of_the_estimate_is_reported(directory: Path) -> None:
    earlier = StartHistory(directory, FileWriter())
    earlier.open()
    earlier.record_start(10.0)
    earlier.close()
    seen: list[float | None] = []
    history = StartHistory(directory, FileWriter(), changed=lambda: seen.append(history.estimate))
    history.open()
    history.record_start(20.0)
    history.record_start(30.0)
    history.close()
    assert seen == [10.0, 15.0, 20.0]


def test_the_last_wake_and_stop_survive_a_restart(directory: Path) -> None:
    first = StartHistory(directory, FileWriter())
    first.open()
    first.record_event(Woken(server="a", at=10.0, cause=Cause(CauseKind.login, ClientInfo("Ada", "203.0.113.7:4321"))))
    first.record_event(Stopped(server="a", at=20.0, cause=Cause(CauseKind.operator, operator="max")))
    first.close()
    assert b"203.0.113.7" not in (directory / "record.json").read_bytes()
    last = reopened(directory).last_events
    assert last.wake == CausedEvent(at=10.0, kind="login", player="Ada")
    assert last.stop == CausedEvent(at=20.0, kind="operator", operator="max")


def test_a_file_of_an_earlier_version_has_no_last_events(directory: Path) -> None:
    directory.mkdir(parents=True)
    (directory / "record.json").write_text('{"version":1,"starts":[40.0],"crashes":0,"reason":null}')
    assert (reopened(directory).estimate, reopened(directory).last_events) == (40.0, LastEvents())
