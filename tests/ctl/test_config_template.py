"""The first configuration file, as text."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.config.loader import parse
from zeroscale.ctl.config_template import (
    GIB,
    MIB,
    OF_INIT,
    file_text,
    heap,
    manual_steps,
    notes,
    quoted,
    server_name,
    server_port,
)
from zeroscale.ctl.directory_scan import DirectoryScan
from zeroscale.minecraft.server_choice import ServerChoice

DIRECTORY = Path("/srv/survival")
JAR = ServerChoice(jar="server.jar")
RUN = ServerChoice(script="run.sh")


def found(**values: Any) -> DirectoryScan:
    return DirectoryScan(**{"directory": DIRECTORY, "choice": JAR, "eula": True, "memory": 8 * GIB, **values})


def text(**values: Any) -> str:
    return file_text(found(**values), ".", OF_INIT.format(file="zeroscale.toml"))


@pytest.mark.parametrize(
    ("values", "port"),
    [
        ({}, 25575),
        ({"rcon_port": 25575}, 25576),
        ({"rcon_port": 25575, "query_port": 25576}, 25577),
        ({"port": 25570}, 25570),
    ],
)
def test_the_server_is_where_nothing_else_is(values: dict[str, Any], port: int) -> None:
    assert server_port(found(**values)) == port
    [server] = parse(text(**values), DIRECTORY, {}, 0).servers
    assert (server.listen, server.server_host, server.server_port) == (("25565",), "127.0.0.1", port)


def test_a_server_on_the_games_own_port_must_move() -> None:
    output = text()
    assert "It must move from port 25565, where zeroscale listens, to port 25575." in output
    assert "you need not change server.properties" in output
    assert list(manual_steps(found())) == []
    assert "cannot stay" not in text(port=25570)
    assert "server-port=25570" in text(port=25570)


def test_a_script_that_passes_nothing_on_leaves_a_chore() -> None:
    values = {"choice": RUN, "passes_arguments": False, "eula": False}
    assert "# run.sh passes no --port on: YOU must set in server.properties:" in text(**values)
    assert "#     server-port=25575" in text(**values)
    assert list(manual_steps(found(**values))) == [
        "accept Minecraft's EULA: eula=true in /srv/survival/eula.txt",
        "move the server to another port: server-port=25575 in /srv/survival/server.properties",
    ]


@pytest.mark.parametrize(
    ("memory", "java"),
    [(64 * GIB, "8G"), (8 * GIB, "4G"), (7 * GIB, "3G"), (1800 * MIB, "896M"), (100 * MIB, "256M"), (None, "2G")],
)
def test_the_heap_is_half_of_the_memory_within_reason(memory: int | None, java: str) -> None:
    assert heap(memory) == java


@pytest.mark.parametrize(
    ("values", "step"),
    [
        ({"eula": True}, None),
        ({"eula": False}, "accept Minecraft's EULA: eula=true in /srv/survival/eula.txt"),
        (
            {"eula": None},
            "accept Minecraft's EULA (releases since 1.7.10 ask for it): eula=true in /srv/survival/eula.txt",
        ),
        (
            {"eula": None, "choice": ServerChoice(jar="server.jar", needs_eula=True)},
            "accept Minecraft's EULA: eula=true in /srv/survival/eula.txt",
        ),
    ],
)
def test_the_eula_is_a_chore(values: dict[str, Any], step: str | None) -> None:
    assert list(manual_steps(found(**values))) == ([] if step is None else [step])


def arguments(**values: Any) -> dict[str, Any]:
    plugin_arguments = tomllib.loads(text(**values))["servers"]["survival"]["plugin_arguments"]
    assert isinstance(plugin_arguments, dict)
    return plugin_arguments


def test_a_jar() -> None:
    assert arguments() == {"memory": "4G"}
    assert arguments(jar_given=True) == {"jar": "server.jar", "memory": "4G"}
    choice = ServerChoice(jar="paper.jar", other_jars=("a.jar", *"bcdefg"))
    assert arguments(choice=choice) == {"jar": "paper.jar", "memory": "4G"}
    assert '# There is also "a.jar", "b", "c", "d", "e", ....' in text(choice=choice)
    assert "# Which Java runs it" in text()


def test_a_script() -> None:
    assert arguments(choice=RUN) == {}, "a script sets the heap itself, or runs something else"
    assert "# Best set -Xmx where run.sh starts Java." in text(choice=RUN)
    assert '\n# memory = "4G"\n' in text(choice=RUN)
    assert "# run.sh is run." in text(choice=RUN)
    assert "# Which Java runs it" not in text(choice=RUN), "it has no effect on a script"
    assert arguments(choice=RUN, script_heap="-Xmx6G") == {}
    assert "Java may use itself: -Xmx6G" in text(choice=RUN, script_heap="-Xmx6G")


def test_a_script_that_is_not_run_is_mentioned() -> None:
    choice = ServerChoice(jar="server.jar", other_scripts=("start.sh",))
    assert 'There is also start.sh, which is not run; command = ["./start.sh"] runs it' in text(choice=choice)
    assert list(notes(found(choice=choice))) == [
        "server.jar is run, and start.sh is not; the file says how to change that"
    ]
    assert list(notes(found())) == []
    choice = ServerChoice(script="start.sh", other_jars=("paper.jar",))
    assert list(notes(found(choice=choice))) == [
        'start.sh is run, and not a jar; jar = "paper.jar" in the file changes that'
    ]


def test_a_command() -> None:
    values = {"choice": ServerChoice(), "command": ("./start.sh", 'a "b"'), "passes_arguments": False}
    assert arguments(**values) == {"command": ["./start.sh", 'a "b"']}
    assert "# your own command gets no --port: YOU must set in server.properties:" in text(**values)


def test_comments_about_its_properties() -> None:
    assert "only players on it wake" in text(whitelist=True)
    assert "RCON on port 25571" in text(rcon_port=25571)
    assert "UDP port 25572" in text(query_port=25572)
    assert "enable-status=false" in text(status=False)
    [server] = parse(text(host="2001:db8::1"), DIRECTORY, {}, 0).servers
    assert server.server_host == "2001:db8::1"


@pytest.mark.parametrize(
    ("directory", "name"),
    [("/srv/Mein Server!", "Mein-Server"), ("/", "minecraft"), ("/srv/.x", "x"), ("/ü", "minecraft")],
)
def test_a_servers_name(directory: str, name: str) -> None:
    assert server_name(Path(directory)) == name


ANY_TEXT = st.text(st.characters(), max_size=20)


@given(directory=ANY_TEXT, motd=ANY_TEXT, jar=ANY_TEXT)
def test_whatever_the_names_it_is_toml(directory: str, motd: str, jar: str) -> None:
    choice = ServerChoice(jar=jar, other_jars=(motd,))
    values = found(directory=DIRECTORY / directory.replace("\0", ""), motd=motd, choice=choice)
    [server] = tomllib.loads(file_text(values, directory, ""))["servers"].values()
    assert server["plugin"] == "minecraft"


@given(st.text())
def test_a_quoted_text_is_that_text(text: str) -> None:
    assert tomllib.loads(f"x = {quoted(text)}") == {"x": text}
