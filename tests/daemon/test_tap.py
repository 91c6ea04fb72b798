"""`twistd zeroscale` as a process: in the foreground and as a daemon, its files, its signals, its mistakes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from ports import free_port
from processes import TELL_MODULES, Program, modules_of, python, wait_until

HERE = Path(__file__).parent.parent
TWISTD = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
import fake_service
sys.modules["zeroscale.proxy.service"] = fake_service
from twisted.scripts.twistd import run
run()
"""
PORTS = ["25565", "25575"]


def twistd(directory: Path, *words: str) -> Program:
    return Program(python("-c", TWISTD, *words), directory)


class Daemon:
    """A daemon that twistd left in a directory, known by its pid file and its log file."""

    def __init__(self, directory: Path) -> None:
        self.pid = int((directory / "twistd.pid").read_text())
        self._log = directory / "twistd.log"

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.log, lambda: f"{text!r} in the log:\n{self.log}")

    def wait(self) -> None:
        wait_until(lambda: not _lives(self.pid), lambda: f"its end:\n{self.log}")

    @property
    def log(self) -> str:
        return self._log.read_text()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    pid_file = tmp_path / "twistd.pid"
    if pid_file.exists() and _lives(pid := int(pid_file.read_text())):
        os.kill(pid, signal.SIGKILL)


def daemon(directory: Path, *words: str) -> Daemon:
    with twistd(directory, "zeroscale", *words) as starter:
        assert starter.wait() == 0, starter.output
    return Daemon(directory)


def test_twistd_lists_it(directory: Path) -> None:
    with twistd(directory, "--help") as program:
        assert program.wait() == 0
    assert any(line.split()[:1] == ["zeroscale"] for line in program.lines)


@pytest.mark.slow
def test_its_help_is_ours(directory: Path) -> None:
    with twistd(directory, "zeroscale", "--help") as program:
        assert program.wait() == 0
    assert program.lines[0].startswith("usage: twistd zeroscale ")


def test_in_the_foreground(directory: Path) -> None:
    with twistd(directory, "-n", "zeroscale", "good", *PORTS, "--info") as program:
        assert program.wait_for("WARNING:fake:started")
        program.signal(signal.SIGTERM)
        assert program.wait() == -signal.SIGTERM, "twistd's own way to end"
    output = program.output
    assert "[-] INFO:zeroscale.proxy:SIGTERM: stopping" in output
    assert (
        output.index("WARNING:fake:stop\n") < output.index("WARNING:fake:stopped\n") < output.index("Server Shut Down")
    )
    assert "Traceback" not in output
    assert not (directory / "twistd.pid").exists()


@pytest.mark.slow
def test_a_second_signal_hurries(directory: Path) -> None:
    with twistd(directory, "-n", "zeroscale", "hurried", *PORTS) as program:
        program.wait_for("started")
        program.signal(signal.SIGTERM)
        program.wait_for("WARNING:fake:stop")
        program.signal(signal.SIGTERM)
        program.wait_for("WARNING:fake:skip to SIGTERM")
        assert program.wait() == -signal.SIGTERM
    assert "Traceback" not in program.output


def test_as_a_daemon(directory: Path) -> None:
    running = daemon(directory, "good", *PORTS, "--state-directory", "state")
    running.wait_for("WARNING:fake:started")
    assert f"directories: {directory} {directory}/state" in running.log
    os.kill(running.pid, signal.SIGTERM)
    running.wait()
    assert "WARNING:fake:stopped" in running.log
    assert "Traceback" not in running.log
    assert not (directory / "twistd.pid").exists()


@pytest.mark.slow
def test_the_daemons_log_is_rotated_by_twistds_own_signal(directory: Path) -> None:
    running = daemon(directory, "good", *PORTS)
    running.wait_for("started")
    os.kill(running.pid, signal.SIGUSR1)
    wait_until((directory / "twistd.log.1").exists, lambda: "the new file")
    os.kill(running.pid, signal.SIGTERM)
    running.wait()
    assert "started" in (directory / "twistd.log.1").read_text()
    assert "stopped" in running.log and "started" not in running.log


@pytest.mark.slow
def test_a_log_that_was_moved_away_is_opened_anew(directory: Path) -> None:
    running = daemon(directory, "good", *PORTS)
    running.wait_for("started")
    (directory / "twistd.log").rename(directory / "yesterday.log")
    os.kill(running.pid, signal.SIGUSR1)
    wait_until((directory / "twistd.log").exists, lambda: "the new file")
    os.kill(running.pid, signal.SIGTERM)
    running.wait()
    assert "started" in (directory / "yesterday.log").read_text()
    assert "stopped" in running.log and "started" not in running.log


def test_a_stale_pid_file_is_no_hindrance(directory: Path) -> None:
    with Program(python("-c", "pass")) as ended:
        ended.wait()
    (directory / "twistd.pid").write_text(str(ended.process.pid))
    running = daemon(directory, "good", *PORTS)
    running.wait_for("started")
    assert running.pid != ended.process.pid


def test_paths_start_from_twistds_rundir(directory: Path) -> None:
    (directory / "run").mkdir()
    with twistd(directory, "-n", "--rundir", "run", "zeroscale", "good", *PORTS, "--state_directory", "s") as program:
        assert program.wait_for("directories:").endswith(f" {directory}/run {directory}/run/s")


def test_a_busy_port_is_reported_by_the_parent_process(directory: Path) -> None:
    with twistd(directory, "zeroscale", "busy", *PORTS) as starter:
        assert starter.wait() == 1
    assert "port 25565 is taken" in starter.output
    assert "Traceback" not in starter.output
    assert "CRITICAL:zeroscale.proxy:port 25565 is taken" in (directory / "twistd.log").read_text()
    assert not (directory / "twistd.pid").exists()


@pytest.mark.parametrize("does", ["busy", "busy_later", "dies"])
def test_a_failure_in_the_foreground_is_one_line_and_an_exit_code(directory: Path, does: str) -> None:
    with twistd(directory, "-n", "zeroscale", does, *PORTS) as program:
        assert program.wait() == 1
    assert program.output.count("CRITICAL:zeroscale.proxy:") == 1
    assert "WARNING:fake:stopped" in program.output
    assert "Traceback" not in program.output
    assert not (directory / "twistd.pid").exists()


@pytest.mark.slow
def test_what_check_finds_is_one_line(directory: Path) -> None:
    with twistd(directory, "-n", "zeroscale", "unknown", *PORTS) as program:
        assert program.wait() == 1
    assert program.lines == ["twistd zeroscale: error: no plugin is called 'unknown'; did you mean 'generic'?"]


def test_tls_is_left_out_where_nothing_needs_it(directory: Path) -> None:
    words = ["generic", str(free_port()), str(free_port()), "-a", "sleep 600", "--info"]
    words += ["--state-directory", str(directory / "state")]
    script = f"{TELL_MODULES}\nfrom twisted.scripts.twistd import run\nrun()"
    with Program(python("-c", script, "-n", "--pidfile=", "zeroscale", *words), directory) as program:
        program.wait_for("Ready")
        imported = modules_of(program)
        assert "twisted.internet.tcp" in imported and "OpenSSL" not in imported
        program.signal(signal.SIGTERM)
        program.wait()


def test_another_reactor_is_a_usage_error_that_says_how_to_fix_it(directory: Path) -> None:
    with twistd(directory, "-n", "-r", "select", "zeroscale", "good", *PORTS) as program:
        assert program.wait() == 1
    assert "SelectReactor" in program.lines[-1] and "--reactor=asyncio" in program.lines[-1]
    assert "Traceback" not in program.output


def test_the_asyncio_reactor_may_be_asked_for(directory: Path) -> None:
    with twistd(directory, "-n", "-r", "asyncio", "zeroscale", "good", *PORTS) as program:
        program.wait_for("started")
        program.signal(signal.SIGINT)
        assert program.wait() == -signal.SIGINT


def test_a_mistake_in_the_command_line(directory: Path) -> None:
    with twistd(directory, "-n", "zeroscale", "generic", "0", "25575", "--name", "a/b") as program:
        assert program.wait() == 1
    assert any('listen_port: "0" is not a port from 1 to 65535' in line for line in program.lines)
    assert any('--name: "a/b" cannot be a server\'s name' in line for line in program.lines)


def test_a_configuration_file(directory: Path) -> None:
    server = '[servers.a]\nplugin = "good"\nlisten = 25565\nserver = 25575\n'
    (directory / "zeroscale.toml").write_text(f'state_directory = "state"\n{server}')
    with twistd(directory, "-n", "zeroscale", "--config", "zeroscale.toml") as program:
        assert program.wait_for("directories:").endswith(f" {directory} {directory}/state")
        program.wait_for("started")
        program.signal(signal.SIGTERM)
        assert program.wait() == -signal.SIGTERM
    (directory / "zeroscale.toml").write_text("relay = 5\nlog.format = 5\n")
    with twistd(directory, "-n", "zeroscale", "--config", "zeroscale.toml") as program:
        assert program.wait() == 1
    assert [f"{directory}/zeroscale.toml: " in line for line in program.lines[-3:]] == [True] * 3


def test_a_daemon_has_no_console(directory: Path) -> None:
    with twistd(directory, "-n", "zeroscale", "good", *PORTS, "--console") as program:
        assert program.wait() == 1
    assert "--console" in program.lines[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "more", "expected"),
    [
        ((), (), "0026"),
        (("--umask", "037"), (), "0037"),
        ((), ("--umask", "007"), "0007"),
        (("--umask", "037"), ("--umask", "007"), "0007"),
        (("-n",), (), "0026"),
    ],
)
def test_servers_get_the_umask_of_the_shell(
    directory: Path, options: tuple[str, ...], more: tuple[str, ...], expected: str
) -> None:
    before = os.umask(0o026)
    try:
        starter = twistd(directory, *options, "zeroscale", "good", *PORTS, *more)
    finally:
        os.umask(before)
    with starter:
        if options == ("-n",):
            running: Program | Daemon = starter
            pid = starter.process.pid
        else:
            assert starter.wait() == 0, starter.output
            running = daemon = Daemon(directory)
            pid = daemon.pid
        running.wait_for("WARNING:fake:started")
        assert f"Umask:\t{expected}\n" in Path(f"/proc/{pid}/status").read_text()
        os.kill(pid, signal.SIGTERM)
        running.wait()


@pytest.mark.slow
def test_as_json_each_line_of_a_daemons_log_is_one_object(directory: Path) -> None:
    running = daemon(directory, "good", *PORTS, "--log_format", "json")
    running.wait_for("started")
    os.kill(running.pid, signal.SIGTERM)
    running.wait()
    lines = [json.loads(line) for line in running.log.splitlines()]
    output = [(line["logger"], line["message"]) for line in lines]
    assert ("fake", "started") in output
    assert ("fake", "stopped") in output
    assert any(logger == "twisted" and "starting up" in message for logger, message in output)


@pytest.mark.slow
def test_as_json_in_the_foreground(directory: Path) -> None:
    with twistd(directory, "-n", "zeroscale", "good", *PORTS, "--log_format", "json") as program:
        program.wait_for('"started"')
        program.signal(signal.SIGTERM)
        assert program.wait() == -signal.SIGTERM
    assert {json.loads(line)["logger"] for line in program.lines} >= {"fake", "twisted"}
