"""A server's console as two files that survive zeroscale: output is appended to a file, input goes through a FIFO.

A pipe would break when zeroscale exits, and some servers exit then. The caller decides when to read.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import stat
from collections import deque
from collections.abc import Callable
from pathlib import Path

from zeroscale.errors import PluginError
from zeroscale.system.files import create_own, make_private, move, open_own, set_aside

logger = logging.getLogger("zeroscale.server")

LONGEST_LINE = 8192
"""Bytes of one line that are reported; the rest of a longer one is skipped."""

READ_SIZE = 64 * 1024
"""Bytes of one read: a few milliseconds of work at most."""

READ_AT_END = 256 * 1024
"""Bytes read at most of the output that is unread when a server ends."""

LARGEST_FILE = 8 * 1024 * 1024
"""Bytes of output after which the file is rotated once all is read, and how far behind we may fall.

Output is skipped when we fall behind further, or when the file is twice as large: a server that writes as fast as we
read would never let us reach the end.
"""

KEPT_LINES = 50
KEPT_CHARACTERS = 500
"""How many of the last lines of output are kept for messages, and how much of each: some screens of text."""

LONGEST_INPUT = 4096
"""Bytes, PIPE_BUF: a line of at most this length enters a pipe whole or not at all (pipe(7))."""

# ECMA-48 control sequences, operating system commands (to BEL or ST), and what is left of the C0 and C1 controls.
_CONTROLS = r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]?|[\x00-\x08\x0a-\x1f\x7f-\x9f]"


def plain_text(line: bytes) -> str:
    """Decode one line of output, without colours, cursor movements and other controls."""
    return re.sub(_CONTROLS, "", line.decode("utf-8", errors="replace"))


def input_line(line: str) -> bytes:
    """Encode one line of input.

    :raises PluginError: it is more than one line, or too long.
    """
    data = line.encode("utf-8", errors="replace") + b"\n"
    if len(data) > LONGEST_INPUT or data.count(b"\n") > 1 or b"\r" in data:
        raise PluginError(f"a console line must be one line of at most {LONGEST_INPUT - 1} bytes")
    return data


class OutputFile:
    """Reads the file that a server's output is appended to.

    :ivar last_lines: the last lines, oldest first, bounded in number and length.
    :ivar on_line: called with every line.
    """

    def __init__(self, path: Path, on_line: Callable[[str], None]) -> None:
        self.path = path
        self.on_line = on_line
        self.last_lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._descriptor: int | None = None
        self._offset = 0
        self._partial = b""
        self._skips_line = False
        self._copy_failed = False
        self._untruncated = 0

    def rotate(self) -> None:
        """Rename the last run's file, or remove it if it is empty; only while no server runs.

        So starts that fail one after the other do not replace what the last run has written.

        :raises OSError: the directory cannot be written.
        """
        make_private(self.path.parent)
        for path in (self.path, self._rotated):
            if path.is_dir() and not path.is_symlink():  # a file cannot replace it, nor be replaced by it
                set_aside(path)
        with contextlib.suppress(FileNotFoundError):
            if self.path.lstat().st_size:
                move(self.path, self._rotated)
            else:
                self.path.unlink()

    def open(self, *, from_end: int | None = None) -> None:
        """Start reading.

        :param from_end: begin so many bytes before the end; None: at the beginning.
        :raises OSError: it cannot be opened or created.
        """
        try:
            self._descriptor = open_own(self.path, os.O_RDWR | os.O_CREAT)
        except ValueError as error:
            raise OSError(errno.EINVAL, str(error), str(self.path)) from None
        size = os.fstat(self._descriptor).st_size
        self._offset = 0 if from_end is None else max(0, size - from_end)
        self._partial = b""
        self._skips_line = self._offset > 0  # likely inside a line
        self._untruncated = 0
        self.last_lines.clear()

    def open_for_child(self) -> int:
        """Open a descriptor for the server to write to; it appends, so that truncating the file is safe.

        :raises OSError: it cannot be opened.
        """
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)

    def read(self) -> int:
        """Read at most `READ_SIZE` new bytes and report their whole lines.

        :returns: how many bytes it read; 0 at the end.
        :raises OSError: the disk fails.
        """
        if self._descriptor is None:
            return 0
        size = os.fstat(self._descriptor).st_size
        if size < self._offset:  # truncated by others: a script's `> /dev/stderr` does that
            self._offset = self._untruncated = 0
            self._partial = b""
        if max(size - self._offset, size - self._untruncated - LARGEST_FILE) > LARGEST_FILE:
            self._skip_to(max(self._offset, size - READ_SIZE))
        data = os.pread(self._descriptor, READ_SIZE, self._offset)
        self._offset += len(data)
        if size > self._untruncated + LARGEST_FILE and self._offset >= size:
            self._copy_and_truncate()
        self._feed(data)
        return len(data)

    def finish(self) -> None:
        """Read the rest, including a last line without an end, and close. The server must have ended.

        :raises OSError: the disk fails.
        """
        try:
            if self._descriptor is not None:
                end = os.fstat(self._descriptor).st_size
                if end - self._offset > READ_AT_END:
                    self._skip_to(end - READ_AT_END)
            while self.read():
                pass
            if self._partial:
                self._feed(b"\n")
        finally:
            self.close()

    def close(self) -> None:
        """Stop reading."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @property
    def _rotated(self) -> Path:
        return self.path.with_name(self.path.name + ".1")

    def _skip_to(self, offset: int) -> None:
        if offset == self._offset:
            return
        logger.debug("%s: skipped %d bytes of output", self.path, offset - self._offset)
        self._offset = offset
        self._partial = b""
        self._skips_line = True  # likely inside a line

    def _copy_and_truncate(self) -> None:
        """Copy the end of the file to the rotated one and truncate it, as logrotate's copytruncate does.

        Output that is written in between is lost. Where the copy fails, as on a full disk, the output in it is lost:
        the file is truncated all the same, or it would fill the disk again. Where it cannot be truncated, that is tried
        again after as much output as before.
        """
        assert self._descriptor is not None
        try:
            self._copy(self._descriptor)
        except OSError as error:
            if not self._copy_failed:
                logger.warning(
                    "%s cannot be copied to %s (%s): output of the server is lost",
                    self.path,
                    self._rotated.name,
                    error.strerror,
                )
            self._copy_failed = True
            with contextlib.suppress(OSError):
                self._rotated.unlink()  # what has been copied takes space on a full disk
        else:
            self._copy_failed = False
        try:
            os.ftruncate(self._descriptor, 0)
        except OSError as error:  # some file systems need space for that, too
            if not self._untruncated:
                logger.warning("%s cannot be truncated (%s): it grows", self.path, error.strerror)
            self._untruncated = self._offset
        else:
            self._offset = self._untruncated = 0

    def _copy(self, source: int) -> None:
        """Copy the end of the output. It is bounded: the server may write as fast as we copy.

        :raises OSError: it cannot be written.
        """
        at = max(0, self._offset - LARGEST_FILE - READ_SIZE)
        with os.fdopen(create_own(self._rotated, os.O_WRONLY), "wb") as rotated:
            while at < self._offset and (data := os.pread(source, READ_SIZE, at)):
                rotated.write(data)
                at += len(data)

    def _feed(self, data: bytes) -> None:
        *lines, rest = data.split(b"\n")
        for line in lines:
            if not self._skips_line:
                self._report((self._partial + line)[:LONGEST_LINE])
            self._partial = b""
            self._skips_line = False
        if self._skips_line:
            return
        self._partial += rest
        if len(self._partial) > LONGEST_LINE:
            self._report(self._partial[:LONGEST_LINE])
            self._partial = b""
            self._skips_line = True

    def _report(self, line: bytes) -> None:
        text = plain_text(line)
        self.last_lines.append(text[:KEPT_CHARACTERS])
        self.on_line(text)


class InputFifo:
    """Writes to the FIFO that is a server's standard input."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def create(self) -> None:
        """Create a new FIFO and open it: an old one keeps unread bytes, and a stale `stop` would end the next server.

        :raises OSError: the directory cannot be written, or its file system has no FIFOs.
        """
        self.remove()
        make_private(self.path.parent)
        os.mkfifo(self.path, 0o600)
        self.open()

    def open(self) -> None:
        """Open the existing FIFO for writing.

        It is opened read-write, so that this neither waits for a reader nor breaks without one; with an open file
        description of its own, since some servers (Node) make theirs non-blocking and others do not.

        :raises OSError: there is none, or it is not a FIFO.
        """
        descriptor = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "no FIFO", str(self.path))
        self._descriptor = descriptor

    def open_for_child(self) -> int:
        """Open a descriptor for the server to read from; read-write, so that the server never reads end-of-file.

        :raises OSError: it cannot be opened.
        """
        return os.open(self.path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)

    def send(self, line: str) -> None:
        """Write one line, whole or not at all.

        :raises PluginError: it cannot be written now; the message says why.
        """
        data = input_line(line)
        if self._descriptor is None:
            raise PluginError(f"the server's console takes no input: {self.path} is not open")
        try:
            os.write(self._descriptor, data)
        except BlockingIOError:
            raise PluginError("the server does not read its console: its input is full") from None
        except OSError as error:
            raise PluginError(f"the server's console takes no input: {error}") from error

    def close(self) -> None:
        """Stop writing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def remove(self) -> None:
        """Close the FIFO and remove it.

        :raises OSError: the directory cannot be written.
        """
        self.close()
        if self.path.is_dir() and not self.path.is_symlink():
            set_aside(self.path)
        self.path.unlink(missing_ok=True)
