"""When a configuration file that changes is read again: on real files, with a clock of the test."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from ports import free_port
from processes import Program, descriptors_of, python
from sockets.harness import Reactor
from twisted.internet.defer import Deferred, fail, succeed

from zeroscale.errors import ConfigMistakes
from zeroscale.proxy import config_watch
from zeroscale.proxy.config_watch import LOOK_EVERY, QUIET, ConfigWatch

LONG = 10 * LOOK_EVERY
STEP = QUIET / 4


class Refusing:
    """In place of a `PathWatch`, where there is no inotify."""

    def __init__(self, *_: object, **__: object) -> None:
        raise OSError(38, "Function not implemented")


class World:
    """A file that is watched.

    :ivar read: what a reload has found in the file, in order; a text with "wrong" is a mistake.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "zeroscale.toml"
        self.path.write_text("first")
        self.reactor = Reactor()
        self.read: list[str] = []
        self.watch: ConfigWatch | None = None

    def start(self, path: Path | None = None, age: float = 1000.0) -> None:
        """Begin to watch a file that has not changed for so many seconds."""
        path = path or self.path
        now = time.time() + age

        def reload() -> Deferred[Sequence[str]]:
            text = path.read_text() if path.exists() else "wrong: it is missing"
            self.read.append(text)
            return fail(ConfigMistakes([text])) if "wrong" in text else succeed(["one: changed"])

        self.watch = ConfigWatch(cast(Any, self.reactor), path, reload, now=lambda: now)
        self.watch.start()

    def pass_time(self, seconds: float) -> None:
        """Let everything happen that happens in this time."""
        self.reactor.turn()
        for _ in range(round(seconds / STEP)):
            self.reactor.advance(STEP)
            self.reactor.turn()

    @property
    def is_quiet(self) -> bool:
        """Whether no timer runs, so that nothing happens before the file changes."""
        return self.reactor.getDelayedCalls() == []


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    if world.watch is not None:
        world.watch.stop()
    assert world.reactor.readers == [] and world.is_quiet


def write(path: Path) -> None:
    path.write_text("second")


def replace(path: Path) -> None:
    new = path.with_name("new")
    new.write_text("second")
    new.replace(path)


def move_old_file_over(path: Path) -> None:
    new = path.with_name("new")
    new.write_text("second")
    os.utime(new, (1.0, 1.0))
    new.replace(path)


def remove_and_create(path: Path) -> None:
    path.unlink()
    path.write_text("second")


def move_away_and_create(path: Path) -> None:
    path.rename(path.with_name("zeroscale.toml~"))
    path.write_text("second")


CHANGES = [write, replace, move_old_file_over, remove_and_create, move_away_and_create]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("announced", [True, False])
def test_a_changed_file_is_read_once_and_then_watched_again(
    world: World, change: Callable[[Path], None], announced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not announced:
        monkeypatch.setattr(config_watch, "PathWatch", Refusing)
    world.start()
    for number in (1, 2):
        world.pass_time(LONG)
        world.path.write_text("first")
        world.pass_time(LONG)
        world.read.clear()
        assert world.is_quiet is announced
        change(world.path)
        world.pass_time(QUIET / 2)
        assert world.read == [], "it may not be complete"
        world.pass_time(2 * QUIET if announced else LOOK_EVERY + 2 * QUIET)
        assert world.read == ["second"], number
    world.pass_time(LONG)
    assert world.read == ["second"]


def test_steps_of_an_editor_are_one_change(world: World) -> None:
    world.start()
    for text in ("", "sec", "second"):
        replace(world.path)
        world.path.write_text(text)
        world.pass_time(QUIET / 2)
    assert world.read == []
    world.pass_time(2 * QUIET)
    assert world.read == ["second"]


def test_a_file_that_is_being_written_is_not_read(world: World) -> None:
    world.start()
    with world.path.open("w") as file:
        file.write("sec")
        file.flush()
        world.pass_time(LONG)
        file.write("ond")
    assert world.read == []
    world.pass_time(2 * QUIET)
    assert world.read == ["second"]


def test_a_volume_of_kubernetes(world: World) -> None:
    """The file is a symlink to `..data/NAME`, and `..data` one to a directory, which is replaced."""

    def fill(name: str, text: str) -> None:
        (world.directory / name).mkdir()
        (world.directory / name / "zeroscale.toml").write_text(text)
        (world.directory / "..data_tmp").symlink_to(name)
        (world.directory / "..data_tmp").replace(world.directory / "..data")

    world.path.unlink()
    world.path.symlink_to("..data/zeroscale.toml")
    fill("..2026_1", "first")
    world.start()
    for number, text in ((2, "second"), (3, "third")):
        fill(f"..2026_{number}", text)
        world.pass_time(2 * QUIET)
        assert world.read[-1] == text
        assert world.is_quiet
    (world.directory / "..2026_1" / "zeroscale.toml").write_text("old")
    world.pass_time(LONG)
    assert world.read == ["second", "third"]
    world.path.write_text("fourth")
    world.pass_time(2 * QUIET)
    assert world.read[-1] == "fourth", "what the link leads to is written"


def test_other_files_of_the_directory_cost_nothing(world: World) -> None:
    world.start()
    for number in range(10):
        (world.directory / f"other-{number}").write_text("x")
        world.path.read_text()
    world.reactor.turn()
    assert world.is_quiet and world.read == []


def test_a_mistake_is_logged_once_for_each_content(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.start()
    for text, logged in [
        ("wrong: a", ["Not reloaded: wrong: a"]),
        ("wrong: a", []),
        ("wrong: b", ["Not reloaded: wrong: b"]),
        ("good", []),
        ("wrong: b", ["Not reloaded: wrong: b"]),
    ]:
        caplog.clear()
        world.path.write_text(text)
        world.pass_time(2 * QUIET)
        assert world.read[-1] == text
        assert [each.message for each in caplog.records if each.levelno >= logging.INFO] == logged
    assert len(world.read) == 5


def test_a_missing_file_is_looked_for(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.start()
    world.path.unlink()
    world.pass_time(LONG)
    assert [each.message for each in caplog.records if each.levelno >= logging.INFO] == [
        "Not reloaded: wrong: it is missing"
    ]
    world.path.write_text("second")
    world.pass_time(LOOK_EVERY + 2 * QUIET)
    assert world.read == ["wrong: it is missing", "second"]
    assert world.is_quiet


@pytest.mark.parametrize(("age", "read"), [(1.0, ["first"]), (1000.0, [])])
def test_a_file_that_changed_as_zeroscale_started_is_read_again(world: World, age: float, read: list[str]) -> None:
    world.start(age=age)
    world.pass_time(LONG)
    assert world.read == read


def test_a_file_that_cannot_be_read_is_a_warning_at_the_start(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.path.unlink()
    world.start()
    [warning] = [each.message for each in caplog.records if each.levelno == logging.WARNING]
    assert f"cannot read {world.path}: No such file or directory" in warning
    assert f"as user {os.geteuid()}" in warning


def test_nothing_is_read_after_the_end(world: World) -> None:
    world.start()
    write(world.path)
    world.reactor.turn()
    assert world.watch is not None
    world.watch.stop()
    world.watch = None
    world.pass_time(LONG)
    assert world.read == []


# With the real program.

CONFIG = """\
reload = "{reload}"
state_directory = "{directory}/state"
[servers.{name}]
plugin = "demo"
listen = {listen}
server = {port}
"""


class Real:
    """A zeroscale with a file that changes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.listen, self.port = free_port(), free_port()

    def text(self, name: str, reload: str = "auto") -> str:
        return CONFIG.format(reload=reload, directory=self.directory, name=name, listen=self.listen, port=self.port)

    def run(self, file: Path) -> Program:
        return Program(python("-m", "zeroscale", "--config", str(file), "--info"), self.directory)


def watches(program: Program) -> int:
    """Return how many instances of inotify a program has."""
    return descriptors_of(program.process.pid).count("anon_inode:inotify")


def test_write_rename_and_mend(tmp_path: Path) -> None:
    real = Real(tmp_path)
    file = tmp_path / "zeroscale.toml"
    file.write_text(real.text("one"))
    with real.run(file) as program:
        program.wait_for("Ready")
        file.write_text(real.text("two"))
        program.wait_for("Reloaded: two: added")
        file.write_text(real.text("two") + "hosts = 7\n")
        assert "servers.two.hosts" in program.wait_for("Not reloaded")
        (tmp_path / "new").write_text(real.text("three"))
        (tmp_path / "new").replace(file)
        program.wait_for("Reloaded: three: added")
        program.signal(signal.SIGTERM)
        assert program.wait() == 0
    assert program.output.count("Not reloaded") == 1


def test_a_symlink_that_is_replaced(tmp_path: Path) -> None:
    real = Real(tmp_path)
    for name in ("one", "two"):
        (tmp_path / f"..{name}").mkdir()
        (tmp_path / f"..{name}" / "zeroscale.toml").write_text(real.text(name))
    (tmp_path / "..data").symlink_to("..one")
    file = tmp_path / "zeroscale.toml"
    file.symlink_to("..data/zeroscale.toml")
    with real.run(file) as program:
        program.wait_for("Ready")
        (tmp_path / "..data_tmp").symlink_to("..two")
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")
        program.wait_for("Reloaded: two: added")
        program.signal(signal.SIGTERM)
        assert program.wait() == 0


def test_a_reload_turns_it_on_and_off(tmp_path: Path) -> None:
    real = Real(tmp_path)
    file = tmp_path / "zeroscale.toml"
    file.write_text(real.text("one", "manual"))
    with real.run(file) as program:
        program.wait_for("Ready")
        at_first = watches(program)
        file.write_text(real.text("one"))
        program.signal(signal.SIGHUP)
        program.wait_for("Reloaded: reload: changed")
        assert watches(program) == at_first + 1
        file.write_text(real.text("one", "manual"))
        program.wait_for("Reloaded: reload: changed")
        assert watches(program) == at_first
        program.signal(signal.SIGTERM)
        assert program.wait() == 0
