"""Read the beginnings of entries of a zip archive, such as a jar. Bounded: other local users may have made it."""

from __future__ import annotations

import contextlib
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

LARGEST_DIRECTORY = 4 * 1024 * 1024
"""Bytes; that of a jar with 20 000 entries has about 2 MiB, which take `zipfile` 0.1 s."""


class ZipArchive:
    """The directory of an archive, read at once; entries are read when they are asked for.

    :param file: the whole archive. Bytes before it are put up with, as Java does.
    :raises ValueError: it is not an archive, or its directory is damaged or larger than `LARGEST_DIRECTORY`.
    :raises OSError: it cannot be read.
    """

    def __init__(self, file: BinaryIO) -> None:
        with _as_value_errors():
            self._archive = zipfile.ZipFile(_BoundedFile(file))
        self._names = frozenset(self._archive.namelist())

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def has_below(self, *folders: str) -> bool:
        """Return whether there is an entry in one of these folders, or below it; each ends with a slash."""
        return any(name.startswith(folders) for name in self._names)

    def read_start(self, name: str, limit: int) -> bytes | None:
        """Return the beginning of an entry; None if there is no entry of this name.

        :param limit: the most bytes of its content that are returned; at least 1.
        :raises ValueError: it is damaged, encrypted, or compressed in a way that is not known here.
        :raises OSError: the file cannot be read.
        """
        if name not in self._names:
            return None
        with _as_value_errors(), self._archive.open(name) as entry:
            return entry.read(limit)


class _BoundedFile:
    """A file of which no more is read at once than the largest directory: `zipfile` reads a directory of any size."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek = file.seek
        self.tell = file.tell
        self.seekable = file.seekable

    def read(self, size: int = -1) -> bytes:
        if size > LARGEST_DIRECTORY:
            raise ValueError(f"its directory is longer than {LARGEST_DIRECTORY} bytes")
        return self._file.read(size if size >= 0 else LARGEST_DIRECTORY)


@contextlib.contextmanager
def _as_value_errors() -> Iterator[None]:
    """Raise what `zipfile` raises for a bad archive as ValueError: RuntimeError is an encrypted entry."""
    try:
        yield
    except (zipfile.BadZipFile, ValueError, RuntimeError, EOFError, OverflowError, struct.error, zlib.error) as error:
        raise ValueError(f"it is no valid zip archive ({error})") from None
