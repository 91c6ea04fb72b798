"""Objects made from the configuration of a server that does not speak Minecraft."""

from __future__ import annotations

import logging
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest
from harness import running_reactor
from msgspec.structs import replace
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol

from zeroscale.config.model import ProxyProtocolConfig, ServerConfig, Waiting
from zeroscale.errors import BackendError
from zeroscale.probes.readiness import LineReadiness, Readiness
from zeroscale.process.environment import ChildEnvironment
from zeroscale.protocols.conversation import ClientRecognised, Connected, Conversation, Event, HealthCheckRequested
from zeroscale.protocols.minecraft.text_component import plain
from zeroscale.proxy import tcp_factory
from zeroscale.proxy.factory import join_policy
from zeroscale.status import ProbeResult, ServerSnapshot, Status

ASLEEP = ServerSnapshot(name="wiki", status=Status.stopped, since=0.0, estimate=20.0)
NOTE = "Lädt neu"
GET = b"GET / HTTP/1.1\r\nAccept: text/html\r\n\r\n"


def server(**values: Any) -> ServerConfig:
    return ServerConfig(**{"name": "wiki", "plugin": "generic", "listen": ("80",), "server_port": 8080, **values})


def conversation(
    config: ServerConfig, *, speaks_http: bool = False, wakes: bool = True, view: ServerSnapshot = ASLEEP
) -> Conversation:
    protocol = "http" if speaks_http else "none"
    policy = replace(join_policy(config), wakes=wakes)
    return tcp_factory.conversation(config.all_ports[0], protocol, policy, lambda: view, lambda: 0.0, lambda: NOTE)


def hello() -> bytes:
    outgoing = ssl.MemoryBIO()
    connection = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="a.example")
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize(
    ("wake_on", "data"),
    [
        ("data", b"x"),
        ("tls", hello()),
        ("http", GET),
        ("ssh", b"SSH-2.0-x\r\n"),
        ("regex:[a-c]{2}", b"ca"),
    ],
)
def test_wake_on_decides_which_clients_wake(wake_on: str, data: bytes) -> None:
    made = conversation(server(wake_on=wake_on))
    events: list[Event] = [*made.opened()]
    for byte in data:
        events += made.receive(bytes([byte]))
    assert [type(event) for event in events] == [Connected, ClientRecognised]


def test_by_default_a_connection_wakes() -> None:
    assert list(conversation(server()).opened()) == [ClientRecognised()]


def test_the_waiting_page_has_retry_after() -> None:
    config = server(wake_on="http", waiting="page", texts={"sleeping_kick": "Gleich da"})
    made = conversation(config)
    assert list(made.receive(GET)) == [ClientRecognised(0.0, "page")]
    page = made.kick(tcp_factory.messages(config).kick(ASLEEP, 0.0, ""))
    assert b"Retry-After: 20\r\n" in page and f"<h1>Gleich da</h1>\n<p>{NOTE}</p>".encode() in page
    assert plain(tcp_factory.messages(server()).kick(ASLEEP, 0.0, "")) == "Waking up, about 20 s"


@pytest.mark.parametrize(
    ("status", "title", "retry_after", "reloads"),
    [
        (Status.stopped, "Asleep", 60, False),
        (Status.stopping, "Asleep", 60, False),
        (Status.paused, "Asleep", 60, False),
        (Status.failed, "Asleep", 60, False),
        (Status.starting, "Waking up, about 20 s", 20, True),
        (Status.running, "Not answering right now", 5, True),
    ],
)
def test_the_page_of_a_port_that_does_not_wake_reloads_itself_only_if_that_helps(
    status: Status, title: str, retry_after: int, reloads: bool
) -> None:
    view = ServerSnapshot(name="wiki", status=status, since=0.0, estimate=20.0, retry_at=5.0)
    made = conversation(server(), speaks_http=True, wakes=False, view=view)
    assert list(made.receive(GET)) == [ClientRecognised(None, "page")]
    page = made.kick(tcp_factory.messages(server(), wakes=False).kick(view, 0.0, "")).decode()
    assert page.startswith("HTTP/1.1 503 ")
    assert f"<h1>{title}</h1>" in page
    assert f"Retry-After: {retry_after}\r\n" in page
    assert ('http-equiv="refresh"' in page, NOTE in page) == (reloads, reloads)


@pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS"])
def test_a_program_gets_the_same_as_text(method: str) -> None:
    made = conversation(server(), speaks_http=True, wakes=False)
    made.receive(f"{method} / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc".encode())
    head, _, body = made.kick(tcp_factory.messages(server(), wakes=False).kick(ASLEEP, 0.0, "")).partition(b"\r\n\r\n")
    assert b"Retry-After: 60\r\n" in head and b"text/plain" in head
    text = b"Asleep\nThe server does not run now, and a visit here does not wake it.\n"
    assert body == (b"" if method == "HEAD" else text)


@pytest.mark.parametrize(("waiting", "max_hold"), [("hold", None), ("page", None), ("page-only", 0.0)])
def test_a_program_is_held_unless_everyone_gets_the_page(waiting: Waiting, max_hold: float | None) -> None:
    config = server(wake_on="http", waiting=waiting)
    made = conversation(config)
    assert list(made.receive(b"GET / HTTP/1.1\r\n\r\n")) == [ClientRecognised(max_hold, "unavailable")]


def test_unused_fields() -> None:
    assert list(tcp_factory.unused_fields(server())) == []
    values = {"wake_on": "http", "ready": "http", "waiting": "page", "health_path": "/healthz"}
    assert list(tcp_factory.unused_fields(server(**values))) == ["wake_on", "waiting", "ready", "health_path"]


def test_fields_for_http() -> None:
    assert list(tcp_factory.fields_for_http(server(waiting="hold"))) == []
    for waiting in ("page", "page-only"):
        config = server(waiting=waiting, health_path="/healthz")
        assert list(tcp_factory.fields_for_http(config)) == ["waiting", "health_path"]


@pytest.mark.parametrize(
    ("wake_on", "protocol", "kind"),
    [(None, "none", "connect"), (None, "http", "http"), ("data", "http", "data"), ("connect", "http", "connect")],
)
def test_the_protocol_counts_where_wake_on_is_not_set(wake_on: str | None, protocol: str, kind: str) -> None:
    assert tcp_factory.wake_trigger(wake_on, protocol).kind == kind


@pytest.mark.parametrize(("wake_on", "speaks_http"), [("http", False), (None, True)])
def test_health_checks_are_answered_by_their_path(wake_on: str | None, speaks_http: bool) -> None:
    made = conversation(server(wake_on=wake_on, health_path="/healthz"), speaks_http=speaks_http)
    [event] = made.receive(b"GET /healthz HTTP/1.1\r\n\r\n")
    assert isinstance(event, HealthCheckRequested)


def test_readiness_checks() -> None:
    for ready, kind in (("connect", Readiness), ("http", Readiness), ("line:Done", LineReadiness)):
        config = server(ready=ready)
        assert isinstance(
            tcp_factory.readiness(
                config,
                running_reactor(),
                tcp_factory.probe(config, running_reactor(), ChildEnvironment()),
                logging.getLogger("tests"),
            ),
            kind,
        )
    pattern = tcp_factory.ready_line(server(ready="line:Done"))
    assert pattern is not None and pattern.search("[12:00:00] Done (1 s)")
    assert tcp_factory.ready_line(server()) is None


class _Http(Protocol):
    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        data = data.removeprefix(b"PROXY UNKNOWN\r\n")
        assert data.startswith(b"GET ")
        self.transport.write(b"HTTP/1.1 404 Not Found\r\n\r\n" if b" /x " in data else b"HTTP/1.1 200 OK\r\n\r\n")


@pytest.mark.parametrize(
    ("ready", "problem"),
    [
        ("connect", None),
        ("http", None),
        ("http:/x", None),
        ("http:/x=200", "status 404"),
        ("bytes:GET / HTTP/1.0\\r\\n\\r\\n=>HTTP/1.1 200", None),
        ("command:test -e ready", None),
        ("command:test -e missing", "exit code 1"),
        (f"command:{sys.executable} -c 'raise SystemExit(3)'", "exit code 3"),
    ],
)
@ensureDeferred
async def test_probes(ready: str, problem: str | None, tmp_path: Path) -> None:
    (tmp_path / "ready").touch()
    port: Any = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Factory.forProtocol(_Http))
    try:
        proxied = ProxyProtocolConfig(send="v1") if problem is None else ProxyProtocolConfig()
        values = {"ready": ready, "working_directory": tmp_path, "proxy_protocol": proxied}
        config = server(server_port=port.getHost().port, **values)
        asked = tcp_factory.probe(config, running_reactor(), ChildEnvironment()).ask()
        if problem is None:
            assert await asked == ProbeResult()
        else:
            with pytest.raises(BackendError, match=problem):
                await asked
    finally:
        await port.stopListening()
