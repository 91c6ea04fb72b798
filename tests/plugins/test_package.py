"""The plugin in tests/fixtures/plugin_package, and docs/plugins.md, which shows how to write one."""

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
from pages import block, blocks
from plugins.process_fixture import until
from plugins.test_api import CONTRACT
from ports import free_port
from processes import Program, python

import zeroscale
from zeroscale.plugins import api
from zeroscale.plugins.loader import construct, find_plugin

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "tests" / "fixtures" / "plugin_package"
PAGE = (ROOT / "docs" / "plugins.md").read_text()


def install(directory: Path) -> Path:
    """Copy the package's module into a directory, and write the metadata that pip would write."""
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


def check_proxy(directory: Path, state: Path) -> None:
    """Run a zeroscale that finds the plugin in `directory`, and let a client wake the server."""
    public, private = free_port(), free_port()
    options = ["echo", str(public), str(private), "-a", "greeting=hello ", "-t", "0", "--debug"]
    command = python("-m", "zeroscale", *options, "--state_directory", str(state))
    with Program(command, environment={"PYTHONPATH": str(directory)}) as proxy:
        proxy.wait_for("Listening on ('0.0.0.0', ")
        with socket.create_connection(("127.0.0.1", public), 30) as client:
            client.sendall(b"world")
            with client.makefile("rb") as answer:
                assert answer.read(11) == b"hello world"
        proxy.wait_for(" has ended")
        proxy.wait_for(": stopped after")
        proxy.signal(signal.SIGTERM)
        assert proxy.wait() == 0
    assert any(re.match(r"INFO:zeroscale_echo:process \d+ has ended", line) for line in proxy.lines)


@pytest.mark.slow
def test_the_plugin_is_found_by_its_entry_point(tmp_path: Path, state: Path) -> None:
    check_proxy(install(tmp_path), state)


@pytest.mark.slow
def test_the_plugin_is_found_when_pip_has_installed_it(tmp_path: Path, state: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    shutil.copytree(PACKAGE, source)  # pip builds beside the source
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--target", target, source], check=True, timeout=300)
    check_proxy(target, state)


def test_the_package_passes_its_own_tests_with_pytest_alone(tmp_path: Path) -> None:
    source = tmp_path / "plugin_package"
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__"))
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": f"{source}:{ROOT}"}
    with Program(python("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"), source, environment=alone) as tests:
        assert tests.wait() == 0, tests.output
    assert re.match(r"\d+ passed in", tests.lines[-1])


# docs/plugins.md


GAME_SERVER = """#!/bin/sh
echo "$@" >>runs
exec sleep 60
"""


async def test_the_example_on_the_page_is_a_plugin(tmp_path: Path) -> None:
    server = tmp_path / "game-server"
    module: dict[str, Any] = {"__name__": "example"}
    exec(blocks("docs/plugins.md", "python")[0].text, module)
    offered = {"working_directory": str(tmp_path), "server_port": 7778}
    plugin: Any = construct(module["Server"], [], {"world": "desert"}, offered)
    assert issubclass(module["Server"], zeroscale.Plugin)
    with pytest.raises(zeroscale.PluginError, match=r"^cannot run \./game-server: No such file or directory$"):
        await plugin.start()
    server.write_text(GAME_SERVER)
    server.chmod(0o700)
    for _ in range(2):
        await plugin.start()
        waiting = asyncio.ensure_future(plugin.wait())
        await until((tmp_path / "runs").exists)
        (tmp_path / "runs").unlink()
        await plugin.stop()
        assert await waiting == -signal.SIGTERM
    await plugin.stop()


async def test_the_process_server_on_the_page_is_adopted(tmp_path: Path) -> None:
    (tmp_path / "game-server").write_text(GAME_SERVER)
    (tmp_path / "game-server").chmod(0o700)
    module: dict[str, Any] = {"__name__": "example"}
    exec(block("docs/plugins.md", "from pathlib import Path\nfrom signal").text, module)
    offered = {"working_directory": str(tmp_path), "state_directory": tmp_path, "server_port": 7778}
    killed: Any = construct(module["Server"], [], {}, offered)
    await killed.start()
    await until((tmp_path / "runs").exists)
    killed.detach()
    plugin: Any = construct(module["Server"], [], {}, offered)
    assert await plugin.adopt() is True
    await plugin.stop()
    assert await plugin.adopt() is False
    assert (tmp_path / "runs").read_text() == "--port 7778\n"


def test_the_page_shows_the_tested_package() -> None:
    [shown] = blocks("docs/plugins.md", "toml")
    assert shown.text == (PACKAGE / "pyproject.toml").read_text()
    for name in ("conftest.py", "test_echo.py"):
        text = (PACKAGE / "tests" / name).read_text()
        assert block("docs/plugins.md", text.splitlines()[0]).text == text


def test_the_page_has_every_part_of_the_contract() -> None:
    assert sorted(name for name in CONTRACT if not re.search(rf"`(?:async )?{name}\b", PAGE)) == []
    rows = re.findall(r"^\| `([A-Z]\w+)` \|", PAGE, re.MULTILINE)
    assert sorted(rows) == sorted(ability.__name__ for ability in api.ABILITIES)


@pytest.mark.parametrize("name", ["systemd_unit", "command", "wake_on_lan"])
def test_the_page_has_every_argument(name: str) -> None:
    module = find_plugin(name).__module__
    source = Path(importlib.import_module(module).__file__ or "").read_text()
    arguments = set(re.findall(r"^        :param (\w+):", source, re.MULTILINE))
    offered = {"environment", "server_host", "server_port", "state_directory", "working_directory"}
    section = PAGE.split(f"## `{name}`")[1].split("\n## ")[0]
    assert len(arguments) > 3
    assert sorted(each for each in arguments - offered if not re.search(rf"\b{each}\b", section)) == []
