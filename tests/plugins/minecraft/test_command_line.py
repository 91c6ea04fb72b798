"""The command line for a Minecraft server's directory, and why there is none."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from jars import FABRIC, PAPER, VANILLA, version, write_jar

from zeroscale.errors import PluginError
from zeroscale.minecraft.server_files import ServerFiles
from zeroscale.plugins.minecraft.command_line import CommandLine

MakeCommand = Callable[..., CommandLine]

RUN_SCRIPT = 'java @user_jvm_args.txt @libraries/x/unix_args.txt "$@"\n'


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The server's directory."""
    path = tmp_path / "server"
    path.mkdir()
    return path


@pytest.fixture(autouse=True)
def java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `java` that is only looked for."""
    path = tmp_path / "bin" / "java"
    path.parent.mkdir()
    path.touch(0o755)
    monkeypatch.setenv("PATH", str(path.parent))
    return path


@pytest.fixture
def make(directory: Path) -> MakeCommand:
    """Makes the command line as the plugin does."""

    def make(*words: str, port: int = 25575, **keywords: Any) -> CommandLine:
        return CommandLine(ServerFiles(directory), port, words=words, **keywords)

    return make


def refusal(command: CommandLine, environment: Mapping[str, str] | None = None) -> str:
    with pytest.raises(PluginError) as raised:
        command.build({**os.environ, **(environment or {})})
    message = str(raised.value)
    assert "\n" not in message
    return message


def script(path: Path, text: str, mode: int = 0o644) -> None:
    path.write_text(text)
    path.chmod(mode)


@pytest.mark.parametrize(
    ("files", "keywords", "command"),
    [
        (["server.jar", "other.jar", "run.sh"], {}, "java -jar server.jar"),
        (["server.jar"], {"memory": "4G"}, "java -Xmx4G -jar server.jar"),
        (["a.jar", "b.jar"], {"jar": "b.jar"}, "java -jar b.jar"),
        (["paper-1.21.4-100.jar"], {}, "java -jar paper-1.21.4-100.jar"),
        (["paper-1.21.4-100.jar", "run.sh"], {}, "sh run.sh"),
        (["paper-1.21.4-100.jar", "start.sh"], {}, "sh start.sh"),
    ],
)
def test_the_command_for_the_files_in_the_directory(
    make: MakeCommand, directory: Path, files: list[str], keywords: dict[str, str], command: str
) -> None:
    for name in files:
        (directory / name).write_text('java "$@"')
    assert " ".join(make(**keywords).build(os.environ)) == f"{command} nogui --port 25575"


def test_a_java_of_choice(make: MakeCommand, directory: Path) -> None:
    (directory / "server.jar").touch()
    script(directory / "java21", "", 0o755)
    assert make(java="./java21").build(os.environ)[0] == "./java21"
    assert "java=/no/java: there is no such program" in refusal(make(java="/no/java"))
    assert "java=java99: there is no such program" in refusal(make(java="java99"))


def test_no_jar_or_several(make: MakeCommand, directory: Path) -> None:
    assert refusal(make()).startswith(f"there is no Minecraft server in {directory}, neither server.jar nor")
    assert refusal(make(jar="mine.jar")) == (
        f"jar=mine.jar: there is no file {directory}/mine.jar (there is no other jar either)"
    )
    assert refusal(make(jar="")) == f"jar=: there is no file {directory} (there is no other jar either)"
    (directory / "b 1.jar").touch()
    (directory / "a.jar").touch()
    assert refusal(make()) == (
        f"there is no server.jar in {directory}; choose a jar, such as -a jar=a.jar (there is a.jar, b 1.jar)"
    )
    for number in range(20):
        (directory / f"c{number:02}.jar").touch()
    assert refusal(make(jar="d.jar")).endswith("c06.jar, c07.jar, ...)")


# Java.


def test_no_java(make: MakeCommand, directory: Path, java: Path) -> None:
    java.unlink()
    write_jar(directory / "server.jar", PAPER)
    assert refusal(make()) == (
        "there is no java in PATH: install a Java runtime that is new enough for the server (https://adoptium.net), "
        "or give its path with -a java=/path/to/bin/java"
    )


def test_a_file_has_the_path_of_java_in_a_table(make: MakeCommand, directory: Path, java: Path) -> None:
    java.unlink()
    write_jar(directory / "server.jar", PAPER)
    assert refusal(make(arguments_table="servers.survival.plugin_arguments")).endswith(
        ', or give its path, java = "/path/to/bin/java", in [servers.survival.plugin_arguments]'
    )


@pytest.mark.parametrize("needed", [17, 21, 25])
def test_no_java_for_a_jar_that_says_which_it_needs(
    make: MakeCommand, directory: Path, java: Path, needed: int
) -> None:
    java.unlink()
    write_jar(directory / "fabric-server-launch.jar", FABRIC)
    write_jar(directory / "server.jar", VANILLA, version(needed))
    message = refusal(make())
    assert message.startswith(f"there is no java in PATH: install Java {needed} or newer (")
    assert f"openjdk-{needed}-jre-headless" in message and "default-jre" not in message


@pytest.mark.parametrize(("version_line", "refused"), [("17.0.9", True), ("1.8.0_392", True), ("21.0.1", False)])
def test_a_java_that_is_too_old_is_found_before_the_start(
    make: MakeCommand, directory: Path, tmp_path: Path, version_line: str, refused: bool
) -> None:
    home = tmp_path / "jdk"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "java").touch(0o755)
    (home / "release").write_text(f'IMPLEMENTOR="Debian"\nJAVA_VERSION="{version_line}"\n')
    write_jar(directory / "server.jar", VANILLA, version(21))
    (directory / "eula.txt").write_text("eula=true")
    command = make(java=str(home / "bin" / "java"))
    if not refused:
        command.build({})
        return
    message = refusal(command)
    assert re.match(rf"{home}/bin/java is Java (17|8), and the server needs Java 21 or newer: install Java 21", message)


def test_a_script_needs_the_java_that_it_runs(make: MakeCommand, directory: Path, java: Path) -> None:
    java.unlink()
    script(directory / "run.sh", RUN_SCRIPT)
    message = refusal(make())
    assert message.startswith("there is no java in PATH: install a Java") and message.endswith("put it first in PATH")
    script(directory / "run.sh", RUN_SCRIPT.replace("java", "/opt/java/bin/java"))
    assert make().build(os.environ) == ("sh", "run.sh", "nogui", "--port", "25575")


def test_java_is_looked_for_in_the_server_s_own_path(make: MakeCommand, directory: Path, java: Path) -> None:
    write_jar(directory / "server.jar", PAPER)
    assert make().build({"PATH": str(java.parent)})[0] == "java"
    assert refusal(make(), {"PATH": str(directory)}).startswith("there is no java in PATH")
    script(directory / "run.sh", RUN_SCRIPT)
    assert make().build({"PATH": str(java.parent)})[:2] == ("sh", "run.sh")
    assert refusal(make(), {"PATH": str(directory)}).startswith("there is no java in PATH")


# A start script.


@pytest.mark.parametrize(
    ("first_line", "mode", "command"),
    [("#!/bin/sh", 0o755, "./run.sh"), ("#!/bin/sh", 0o644, "sh run.sh"), ("#!/bin/bash", 0o644, "bash run.sh")],
)
def test_how_a_script_is_run(make: MakeCommand, directory: Path, first_line: str, mode: int, command: str) -> None:
    script(directory / "run.sh", f"{first_line}\n{RUN_SCRIPT}", mode)
    assert " ".join(make().build(os.environ)) == f"{command} nogui --port 25575"


def test_a_script_that_passes_no_arguments_on(make: MakeCommand, directory: Path) -> None:
    script(directory / "run.sh", "#!/bin/sh\njava -jar forge.jar\n", 0o755)
    assert make().build(os.environ) == ("./run.sh", "nogui", "--port", "25575")
    (directory / "server.properties").write_text("server-port=25565\n")
    assert "server-port=25565 must be 25575" in refusal(make())


def test_java_has_no_effect_on_a_script(make: MakeCommand, directory: Path) -> None:
    script(directory / "run.sh", RUN_SCRIPT)
    assert refusal(make(java="java")) == (
        f"java= has no effect on {directory}/run.sh, which runs java itself: put the right one first in PATH"
    )


def test_a_script_that_cannot_be_read(make: MakeCommand, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> str:
        raise PermissionError(13, "Permission denied")

    script(directory / "run.sh", RUN_SCRIPT)
    monkeypatch.setattr("zeroscale.minecraft.start_script.read_script", fail)
    assert refusal(make()) == f"cannot read {directory}/run.sh: Permission denied"


# The heap of a script; tests/peers/test_java.py has a real one.


@pytest.mark.parametrize(
    ("present", "options"),
    [({}, "-Xmx4G"), ({"JDK_JAVA_OPTIONS": "-Xms1G -Dx='a b'"}, "-Xms1G -Dx='a b' -Xmx4G"), ({"X": "1"}, "-Xmx4G")],
)
def test_memory_reaches_a_script_by_java_s_own_variable(
    make: MakeCommand, directory: Path, present: dict[str, str], options: str
) -> None:
    script(directory / "run.sh", RUN_SCRIPT)
    (directory / "user_jvm_args.txt").write_text("# A good default is 4GB.\n# -Xmx4G\n-Xms1G\n")
    command = make(memory="4G")
    assert command.build({**os.environ, **present}) == ("sh", "run.sh", "nogui", "--port", "25575")
    assert command.java_options(present) == {"JDK_JAVA_OPTIONS": options}


def test_nothing_else_gets_the_variable(make: MakeCommand, directory: Path) -> None:
    script(directory / "run.sh", RUN_SCRIPT)
    assert make().java_options({}) == {}
    assert make(memory="4G", jar="a.jar").java_options({}) == {}
    assert make("java", "-jar", "a.jar").java_options({}) == {}


@pytest.mark.parametrize("file", ["run.sh", "server.jar"])
def test_memory_is_refused_where_a_variable_sets_it(make: MakeCommand, directory: Path, file: str) -> None:
    script(directory / file, RUN_SCRIPT)
    assert refusal(make(memory="4G"), {"_JAVA_OPTIONS": "-Xms1G -Xmx2G"}) == (
        "memory=4G would have no effect: _JAVA_OPTIONS in its environment sets -Xmx2G, which wins; change it there, or "
        "remove it"
    )
    for name in ("_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS"):
        value = "-Xms1G" if name == "_JAVA_OPTIONS" else "-Xmx2G"
        make(memory="4G").build({**os.environ, name: value})


@pytest.mark.parametrize("name", ["run.sh", "start.sh"])
def test_memory_is_refused_where_the_file_of_java_arguments_sets_it(
    make: MakeCommand, directory: Path, name: str
) -> None:
    script(directory / name, RUN_SCRIPT)
    (directory / "user_jvm_args.txt").write_text("# -Xmx4G\n-Xms1G -Xmx6G\n")
    assert refusal(make(memory="4G")) == (
        f"memory=4G would have no effect: {directory}/user_jvm_args.txt sets -Xmx6G, which wins; change it there, or "
        "remove it"
    )
    assert make().build(os.environ)[1] == name


def test_memory_is_refused_where_the_script_sets_it(make: MakeCommand, directory: Path) -> None:
    script(directory / "start.sh", '#!/bin/sh\njava -Xmx2G -jar paper.jar "$@"\n')
    assert f"memory=4G would have no effect: {directory}/start.sh sets -Xmx2G" in refusal(make(memory="4G"))


# The port.


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
    make: MakeCommand, directory: Path, words: str, properties: str | None, wrong: str | None
) -> None:
    path = directory / "server.properties"
    if properties is not None:
        path.write_text(properties)
    command = make(*words.split())
    if wrong is None:
        assert list(command.build(os.environ)) == words.split()
    else:
        assert wrong.format(path) in refusal(command)


def test_no_port_means_25565(make: MakeCommand, directory: Path) -> None:
    (directory / "server.properties").write_text("motd=A\n")
    assert make("./start", port=25565).build(os.environ) == ("./start",)


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
    make: MakeCommand, directory: Path, text: str, where: str, words: tuple[str, ...]
) -> None:
    (directory / "server.jar").touch()
    path = directory / "eula.txt"
    path.write_text(text)
    assert refusal(make(*words)) == f"the Minecraft EULA has not been accepted: {where.format(path)}"
    assert list(make("./start.sh").warnings({})) == []


@pytest.mark.parametrize("text", ["eula=true", "eula = TRUE \n"])
def test_an_eula_that_is_accepted(make: MakeCommand, directory: Path, text: str) -> None:
    write_jar(directory / "server.jar", VANILLA, version())
    (directory / "eula.txt").write_text(text)
    make().build(os.environ)
    assert list(make().warnings({})) == []


@pytest.mark.parametrize("words", [(), ("java", "-jar", "server.jar", "nogui")])
def test_without_an_eula_the_game_s_own_server_is_not_started(
    make: MakeCommand, directory: Path, words: tuple[str, ...]
) -> None:
    write_jar(directory / "server.jar", VANILLA, version())
    assert refusal(make(*words)) == (
        f"the Minecraft EULA has not been accepted: there is no {directory}/eula.txt; if you accept it, write the line "
        "eula=true into that file"
    )


@pytest.mark.parametrize(
    ("manifest", "files"), [(PAPER, version()), (VANILLA, {}), (None, version())], ids=["Paper", "1.13", "unknown"]
)
def test_without_an_eula_any_other_server_costs_a_warning(
    make: MakeCommand, directory: Path, manifest: str | None, files: dict[str, str]
) -> None:
    write_jar(directory / "server.jar", manifest, files)
    make().build(os.environ)
    assert f"there is no {directory}/eula.txt: every release since 1.7.10 ends at" in list(make().warnings({}))[-1]


@pytest.mark.parametrize("content", [None, "eula=false"])
@pytest.mark.parametrize(
    ("words", "environment"),
    [
        (("java", "-Dcom.mojang.eula.agree=true", "-jar", "server.jar"), {}),
        ((), {"JDK_JAVA_OPTIONS": "-Xms1G -Dcom.mojang.eula.agree=true"}),
        ((), {"JAVA_TOOL_OPTIONS": "-Dcom.mojang.eula.agree=true"}),
    ],
)
def test_an_eula_accepted_by_a_java_property(
    make: MakeCommand, directory: Path, words: tuple[str, ...], environment: dict[str, str], content: str | None
) -> None:
    write_jar(directory / "server.jar", PAPER)
    if content is not None:
        (directory / "eula.txt").write_text(content)
    make(*words).build({**os.environ, **environment})
    assert list(make(*words).warnings(environment)) == []
    write_jar(directory / "server.jar", VANILLA, version())
    assert "the Minecraft EULA has not been accepted" in refusal(make(*words), environment)


@pytest.mark.parametrize("words", [(), ("./start.sh",), ("bash", "start.sh", "--port", "25575")])
def test_an_eula_accepted_in_a_script(make: MakeCommand, directory: Path, words: tuple[str, ...]) -> None:
    script(directory / "start.sh", 'java -Dcom.mojang.eula.agree=true -jar paper.jar "$@"\n')
    (directory / "eula.txt").write_text("eula=false")
    make(*words).build(os.environ)
    (directory / "eula.txt").unlink()
    assert list(make(*words).warnings({})) == []
    script(directory / "start.sh", '# -Dcom.mojang.eula.agree=true\njava -jar paper.jar "$@"\n')
    assert len(list(make(*words).warnings({}))) == 1


def test_a_manifest_that_cannot_be_read_is_a_warning(make: MakeCommand, directory: Path) -> None:
    (directory / "server.jar").touch()
    (directory / "eula.txt").write_text("eula=true\n")
    assert make().build(os.environ)[:3] == ("java", "-jar", "server.jar")
    [warning] = make().warnings({})
    assert warning.startswith(f"cannot read the manifest of {directory}/server.jar: it is no valid zip archive")
    assert list(make(jar="server.jar").warnings({})) == []
