"""Where log lines end up: a descriptor such as stderr, or a file with rotation.

A file is opened as `system.privileges` describes, since root may open it in a directory of another user. Twisted's own
LogFile follows links, and changes the owner and mode by the file's path.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import stat
from pathlib import Path

from zeroscale.errors import ConfigError
from zeroscale.system.privileges import Owner, acting_as, give, is_trusted_file

ROTATE_AT = 1_000_000
"""Bytes, as twistd's own log file."""

REASONS = {
    errno.ENXIO: "it is neither a file nor a device",  # a socket, or a FIFO that nobody reads
    errno.ELOOP: "it is a link that leads in a circle, or that others could have made, who can write to the directory",
}

AT_ONCE = 4096
"""Bytes, PIPE_BUF: a pipe that poll(2) calls writable takes this much without blocking (pipe(7))."""


class DescriptorOutput:
    """Writes to a descriptor that is open already: stderr or stdout."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._is_cut = False

    def write(self, data: bytes) -> None:
        """Write all of it, and wait as long as that takes. After a line that a full disk has cut, begin a new one.

        :raises OSError: it cannot be written.
        """
        rest = whole = memoryview(b"\n" + data if self._is_cut else data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # another program has made it non-blocking, as terminals are shared
                select.select([], [self._descriptor], [])
            except OSError:
                self._is_cut = self._is_cut or len(rest) < len(whole)
                raise
        self._is_cut = False

    def write_now(self, data: bytes) -> bool:
        """Write it if that is possible without waiting; return whether it was. What is no file gets `AT_ONCE` bytes.

        :raises OSError: it cannot be written.
        """
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        if len(data) > AT_ONCE and not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            data = data[: AT_ONCE - 1] + b"\n"
        if not poll.poll(0):
            return False
        DescriptorOutput.write(self, data)
        return True

    def rotate(self) -> None:
        """Do nothing: it has no file."""


class FileOutput(DescriptorOutput):
    """Appends to a file. At `ROTATE_AT` bytes it is renamed to `NAME.1`, and older ones to `NAME.2` and so on.

    :param path: the file; created with mode 0600 where it is missing.
    :param owner: the user that this process will switch to, if it is root now; None: it does not switch.
    :raises ConfigError: it cannot be opened, or is neither a file nor a device.
    """

    def __init__(self, path: Path, owner: Owner | None = None) -> None:
        self._path = path.absolute()  # twistd changes its directory
        if owner is None:
            super().__init__(_opened(self._path))
            return
        as_root = is_trusted_file(self._path)
        with contextlib.nullcontext() if as_root else acting_as(owner):
            exists = os.path.lexists(self._path)
            super().__init__(_opened(self._path))
            if as_root and not exists:
                give(self._descriptor, owner)

    def write(self, data: bytes) -> None:
        """Write all of it. The file is rotated before, if it is large.

        :raises OSError: it cannot be written.
        """
        found = os.fstat(self._descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_size >= ROTATE_AT:
            with contextlib.suppress(OSError):  # the directory is another user's: go on in the same file
                self.rotate()
        super().write(data)

    def rotate(self) -> None:
        """Rename the file and its older ones, and open a new one. One that was moved away is only opened anew.

        :raises OSError: the directory cannot be written, or the new file cannot be opened.
        """
        numbers = sorted(self._older(), reverse=True)
        if os.path.lexists(self._path):
            for number in numbers:
                self._numbered(number).rename(self._numbered(number + 1))
            self._path.rename(self._numbered(1))
        try:
            new = _opened(self._path)
        except ConfigError as error:
            raise OSError(str(error)) from None
        os.dup2(new, self._descriptor, inheritable=False)
        os.close(new)
        self._is_cut = False

    def _older(self) -> list[int]:
        pattern = re.compile(rf"{re.escape(self._path.name)}\.([1-9][0-9]{{0,8}})")
        return [int(match[1]) for each in self._path.parent.iterdir() if (match := pattern.fullmatch(each.name))]

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def _opened(path: Path) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
    if not is_trusted_file(path):
        flags |= os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise ConfigError(f"cannot open the log file {path}: {REASONS.get(error.errno or 0, error.strerror)}") from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISCHR(mode):
        os.close(descriptor)
        raise ConfigError(f"cannot open the log file {path}: {REASONS[errno.ENXIO]}")
    os.set_blocking(descriptor, True)
    return descriptor
