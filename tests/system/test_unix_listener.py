"""A listening Unix socket whose file is removed or replaced while it listens."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_twisted
from harness import running_reactor, until
from processes import descriptors
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, deferLater

from zeroscale.errors import ConfigError
from zeroscale.system import unix_listener
from zeroscale.system.unix_listener import CHECK_DELAY, CHECK_INTERVAL, UnixListener, remove_dead_socket

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to change owners")


class Accepting(Factory):
    """Counts its clients."""

    noisy = False

    def __init__(self) -> None:
        self.next: Deferred[None] = Deferred()

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        came, self.next = self.next, Deferred()
        came.callback(None)
        return Protocol()


class World:
    """A listener on a path that is short enough for a socket."""

    def __init__(self, root: Path) -> None:
        self.path = root / "root" / "directory" / "socket"
        self.path.parent.mkdir(parents=True)
        self.clock = Clock()
        self.factory = Accepting()
        self.listener = UnixListener(running_reactor(), self.path, self.factory, 0o640, clock=self.clock)

    async def is_reached(self) -> None:
        """Connect a client, and wait until it is accepted."""
        came = self.factory.next
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.path))
            await came.addTimeout(20, running_reactor())

    async def look(self) -> None:
        """Let the time pass until the next look at the file, which has changed."""
        await until(self.clock.getDelayedCalls)
        self.clock.advance(CHECK_INTERVAL)


def no_watches(*ignored: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(params=["watched", "not watched"])
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    if request.param == "not watched":
        monkeypatch.setattr(unix_listener, "PathWatch", no_watches)
    elif sys.platform != "linux":
        pytest.skip("needs inotify")
    with tempfile.TemporaryDirectory(prefix="zs-") as name:
        yield World(Path(name))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest_twisted.ensureDeferred
async def test_it_listens_and_removes_its_file(world: World) -> None:
    world.listener.startListening()
    await world.is_reached()
    assert mode(world.path) == 0o640
    world.clock.advance(CHECK_INTERVAL)
    await world.is_reached()
    await world.listener.stopListening()
    assert not world.path.exists()
    assert not world.clock.getDelayedCalls()


@pytest_twisted.ensureDeferred
async def test_a_removed_directory_is_created_again_with_its_mode(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.path.parent.chmod(0o2711)
    world.listener.startListening()
    world.path.chmod(0o606)  # by the operator
    await world.look()
    for _ in range(2):
        shutil.rmtree(world.path.parent)
        await world.look()
        assert mode(world.path.parent) == 0o2711
        assert mode(world.path) == 0o606
        await world.is_reached()
    assert caplog.messages == [f"The socket {world.path} was removed: it has been created again"] * 2
    await world.listener.stopListening()
    assert not world.path.exists()


@as_root
@pytest_twisted.ensureDeferred
async def test_the_owners_of_file_and_directory_are_kept(world: World) -> None:
    os.chown(world.path.parent, 64001, 64002)
    world.listener.startListening()
    os.chown(world.path, 64003, 64004)
    await world.look()
    shutil.rmtree(world.path.parent)
    await world.look()
    directory, file = world.path.parent.stat(), world.path.lstat()
    assert (directory.st_uid, directory.st_gid, file.st_uid, file.st_gid) == (64001, 64002, 64003, 64004)
    await world.listener.stopListening()


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("moved", ["root", "directory"])
async def test_a_directory_that_was_moved_is_created_again(world: World, moved: str) -> None:
    world.path.parent.chmod(0o2711)
    world.listener.startListening()
    directory = world.path.parent if moved == "directory" else world.path.parent.parent
    aside = directory.rename(directory.with_name(f"{directory.name}-moved"))
    await world.look()
    assert mode(world.path.parent) == 0o2711
    await world.is_reached()
    assert (aside / world.path.relative_to(directory)).is_socket()
    await world.listener.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_socket_that_is_replaced_is_left_to_the_other_program(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.listener.startListening()
    with socket.socket(socket.AF_UNIX) as other:
        new = world.path.with_name("new")
        other.bind(str(new))
        other.listen()
        new.rename(world.path)
        theirs = world.path.lstat().st_ino
        await world.look()
        assert "cannot be created again: another zeroscale listens" in caplog.text
        assert world.path.lstat().st_ino == theirs
    await world.look()
    await world.is_reached()
    await world.listener.stopListening()


@pytest.mark.parametrize("world", ["watched"], indirect=True)
@pytest_twisted.ensureDeferred
async def test_nothing_is_scheduled_while_the_file_stays(world: World) -> None:
    world.listener.startListening()
    for number in range(100):
        world.path.with_name(f"other-{number}").touch()
    await world.is_reached()
    assert not world.clock.getDelayedCalls()
    world.path.unlink()
    await world.look()
    await world.is_reached()
    assert not world.clock.getDelayedCalls()
    await world.listener.stopListening()


@pytest.mark.parametrize("world", ["watched"], indirect=True)
@pytest_twisted.ensureDeferred
async def test_changes_that_follow_each_other_are_one_look(world: World) -> None:
    before = descriptors()
    world.listener.startListening()
    for permissions in (0o600, 0o606):
        world.path.chmod(permissions)
        await until(world.clock.getDelayedCalls)
        for _ in range(100):
            os.utime(world.path)
            await deferLater(running_reactor(), 0, lambda: None)
        [call] = world.clock.getDelayedCalls()
        assert call.getTime() == world.clock.seconds() + CHECK_DELAY
        world.clock.advance(CHECK_DELAY)
        assert not world.clock.getDelayedCalls()
    world.path.unlink()
    await until(world.clock.getDelayedCalls)
    world.clock.advance(CHECK_DELAY)
    assert mode(world.path) == 0o606
    await world.listener.stopListening()
    assert descriptors() == before


@pytest.mark.parametrize("world", ["watched"], indirect=True)
@pytest_twisted.ensureDeferred
async def test_the_watch_begins_once_there_are_watches_again(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "zeroscale")
    with monkeypatch.context() as full:
        full.setattr(unix_listener, "PathWatch", no_watches)
        world.listener.startListening()
        for _ in range(3):
            await world.look()
        assert len(caplog.messages) == 1
    await world.look()
    assert not world.clock.getDelayedCalls()
    world.path.unlink()
    await world.look()
    await world.is_reached()
    await world.listener.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_removed_file_does_not_prevent_the_stop(world: World) -> None:
    world.listener.startListening()
    shutil.rmtree(world.path.parent)
    await world.listener.stopListening()
    world.clock.advance(CHECK_INTERVAL)
    assert not world.path.parent.exists()


@pytest_twisted.ensureDeferred
async def test_the_socket_of_another_program_is_left_alone(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.listener.startListening()
    world.path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(world.path))
        other.listen()
        theirs = world.path.lstat().st_ino
        for _ in range(3):
            await world.look()
        assert world.path.lstat().st_ino == theirs
        [message] = caplog.messages
        assert message.startswith(
            f"The socket {world.path} was removed, and cannot be created again: another zeroscale"
        )
        await world.listener.stopListening()
        assert world.path.lstat().st_ino == theirs


@pytest_twisted.ensureDeferred
async def test_it_takes_the_place_of_another_program_that_has_ended(world: World) -> None:
    world.listener.startListening()
    world.path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(world.path))
        other.listen()
        await world.look()
    await world.look()
    await world.is_reached()
    await world.listener.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_file_that_is_no_socket_is_kept(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.listener.startListening()
    world.path.unlink()
    world.path.write_text("mine")
    await world.look()
    assert "exists and is not a socket" in caplog.text
    await world.listener.stopListening()
    assert world.path.read_text() == "mine"


@pytest_twisted.ensureDeferred
async def test_a_directory_that_cannot_be_created_is_tried_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.listener.startListening()
    shutil.rmtree(world.path.parent)
    world.path.parent.write_text("in the way")
    await world.look()
    await world.look()
    assert caplog.messages == [
        f"The socket {world.path} was removed, and cannot be created again: Not a directory",
    ]
    world.path.parent.unlink()
    await world.look()
    await world.is_reached()
    await world.listener.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_client_stays_connected_while_the_file_is_created_again(world: World) -> None:
    world.listener.startListening()
    came = world.factory.next
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(world.path))
        await came
        world.path.unlink()
        await world.look()
        await world.is_reached()
        await deferLater(running_reactor(), 0, lambda: None)
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)
    await world.listener.stopListening()


def test_a_listener_that_fails_leaves_no_descriptor_open(world: World) -> None:
    world.path.parent.rmdir()
    before = descriptors()
    with pytest.raises(CannotListenError) as kept:  # with its traceback
        world.listener.startListening()
    assert descriptors() == before, kept
    assert not world.clock.getDelayedCalls()


def test_a_dead_socket_is_removed(world: World) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(world.path))
    remove_dead_socket(world.path)
    assert not world.path.exists()
    remove_dead_socket(world.path)


def test_a_live_socket_is_kept(world: World) -> None:
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(world.path))
        live.listen(0)
        for _ in range(3):  # also when its backlog is full
            with pytest.raises(ConfigError, match="another zeroscale listens on"):
                remove_dead_socket(world.path)
    assert world.path.exists()
