"""Storing and replaying a status, and refusing invalid ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroscale.protocols.minecraft import client
from zeroscale.state import status_cache
from zeroscale.state.status_cache import StatusCache, replayable
from zeroscale.system.background_file import FileWriter

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
    """Return a cache with these statuses stored one after the other."""
    seen = StatusCache(directory, FileWriter(), no_fallback)
    for status in statuses:
        seen.store(status)
        seen.flush()
    return seen


def no_fallback() -> None:
    return None


def test_without_a_status_and_fallback(tmp_path: Path) -> None:
    assert StatusCache(tmp_path, FileWriter(), no_fallback).current is None


def test_the_fallback_until_the_first_status(tmp_path: Path) -> None:
    fallback = {"description": "from server.properties"}
    seen = StatusCache(tmp_path, FileWriter(), lambda: fallback)
    assert seen.current is fallback
    seen.store(REAL)
    assert seen.current == REPLAYED
    seen.flush()
    assert StatusCache(tmp_path, FileWriter(), lambda: fallback).current == REPLAYED


def test_a_status_is_stored_without_its_players(tmp_path: Path) -> None:
    stored(tmp_path, REAL)
    assert StatusCache(tmp_path, FileWriter(), no_fallback).current == REPLAYED
    assert b"Notch" not in (tmp_path / "status.json").read_bytes()


def test_current_is_the_same_object_until_it_changes(tmp_path: Path) -> None:
    seen = StatusCache(tmp_path, FileWriter(), no_fallback)
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


def test_a_status_without_an_icon_gets_the_one_of_the_fallback(tmp_path: Path) -> None:
    fallback: dict[str, object] = {"description": "no", "favicon": "data:image/png;base64,AAAA"}
    seen = StatusCache(tmp_path, FileWriter(), lambda: fallback)
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
def test_an_invalid_known_key_is_left_out(key: str, value: object) -> None:
    assert replayable(REAL | {key: value}) == {name: kept for name, kept in REPLAYED.items() if name != key}


DEEP: object = "x"
for _ in range(100):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (DEEP, "nested"),
        ("x" * status_cache.LARGEST_STATUS, "where the whole may have 262144"),
        ("\ud800", "half of a surrogate pair"),
        ({"\udfff": 1}, "half of a surrogate pair"),
        (float("nan"), "nan is not JSON"),
        (float("inf"), "inf is not JSON"),
        (b"bytes", "bytes is not JSON"),
    ],
)
@pytest.mark.parametrize("key", ["strange", "forgeData", "description"])
def test_a_part_that_cannot_be_kept_costs_that_part_and_one_warning(
    tmp_path: Path, key: str, value: object, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    if key == "description":
        value = {"text": value}
    seen = StatusCache(tmp_path, FileWriter(), no_fallback)
    for _ in range(3):
        seen.store({**REAL, key: value})
    assert seen.current == {name: kept for name, kept in REPLAYED.items() if name != key}
    [warning] = caplog.records
    assert message in warning.getMessage()
    assert f"'{key}'" in warning.getMessage()
    seen.flush()
    assert StatusCache(tmp_path, FileWriter(), no_fallback).current == seen.current


def test_the_largest_parts_of_a_status_that_is_too_large_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    part = "x" * (status_cache.LARGEST_STATUS // 4)
    seen = stored(tmp_path, REAL | {"forgeData": part * 2, "modinfo": part * 3, "other": part})
    assert seen.current == REPLAYED | {"forgeData": part * 2, "other": part}
    assert "'modinfo'" in caplog.text
    assert "'other'" not in caplog.text


def test_a_status_of_many_keys_has_a_short_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    seen = stored(tmp_path, REAL | {f"{number:08}": "x" * 50 for number in range(4500)})
    assert seen.current is not None
    assert len(seen.current) < 4500
    [warning] = caplog.records
    assert warning.getMessage().endswith(" more")
    assert len(warning.getMessage()) < 2000


def test_as_much_as_the_client_takes_of_a_server_is_kept(tmp_path: Path) -> None:
    assert status_cache.LARGEST_STATUS == client.LARGEST_STATUS
    forge = {"d": "x" * 200_000}
    stored(tmp_path, REAL | {"forgeData": forge})
    assert StatusCache(tmp_path, FileWriter(), no_fallback).current == REPLAYED | {"forgeData": forge}


def test_a_status_without_a_version_keeps_the_last_one(tmp_path: Path) -> None:
    echo = {"description": "new", "players": {"max": 7, "online": 1}}
    stored(tmp_path, REAL)
    seen = stored(tmp_path, echo)  # of the next process, which has not read the file yet
    expected = {"description": "new", "players": {"max": 7, "online": 0}, "version": REAL["version"]}
    assert seen.current == expected
    assert StatusCache(tmp_path, FileWriter(), no_fallback).current == expected


def test_a_kept_version_counts_towards_the_bound(tmp_path: Path) -> None:
    filled = {"description": "new", "forgeData": "x" * (status_cache.LARGEST_STATUS - 60)}
    seen = stored(tmp_path, REAL, filled)
    assert seen.current is not None
    assert "version" in seen.current
    assert StatusCache(tmp_path, FileWriter(), no_fallback).current == seen.current


@pytest.mark.parametrize("version", [None, "1.21", {"name": "1.21"}])
def test_an_invalid_version_is_not_kept(tmp_path: Path, version: object) -> None:
    seen = stored(tmp_path, REAL, {"description": "new", "version": version})
    assert seen.current == {"description": "new"}


def test_a_document_that_is_no_status_leaves_the_last(tmp_path: Path) -> None:
    seen = stored(tmp_path, REAL, {"text": "Outdated client"}, {"description": float("nan")})
    assert seen.current == REPLAYED


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
        json.dumps({"version": 1, "status": {"long": "x" * status_cache.LARGEST_STATUS}}).encode(),
        b" " * 2 * status_cache.LARGEST_STATUS + b"  ",
    ],
)
def test_a_damaged_file_is_ignored_with_a_warning_and_replaced(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "status.json").write_bytes(content)
    fallback = {"description": "fallback"}
    seen = StatusCache(tmp_path, FileWriter(), lambda: fallback)
    assert seen.current is fallback
    assert seen.current is fallback
    [warning] = caplog.records
    assert "status.json is damaged" in warning.getMessage()
    seen.store(REAL)
    seen.flush()
    assert StatusCache(tmp_path, FileWriter(), no_fallback).current == REPLAYED


@given(st.binary(max_size=100))
def test_any_file_content_is_accepted_or_ignored(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    directory = tmp_path_factory.mktemp("state")
    (directory / "status.json").write_bytes(content)
    assert StatusCache(directory, FileWriter(), no_fallback).current is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=30)  # each waits for the disk
@given(st.dictionaries(st.sampled_from(sorted(REAL)) | st.text(max_size=5), JSON, max_size=5))
def test_any_status_is_stored_as_it_is_read_again_or_refused(
    tmp_path_factory: pytest.TempPathFactory, status: Mapping[str, object]
) -> None:
    directory = tmp_path_factory.mktemp("state")
    seen = stored(directory, status)
    assert StatusCache(directory, FileWriter(), no_fallback).current == seen.current


def test_a_failed_write_loses_only_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    seen = stored(tmp_path / "file" / "state", REAL, REAL | {"description": "new"})
    assert seen.current == REPLAYED | {"description": "new"}
    assert len(caplog.records) == 1


def test_each_change_is_reported(tmp_path: Path) -> None:
    seen: list[object] = []
    cache = StatusCache(tmp_path, FileWriter(), no_fallback, lambda: seen.append(cache.current))
    for status in (REAL, REAL, REAL | {"description": "new"}):
        cache.store(status)
    cache.flush()
    assert seen == [REPLAYED, REPLAYED | {"description": "new"}]
