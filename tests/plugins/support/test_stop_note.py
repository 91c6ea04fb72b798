"""Notes of stops that the next zeroscale continues."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from pathlib import Path

import pytest
from plugins.process_fixture import until

from zeroscale.errors import PluginError
from zeroscale.plugins.support import stop_note
from zeroscale.plugins.support.stop_note import BELIEVED_FOR, StopNote
from zeroscale.process.record import StopProgress


class Clock:
    """A clock that is set by hand, for all zeroscales of one boot.

    :ivar now: its reading, in seconds.
    """

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def files(directory: Path) -> dict[str, int]:
    """Return the modes of the files in a directory."""
    return {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}


async def test_the_note_of_a_stop_is_there_before_it_is_requested_and_gone_after_it(tmp_path: Path) -> None:
    note, following = StopNote(tmp_path), StopNote(tmp_path)
    assert following.find("run 1") is None
    with note.kept("run 1"):
        assert following.find("run 1") is StopProgress.requested
        note.mark_sent()
        assert following.find("run 1") is StopProgress.sent
        assert files(tmp_path) == {"stop.json": 0o600}
    assert following.find("run 1") is None
    assert files(tmp_path) == {}


async def test_a_stop_that_is_continued_keeps_its_progress(tmp_path: Path) -> None:
    with StopNote(tmp_path).kept("run 1", StopProgress.sent):
        assert StopNote(tmp_path).find("run 1") is StopProgress.sent


async def test_the_note_of_an_earlier_run_is_not_believed_and_removed(tmp_path: Path) -> None:
    with StopNote(tmp_path).kept("run 1"):
        assert StopNote(tmp_path).find("run 2") is None
        assert StopNote(tmp_path).find("run 1") is None
        assert files(tmp_path) == {}


async def test_a_failed_stop_leaves_no_note(tmp_path: Path) -> None:
    with pytest.raises(PluginError), StopNote(tmp_path).kept("run 1"):
        raise PluginError("the stop command failed")
    assert StopNote(tmp_path).find("run 1") is None


async def test_a_plugin_that_is_closed_during_a_stop_leaves_the_note_to_the_next_one(tmp_path: Path) -> None:
    note = StopNote(tmp_path)
    with pytest.raises(PluginError), note.kept("run 1"):
        note.leave()
        raise PluginError("the connection is closed")
    assert StopNote(tmp_path).find("run 1") is StopProgress.requested


async def test_a_stop_that_is_cancelled_leaves_the_note(tmp_path: Path) -> None:
    with pytest.raises(asyncio.CancelledError), StopNote(tmp_path).kept("run 1"):
        raise asyncio.CancelledError
    assert StopNote(tmp_path).find("run 1") is StopProgress.requested


@pytest.mark.parametrize("run", [None, "run 1"])
@pytest.mark.parametrize(("seconds", "believed"), [(0.0, True), (BELIEVED_FOR, True), (BELIEVED_FOR + 1, False)])
async def test_a_server_that_may_not_have_been_asked_is_stopped_only_a_short_time_later(
    tmp_path: Path, clock: Clock, run: str | None, seconds: float, believed: bool
) -> None:
    """It may be in use again."""
    with StopNote(tmp_path, clock=clock).kept(run):
        clock.now += seconds
        assert (StopNote(tmp_path, clock=clock).find(run) is not None) is believed


async def test_a_run_that_was_asked_is_stopping_however_long_ago_that_was(tmp_path: Path, clock: Clock) -> None:
    with StopNote(tmp_path, clock=clock).kept("run 1", StopProgress.sent):
        clock.now += 86400.0
        assert StopNote(tmp_path, clock=clock).find("run 1") is StopProgress.sent


async def test_a_note_without_a_run_is_not_believed_after_a_reboot(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StopNote(tmp_path, clock=clock).kept(None):
        monkeypatch.setattr(stop_note, "boot_id", lambda: "another boot")
        assert StopNote(tmp_path, clock=clock).find(None) is None


async def test_a_note_without_a_run_is_not_believed_where_the_boot_is_unknown(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop_note, "boot_id", lambda: None)
    with StopNote(tmp_path, clock=clock).kept(None):
        assert StopNote(tmp_path, clock=clock).find(None) is None


async def test_a_note_without_a_run_ages_while_the_machine_is_suspended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suspended = 0.0
    now = time.clock_gettime

    def clock_gettime(clock: int) -> float:
        return now(clock) + (suspended if clock == time.CLOCK_BOOTTIME else 0.0)

    monkeypatch.setattr(time, "clock_gettime", clock_gettime)
    with StopNote(tmp_path).kept(None):
        assert StopNote(tmp_path).find(None) is StopProgress.requested
        suspended = 8 * 3600.0
        assert StopNote(tmp_path).find(None) is None


@pytest.mark.parametrize("run", [None, "run 1"])
async def test_a_note_about_another_server_is_not_believed_and_removed(tmp_path: Path, run: str | None) -> None:
    """As after a change of the configuration."""
    with StopNote(tmp_path, ["stop", "a"]).kept(run):
        assert StopNote(tmp_path, ["stop", "a"]).find(run) is StopProgress.requested
        assert StopNote(tmp_path, ["stop", "b"]).find(run) is None
        assert files(tmp_path) == {}


async def test_a_note_about_a_server_with_a_long_command_line_is_found(tmp_path: Path) -> None:
    words = ["x" * 100_000, "\udcff"]
    with StopNote(tmp_path, words).kept(None):
        assert StopNote(tmp_path, words).find(None) is StopProgress.requested


@pytest.mark.parametrize("run", [None, "run 1"])
async def test_a_note_is_confirmed_as_long_as_the_stop_lasts(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, run: str | None
) -> None:
    monkeypatch.setattr(stop_note, "CONFIRM_INTERVAL", 0.01)
    with StopNote(tmp_path, clock=clock).kept(run):
        written = (tmp_path / "stop.json").read_bytes()
        clock.now += 3600.0
        await until(lambda: (tmp_path / "stop.json").read_bytes() != written)
        assert StopNote(tmp_path, clock=clock).find(run) is StopProgress.requested
    assert files(tmp_path) == {}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[" * 8000,
        b" " * 5000,
        b'{"version": 2}',
        b'{"version": 1, "subject": "s", "run": 7, "progress": "sent", "boot_id": null, "written": 1}',
        b'{"version": 1, "subject": "s", "run": "r", "progress": "soon", "boot_id": null, "written": 1}',
        b'{"version": 1, "subject": "s", "run": "r", "progress": "sent", "boot_id": null, "written": "now"}',
        "directory",
        "FIFO",
        "symlink",
    ],
)
async def test_a_damaged_note_costs_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes | str
) -> None:
    path = tmp_path / "stop.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "directory":
        path.mkdir()
    elif content == "FIFO":
        os.mkfifo(path)
    else:
        path.symlink_to("/etc/passwd")
    assert StopNote(tmp_path).find("r") is None
    assert StopNote(tmp_path).find("r") is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "a stop that was begun before is not continued" in caplog.text
    with StopNote(tmp_path).kept("r"):
        assert StopNote(tmp_path).find("r") is StopProgress.requested


async def test_a_stop_goes_on_though_it_cannot_be_written_down(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop_note, "CONFIRM_INTERVAL", 0.0)
    writes = 0

    def full(path: Path, content: bytes, *, sync: bool) -> None:
        nonlocal writes
        writes += 1
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stop_note, "write_atomically", full)
    with StopNote(tmp_path).kept(None):
        await until(lambda: writes >= 3)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "No space left on device" in caplog.text


async def test_a_note_that_is_not_there_need_not_be_removed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the file system has become read-only, unlink(2) says EROFS even of a name that is missing."""

    def unlink(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "unlink", unlink)
    StopNote(tmp_path).remove()
    assert caplog.text == ""
    (tmp_path / "stop.json").touch()
    StopNote(tmp_path).remove()
    assert "Read-only file system" in caplog.text


async def test_a_note_that_cannot_be_removed_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "stop.json").mkdir()
    StopNote(tmp_path).remove()
    assert "the next zeroscale may stop the server once more" in caplog.text
