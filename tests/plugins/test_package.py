"""A plugin of somebody else's package, found by its entry point; and docs/plugins.md, which says how to write one."""

from __future__ import annotations

import asyncio
import importlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ports import free_port
from processes import Program, python

from zeroscale import Status
from zeroscale.lifecycle.plugin_adapter import PluginAdapter
from zeroscale.plugins.loader import construct, find_plugin
from zeroscale.plugins.testing import PluginTests, ServerUnderTest, driving

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "tests" / "fixtures" / "plugin_package"
PAGE = (ROOT / "docs" / "plugins.md").read_text()
BRIDGE = (ROOT / "zeroscale" / "lifecycle" / "plugin_adapter.py").read_text()


def installed(directory: Path) -> Path:
    """The package as pip installs it: its module, and what its pyproject.toml says as metadata."""
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    information = directory / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    points = [f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in named.items())
              for group, named in project["entry-points"].items()]  # fmt: skip
    (information / "entry_points.txt").write_text("\n".join(points))
    shutil.copy(PACKAGE / "zeroscale_echo.py", directory)
    return directory


def wakes_and_sleeps(directory: Path, state: Path) -> None:
    """A zeroscale that finds `echo` there: woken by a client, byte for byte, and asleep again when it has left."""
    public, private = free_port(), free_port()
    words = ["echo", str(public), str(private), "-a", "greeting=hello ", "-t", "0", "--debug"]
    command = python("-m", "zeroscale", *words, "--state_directory", str(state))
    with Program(command, environment={"PYTHONPATH": str(directory)}) as proxy:
        proxy.wait_for("Listening on ('0.0.0.0', ")
        with socket.create_connection(("127.0.0.1", public), 30) as client:
            client.sendall(b"world")
            with client.makefile("rb") as answer:
                assert answer.read(11) == b"hello world"
        proxy.wait_for("INFO:zeroscale_echo:Server offline")
        proxy.wait_for(f"INFO:zeroscale_echo:echo-{private} is offline")
        proxy.signal(signal.SIGTERM)
        assert proxy.wait() == 0


@pytest.mark.slow
def test_a_plugin_of_another_package_is_found_by_its_name_and_runs(tmp_path: Path, state: Path) -> None:
    wakes_and_sleeps(installed(tmp_path), state)


@pytest.mark.slow
def test_so_it_is_as_pip_installs_it(tmp_path: Path, state: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    shutil.copytree(PACKAGE, source)  # pip builds beside the source
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--target", target, source], check=True, timeout=300)
    wakes_and_sleeps(target, state)


class Published(ServerUnderTest):
    """The package's plugin, as an object."""

    def __init__(self) -> None:
        self._made: list[Any] = []
        self._port = free_port()

    def make_plugin(self) -> Any:
        module: dict[str, Any] = {"__name__": "zeroscale_echo"}
        exec((PACKAGE / "zeroscale_echo.py").read_text(), module)
        self._made.append(construct(module["Server"], [], {}, {"server_port": self._port, "state_directory": "/"}))
        return self._made[-1]

    async def is_running(self) -> bool:
        return any(made._process is not None and made._process.returncode is None for made in self._made)

    async def crash(self) -> None:
        for made in self._made:
            made._process.kill()
            await made._process.wait()

    async def tear_down(self) -> None:
        for made in self._made:
            if made._process is not None and made._process.returncode is None:
                made._process.kill()
                await made._process.wait()


@pytest.fixture
def subject() -> ServerUnderTest:
    return Published()


async def test_it_starts_and_stops_and_starts_again(subject: ServerUnderTest) -> None:
    await PluginTests().test_it_starts_and_stops_and_starts_again(subject)


async def test_a_crash_is_seen(subject: Published) -> None:
    async with driving(subject) as driven:
        await driven.start()
        await subject.crash()
        assert driven.exit is not None
        assert (await driven.exit).code == 128 + signal.SIGKILL


def blocks(language: str) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return list(found)


async def test_the_template_of_the_page_is_a_plugin_as_it_stands() -> None:
    [template] = blocks("python")
    module: dict[str, Any] = {"__name__": "template"}
    exec(template, module)
    plugin = construct(module["Server"], [], {}, {"working_directory": "/srv", "server_port": 1})
    assert plugin.working_directory == "/srv"
    bridged = PluginAdapter(plugin)
    loop = asyncio.get_running_loop()
    for _ in range(2):
        await bridged.start().asFuture(loop)
        assert plugin.status == Status.running
        await bridged.stop().asFuture(loop)
        assert plugin.status == Status.stopped
    assert bridged.fake_status() is None


def test_the_page_shows_the_package_that_is_tested() -> None:
    assert blocks("toml") == [(PACKAGE / "pyproject.toml").read_text()]


def test_the_page_tells_of_every_attribute_that_is_used() -> None:
    used = set(re.findall(r'getattr\((?:self\._)?plugin, "(\w+)"', BRIDGE))
    used |= set(re.findall(r'self\._(?:call|set)\("(\w+)"', BRIDGE))
    assert {"wait", "on_found", "close", "protocol"} <= used
    assert sorted(name for name in used if not re.search(rf"`(?:async )?{name}\b", PAGE)) == []


@pytest.mark.parametrize("name", ["systemd_unit", "command", "wake_on_lan"])
def test_the_page_tells_of_every_argument(name: str) -> None:
    module = find_plugin(name).__module__
    source = Path(importlib.import_module(module).__file__ or "").read_text()
    arguments = set(re.findall(r"^        :param (\w+):", source, re.MULTILINE))
    offered = {"server_host", "server_port", "state_directory", "working_directory"}
    section = PAGE.split(f"## `{name}`")[1].split("\n## ")[0]
    assert len(arguments) > 3
    assert sorted(each for each in arguments - offered if not re.search(rf"\b{each}\b", section)) == []
