"""Operator overrides: their end, and restarts of the proxy."""

from __future__ import annotations

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
def fixture(tmp_path: Path) -> OverridesFixture:
    return OverridesFixture(tmp_path)


def test_without_overrides(fixture: OverridesFixture) -> None:
    assert (fixture.overrides.keep_awake_reason(), fixture.overrides.lockout) == (None, None)
    fixture.overrides.release()
    fixture.overrides.close()
    assert list(fixture.directory.iterdir()) == []


def test_keep_awake_for_a_time_that_a_restart_does_not_reset(fixture: OverridesFixture) -> None:
    fixture.overrides.keep_awake(7200.0)
    assert fixture.overrides.keep_awake_reason() == "its operator keeps it awake for another 2.0 h"
    fixture.overrides.close()
    fixture.now += 7000.0
    reopened = fixture.reopened()
    assert reopened.keep_awake_reason() == "its operator keeps it awake for another 3 min"
    fixture.now += 170.0
    assert reopened.keep_awake_reason() == "its operator keeps it awake for another 30 s"
    fixture.now += 30.0
    assert reopened.keep_awake_reason() is None


def test_keep_awake_until_release(fixture: OverridesFixture) -> None:
    fixture.overrides.keep_awake(None)
    fixture.now += 1e8
    assert fixture.overrides.keep_awake_reason() == "its operator keeps it awake"
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


@pytest.mark.parametrize("content", [b"", b"{", b'{"lockout": 3}', b"[]", b"[" * 8000, b"x" * (LARGEST_FILE + 1)])
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
