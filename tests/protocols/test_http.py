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
BROWSER = HttpRequest("GET", 1, accepts_html=True, navigates=True)
SCRIPT = HttpRequest("POST", 1, accepts_html=False, navigates=False)


def head(line: str = "GET / HTTP/1.1", *fields: str, line_break: str = "\r\n") -> bytes:
    return line_break.join([line, "Host: example.org", *fields, "", ""]).encode("latin-1")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (head("GET / HTTP/1.1", f"Accept: {CHROME}"), BROWSER),
        (head("GET / HTTP/1.0", "ACCEPT:application/json", "accept: Text/HTML ; q=1"), BROWSER),
        (head("GET / HTTP/1.1", "Accept:, text/html;q=0.9,", "accept: */*;q=0.8"), BROWSER),
        (head("GET /a?b=%20 HTTP/1.1", "Accept: */*"), HttpRequest("GET", 1, accepts_html=False, navigates=False)),
        (
            head("GET / HTTP/1.1", "Accept: text/html; q=0.0"),
            HttpRequest("GET", 1, accepts_html=False, navigates=False),
        ),
        (head("GET / HTTP/1.1", "X-Accept: text/html"), HttpRequest("GET", 1, accepts_html=False, navigates=False)),
        (
            head("GET / HTTP/1.1", "Accept: text/html-sandboxed"),
            HttpRequest("GET", 1, accepts_html=False, navigates=False),
        ),
        (head("HEAD http://example.org/ HTTP/1.1"), HttpRequest("HEAD", 1, accepts_html=False, navigates=False)),
        (b"\r\n" + head("POST /form HTTP/1.1", line_break="\n"), SCRIPT),
        (
            head("M-SEARCH * HTTP/1.1", "X: a", "  folded"),
            HttpRequest("M-SEARCH", 1, accepts_html=False, navigates=False),
        ),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HttpRequest("PRI", 2, accepts_html=False, navigates=False)),
        (b"GET / HTTP/1.0\r\n\r\n", HttpRequest("GET", 1, accepts_html=False, navigates=False)),
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


NAVIGATIONS = {
    "Firefox, from an address without TLS": [
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "Upgrade-Insecure-Requests: 1",
    ],
    "Chromium": [f"Accept: {CHROME}", "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"],
    "Chromium, in a frame": [f"Accept: {CHROME}", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"],
    "Android's WebView": [f"Accept: {CHROME}", "X-Requested-With: org.example.app"],
    "lynx": ["Accept: text/html, text/plain, text/sgml, text/css, application/xhtml+xml, */*;q=0.01"],
}


@pytest.mark.parametrize("fields", NAVIGATIONS.values(), ids=NAVIGATIONS)
def test_browsers_that_open_a_page(fields: list[str]) -> None:
    assert parse_head(head("GET /wiki?page=1 HTTP/1.1", *fields)) == BROWSER


NO_NAVIGATIONS = {
    "curl, and most programs": ("GET", ["Accept: */*"]),
    "no Accept at all": ("GET", []),
    "axios": ("GET", ["Accept: application/json, text/plain, */*"]),
    "an image of a page": ("GET", ["Accept: image/avif,image/webp,*/*;q=0.8", "Sec-Fetch-Mode: no-cors"]),
    "never HTML": ("GET", ["Accept: text/html;q=0, */*"]),
    "never HTML, with three digits": ("GET", ["Accept: application/json, text/html;level=1;q=0.000"]),
    "rather something else than HTML": (
        "GET",
        ['Accept: application/activity+json, application/ld+json; profile="https://a.b/c", text/html;q=0.1'],
    ),
    "fetch() of HTML, on a page with TLS": ("GET", ["Accept: text/html", "Sec-Fetch-Mode: cors"]),
    "jQuery's load()": ("GET", ["Accept: text/html, */*; q=0.01", "X-Requested-With: XMLHttpRequest"]),
    "a WebSocket": ("GET", [f"Accept: {CHROME}", "Connection: Upgrade", "Upgrade: websocket"]),
    "a link checker": ("HEAD", [f"Accept: {CHROME}"]),
    "a form": ("POST", [f"Accept: {CHROME}", "Sec-Fetch-Mode: navigate"]),
}


@pytest.mark.parametrize(("method", "fields"), NO_NAVIGATIONS.values(), ids=NO_NAVIGATIONS)
def test_requests_whose_reply_is_not_shown_as_a_page(method: str, fields: list[str]) -> None:
    request = parse_head(head(f"{method} / HTTP/1.1", *fields))
    assert request is not None and not request.navigates


@given(st.lists(st.sampled_from(["text/html", "*/*", "a/b", ";q=0", ";q=1", ";q=0.5", "q=", ",", " ", '"', "\xff"])))
def test_any_list_of_accepted_media_is_understood(parts: list[str]) -> None:
    request = parse_head(head("GET / HTTP/1.1", "Accept: " + "".join(parts)))
    assert request is not None
    assert request.accepts_html or not request.navigates
    assert "text/html" in "".join(parts) or not request.accepts_html


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
    received: Any = _Socket(service_unavailable(request, text, seconds, "It reloads <itself>."))
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
    assert "<p>in &lt;5 s&gt;<br>or so</p>\n<p>It reloads &lt;itself&gt;.</p>" in page
    assert "<p></p>" not in answer(BROWSER, "Waking up").read().decode()


@pytest.mark.parametrize(("seconds", "retry_after"), [(0.2, "1"), (3.4, "3"), (500, "500")])
def test_other_clients_get_text_that_does_not_reload_itself_and_retry_after(seconds: float, retry_after: str) -> None:
    response = answer(SCRIPT, seconds=seconds)
    assert (response.status, response.getheader("Retry-After")) == (503, retry_after)
    assert response.read() == b"Waking up\nin <5 s>\nor so\n"


def test_a_head_is_answered_without_a_body() -> None:
    data = service_unavailable(HttpRequest("HEAD", 1, accepts_html=True, navigates=False), "Waking up", 1)
    assert data.endswith(b"\r\n\r\n") and data.count(b"\r\n\r\n") == 1
    assert answer(HttpRequest("HEAD", 1, accepts_html=True, navigates=False)).read() == b""


def test_a_probes_request() -> None:
    asked = get_request("::1", 8080, "/health")
    assert parse_head(asked) == HttpRequest("GET", 1, accepts_html=False, navigates=False)
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
