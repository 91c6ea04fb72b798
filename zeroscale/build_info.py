"""Which zeroscale this is: its version, its commit, and the Python that runs it."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import NoReturn

from zeroscale.version import VERSION

PACKAGE = Path(__file__).parent
COMMIT_FILE = "commit.txt"
"""A file of the installed package, which setup.py writes; a checkout has none."""

SHORT = 12
"""Characters of a commit that are shown."""

_COMMIT = re.compile("[0-9a-f]{40,64}")


class PrintVersion(argparse.Action):
    """The option `--version`, which looks for the commit only where it is given."""

    def __init__(self, option_strings: list[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="print the version")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        """Print the line, and exit."""
        sys.stdout.write(f"{version_line(parser.prog)}\n")
        parser.exit()


def version_line(program: str) -> str:
    """Return the line that `--version` prints."""
    commit = find_commit(PACKAGE)
    named = f"commit {commit[:SHORT]}, " if commit else ""
    return f"{program} {VERSION} ({named}Python {sys.version.split()[0]})"


def find_commit(package: Path) -> str | None:
    """Return the commit that a package was built from, or that is checked out; None: not known.

    :param package: the directory of the package `zeroscale`.
    """
    found = _text(package / COMMIT_FILE)
    if found is None:
        found = _checked_out(package.parent / ".git")
    return found if found is not None and _COMMIT.fullmatch(found) else None


def _checked_out(git: Path) -> str | None:
    """Return the commit of a repository's HEAD, without git, which may not be installed."""
    if (link := _text(git)) is not None:  # a worktree: its own directory is elsewhere
        git = git.parent / link.removeprefix("gitdir: ")
    head = _text(git / "HEAD")
    if head is None or not head.startswith("ref: "):
        return head
    name = head.removeprefix("ref: ")
    common = git / (_text(git / "commondir") or ".")
    packed = _text(common / "packed-refs") or ""
    listed = re.search(rf"^([0-9a-f]+) {re.escape(name)}$", packed, re.MULTILINE)
    return _text(common / name) or (listed[1] if listed else None)


def _text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("ascii", "replace").strip() if path.is_file() else None
    except OSError:
        return None
