"""The generic plugin in front of real servers: started from zero, with every byte relayed."""

from __future__ import annotations

import getpass
import os
import random
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from peers.harness import PeerHarness, Proxy
from ports import free_port

MEBIBYTE = random.Random(4).randbytes(1 << 20)


@pytest.mark.slow
@pytest.mark.peers("redis-server")
@pytest.mark.parametrize("relay", ["splice", "transport"])
def test_redis_whose_client_speaks_first(relay: str, harness: PeerHarness) -> None:
    server_port = free_port()
    args = f"--port {server_port} --bind 127.0.0.1 --appendonly no"
    command = f"redis-server {args} --save ''"
    proxy = harness.proxy("generic", f"redis-{relay}", [command], server_port, options=["--relay", relay])
    proxy.assert_asleep()
    # All of it at once, while the server does not even run: what does not fit waits in the client.
    with socket.create_connection(("127.0.0.1", proxy.port), 20) as client:
        client.sendall(redis_command(b"SET", b"key", MEBIBYTE))
        assert exactly(client, 5) == b"+OK\r\n"
        client.sendall(redis_command(b"GET", b"key"))
        header = b"$%d\r\n" % len(MEBIBYTE)
        assert exactly(client, len(header)) == header
        assert exactly(client, len(MEBIBYTE)) == MEBIBYTE
        assert exactly(client, 2) == b"\r\n"
    proxy.wait_until_asleep()
    # It kept nothing, so this is a new one.
    with socket.create_connection(("127.0.0.1", proxy.port), 20) as client:
        client.sendall(redis_command(b"EXISTS", b"key"))
        assert exactly(client, 4) == b":0\r\n"
    proxy.wait_until_asleep()
    proxy.end()


@pytest.mark.slow
@pytest.mark.peers("sshd", "ssh", "ssh-keygen")
def test_sshd_which_speaks_first(harness: PeerHarness) -> None:
    server_port = free_port()
    keys = harness.directory / "ssh keys"
    proxy = harness.proxy("generic", "sshd", sshd_command(keys, server_port), server_port)
    proxy.assert_asleep()
    assert through_ssh(proxy, keys, MEBIBYTE) == MEBIBYTE
    proxy.wait_until_asleep()
    assert through_ssh(proxy, keys, b"again") == b"again"
    proxy.wait_until_asleep()
    proxy.end()


@pytest.mark.slow
@pytest.mark.peers("sshd", "ssh", "ssh-keygen")
def test_a_silent_client_sees_the_banner_of_sshd(harness: PeerHarness) -> None:
    server_port = free_port()
    command = sshd_command(harness.directory / "banner keys", server_port)
    proxy = harness.proxy("generic", "banner", command, server_port)
    with socket.create_connection(("127.0.0.1", proxy.port), 20) as client:
        assert exactly(client, 8) == b"SSH-2.0-"
    proxy.wait_until_asleep()
    proxy.end()


def redis_command(*words: bytes) -> bytes:
    """A command in RESP, redis' own protocol."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def exactly(client: socket.socket, count: int) -> bytes:
    """Reads so many bytes."""
    data = bytearray()
    while len(data) < count:
        more = client.recv(count - len(data))
        assert more, f"closed after {len(data)} of {count} bytes"
        data += more
    return bytes(data)


def sshd_command(keys: Path, port: int) -> list[str]:
    """Makes throw-away keys and settings; returns the words of a command for an sshd of our own, in the foreground."""
    keys.mkdir()
    for name in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / name], check=True)
    shutil.copy(keys / "user_key.pub", keys / "authorized_keys")
    settings = keys / "sshd_config"
    settings.write_text(
        f"""\
Port {port}
ListenAddress 127.0.0.1
HostKey "{keys / "host_key"}"
AuthorizedKeysFile "{keys / "authorized_keys"}"
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin yes
PrintMotd no
"""
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # root's sshd refuses to start without it
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    assert sshd is not None
    return [sshd, "-D", "-e", "-f", str(settings)]


def through_ssh(proxy: Proxy, keys: Path, data: bytes) -> bytes:
    """Sends bytes through `cat` at the other end; returns what comes back."""
    options = {
        "IdentityFile": f'"{keys / "user_key"}"',
        "IdentitiesOnly": "yes",
        "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": "/dev/null",
        "GlobalKnownHostsFile": "/dev/null",
        "BatchMode": "yes",
        "LogLevel": "ERROR",
    }
    args = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    address = f"{getpass.getuser()}@127.0.0.1"
    done = subprocess.run(
        ["ssh", "-F", "none", *args, "-p", str(proxy.port), address, "cat"],
        input=data,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace") + proxy.text()
    return done.stdout
