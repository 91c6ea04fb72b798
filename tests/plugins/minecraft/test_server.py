"""A Minecraft server as a child process, and the usual reasons why it cannot start."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jars import PAPER, VANILLA, main_class, version, write_jar
from plugins.process_fixture import kill_at_end, until
from ports import free_port
from protocols.minecraft.rcon_server import RconServer
from server_directories import DIRECTORIES

from zeroscale.errors import PluginError
from zeroscale.plugins.minecraft.server import Server
from zeroscale.plugins.testing import RecordedOutput
from zeroscale.process.environment import ChildEnvironment

FAKE_JAVA = """#!/bin/sh
echo "arguments: $*"
echo '[12:00:00] [Server thread/INFO]: Done (1.234s)! For help, type "help"'
while read -r line; do
    echo "[12:00:01] [Server thread/INFO]: got $line"
    [ "$line" = stop ] && exit 0
done
"""

MakeServer = Callable[..., Server]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The server's directory."""
    path = tmp_path / "server"
    path.mkdir()
    return path


@pytest.fixture
def java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `java`, first in PATH, that behaves like a server."""
    path = tmp_path / "bin" / "java"
    path.parent.mkdir()
    executable(path, FAKE_JAVA)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")
    return path


@pytest.fixture
def make(directory: Path, state: Path, java: Path) -> MakeServer:
    """Constructs the plugin as the proxy does."""

    def make(*words: str, **keywords: Any) -> Server:
        server = Server(*words, server_port=25575, state_directory=state, working_directory=str(directory), **keywords)
        kill_at_end(server)
        return server

    return make


def executable(path: Path, content: str) -> None:
    path.write_text(content)
    path.chmod(0o755)


def listen(server: Server) -> RecordedOutput:
    output = RecordedOutput()
    server.on_output = output
    return output


def refusal(server: Server) -> str:
    with pytest.raises(PluginError) as raised:
        server.check()
    message = str(raised.value)
    assert "\n" not in message
    return message


async def test_start_stop_and_start_again_by_default(make: MakeServer, directory: Path) -> None:
    (directory / "server.jar").touch()
    server = make()
    output = listen(server)
    await server.start()
    await output.line_with("Done (1.234s)!")
    await server.stop()
    assert await server.wait() == 0
    assert output.lines[0] == "arguments: -jar server.jar nogui --port 25575"
    assert output.lines[-1].endswith("got stop")


async def test_an_adopted_server_is_stopped_through_its_console(make: MakeServer, directory: Path) -> None:
    (directory / "server.jar").touch()
    first = make()
    first_output = listen(first)
    await first.start()
    await first_output.line_with("Done")
    first.detach()
    second = make()
    output = listen(second)
    assert await second.adopt()
    await second.stop()
    assert output.lines[-1].endswith("got stop")
    assert await second.wait() is None


def test_its_abilities(make: MakeServer) -> None:
    server = make()
    assert server.protocol == "minecraft"
    assert server.fake_status() == b""


def test_no_directory(make: MakeServer, directory: Path) -> None:
    directory.rmdir()
    assert refusal(make()) == f"the working directory {directory} does not exist"


# run.sh


async def test_a_start_script_gets_the_arguments(make: MakeServer, directory: Path) -> None:
    executable(directory / "run.sh", '#!/bin/sh\njava @user_jvm_args.txt "$@"\n')
    server = make()
    output = listen(server)
    await server.start()
    await output.line_with("Done")
    assert output.lines[0] == "arguments: @user_jvm_args.txt nogui --port 25575"
    await server.stop()
    assert await server.wait() == 0


OLD_JAVA = "#!/bin/sh\necho 'Done (1s)! For help'\nread -r line\n"
NEW_JAVA = '#!/bin/sh\necho "NOTE: Picked up JDK_JAVA_OPTIONS: $JDK_JAVA_OPTIONS" >&2\n' + OLD_JAVA


@pytest.mark.parametrize(("script", "warns"), [(OLD_JAVA, True), (NEW_JAVA, False)], ids=["Java 8", "Java 9 and newer"])
async def test_the_heap_of_a_start_script(
    make: MakeServer, directory: Path, java: Path, script: str, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    executable(java, script)
    executable(directory / "run.sh", '#!/bin/sh\njava @user_jvm_args.txt "$@"\n')
    (directory / "eula.txt").write_text("eula=true\n")
    server = make(memory="3G", environment=ChildEnvironment({"JDK_JAVA_OPTIONS": "-Dx=1"}))
    output = listen(server)
    await server.start()
    await output.line_with("Done")
    assert ("NOTE: Picked up JDK_JAVA_OPTIONS: -Dx=1 -Xmx3G" in output.lines) is not warns
    assert [message.partition(":")[0] for message in caplog.messages] == ["memory=3G may have had no effect"] * warns
    await server.stop()


async def test_a_jar_gets_its_heap_on_its_command_line(
    make: MakeServer, directory: Path, java: Path, caplog: pytest.LogCaptureFixture
) -> None:
    executable(java, '#!/bin/sh\necho "options: $JDK_JAVA_OPTIONS"\n' + FAKE_JAVA)
    write_jar(directory / "server.jar", PAPER)
    (directory / "eula.txt").write_text("eula=true\n")
    server = make(memory="3G")
    output = listen(server)
    await server.start()
    await output.line_with("Done")
    assert output.lines[:2] == ["options: ", "arguments: -Xmx3G -jar server.jar nogui --port 25575"]
    assert caplog.messages == []
    await server.stop()


# How it is stopped.


async def test_another_command_of_its_console(make: MakeServer, directory: Path, java: Path) -> None:
    (directory / "server.jar").touch()
    executable(java, FAKE_JAVA.replace('"$line" = stop', '"$line" = "end now"'))
    server = make(stop="end now")
    output = listen(server)
    await server.start()
    await output.line_with("Done")
    await server.stop()
    assert output.lines[-1].endswith("got end now")


DEAF_JAVA = """#!/bin/sh
trap 'echo got {name}; exit 0' {name}
echo 'Done (1s)!'
while :; do sleep 0.01; done
"""


@pytest.mark.parametrize("name", ["TERM", "INT"])
async def test_a_signal_for_a_server_that_does_not_read_its_console(
    make: MakeServer, directory: Path, java: Path, name: str
) -> None:
    (directory / "server.jar").touch()
    executable(java, DEAF_JAVA.format(name=name))
    server = make(stop=f"SIG{name}")
    output = listen(server)
    await server.start()
    await output.line_with("Done")
    await server.stop()
    assert output.lines[-1] == f"got {name}"
    assert await server.wait() == 0


async def test_a_stop_by_rcon_that_fails_is_reported_and_leaves_the_console_alone(
    make: MakeServer, directory: Path
) -> None:
    (directory / "server.jar").touch()
    (directory / "server.properties").write_text(f"enable-rcon=true\nrcon.password=secret\nrcon.port={free_port()}\n")
    server = make(stop="rcon")
    output = listen(server)
    await server.start()
    await output.line_with("Done")
    with pytest.raises(PluginError, match="RCON at 127"):
        await server.stop()
    assert not [line for line in output.lines if "got" in line]


def test_a_stop_by_rcon_needs_rcon(make: MakeServer, directory: Path) -> None:
    (directory / "server.jar").touch()
    path = directory / "server.properties"
    path.write_text("enable-rcon=false\nrcon.password=x\nrcon.port=25576\n")
    assert refusal(make(stop="rcon")) == f"stop=rcon: line 1 of {path}: enable-rcon=false must be enable-rcon=true"
    path.write_text("enable-rcon=true\nrcon.password=x\nrcon.port=25576\n")
    make(stop="rcon").check()


def test_an_invalid_stop_is_reported_with_the_other_mistakes(make: MakeServer) -> None:
    with pytest.raises(
        PluginError, match=r"memory='lots' is not a size.*; stop='TERM': write a signal by its whole name"
    ):
        make(memory="lots", stop="TERM")


@pytest.mark.parametrize(
    ("stop", "proposed"), [("stop", "-a stop=SIGTERM"), ("SIGINT", "-a stop=SIGTERM"), ("SIGTERM", None)]
)
def test_it_proposes_sigterm_for_a_server_that_obeys_nothing_else(
    make: MakeServer, stop: str, proposed: str | None
) -> None:
    assert make(stop=stop).sigterm_arguments == proposed


# What is wrong before the start.


def test_what_may_prevent_the_start_is_logged_once(
    make: MakeServer, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (directory / "server.jar").touch()
    server = make()
    with caplog.at_level(logging.WARNING):
        server.check()
        server.check()
    assert [message.partition(f" {directory}")[0] for message in caplog.messages] == [
        "cannot read the manifest of",
        "there is no",
    ]
    (directory / "eula.txt").write_text("eula=true\n")
    (directory / "server.jar").write_text("<html>")
    caplog.clear()
    server.check()
    assert caplog.messages == []


def test_a_missing_eula_is_found_before_the_start(make: MakeServer, directory: Path) -> None:
    write_jar(directory / "server.jar", VANILLA, version())
    assert "the Minecraft EULA has not been accepted: there is no" in refusal(make())


# The arguments.


@pytest.mark.parametrize("keywords", [{"jar": "a.jar"}, {"java": "java"}, {"memory": "4G"}])
def test_a_command_cannot_be_combined_with_jar_java_or_memory(make: MakeServer, keywords: dict[str, str]) -> None:
    with pytest.raises(PluginError, match="cannot be combined with a command"):
        make("java", "-jar", "server.jar", **keywords)


@pytest.mark.parametrize("memory", ["4 GB", "4GB", "", "0", "-1G", "4g;rm", "lots"])
def test_invalid_memory(make: MakeServer, memory: str) -> None:
    with pytest.raises(PluginError, match="is not a size for Java"):
        make(memory=memory)


# Why it has ended.


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo eula=false > eula.txt; exit 0", "EULA has not been accepted: line 1 of {}/eula.txt"),
        ("echo 'Unsupported Java detected (65.0). Only up to Java 19 is supported.'", "it runs with Java 19 at most"),
        (
            "echo 'Error: java.lang.UnsupportedClassVersionError: net/minecraft/bundler/Main has been compiled by a "
            "more recent version of the Java Runtime (class file version 65.0), this version'; exit 1",
            "needs Java 21 or newer",
        ),
        ("echo '[12:00:00] [Server thread/WARN]: **** FAILED TO BIND TO PORT!'; exit 0", "not listen on port 25575"),
        ("echo 'Invalid maximum heap size: -Xmx400G'; exit 1", "memory it is configured to use: Invalid maximum heap"),
    ],
)
async def test_usual_reasons_for_an_exit_during_start(
    make: MakeServer, directory: Path, java: Path, script: str, reason: str
) -> None:
    (directory / "server.jar").touch()
    executable(java, f"#!/bin/sh\n{script}\n")
    server = make()
    await server.start()
    with pytest.raises(PluginError) as raised:
        await server.wait()
    assert reason.format(directory) in str(raised.value)


@pytest.mark.parametrize(("asked", "logged", "needed"), [(25, 21, 25), (17, 21, 21), (None, 21, 21)])
async def test_the_java_that_is_named_is_never_too_old(
    make: MakeServer, directory: Path, java: Path, asked: int | None, logged: int, needed: int
) -> None:
    write_jar(directory / "server.jar", PAPER, {} if asked is None else version(asked))
    executable(java, f"#!/bin/sh\necho 'Minecraft requires running the server with Java {logged} or above.'; exit 1\n")
    server = make()
    await server.start()
    with pytest.raises(PluginError) as raised:
        await server.wait()
    assert str(raised.value).startswith(f"it needs Java {needed} or newer: install Java {needed} or newer (")
    assert str(raised.value).endswith("or give its path with -a java=/path/to/bin/java")


@pytest.mark.parametrize(
    ("words", "advice"), [((), "and put it first in PATH"), (("./run.sh",), "and give its path in the command")]
)
async def test_how_another_java_is_used(make: MakeServer, directory: Path, words: tuple[str, ...], advice: str) -> None:
    text = "Current Java is 17 but we require at least 21"
    executable(directory / "run.sh", f"#!/bin/sh\n# java @user_jvm_args.txt\necho '{text}'\nexit 1\n")
    server = make(*words)
    await server.start()
    with pytest.raises(PluginError, match=f"it needs Java 21 or newer: .*, {advice}"):
        await server.wait()


async def test_an_unknown_reason_gives_the_exit_code(make: MakeServer, directory: Path, java: Path) -> None:
    (directory / "server.jar").touch()
    executable(java, "#!/bin/sh\necho 'Error: Unable to access jarfile'; exit 1\n")
    server = make()
    await server.start()
    assert await server.wait() == 1
    assert list(server.last_lines) == ["Error: Unable to access jarfile"]


async def test_after_the_start_an_exit_gives_the_exit_code(make: MakeServer, directory: Path, java: Path) -> None:
    (directory / "server.jar").touch()
    executable(java, "#!/bin/sh\necho 'FAILED TO BIND TO PORT'; echo 'Done (1,5s)! For help'; exit 9\n")
    server = make()
    await server.start()
    assert await server.wait() == 9


async def test_sigterm_reaches_the_java_of_a_start_script(make: MakeServer, directory: Path, java: Path) -> None:
    executable(directory / "run.sh", '#!/bin/sh\njava "$@"\n')
    executable(java, "#!/bin/sh\ntrap 'echo saved; exit 143' TERM\necho 'Done (1s)!'\nwhile :; do sleep 0.01; done\n")
    server = make()
    output = listen(server)
    await server.start()
    await output.line_with("Done")
    server.signal(signal.SIGTERM)
    assert await server.wait() == 143
    assert "saved" in output.lines


BACKGROUND_SERVER = """
import os, pathlib, signal, time
signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path("saves").write_text("saved"), os._exit(0)))
pathlib.Path("up").touch()
while not pathlib.Path("stopped").exists():
    time.sleep(0.02)
"""
BACKGROUND = f"#!/bin/sh\nsetsid {sys.executable} -S -c {shlex.quote(BACKGROUND_SERVER)} </dev/null &\n"


@pytest.mark.parametrize("stop", ["stop", "end", "SIGTERM"])
async def test_in_the_background_it_is_stopped_by_sigterm(make: MakeServer, directory: Path, stop: str) -> None:
    executable(directory / "start.sh", BACKGROUND)
    server = make("./start.sh", stop=stop)
    await server.start()
    await until(lambda: (directory / "up").exists() and not server.reads_console)
    with pytest.raises(PluginError, match="it does not read its console"):
        await server.send("list")
    await server.stop()
    assert (directory / "saves").read_text() == "saved"


async def test_in_the_background_it_is_stopped_by_rcon_where_that_is_on(make: MakeServer, directory: Path) -> None:
    commands: list[str] = []

    def run(command: str) -> str:
        commands.append(command)
        if command == "stop":
            (directory / "stopped").touch()
        return "Saved the game"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = RconServer("secret", run)
        while data := await reader.read(1460):
            writer.write(connection.read(data))
        writer.close()

    port = free_port()
    executable(directory / "start.sh", BACKGROUND)
    (directory / "server.properties").write_text(
        f"server-port=25575\nenable-rcon=true\nrcon.password=secret\nrcon.port={port}\n"
    )
    async with await asyncio.start_server(serve, "127.0.0.1", port):
        server = make("./start.sh")
        await server.start()
        await until(lambda: (directory / "up").exists() and not server.reads_console)
        assert await server.send("say hello") == "Saved the game"
        await server.stop()
    assert commands == ["say hello", "save-all flush", "stop"]
    assert not (directory / "saves").exists(), "it got no signal"


# With a real Java. The jars have no classes, or one that it refuses.


@pytest.mark.slow
@pytest.mark.peers("java")
async def test_memory_reaches_the_java_of_run_sh(
    directory: Path, state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (directory / "run.sh").write_text("#!/bin/sh\nexec java @user_jvm_args.txt -XX:+PrintFlagsFinal -version\n")
    (directory / "user_jvm_args.txt").write_text("# A good default is 4GB.\n# -Xmx4G\n-Xms16m\n")
    environment = ChildEnvironment({"JDK_JAVA_OPTIONS": "-Xmx96m -Xss2m"})
    server = real(directory, state, memory="64m", environment=environment)
    output = listen(server)
    await server.start()
    await output.line_with("Server VM ")
    assert "NOTE: Picked up JDK_JAVA_OPTIONS: -Xmx96m -Xss2m -Xmx64m" in output.lines
    flags = dict(line.split()[1:4:2] for line in output.lines if "=" in line)
    assert (flags["MaxHeapSize"], flags["ThreadStackSize"]) == (str(64 << 20), "2048"), "the present options are kept"


@pytest.mark.slow
@pytest.mark.peers("java")
@pytest.mark.parametrize("name", ["fabric", "fabric_renamed", "quilt", "forge_1.12", "itzg_fabric", "vanilla"])
async def test_java_is_given_the_launcher(tmp_path: Path, state: Path, name: str) -> None:
    java = tmp_path / "java"  # whose version is not known, so that it is started, too old as it may be
    java.write_text('#!/bin/sh\nexec java "$@"\n')
    java.chmod(0o755)
    server = real(DIRECTORIES[name].make(tmp_path / "modded"), state, java=str(java))
    output = listen(server)
    await server.start()
    manifest = DIRECTORIES[name].jars[server.command()[2]]["manifest"]
    await output.line_with(f"Could not find or load main class {manifest.split('Main-Class: ')[1].splitlines()[0]}")
    assert await server.wait() == 1


@pytest.mark.slow
@pytest.mark.peers("java")
async def test_a_class_that_is_too_new_for_java(directory: Path, state: Path) -> None:
    too_new = struct.pack(">IHH", 0xCAFEBABE, 0, 44 + 99) + bytes(16)
    write_jar(directory / "server.jar", main_class("a.Main"), {"a/Main.class": too_new})
    server = real(directory, state)
    await server.start()
    with pytest.raises(PluginError, match="it needs Java 99 or newer: install Java 99 or newer"):
        await server.wait()


def real(directory: Path, state: Path, **keywords: Any) -> Server:
    """The plugin with the Java of this machine."""
    server = Server(server_port=25575, state_directory=state, working_directory=directory, **keywords)
    kill_at_end(server)
    return server
