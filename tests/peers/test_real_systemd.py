"""The plugin for systemd's units against a real systemd, which boots in systemd-nspawn over the host's own files.

Run as root, with `pytest -m nspawn`, on a machine that may nest containers; takes about 40 seconds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from peers.harness import ROOT
from peers.programs import Program, descendants

TARGET = """[Unit]
Requires=basic.target dbus.service
After=basic.target dbus.service
AllowIsolate=yes
"""


@contextmanager
def booted(directory: Path) -> Iterator[int]:
    """A container over an overlay of the host's root; the process, as the host sees it, that is its systemd."""
    upper, work, root = (directory / name for name in ("upper", "work", "root"))
    for each in (upper, work, root):
        each.mkdir()
    options = f"lowerdir=/,upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, root], check=True)
    try:
        (root / "etc/systemd/system/zeroscale-test.target").write_text(TARGET)
        (root / "etc/machine-id").write_text("")
        seen = [f"--bind={path}" for path in {str(ROOT), sys.prefix, sys.base_prefix} if not path.startswith("/usr")]
        words = ["--quiet", "--keep-unit", "--register=no", "-D", str(root), *seen, "--boot"]
        unified = "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1"  # to freeze takes control groups of version 2
        with Program(
            ["env", unified, "systemd-nspawn", *words, "systemd.unit=zeroscale-test.target"], directory
        ) as container:
            try:
                container.wait_for("zeroscale-test.target")
                yield next(pid for pid in descendants(container.process.pid) if _name(pid) == "systemd")
            finally:
                container.terminate()
    finally:
        subprocess.run(["umount", root], check=True)


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


@pytest.mark.nspawn
@pytest.mark.peers("systemd-nspawn")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can boot a container")
def test_units_of_a_real_systemd(tmp_path: Path) -> None:
    with booted(tmp_path) as leader:
        inside = ["nsenter", "--target", str(leader), "--mount", "--pid", "--uts", "--ipc", "--cgroup"]
        command = (
            f"cd '{ROOT}' && '{sys.executable}' -m pytest -q -p no:cacheprovider --basetemp=/run/zeroscale-test "
            "tests/plugins/systemd_unit/inside_systemd.py"
        )
        done = subprocess.run(
            [*inside, "sh", "-c", command],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr
