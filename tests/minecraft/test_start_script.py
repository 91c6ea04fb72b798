"""What a start script does."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from java_files import ARGUMENT_FILES

from zeroscale.minecraft.start_script import heap_in_file, java_arguments, read_start_script

FORGE = (
    '#!/usr/bin/env sh\n# Add to the user_jvm_args.txt\njava @user_jvm_args.txt @libraries/net/x/unix_args.txt "$@"\n'
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.sh"


@pytest.mark.parametrize(
    ("text", "loader"),
    [
        (FORGE, True),
        ("exec java @user_jvm_args.txt nogui", True),
        ('java "@user_jvm_args.txt" nogui', True),
        ("java @/srv/forge/user_jvm_args.txt nogui", True),
        ("java -Xmx4G @unix_args.txt nogui", True),
        ("# java @user_jvm_args.txt\njava -jar server.jar", False),
        ("  # java @libraries/unix_args.txt\njava -jar server.jar", False),
        ("cat user_jvm_args.txt; java -jar server.jar", False),
        ("", False),
    ],
)
def test_whether_it_starts_a_loader(path: Path, text: str, loader: bool) -> None:
    path.write_text(text)
    assert read_start_script(path).starts_loader is loader


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("zeroscale minecraft 25565 25575", True),
        ("exec /usr/local/bin/zeroscale --config zeroscale.toml", True),
        ("python3 -m zeroscale -i", True),
        ("twistd zeroscale demo 1 2", True),
        ("# zeroscale --config x\njava -jar x.jar", False),
        ("cd /srv/zeroscale && java -jar x.jar", False),
        ("cd /srv/zeroscale\njava -jar x.jar", False),
        ("zeroscalectl status", False),
    ],
)
def test_whether_it_starts_zeroscale(path: Path, text: str, ours: bool) -> None:
    path.write_text(text)
    assert read_start_script(path).starts_zeroscale is ours


@pytest.mark.parametrize(
    ("text", "passes"),
    [('java x "$@"', True), ("java x $*", True), ("java x", False), ('# pass them to "$@"\njava x', False)],
)
def test_whether_it_passes_its_arguments_on(path: Path, text: str, passes: bool) -> None:
    path.write_text(text)
    assert read_start_script(path).passes_arguments is passes


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("java -jar x", True),
        ("  exec  java -jar x", True),
        ("/opt/java/bin/java -jar x", False),
        ('"$JAVA" -jar x', False),
        ("#java -jar", False),
        ("export PATH=/opt/java/bin:$PATH\njava -jar x", False),
        ("cd world; . ./settings.sh\njava -jar x", False),
        ("source ~/.sdkman/bin/sdkman-init.sh\nexec java -jar x", False),
        ('eval "$(mise env)"\njava -jar x', False),
        ("JAVA_PATH_=1 ./source x.eval\njava -jar x", True),
    ],
)
def test_whether_it_runs_the_java_in_path(path: Path, text: str, needs: bool) -> None:
    path.write_text(text)
    assert read_start_script(path).needs_java is needs


@pytest.mark.parametrize(
    ("text", "interpreter"),
    [
        ("#!/bin/bash\n", "bash"),
        ("#!/usr/bin/env bash\r\n", "bash"),
        ("#!/bin/sh\n", "sh"),
        ("# bash\n", "sh"),
        ("", "sh"),
    ],
)
def test_what_runs_it(path: Path, text: str, interpreter: str) -> None:
    path.write_text(text)
    assert read_start_script(path).interpreter == interpreter


def test_one_that_cannot_be_read(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_start_script(path)
    path.mkdir()
    with pytest.raises(OSError, match="not a regular file"):
        read_start_script(path)


@pytest.mark.parametrize(
    ("text", "heap"),
    [
        ("java -Xmx4G -jar x", "-Xmx4G"),
        ('java -Xms1G -Xmx"$MAX" -jar x', "-Xmx"),
        ("JAVA_ARGS='-Xms1G -Xmx2G'\njava $JAVA_ARGS", "-Xmx2G"),
        ("X=-Xmx5G", "-Xmx5G"),
        ("java -XX:MaxHeapSize=4g x", "-XX:MaxHeapSize=4g"),
        ("java -mx4g x", "-mx4g"),
        ("tar -mxf x.tar; java --mx -jar x", None),
        ("# java -Xmx4G\njava -jar x", None),
    ],
)
def test_the_heap_that_it_sets(path: Path, text: str, heap: str | None) -> None:
    path.write_text(text)
    assert read_start_script(path).heap() == (None if heap is None else (path, heap))


def test_the_file_of_java_arguments_comes_after_the_script(path: Path) -> None:
    path.write_text("java -Xmx1G @user_jvm_args.txt")
    file = path.with_name("user_jvm_args.txt")
    file.write_text("# -Xmx4G\n")
    assert read_start_script(path).heap() == (path, "-Xmx1G")
    file.write_text("# -Xmx4G\n-Xmx3G\n")
    assert read_start_script(path).heap() == (file, "-Xmx3G")


@pytest.mark.parametrize(("text", "arguments"), ARGUMENT_FILES)
def test_the_words_in_a_file_of_java_arguments(text: str, arguments: list[str]) -> None:
    """tests/peers/test_java.py has Java read the same files."""
    assert list(java_arguments(text)) == arguments


@pytest.mark.parametrize(
    ("text", "heap"),
    [
        ("-Xms1G -Xmx4G", "-Xmx4G"),
        ("-Xmx4G\n-Xmx6G", "-Xmx6G"),
        ("-XX:MaxHeapSize=4g", "-XX:MaxHeapSize=4g"),
        ("-mx4g", "-mx4g"),
        ("# -Xmx4G", None),
        ("-XX:MaxRAMPercentage=50 -Dx=-Xmx4G", None),
    ],
)
def test_the_heap_in_a_file_of_java_arguments(tmp_path: Path, text: str, heap: str | None) -> None:
    path = tmp_path / "user_jvm_args.txt"
    assert heap_in_file(path) is None
    path.write_text(text)
    assert heap_in_file(path) == heap


@given(st.text("ab\"'\\# \n\r\t-", max_size=200))
def test_any_text_has_words(text: str) -> None:
    assert all(isinstance(word, str) for word in java_arguments(text))
