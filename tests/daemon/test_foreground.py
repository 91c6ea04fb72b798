"""A proxy in the foreground as a process: its signals, its console, and what it prints where it cannot go on."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from ports import free_port
from processes import DEADLINE, Program, python
from twisted.internet.asyncioreactor import AsyncioSelectorReactor

from zeroscale.daemon.foreground import Console

HERE = Path(__file__).parent.parent
WITH_A_FAKE = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
import fake_service
sys.modules["zeroscale.proxy.service"] = fake_service
from zeroscale.daemon.main import main
sys.exit(main())
"""
PORTS = ["25565", "25575"]


@pytest.fixture
def state(tmp_path: Path) -> list[str]:
    return ["--state_directory", str(tmp_path)]


@pytest.fixture
def faked(request: pytest.FixtureRequest, state: list[str]) -> Iterator[Program]:
    """The command with a service that does what its parameter says."""
    with Program(python("-c", WITH_A_FAKE, request.param, *PORTS, "--info", *state)) as program:
        yield program


@pytest.mark.parametrize("faked", ["good"], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_stops_it_and_waits(faked: Program, number: signal.Signals) -> None:
    faked.wait_for("WARNING:fake:started")
    faked.signal(number)
    faked.wait_for(f"INFO:zeroscale.proxy:{number.name}: stopping")
    assert faked.wait() == 0
    assert faked.lines[-2:] == ["WARNING:fake:stop", "WARNING:fake:stopped"]


@pytest.mark.parametrize("faked", ["hurried"], indirect=True)
def test_a_second_signal_hurries(faked: Program) -> None:
    faked.wait_for("started")
    faked.signal(signal.SIGTERM)
    faked.wait_for("WARNING:fake:stop")
    faked.signal(signal.SIGTERM)
    faked.wait_for("WARNING:fake:skip to SIGTERM")
    assert faked.wait() == 0
    assert "Traceback" not in faked.output


@pytest.mark.parametrize("faked", ["stubborn"], indirect=True)
def test_a_third_signal_ends_it_and_names_the_running_server(faked: Program) -> None:
    faked.wait_for("started")
    faked.signal(signal.SIGINT)
    faked.wait_for("WARNING:fake:stop")
    faked.signal(signal.SIGINT)
    faked.wait_for("WARNING:fake:skip to SIGTERM")
    faked.signal(signal.SIGTERM)
    assert faked.wait() == 1
    assert "CRITICAL" in faked.lines[-1] and "stubborn-25565" in faked.lines[-1]


@pytest.mark.parametrize("faked", ["good"], indirect=True)
def test_sighup_reloads(faked: Program) -> None:
    faked.wait_for("started")
    faked.signal(signal.SIGHUP)
    faked.wait_for("WARNING:fake:reload")
    faked.signal(signal.SIGTERM)
    assert faked.wait() == 0


def test_what_is_typed_is_for_the_server_but_stop_is_for_us(state: list[str]) -> None:
    with Program(python("-c", WITH_A_FAKE, "good", *PORTS, "--console", *state)) as program:
        program.wait_for("started")
        program.write_line("  say hello  ")
        program.wait_for("WARNING:fake:command 'say hello'")
        program.write_line("")
        program.write_line("x" * 5000)
        assert len(program.wait_for("WARNING:fake:command 'xxx")) < 4200
        program.write_line("stop")
        assert program.wait() == 0
    assert program.lines[-1] == "WARNING:fake:stopped"


def test_the_end_of_the_input_is_no_end_of_ours(state: list[str]) -> None:
    with Program(python("-c", WITH_A_FAKE, "good", *PORTS, "--console", *state)) as program:
        program.wait_for("started")
        assert program.process.stdin is not None
        program.process.stdin.close()
        program.signal(signal.SIGHUP)
        program.wait_for("WARNING:fake:reload")
        program.signal(signal.SIGTERM)
        assert program.wait() == 0


@pytest.mark.parametrize("faked", ["good"], indirect=True)
def test_standard_input_is_read_only_with_console(faked: Program) -> None:
    faked.wait_for("started")
    faked.write_line("stop")
    faked.signal(signal.SIGHUP)
    faked.wait_for("WARNING:fake:reload")
    assert "WARNING:fake:stop" not in faked.lines
    faked.signal(signal.SIGTERM)
    assert faked.wait() == 0


@pytest.mark.parametrize("faked", ["busy", "busy_later"], indirect=True)
def test_a_start_that_fails_is_one_line(faked: Program) -> None:
    faked.wait_for("zeroscale: error: port 25565 is taken")
    assert faked.wait() == 1
    assert "Traceback" not in faked.output
    assert faked.lines[-1] == "WARNING:fake:stopped", "what had been started already is stopped"


@pytest.mark.parametrize("faked", ["dies"], indirect=True)
def test_a_death_of_what_it_cannot_live_without_stops_the_servers(faked: Program) -> None:
    faked.wait_for("zeroscale: error: the relay's thread ended")
    assert faked.wait() == 1
    assert faked.lines[-1] == "WARNING:fake:stopped"


@pytest.mark.parametrize("faked", ["unknown"], indirect=True)
def test_what_check_finds_is_one_line(faked: Program) -> None:
    assert faked.wait() == 1
    assert faked.lines == ["zeroscale: error: no plugin is called 'unknown'; did you mean 'generic'?"]


@pytest.mark.parametrize("faked", ["broken"], indirect=True)
def test_a_defect_of_ours_is_not_hidden(faked: Program) -> None:
    faked.wait_for("zeroscale: error: a defect")
    faked.wait_for("ZeroDivisionError")
    assert faked.wait() == 1


def test_a_file_in_place_of_a_server(tmp_path: Path) -> None:
    file = tmp_path / "zeroscale.toml"
    file.write_text('state_directory = "state"\n[servers.a]\nplugin = "good"\nlisten = 25565\nserver = 25575\n')
    with Program(python("-c", WITH_A_FAKE, "--config", str(file))) as program:
        assert program.wait_for("directories:").endswith(f" {tmp_path} {tmp_path}/state")
        program.wait_for("started")
        program.signal(signal.SIGTERM)
        assert program.wait() == 0


def test_a_log_that_nobody_reads_stops_nothing(state: list[str]) -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)  # full after some thirty lines
    port = free_port()
    words = ["generic", str(port), str(free_port()), "-a", "sleep 600", "--debug", *state]
    process = subprocess.Popen(
        [sys.executable, "-m", "zeroscale", *words, "--wake-on", "data"], stderr=writing, stdin=subprocess.DEVNULL
    )
    os.close(writing)
    try:
        deadline = time.monotonic() + DEADLINE
        answered = 0
        while answered < 200:
            assert time.monotonic() < deadline, answered
            try:
                with socket.create_connection(("127.0.0.1", port), 5.0, (f"127.0.0.{answered + 2}", 0)) as client:
                    client.shutdown(socket.SHUT_WR)
                    assert client.recv(1) == b""
            except ConnectionRefusedError:
                time.sleep(0.01)  # it has not started yet
                continue
            answered += 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
    finally:
        process.kill()
        process.wait()
        os.close(reading)


def test_console_without_a_thread_costs_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    Console(cast("AsyncioSelectorReactor", None), lambda: None, lambda _: None).start()
    assert "What is typed on the console is not read" in caplog.text
