"""A real Docker behind the filter of the Compose examples, by a real HAProxy."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from peers.dockerd import Dockerd, dockerd
from peers.harness import ROOT, PeerHarness
from peers.programs import Program, wait_until
from peers.test_docker import DockerProxy, create, join
from ports import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.peers("dockerd", "docker", "busybox", "haproxy", "node"),
    pytest.mark.usefixtures("npm_packages"),
]

RULES = (ROOT / "docs" / "container" / "docker-socket.cfg").read_text()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dockerd]:
    with dockerd(tmp_path_factory.mktemp("engine")) as daemon:
        yield daemon


def filter_requests(harness: PeerHarness, engine: Dockerd, directory: Path, *, post: bool) -> str:
    """Start HAProxy in front of the engine; return where it listens."""
    path, rules = directory / "proxy.sock", directory / "haproxy.cfg"
    text = RULES.replace("bind :2375", f"bind unix@{path}").replace("/var/run/docker.sock", str(engine.socket))
    if not post:
        text = text.replace("http-request allow if METH_POST changes\n", "\n")
    rules.write_text(text)
    proxy = harness.track(Program(["haproxy", "-W", "-db", "-f", rules], directory))
    wait_until(path.exists, "the proxy listens", program=proxy)
    return f"unix://{path}"


def begin(harness: PeerHarness, name: str, port: int, url: str) -> DockerProxy:
    arguments = [f"container={name}", "protocol=minecraft", f"base_url={url}"]
    directory = harness.directory / name
    proxy = DockerProxy("docker", directory, arguments, port=free_port(), server_port=port, idle_shutdown=1)
    return harness.track(proxy)


def test_without_info_it_is_started_stopped_and_followed(harness: PeerHarness, engine: Dockerd, tmp_path: Path) -> None:
    port = create(engine, "filtered")
    proxy = begin(harness, "filtered", port, filter_requests(harness, engine, tmp_path, post=True))
    join(harness, proxy).leave()
    engine.wait_for_state("filtered", "exited", proxy)
    at = proxy.wait_for(": stopped( after|:)")
    engine.docker("start", "filtered")
    at = proxy.wait_for("not started by this zeroscale", after=at)
    player = join(harness, proxy)
    engine.docker("kill", "filtered")
    proxy.wait_for(r"crashed: it ended while it ran \(.*137", after=at)
    player.discard()
    assert "refused" not in proxy.text()
    proxy.end()


def test_a_request_that_is_refused_is_named(harness: PeerHarness, engine: Dockerd, tmp_path: Path) -> None:
    port = create(engine, "read-only")
    proxy = begin(harness, "read-only", port, filter_requests(harness, engine, tmp_path, post=False))
    player = harness.player("1.20.4", proxy.port)
    proxy.wait_for(r"failed: POST /containers/read-only/start was refused by unix://.*: 403 Forbidden")
    player.wait_for_event("kicked")
    assert engine.state("read-only") == "created"
    proxy.end()


@pytest.mark.parametrize(
    "request_line",
    [
        "POST /containers/create",
        "POST /v1.41/containers/create?name=x",
        "POST /containers/any/exec",
        "POST /containers/any/update",
        "POST /containers/any/start/../../create",
        "POST /containers/%2e%2e/create",
        "DELETE /containers/any",
        "PUT /containers/any/archive?path=/",
        "GET /containers/any/archive?path=/",
        "GET /images/json",
        "POST /build",
    ],
)
def test_what_gives_access_to_the_machine_is_refused(
    harness: PeerHarness, engine: Dockerd, tmp_path: Path, request_line: str
) -> None:
    filter_requests(harness, engine, tmp_path, post=True)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(tmp_path / "proxy.sock"))
        client.sendall(f"{request_line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert client.makefile("rb").readline().split()[1] == b"403"
