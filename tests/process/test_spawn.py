"""The environment that a program is started in, and the messages when it cannot be started."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from plugins.process_fixture import children

from zeroscale.errors import PluginError, StartRefused
from zeroscale.process.spawn import check_program, spawn

OF_THE_C_LIBRARY = 0b11 << 31
"""Signals 32 and 33, which programs cannot set. `posix_spawn` ignores them; Python 3.13 starts processes, as those that
run tests, by it."""


def run(argv: list[str], directory: Path, kept: tuple[int, ...] = ()) -> str:
    """Return the output of a program, which must exit with 0."""
    read, write = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY)
    try:
        child = spawn(
            argv, working_directory=directory, environment={}, standard_input=null, standard_output=write, pass_fds=kept
        )
    finally:
        os.close(write)
        os.close(null)
    with os.fdopen(read) as output:
        message = output.read()
    assert child.wait() == 0
    return message


def why_not(argv: list[str], directory: Path) -> str:
    with pytest.raises(PluginError) as raised:
        run(argv, directory)
    message = str(raised.value)
    assert "\n" not in message
    return message


def test_no_descriptor_of_ours_but_those_it_is_given(tmp_path: Path) -> None:
    with (tmp_path / "inheritable").open("w") as inheritable, (tmp_path / "kept").open("w") as kept:
        os.set_inheritable(inheritable.fileno(), True)
        code = "import os; print(*(n for n in range(3, 1000) if os.path.exists(f'/proc/self/fd/{n}')))"
        assert run([sys.executable, "-c", code], tmp_path, (kept.fileno(),)) == f"{kept.fileno()}\n"


def test_a_session_of_its_own_and_one_output(tmp_path: Path) -> None:
    code = "import os, sys; print(os.getsid(0) == os.getpgid(0) == os.getpid(), flush=True); sys.stderr.write('error')"
    assert run([sys.executable, "-c", code], tmp_path) == "True\nerror"


def test_no_signal_is_ignored_though_we_ignore_some(tmp_path: Path) -> None:
    ours = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)}
    try:
        message = run(["grep", "-E", "^SigIgn", "/proc/self/status"], tmp_path)
        assert [signal.getsignal(number) for number in ours] == [signal.SIG_IGN] * 3, "ours stay as they were"
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
    assert int(message.split()[1], 16) & ~OF_THE_C_LIBRARY == 0


def test_there_is_no_such_program(tmp_path: Path) -> None:
    assert why_not(["no-such-program"], tmp_path).startswith("there is no 'no-such-program' in PATH: install it")
    assert why_not(["/no/such/program"], tmp_path) == "cannot start /no/such/program: there is no such file"
    assert why_not(["./start.sh"], tmp_path) == f"cannot start {tmp_path / 'start.sh'}: there is no such file"


@pytest.mark.parametrize("program", ["no-such-program", "./no-such-program", "/no/such/program"])
def test_that_there_is_no_such_program_is_known_before(tmp_path: Path, program: str) -> None:
    with pytest.raises(PluginError, match=r"no-such-program|no such file"):
        check_program([program, "argument"], tmp_path, {})
    check_program(["true"], tmp_path, {})
    (tmp_path / "start.sh").touch()
    check_program(["./start.sh"], tmp_path, {})


def test_a_program_is_found_where_it_is_started_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "ours"))
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}-program").write_text("#!/bin/sh\n")
        (tmp_path / name / f"{name}-program").chmod(0o755)
    environment = {"PATH": str(tmp_path / "theirs")}
    check_program(["theirs-program"], tmp_path, environment)
    with pytest.raises(PluginError, match="there is no 'ours-program' in PATH"):
        check_program(["ours-program"], tmp_path, environment)


def test_a_script_with_the_line_ends_of_windows(tmp_path: Path) -> None:
    script = tmp_path / "start it.sh"
    for first_line in (b"#!/usr/bin/env sh", b"#!/bin/sh"):
        script.write_bytes(first_line + b"\r\necho $0\r\n")
        script.chmod(0o755)
        with pytest.raises(PluginError) as raised:
            check_program(["./start it.sh"], tmp_path, {})
        [command] = re.findall("run (sed .*)", str(raised.value))
        subprocess.run(["sh", "-c", command], check=True)
        check_program(["./start it.sh"], tmp_path, {})
        assert run(["./start it.sh"], tmp_path) == "./start it.sh\n"


@pytest.mark.parametrize("content", [b"", b"echo\r\n", b"#!/bin/sh\necho\r\n", b"\x7fELF\r\n", b"#!" + b"x" * 9999])
def test_what_is_no_such_script(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "program").write_bytes(content)
    check_program(["./program"], tmp_path, {})
    check_program(["./"], tmp_path, {})


def test_it_is_here_but_not_in_path(tmp_path: Path) -> None:
    (tmp_path / "start.sh").write_text("#!/bin/sh\n")
    assert why_not(["start.sh"], tmp_path).endswith(f"for the one in {tmp_path} write ./start.sh")


def test_it_is_not_executable(tmp_path: Path) -> None:
    script = tmp_path / "start.sh"
    script.write_text("#!/bin/sh\n")
    assert why_not(["./start.sh"], tmp_path).endswith(f"executable? (chmod +x {script})")
    assert "may not run" in why_not(["./"], tmp_path), "a directory"


def test_its_interpreter_is_missing(tmp_path: Path) -> None:
    script = tmp_path / "start.sh"
    script.write_text("#!/no/such/shell\n")
    script.chmod(0o755)
    assert "the interpreter that its first line names does not exist" in why_not(["./start.sh"], tmp_path)
    script.write_text("echo no first line\n")
    assert "is no program" in why_not(["./start.sh"], tmp_path)


def test_the_working_directory(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert why_not(["true"], missing) == f"the working directory {missing} does not exist"
    missing.write_text("")
    assert why_not(["true"], missing) == f"the working directory {missing} is not a directory"


def test_nonsense(tmp_path: Path) -> None:
    assert why_not([], tmp_path) == "cannot start the server: its command is empty"
    assert "null byte" in why_not(["true", "a\0b"], tmp_path)
    assert "Argument list too long" in why_not(["true", "x" * 10_000_000], tmp_path)


def test_no_child_is_left_by_a_failure(tmp_path: Path) -> None:
    before = children()
    why_not(["no-such-program"], tmp_path)
    assert children() == before
    assert not subprocess._active  # type: ignore[attr-defined] # where Popen keeps children nobody waited for


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.EAGAIN, "no more processes .*TasksMax=.*--pids-limit.*ulimit -u"),
        (errno.EMFILE, "Too many open files"),
        (errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_a_limit_is_named_and_is_no_fault_of_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, reason: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(StartRefused, match=f"sh: {reason}"):
        spawn(
            ["/bin/sh"],
            working_directory=tmp_path,
            environment={},
            standard_input=subprocess.DEVNULL,
            standard_output=subprocess.DEVNULL,
        )
