"""README.md is correct and short: its commands, and what they print."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from demo_java import demo_java
from jars import write_jar
from machine import Machine
from pages import block
from ports import free_port
from processes import Program, python, wait_until

from zeroscale.state.start_history import WORLD_LOCK

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_two_commands_stand_at_the_top() -> None:
    first = "pip install . && zeroscale demo 25565 25575 --info"
    assert block("README.md", first).commands == f"{first}\npip install '.[test]' && pytest\n"
    assert first in README.splitlines()[:8]


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 150


def test_files_that_it_names_are_there() -> None:
    named = re.findall(r"\]\(([\w./-]+)\)", README)
    assert len(named) > 30
    assert [path for path in named if not (ROOT / path).exists()] == []


def connections(kind: str) -> list[str]:
    return [f"{kind}, CPU us, 1 client", f"{kind}, CPU us, 16 clients"]


ROWS = {
    "one stream, Gbit/s": ["bulk, Gbit/s"],
    "its CPU, ms a GB": ["bulk, CPU ms/GB"],
    "100 players, CPU %": ["play 100, CPU %"],
    "100 players, median us there and back": ["play 100, p50 us"],
    "500 players, CPU %": ["play 500, CPU %"],
    "a connection to a running server, CPU us, 1 client / 16": connections("generic"),
    "a Minecraft login to a running server, CPU us, 1 client / 16": connections("login"),
    "a status answer while the server sleeps, CPU us, 1 client / 16": connections("status"),
}
"""The rows of README's table of figures, and those of the page that has all of them."""


def test_its_figures_are_those_of_the_benchmarks() -> None:
    measured = tables((ROOT / "docs" / "benchmarks.md").read_text())
    shown = tables(README)
    for name, rows in ROWS.items():
        for program, cell in shown[name].items():
            for figure, row in zip(re.findall(r"[0-9.]+", cell), rows, strict=bool(cell)):
                digits = len(figure.partition(".")[2])
                exact = float(measured[row][program].split()[0])
                assert abs(float(figure) - exact) <= 0.51 * 10**-digits, (name, program)


def tables(text: str) -> dict[str, dict[str, str]]:
    """Return the rows of all tables of figures by their names, each with its cells by their columns."""
    found: dict[str, dict[str, str]] = {}
    columns: list[str] = []
    for line in text.splitlines():
        name, *cells = [cell.strip(" *") for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            columns = []
        elif not columns:
            columns = cells
        else:
            found.setdefault(name, dict(zip(columns, cells, strict=False)))
    return found


def test_its_six_commands_are_those_of_the_page_that_explains_them() -> None:
    first = "python3 -m venv /opt/zeroscale"
    assert block("README.md", first).commands == block("docs/get-started.md", first).commands


def test_the_demo_is_as_shown(tmp_path: Path) -> None:
    shown = block("README.md", "$ zeroscalectl ping localhost").text
    public, private = free_port(), free_port()
    first = block("README.md", "pip install . && zeroscale demo").commands.splitlines()[0].split(" && ")[1]
    command = first.replace("25565", str(public)).replace("25575", str(private)).split()[1:]
    command += ["-a", "start_seconds=0.5", "-t", "1", "--state_directory", str(tmp_path)]
    with Program(python("-m", "zeroscale", *command)) as proxy:
        proxy.wait_for(f"INFO:zeroscale.proxy:Ready: players come to port {public}")
        assert not (ROOT / WORLD_LOCK).exists(), "the tests run it elsewhere"
        lines = ["$ zeroscalectl ping localhost", *answer_of("ping", public), ""]
        lines += ["$ zeroscalectl join localhost", *answer_of("join", public)]
        assert form(lines) == form(shown.splitlines())
        for event in (
            ": starting: zeroscalectl ",
            ": ready after ",
            ": stopping: no players for 1 s",
            ": stopped after",
        ):
            proxy.wait_for(event)
        proxy.signal(signal.SIGTERM)
        assert proxy.wait() == 0


def answer_of(command: str, port: int) -> list[str]:
    """Return what a command of zeroscalectl prints."""
    with Program(python("-m", "zeroscale.ctl.main", command, f"localhost:{port}")) as program:
        assert program.wait() == 0
        return program.lines


def form(lines: Sequence[str]) -> list[str]:
    """Return lines without what differs from run to run."""
    return [re.sub(r"[0-9]+", "0", re.sub(r"0\.[0-9] second ", "0.0 seconds ", line)) for line in lines]


@pytest.fixture
def minecraft(machine: Machine) -> Machine:
    """A machine with a Minecraft server in /srv/survival, and the demo server in the place of Java."""
    machine.write("/usr/local/bin/java", demo_java(), 0o755)
    machine.run("mkdir -p /srv/survival /opt/jdk-21/bin && ln -s /usr/local/bin/java /opt/jdk-21/bin/java")
    machine.write("/srv/survival/eula.txt", "eula=true\n")
    machine.write("/srv/survival/server.properties", "server-port=25565\n")
    machine.write("/srv/survival/start.sh", "#!/bin/sh\nexec java -jar server.jar --port 25575\n", 0o755)
    for name in ("server.jar", "paper-1.21.4-232.jar"):
        write_jar(machine.path(f"/srv/survival/{name}"), "Main-Class: net.minecraft.bundler.Main\n")
    return machine


def wakes(machine: Machine, commands: str) -> None:
    """Check that these commands start a proxy whose sleeping server a player wakes."""
    with machine.start(commands, "/srv/survival") as proxy:
        listens(machine, proxy, 25565)
        assert "Asleep" in machine.run("zeroscalectl ping localhost")
        assert "Hello zeroscalectl" in machine.run("zeroscalectl join localhost")
        machine.interrupt(proxy)


def listens(machine: Machine, proxy: Program, port: int) -> None:
    """Wait until a proxy listens on a port of the machine."""
    wait_until(lambda: f":{port} " in machine.run("ss -ltn"), lambda: f"port {port} is not open: {proxy.lines}")


@pytest.mark.slow
@pytest.mark.peers("nsenter", "unshare")
def test_a_server_in_a_directory(minecraft: Machine) -> None:
    init, run = block("README.md", "zeroscalectl init\n").commands.splitlines()
    minecraft.run("mv start.sh ..", "/srv/survival")
    minecraft.run(init, "/srv/survival")
    minecraft.run("zeroscalectl check zeroscale.toml", "/srv/survival")
    wakes(minecraft, run)


@pytest.mark.slow
@pytest.mark.peers("nsenter", "unshare")
def test_the_command_lines_shown(minecraft: Machine) -> None:
    page = "docs/command-line.md"
    minecraft.write("/srv/survival/server.properties", "server-port=25575\n")
    wakes(minecraft, block(page, "zeroscale minecraft 25565 25575 -t 900 -a './start.sh").commands)
    minecraft.run("rm start.sh", "/srv/survival")
    for line in block(page, "zeroscale minecraft 25565 25575 -t 900 -a memory=4G").commands.splitlines():
        wakes(minecraft, line)
    minecraft.run("rm paper-1.21.4-232.jar", "/srv/survival")
    wakes(minecraft, block(page, "cd /srv/survival\nzeroscale minecraft").commands)
    with minecraft.start(block(page, "zeroscale demo 25565 25575 --text").commands) as proxy:
        listens(minecraft, proxy, 25565)
        assert "Asleep" in minecraft.run("zeroscalectl ping localhost")
        minecraft.interrupt(proxy)


@pytest.mark.slow
@pytest.mark.peers("nsenter", "unshare", "redis-server", "redis-cli")
def test_a_redis_that_sleeps(machine: Machine) -> None:
    with machine.start(block("docs/command-line.md", "zeroscale generic 6379").commands) as proxy:
        listens(machine, proxy, 6379)
        assert machine.run("redis-cli ping") == "PONG\n"
        machine.interrupt(proxy)


def test_files_that_contributing_names_are_there() -> None:
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`((?:zeroscale|docs|tests|\.ci)/[\w./]+|[\w.]+\.(?:toml|txt|md))`", contributing)
    named += re.findall(r"\]\(([\w./]+)\)", contributing)
    assert len(named) > 15
    assert [path for path in named if not (ROOT / path).exists()] == []
