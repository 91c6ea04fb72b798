"""The package's build script; what it builds is described in pyproject.toml.

It writes the commit that is built into the package, for `zeroscale --version`: that of the checkout, that which the
source distribution was made from, or $ZEROSCALE_COMMIT where there is neither, as in the build of an image.
"""

import os
import shutil
import subprocess
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

COMMIT_FILE = Path("zeroscale/commit.txt")


def write_commit(directory: str) -> None:
    path = Path(directory) / COMMIT_FILE
    if path.parent.is_dir() and (commit := find_commit()):
        path.write_text(f"{commit}\n")


def find_commit() -> str:
    if COMMIT_FILE.is_file():
        return COMMIT_FILE.read_text().strip()
    if Path(".git").exists():
        try:
            found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            pass
        else:
            return found.stdout.strip()
    return os.environ.get("ZEROSCALE_COMMIT", "")


class BuildPackage(build_py):
    def run(self) -> None:
        if not self.editable_mode:
            # pip keeps build/ of a checkout: a module deleted since the last build would be installed again.
            shutil.rmtree(Path(self.build_lib) / "zeroscale", ignore_errors=True)
        super().run()
        if not self.editable_mode:
            write_commit(self.build_lib)


class SourceDistribution(sdist):
    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        write_commit(base_dir)


setup(cmdclass={"build_py": BuildPackage, "sdist": SourceDistribution})
