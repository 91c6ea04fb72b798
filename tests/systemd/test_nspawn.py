"""zeroscale under a real systemd, in a container over this machine's own files: pytest -m nspawn, as root.

Everything that it changes is in memory and gone afterwards. What happens inside stands in inside/scenario.py.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.nspawn, pytest.mark.peers("systemd-nspawn")]

REPOSITORY = Path(__file__).parent.parent.parent
INSIDE = Path(__file__).parent / "inside"
LONGEST = 240
"""Seconds; it takes about 60."""

EXPECTED = """\
activation: before: inactive
activation: by a connection: active
stop_during_a_save: saved whole: True, longer than TimeoutStopSec=2s: True
stop_during_a_save: result: success
start: active: active, status: survival sleeping, user: zeroscale
start: by port 443: a server of user zeroscale, status: survival running, 1 player
start: zeroscalectl finds it: True
reload: after a reload: active
reload: a mistake: True, and it is still active
watchdog: watchdog: True
watchdog: restarted within 20 s: True, the same server: True
restart: restarted: True, the same server for all: True
restart: refused: 0
restart: cut off: True
proxy_only: relayed: True, dynamic user: True
proxy_only: result: success
installed: owner: zeroscale, an older unit is kept: True
installed: healthy: zeroscale answers: 1 server
installed: a player got in: True, may write: True
installed: installed again: True
installed: sections of a report: 4, removed: True
installed: the server is stopped: True, and left: True
done
"""

# What users have in /usr/local/bin; here it must not lie in a home directory, which the units do not let be seen.
WRAPPER = """\
#!/bin/sh
export LD_LIBRARY_PATH=/opt/python/lib
export PYTHONPATH="$PYTHONPATH:/opt/checkout:/opt/packages"
exec /opt/python/bin/{python} -c 'import sys; from {module} import main; sys.argv[0] = "{name}"; sys.exit(main())' "$@"
"""
SCENARIO = """\
[Unit]
Description=What is to be seen
After=multi-user.target dbus.socket
[Service]
Type=exec
Environment=LD_LIBRARY_PATH=/opt/python/lib PYTHONUNBUFFERED=1
ExecStart=/opt/python/bin/{python} /opt/inside/scenario.py
StandardOutput=file:/opt/results/said
StandardError=file:/opt/results/errors
[Install]
WantedBy=multi-user.target
"""
LOW_PORT = "[Socket]\nListenStream=443\n"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """This machine's files, with a layer in memory over them."""
    memory, root = tmp_path / "memory", tmp_path / "root"
    with contextlib.ExitStack() as stack:
        for mount_point in (memory, root):
            mount_point.mkdir()
            stack.callback(mount_point.rmdir)
        _mount(stack, "tmpfs", "tmpfs", memory)
        for layer in ("upper", "work"):
            (memory / layer).mkdir()
        layers = f"lowerdir=/,upperdir={memory}/upper,workdir={memory}/work"
        _mount(stack, "overlay", "overlay", root, "-o", layers)
        yield root


def _mount(stack: contextlib.ExitStack, kind: str, source: str, mount_point: Path, *options: str) -> None:
    subprocess.run(["mount", "-t", kind, *options, source, str(mount_point)], check=True)
    stack.callback(subprocess.run, ["umount", str(mount_point)], check=True)


def furnish(root: Path, python: str) -> None:
    """Puts in what an operator would install."""
    for name in ("python", "checkout", "packages", "inside", "units", "results"):
        (root / "opt" / name).mkdir(parents=True, exist_ok=True)
    for name, module in (("zeroscale", "zeroscale.daemon.main"), ("zeroscalectl", "zeroscale.ctl.main")):
        program = root / "usr" / "local" / "bin" / name
        program.write_text(WRAPPER.format(python=python, module=module, name=name))
        program.chmod(0o755)
    with (root / "etc" / "passwd").open("a") as users, (root / "etc" / "group").open("a") as groups:
        users.write("zeroscale:x:987:987::/srv:/usr/sbin/nologin\n")
        groups.write("zeroscale:x:987:\n")
    (root / "srv" / "survival").mkdir(parents=True, exist_ok=True)
    os.chown(root / "srv" / "survival", 987, 987)
    system = root / "etc" / "systemd" / "system"
    shutil.rmtree(system / "multi-user.target.wants", ignore_errors=True)
    for unit in (REPOSITORY / "systemd").iterdir():
        shutil.copy(unit, system)
    (system / "zeroscale.socket.d").mkdir()
    (system / "zeroscale.socket.d" / "low.conf").write_text(LOW_PORT)
    (system / "scenario.service").write_text(SCENARIO.format(python=python))
    (system / "multi-user.target.wants").mkdir()
    (system / "multi-user.target.wants" / "scenario.service").symlink_to("../scenario.service")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can boot a container")
def test_under_a_real_systemd(root: Path, tmp_path: Path) -> None:
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    furnish(root, python)
    results = tmp_path / "results"
    results.mkdir()
    binds = {
        sys.base_prefix: "/opt/python",
        str(REPOSITORY): "/opt/checkout",
        sysconfig.get_path("purelib"): "/opt/packages",
        str(INSIDE): "/opt/inside",
        str(REPOSITORY / "systemd"): "/opt/units",
    }
    command = [
        "systemd-nspawn",
        "--directory",
        str(root),
        "--boot",
        "--register=no",
        "--keep-unit",
        "--private-network",
    ]
    command += [f"--bind-ro={source}:{mount_point}" for source, mount_point in binds.items()]
    command += [
        f"--bind={results}:/opt/results",
        "--machine=zeroscale-test",
        "--quiet",
        "systemd.unit=multi-user.target",
    ]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LONGEST, check=False
        )
        booted = done.stdout[-4000:]
    except subprocess.TimeoutExpired as error:
        booted = f"it did not end: {error.stdout!r}"
    output = (results / "said").read_text() if (results / "said").exists() else ""
    sys.stdout.write(output)
    errors = (results / "errors").read_text() if (results / "errors").exists() else ""
    assert output == EXPECTED, f"{output}\n{errors}\n{booted}"
