"""`zeroscalectl`, put together."""

from __future__ import annotations

import contextlib
import signal
import tempfile
from pathlib import Path

import pytest
from ports import free_port
from processes import Program, python

from zeroscale.build_info import version_line
from zeroscale.ctl import exit_codes
from zeroscale.ctl.commands import ping
from zeroscale.ctl.main import main
from zeroscale.ctl.parser import build_parser
from zeroscale.errors import ConfigError
from zeroscale.status import Status


def test_as_a_process() -> None:
    with Program(python("-m", "zeroscale.ctl.main", "--version")) as program:
        assert program.wait() == 0
    assert program.lines == [version_line("zeroscalectl")]


@pytest.mark.parametrize("words", [[], ["fly"], ["ping"], ["ping", "a b"], ["join", "localhost", "--name", ""]])
def test_a_mistake_is_exit_code_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(words)
    assert raised.value.code == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["statsus"], "; did you mean status?"),
        (["keep_awake", "mc"], "; did you mean keep-awake?"),
        (["wake", "--timeot", "3", "mc"], "; did you mean --timeout?"),
        (["ping", "--jsno", "localhost"], "; did you mean --json?"),
        (["example", "zeroscal.service"], "; did you mean zeroscale.service?"),
    ],
)
def test_what_is_meant_by_an_unknown_command_or_option(
    words: list[str], near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        main(words)
    assert raised.value.code == 2
    assert capsys.readouterr().err.endswith(f"{near}\n")


def test_options_may_be_written_with_underscores(capsys: pytest.CaptureFixture[str]) -> None:
    assert build_parser().parse_args(["status", "--exit_code", "mc"]).exit_code
    with pytest.raises(SystemExit):
        main(["status", "--help"])
    assert "--exit_code" not in capsys.readouterr().out


def test_help_lists_the_exit_codes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as raised:
        main(["--help"])
    assert raised.value.code == 0
    output = capsys.readouterr().out
    assert "exit codes:\n  0    done" in output
    assert [line for line in output.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (ConfigError("no"), 1)])
def test_how_it_ends(monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int) -> None:
    def ask(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(ping, "ask", ask)
    assert main(["ping", "localhost"]) == code


def test_an_untrusted_message_cannot_control_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ask(*arguments: object) -> None:
        raise ConfigError("one\x1b[2J\ntwo")

    monkeypatch.setattr(ping, "ask", ask)
    assert main(["ping", "localhost"]) == 1
    assert capsys.readouterr().err == "zeroscalectl: error: one\ufffd[2J\ntwo\n"


def test_a_closed_pipe_is_no_error() -> None:
    code = (
        "import os, sys; from zeroscale.ctl import main; from zeroscale.ctl.commands import ping\n"
        "def ask(*arguments): os.write(1, b''); print('x' * 100000, flush=True)\n"
        "ping.ask = ask\n"
        "reading, writing = os.pipe(); os.close(reading); os.dup2(writing, 1)\n"
        "sys.exit(main.main(['ping', 'localhost']))"
    )
    with Program(python("-c", code)) as program:
        assert program.wait() == 0
    assert program.lines == []


def test_every_command_option_and_exit_code_is_documented() -> None:
    docs = (Path(__file__).parent.parent.parent / "docs" / "control.md").read_text()
    commands = build_parser()._subparsers
    assert commands is not None
    for name, parser in commands._group_actions[0].choices.items():  # type: ignore[union-attr]  # a dictionary there
        assert f"`{name}" in docs, name
        if name not in ("ping", "join"):
            options = {action.option_strings[-1] for action in parser._actions if action.option_strings}
            assert [each for each in options - {"--help"} if each not in docs and each != "--follow"] == []
    for status, code in exit_codes.OF_STATUS.items():
        assert f"{code} {status.value}" in docs
    for code in (exit_codes.DONE, exit_codes.REFUSED, exit_codes.USAGE, exit_codes.UNREACHABLE, exit_codes.INTERRUPTED):
        assert f"| {code} | " in docs


def end(proxy: Program) -> None:
    if proxy.process.poll() is None:
        proxy.signal(signal.SIGTERM)
        proxy.wait()


@pytest.mark.slow
def test_a_real_proxy_is_commanded(tmp_path: Path) -> None:
    """All of it, with a demo server that really starts and stops."""
    with tempfile.TemporaryDirectory(prefix="zs-") as directory:
        path, file = Path(directory, "control.sock"), tmp_path / "zeroscale.toml"
        file.write_text(f"""\
state_directory = "{tmp_path / "state"}"
control.listen = "unix:{path}"
[servers.demo]
plugin = "demo"
listen = {free_port()}
server = "127.0.0.1:{free_port()}"
idle_shutdown = "10m"
plugin_arguments.start_seconds = 1
""")
        command = python("-m", "zeroscale", "--config", str(file), "--debug")
        with Program(command) as proxy, contextlib.ExitStack() as stack:
            stack.callback(end, proxy)  # killed, it would leave its server behind
            proxy.wait_for(f"Control socket: {path}")
            environment = {"ZEROSCALE_SOCKET": str(path)}

            def ask(*words: str) -> tuple[int, str]:
                command = python("-m", "zeroscale.ctl.main", *words)
                with Program(command, environment=environment) as program:
                    return program.wait(), program.output

            code, output = ask("status", "--exit-code")
            assert code == exit_codes.OF_STATUS[Status.stopped] and output.startswith("demo (demo): stopped for ")
            watcher = Program(python("-m", "zeroscale.ctl.main", "status", "--watch"), environment=environment)
            with (
                watcher,
                Program(python("-m", "zeroscale.ctl.main", "logs", "-f"), environment=environment) as follower,
            ):
                watcher.wait_for("demo (demo): stopped")
                code, output = ask("wake", "demo", "--wait")
                assert (code, output.splitlines()[-1].split(" (")[0]) == (0, "demo is running")
                assert ask("status", "--exit-code")[0] == 0
                watcher.wait_for("demo (demo): running")
                follower.wait_for("Done (")
                assert ask("console", "list")[0] == 0
                follower.wait_for("There are 0 of a max of 20 players online")
                assert "There are 0 of a max" in ask("logs", "demo")[1]
                assert ask("keep-awake", "--for", "1h")[0] == 0
                code, output = ask("sleep")
                assert code == 1 and "--now" in output
                assert ask("lockout", "back at 9")[0] == 0
                assert "Locked out   back at 9" in ask("status")[1]
                assert ask("release")[0] == 0
                file.write_text(file.read_text().replace("10m", "11m"))
                code, output = ask("reload")
                assert code == 0 and "idle_shutdown" in output
                file.write_text(file.read_text().replace("idle_shutdown", "idle_shutdwon"))
                code, output = ask("reload")
                assert code == 2 and 'did you mean "idle_shutdown"?' in output
                assert ask("sleep", "demo")[0] == 0
                watcher.wait_for("demo (demo): stopped")
                assert ask("sleep")[0] == 1
                end(proxy)
                assert proxy.process.returncode == 0
                assert follower.wait() in (1, 3) and watcher.wait() in (1, 3)
        assert not path.exists()
        assert ask("status")[0] == exit_codes.UNREACHABLE
