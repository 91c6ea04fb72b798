"""The commit of an installed package, of a checkout and of a worktree."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from zeroscale.build_info import find_commit, version_line
from zeroscale.version import VERSION

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git(directory: Path, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    return subprocess.run(["git", *who, *words], cwd=directory, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def package(tmp_path: Path) -> Path:
    package = tmp_path / "checkout" / "zeroscale"
    package.mkdir(parents=True)
    return package


def test_an_installed_package_has_it_in_a_file(package: Path) -> None:
    (package / "commit.txt").write_text(f"{COMMIT}\n")
    assert find_commit(package) == COMMIT


@pytest.mark.parametrize("text", ["", "no commit", "0123", f"{COMMIT} or so"])
def test_a_file_with_anything_else_is_ignored(package: Path, text: str) -> None:
    (package / "commit.txt").write_text(text)
    assert find_commit(package) is None


@pytest.mark.peers("git")
def test_a_checkout_is_asked_without_git(package: Path) -> None:
    checkout = package.parent
    assert find_commit(package) is None
    git(checkout, "init", "--quiet")
    assert find_commit(package) is None  # nothing has been committed
    git(checkout, "commit", "--quiet", "--allow-empty", "--message=one")
    first = git(checkout, "rev-parse", "HEAD").strip()
    assert find_commit(package) == first
    git(checkout, "pack-refs", "--all")
    assert find_commit(package) == first
    git(checkout, "checkout", "--quiet", "--detach")
    assert find_commit(package) == first
    git(checkout, "worktree", "add", "--quiet", "-b", "other", "../worktree")
    other = checkout.parent / "worktree"
    git(other, "commit", "--quiet", "--allow-empty", "--message=two")
    assert find_commit(other / "zeroscale") == git(other, "rev-parse", "HEAD").strip() != first


def test_the_line_names_version_and_python() -> None:
    line = version_line("zeroscale")
    assert re.fullmatch(rf"zeroscale {VERSION} \((commit [0-9a-f]{{12}}, )?Python {platform.python_version()}\)", line)


@pytest.mark.parametrize("module", ["zeroscale", "zeroscale.daemon.main", "zeroscale.ctl.main", "zeroscale.daemon.tap"])
def test_windows_is_told_what_to_do(module: str) -> None:
    """The modules are those of plugins, both programs and twistd."""
    code = f"import sys; sys.platform = 'win32'; import {module}"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.startswith("zeroscale does not run on Windows itself.") and "WSL" in ran.stderr
