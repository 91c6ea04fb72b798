"""Jars, files of arguments and variables with a real Java: what we take them for is what it does."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import nullcontext
from pathlib import Path

import pytest
from jars import write_jar
from java_files import ARGUMENT_FILES, MANIFESTS

from zeroscale.errors import PluginError
from zeroscale.minecraft.start_script import heap_in_file
from zeroscale.plugins.minecraft.server import Server

pytestmark = [pytest.mark.slow, pytest.mark.peers("java")]

MIB = 1024 * 1024
SHOW_HEAP = "-XX:+PrintFlagsFinal -version"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "server"
    path.mkdir()
    (path / "eula.txt").write_text("eula=true\n")
    return path


def java(*words: str | Path, directory: Path, options: str | None = None) -> str:
    """Run Java; return all that it writes."""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_OPTIONS")}
    if options is not None:
        environment["JDK_JAVA_OPTIONS"] = options
    done = subprocess.run(
        ["java", *words], cwd=directory, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + done.stderr


def heap(output: str) -> int:
    found = re.search(r"\bMaxHeapSize\s*:?=\s*(\d+)", output)
    assert found is not None, output
    return int(found[1])


@pytest.mark.parametrize(("manifest", "name"), MANIFESTS)
def test_the_main_class_is_the_one_that_java_runs(tmp_path: Path, manifest: bytes, name: str) -> None:
    write_jar(tmp_path / "server.jar", manifest)
    expected = f"main class {name}\n" if name else "no main manifest attribute"
    assert expected in java("-jar", "server.jar", directory=tmp_path)


@pytest.mark.parametrize(("text", "arguments"), ARGUMENT_FILES)
def test_java_reads_the_same_words_in_a_file_of_arguments(tmp_path: Path, text: str, arguments: list[str]) -> None:
    (tmp_path / "args.txt").write_text(text, newline="")
    output = java("@args.txt", "-XX:+PrintFlagsFinal", "-XshowSettings:properties", "-version", directory=tmp_path)
    assert (heap(output) == 64 * MIB) is (heap_in_file(tmp_path / "args.txt") is not None)
    properties = [word.removeprefix("-D").partition("=") for word in arguments if word.startswith("-D")]
    for name, _, value in properties:
        assert f"    {name} = {value}\n" in output


@pytest.mark.parametrize("text", ["-Xmx96m", "-Xms16m -Xmx96m # -Xmx4G", "-XX:MaxHeapSize=96m", '"-Xmx96m"'])
def test_memory_is_refused_where_it_would_lose(directory: Path, text: str) -> None:
    (directory / "run.sh").write_text(f"#!/bin/sh\nexec java @user_jvm_args.txt {SHOW_HEAP}\n")
    (directory / "user_jvm_args.txt").write_text(text)
    with pytest.raises(PluginError, match="memory=64m would have no effect"):
        Server(server_port=25575, state_directory=directory, working_directory=directory, memory="64m").check()
    words = ("@user_jvm_args.txt", *SHOW_HEAP.split())
    assert heap(java(*words, directory=directory, options="-Xmx64m")) == 96 * MIB


@pytest.mark.parametrize(
    ("name", "wins"), [("_JAVA_OPTIONS", True), ("JAVA_TOOL_OPTIONS", False), ("JDK_JAVA_OPTIONS", False)]
)
def test_a_variable_is_refused_where_it_would_win(
    directory: Path, monkeypatch: pytest.MonkeyPatch, name: str, wins: bool
) -> None:
    (directory / "server.jar").touch()
    monkeypatch.setenv(name, "-Xmx96m")
    server = Server(server_port=25575, state_directory=directory, working_directory=directory, memory="64m")
    with pytest.raises(PluginError, match=f"{name} in its environment sets -Xmx96m") if wins else nullcontext():
        server.check()
    done = subprocess.run(["java", "-Xmx64m", *SHOW_HEAP.split()], capture_output=True, text=True, check=True)
    assert heap(done.stdout) == (96 if wins else 64) * MIB


def test_memory_is_refused_where_the_script_s_own_would_win(directory: Path) -> None:
    (directory / "start.sh").write_text(f"#!/bin/sh\nexec java -Xmx96m {SHOW_HEAP}\n")
    with pytest.raises(PluginError, match=r"start\.sh sets -Xmx96m"):
        Server(server_port=25575, state_directory=directory, working_directory=directory, memory="64m").check()
    assert heap(java("-Xmx96m", *SHOW_HEAP.split(), directory=directory, options="-Xmx64m")) == 96 * MIB
