"""Reading entries of zip archives, compared with what the standard library writes."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.minecraft import zip_archive
from zeroscale.minecraft.zip_archive import ZipArchive

CONTENT = b"Main-Class: net.minecraft.bundler.Main\n" * 50


def archive(
    files: dict[str, bytes], *, comment: bytes = b"", before: bytes = b"", method: int = zipfile.ZIP_DEFLATED
) -> bytes:
    file = io.BytesIO()
    file.write(before)
    with zipfile.ZipFile(file, "a", method) as written:
        for name, content in files.items():
            written.writestr(name, content)
        written.comment = comment
    return file.getvalue()


def read(content: bytes, name: str = "a", limit: int = 1 << 20) -> bytes | None:
    return ZipArchive(io.BytesIO(content)).read_start(name, limit)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("comment", [b"", b"made by hand", b"c" * 65535])
@pytest.mark.parametrize("before", [b"", b"#!/bin/sh\nexec java -jar $0\n"])
def test_an_entry(method: int, comment: bytes, before: bytes) -> None:
    content = archive({"x": b"1", "a": CONTENT, "b/c": b""}, comment=comment, before=before, method=method)
    assert read(content) == CONTENT
    assert read(content, limit=10) == CONTENT[:10]
    assert (read(content, "b/c"), read(content, "d")) == (b"", None)


def test_what_is_in_it() -> None:
    content = ZipArchive(io.BytesIO(archive({"version.json": b"", "net/minecraft/Main.class": b""})))
    assert "version.json" in content and "net" not in content
    assert content.has_below("cpw/", "net/minecraft/")
    assert not content.has_below("net/minecraftforge/")
    assert "a" not in ZipArchive(io.BytesIO(archive({})))


def test_of_two_entries_of_one_name_the_last_one_counts_as_in_java() -> None:
    file = io.BytesIO()
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(file, "w") as written:
        written.writestr("a", "1")
        written.writestr("a", "2")
    assert read(file.getvalue()) == b"2"


class Unseekable(io.RawIOBase):
    """A pipe: entries in it have their sizes only after their content, and in the directory."""

    def __init__(self) -> None:
        self.content = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        assert isinstance(data, bytes)
        self.content += data
        return len(data)


def test_an_archive_that_was_written_to_a_pipe() -> None:
    pipe = Unseekable()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr("a", CONTENT)
    assert read(bytes(pipe.content)) == CONTENT


def zip64(content: bytes) -> bytes:
    """The same archive, with one entry, with all its sizes and offsets in the fields of Zip64."""
    place = content.rindex(b"PK\x01\x02")
    end = content.rindex(b"PK\x05\x06")
    compressed, size, name = struct.unpack_from("<2LH", content, place + 20)
    (offset,) = struct.unpack_from("<L", content, place + 42)
    entry = bytearray(content[place : place + 46 + name])
    struct.pack_into("<2LHH", entry, 20, 0xFFFFFFFF, 0xFFFFFFFF, name, 5 + 28)
    struct.pack_into("<L", entry, 42, 0xFFFFFFFF)
    entry += struct.pack("<2Hx", 0xCAFE, 1) + struct.pack("<2H3Q", 1, 24, size, compressed, offset)
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, len(entry), place)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, place + len(entry), 1)
    last = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    assert end == place + 46 + name
    return content[:place] + bytes(entry) + record + locator + last


@pytest.mark.parametrize("before", [b"", b"#!/bin/sh\n"])
def test_zip64(before: bytes) -> None:
    content = zip64(archive({"a": CONTENT}))
    with zipfile.ZipFile(io.BytesIO(content)) as expected:
        assert expected.read("a") == CONTENT
    assert read(before + content) == CONTENT


def with_flag(content: bytes, flags: int = 0, method: int = 8) -> bytes:
    changed = bytearray(content)
    struct.pack_into("<2H", changed, content.rindex(b"PK\x01\x02") + 8, flags, method)
    return bytes(changed)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not a zip file"),
        (b"<html>404 Not Found</html>", "not a zip file"),
        (b"PK\x05\x06", "not a zip file"),
        (archive({"a": CONTENT})[1:], "negative seek"),
        (archive({"a": CONTENT})[:10] + archive({"a": CONTENT})[20:], "negative seek"),
        (archive({"a": CONTENT}).replace(b"PK\x03\x04", b"PK\x03\x05"), "Bad magic number for file header"),
        (archive({"a": CONTENT}).replace(b"PK\x01\x02", b"PK\x01\x03"), "Bad magic number for central directory"),
        (with_flag(archive({"a": CONTENT}), flags=1), "encrypted"),
        (with_flag(archive({"a": CONTENT}), method=97), "not supported"),
        (with_flag(archive({"a": b"\xff" * 100}, method=0), method=8), "decompressing"),
    ],
)
def test_what_cannot_be_read(content: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=rf"it is no valid zip archive \(.*{problem}"):
        read(content)


def test_a_huge_directory_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_archive, "LARGEST_DIRECTORY", 500)
    assert read(archive({str(number): b"" for number in range(10)}), "9") == b""
    with pytest.raises(ValueError, match="its directory is longer than 500 bytes"):
        read(archive({str(number): b"" for number in range(20)}))


def test_an_entry_that_is_huge_costs_no_memory() -> None:
    content = archive({"a": b"\0" * 50_000_000})
    tracemalloc.start()
    try:
        assert read(content, limit=100) == b"\0" * 100
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


SMALL = archive({"a": CONTENT, "b": b"2"}, comment=b"comment")


@pytest.mark.parametrize("length", range(0, len(SMALL) - len(b"comment"), 3))
def test_cut_off_anywhere_is_an_error(length: int) -> None:
    with pytest.raises(ValueError, match="it is no valid zip archive"):
        read(SMALL[:length])


@given(
    st.dictionaries(st.text("abc/é", min_size=1, max_size=5), st.binary(max_size=300), max_size=5),
    st.binary(max_size=40),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    st.integers(1, 400),
)
def test_whatever_is_in_it(files: dict[str, bytes], comment: bytes, method: int, limit: int) -> None:
    content = ZipArchive(io.BytesIO(archive(files, comment=comment, method=method)))
    assert {name: content.read_start(name, limit) for name in files} == {
        name: content[:limit] for name, content in files.items()
    }


@given(st.integers(0, len(SMALL) - 1), st.binary(min_size=1, max_size=8))
def test_whatever_is_changed_it_is_read_or_it_is_a_value_error(position: int, change: bytes) -> None:
    content = SMALL[:position] + change + SMALL[position + len(change) :]
    try:
        found = read(content)
    except ValueError:
        return
    assert found is None or isinstance(found, bytes)


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_no_other_error(content: bytes) -> None:
    with pytest.raises(ValueError, match="it is no valid zip archive"):
        read(content.replace(b"PK", b""))
