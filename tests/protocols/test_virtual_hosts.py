"""Which host a client wants of several on one port, what its server's conversation gets, and what others are sent."""

from __future__ import annotations

from typing import Any

import pytest
from client_hellos import client_hello
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.errors import ProtocolError
from zeroscale.protocols import sniffing
from zeroscale.protocols.conversation import (
    BadRequest,
    ClientRecognised,
    Connected,
    Conversation,
    HealthCheckRequested,
    HostNamed,
)
from zeroscale.protocols.tcp import CAPACITY, HttpConversation, TcpConversation
from zeroscale.protocols.virtual_hosts import HttpHostConversation, TlsHostConversation


class Servers:
    """Servers by their hosts; "" is that of all other hosts.

    :ivar chosen: the hosts whose conversation was made.
    """

    def __init__(self, *hosts: str, **options: Any) -> None:
        self._hosts = hosts
        self._options = options
        self.chosen: list[str] = []

    def web(self, host: str) -> Conversation | None:
        return self._choose(host, HttpConversation(retry_after=lambda: 7.0, **self._options))

    def tls(self, host: str) -> Conversation | None:
        return self._choose(host, TcpConversation(sniffer=sniffing.tls))

    def _choose(self, host: str, made: Conversation) -> Conversation | None:
        if host not in self._hosts and "" not in self._hosts:
            return None
        self.chosen.append(host)
        return made


REQUEST = b"GET /x HTTP/1.1\r\nHost: A.example.org:8080\r\nAccept: text/html\r\n\r\n"
HELLO = client_hello("a.example.org")
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.mark.parametrize("size", [1, 7, 100000])
def test_the_server_of_the_host_gets_all_bytes(feed: Any, size: int) -> None:
    servers = Servers("a.example.org", page="browsers")
    web = HttpHostConversation(servers.web)
    assert list(web.opened()) == []
    assert feed(web, REQUEST[:-1], size) == []
    assert feed(web, b"\nmore", size) == [
        HostNamed("a.example.org"),
        Connected(),
        ClientRecognised(0.0, "page"),
    ]
    assert feed(web, b"GET / HTTP/1.1\r\nHost: b.example.org\r\n\r\n", size) == [], "only the first request is read"
    assert web.replay_bytes.startswith(REQUEST + b"more")
    assert servers.chosen == ["a.example.org"]
    assert web.kick("Waking up").startswith(b"HTTP/1.1 503 ")
    tls = TlsHostConversation(servers.tls)
    assert list(tls.opened()) == []
    assert feed(tls, HELLO[:-1], size) == []
    assert feed(tls, HELLO[-1:] + b"\x14\x03", size) == [HostNamed("a.example.org"), Connected(), ClientRecognised()]
    assert tls.replay_bytes == HELLO + b"\x14\x03"
    assert tls.kick("Waking up") == b""


def test_one_read_more_than_the_hello_fills_the_servers_conversation() -> None:
    tls = TlsHostConversation(Servers("").tls)
    full = []
    for data in (HELLO[:9], HELLO[9:], bytes(CAPACITY)):
        tls.receive(data)
        full.append(tls.full)
    assert full == [False, False, True]
    assert tls.replay_bytes == HELLO + bytes(CAPACITY)


def test_an_unknown_host_gets_a_page_or_a_text() -> None:
    servers = Servers("a.example.org")
    web = HttpHostConversation(servers.web)
    assert web.kick("Not here") == b""
    unknown = REQUEST.replace(b"A.example.org", b"c.example.org")
    assert list(web.receive(unknown)) == [HostNamed("c.example.org")]
    head, _, page = web.kick({"text": "Not <here>", "extra": ["\nSorry."]}).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 421 Misdirected Request\r\n") and b"Connection: close" in head
    assert b"<h1>Not &lt;here&gt;</h1>\n<p>Sorry.</p>" in page and b"refresh" not in page
    script = HttpHostConversation(servers.web)
    script.receive(unknown.replace(b"text/html", b"*/*"))
    assert script.kick("Not here\nSorry.").endswith(b"\r\n\r\nNot here\nSorry.\n")
    assert servers.chosen == []


@pytest.mark.parametrize("name", ["c.example.org", None])
def test_an_unknown_server_name_gets_an_alert(name: str | None) -> None:
    tls = TlsHostConversation(Servers("a.example.org").tls)
    assert tls.kick("Not here") == b""
    assert list(tls.receive(client_hello(name))) == [HostNamed(name or "")]
    assert tls.kick("Not here") == b"\x15\x03\x03\x00\x02\x02\x70"


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", "HostNamed"),
        (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", "HostNamed"),
        (b"GET / HTTP/1.1\r\n\r\n", "no Host field"),
        (b"GET / HTTP/1.1\r\nHost: a.example.org\r\nHost: a.example.org\r\n\r\n", "more than one"),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "no valid host"),
        (PREFACE, "HostNamed"),
    ],
)
def test_requests_without_one_host(request_bytes: bytes, expected: str) -> None:
    """They are for the server without hosts, if there is one and they are valid."""
    alone, shared = Servers("a.example.org"), Servers("a.example.org", "")
    for servers in (alone, shared):
        web = HttpHostConversation(servers.web)
        first, *more = web.receive(request_bytes)
        if "valid" in expected or "than" in expected or (servers is alone and expected != "HostNamed"):
            assert isinstance(first, BadRequest) and expected in first.problem
            assert first.reply.startswith(b"HTTP/1.1 400 Bad Request\r\n")
            assert servers.chosen == []
        else:
            assert first == HostNamed("") and bool(more) == (servers is shared)
            assert web.replay_bytes == request_bytes
    assert alone.chosen == []


def test_http2_without_tls_cannot_be_refused_in_words() -> None:
    web = HttpHostConversation(Servers("a.example.org").web)
    web.receive(PREFACE)
    assert web.kick("Not here") == b""


CHECK = b"GET /healthz HTTP/1.1\r\n"


@pytest.mark.parametrize("fields", [b"Host: 10.0.0.7:80\r\n", b"Host:\r\n", b"Host: a b\r\n", b""])
def test_health_checks_need_no_host(fields: bytes) -> None:
    servers = Servers("a.example.org")
    web = HttpHostConversation(servers.web, ["/ready", "/healthz"])
    [event] = web.receive(CHECK + fields + b"\r\n")
    assert isinstance(event, HealthCheckRequested) and event.reply.startswith(b"HTTP/1.1 200 OK")
    assert servers.chosen == []


def test_the_health_path_of_another_server_is_an_ordinary_path() -> None:
    servers = Servers("a.example.org")
    web = HttpHostConversation(servers.web, ["/healthz"])
    first, *_ = web.receive(CHECK + b"Host: a.example.org\r\n\r\n")
    assert first == HostNamed("a.example.org") and servers.chosen == ["a.example.org"]
    own = Servers("a.example.org", health_path="/healthz")
    events = HttpHostConversation(own.web).receive(CHECK + b"Host: a.example.org\r\n\r\n")
    assert [type(each) for each in events] == [HostNamed, Connected, HealthCheckRequested]


@pytest.mark.parametrize("data", [HELLO, b"\0", b"SSH-2.0-x\r\n", b"GET /\r\n"])
def test_what_is_no_request_is_refused(data: bytes) -> None:
    servers = Servers("a.example.org", "")
    with pytest.raises(ProtocolError, match="not HTTP"):
        HttpHostConversation(servers.web).receive(data)
    assert servers.chosen == []


@pytest.mark.parametrize("data", [REQUEST, b"\0", b"\x16\x02", HELLO[:5] + b"\x02"])
def test_what_is_no_client_hello_is_refused(data: bytes) -> None:
    servers = Servers("a.example.org", "")
    with pytest.raises(ProtocolError, match="not TLS"):
        TlsHostConversation(servers.tls).receive(data)
    assert servers.chosen == []


@given(
    st.sampled_from([b"", REQUEST[:40], HELLO[:60]]), st.binary(max_size=500), st.lists(st.integers(0, 500), max_size=5)
)
def test_any_bytes_are_stored_refused_or_named(beginning: bytes, data: bytes, cuts: list[int]) -> None:
    servers = Servers("a.example.org", "")
    for conversation in (HttpHostConversation(servers.web), TlsHostConversation(servers.tls)):
        sent = beginning + data
        at = sorted(cut for cut in cuts if cut < len(sent))
        try:
            for begin, end in zip([0, *at], [*at, len(sent)], strict=True):
                conversation.receive(sent[begin:end])
        except ProtocolError:
            continue
        assert conversation.replay_bytes == sent
