"""A real Minecraft server in a container of a real engine, which is also used by hand."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from mcstatus import JavaServer
from pages import block
from peers.dockerd import IMAGE, Dockerd, dockerd
from peers.harness import HERE, ROOT, PeerHarness, Player, Proxy
from peers.programs import Program
from ports import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.peers("dockerd", "docker", "busybox", "node"),
    pytest.mark.usefixtures("npm_packages"),
]

VERSION = "1.20.4"

DISCOVER = """
import asyncio, json, sys
from zeroscale.plugins.docker.discovery import Discovery

asyncio.run(Discovery(lambda tables: print(json.dumps(tables), flush=True), base_url=sys.argv[1]).run())
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dockerd]:
    with dockerd(tmp_path_factory.mktemp("engine")) as daemon:
        yield daemon


def create(engine: Dockerd, name: str, *, labels: Mapping[str, str] | None = None) -> int:
    """A container with a real server; returns the server's port, which a label names where there are labels."""
    node = shutil.which("node")
    assert node is not None
    port = free_port()
    all_labels = {"port": str(port), **labels} if labels else {}
    options = [word for key, text in all_labels.items() for word in ("--label", f"zeroscale.{key}={text}")]
    homes = {"/usr", "/lib", "/lib64", str(Path(node).resolve().parent.parent), str(HERE)}
    mounts = [word for home in sorted(homes) for word in ("--volume", f"{home}:{home}:ro")]
    server = ["--engine", "minecraft-protocol", "--version", VERSION, "--port", str(port)]
    command = [IMAGE, node, str(HERE / "server.js"), *server]
    engine.docker("create", "--name", name, "--network", "host", *mounts, *options, *command)
    return port


class DockerProxy(Proxy):
    """A proxy with its server in a container, whose processes are none of its own."""

    def server_processes(self) -> set[int]:
        return set()


def begin(
    harness: PeerHarness, engine: Dockerd, name: str, port: int, *options: str, idle_shutdown: float = 0.3
) -> DockerProxy:
    command = block("docs/docker.md", "zeroscale docker 25565 25575 -a ").commands
    as_shown = [word.replace("container=mc", f"container={name}") for word in command.split()[4:] if word != "-a"]
    arguments = [*as_shown, f"base_url={engine.url}"]
    proxy = DockerProxy(
        "docker",
        harness.directory / name,
        arguments,
        port=free_port(),
        server_port=port,
        idle_shutdown=0.3,
        options=options,
    )
    return harness.track(proxy)


def join(harness: PeerHarness, proxy: Proxy, *arguments: str) -> Player:
    player = harness.player(VERSION, proxy.port, "Steve", *arguments)
    player.wait_for_event("joined")
    return player


def test_it_wakes_for_a_player_and_stops_when_all_have_left(harness: PeerHarness, engine: Dockerd) -> None:
    proxy = begin(harness, engine, "mc", create(engine, "mc"))
    assert JavaServer("127.0.0.1", proxy.port, timeout=5).status().players.online == 0
    assert engine.state("mc") == "created"
    player = join(harness, proxy)
    assert engine.state("mc") == "running"
    player.leave()
    engine.wait_for_state("mc", "exited", proxy)
    assert "Stopping the server" in engine.docker("logs", "mc")
    proxy.end()


def test_started_by_hand_it_is_used_and_stopped_like_any_other(harness: PeerHarness, engine: Dockerd) -> None:
    proxy = begin(harness, engine, "by-hand", create(engine, "by-hand"))
    engine.docker("start", "by-hand")
    at = proxy.wait_for("not started by this zeroscale")
    proxy.wait_for(": ready", after=at)
    engine.wait_for_state("by-hand", "exited", proxy)
    engine.docker("start", "by-hand")
    player = join(harness, proxy)
    engine.docker("stop", "by-hand")
    at = proxy.wait_for("it exited by itself")
    player.discard()
    join(harness, proxy).leave()
    engine.wait_for_state("by-hand", "exited", proxy)
    assert not [line for line in proxy.lines[at:] if "failed" in line]
    proxy.end()


def test_killed_by_hand_it_has_crashed_and_a_login_starts_it_again(harness: PeerHarness, engine: Dockerd) -> None:
    proxy = begin(harness, engine, "killed", create(engine, "killed"))
    player = join(harness, proxy)
    engine.docker("kill", "killed")
    proxy.wait_for(r"crashed: it ended while it ran \(.*137")
    player.discard()
    join(harness, proxy).leave()
    engine.wait_for_state("killed", "exited", proxy)
    proxy.end()


def test_a_pause_or_resume_by_hand_is_followed(harness: PeerHarness, engine: Dockerd) -> None:
    proxy = begin(harness, engine, "paused", create(engine, "paused"), "--idle_action", "pause")
    join(harness, proxy).leave()
    engine.wait_for_state("paused", "paused", proxy)
    player = join(harness, proxy)
    assert engine.state("paused") == "running"
    player.leave()
    engine.wait_for_state("paused", "paused", proxy)
    at = len(proxy.lines)
    engine.docker("unpause", "paused")
    at = proxy.wait_for("resuming: by another program", after=at)
    at = proxy.wait_for(": ready", after=at)
    engine.docker("pause", "paused")
    proxy.wait_for(": pausing: ", after=at)
    join(harness, proxy).leave()
    proxy.end()
    assert engine.state("paused") == "exited"


def test_a_restart_of_the_engine_costs_no_player_anything(harness: PeerHarness, engine: Dockerd) -> None:
    proxy = begin(harness, engine, "outlives", create(engine, "outlives"))
    player = join(harness, proxy)
    at = len(proxy.lines)
    engine.end()
    proxy.wait_for("cannot be reached; trying again", after=at)
    other = join(harness, proxy)
    engine.begin()
    proxy.wait_for("can be reached again", after=at)
    assert not [line for line in proxy.lines[at:] if "offline" in line or "failed" in line]
    for one in (player, other):
        assert not one.events("kicked")
        assert not one.events("end")
        one.leave()
    engine.wait_for_state("outlives", "exited", proxy)
    proxy.end()


def test_labels_are_all_the_configuration_that_it_needs(harness: PeerHarness, engine: Dockerd, tmp_path: Path) -> None:
    finder = harness.track(Program([sys.executable, "-c", DISCOVER, engine.url], ROOT))
    finder.wait_for(r"^\{\}$")
    create(engine, "wrong", labels={"host": "mc.example.org", "port": "none"})
    finder.wait_for("container wrong: zeroscale.port='none' is not a port")
    port = free_port()
    labels = {"host": "mc.example.org, 127.0.0.1", "protocol": "minecraft", "listen": str(port)}
    labels |= {"idle_shutdown": "1s", "minimum_online_time": "0"}
    inside = create(engine, "labelled", labels=labels)
    at = finder.wait_for('"labelled"')
    tables: dict[str, Any] = json.loads(finder.lines[at - 1])
    assert tables["labelled"]["server"] == f"127.0.0.1:{inside}"
    state = json.dumps(str(tmp_path / "state"))
    file = tmp_path / "zeroscale.toml"
    file.write_text(f"state_directory = {state}\n{toml('servers.labelled', tables['labelled'])}")
    proxy = harness.track(Program([sys.executable, "-m", "zeroscale", "--config", str(file), "--debug"], ROOT))
    proxy.wait_for("Listening")
    player = harness.player(VERSION, port)
    player.wait_for_event("joined")
    player.leave()
    engine.wait_for_state("labelled", "exited", proxy)
    assert proxy.terminate() == 0
    engine.docker("rm", "labelled")
    finder.wait_for(r"^\{\}$", after=at)


def test_a_container_is_not_stopped_under_its_player_by_a_server_that_names_it_by_its_id(
    harness: PeerHarness, engine: Dockerd, tmp_path: Path
) -> None:
    inside, port, other_port = create(engine, "twice"), free_port(), free_port()
    file = tmp_path / "zeroscale.toml"
    file.write_text(f"state_directory = {json.dumps(str(tmp_path / 'state'))}\n")

    def describe(name: str, container: str, listen: int, server: int) -> None:
        arguments = {"container": container, "base_url": engine.url, "protocol": "minecraft"}
        table = {"plugin": "docker", "listen": listen, "server": server, "plugin_arguments": arguments}
        with file.open("a") as config:
            config.write(toml(f"servers.{name}", {"idle_shutdown": "1s", "minimum_online_time": 0, **table}) + "\n")

    describe("one", "twice", port, inside)
    proxy = harness.track(Program([sys.executable, "-m", "zeroscale", "--config", str(file), "--debug"], ROOT))
    proxy.wait_for("Listening")
    player = harness.player(VERSION, port)
    player.wait_for_event("joined")
    describe("two", engine.docker("inspect", "--format", "{{.Id}}", "twice").strip(), other_port, free_port())
    proxy.process.send_signal(signal.SIGHUP)
    proxy.wait_for("two: could not check .* container .* is what the server 'one' starts and stops, by another name")
    harness.player(VERSION, other_port, "Alex").wait_for_event("kicked")
    assert engine.state("twice") == "running"
    player.leave()
    engine.wait_for_state("twice", "exited", proxy)
    assert proxy.terminate() == 0


def toml(path: str, table: Mapping[str, Any]) -> str:
    """A table as the file has it; JSON's scalars and lists are TOML's."""
    plain = [f"{key} = {json.dumps(value)}" for key, value in table.items() if not isinstance(value, dict)]
    inner = [toml(f"{path}.{key}", value) for key, value in table.items() if isinstance(value, dict)]
    return "\n".join([f"[{path}]", *plain, *inner])
