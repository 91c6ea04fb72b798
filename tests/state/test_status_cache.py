"""A real status, kept and replayed; and anything else, bounded and ignored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroscale.state import status_cache as mirror
from zeroscale.state.status_cache import StatusCache, replayable

REAL = {
    "version": {"name": "Paper 1.21.4", "protocol": 769},
    "enforcesSecureChat": True,
    "description": {"text": "", "extra": [{"text": "A real", "color": "gold"}, "\nserver"]},
    "players": {"max": 40, "online": 2, "sample": [{"name": "Notch", "id": "069a79f4-44e9-4726-a5be-fca90e38aaf5"}]},
    "favicon": "data:image/png;base64,iVBORw0KGgo=",
    "forgeData": {"fmlNetworkVersion": 3, "mods": [], "d": "\u1234\u7fff"},
    "preventsChatReports": True,
    "somethingNew": [1, 2.5, None],
}
REPLAYED = REAL | {"players": {"max": 40, "online": 0}}


def stored(directory: Path, *statuses: Mapping[str, object]) -> StatusCache:
    """A mirror that has seen these, and has them on disk."""
    seen = StatusCache(directory, nothing)
    for status in statuses:
        seen.store(status)
        seen.flush()
    return seen


def nothing() -> None:
    return None


def test_nothing_is_shown_before_anything_is_known(tmp_path: Path) -> None:
    assert StatusCache(tmp_path, nothing).current is None


def test_the_fallback_until_the_first_time(tmp_path: Path) -> None:
    fallback = {"description": "from server.properties"}
    seen = StatusCache(tmp_path, lambda: fallback)
    assert seen.current is fallback
    seen.store(REAL)
    assert seen.current == REPLAYED
    seen.flush()
    assert StatusCache(tmp_path, lambda: fallback).current == REPLAYED


def test_a_real_status_is_kept_whole_but_for_its_players(tmp_path: Path) -> None:
    stored(tmp_path, REAL)
    assert StatusCache(tmp_path, nothing).current == REPLAYED
    assert b"Notch" not in (tmp_path / "status.json").read_bytes()


def test_what_is_shown_is_one_object_until_it_changes(tmp_path: Path) -> None:
    seen = StatusCache(tmp_path, nothing)
    seen.store(REAL)
    before = seen.current
    seen.store(json.loads(json.dumps(REAL)))
    assert seen.current is before
    seen.store(REAL | {"description": "new"})
    assert seen.current is not before


def test_an_unchanged_status_is_not_written_again(tmp_path: Path) -> None:
    seen = stored(tmp_path, REAL)
    (tmp_path / "status.json").unlink()
    seen.store(REAL | {"players": {"max": 40, "online": 7}})
    seen.flush()
    assert not (tmp_path / "status.json").exists()


def test_a_server_without_an_icon_has_that_of_its_directory(tmp_path: Path) -> None:
    fallback: dict[str, object] = {"description": "no", "favicon": "data:image/png;base64,AAAA"}
    seen = StatusCache(tmp_path, lambda: fallback)
    seen.store({"description": "yes"})
    shown = seen.current
    assert shown == {"description": "yes", "favicon": "data:image/png;base64,AAAA"}
    assert seen.current is shown
    fallback["favicon"] = "data:image/png;base64,BBBB"
    assert seen.current == {"description": "yes", "favicon": "data:image/png;base64,BBBB"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("version", "1.21"),
        ("version", {"name": "1.21"}),
        ("version", {"name": "1.21", "protocol": 1 << 40}),
        ("version", {"name": "x" * 1000, "protocol": 1}),
        ("description", 7),
        ("description", None),
        ("players", "many"),
        ("players", {"max": "many", "online": 0}),
        ("players", {"max": True, "online": 0}),
        ("favicon", "https://example.org/icon.png"),
        ("favicon", "data:image/png;base64," + "A" * 40000),
    ],
)
def test_a_known_key_of_another_shape_counts_as_absent(key: str, value: object) -> None:
    assert replayable(REAL | {key: value}) == {name: kept for name, kept in REPLAYED.items() if name != key}


DEEP: object = "x"
for _ in range(100):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (DEEP, "nested"),
        ("x" * mirror.LARGEST_STATUS, "at most 65536"),
        ("\ud800", "surrogates"),
        (float("nan"), "nan is no JSON"),
        (float("inf"), "inf is no JSON"),
        (b"bytes", "bytes is no JSON"),
    ],
)
def test_what_cannot_be_kept_costs_a_warning_and_leaves_the_last(
    tmp_path: Path, value: object, complaint: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen = StatusCache(tmp_path, nothing)
    seen.store(REAL)
    for _ in range(3):
        seen.store({"strange": value})
    assert seen.current == REPLAYED
    [warning] = caplog.records
    assert complaint in warning.getMessage()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"{}",
        json.dumps(REAL).encode(),
        json.dumps({"version": 2, "status": REAL}).encode(),
        json.dumps({"version": 1, "status": []}).encode(),
        json.dumps({"version": 1, "status": {"deep": DEEP}}).encode(),
        b'{"version": 1, "status": {"x": ' + b"[" * 10000,
        json.dumps({"version": 1, "status": {"long": "x" * 70000}}).encode(),
        b" " * 200000,
    ],
)
def test_a_damaged_file_is_ignored_with_a_warning_and_replaced(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "status.json").write_bytes(content)
    fallback = {"description": "fallback"}
    seen = StatusCache(tmp_path, lambda: fallback)
    assert seen.current is fallback
    assert seen.current is fallback
    [warning] = caplog.records
    assert "status.json is damaged" in warning.getMessage()
    seen.store(REAL)
    seen.flush()
    assert StatusCache(tmp_path, nothing).current == REPLAYED


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_any_content_at_all_is_survived(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    directory = tmp_path_factory.mktemp("state")
    (directory / "status.json").write_bytes(content)
    assert StatusCache(directory, nothing).current is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@settings(deadline=None, max_examples=30)  # each waits for the disk
@given(st.dictionaries(st.sampled_from(sorted(REAL)) | st.text(max_size=5), JSON, max_size=5))
def test_any_status_is_kept_as_it_is_read_again_or_not_at_all(
    tmp_path_factory: pytest.TempPathFactory, status: Mapping[str, object]
) -> None:
    directory = tmp_path_factory.mktemp("state")
    seen = stored(directory, status)
    assert StatusCache(directory, nothing).current == seen.current


def test_a_disk_that_refuses_costs_nothing_but_the_next_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    seen = stored(tmp_path / "missing", REAL, REAL | {"description": "new"})
    assert seen.current == REPLAYED | {"description": "new"}
    assert len(caplog.records) == 1
