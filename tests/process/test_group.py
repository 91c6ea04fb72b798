"""Which processes belong to the server, and which do not."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from peers.programs import wait_until

from zeroscale.errors import PluginError
from zeroscale.process import procfs
from zeroscale.process.background import ServerSigns
from zeroscale.process.group import MARK, ChildState, ProcessGroup, mark_of
from zeroscale.process.record import ProcessRecord


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """Start a server that runs until it is killed."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        yield process
        process.kill()


def group_in(directory: Path) -> ProcessGroup:
    return ProcessGroup(directory, ServerSigns(None))


@pytest.fixture
def group(tmp_path: Path) -> ProcessGroup:
    return group_in(tmp_path)


def record_of(child: subprocess.Popen[bytes]) -> ProcessRecord:
    found = procfs.facts(child.pid)
    assert found is not None
    return ProcessRecord(child.pid, found.start_time, procfs.boot_id(), ("sleep", "60"))


def other_start(record: ProcessRecord) -> ProcessRecord:
    """Make a record of an earlier process with the same number."""
    return ProcessRecord(record.pid, (record.start_time or 0) - 1, record.boot_id, record.argv)


@pytest.mark.parametrize("target", ["alive", "elsewhere"])
def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path, target: str) -> None:
    expected = group_in(tmp_path).environment
    (tmp_path / "alive").symlink_to(target)
    group = group_in(tmp_path)
    assert group.environment == expected
    assert not group.find(None)
    os.close(group.acquire_lock())
    assert not (tmp_path / "elsewhere").exists()


def test_only_one_process_holds_the_lock(group: ProcessGroup, tmp_path: Path) -> None:
    lock = group.acquire_lock()
    with pytest.raises(PluginError, match="still runs: it holds"):
        group_in(tmp_path).acquire_lock()
    os.close(lock)
    os.close(group.acquire_lock())


def test_a_lock_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        group_in(tmp_path / "missing").acquire_lock()


def test_nothing_was_ever_started(group: ProcessGroup) -> None:
    assert not group.find(None)
    assert group.members() == []
    assert group.poll_child().exit_code is None
    group.signal(signal.SIGTERM)
    group.forget()


def test_a_child_until_its_end(group: ProcessGroup, child: subprocess.Popen[bytes]) -> None:
    group.track_child(child, record_of(child))
    assert group.members() == [child.pid]
    assert group.poll_child().exit_code is None
    group.signal(signal.SIGTERM)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert group.members() == []
    assert group.poll_child().exit_code == 143
    group.forget()
    assert child.returncode == -signal.SIGTERM


def test_what_all_its_processes_use(group: ProcessGroup) -> None:
    assert group.usage() is None
    script = "import subprocess; [subprocess.Popen(['sleep', '60']) for _ in range(2)]; print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script], start_new_session=True, stdout=subprocess.PIPE, stdin=subprocess.PIPE
    ) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
            group.track_child(child, record_of(child))
            wait_until(lambda: len(group.members()) == 3, "its processes")
            used, of_the_child = group.usage(), procfs.usage(child.pid)
            assert used is not None
            assert of_the_child is not None
            assert used[1] > of_the_child[1]
            assert used[0] >= of_the_child[0] - 0.05
        finally:
            os.killpg(child.pid, signal.SIGKILL)


def test_a_process_that_inherited_the_lock_is_a_member_in_any_session(group: ProcessGroup, tmp_path: Path) -> None:
    lock = group.acquire_lock()
    with subprocess.Popen(["sleep", "60"], start_new_session=True, pass_fds=[lock]) as holder:
        os.close(lock)
        assert group.members() == [holder.pid]
        assert group_in(tmp_path).find(None)
        holder.kill()
    assert group.members() == []
    assert not group.find(None)


def test_the_recorded_process_is_found(group: ProcessGroup, child: subprocess.Popen[bytes]) -> None:
    assert group.find(record_of(child))
    assert group.members() == [child.pid]
    assert group.poll_child() == ChildState(has_ended=True), "no child of whoever finds it"


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("renamed", [True, False])
def test_a_process_of_its_session_is_a_member_only_with_our_environment(
    tmp_path: Path, group: ProcessGroup, ours: bool, renamed: bool
) -> None:
    """After a server has restarted itself, no process holds the lock, and the recorded one has ended."""
    environment = {**os.environ, **(group.environment if ours else {MARK: "another"})}
    script = ["sh", "-c", "sleep 60 <&- >&- 2>&- & echo $!; read line"]
    pipe = subprocess.PIPE
    with subprocess.Popen(script, start_new_session=True, stdin=pipe, stdout=pipe, env=environment) as first:
        assert first.stdout is not None
        heir = int(first.stdout.readline())
        record = record_of(first)
    if renamed:
        record, group = record.with_mark(mark_of(tmp_path)), group_in(tmp_path / "another name")
    try:
        assert group.find(record) is ours
        assert group.members() == ([heir] if ours else [])
        group.signal(signal.SIGTERM)
        if ours:
            wait_until(lambda: not procfs.is_live(heir), "it is signalled")
        else:
            assert procfs.is_live(heir)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(heir, signal.SIGKILL)


def test_a_reused_number_is_not_a_member(group: ProcessGroup, child: subprocess.Popen[bytes]) -> None:
    later = record_of(child)
    assert not group.find(other_start(later))
    group.track_child(child, other_start(later))  # as if ours had ended, and the number been given again
    assert group.members() == []
    group.signal(signal.SIGKILL)
    assert procfs.is_live(child.pid)


def test_an_exit_code_is_unknown_after_another_wait(group: ProcessGroup, child: subprocess.Popen[bytes]) -> None:
    group.track_child(child, record_of(child))
    child.kill()
    child.wait()
    assert group.poll_child().exit_code is None
    assert group.members() == []
    group.forget()


def test_a_signal_that_the_system_refuses(
    group: ProcessGroup, child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_group: int, _number: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    group.track_child(child, record_of(child))
    with monkeypatch.context() as patched:
        patched.setattr(os, "killpg", refuse)
        with pytest.raises(PluginError, match="cannot send SIGTERM to the server: Operation not permitted"):
            group.signal(signal.SIGTERM)
    group.signal(signal.SIGTERM)


def test_a_signal_reaches_a_process_that_is_hidden_for_a_moment(
    group: ProcessGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = group.acquire_lock()
    with subprocess.Popen(["sleep", "60"], start_new_session=True, pass_fds=[lock]) as child:
        os.close(lock)
        pauses: list[float] = []
        found = procfs.lock_holders
        with monkeypatch.context() as patched:
            patched.setattr(time, "sleep", pauses.append)
            patched.setattr(procfs, "lock_holders", lambda path: found(path) if len(pauses) == 2 else [])
            group.signal(signal.SIGTERM)
        assert child.wait() == -signal.SIGTERM
