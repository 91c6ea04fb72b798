"""The record of a server's process, whole and damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zeroscale.process.record import ProcessRecord, StopProgress, load_record

RECORD = ProcessRecord(pid=4711, start_time=12, boot_id="b", argv=("java", "-jar", "server.jar"))


def test_a_record_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "process.json"
    for record in (
        RECORD,
        RECORD.with_ready("Done"),
        RECORD.with_stop(StopProgress.requested, 7),
        RECORD.with_stop(StopProgress.requested, 7).with_stop(StopProgress.sent, 8),
        RECORD.with_background({4712: 13, 4713: None}),
        ProcessRecord(2, None, None, ()),
    ):
        record.save(path)
        loaded = load_record(path)
        assert loaded is not None
        assert (
            loaded.pid,
            loaded.start_time,
            loaded.boot_id,
            list(loaded.argv),
            loaded.ready,
            loaded.stop,
            loaded.background,
        ) == (
            record.pid,
            record.start_time,
            record.boot_id,
            list(record.argv),
            record.ready,
            record.stop,
            record.background,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["process.json"]


def test_a_record_of_an_earlier_version_says_nothing_of_a_stop_or_of_the_background(tmp_path: Path) -> None:
    path = tmp_path / "process.json"
    path.write_text(
        json.dumps({"version": 1, "pid": 4711, "start_time": 12, "boot_id": "b", "argv": [], "ready": None})
    )
    loaded = load_record(path)
    assert loaded is not None
    assert loaded.stop is None
    assert loaded.background == {}


def test_no_record_is_no_news(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert load_record(tmp_path / "process.json") is None
    assert caplog.text == ""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"[" * 8000,
        b'{"version": 2}',
        b'{"version": 1}',
        json.dumps({"version": 1, "pid": 1, "start_time": 1, "boot_id": "b", "argv": [], "ready": None}).encode(),
        json.dumps({"version": 1, "pid": -5, "start_time": 1, "boot_id": "b", "argv": [], "ready": None}).encode(),
        json.dumps({"version": 1, "pid": "7", "start_time": 1, "boot_id": "b", "argv": [], "ready": None}).encode(),
        json.dumps({"version": 1, "pid": 7, "start_time": 1.5, "boot_id": "b", "argv": [], "ready": None}).encode(),
        json.dumps({"version": 1, "pid": 7, "start_time": 1, "boot_id": "b", "argv": [1], "ready": None}).encode(),
        json.dumps(
            {"version": 1, "pid": 7, "start_time": 1, "boot_id": "b", "argv": [], "ready": None, "stop": "soon"}
        ).encode(),
        *(
            json.dumps(
                {
                    "version": 1,
                    "pid": 7,
                    "start_time": 1,
                    "boot_id": "b",
                    "argv": [],
                    "ready": None,
                    "background": groups,
                }
            ).encode()
            for groups in (7, [7], [[1, 2]], [[7, "8"]], {"7": 8})
        ),
    ],
)
def test_a_damaged_record_is_none_and_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    path = tmp_path / "process.json"
    path.write_bytes(content)
    assert load_record(path) is None
    assert len(caplog.records) == 1
    assert str(path) in caplog.text
    assert path.with_name("process.json.damaged").read_bytes() == content
