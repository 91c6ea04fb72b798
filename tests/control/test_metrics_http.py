"""Metrics over HTTP, over TCP and in memory, also with invalid requests."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from control.reports import proxy_report
from harness import FakeReactor, running_reactor
from hypothesis import given
from hypothesis import strategies as st
from processes import Program, python
from prometheus_client.parser import text_string_to_metric_families
from pytest_twisted import ensureDeferred
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from zeroscale.control.metrics_http import (
    DEADLINE,
    MAX_CONNECTIONS,
    MAX_HEADER_BYTES,
    MetricsServer,
    endpoint_string,
    is_own_name,
)
from zeroscale.reports import ProxyReport


class Client:
    """A client in memory."""

    def __init__(self, protocol: IProtocol) -> None:
        self.protocol = protocol
        self.transport = StringTransport()
        protocol.makeConnection(self.transport)

    def send(self, data: bytes) -> bytes:
        self.protocol.dataReceived(data)
        return self.received

    @property
    def received(self) -> bytes:
        received: bytes = self.transport.value()
        return received

    def is_dropped(self) -> bool:
        return self.transport.disconnecting

    def leave(self) -> None:
        self.protocol.connectionLost(Failure(connectionDone.value))


class Harness:
    """Metrics served on a reactor in memory."""

    def __init__(
        self,
        report: Callable[[], ProxyReport] = proxy_report,
        hosts: tuple[str, ...] = (),
        listen: str = "9225",
    ) -> None:
        self.reactor = FakeReactor()
        self.server = MetricsServer(self.reactor, listen, report, hosts=hosts)
        started = Deferred.fromCoroutine(self.server.start())
        assert started.called
        self.port, self.factory, _, self.interface = self.reactor.tcpServers[0]

    def connect(self) -> Client | None:
        protocol = self.factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1234))
        return None if protocol is None else Client(protocol)

    def client(self) -> Client:
        client = self.connect()
        assert client is not None
        return client

    def ask(self, request: bytes) -> bytes:
        client = self.client()
        answer = client.send(request)
        assert client.is_dropped()
        client.leave()
        return answer


class Collect(Protocol):
    def __init__(self) -> None:
        self.data = b""
        self.ended: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(self.data)


async def scrape(port: int, request: bytes) -> tuple[bytes, bytes]:
    from twisted.internet import reactor

    client = Collect()
    await connectProtocol(clientFromString(reactor, f"tcp:127.0.0.1:{port}"), client)
    assert client.transport is not None
    client.transport.write(request)
    head, _, body = (await client.ended).partition(b"\r\n\r\n")
    return head, body


@ensureDeferred
async def test_a_scrape_over_tcp() -> None:
    server = MetricsServer(running_reactor(), "0", proxy_report)
    await server.start()
    try:
        [listening] = server.ports
        listen = listening.getHost()
        assert isinstance(listen, IPv4Address)
        assert listen.host == "127.0.0.1"
        head, body = await scrape(listen.port, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        families = {family.name: family for family in text_string_to_metric_families(body.decode())}
        assert families["zeroscale_server_players"].samples[0].value == 2
        head, body = await scrape(listen.port, b"GET /metrics.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"Content-Type: application/json\r\n" in head
        assert json.loads(body)["version"] == "1.2.3"
    finally:
        await server.stop()
    assert server.ports == []


@ensureDeferred
async def test_stopping_aborts_connections() -> None:
    from twisted.internet import reactor

    server = MetricsServer(running_reactor(), "tcp:0:interface=127.0.0.1", proxy_report)
    await server.stop()
    await server.start()
    listen = server.ports[0].getHost()
    assert isinstance(listen, IPv4Address)
    client = Collect()
    await connectProtocol(clientFromString(reactor, f"tcp:127.0.0.1:{listen.port}"), client)
    while not server.connections:
        turn: Deferred[None] = Deferred()
        reactor.callLater(0.001, turn.callback, None)
        await turn
    await server.stop()
    assert await client.ended == b""
    await server.stop()


def test_a_bare_port_listens_on_loopback_only() -> None:
    harness = Harness()
    assert (harness.port, harness.interface) == (9225, "127.0.0.1")
    assert endpoint_string("tcp:9225") == "tcp:9225"
    assert endpoint_string("unix:/run/metrics") == "unix:/run/metrics"


def test_responses_have_their_headers() -> None:
    harness = Harness()
    head, _, body = harness.ask(b"GET /metrics?x=1 HTTP/1.1\r\n\r\n").partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert b"Content-Type: text/plain; version=0.0.4; charset=utf-8" in lines
    assert b"Content-Length: %d" % len(body) in lines
    assert b"Connection: close" in lines
    assert body.startswith(b"# HELP zeroscale_build_info")
    head, _, body = harness.ask(b"GET / HTTP/1.1\r\n\r\n").partition(b"\r\n\r\n")
    assert b"Content-Type: text/html; charset=utf-8" in head
    assert b'href="/metrics.json"' in body


@pytest.mark.parametrize("path", [b"/", b"/metrics", b"/metrics.json"])
def test_head_has_no_body(path: bytes) -> None:
    harness = Harness()
    answer = harness.ask(b"HEAD %s HTTP/1.1\r\n\r\n" % path)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nContent-Length: " in answer
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /nothing HTTP/1.1", b"404"),
        (b"GET /metrics/ HTTP/1.1", b"404"),
        (b"GET /../metrics HTTP/1.1", b"404"),
        (b"GET http://elsewhere.example/metrics HTTP/1.1", b"404"),
        (b"DELETE /metrics HTTP/1.1", b"405"),
        (b"POST /metrics HTTP/1.1", b"405"),
        (b"get /metrics HTTP/1.1", b"405"),
        (b"GET /metrics", b"400"),
        (b"GET /metrics HTTP/9.9", b"400"),
        (b"\x16\x03\x01\x02\x00", b"400"),
    ],
)
def test_unknown_pages_and_methods(request_line: bytes, status: bytes) -> None:
    answer = Harness().ask(request_line + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 " + status + b" ")


@pytest.mark.parametrize("request_line", [b"GET /metrics HTTP/1.1", b"GET /nothing HTTP/1.1", b"PUT / HTTP/1.1"])
def test_no_response_names_the_server_software(request_line: bytes) -> None:
    head, _, _ = Harness().ask(request_line + b"\r\n\r\n").partition(b"\r\n\r\n")
    assert b"twisted" not in head.lower()
    assert b"server:" not in head.lower()


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        (b"127.0.0.1", True),
        (b"127.0.0.1:9225", True),
        (b"192.0.2.7:80", True),
        (b"[::1]", True),
        (b"[2001:db8::1]:9225", True),
        (b"localhost", True),
        (b"LocalHost.:9225", True),
        (b"metrics.example.org:", True),
        (b"Metrics.Example.ORG.:9225", True),
        (b"a.lan", True),
        (b"lan", False),
        (b"evil.example", False),
        (b"evil.example:9225", False),
        (b"localhost.evil.example", False),
        (b"evil-metrics.example.org", False),
        (b"127.0.0.1.evil.example", False),
        (b"127.0.0.1:9225:1", False),
        (b"a@127.0.0.1", False),
        (b"127.1", False),
        (b"", False),
        (b"\xff\xfe", False),
    ],
)
def test_only_names_that_no_other_site_can_have_are_answered(host: bytes, is_own: bool) -> None:
    hosts = ("metrics.example.org", "*.lan")
    assert is_own_name(host, hosts) is is_own
    for path in (b"/", b"/metrics", b"/metrics.json"):
        answer = Harness(hosts=hosts).ask(b"GET %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (path, host))
        assert answer.startswith(b"HTTP/1.1 200 " if is_own else b"HTTP/1.1 421 ")
        assert (b"zeroscale_" in answer or b"version" in answer or b"<h1>" in answer) is is_own
        if not is_own:
            assert b"metrics.hosts" in answer


def test_the_name_on_which_it_listens_is_answered() -> None:
    harness = Harness(listen="tcp:9225:interface=Metrics.lan")
    assert harness.ask(b"GET /metrics HTTP/1.1\r\nHost: metrics.lan:9225\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    refused = harness.ask(b"GET /metrics HTTP/1.1\r\nHost: other.lan:9225\r\n\r\n")
    assert refused.startswith(b"HTTP/1.1 421 Misdirected Request\r\n")


def test_each_of_several_host_headers_counts() -> None:
    request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"
    assert not Harness().ask(request).startswith(b"HTTP/1.1 200 ")


@ensureDeferred
async def test_on_a_unix_socket_any_name_is_answered(tmp_path: Path) -> None:
    from twisted.internet import reactor

    server = MetricsServer(running_reactor(), f"unix:{tmp_path / 'metrics'}", proxy_report)
    await server.start()
    try:
        client = Collect()
        await connectProtocol(clientFromString(reactor, f"unix:{tmp_path / 'metrics'}"), client)
        assert client.transport is not None
        client.transport.write(b"GET /metrics HTTP/1.1\r\nHost: whatever\r\n\r\n")
        assert (await client.ended).startswith(b"HTTP/1.1 200 ")
    finally:
        await server.stop()


@given(st.binary(max_size=40))
def test_no_host_header_is_an_error(header: bytes) -> None:
    is_own_name(header, ("metrics.example.org",))


@pytest.mark.parametrize(
    "header", [b"Content-Length: 99999999999", b"Content-Length: 5", b"Transfer-Encoding: chunked"]
)
def test_a_request_with_a_body_is_refused_before_it_is_read(header: bytes) -> None:
    harness = Harness()
    client = harness.client()
    assert client.send(b"POST /metrics HTTP/1.1\r\n" + header + b"\r\n\r\n").startswith(b"HTTP/1.1 413 ")
    assert client.is_dropped()
    received = client.received
    assert client.send(b"3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n") == received
    client.leave()


def test_the_size_of_a_request_is_limited() -> None:
    harness = Harness()
    client = harness.client()
    for _ in range(MAX_HEADER_BYTES // 100 + 1):
        client.send(b"" if client.is_dropped() else b"X: " + b"x" * 100 + b"\r\n")
    assert client.is_dropped()
    client = harness.client()
    client.send(b"GET /" + b"x" * 100_000)
    assert client.is_dropped()


def test_one_request_per_connection() -> None:
    client = Harness().client()
    answer = client.send(b"GET / HTTP/1.1\r\n\r\n" * 1000)
    assert answer.count(b"HTTP/1.1 200") == 1
    assert client.is_dropped()


def test_a_silent_client_is_aborted_at_the_deadline() -> None:
    harness = Harness()
    client = harness.client()
    client.send(b"GET /metr")
    harness.reactor.advance(DEADLINE / 2)
    client.send(b"ics HTTP/1.1\r\n")
    harness.reactor.advance(DEADLINE / 2 - 0.1)
    assert not client.is_dropped()
    harness.reactor.advance(0.2)
    assert client.is_dropped()
    client.leave()
    assert harness.reactor.getDelayedCalls() == []


def test_the_number_of_connections_is_limited() -> None:
    harness = Harness()
    clients = [harness.client() for _ in range(MAX_CONNECTIONS)]
    assert harness.connect() is None
    clients[0].leave()
    assert harness.connect() is not None
    assert harness.server.connections == MAX_CONNECTIONS


def test_there_are_no_timers_without_connections() -> None:
    harness = Harness()
    assert harness.reactor.getDelayedCalls() == []
    harness.ask(b"GET /metrics HTTP/1.1\r\n\r\n")
    assert harness.reactor.getDelayedCalls() == []


def test_a_report_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def report() -> ProxyReport:
        raise ZeroDivisionError("secret")

    harness = Harness(report)
    for path in (b"/metrics", b"/metrics.json"):
        answer = harness.ask(b"GET %s HTTP/1.1\r\n\r\n" % path)
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert b"secret" not in answer
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.ERROR]


def test_importing_it_installs_no_reactor_and_starts_no_thread() -> None:
    code = (
        "import sys, threading, zeroscale.control.metrics_http\n"
        "print('twisted.internet.reactor' in sys.modules, threading.active_count())"
    )
    with Program(python("-c", code)) as program:
        assert program.wait() == 0, program.output
    assert program.lines == ["False 1"]
