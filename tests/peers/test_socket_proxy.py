"""A real Docker behind a proxy of HAProxy that filters requests, which allows what such proxies usually do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from peers.dockerd import Dockerd, dockerd
from peers.harness import PeerHarness
from peers.programs import Program, wait_until
from peers.test_docker import DockerProxy, create, join
from ports import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.peers("dockerd", "docker", "busybox", "haproxy", "node"),
    pytest.mark.usefixtures("npm_packages"),
]

RULES = """
defaults
    mode http
    timeout connect 5s
    timeout client 10m
    timeout server 10m

frontend docker
    bind unix@{socket}
    acl allowed path_reg ^(/v[0-9.]+)?/(_ping|version|events|containers)(/|$)
    http-request deny unless allowed
    http-request deny unless METH_GET {post}
    default_backend engine

backend engine
    server engine unix@{engine}
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dockerd]:
    with dockerd(tmp_path_factory.mktemp("engine")) as daemon:
        yield daemon


def filter_requests(harness: PeerHarness, engine: Dockerd, directory: Path, *, post: bool) -> str:
    """Start HAProxy in front of the engine; return where it listens."""
    socket, rules = directory / "proxy.sock", directory / "haproxy.cfg"
    rules.write_text(RULES.format(socket=socket, engine=engine.socket, post="or METH_POST" if post else ""))
    proxy = harness.track(Program(["haproxy", "-W", "-db", "-f", rules], directory))
    wait_until(socket.exists, "the proxy listens", program=proxy)
    return f"unix://{socket}"


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
