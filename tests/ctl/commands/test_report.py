"""`zeroscalectl report`: everything that is asked for, and nothing that is secret."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytest_twisted
from ctl.ctl_fixture import CtlHarness

from zeroscale.ctl.commands.report import LINES
from zeroscale.ctl.main import main

CONFIG = """\
[servers.survival]
plugin = "minecraft"
listen = 25565
server = "192.0.2.7:25575"
plugin_arguments = { rcon_password = "hunter2" }
"""


@pytest_twisted.ensureDeferred
async def test_all_sections(harness: CtlHarness, tmp_path: Path) -> None:
    (tmp_path / "zeroscale.toml").write_text(CONFIG)
    (tmp_path / "log").write_text("".join(f"line {number} 203.0.113.7 password=hunter2\n" for number in range(100)))
    run = await harness.run("report", "--config", str(tmp_path / "zeroscale.toml"), "--log", str(tmp_path / "log"))
    assert run.code == 0
    titles = [line.removeprefix("### ") for line in run.out.splitlines() if line.startswith("### ")]
    assert titles == ["Versions", "Configuration", "Status", "Log"]
    assert "zeroscale 0." in run.out and "twisted " in run.out
    assert 'plugin = "minecraft"' in run.out
    assert "survival: " in run.out
    assert run.out.count("line ") == LINES and "line 99 [address]" in run.out
    assert "hunter2" not in run.out and "203.0.113.7" not in run.out and "192.0.2.7" not in run.out


def test_what_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--config", str(tmp_path / "none"), "--log", str(tmp_path / "none"), "--socket", str(tmp_path / "none")]
    assert main(["report", *words]) == 0
    shown = capsys.readouterr().out
    assert shown.count("cannot be read: ") == 2
    assert "not known: no zeroscale answers" in shown


def test_a_line_of_the_log_does_not_end_its_block(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log").write_text("survival: ```\n")
    words = ["--config", str(tmp_path / "none"), "--log", str(tmp_path / "log"), "--socket", str(tmp_path / "none")]
    assert main(["report", *words]) == 0
    assert capsys.readouterr().out.count("```") == 8
