"""The host of a request: by its field, by its target, missing, doubled, malformed."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.errors import ProtocolError
from zeroscale.protocols.http import read_head
from zeroscale.protocols.http_host import requested_host


def host(line: str, *fields: str) -> str | None:
    head = read_head("\r\n".join([line, *fields, "", ""]).encode("latin-1"))
    assert head is not None
    return requested_host(head)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("example.org", "example.org"),
        ("Example.ORG:8080", "example.org"),
        ("example.org.", "example.org"),
        ("example.org.:80", "example.org"),
        ("example.org:", "example.org"),
        ("  example.org\t", "example.org"),
        ("a_b.example.org", "a_b.example.org"),
        ("localhost:5000", "localhost"),
        ("192.0.2.1:80", "192.0.2.1"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("[2001:db8:0:0:0:0:0:1]:443", "2001:db8::1"),
        ("", ""),
    ],
)
def test_the_field(field: str, expected: str) -> None:
    assert host("GET / HTTP/1.1", f"Host:{field}") == expected
    assert host("GET / HTTP/1.0", "Accept: */*", f"HOST: {field}", "X: y") == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("GET http://a.example.org/x HTTP/1.1", "a.example.org"),
        ("GET HTTP://A.example.org.:80 HTTP/1.1", "a.example.org"),
        ("GET http://a.example.org?x=http://c.example.org/ HTTP/1.1", "a.example.org"),
        ("OPTIONS https://[::1]:8443 HTTP/1.1", "::1"),
        ("CONNECT a.example.org:443 HTTP/1.1", "a.example.org"),
        ("GET /http://a.example.org/ HTTP/1.1", "b.example.org"),
        ("OPTIONS * HTTP/1.1", "b.example.org"),
        ("GET /?u=http://a.example.org/ HTTP/1.1", "b.example.org"),
    ],
)
def test_an_absolute_target_comes_before_the_field(line: str, expected: str) -> None:
    assert host(line, "Host: b.example.org") == expected


def test_a_request_without_a_host() -> None:
    assert host("GET / HTTP/1.0", "Accept: */*") == ""
    assert host("GET / HTTP/1.1", "Accept: */*") is None
    assert host("GET / HTTP/1.1", "X-Host: a.example.org") is None
    assert host("GET http://a.example.org/ HTTP/1.1") == "a.example.org"


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("GET / HTTP/1.1", ["Host: a", "Host: b"]),
        ("GET / HTTP/1.1", ["Host: a", "Accept: */*", "host: a"]),
        ("GET / HTTP/1.1", ["Host:", "Host:"]),
        ("GET / HTTP/1.1", ["Host: a", "Host:"]),
        ("GET / HTTP/1.1", ["Host: a, b"]),
        ("GET / HTTP/1.1", ["Host: a,b"]),
        ("GET / HTTP/1.1", ["Host: a b"]),
        ("GET / HTTP/1.1", ["Host: a", " b"]),
        ("GET / HTTP/1.1", ["Host : a"]),
        ("GET / HTTP/1.1", ["Host: a", "Host : b"]),
        ("GET / HTTP/1.1", ["Host: user@a"]),
        ("GET / HTTP/1.1", ["Host: http://a"]),
        ("GET / HTTP/1.1", ["Host: a/b"]),
        ("GET / HTTP/1.1", ["Host: a:80:81"]),
        ("GET / HTTP/1.1", ["Host: a:x"]),
        ("GET / HTTP/1.1", ["Host: :80"]),
        ("GET / HTTP/1.1", ["Host: ."]),
        ("GET / HTTP/1.1", ["Host: ::1"]),
        ("GET / HTTP/1.1", ["Host: [::1"]),
        ("GET / HTTP/1.1", ["Host: [::1::]"]),
        ("GET / HTTP/1.1", ["Host: [1.2.3.4]"]),
        ("GET / HTTP/1.1", ["Host: [a]"]),
        ("GET / HTTP/1.1", ["Host: [fe80::1%25eth0]"]),
        ("GET / HTTP/1.1", ["Host: a%2eb"]),
        ("GET / HTTP/1.1", ["Host: a\0"]),
        ("GET / HTTP/1.1", ["Host: a\x0b"]),
        ("GET / HTTP/1.1", ["Host: a\rX: y"]),
        ("GET / HTTP/1.1", ["Host: b\xfccher.example"]),
        ("GET / HTTP/1.1", ["Host: " + "a" * 300]),
        ("GET http://user@a/ HTTP/1.1", ["Host: a"]),
        ("GET http:///x HTTP/1.1", ["Host: a"]),
        ("GET http://a,b/ HTTP/1.1", ["Host: a"]),
        ("GET http://a/ HTTP/1.1", ["Host: a b"]),
        ("CONNECT * HTTP/1.1", ["Host: a"]),
    ],
)
def test_what_is_refused(line: str, fields: list[str]) -> None:
    with pytest.raises(ProtocolError, match="Host field"):
        host(line, *fields)


TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters=" "), min_size=1)


@given(TEXT, st.text(st.characters(max_codepoint=0xFF, exclude_characters="\n")))
def test_any_request_has_a_plain_host_or_is_refused(target: str, field: str) -> None:
    with contextlib.suppress(ProtocolError):
        found = host(f"GET {target} HTTP/1.1", f"Host: {field}")
        assert found is None or re.fullmatch(r"[0-9a-z_.:-]*", found)
