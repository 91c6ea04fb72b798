"""The real server's last answers to queries over UDP, kept on disk, so that a sleeping server is shown as it was.

An answer is bytes, which only its protocol interprets. That also checks them when they are used: a file may have been
written by an earlier version.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from zeroscale.system.background_file import BackgroundFile, FileWriter
from zeroscale.system.files import load

VERSION = 1
"""The version of the files' format."""

LARGEST_ANSWER = 1 << 16
"""Bytes of one answer: as many as the parsers of all protocols over UDP take of a server."""

LARGEST_FILE = 2 * LARGEST_ANSWER
"""Bytes of one file: the answer in base64, and its frame."""

_KEY = re.compile(r"[a-z0-9-]{1,64}")


class _File(msgspec.Struct, kw_only=True):
    version: int
    answer: bytes


class AnswerCache:
    """The last answers of one server, each by a key of small letters, digits and hyphens. The constructor does no I/O.

    The keys are those of the configured ports and their protocols, so that they need no bound.

    :param directory: the server's state directory, locked by `StartHistory`.
    :param writer: writes the files.
    """

    def __init__(self, directory: Path, writer: FileWriter) -> None:
        self._directory = directory
        self._writer = writer
        self._known: dict[str, bytes | None] = {}

    def load(self, key: str) -> bytes | None:
        """Return the last answer, the same object until another is stored; None: there is none, or it is damaged.

        :raises ValueError: the key has other characters, or too many.
        """
        if key not in self._known:
            lost = "it is ignored until the server answers again"
            self._known[key] = load(self._file(key).path, LARGEST_FILE, _decoded, lost)
        return self._known[key]

    def store(self, key: str, answer: bytes) -> None:
        """Store an answer: `load` returns it at once, its file is written a moment later.

        One that is too long, or the same as the last one, is not stored.

        :raises ValueError: the key has other characters, or too many.
        """
        if len(answer) > LARGEST_ANSWER or answer == self.load(key):
            return
        self._known[key] = answer
        self._file(key).write(msgspec.json.encode(_File(version=VERSION, answer=answer)))

    def flush(self) -> None:
        """Wait until everything is written."""
        for key in self._known:
            self._file(key).flush()

    def _file(self, key: str) -> BackgroundFile:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} is not a key of an answer")
        return BackgroundFile(self._directory / f"answer-{key}.json", self._writer)


def _decoded(content: bytes) -> bytes:
    """Decode a file's content.

    :raises ValueError: it is invalid.
    """
    file = msgspec.json.decode(content, type=_File)
    if file.version != VERSION:
        raise ValueError(f"its format is {file.version}, not {VERSION}")
    if len(file.answer) > LARGEST_ANSWER:
        raise ValueError(f"an answer of more than {LARGEST_ANSWER} bytes")
    return file.answer
