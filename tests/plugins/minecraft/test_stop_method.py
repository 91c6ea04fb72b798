"""How a server is asked to stop: reading `stop=`, and whether RCON is on."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.errors import PluginError
from zeroscale.minecraft.server_files import ServerFiles
from zeroscale.plugins.minecraft.stop_method import StopMethod, parse_stop


@pytest.mark.parametrize(
    ("value", "method"),
    [
        ("stop", StopMethod()),
        ("/stop", StopMethod("/stop")),
        ("end", StopMethod("end")),
        (" shutdown now ", StopMethod("shutdown now")),
        ("quit", StopMethod("quit")),
        ("sig nal", StopMethod("sig nal")),
        ("rcon", StopMethod(by_rcon=True)),
        ("RCON", StopMethod(by_rcon=True)),
        ("SIGTERM", StopMethod(signal=signal.SIGTERM)),
        ("sigint", StopMethod(signal=signal.SIGINT)),
        ("SIGUSR1", StopMethod(signal=signal.SIGUSR1)),
    ],
)
def test_a_command_rcon_or_a_signal(value: str, method: StopMethod) -> None:
    assert parse_stop(value) == method


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "stop= is empty: give a command of its console, rcon, or a signal's name such as SIGTERM"),
        ("  ", "stop= is empty"),
        ("SIGTREM", "stop='SIGTREM' is not a signal: SIGTERM and SIGINT are usual"),
        ("SIGRTMIN+3", "stop='SIGRTMIN+3' is not a signal"),
        ("SIGQUIT", "stop='SIGQUIT': Java writes its threads on it, and runs on; use SIGTERM"),
        ("TERM", "stop='TERM': write a signal by its whole name, such as SIGTERM"),
        ("int", "stop='int': write a signal by its whole name, such as SIGTERM"),
        ("STOP", "stop='STOP': write a signal by its whole name"),
        ("15", "stop='15': write a signal by its whole name, such as SIGTERM"),
        ("SIGKILL", "stop='SIGKILL': a server that is killed does not save its world; see --kill-timeout"),
        ("SIGSTOP", "stop='SIGSTOP' pauses a program and does not stop it"),
        ("save-all\nstop", "stop='save-all\\nstop': a command is one line, without control characters"),
        ("stop\x1b[m", "a command is one line, without control characters"),
        ("x" * 4096, "must be one line of at most 4095 bytes"),
    ],
)
def test_what_is_none_of_them(value: str, message: str) -> None:
    with pytest.raises(PluginError) as raised:
        parse_stop(value)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300


@given(st.text())
def test_any_text_is_a_method_or_a_mistake_of_one_line(value: str) -> None:
    try:
        method = parse_stop(value)
    except PluginError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert method.command == "stop" or method.command == value.strip()
        assert method.command.splitlines() == [method.command]


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        (None, "stop=rcon: {} needs the line enable-rcon=true; {} needs the line rcon.password=A_LONG_PASSWORD"),
        ("motd=A\n", "stop=rcon: {} needs the line enable-rcon=true; {} needs the line rcon.password=A_LONG_PASSWORD"),
        (
            "#\nenable-rcon=false\nrcon.password=\n",
            "stop=rcon: line 2 of {}: enable-rcon=false must be enable-rcon=true; line 3 of {}: rcon.password= must be "
            "rcon.password=A_LONG_PASSWORD",
        ),
        ("enable-rcon=true\n", "stop=rcon: {} needs the line rcon.password=A_LONG_PASSWORD"),
        ("enable-rcon=\nrcon.password=x\n", "stop=rcon: line 1 of {}: enable-rcon= must be enable-rcon=true"),
        (
            "enable-rcon=true\nrcon.password=x\nrcon.port=25565\n",
            "stop=rcon: RCON cannot have port 25565, which is the server's own: line 3 of {}: rcon.port=25565 must be "
            "rcon.port=25564",
        ),
    ],
)
def test_rcon_that_is_off_is_a_mistake_with_the_lines_to_write(
    tmp_path: Path, properties: str | None, message: str
) -> None:
    path = tmp_path / "server.properties"
    if properties is not None:
        path.write_text(properties)
    with pytest.raises(PluginError) as raised:
        parse_stop("rcon").check(ServerFiles(tmp_path), 25565)
    assert str(raised.value) == message.replace("{}", str(path))


def test_the_usual_port_of_rcon_may_be_the_servers_own(tmp_path: Path) -> None:
    path = tmp_path / "server.properties"
    path.write_text("enable-rcon=true\nrcon.password=x\n")
    with pytest.raises(PluginError) as raised:
        parse_stop("rcon").check(ServerFiles(tmp_path), 25575)
    assert str(raised.value).endswith(f"{path} needs the line rcon.port=25574")


def test_rcon_that_is_on(tmp_path: Path) -> None:
    (tmp_path / "server.properties").write_text("enable-rcon=true\nrcon.password=x\n")
    parse_stop("rcon").check(ServerFiles(tmp_path), 25565)


@pytest.mark.parametrize("value", ["stop", "end", "SIGTERM"])
def test_nothing_else_needs_rcon(tmp_path: Path, value: str) -> None:
    parse_stop(value).check(ServerFiles(tmp_path), 25565)
