"""A request's head, the 503 reply, and the request and the status of a probe."""

from __future__ import annotations

import http.client
import io
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.errors import ProtocolError
from zeroscale.protocols.http import (
    LONGEST_HEAD,
    LONGEST_LINE,
    LONGEST_STATUS_LINE,
    HttpRequest,
    get_request,
    parse_head,
    parse_status,
    service_unavailable,
)

CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
BROWSER = HttpRequest("GET", 1, accepts_html=True)
SCRIPT = HttpRequest("POST", 1, accepts_html=False)


def head(line: str = "GET / HTTP/1.1", *fields: str, line_break: str = "\r\n") -> bytes:
    return line_break.join([line, "Host: example.org", *fields, "", ""]).encode("latin-1")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (head("GET / HTTP/1.1", f"Accept: {CHROME}"), BROWSER),
        (head("GET / HTTP/1.0", "ACCEPT:application/json", "accept: Text/HTML ; q=1"), BROWSER),
        (head("GET /a?b=%20 HTTP/1.1", "Accept: */*"), HttpRequest("GET", 1, accepts_html=False)),
        (head("GET / HTTP/1.1", "X-Accept: text/html"), HttpRequest("GET", 1, accepts_html=False)),
        (head("GET / HTTP/1.1", "Accept: text/html-sandboxed"), HttpRequest("GET", 1, accepts_html=False)),
        (head("HEAD http://example.org/ HTTP/1.1"), HttpRequest("HEAD", 1, accepts_html=False)),
        (b"\r\n" + head("POST /form HTTP/1.1", line_break="\n"), SCRIPT),
        (head("M-SEARCH * HTTP/1.1", "X: a", "  folded"), HttpRequest("M-SEARCH", 1, accepts_html=False)),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HttpRequest("PRI", 2, accepts_html=False)),
        (b"GET / HTTP/1.0\r\n\r\n", HttpRequest("GET", 1, accepts_html=False)),
    ],
)
def test_a_request(data: bytes, expected: HttpRequest) -> None:
    assert parse_head(data) == expected
    whole = [length for length in range(len(data)) if parse_head(data[:length])]
    assert len(whole) <= 6, "only the second half of HTTP/2's preface is not needed"
    assert parse_head(bytearray(data + b"\0\xff\n\n")) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"*1\r\n",
        b" GET / HTTP/1.1\r\n",
        b"\r\n\r\nGET / HTTP/1.1\r\n",
        b"GET /\r\n",
        b"GET / HTTP/1.1 \r\n",
        b"GET / a HTTP/1.1\r\n",
        b"GET \x07",
        b"G" * 33,
        head("GET / HTTP/1.1", "no field"),
        b"GET /" + b"a" * LONGEST_LINE,
        b"GET /" + b"a" * LONGEST_LINE + b" HTTP/1.1\r\n",
        head("GET / HTTP/1.1", *(["A: " + "b" * 97] * (LONGEST_HEAD // 100))),
    ],
)
def test_data_that_is_no_request(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_head(data)


@given(st.binary(max_size=200) | st.builds(lambda tail: b"GET / HTTP/1.1\r\n" + tail, st.binary(max_size=200)))
def test_any_bytes_are_parsed_or_raise_protocol_error(data: bytes) -> None:
    try:
        assert parse_head(data) is None or b"HTTP/" in data
    except ProtocolError as error:
        assert "\n" not in str(error)


class _Socket:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def answer(
    request: HttpRequest, text: str = "Waking up\nin <5 s>\nor so", seconds: float = 20
) -> http.client.HTTPResponse:
    received: Any = _Socket(service_unavailable(request, text, seconds))
    response = http.client.HTTPResponse(received, method=request.method)
    response.begin()
    return response


def test_a_browser_gets_a_page_that_reloads_itself() -> None:
    response = answer(BROWSER)
    page = response.read().decode()
    assert response.status == 503
    assert response.getheader("Content-Type") == "text/html; charset=utf-8"
    assert response.getheader("Retry-After") == "20"
    assert response.getheader("Cache-Control") == "no-store"
    assert response.will_close
    assert re.search('http-equiv="refresh" content="5"', page)
    assert "<title>Waking up</title>" in page
    assert "in &lt;5 s&gt;<br>or so" in page


@pytest.mark.parametrize(("seconds", "retry_after"), [(0.2, "1"), (3.4, "3"), (500, "500")])
def test_other_clients_get_text_and_retry_after(seconds: float, retry_after: str) -> None:
    response = answer(SCRIPT, seconds=seconds)
    assert (response.status, response.getheader("Retry-After")) == (503, retry_after)
    assert response.read() == b"Waking up\nin <5 s>\nor so\n"


def test_a_head_is_answered_without_a_body() -> None:
    data = service_unavailable(HttpRequest("HEAD", 1, accepts_html=True), "Waking up", 1)
    assert data.endswith(b"\r\n\r\n") and data.count(b"\r\n\r\n") == 1
    assert answer(HttpRequest("HEAD", 1, accepts_html=True)).read() == b""


def test_a_probes_request() -> None:
    asked = get_request("::1", 8080, "/health")
    assert parse_head(asked) == HttpRequest("GET", 1, accepts_html=False)
    assert b"\r\nHost: [::1]:8080\r\n" in asked


@pytest.mark.parametrize("line", [b"HTTP/1.1 204 No Content\r\n", b"HTTP/1.0 204\r\n", b"HTTP/1.1 204 \r\n"])
def test_a_status(line: bytes) -> None:
    assert [parse_status(line[:length]) for length in range(len(line))] == [None] * len(line)
    assert parse_status(line + b"more") == 204


@pytest.mark.parametrize(
    "data",
    [b"SSH-2.0-x\r\n", b"\n", b"HTTP/1.1 999 x\r\n", b"HTTP/1.1 2000\r\n", b"HTTP/1" + b"1" * LONGEST_STATUS_LINE],
)
def test_data_that_is_no_status(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_status(data)
