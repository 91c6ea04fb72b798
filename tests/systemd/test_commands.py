"""The commands of the pages for operators, as they stand there, under a real systemd: pytest -m nspawn, as root.

The machine inside has a server in /srv/survival with its old service, the demo server in the place of Java, and a
checkout; it reaches no network. `git pull` does nothing there, and `nano` is a shell function that changes a key.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from demo_java import demo_java
from pages import block

from systemd import test_nspawn

root = test_nspawn.root
REPOSITORY = test_nspawn.REPOSITORY
GET_STARTED, SYSTEMD, OPERATING = "docs/get-started.md", "docs/systemd.md", "docs/operating.md"
PYTHON = "/usr/bin/python3"
"""The system's, whose version need not be that of the tests."""

pytestmark = [pytest.mark.nspawn, pytest.mark.peers("systemd-nspawn", "tmux", PYTHON)]

JAVA = demo_java("/opt/zeroscale/bin/python", None, 0.5)
OLD_SERVICE = "[Service]\nExecStart=/usr/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
UNIT = "[Unit]\nAfter=multi-user.target dbus.socket\n[Service]\nType=exec\nExecStart=/bin/bash /opt/results/reader.sh\n"


def reader() -> str:
    """What is typed: reader.sh, with the blocks of the pages in the place of their names."""
    stop_it = block(OPERATING, "zeroscalectl sleep survival  ").text.splitlines()  # each is for a server that runs
    blocks = {
        "SIX_COMMANDS": block(GET_STARTED, "python3 -m venv /opt/zeroscale").text,
        "CHANGE": block(GET_STARTED, "nano /etc/zeroscale.toml").text,
        "EVERY_DAY": block(GET_STARTED, "zeroscalectl status  ").text,
        "LOOK": block("docs/trouble.md", "zeroscalectl status survival").text,
        "SERVICE": block(SYSTEMD, "systemctl status zeroscale").text,
        "INSTALL": block(SYSTEMD, "/opt/zeroscale/bin/zeroscalectl systemd install").text,
        "SECOND_SERVER": block(SYSTEMD, "zeroscalectl init /srv/creative").text,
        "STOP_IT": "".join(f"zeroscalectl wake survival --wait\n{line}\n" for line in stop_it),
        "LOCK": block(OPERATING, 'zeroscalectl lockout survival "Something').text,
        "BEFORE_WORK": block(OPERATING, 'zeroscalectl lockout survival "New mods').text,
        "AFTER_WORK": block(OPERATING, "zeroscalectl wake survival --wait --force").text,
        "BACKUP": block(OPERATING, "#!/bin/sh\nserver=survival").text,
        "NIGHTLY": block(OPERATING, "chmod +x /usr/local/bin/backup").text,
        "RESTORE": block(OPERATING, "cd /srv/survival && mv world").text,
        "KEEP_AWAKE": block(OPERATING, "zeroscalectl keep-awake survival").text,
        "LEAVE": block(OPERATING, "zeroscalectl example zeroscale-leave.conf").text,
        "UPGRADE": block(OPERATING, "cd zeroscale && git pull").text,
        "UNINSTALL": block(OPERATING, "zeroscalectl sleep --all --now").text,
        "REMOVE": block(GET_STARTED, "zeroscalectl systemd uninstall").text,
        "CONTAINERS": block(SYSTEMD, "/opt/zeroscale/bin/pip install '.[docker]'").text,
        "ENVIRONMENT": block(GET_STARTED, "python3 -m venv ~").text,
        "INIT": block(GET_STARTED, "cd ~/minecraft").text.replace("--info", "--info & stop_soon"),
        "TMUX_SESSION": block(GET_STARTED, "tmux new-session").text.replace("\n", "\nsleep 3\n", 1),
    }
    assert block("README.md", "python3 -m venv /opt/zeroscale").text == blocks["SIX_COMMANDS"]
    text = (Path(__file__).parent / "inside" / "reader.sh").read_text()
    for name, commands in blocks.items():
        assert text.count(f"    {name}\n") == 1
        text = text.replace(f"    {name}\n", commands)
    return text.replace(" --follow", " --no-pager")  # which never ends


NOT_COPIED = shutil.ignore_patterns(".*", "build", "*.egg-info", "node_modules", "__pycache__")


def wheels(directory: Path) -> Path:
    """Return a directory with all that pip needs inside."""
    checkout = directory / "checkout"
    shutil.copytree(REPOSITORY, checkout, ignore=NOT_COPIED, symlinks=True)
    subprocess.run([PYTHON, "-m", "venv", directory / "venv"], check=True)
    options = ["--quiet", "--wheel-dir", str(directory / "wheels"), "--constraint", str(REPOSITORY / "constraints.txt")]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [str(directory / "venv" / "bin" / "pip"), "wheel", *options, f"{checkout}[all]", "setuptools", "wheel"]
    subprocess.run(command, check=True, env=environment, cwd=directory)
    return directory / "wheels"


def furnish(root: Path) -> None:
    """Puts in what is there before zeroscale is."""
    system = root / "etc" / "systemd" / "system"
    shutil.rmtree(system / "multi-user.target.wants", ignore_errors=True)
    (system / "multi-user.target.wants").mkdir()
    for name, text in (("minecraft.service", OLD_SERVICE), ("reader.service", UNIT)):
        (system / name).write_text(text)
        (system / "multi-user.target.wants" / name).symlink_to(f"../{name}")
    for name in ("zeroscale", "zeroscalectl", "java"):
        (root / "usr" / "local" / "bin" / name).unlink(missing_ok=True)
    java = root / "usr" / "local" / "bin" / "java"
    java.write_text(JAVA)
    java.chmod(0o755)
    with (root / "etc" / "passwd").open("a") as users, (root / "etc" / "group").open("a") as groups:
        users.write("max:x:4321:4321::/home/max:/bin/bash\n")
        groups.write("max:x:4321:\n")
    for home in ("root", "home/max"):
        shutil.copytree(REPOSITORY, root / home / "zeroscale", ignore=NOT_COPIED, symlinks=True)
    for server in ("srv/survival", "srv/creative", "home/max/minecraft"):
        (root / server).mkdir(parents=True)
        (root / server / "server.jar").write_bytes(b"")
        (root / server / "eula.txt").write_text("eula=true\n")
    subprocess.run(["chown", "-R", "4321:4321", root / "home" / "max"], check=True)
    for name in ("results", "reader"):
        (root / "opt" / name).mkdir(parents=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can boot a container")
def test_its_commands_lead_to_a_sleeping_server(root: Path, tmp_path: Path) -> None:
    furnish(root)
    results = tmp_path / "results"
    results.mkdir()
    results.chmod(0o777)
    (results / "reader.sh").write_text(reader())
    command = ["systemd-nspawn", "--directory", str(root), "--boot", "--register=no", "--keep-unit", "--quiet"]
    command += ["--private-network", f"--bind-ro={wheels(tmp_path)}:/opt/reader", f"--bind={results}:/opt/results"]
    command += ["--machine=zeroscale-reader", "systemd.unit=multi-user.target"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=test_nspawn.LONGEST, check=False
    )
    said = (results / "said").read_text() if (results / "said").exists() else done.stdout[-4000:]
    assert "done" in said.splitlines(), said
