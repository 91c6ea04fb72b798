"""Facts from /proc about real processes."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from peers.programs import wait_until
from plugins.process_fixture import unrelated_process, until

from zeroscale.process import procfs


def test_the_facts_of_this_process() -> None:
    found = procfs.facts(os.getpid())
    assert found is not None
    assert found.live and not found.stopped
    later = procfs.facts(os.getpid())
    assert later is not None and later.start_time == found.start_time
    assert procfs.boot_id()


def test_what_a_process_uses() -> None:
    before = procfs.usage(os.getpid())
    assert before is not None
    cpu, memory = before
    assert 1 << 20 < memory < 1 << 36
    while (after := procfs.usage(os.getpid())) is not None and after[0] == cpu:
        sum(range(100_000))
    assert after is not None
    assert cpu < after[0] <= sum(os.times()[:4]) + 0.02
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    assert procfs.usage(ended.pid) is None


def test_a_process_name_with_any_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procfs, "PROC", tmp_path)
    (tmp_path / "7").mkdir()
    fields = " ".join(["S", *map(str, range(4, 53))])
    (tmp_path / "7" / "stat").write_text(f"7 (a) Z 9 (b) {fields}\n")
    assert procfs.facts(7) == procfs.ProcessFacts(state="S", parent=4, start_time=22, threads=20)
    (tmp_path / "7" / "stat").write_text("7 (a) S 1\n")
    assert procfs.facts(7) is None


async def test_a_zombie_is_not_live() -> None:
    with unrelated_process("true") as child:
        await until(lambda: not procfs.is_live(child.pid))
        assert procfs.facts(child.pid) is not None
    assert procfs.facts(child.pid) is None
    assert not procfs.is_live(child.pid)


async def test_a_process_whose_main_thread_has_ended_lives() -> None:
    code = (
        "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(60,)).start(); "
        "ctypes.CDLL(None).pthread_exit(None)"
    )
    with unrelated_process(sys.executable, "-c", code) as child:
        await until(lambda: (found := procfs.facts(child.pid)) is not None and found.state == "Z")
        assert procfs.is_live(child.pid)


async def test_members_of_a_session() -> None:
    with unrelated_process("sh", "-c", "sleep 60 & sleep 60 & wait") as shell:
        await until(lambda: len(procfs.session_members({shell.pid})) == 3)
        members = procfs.session_members({shell.pid})
        assert shell.pid in members and os.getpid() not in members
    await until(lambda: procfs.session_members({shell.pid}) == [])


def test_what_is_known_of_a_process(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "NAME": "a=b", "EMPTY": ""}
    with (
        (tmp_path / "input").open("w+") as standard_input,
        subprocess.Popen(["sleep", "60"], cwd=tmp_path, env=environment, stdin=standard_input) as child,
    ):
        wait_until(lambda: procfs.program_name(child.pid) == "sleep", "it has its name")
        assert procfs.environment(child.pid) == environment
        assert procfs.working_directory(child.pid) == tmp_path
        assert procfs.standard_input(child.pid) == tmp_path / "input"
        assert not procfs.is_multiplexer(child.pid)
        found = procfs.facts(child.pid)
        assert found is not None and found.parent == os.getpid()
        assert child.pid in procfs.members({os.getpgrp()})
        assert child.pid in procfs.members({os.getsid(0)})
        assert list(procfs.command_line(child.pid)) == ["sleep", "60"]
        assert procfs.executable(child.pid) == Path(shutil.which("sleep") or "").resolve().name
        assert procfs.users(child.pid) == {os.geteuid()}
        assert os.getpid() in procfs.ancestors([child.pid])
        child.kill()
    assert procfs.program_name(child.pid) is None
    assert procfs.working_directory(child.pid) is None
    assert procfs.environment(child.pid) == {}


def test_processes_since_a_time() -> None:
    """An earlier process costs one read only."""
    before = procfs.ticks(0)
    with subprocess.Popen(["sleep", "60"]) as child:
        since, later = procfs.ProcessesSince(before), procfs.ProcessesSince(procfs.ticks(60))
        for _ in range(2):
            assert since.read()[child.pid].parent == os.getpid()
            assert later.read() == {}
            assert os.getppid() not in since.read()
        child.kill()
    assert child.pid not in since.read()


def test_holders_of_a_socket() -> None:
    with socket.socket() as ours:
        inode = os.fstat(ours.fileno()).st_ino
        assert procfs.holders_of_sockets({inode}) == [os.getpid()]
    assert procfs.holders_of_sockets({inode}) == []
    assert procfs.holders_of_sockets(()) == []


def test_lock_holders_are_not_those_that_only_have_the_file_open(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    waits = ["sh", "-c", "echo; read -r line"]
    with path.open("w") as lock, path.open() as same_file:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with (
            subprocess.Popen(waits, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[lock.fileno()]) as holder,
            subprocess.Popen(
                waits, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[same_file.fileno()]
            ) as other,
        ):
            assert holder.stdout and other.stdout
            assert holder.stdout.readline() and other.stdout.readline()
            assert procfs.lock_holders(path) == [holder.pid]
            holder.communicate()
            other.communicate()
        assert procfs.lock_holders(path) == []


def test_without_proc_all_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(procfs, "PROC", Path("/nowhere"))
    assert procfs.facts(os.getpid()) is None
    assert procfs.boot_id() is None
    assert procfs.session_members({os.getsid(0)}) == []
    assert procfs.lock_holders(tmp_path) == []
    assert procfs.ProcessesSince(0).read() == {}
    assert procfs.command_line(os.getpid()) == ()
    assert procfs.executable(os.getpid()) is None
    assert procfs.users(os.getpid()) == set()
    assert procfs.ancestors([os.getpid()]) == set()
    assert not procfs.multiplexer_runs()
    assert procfs.program_name(os.getpid()) is None
    assert procfs.environment(os.getpid()) == {}


def test_a_signal_that_is_ignored() -> None:
    with subprocess.Popen(["sh", "-c", "trap '' TERM; echo; exec sleep 60"], stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline()
        assert procfs.ignores(child.pid, signal.SIGTERM)
        assert not procfs.ignores(child.pid, signal.SIGUSR2)  # SIGHUP is ignored where the tests run under nohup
        child.kill()
    assert not procfs.ignores(child.pid, signal.SIGTERM)
