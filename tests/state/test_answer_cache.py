"""Storing a server's last answers, and ignoring damaged files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroscale.state.answer_cache import LARGEST_ANSWER, AnswerCache
from zeroscale.system.background_file import FileWriter

KEY = "source-info-27015"


def stored(directory: Path, **answers: bytes) -> AnswerCache:
    """Return a cache with these answers stored and written."""
    cache = AnswerCache(directory, FileWriter())
    for key, answer in answers.items():
        cache.store(key, answer)
    cache.flush()
    return cache


def test_without_an_answer(tmp_path: Path) -> None:
    assert AnswerCache(tmp_path, FileWriter()).load(KEY) is None


@settings(max_examples=20)  # each waits for the disk
@given(answer=st.binary(max_size=500))
def test_the_next_process_reads_what_was_stored(tmp_path_factory: pytest.TempPathFactory, answer: bytes) -> None:
    directory = tmp_path_factory.mktemp("state")
    stored(directory, **{KEY: b"an older one"})
    cache = stored(directory, **{KEY: answer})
    assert cache.load(KEY) == AnswerCache(directory, FileWriter()).load(KEY) == answer


def test_each_key_has_its_own_answer(tmp_path: Path) -> None:
    stored(tmp_path, info=b"1", rules=b"2")
    cache = AnswerCache(tmp_path, FileWriter())
    assert (cache.load("info"), cache.load("rules"), cache.load("players")) == (b"1", b"2", None)


def test_an_answer_is_the_same_object_until_another_is_stored(tmp_path: Path) -> None:
    cache = stored(tmp_path, **{KEY: b"one"})
    before = cache.load(KEY)
    cache.store(KEY, bytes(bytearray(b"one")))
    assert cache.load(KEY) is before
    cache.store(KEY, b"two")
    assert cache.load(KEY) == b"two"


def test_the_same_answer_is_not_written_again(tmp_path: Path) -> None:
    cache = stored(tmp_path, **{KEY: b"one"})
    [file] = tmp_path.iterdir()
    file.unlink()
    cache.store(KEY, bytes(bytearray(b"one")))
    cache.flush()
    assert not list(tmp_path.iterdir())


def test_the_longest_answer_is_stored_and_a_longer_one_is_not(tmp_path: Path) -> None:
    stored(tmp_path, **{KEY: b"\xff" * LARGEST_ANSWER})
    assert AnswerCache(tmp_path, FileWriter()).load(KEY) == b"\xff" * LARGEST_ANSWER
    stored(tmp_path, **{KEY: b"\xfe" * (LARGEST_ANSWER + 1)})
    assert AnswerCache(tmp_path, FileWriter()).load(KEY) == b"\xff" * LARGEST_ANSWER


@pytest.mark.parametrize("key", ["", "../record", "a/b", "A", "a.b", "x" * 65, "a\n"])
def test_a_key_that_is_no_name_of_a_file_is_an_error(tmp_path: Path, key: str) -> None:
    cache = AnswerCache(tmp_path, FileWriter())
    with pytest.raises(ValueError, match="is not a key"):
        cache.load(key)
    with pytest.raises(ValueError, match="is not a key"):
        cache.store(key, b"")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"\xff\xff\xff\xffI\x11name",
        json.dumps({"version": 2, "answer": "AAAA"}).encode(),
        json.dumps({"version": 1, "answer": "A"}).encode(),
        json.dumps({"version": 1, "answer": 7}).encode(),
        json.dumps({"version": 1, "answer": "AAAA" * (LARGEST_ANSWER // 3 + 1)}).encode(),
        b" " * 3 * LARGEST_ANSWER,
    ],
)
def test_a_damaged_file_is_ignored_with_one_warning_and_replaced(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    stored(tmp_path, **{KEY: b"before"})
    [file] = tmp_path.iterdir()
    file.write_bytes(content)
    cache = AnswerCache(tmp_path, FileWriter())
    assert cache.load(KEY) is None
    assert cache.load(KEY) is None
    [warning] = caplog.records
    assert f"{file.name} is damaged" in warning.getMessage()
    cache.store(KEY, b"after")
    cache.flush()
    assert AnswerCache(tmp_path, FileWriter()).load(KEY) == b"after"


def test_a_failed_write_loses_only_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    cache = stored(tmp_path / "file" / "state", **{KEY: b"kept in memory"})
    assert cache.load(KEY) == b"kept in memory"
    assert "Cannot write" in caplog.text
