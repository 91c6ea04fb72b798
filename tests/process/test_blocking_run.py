"""A program is run to its end in the calling thread: input, output, time limit."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path

import pytest
from processes import descriptors

from zeroscale.errors import PluginError
from zeroscale.process.blocking_run import KEPT_OUTPUT, EndedProgram, run_with_input

ENVIRONMENT = {"PATH": os.environ["PATH"]}


def run(script: str, directory: Path, content: bytes = b"", limit: float = 30.0) -> EndedProgram:
    return run_with_input(
        ["sh", "-c", script], directory=directory, environment=ENVIRONMENT, content=content, limit=limit
    )


def test_its_input_output_and_exit_code(tmp_path: Path) -> None:
    assert run("cat > got; echo one; echo two >&2; echo; exit 3", tmp_path, b"given") == EndedProgram(3, "two")
    assert (tmp_path / "got").read_bytes() == b"given"


def test_an_input_larger_than_a_pipe(tmp_path: Path) -> None:
    content = b"x" * 300_000
    assert run("cat > got", tmp_path, content) == EndedProgram(0, "")
    assert (tmp_path / "got").read_bytes() == content


@pytest.mark.parametrize("script", ["exit 0", "exec <&-; sleep 0.1", "head -c 5 >&2"])
def test_one_that_does_not_read_its_input(tmp_path: Path, script: str) -> None:
    assert run(script, tmp_path, b"x" * 300_000).code == 0


def test_of_endless_output_only_the_end_is_kept(tmp_path: Path) -> None:
    ended = run("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end", tmp_path)
    assert ended == EndedProgram(0, "end")
    assert len(run("head -c 3000000 /dev/zero | tr '\\0' x", tmp_path).last_line) <= KEPT_OUTPUT


def test_after_the_limit_it_is_killed_with_what_it_started(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    ended = run(f"echo begun; (sleep 60; :) > {pipe} & sleep 60; :", tmp_path, limit=0.5)
    assert ended == EndedProgram(None, "begun")
    assert select.select([reading], [], [], 10.0)[0]
    assert os.read(reading, 1) == b"", "the innermost process has its end of the pipe closed"
    os.close(reading)


def test_endless_output_does_not_extend_the_limit(tmp_path: Path) -> None:
    begin = time.monotonic()
    assert run("while :; do echo x; done", tmp_path, limit=0.3).code is None
    assert time.monotonic() - begin < 10


def test_what_it_leaves_in_the_background_is_not_waited_for(tmp_path: Path) -> None:
    begin = time.monotonic()
    assert run("sleep 20 & echo $! > pid; echo done", tmp_path) == EndedProgram(0, "done")
    assert time.monotonic() - begin < 10
    os.kill(int((tmp_path / "pid").read_text()), 9)


def test_a_signal_that_ends_it(tmp_path: Path) -> None:
    assert run("kill -9 $$", tmp_path).code == -9


def test_one_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="no-such-program"):
        run_with_input(["no-such-program"], directory=tmp_path, environment=ENVIRONMENT, content=b"", limit=1.0)


def test_it_leaves_no_descriptor_open(tmp_path: Path) -> None:
    before = descriptors()
    run("cat", tmp_path, b"x")
    with pytest.raises(PluginError):
        run_with_input(["no-such-program"], directory=tmp_path, environment=ENVIRONMENT, content=b"", limit=1.0)
    assert descriptors() == before


def test_without_pidfds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    assert run("cat; sleep 0.1; exec 1>&- 2>&-; exit 4", tmp_path, b"x") == EndedProgram(4, "x")
