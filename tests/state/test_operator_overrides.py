"""Operator overrides: their end, and restarts of the proxy."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from zeroscale.state.operator_overrides import LARGEST_FILE, OperatorOverrides
from zeroscale.system.background_file import FileWriter


class OverridesFixture:
    def __init__(self, directory: Path) -> None:
        self.now = 1_800_000_000.0
        self.directory = directory
        self.overrides = self.reopened()

    def reopened(self) -> OperatorOverrides:
        overrides = OperatorOverrides(self.directory, FileWriter(), lambda: self.now)
        overrides.open()
        return overrides


@pytest.fixture
def fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OverridesFixture]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield OverridesFixture(tmp_path)
    monkeypatch.undo()
    time.tzset()


def test_without_overrides(fixture: OverridesFixture) -> None:
    assert (fixture.overrides.keep_awake_reason(), fixture.overrides.lockout) == (None, None)
    fixture.overrides.release()
    fixture.overrides.close()
    assert list(fixture.directory.iterdir()) == []


def test_keep_awake_for_a_time_that_a_restart_does_not_reset(fixture: OverridesFixture) -> None:
    fixture.overrides.keep_awake(7200.0, "max")
    assert fixture.overrides.keep_awake_reason() == "kept awake by max until 10:00"
    fixture.overrides.close()
    fixture.now += 7199.0
    reopened = fixture.reopened()
    assert reopened.keep_awake_reason() == "kept awake by max until 10:00"
    fixture.now += 1.0
    assert reopened.keep_awake_reason() is None


def test_a_planned_stop_survives_a_restart(fixture: OverridesFixture) -> None:
    fixture.overrides.note_stop(fixture.now + 600.0, "max")
    fixture.overrides.close()
    reopened = fixture.reopened()
    assert (reopened.stop_at, reopened.stop_by) == (fixture.now + 600.0, "max")
    reopened.note_stop(None)
    reopened.close()
    assert (fixture.reopened().stop_at, fixture.reopened().stop_by) == (None, "")


def test_keep_awake_until_another_day(fixture: OverridesFixture) -> None:
    fixture.overrides.keep_awake(86400.0, "max")
    assert fixture.overrides.keep_awake_reason() == "kept awake by max until Sat 08:00"
    fixture.overrides.keep_awake(366 * 86400.0, "max")
    assert fixture.overrides.keep_awake_reason() == "kept awake by max until 2028-01-16 08:00"


def test_keep_awake_until_release(fixture: OverridesFixture) -> None:
    fixture.overrides.keep_awake(None, "max")
    fixture.now += 1e8
    assert fixture.overrides.keep_awake_reason() == "kept awake by max until it is released"
    fixture.overrides.release()
    assert fixture.overrides.keep_awake_reason() is None
    fixture.overrides.close()
    assert fixture.reopened().keep_awake_reason() is None


def test_that_it_was_put_to_sleep_is_kept_until_it_is_woken_or_released(fixture: OverridesFixture) -> None:
    assert fixture.overrides.slept_at is None
    fixture.overrides.note_sleep()
    fixture.overrides.close()
    reopened = fixture.reopened()
    assert reopened.slept_at == fixture.now
    reopened.note_wake()
    reopened.close()
    assert fixture.reopened().slept_at is None
    fixture.overrides.note_sleep()
    fixture.overrides.release()
    assert fixture.overrides.slept_at is None


def test_a_wake_of_a_server_that_was_not_put_to_sleep_is_not_written(fixture: OverridesFixture) -> None:
    fixture.overrides.note_wake()
    fixture.overrides.close()
    assert list(fixture.directory.iterdir()) == []


def test_a_file_of_an_earlier_version_names_no_operator(fixture: OverridesFixture) -> None:
    (fixture.directory / "operator.json").write_text('{"version":1,"awake_until":0.0,"lockout":"A backup."}')
    overrides = fixture.reopened()
    assert overrides.keep_awake_reason() == "kept awake by its operator until it is released"
    assert (overrides.lockout, overrides.lockout_by) == ("A backup.", "its operator")


def test_who_has_locked_it_out_survives_a_restart(fixture: OverridesFixture) -> None:
    fixture.overrides.lock_out("", "max")
    fixture.overrides.keep_awake(60.0, "x" * 1000)
    fixture.overrides.close()
    reopened = fixture.reopened()
    assert reopened.lockout_by == "max"
    assert reopened.keep_awake_reason() == f"kept awake by {'x' * 100} until 08:01"


def test_lock_out_with_a_text_and_without(fixture: OverridesFixture) -> None:
    fixture.overrides.lock_out("Back at eight.")
    fixture.overrides.keep_awake(60.0)
    assert fixture.overrides.lockout == "Back at eight."
    fixture.overrides.close()
    reopened = fixture.reopened()
    assert reopened.lockout == "Back at eight."
    reopened.lock_out("")
    assert reopened.lockout == ""
    reopened.close()


def test_release_ends_a_lockout(fixture: OverridesFixture) -> None:
    fixture.overrides.lock_out("Back at eight.")
    fixture.overrides.release()
    assert fixture.overrides.lockout is None
    fixture.overrides.close()
    assert fixture.reopened().lockout is None


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"lockout": 3}', b'{"awake_until": 1e300}', b"[]", b"[" * 8000, b"x" * (LARGEST_FILE + 1)]
)
def test_an_invalid_file_is_ignored_and_logged(
    fixture: OverridesFixture, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    (fixture.directory / "operator.json").write_bytes(content)
    assert fixture.reopened().lockout is None
    assert "keep-awake and lockout set by command are lost" in caplog.text
    assert (fixture.directory / "operator.json.damaged").read_bytes() == content


def test_each_change_is_reported(tmp_path: Path) -> None:
    seen: list[str | None] = []
    overrides = OperatorOverrides(tmp_path, FileWriter(), lambda: 0.0, lambda: seen.append(overrides.lockout))
    overrides.open()
    overrides.lock_out("A backup.")
    overrides.release()
    overrides.close()
    assert seen == [None, "A backup.", None]
