"""Where clients connect: two sockets for a port, Twisted's endpoints, and the messages when they cannot be opened."""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol

from zeroscale.errors import ConfigError
from zeroscale.frontend.connection_limits import normalised
from zeroscale.system.endpoints import LARGEST_KEY, check, listen
from zeroscale.system.socket_activation import InheritedSocket, ServiceManagerEnvironment

reactor: Any = global_reactor

HAS_IPV6 = socket.has_ipv6 and Path("/proc/net/if_inet6").exists()
needs_ipv6 = pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")


class Peers(Factory):
    """Records the addresses of its clients."""

    noisy = False

    def __init__(self) -> None:
        self.next: Deferred[Any] = Deferred()

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        waiting, self.next = self.next, Deferred()
        waiting.callback(addr)
        return Protocol()


@pytest.fixture
def peers() -> Peers:
    return Peers()


@asynccontextmanager
async def listening(where: str, factory: Factory) -> AsyncIterator[list[Any]]:
    """Listens for a while."""
    ports: list[Any] = [*await listen(reactor, where, factory)]
    try:
        yield ports
    finally:
        for port in ports:
            await port.stopListening()


def open_descriptors() -> int:
    """How many this process has."""
    return len([*Path("/proc/self/fd").iterdir()])


@pytest.fixture
def free() -> Iterator[int]:
    """Return a free port, on IPv4 and IPv6."""
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        number: int = probe.getsockname()[1]
    yield number


@needs_ipv6
@pytest_twisted.ensureDeferred
async def test_a_port_is_two_sockets(free: int, peers: Peers, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "zeroscale")
    async with listening(str(free), peers) as ports:
        assert [port.socket.family for port in ports] == [socket.AF_INET6, socket.AF_INET]
        assert ports[0].socket.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        assert caplog.messages == [f"Listening on ('::', {free}, 0, 0)", f"Listening on ('0.0.0.0', {free})"]
        for host in ("127.0.0.1", "::1"):
            came = peers.next
            with socket.create_connection((host, free)):
                assert (await came).host == host


@needs_ipv6
@pytest_twisted.ensureDeferred
async def test_a_mapped_address_is_normalised(peers: Peers) -> None:
    async with listening("tcp6:0", peers) as ports:
        came = peers.next
        with socket.create_connection(("127.0.0.1", ports[0].getHost().port)):
            address = await came
    assert address.host == "::ffff:127.0.0.1"
    assert normalised(address.host) == "127.0.0.1"


@pytest.mark.parametrize("family", [pytest.param("::", marks=needs_ipv6), "0.0.0.0", "127.0.0.1"])
@pytest_twisted.ensureDeferred
async def test_a_busy_port_is_one_line_and_leaves_nothing_open(free: int, peers: Peers, family: str) -> None:
    kind = socket.AF_INET6 if ":" in family else socket.AF_INET
    with socket.socket(kind) as other:
        if kind == socket.AF_INET6:
            other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        other.bind((family, free))
        other.listen()
        descriptors = open_descriptors()
        with pytest.raises(ConfigError) as refused:
            await listen(reactor, str(free), peers)
        assert open_descriptors() == descriptors
    assert str(refused.value) == (
        f"cannot listen on port {free}: Address already in use; another program listens there: stop it, or give "
        "another port"
    )
    async with listening(str(free), peers):
        pass


@pytest_twisted.ensureDeferred
async def test_a_busy_endpoint_is_one_line(free: int, peers: Peers) -> None:
    with socket.create_server(("127.0.0.1", free)), pytest.raises(ConfigError) as refused:
        await listen(reactor, f"tcp:{free}:interface=127.0.0.1", peers)
    assert str(refused.value).startswith(f"cannot listen on 'tcp:{free}:interface=127.0.0.1': Address already in use;")


class Denied(socket.socket):
    """A socket that may not be bound, as for users other than root."""

    def bind(self, address: Any, /) -> None:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))


@pytest_twisted.ensureDeferred
async def test_a_port_that_needs_root(peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zeroscale.system.endpoints.socket.socket", Denied)
    with pytest.raises(ConfigError) as refused:
        await listen(reactor, "80", peers)
    assert str(refused.value) == (
        "cannot listen on port 80: Permission denied; ports below 1024 need root or CAP_NET_BIND_SERVICE: give another "
        "port"
    )


class Old(socket.socket):
    """A socket of a machine without IPv6: its kernel has none, or none that may be bound."""

    where = "made"

    def __init__(self, family: int, *arguments: Any, **options: Any) -> None:
        if self.where == "made" and family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        super().__init__(family, *arguments, **options)

    def bind(self, address: Any, /) -> None:
        if self.where == "bound" and self.family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        super().bind(address)


@pytest.mark.parametrize("where", ["made", "bound"])
@pytest_twisted.ensureDeferred
async def test_a_machine_without_ipv6(
    free: int, peers: Peers, where: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "zeroscale")
    with monkeypatch.context() as patch:
        patch.setattr(Old, "where", where)
        patch.setattr("zeroscale.system.endpoints.socket.socket", Old)
        ports: list[Any] = [*await listen(reactor, str(free), peers)]
    try:
        assert [port.getHost().host for port in ports] == ["0.0.0.0"]
        assert caplog.records[0].levelname == "DEBUG"
        assert caplog.messages[0].startswith("This machine has no IPv6 (")
        assert caplog.messages[1] == f"Listening on ('0.0.0.0', {free})"
    finally:
        for port in ports:
            await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_endpoint_strings(tmp_path: Path, peers: Peers, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "zeroscale")
    async with listening("tcp:0:interface=127.0.0.1", peers) as ports:
        number = ports[0].getHost().port
        assert caplog.messages == [f"Listening on ('127.0.0.1', {number})"]
    async with listening(f"unix:{tmp_path}/socket", peers):
        came = peers.next
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(f"{tmp_path}/socket")
            await came


@pytest.mark.parametrize("where", ["25565", "1", "tcp:25565", "tcp6:25565:interface=\\:\\:1", "unix:/run/zeroscale"])
def test_what_can_be_listened_on(where: str) -> None:
    check(reactor, where)


NONSENSE = {
    "25565x": "Unknown endpoint type: '25565x'",
    "": "Unknown endpoint type: ''",
    "\u00b2": "Unknown endpoint type: '\u00b2'",
    "tcp": "missing 1 required positional argument: 'port'",
    "tcp:": "invalid literal for int() with base 10: ''",
    "tcp:x": "invalid literal for int() with base 10: 'x'",
    "tcp:25565:nonsense=1": "unexpected keyword argument 'nonsense'",
    "ssl:443:privateKey=/nonsense": "No such file or directory: /nonsense",
}


@pytest.mark.parametrize(("where", "reason"), NONSENSE.items())
@pytest_twisted.ensureDeferred
async def test_nonsense_is_one_line(where: str, reason: str, peers: Peers) -> None:
    with pytest.raises(ConfigError) as refused:
        check(reactor, where)
    message = str(refused.value)
    assert message.startswith(f"cannot listen on {where!r}: give a port, or one of Twisted's endpoint strings (")
    assert reason in message
    assert "\n" not in message
    with pytest.raises(ConfigError) as refused:
        await listen(reactor, where, peers)
    assert str(refused.value) == message


SYSTEMD_VALUES = {
    "systemd:game": [0, 1],
    "systemd:map": [2],
    "systemd:domain=INET6:name=game": [0, 1],
    "systemd:name=a=b": [3],
    "systemd:domain=INET:index=2": [2],
    "systemd:index=9": [],
}


@contextmanager
def inherited_sockets(monkeypatch: pytest.MonkeyPatch, *names: str) -> Iterator[list[socket.socket]]:
    """Sockets that systemd has opened for us, all on the loopback."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in names]
        descriptors = [each.fileno() for each in sockets]
        found = ServiceManagerEnvironment(tuple(map(InheritedSocket, names, descriptors)))
        monkeypatch.setattr("zeroscale.system.endpoints.service_manager_environment", lambda: found)
        yield sockets


@pytest.mark.parametrize(("where", "meant"), SYSTEMD_VALUES.items())
@pytest_twisted.ensureDeferred
async def test_sockets_of_systemd_by_name(
    where: str, meant: list[int], peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(reactor, where)  # asked of any process, and only one of them has the sockets
    with inherited_sockets(monkeypatch, "game", "game", "map", "a=b") as sockets:
        if not meant:
            with pytest.raises(ConfigError, match=r"it passed: game, map, a=b\); start it"):
                await listen(reactor, where, peers)
        for _ in range(2 if meant else 0):  # a port that is closed by a reload can be opened again
            async with listening(where, peers) as ports:
                assert [port.getHost().port for port in ports] == [sockets[i].getsockname()[1] for i in meant]
                came = peers.next
                with socket.create_connection(sockets[meant[-1]].getsockname()):
                    assert (await came).host == "127.0.0.1"


@needs_ipv6
@pytest_twisted.ensureDeferred
async def test_systemds_socket_for_both_families(peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as both:
        found = ServiceManagerEnvironment((InheritedSocket("game", both.fileno()),))
        monkeypatch.setattr("zeroscale.system.endpoints.service_manager_environment", lambda: found)
        async with listening("systemd:game", peers):
            came = peers.next
            with socket.create_connection(("127.0.0.1", both.getsockname()[1])):
                assert normalised((await came).host) == "127.0.0.1"


@pytest_twisted.ensureDeferred
async def test_the_file_of_systemds_socket_is_neither_changed_nor_removed(
    tmp_path: Path, peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as ours:
        ours.bind(str(path))
        path.chmod(0o620)  # SocketMode=
        ours.listen()
        found = ServiceManagerEnvironment((InheritedSocket("game", ours.fileno()),))
        monkeypatch.setattr("zeroscale.system.endpoints.service_manager_environment", lambda: found)
        for _ in range(2):
            async with listening("systemd:game", peers):
                came = peers.next
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(str(path))
                    await came
            assert stat.S_IMODE(path.stat().st_mode) == 0o620
        path.unlink()
        async with listening("systemd:game", peers):
            pass


@pytest_twisted.ensureDeferred
async def test_the_error_names_a_port_that_systemd_has_opened(peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    with inherited_sockets(monkeypatch, "game") as [ours]:
        number = ours.getsockname()[1]
        with pytest.raises(ConfigError, match=r"opened it for zeroscale; write listen = 'systemd:game'"):
            await listen(reactor, str(number), peers)


@pytest_twisted.ensureDeferred
async def test_a_socket_that_was_not_handed_over(peers: Peers) -> None:
    with pytest.raises(
        ConfigError, match=r"no socket of this name to the process \(it passed: none\); start it by its socket unit"
    ):
        await listen(reactor, "systemd:game", peers)


@pytest.mark.parametrize("where", ["systemd:", "systemd:a:b", "systemd:index=x", "systemd:name=", "systemd:x=y:name=a"])
def test_what_cannot_be_said_of_systemd(where: str) -> None:
    with pytest.raises(ConfigError, match="write systemd:NAME, as in FileDescriptorName= of the socket unit"):
        check(reactor, where)


@pytest.mark.parametrize("where", ["tcp:65536", "tcp6:99999:interface=\\:\\:1", f"tcp:{'9' * 5000}"])
def test_a_port_out_of_range(where: str) -> None:
    with pytest.raises(ConfigError, match=r"is not a port, which is at most 65535$"):
        check(reactor, where)


def test_a_key_that_is_none(tmp_path: Path) -> None:
    pytest.importorskip("OpenSSL", reason="TLS needs twisted[tls]")
    (tmp_path / "key.pem").write_text("nonsense")
    with pytest.raises(ConfigError, match="cannot listen on 'ssl:443") as refused:
        check(reactor, f"ssl:443:privateKey={tmp_path}/key.pem")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("option", ["privateKey", "certKey", "extraCertChain", "dhParameters"])
@pytest.mark.parametrize("kind", ["fifo", "long"])
@pytest_twisted.ensureDeferred
async def test_a_key_or_certificate_is_not_waited_for_and_bounded(
    tmp_path: Path, option: str, kind: str, peers: Peers
) -> None:
    file = tmp_path / "a:file"
    if kind == "fifo":
        os.mkfifo(file)
    else:
        file.write_bytes(b"#" * (LARGEST_KEY + 1))
    where = f"ssl:443:{option}={tmp_path}/a\\:file"
    with pytest.raises(ConfigError, match=r"cannot read .*a:file: it is (not a regular file|longer than)"):
        check(reactor, where)
    with pytest.raises(ConfigError, match=r"cannot read .*a:file: it is (not a regular file|longer than)"):
        await listen(reactor, where, peers)


@pytest.mark.parametrize("where", ["tcp:25565:interface=nonsense", "unix:/nonsense/socket"])
@pytest_twisted.ensureDeferred
async def test_what_only_the_system_can_judge(where: str, peers: Peers) -> None:
    check(reactor, where)
    with pytest.raises(ConfigError, match=r"^cannot listen on ") as refused:
        await listen(reactor, where, peers)
    assert "\n" not in str(refused.value)
