"""Hosts with and without decorations, names, and guesses at other protocols."""

from __future__ import annotations

import pytest

from zeroscale.access_lists import is_player_name
from zeroscale.protocols.minecraft.identity import bounded_name, guess_protocol, routing_host


@pytest.mark.parametrize(
    "host",
    [
        "mc.example.com",
        "MC.Example.COM",
        "mc.example.com.",
        "mc.example.com\x00FML\x00",
        "mc.example.com\x00FML2\x00",
        "mc.example.com.\x00FML3\x00",
        "mc.example.com\x00FORGE10",
        "mc.example.com\x00203.0.113.7\x000123456789abcdef0123456789abcdef",
        'mc.example.com\x00203.0.113.7\x000123456789abcdef0123456789abcdef\x00[{"name":"textures"}]',
        "mc.example.com///203.0.113.7:40000///1700000000",
        "mc.example.com.///203.0.113.7:40000///1700000000\x00FML\x00",
    ],
)
def test_decorations_are_cut_off_for_routing(host: str) -> None:
    assert routing_host(host) == "mc.example.com"


@pytest.mark.parametrize(
    ("host", "expected"), [("", ""), ("...", ""), ("\x00FML\x00", ""), ("::1", "::1"), ("a/b", "a/b")]
)
def test_unusual_hosts(host: str, expected: str) -> None:
    assert routing_host(host) == expected


@pytest.mark.parametrize("name", ["", "Notch", "Миряев", "名" * 16, "\U0001f600" * 8, "\x00\n\x1b[31m"])
def test_a_name_is_kept_unchanged(name: str) -> None:
    assert bounded_name(name) == name


@pytest.mark.parametrize("name", ["a" * 17, "a" * 2000, "\U0001f600" * 9, "\U0001f600" * 2000, "a" * 15 + "\U0001f600"])
def test_a_name_that_is_too_long_is_cut_and_still_too_long(name: str) -> None:
    cut = bounded_name(name)
    assert name.startswith(cut)
    assert len(cut) <= 17
    assert not is_player_name(cut)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\x16\x03\x01\x02\x00\x01", "TLS"),
        (b"GET / HTTP/1.1\r\n", "HTTP"),
        (b"CONNECT a:1 HTTP/1.1\r\n", "HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
        (b"\x03\x00\x00\x13\x0e\xe0", "RDP"),
        (b"PROXY TCP4 1.2.3.4 ", "a PROXY protocol header"),
        (b"\r\n\r\n\x00\r\nQUIT\n\x21\x11", "a PROXY protocol header"),
        (b"\x10\x00\x2f\x09127.0.0.1", None),
        (b"", None),
    ],
)
def test_other_protocols_are_guessed_by_their_first_bytes(data: bytes, name: str | None) -> None:
    assert guess_protocol(data) == name
