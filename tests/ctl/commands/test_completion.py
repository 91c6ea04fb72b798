"""Completion, by the shells themselves."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import pytest_twisted
from ctl.ctl_fixture import CtlHarness
from twisted.internet.threads import deferToThread

from zeroscale.ctl import socket_discovery
from zeroscale.ctl.commands.completion import script
from zeroscale.ctl.parser import build_parser

BASH = """\
source "$1"
COMP_WORDS=("${@:2}")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_shtab_zeroscalectl
printf '%s\\n' "${COMPREPLY[@]}"
"""

ZSH = """\
PS1= ; PROMPT_EOL_MARK= ; unset zle_bracketed_paste
fpath=({directory} $fpath); autoload -Uz compinit; compinit -u -d {directory}/dump
zeroscalectl() {{ print -r -- "TYPED: $*" }}
"""
"""The completion asks the command, not this function, which says what the line has become."""

DEADLINE = 60.0


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("completion")
    for shell in ("bash", "zsh"):
        (directory / shell).write_text(script(build_parser(), shell))
    return directory


def completed(scripts: Path, environment: Mapping[str, str], *words: str) -> list[str]:
    """What bash offers for the last word."""
    command = ["bash", "--norc", "-c", BASH, "bash", str(scripts / "bash"), "zeroscalectl", *words]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=DEADLINE, env=environment, check=True)
    return ran.stdout.split()


bash = shutil.which("bash")
needs_bash = pytest.mark.skipif(bash is None, reason="no bash here")


@needs_bash
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["sta"], ["stats", "status"]),
        (["re"], ["release", "reload", "report"]),
        (["status", "--j"], ["--json"]),
        (["wake", "--"], ["--all", "--force", "--help", "--socket", "--wait"]),
        (["completion", ""], ["bash", "fish", "zsh"]),
    ],
)
def test_commands_and_options(scripts: Path, words: list[str], offered: list[str]) -> None:
    assert sorted(completed(scripts, os.environ, *words)) == offered


def with_our_command(directory: Path, harness: CtlHarness) -> dict[str, str]:
    command = directory / "zeroscalectl"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m zeroscale.ctl.main "$@"\n')
    command.chmod(0o755)
    path = os.pathsep.join([str(directory), os.environ["PATH"]])
    inherited = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    return {**inherited, "PATH": path, "ZEROSCALE_SOCKET": str(harness.path), "HOME": str(directory), "TERM": "dumb"}


@needs_bash
@pytest_twisted.ensureDeferred
async def test_servers_are_asked_for(scripts: Path, tmp_path: Path, harness: CtlHarness) -> None:
    harness.proxy.add("creative")
    harness.proxy.add("two words; rm")
    environment = with_our_command(tmp_path, harness)
    offered = await deferToThread(completed, scripts, environment, "status", "")
    assert {"creative", "survival"} <= set(offered)
    assert "rm" not in offered
    assert await deferToThread(completed, scripts, environment, "keep-awake", "cr") == ["creative"]
    assert await deferToThread(completed, scripts, environment, "wake", "survival", "cr") == ["creative"]


@pytest_twisted.ensureDeferred
async def test_no_proxy_no_names_and_no_complaint(harness: CtlHarness) -> None:
    assert (await harness.run("completion", "servers")).out == "survival\n"
    await harness.close()
    run = await harness.run("completion", "servers")
    assert (run.code, run.out, run.err) == (0, "", "")


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest_twisted.ensureDeferred
async def test_the_command_prints_the_script(harness: CtlHarness, scripts: Path, shell: str) -> None:
    assert (await harness.run("completion", shell)).out == (scripts / shell).read_text() + "\n"


@pytest.mark.slow
@pytest.mark.peers("zsh")
@pytest_twisted.ensureDeferred
async def test_in_zsh(scripts: Path, tmp_path: Path, harness: CtlHarness) -> None:
    environment = with_our_command(tmp_path, harness)
    shutil.copy(scripts / "zsh", tmp_path / "_zeroscalectl")
    typed = "".join(
        f"zeroscalectl {words}\t\n" for words in ("relo", "status surv", "wake --wa", "wake survival surv", "join --na")
    )

    def complete() -> str:
        ours, theirs = os.openpty()
        with open(ours, "r+b", buffering=0) as terminal:  # noqa: PTH123  # a descriptor
            shell = subprocess.Popen(["zsh", "-f", "-i"], stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
            os.close(theirs)
            terminal.write((ZSH.format(directory=tmp_path) + typed + "exit\n").encode())
            output = b""
            with contextlib.suppress(OSError):  # EIO: the shell has ended
                while data := terminal.read(4096):
                    output += data
            shell.wait(DEADLINE)
        return output.decode()

    output = await deferToThread(complete)
    assert re.findall(r"\nTYPED: (.*?)\r\n", output) == [
        "reload",
        "status survival",
        "wake --wait",
        "wake survival survival",
        "join --name",
    ], output


@pytest_twisted.ensureDeferred
async def test_the_servers_of_all_zeroscales(
    harness: CtlHarness, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(socket_discovery.VARIABLE, raising=False)
    monkeypatch.setattr("zeroscale.control.socket_path.SYSTEM_DIRECTORY", directory)
    for variable in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
        monkeypatch.setenv(variable, str(directory / "none"))
    await harness.add(directory / "lobby-25566.sock", "lobby-25566")
    assert (await harness.run("completion", "servers", chosen=False)).out == "survival\nlobby-25566\n"
