"""Steps that change this machine: each says what it does, does it, and does nothing where it has been done already."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Protocol

from msgspec import Struct

from zeroscale.errors import ConfigError

LONGEST_COMMAND = 600.0
"""Seconds after which a command has failed; stopping a large server may take minutes."""

MOST_FILES = 200_000
"""The most files that are looked at; a large world has some ten thousand."""


class Step(Protocol):
    """One change.

    :cvar repeats: it is done each time, also where it changes nothing.
    """

    repeats: ClassVar[bool]

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        ...

    def describe(self) -> str:
        """Return what is to be done, in words that follow "Would "."""
        ...

    def do(self) -> None:
        """Do it.

        :raises ConfigError: that failed.
        """
        ...


class WriteFile(Struct, frozen=True):
    """Write a whole file, readable by all; its directory is made.

    :ivar keep: leave a file that is there as it is.
    :ivar mark: a file that does not begin with it is somebody else's, and is kept under another name.
    """

    repeats: ClassVar[bool] = False
    path: Path
    text: str
    keep: bool = False
    mark: str = ""

    @property
    def is_done(self) -> bool:
        """See `Step`."""
        try:
            return self.path.exists() and (self.keep or self.path.read_text("utf-8") == self.text)
        except (OSError, UnicodeError):
            return False

    def describe(self) -> str:
        """See `Step`."""
        if self.keep and self.path.exists():
            return f"leave {self.path} as it is"
        aside = f"; what is there becomes {self._old.name}" if self._is_foreign else ""
        return f"write {self.path}{aside}"

    def do(self) -> None:
        """See `Step`."""
        new = self.path.with_name(f".{self.path.name}.new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(self.text, "utf-8")
            new.chmod(0o644)
            if self._is_foreign:
                self.path.replace(self._old)
            new.replace(self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                new.unlink()
            raise ConfigError(f"cannot write {self.path}: {error.strerror}") from None

    @property
    def _old(self) -> Path:
        return self.path.with_name(f"{self.path.name}.old")

    @property
    def _is_foreign(self) -> bool:
        return self.path.exists() and not begins_with(self.path, self.mark)


class MakeLink(Struct, frozen=True):
    """Make a symbolic link."""

    repeats: ClassVar[bool] = False
    path: Path
    target: Path

    @property
    def is_done(self) -> bool:
        """See `Step`."""
        return self.path.is_symlink() and self.path.readlink() == self.target

    def describe(self) -> str:
        """See `Step`."""
        return f"link {self.path} to {self.target}"

    def do(self) -> None:
        """See `Step`."""
        if self.path.exists() and not self.path.is_symlink():
            raise ConfigError(f"{self.path} exists and is no link; remove it first")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.unlink(missing_ok=True)
            self.path.symlink_to(self.target)
        except OSError as error:
            raise ConfigError(f"cannot make the link {self.path}: {error.strerror}") from None


class Remove(Struct, frozen=True):
    """Remove a file or a link.

    :ivar with_directory: its directory, too, if that is empty then.
    """

    repeats: ClassVar[bool] = False
    path: Path
    with_directory: bool = False

    @property
    def is_done(self) -> bool:
        """See `Step`."""
        return not (self.path.exists() or self.path.is_symlink())

    def describe(self) -> str:
        """See `Step`."""
        return f"remove {self.path}"

    def do(self) -> None:
        """See `Step`."""
        try:
            self.path.unlink(missing_ok=True)
            if self.with_directory and not any(self.path.parent.iterdir()):
                self.path.parent.rmdir()
        except OSError as error:
            raise ConfigError(f"cannot remove {self.path}: {error.strerror}") from None


class MakeUser(Struct, frozen=True):
    """Make a system account without a password, in a group of its own.

    :ivar home: its home directory, which is not made.
    """

    repeats: ClassVar[bool] = False
    name: str
    home: Path

    @property
    def is_done(self) -> bool:
        """See `Step`."""
        return user_id(self.name) is not None

    def describe(self) -> str:
        """See `Step`."""
        return f"have a user {self.name} to run the servers" if self.is_done else f"make the system user {self.name}"

    def do(self) -> None:
        """See `Step`."""
        options = ["--system", "--user-group", "--no-create-home", "--home-dir", str(self.home), "--shell"]
        run(["useradd", *options, "/usr/sbin/nologin", self.name])


class GiveTo(Struct, frozen=True):
    """Give a directory of root's, and all that is in it, to a user. Links are not followed."""

    repeats: ClassVar[bool] = False
    directory: Path
    user: str

    @property
    def is_done(self) -> bool:
        """See `Step`."""
        return self.directory.stat().st_uid != 0

    def describe(self) -> str:
        """See `Step`."""
        if self.is_done:
            return f"leave {self.directory} to its owner"
        return f"give {self.directory} to the user {self.user}"

    def do(self) -> None:
        """See `Step`."""
        run(["chown", "-R", "-P", "--no-dereference", f"{self.user}:", str(self.directory)])


class CheckAccess(Struct, frozen=True):
    """Check that a user may use a file or a directory, whatever grants that: modes, groups or access lists.

    :ivar what: what it is, for the message.
    :ivar remedy: what to do if the user may not.
    :ivar may: what the user does with it, as an option of test(1).
    """

    repeats: ClassVar[bool] = True
    user: str
    path: Path
    what: str
    remedy: str
    may: str = "-x"

    @property
    def is_done(self) -> bool:
        """See `Step`."""
        return False

    def describe(self) -> str:
        """See `Step`."""
        return f"check that the user {self.user} may use {self.path}"

    def do(self) -> None:
        """See `Step`."""
        try:
            run(["runuser", "-u", self.user, "--", "test", self.may, str(self.path)])
        except ConfigError:
            raise ConfigError(f"the user {self.user} may not use {self.what}, {self.path}: {self.remedy}") from None


class Run(Struct, frozen=True):
    """Run a command each time.

    :ivar explain: a command whose output says why it failed, if it does; (): none.
    """

    repeats: ClassVar[bool] = True
    words: Sequence[str]
    explain: Sequence[str] = ()

    @property
    def is_done(self) -> bool:
        """See `Step`."""
        return False

    def describe(self) -> str:
        """See `Step`."""
        return f"run {' '.join(self.words)}"

    def do(self) -> None:
        """See `Step`."""
        try:
            run(self.words)
        except ConfigError as error:
            if not self.explain:
                raise
            raise ConfigError(f"{error}\n{run(self.explain)}".rstrip()) from None


def run(words: Sequence[str]) -> str:
    """Run a command, wait for it, and return what it wrote to its standard output.

    :raises ConfigError: it is not there, or it failed; the text has what it wrote.
    """
    program = shutil.which(words[0], path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        raise ConfigError(f"{words[0]} is not installed")
    try:
        done = subprocess.run(
            [program, *words[1:]], capture_output=True, text=True, timeout=LONGEST_COMMAND, check=False
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(f"{' '.join(words)}: not done in {LONGEST_COMMAND:g} s") from None
    if done.returncode != 0:
        output = " ".join((done.stderr or done.stdout).split()) or f"exit code {done.returncode}"
        raise ConfigError(f"{' '.join(words)}: {output}")
    return done.stdout


def is_active(unit: str) -> bool:
    """Return whether a unit of the system runs; one that fails and is started again and again does not."""
    try:
        run(["systemctl", "is-active", unit])
    except ConfigError:
        return False
    return True


def file_of_root(directory: Path) -> Path | None:
    """Return a file in a directory or below that belongs to root; None: there is none among the first ones."""
    seen = 0
    for parent, directories, files in os.walk(directory):
        for name in (*directories, *files):
            path = Path(parent, name)
            with contextlib.suppress(OSError):  # removed since it was listed
                if path.lstat().st_uid == 0:
                    return path
        seen += len(files)
        if seen > MOST_FILES:
            return None
    return None


def begins_with(path: Path, text: str) -> bool:
    """Return whether a file begins with a text."""
    try:
        with path.open("rb") as file:
            return file.read(len(text.encode())) == text.encode()
    except OSError:
        return False


def user_id(name: str) -> int | None:
    """Return the number of an account; None: there is none of this name."""
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None
