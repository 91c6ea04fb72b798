"""The operator's command that says whether an idle server is busy."""

from __future__ import annotations

import asyncio
import logging
import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred

from zeroscale.lifecycle.plugin_adapter import from_coroutine
from zeroscale.probes.busy_command import LONGEST_REASON, RUN_EVERY, BusyCommand, shown_line
from zeroscale.process.environment import ChildEnvironment


class Harness:
    """A command in a directory, which writes to the file `runs` each time; with a clock of its own."""

    def __init__(self, directory: Path, script: str, *argv: str, limit: float = 30.0) -> None:
        self.directory = directory
        self.now = 1000.0
        environment = ChildEnvironment({"GIVEN": "yes"})
        words = argv or ("sh", "-c", f"echo >> runs; {script}")
        self.command = BusyCommand("survival", words, limit, directory, environment, lambda: self.now)

    async def reason(self) -> str | None:
        return await from_coroutine(self.command.reason())

    @property
    def runs(self) -> int:
        return len((self.directory / "runs").read_text())


@ensureDeferred
async def test_exit_code_0_is_busy_with_the_first_line_of_the_output(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    script = r'ls file; echo second; echo "$GIVEN $ZEROSCALE_SERVER" >&2'
    assert await Harness(tmp_path, script).reason() == "busy: file"
    assert await Harness(tmp_path, 'echo "$GIVEN $ZEROSCALE_SERVER"').reason() == "busy: yes survival"
    assert await Harness(tmp_path, "true").reason() == "busy: sh", "it has said nothing"


@ensureDeferred
async def test_any_other_exit_code_is_not_busy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for code in (1, 2, 125):
        assert await Harness(tmp_path, f"echo busy; exit {code}").reason() is None
    assert caplog.text == ""


@ensureDeferred
async def test_while_it_is_busy_it_runs_once_a_minute(tmp_path: Path) -> None:
    harness = Harness(tmp_path, "cat words")
    (tmp_path / "words").write_text("backup")
    assert await harness.reason() == "busy: backup"
    (tmp_path / "words").write_text("chunks")
    harness.now += RUN_EVERY - 0.1
    assert (await harness.reason(), harness.runs) == ("busy: backup", 1)
    harness.now += 0.1
    assert (await harness.reason(), harness.runs) == ("busy: chunks", 2)
    (tmp_path / "words").unlink()
    harness.now += RUN_EVERY
    assert (await harness.reason(), harness.runs) == (None, 3)
    (tmp_path / "words").write_text("backup")
    assert (await harness.reason(), harness.runs) == ("busy: backup", 4), "a backup may have begun since"


@ensureDeferred
async def test_the_log_says_once_that_it_is_busy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    harness = Harness(tmp_path, "cat words")
    (tmp_path / "words").write_text("37 %")
    for words in ("37 %", "38 %"):
        (tmp_path / "words").write_text(words)
        await harness.reason()
        harness.now += RUN_EVERY
    assert [record.getMessage() for record in caplog.records] == ["survival: not stopped: busy: 37 %"]


@ensureDeferred
async def test_one_that_takes_too_long_is_killed_and_not_busy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    harness = Harness(tmp_path, "", "sh", "-c", f"(sleep 60; :) > {pipe}; :", limit=0.5)

    async def run() -> None:
        asking = asyncio.ensure_future(harness.command.reason())
        opened = await asyncio.to_thread(pipe.open, "rb")  # until the innermost of them has begun
        assert await asking is None
        with opened:
            assert await asyncio.to_thread(opened.read) == b""  # its end: nobody is left who could write

    await from_coroutine(run())
    assert "survival: busy_command (sh) has taken more than 0.5 s, and the server counts as not busy" in caplog.text


@pytest.mark.parametrize(
    ("words", "warning"),
    [
        (["no-such-command"], "(no-such-command) cannot be run: No such file or directory"),
        (["sh", "-c", "no-such-command"], "(sh) ended with exit code 127: sh: 1: no-such-command: not found"),
        (["sh", "-c", "kill -9 $$"], "(sh) was ended by signal 9"),
    ],
)
@ensureDeferred
async def test_one_that_fails_is_not_busy_and_warned_of_once(
    words: list[str], warning: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    harness = Harness(tmp_path, "", *words)
    assert (await harness.reason(), await harness.reason()) == (None, None)
    [record] = caplog.records
    assert warning.split("sh: 1:")[0] in record.getMessage()


@ensureDeferred
async def test_it_is_warned_of_again_after_it_has_run_well(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    harness = Harness(tmp_path, "test -e good && exit 1; exit 127")
    await harness.reason()
    (tmp_path / "good").touch()
    await harness.reason()
    (tmp_path / "good").unlink()
    await harness.reason()
    await harness.reason()
    assert len(caplog.records) == 2


@ensureDeferred
async def test_an_environment_file_that_is_missing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    environment = ChildEnvironment(file=tmp_path / "missing")
    command = BusyCommand("survival", ["true"], 5.0, tmp_path, environment, lambda: 0.0)
    assert await from_coroutine(command.reason()) is None
    assert "busy_command (true) cannot be run: environment file" in caplog.text


@ensureDeferred
async def test_endless_output_is_bounded_in_time_and_size(tmp_path: Path) -> None:
    assert await Harness(tmp_path, "", "sh", "-c", "yes", limit=0.3).reason() is None
    assert await Harness(tmp_path, "head -c 3000000 /dev/zero | tr '\\0' x").reason() == "busy: " + "x" * LONGEST_REASON


@given(st.binary(max_size=300))
def test_what_is_shown_is_one_short_line_without_control_characters(output: bytes) -> None:
    shown = shown_line(output)
    assert len(shown) <= LONGEST_REASON and shown == shown.strip()
    assert not any(unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") for each in shown)
    if output.strip().isalnum():
        assert shown == output.decode()[:LONGEST_REASON].strip()
