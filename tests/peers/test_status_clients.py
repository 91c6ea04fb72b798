"""Status clients that others wrote: each dialect that each of them speaks is answered by a sleeping server."""

from __future__ import annotations

import base64
import json
import os
import re
import struct
import subprocess
import venv
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcstatus import JavaServer, LegacyServer
from peers.harness import HERE, NEWEST_VERSION, PeerHarness, Proxy
from peers.programs import wait_for_changed_files

VERSION = "1.16.5"
MCTOOLS = "mctools==1.4.0"
MINESTAT = "minestat==2.6.3"
NODE_CLIENT = "minecraft-server-util"

pytestmark = [pytest.mark.slow, pytest.mark.peers("node"), pytest.mark.usefixtures("npm_packages")]


@pytest.fixture(scope="module")
def proxy(harness: PeerHarness) -> Proxy:
    proxy, _ = harness.minecraft("minecraft-protocol", VERSION, "status")
    return proxy


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes a virtual environment with one package, or finds it in ZEROSCALE_PEERS_CACHE; returns its Python."""
    configured = os.environ.get("ZEROSCALE_PEERS_CACHE")
    cache = Path(configured) if configured else tmp_path_factory.mktemp("environments")

    def environment(requirement: str) -> Path:
        directory = cache / requirement
        python = directory / "bin" / "python"
        whole = directory / "whole"  # an installation cut short is done again
        if not whole.exists():
            venv.create(directory, clear=True, with_pip=True)
            # The versions that zeroscale is tested with do not bind other programs.
            unconstrained = {name: value for name, value in os.environ.items() if name != "PIP_CONSTRAINT"}
            installed = subprocess.run(
                [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement],
                env=unconstrained,
                capture_output=True,
                text=True,
                check=False,
            )
            if installed.returncode != 0:
                pytest.skip(f"{requirement} cannot be installed: {installed.stderr.strip().splitlines()[-1]}")
            whole.touch()
        return python

    return environment


@pytest.mark.parametrize(
    ("client", "dialect", "tells_version"),
    [
        (MINESTAT, "JSON", True),
        (MINESTAT, "EXTENDED_LEGACY", True),
        (MINESTAT, "LEGACY", True),
        (MINESTAT, "BETA", False),
        (MCTOOLS, "JSON", True),
        (NODE_CLIENT, "status", True),
        (NODE_CLIENT, "statusFE01FA", True),
        (NODE_CLIENT, "statusFE01", True),
        (NODE_CLIENT, "statusFE", False),
        (NODE_CLIENT, "statusLegacy", True),
    ],
)
def test_a_client_in_one_of_its_dialects(
    client: str, dialect: str, tells_version: bool, proxy: Proxy, environment: Callable[[str], Path]
) -> None:
    if client == NODE_CLIENT:
        answer = ask("node", HERE / "status_client.js", dialect, str(proxy.port))
    else:
        name, _, _ = client.partition("=")
        answer = ask(environment(client), HERE / "status_client.py", name, dialect, str(proxy.port))
    shown = JavaServer("127.0.0.1", proxy.port, timeout=5).status()
    assert one_line(answer["motd"]) == one_line(shown.motd.to_plain())
    assert answer["online"] == 0
    assert answer["maximum"] == shown.players.max
    if tells_version:
        assert one_line(answer["version"]) == one_line(shown.version.name)
    proxy.assert_asleep()


def test_mcstatus_asleep(proxy: Proxy) -> None:
    server = JavaServer("127.0.0.1", proxy.port, timeout=5)
    for protocol in (4, 47, 340, 775, 777):
        status = server.status(version=protocol)
        assert status.version.protocol == protocol, "it looks incompatible"
        assert status.icon is not None
        assert status.players.sample
    assert server.ping() < 1000
    description: Any = status.raw["description"]
    assert one_line(re.sub("\u00a7.", "", description["text"])) == one_line(status.motd.to_plain())
    assert "\u00a7" in description["text"], "the colours are kept"
    legacy = LegacyServer("127.0.0.1", proxy.port, timeout=5).status()
    assert one_line(legacy.motd.to_plain()) == one_line(status.motd.to_plain())
    proxy.assert_asleep()


def test_the_largest_icon(harness: PeerHarness) -> None:
    proxy, record = harness.minecraft("minecraft-protocol", VERSION, "icon")
    (proxy.directory / "server-icon.png").write_bytes(icon(22_000))
    wait_for_changed_files()
    status = JavaServer("127.0.0.1", proxy.port, timeout=5).status()
    assert status.icon is not None
    assert base64.b64decode(status.icon.partition(",")[2]) == icon(22_000)
    assert status.players.sample
    for version in ("1.8.8", NEWEST_VERSION):
        reply = harness.player(version, proxy.port, "Alex", "--ping").wait_for_event("status")["reply"]
        assert reply["favicon"] == status.icon
    assert record.starts() == 0
    player = harness.player(VERSION, proxy.port, "Alex")
    player.wait_for_event("joined")
    player.leave()
    proxy.end()


def icon(size: int) -> bytes:
    """A PNG of 64x64 pixels whose file has that many bytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0))
    rest = chunk(b"IDAT", zlib.compress(bytes(64 * (1 + 3 * 64)))) + chunk(b"IEND", b"")
    return header + chunk(b"tEXt", b"Comment\0" + b"x" * (size - len(header + rest) - 20)) + rest


def test_mcstatus_awake(proxy: Proxy, harness: PeerHarness) -> None:
    player = harness.player(VERSION, proxy.port, "Alex")
    player.wait_for_event("joined")
    server = JavaServer("127.0.0.1", proxy.port, timeout=5)
    status = server.status()
    assert status.motd.to_plain() == f"minecraft-protocol {VERSION}", "not the real server's own answer"
    assert status.players.online == 1
    # mcstatus sends a 64-bit token that this server does not echo, so a ping by itself is all that can be asked of it
    assert status.latency < 5000
    player.leave()
    proxy.wait_until_asleep()
    server.ping()
    proxy.end()


def ask(*command: str | Path) -> dict[str, Any]:
    """Runs a client; returns the JSON object that it prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def one_line(text: str) -> str:
    """A text as a dialect without line breaks and colours has it."""
    return " ".join(text.split())
