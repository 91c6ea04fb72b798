"""Whether running zeroscales are asked, or files are read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import pytest_twisted
from control.fake_proxy import FakeProxy
from ctl.ctl_fixture import CtlHarness
from harness import running_reactor
from history.times import Times, entry
from twisted.internet.threads import deferToThread

from zeroscale.control.server import ControlServer
from zeroscale.control.socket_path import ControlSocket
from zeroscale.ctl import socket_discovery
from zeroscale.ctl.main import main
from zeroscale.errors import ControlError
from zeroscale.history.values import FILE, HistoryEntry, HistoryPage

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The default state directory of a user for whom no zeroscale runs, with the histories of two servers."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(socket_discovery, "socket_directories", lambda *_: [tmp_path / "run"])
    monkeypatch.delenv("ZEROSCALE_SOCKET", raising=False)
    directory = tmp_path / "zeroscale"
    for name in ("survival", "creative"):
        Times().file(directory / name).write([entry(4e9, "found")])
    (directory / "unrelated").mkdir()
    return directory


def test_the_files_while_no_zeroscale_runs(state: Path, capsys: Capture) -> None:
    assert main(["history"]) == 0
    assert sorted(line.split()[2] for line in capsys.readouterr().out.splitlines()) == ["creative", "survival"]
    assert main(["history", "creative"]) == 0
    assert "survival" not in capsys.readouterr().out
    assert main(["history", "other"]) == 3
    assert "no zeroscale runs here" in capsys.readouterr().err
    assert main(["history", "other", "--state-directory", str(state)]) == 2
    assert "no history of a server 'other'" in capsys.readouterr().err


def test_without_files_it_is_said_that_no_zeroscale_runs(state: Path, capsys: Capture) -> None:
    for path in state.glob(f"*/{FILE}"):
        path.unlink()
    assert main(["stats"]) == 3
    assert "no zeroscale runs here" in capsys.readouterr().err
    for path in state.iterdir():
        path.rmdir()
    state.rmdir()
    assert main(["stats"]) == 3
    assert "no zeroscale runs here" in capsys.readouterr().err


def test_a_socket_that_is_named_is_the_only_one_asked(
    state: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["history", "--socket", "/nowhere/control.sock"]) == 3
    assert "/nowhere/control.sock" in capsys.readouterr().err
    monkeypatch.setenv("ZEROSCALE_SOCKET", "/nowhere/by-variable.sock")
    assert main(["history"]) == 3
    assert "by-variable" in capsys.readouterr().err


def test_the_files_of_another_directory(state: Path, tmp_path: Path, capsys: Capture) -> None:
    other = tmp_path / "other"
    Times().file(other / "third").write([entry(4e9, "found")])
    assert main(["history", "--state-directory", str(other)]) == 0
    assert "third" in capsys.readouterr().out
    assert main(["history", "--state-directory", str(tmp_path / "nowhere")]) == 1
    assert "nowhere: No such file" in capsys.readouterr().err
    (other / "third" / FILE).write_bytes(b"no database" * 1000)
    assert main(["stats", "--state-directory", str(other)]) == 1
    assert FILE in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_that_may_not_be_read(state: Path, capsys: Capture) -> None:
    state.chmod(0)
    assert main(["history", "--state-directory", str(state)]) == 1
    assert "Permission denied" in capsys.readouterr().err
    state.chmod(0o700)


@pytest_twisted.ensureDeferred
async def test_a_running_zeroscale_is_asked(harness: CtlHarness) -> None:
    harness.proxy.page = HistoryPage((HistoryEntry(server="survival", at=1.0, event="found"),))
    run = await harness.run("history", "survival", "--since", "2d", "--limit", "5")
    assert (run.code, run.err) == (0, "")
    assert run.out.endswith("survival  found running\n")
    assert harness.proxy.asked == [("history", ("survival",), 172800.0, 5)]
    run = await harness.run("history", "other")
    assert run.code == 2


@pytest_twisted.ensureDeferred
async def test_one_of_several_zeroscales_keeps_no_history(
    harness: CtlHarness, directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    other = FakeProxy("creative")
    harness.proxy.page = HistoryPage((HistoryEntry(server="survival", at=1.0, event="found"),))
    other.page = ControlError("no history is kept")
    server = ControlServer(other, running_reactor(), ControlSocket(directory / "other.sock"), required=True)
    await server.start()
    monkeypatch.setattr(socket_discovery, "socket_directories", lambda *_: [directory])
    monkeypatch.delenv("ZEROSCALE_SOCKET", raising=False)
    try:
        assert await deferToThread(main, ["history"]) == 1
        printed = capsys.readouterr()
        assert printed.out.endswith("survival  found running\n")
        assert printed.err == "zeroscalectl: error: no history is kept\n"
        assert await deferToThread(main, ["history", "creative"]) == 1
    finally:
        await server.stop()


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    "words", [("--since", "soon"), ("--since", "0"), ("--limit", "0"), ("--limit", "10001"), ("--limit", "all")]
)
async def test_mistakes(words: tuple[str, ...], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["history", *words])
    assert raised.value.code == 2
