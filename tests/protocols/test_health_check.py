"""Which requests are health checks, as soon as that can be known, and what they are answered with."""

from __future__ import annotations

import http.client
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.errors import ProtocolError
from zeroscale.protocols.health_check import METHODS, reply_to
from zeroscale.protocols.http import LONGEST_LINE, parse_head

PATH = "/healthz"

CHECKS = {
    "kubelet": b"GET /healthz HTTP/1.1\r\nHost: 10.0.0.1:80\r\nUser-Agent: kube-probe/1.31\r\nAccept: */*\r\n\r\n",
    "HAProxy, its default method": b"OPTIONS /healthz HTTP/1.0\r\n\r\n",
    "HEAD": b"HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    "a query": b"GET /healthz?now=1&x HTTP/1.1\r\n\r\n",
    "an empty query": b"GET /healthz? HTTP/1.1\r\n\r\n",
    "absolute": b"GET http://example.org/healthz HTTP/1.1\r\n\r\n",
    "absolute, and a query": b"GET HTTPS://user@[::1]:8080/healthz?x HTTP/1.1\r\n\r\n",
    "bare line feeds": b"GET /healthz HTTP/1.1\nHost: a\n\n",
    "an empty line before": b"\r\nGET /healthz HTTP/1.1\r\n\r\n",
    "an upgrade": b"GET /healthz HTTP/1.1\r\nUpgrade: h2c\r\n\r\n",
}

OTHERS = {
    "another path": b"GET /health HTTP/1.1\r\n\r\n",
    "a longer path": b"GET /healthz/ HTTP/1.1\r\n\r\n",
    "percent-encoded": b"GET /%68ealthz HTTP/1.1\r\n\r\n",
    "an encoded query": b"GET /healthz%3f HTTP/1.1\r\n\r\n",
    "a parameter": b"GET /healthz;x HTTP/1.1\r\n\r\n",
    "a fragment": b"GET /healthz#x HTTP/1.1\r\n\r\n",
    "dot segments": b"GET /a/../healthz HTTP/1.1\r\n\r\n",
    "a dot segment": b"GET /./healthz HTTP/1.1\r\n\r\n",
    "an empty segment": b"GET //healthz HTTP/1.1\r\n\r\n",
    "capitals": b"GET /Healthz HTTP/1.1\r\n\r\n",
    "without a slash": b"GET healthz HTTP/1.1\r\n\r\n",
    "the whole server": b"OPTIONS * HTTP/1.1\r\n\r\n",
    "a host alone": b"GET http://healthz HTTP/1.1\r\n\r\n",
    "another scheme": b"GET ftp://a/healthz HTTP/1.1\r\n\r\n",
    "POST": b"POST /healthz HTTP/1.1\r\n\r\n",
    "a method in small letters": b"get /healthz HTTP/1.1\r\n\r\n",
    "HTTP/2 with prior knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a later version": b"GET /healthz HTTP/2.0\r\n\r\n",
    "HTTP/0.9": b"GET /healthz\r\n",
    "two blanks": b"GET  /healthz HTTP/1.1\r\n\r\n",
    "a blank at the end": b"GET /healthz HTTP/1.1 \r\n\r\n",
    "two empty lines before": b"\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "a long line": b"GET /healthz?" + b"x" * LONGEST_LINE + b" HTTP/1.1\r\n\r\n",
}


class _Socket:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


@pytest.mark.parametrize("data", CHECKS.values(), ids=CHECKS)
def test_a_check_is_answered_at_the_end_of_its_first_line(data: bytes) -> None:
    end = data.index(b"H", data.index(b" HTTP/") + 1) + len("HTTP/1.1") + 1 + (b"\r" in data)
    assert {reply_to(data[:length], PATH) for length in range(end)} == {None}
    [reply] = {reply_to(bytearray(data[:length]), PATH) for length in range(end, len(data) + 1)}
    assert reply is not None
    assert reply_to(data + b"GET / HTTP/1.1\r\n\r\n\0", PATH) == reply
    method = data.strip().partition(b" ")[0].decode()
    received: Any = _Socket(reply)
    response = http.client.HTTPResponse(received, method=method)
    response.begin()
    assert (response.status, response.getheader("Connection"), response.will_close) == (200, "close", True)
    assert response.getheader("Cache-Control") == "no-store"
    assert response.getheader("Content-Length") == "3"
    assert response.read() == (b"" if method == "HEAD" else b"ok\n")
    assert reply.endswith(b"\r\n\r\n") is (method == "HEAD")


@pytest.mark.parametrize("data", OTHERS.values(), ids=OTHERS)
def test_what_is_no_check_is_never_taken_for_one(data: bytes) -> None:
    answers = [reply_to(data[:length], PATH) for length in range(len(data) + 1)]
    assert set(answers) <= {None, b""}
    assert answers[-1] == b""
    first = answers.index(b"")
    assert set(answers[first:]) == {b""}, "what is decided stays"
    assert reply_to(data + b"\r\nGET /healthz HTTP/1.1\r\n\r\n", PATH) == b""


@pytest.mark.parametrize(
    ("data", "decided_at"),
    [
        (OTHERS["TLS"], 1),
        (OTHERS["SSH"], 1),
        (OTHERS["POST"], 1),
        (OTHERS["HTTP/2 with prior knowledge"], 1),
        (OTHERS["percent-encoded"], len("GET /%")),
        (OTHERS["a host alone"], len("GET http://healthz ")),
        (OTHERS["a later version"], len("GET /healthz HTTP/2")),
    ],
)
def test_it_is_decided_with_the_first_byte_that_no_check_has(data: bytes, decided_at: int) -> None:
    assert reply_to(data[: decided_at - 1], PATH) is None
    assert reply_to(data[:decided_at], PATH) == b""


@pytest.mark.parametrize("target", [b"/", b"/?x", b"http://a", b"http://a/", b"http://a?x"])
def test_the_root_may_be_the_path_of_checks(target: bytes) -> None:
    assert reply_to(b"GET " + target + b" HTTP/1.1\r\n", "/")
    assert reply_to(b"GET " + target + b" HTT", "/") is None


TARGETS = st.lists(
    st.sampled_from([b"/healthz", b"/", b"http://", b"HTTPS://", b"a", b"?", b"%", b"#", b".."]), max_size=4
).map(b"".join)
LINES = st.builds(
    lambda before, method, blank, target, version, end: before + method + blank + target + b" " + version + end,
    st.sampled_from([b"", b"\r\n", b"\n", b"\r"]),
    st.sampled_from([*METHODS, b"POST", b"PRI", b""]),
    st.sampled_from([b" ", b"  ", b"\t"]),
    TARGETS,
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.", b""]),
    st.sampled_from([b"\r\n", b"\n", b"", b"\r"]),
)


@given(st.binary(max_size=100) | LINES, st.sampled_from([PATH, "/", "/a"]))
def test_however_it_is_cut_the_answer_is_the_same(data: bytes, path: str) -> None:
    answers = [reply_to(data[:length], path) for length in range(len(data) + 1)]
    decided = [answer for answer in answers if answer is not None]
    assert len(set(decided)) <= 1
    assert answers == [None] * (len(answers) - len(decided)) + decided
    if decided and decided[0]:
        try:
            request = parse_head(data + b"\r\n\r\n")
        except ProtocolError:
            pytest.fail("it is no request")
        assert request is not None and request.major == 1
