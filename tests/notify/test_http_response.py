"""The head of an HTTP response, and when a server wants to be asked again."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.errors import ProtocolError
from zeroscale.notify.http_response import (
    LARGEST_HEAD,
    LONGEST_RETRY_AFTER,
    ResponseHead,
    parse_head,
    retry_after,
)

ANSWERS = [
    (b"HTTP/1.1 204 No Content\r\n\r\n", ResponseHead(204, {})),
    (b"HTTP/1.0 200\nA: b\n\n", ResponseHead(200, {"a": "b"})),
    (b"HTTP/1.1 429 \r\nRetry-After:  1.5 \r\nA:b:c\r\n\r\n", ResponseHead(429, {"retry-after": "1.5", "a": "b:c"})),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 500 x\r\n\r\n", ResponseHead(500, {})),
]


@pytest.mark.parametrize(("data", "head"), ANSWERS)
@pytest.mark.parametrize("trailing", [b"", b"body", b"HTTP/1.1 500 x\r\n\r\n"])
def test_whole_and_with_what_follows(data: bytes, head: ResponseHead, trailing: bytes) -> None:
    assert parse_head(data + trailing) == head


@pytest.mark.parametrize(("data", "head"), ANSWERS)
def test_byte_by_byte(data: bytes, head: ResponseHead) -> None:
    assert [parse_head(data[:size]) for size in range(len(data))] == [None] * len(data)


@pytest.mark.parametrize(
    "data",
    [b"SSH-2.0-x\r\n", b"\x16\x03\x01", b"HTTP/2 200\r\n\r\n", b"HTTP/1.1 abc x\r\n\r\n", b"HTTP/1.1 999\r\n\r\n"],
)
def test_what_is_not_http(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_head(data)


@pytest.mark.parametrize("endless", [b"A: b\r\n", b"a", b"\r\n\r\nHTTP/1.1 100 x\r\n"])
def test_a_head_without_end(endless: bytes) -> None:
    data = b"HTTP/1.1 100 x\r\n"
    assert parse_head(data) is None
    with pytest.raises(ProtocolError):
        parse_head(data + endless * LARGEST_HEAD)


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    for start in (b"", b"HTTP/1.1 200\r\n"):
        with contextlib.suppress(ProtocolError):
            parse_head(start + data)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("", None),
        ("0", 0.0),
        ("2.5", 2.5),
        ("99999999", LONGEST_RETRY_AFTER),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 9.0),
        ("Fri, 31 Dec 1999 23:59:40 GMT", 0.0),
        ("Fri, 31 Dec 2099 23:59:40 GMT", LONGEST_RETRY_AFTER),
        ("-1", None),
        ("soon", None),
        ("nan", None),
    ],
)
def test_when_the_server_wants_the_next_attempt(given: str, seconds: float | None) -> None:
    assert retry_after(ResponseHead(429, {"retry-after": given}), 946684790.0) == seconds


@given(st.text())
def test_any_text_for_a_time(text: str) -> None:
    seconds = retry_after(ResponseHead(429, {"retry-after": text}), 0.0)
    assert seconds is None or 0 <= seconds <= LONGEST_RETRY_AFTER
