"""The command line for a Minecraft server's directory, and the usual reasons why it cannot start."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from plugins.process_fixture import kill_at_end, until
from ports import free_port
from protocols.minecraft.rcon_server import RconServer

from zeroscale.errors import PluginError
from zeroscale.plugins.minecraft.server import Server
from zeroscale.plugins.testing import RecordedOutput

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


@pytest.mark.parametrize(
    ("files", "keywords", "command"),
    [
        (["server.jar", "other.jar", "run.sh"], {}, "java -jar server.jar"),
        (["server.jar"], {"memory": "4G"}, "java -Xmx4G -jar server.jar"),
        (["a.jar", "b.jar"], {"jar": "b.jar"}, "java -jar b.jar"),
        (["paper-1.21.4-100.jar"], {}, "java -jar paper-1.21.4-100.jar"),
        (["paper-1.21.4-100.jar", "run.sh"], {}, "sh run.sh"),
    ],
)
def test_the_command_for_the_files_in_the_directory(
    make: MakeServer, directory: Path, files: list[str], keywords: dict[str, str], command: str
) -> None:
    for name in files:
        (directory / name).write_text('java "$@"')
    assert " ".join(make(**keywords).command()) == f"{command} nogui --port 25575"


def test_a_java_of_choice(make: MakeServer, directory: Path, tmp_path: Path) -> None:
    (directory / "server.jar").touch()
    executable(directory / "java21", FAKE_JAVA)
    assert make(java="./java21").command()[0] == "./java21"
    assert "java=/no/java: there is no such program" in refusal(make(java="/no/java"))
    assert "java=java99: there is no such program" in refusal(make(java="java99"))


def test_no_java(make: MakeServer, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / "server.jar").touch()
    monkeypatch.setenv("PATH", "/nowhere")
    assert refusal(make()).startswith("there is no java in PATH: install")


def test_no_jar(make: MakeServer, directory: Path) -> None:
    assert (
        refusal(make()) == f"there is no server.jar in {directory}: put the server there, or give its directory with -w"
    )
    assert refusal(make(jar="mine.jar")) == f"there is no {directory}/mine.jar, nor any other jar"


def test_several_jars(make: MakeServer, directory: Path) -> None:
    (directory / "b 1.jar").touch()
    (directory / "a.jar").touch()
    assert refusal(make()) == (
        f"there is no server.jar in {directory}; choose a jar, such as -a jar=a.jar (there is a.jar, b 1.jar)"
    )
    for number in range(20):
        (directory / f"c{number:02}.jar").touch()
    assert refusal(make(jar="d.jar")).endswith("c06.jar, c07.jar, ...)")


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


def test_a_start_script_that_passes_no_arguments_on(make: MakeServer, directory: Path) -> None:
    executable(directory / "run.sh", "#!/bin/sh\njava -jar forge.jar\n")
    server = make()
    assert server.command() == ("./run.sh", "nogui", "--port", "25575")
    (directory / "server.properties").write_text("server-port=25565\n")
    assert "server-port=25565 must be 25575" in refusal(server)


def test_memory_and_java_have_no_effect_on_a_start_script(make: MakeServer, directory: Path) -> None:
    executable(directory / "run.sh", '#!/bin/sh\njava "$@"\n')
    assert refusal(make(memory="4G")).endswith(f"write the line -Xmx4G into {directory}/user_jvm_args.txt")
    assert "java= has no effect on" in refusal(make(java="java"))


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


# A command of the user's own.


@pytest.mark.parametrize(
    ("words", "properties", "wrong"),
    [
        ("java -jar paper.jar nogui", "server-port=25575\n", None),
        ("java -jar paper.jar nogui", "#Minecraft\nmotd=A\nserver-port=25565\n", "line 3 of {}: server-port=25565"),
        ("java -jar paper.jar", "server-port : 1\nserver-port = 2", "line 2 of {}: server-port=2 must be 25575"),
        ("java -jar paper.jar", "motd=A\n", "{} has no server-port, which means 25565: add the line server-port=25575"),
        ("java -jar paper.jar", None, None),
        ("java -jar paper.jar --port 25575", "server-port=25565\n", None),
        ("java -jar paper.jar -p 25575 nogui", "server-port=25565\n", None),
        ("java -jar paper.jar --port=25575", "server-port=25565\n", None),
        ("java -jar paper.jar --server-port 25565", None, "the command has port 25565"),
        ("java -jar paper.jar --port", None, "the command has port , but"),
        ("java -p modules -jar paper.jar", "server-port=25575\n", None),
        ("ssh -p 22 host ./start", "server-port=25575\n", None),
    ],
)
def test_the_port_of_the_command_must_be_the_configured_one(
    make: MakeServer, directory: Path, words: str, properties: str | None, wrong: str | None
) -> None:
    path = directory / "server.properties"
    if properties is not None:
        path.write_text(properties)
    server = make(*words.split())
    if wrong is None:
        assert list(server.command()) == words.split()
    else:
        assert wrong.format(path) in refusal(server)


def test_no_port_means_25565(state: Path, directory: Path) -> None:
    (directory / "server.properties").write_text("motd=A\n")
    server = Server("./start", server_port=25565, state_directory=state, working_directory=directory)
    assert server.command() == ("./start",)


@pytest.mark.parametrize("keywords", [{"jar": "a.jar"}, {"java": "java"}, {"memory": "4G"}])
def test_a_command_cannot_be_combined_with_jar_java_or_memory(make: MakeServer, keywords: dict[str, str]) -> None:
    with pytest.raises(PluginError, match="cannot be combined with a command"):
        make("java", "-jar", "server.jar", **keywords)


@pytest.mark.parametrize("memory", ["4 GB", "4GB", "", "0", "-1G", "4g;rm", "lots"])
def test_invalid_memory(make: MakeServer, memory: str) -> None:
    with pytest.raises(PluginError, match="is not a size for Java"):
        make(memory=memory)


# The EULA.


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("#By changing\n#Tue\neula=false\n", "line 3 of {}: eula=false must be eula=true"),
        ("eula=yes\n", "line 1 of {}: eula=false must be eula=true"),
        ("# nothing\n", "{} needs the line eula=true"),
    ],
)
@pytest.mark.parametrize("words", [(), ("./start.sh",)])
def test_an_eula_that_is_not_accepted(
    make: MakeServer, directory: Path, text: str, where: str, words: tuple[str, ...]
) -> None:
    (directory / "server.jar").touch()
    path = directory / "eula.txt"
    path.write_text(text)
    assert refusal(make(*words)) == f"the Minecraft EULA has not been accepted: {where.format(path)}"


@pytest.mark.parametrize("text", ["eula=true", "eula = TRUE \n"])
def test_an_eula_that_is_accepted(make: MakeServer, directory: Path, text: str) -> None:
    (directory / "server.jar").touch()
    (directory / "eula.txt").write_text(text)
    make().check()


def test_an_eula_accepted_on_the_command_line(make: MakeServer, directory: Path) -> None:
    (directory / "eula.txt").write_text("eula=false")
    make("java", "-Dcom.mojang.eula.agree=true", "-jar", "paper.jar").check()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo eula=false > eula.txt; exit 0", "EULA has not been accepted: line 1 of {}/eula.txt"),
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
