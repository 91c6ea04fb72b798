"""The units under systemd/: systemd accepts every line, their hardening works, and their commands exist."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from zeroscale.ctl.parser import build_parser
from zeroscale.daemon import options
from zeroscale.errors import ConfigError

UNITS = Path(__file__).parent.parent.parent / "systemd"
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
ALL = sorted(path.name for path in UNITS.iterdir() if path.suffix in (".service", ".socket"))

MOST_EXPOSED = {"zeroscale-proxy.service": 25, "zeroscale.service": 25, "zeroscale@.service": 25}
"""Tenths of `systemd-analyze security`'s exposure. The small examples are to be read; they are not held to it."""


def settings(name: str, key: str) -> list[str]:
    """What a unit says to this key, in order."""
    lines = (UNITS / name).read_text().splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """All units, with commands that are there: systemd looks for them."""
    for path in UNITS.iterdir():
        text = path.read_text()
        for program in ("zeroscalectl", "zeroscale", "twistd"):
            text = text.replace(f"=/usr/local/bin/{program} ", "=/bin/true ")
        (tmp_path / path.name).write_text(text)
    for name in ALL:
        if "@." in name:
            shutil.copy(tmp_path / name, tmp_path / name.replace("@.", "@25565."))
    drop_in = tmp_path / "zeroscale@left.service.d"
    drop_in.mkdir()
    shutil.copy(tmp_path / "zeroscale.service", tmp_path / "zeroscale@left.service")
    shutil.copy(tmp_path / "zeroscale-leave.conf", drop_in)
    return tmp_path


def analyze(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *words], cwd=directory, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.peers("systemd-analyze")
def test_systemd_understands_every_line(directory: Path) -> None:
    names = sorted(path.name for path in directory.iterdir() if path.suffix in (".service", ".socket"))
    assert len(names) > len(ALL)
    done = analyze(directory, "verify", "--man=no", *(f"./{name}" for name in names))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.peers("systemd-analyze")
def test_a_line_that_is_none_would_be_seen(directory: Path) -> None:
    with (directory / "zeroscale.service").open("a") as unit:
        unit.write("[Service]\nProtectEverything=yes\n")
    assert "ProtectEverything" in analyze(directory, "verify", "--man=no", "./zeroscale.service").stderr


@pytest.mark.peers("systemd-analyze")
@pytest.mark.parametrize(("name", "threshold"), MOST_EXPOSED.items())
def test_how_much_is_left_open(directory: Path, name: str, threshold: int) -> None:
    if "@" in name:
        name = name.replace("@", "@25565")
    done = analyze(directory, "security", "--offline=true", f"--threshold={threshold}", f"./{name}")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", SERVICES)
def test_no_server_is_killed(name: str) -> None:
    assert settings(name, "KillMode") == ["process"]
    assert settings(name, "Type") == ["notify"]


@pytest.mark.parametrize("key", ["StateDirectory", "RuntimeDirectory"])
def test_examples_of_two_users_share_no_directory(key: str) -> None:
    """systemd gives such a directory, with all that is in it, to whichever user's unit starts last."""
    users: dict[str, set[str]] = {}
    for name in SERVICES:
        [directory] = settings(name, key)
        users.setdefault(directory, set()).update(settings(name, "User"))
    assert {directory: found for directory, found in users.items() if len(found) > 1} == {}


@pytest.mark.parametrize("name", SERVICES)
def test_its_commands_are_ours(name: str) -> None:
    for command in (*settings(name, "ExecStart"), *settings(name, "ExecReload")):
        program, *words = shlex.split(command.replace("%S", "/var/lib").replace("%i", "one"))
        match Path(program).name:
            case "zeroscale":
                assert understood(words)
            case "twistd":
                assert words[:3] == ["--nodaemon", "--pidfile=", "zeroscale"]
                assert understood(words[3:])
            case "zeroscalectl":
                assert build_parser().parse_args(words)
            case "kill":
                assert words == ["-HUP", "$MAINPID"]
            case other:
                raise AssertionError(other)


def understood(words: Sequence[str]) -> bool:
    try:
        options.parse(words)
    except ConfigError as error:
        return "/etc/zeroscale" in str(error)  # only the file is missing here
    return True
