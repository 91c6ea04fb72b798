"""README.md is correct and short: its commands, and what they print."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from pathlib import Path

from ports import free_port
from processes import Program, python

from zeroscale.state.start_history import WORLD_LOCK

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_two_commands_stand_at_the_top() -> None:
    top = README.splitlines()[:8]
    assert "pip install . && zeroscale demo 25565 25575 --info" in top
    assert "pip install '.[test]' && pytest" in top


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 150


def test_files_that_it_names_are_there() -> None:
    named = re.findall(r"\]\(([\w./-]+)\)", README)
    assert len(named) > 30
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_its_six_commands_are_those_of_the_page_that_explains_them() -> None:
    page = (ROOT / "docs" / "get-started.md").read_text()
    [commands] = re.findall(r"```sh\n(python3 -m venv /opt.*?)```", README, re.DOTALL)
    assert f"```sh\n{commands}```" in page


def test_the_demo_is_as_shown(tmp_path: Path) -> None:
    [shown] = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    public, private = free_port(), free_port()
    command = ["demo", str(public), str(private), "--info", "-a", "start_seconds=0.5", "-t", "1"]
    with Program(python("-m", "zeroscale", *command, "--state_directory", str(tmp_path))) as proxy:
        proxy.wait_for(f"INFO:zeroscale.proxy:Ready: players come to port {public}")
        assert not (ROOT / WORLD_LOCK).exists(), "the tests run it elsewhere"
        lines = ["$ zeroscalectl ping localhost", *answer_of("ping", public), ""]
        lines += ["$ zeroscalectl join localhost", *answer_of("join", public)]
        assert form(lines) == form(shown.splitlines())
        for event in (
            ": starting: zeroscalectl ",
            ": ready after ",
            ": stopping: no players for 1 s",
            ": stopped after",
        ):
            proxy.wait_for(event)
        proxy.signal(signal.SIGTERM)
        assert proxy.wait() == 0


def answer_of(command: str, port: int) -> list[str]:
    """Return what a command of zeroscalectl prints."""
    with Program(python("-m", "zeroscale.ctl.main", command, f"localhost:{port}")) as program:
        assert program.wait() == 0
        return program.lines


def form(lines: Sequence[str]) -> list[str]:
    """Return lines without what differs from run to run."""
    return [re.sub(r"[0-9]+", "0", re.sub(r"0\.[0-9] second ", "0.0 seconds ", line)) for line in lines]


def test_files_that_contributing_names_are_there() -> None:
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`((?:zeroscale|docs|tests|\.ci)/[\w./]+|[\w.]+\.(?:toml|txt|md))`", contributing)
    named += re.findall(r"\]\(([\w./]+)\)", contributing)
    assert len(named) > 15
    assert [path for path in named if not (ROOT / path).exists()] == []
