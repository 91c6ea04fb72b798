"""One path of a real file system, watched by inotify, with a reactor that the test runs."""

from __future__ import annotations

import os
import select
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from processes import Program, python
from sockets.harness import Reactor

from zeroscale.system.path_watch import PathWatch

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs inotify")


class World:
    """A watched socket below two directories, one of which is reached by a symlink."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.real = root / "real"
        self.link = root / "link"
        self.path = self.link / "directory" / "socket"
        (self.real / "directory").mkdir(parents=True)
        self.link.symlink_to("real")
        self.reactor = Reactor()
        self.changes = 0
        self._sockets: list[socket.socket] = []
        self.bind(self.path)
        self.watch = PathWatch(cast(Any, self.reactor), self.path, self.changed)

    def changed(self) -> None:
        self.changes += 1

    def bind(self, path: Path) -> None:
        """Make a socket, which stays open."""
        self._sockets.append(socket.socket(socket.AF_UNIX))
        self._sockets[-1].bind(str(path))
        self._sockets[-1].listen()

    def is_noticed(self) -> bool:
        """Whether there was a change since the last question: the kernel has queued it before the change returns."""
        before = self.changes
        self.reactor.turn()
        return self.changes > before

    def close(self) -> None:
        self.watch.close()
        for each in self._sockets:
            each.close()
        assert self.reactor.readers == []


@pytest.fixture
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="zs-") as name:  # short enough for a socket's path
        world = World(Path(name))
        yield world
        world.close()


def remove(world: World) -> None:
    world.path.unlink()


def remove_directory(world: World) -> None:
    shutil.rmtree(world.path.parent)


def move(world: World) -> None:
    world.path.rename(world.root / "elsewhere")


def replace(world: World) -> None:
    other = world.path.with_name("other")
    world.bind(other)
    other.rename(world.path)


def move_directory(world: World) -> None:
    world.path.parent.rename(world.root / "elsewhere")


def move_directory_above(world: World) -> None:
    world.real.rename(world.root / "elsewhere")


def replace_link(world: World) -> None:
    (world.root / "new").symlink_to("elsewhere")
    (world.root / "new").rename(world.link)


def change_mode(world: World) -> None:
    world.path.chmod(0o600)


CHANGES = [remove, remove_directory, move, replace, move_directory, move_directory_above, replace_link, change_mode]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_noticed_once(world: World, change: Callable[[World], None]) -> None:
    world.watch.begin()
    assert not world.is_noticed()
    change(world)
    assert world.is_noticed()
    assert not world.is_noticed()
    assert world.reactor.readers == []


def test_a_link_to_which_another_one_leads_is_replaced(world: World) -> None:
    (world.root / "outer").symlink_to("link")
    watch = PathWatch(cast(Any, world.reactor), world.root / "outer" / "directory" / "socket", world.changed)
    watch.begin()
    replace_link(world)
    assert world.is_noticed()
    watch.close()


@pytest.mark.parametrize("target", ["directory/../directory/file", "{root}/real/directory/file", "second"])
def test_the_content_of_a_file_at_the_end_of_links(world: World, target: str) -> None:
    file = world.real / "directory" / "file"
    file.touch()
    (world.real / "second").symlink_to("directory/file")
    link = world.real / "first"
    link.symlink_to(target.format(root=world.root))
    watch = PathWatch(cast(Any, world.reactor), link, world.changed, content=True)
    watch.begin()
    with file.open("w") as writer:
        writer.write("x")
        writer.flush()
        assert not world.is_noticed(), "it is not complete"
    assert world.is_noticed()
    watch.begin()
    file.read_text()
    assert not world.is_noticed()
    link.unlink()
    assert world.is_noticed()
    watch.close()


def test_links_that_lead_in_a_circle(world: World) -> None:
    (world.root / "a").symlink_to("b")
    (world.root / "b").symlink_to("a")
    watch = PathWatch(cast(Any, world.reactor), world.root / "a", world.changed, content=True)
    with pytest.raises(OSError, match="symbolic links"):
        watch.begin()
    watch.close()


def test_other_files_and_clients_cost_nothing(world: World) -> None:
    world.watch.begin()
    for number in range(100):
        other = world.path.with_name(f"other-{number}")
        other.write_text("x")
        other.rename(other.with_suffix(".new"))
    (world.path.parent / "directory").mkdir()
    shutil.rmtree(world.path.parent / "directory")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(world.path))
    (watched,) = world.reactor.readers
    assert not select.select([watched], [], [], 0)[0]


def test_it_can_begin_again_without_earlier_events(world: World) -> None:
    for _ in range(2):
        world.watch.begin()
        for _ in range(5000):  # different events, which the kernel does not combine
            world.path.chmod(0o600)
            world.path.rename(world.path.with_name("moved"))
            world.path.with_name("moved").rename(world.path)
        assert world.is_noticed()
        world.path.unlink()
        world.bind(world.path)
    world.watch.begin()
    world.watch.begin()
    assert not world.is_noticed()
    world.path.unlink()
    assert world.is_noticed()


def test_a_missing_file_is_not_watched(world: World) -> None:
    world.path.unlink()
    with pytest.raises(FileNotFoundError):
        world.watch.begin()
    assert world.reactor.readers == []
    world.bind(world.path)
    world.watch.begin()
    world.path.unlink()
    assert world.is_noticed()


def test_a_relative_path(world: World) -> None:
    watch = PathWatch(cast(Any, world.reactor), Path(os.path.relpath(world.path)), lambda: None)
    watch.begin()
    watch.close()
    assert world.reactor.readers == []


def test_no_descriptor_is_left(world: World) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    watch = PathWatch(cast(Any, world.reactor), world.path, lambda: None)
    watch.begin()
    watch.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_without_ctypes_it_is_an_error_of_the_system() -> None:
    code = (
        "import sys; sys.modules['ctypes'] = None\n"
        "from pathlib import Path\n"
        "from zeroscale.system.path_watch import PathWatch\n"
        "try: PathWatch(None, Path('/'), None)\n"
        "except OSError as error: print(error.strerror)\n"
    )
    with Program(python("-c", code)) as program:
        assert program.wait() == 0, program.output
    assert program.lines == ["Function not implemented"]
