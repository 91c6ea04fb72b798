"""Which server a host means: exact, below a domain, by default; and which hosts are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.errors import ConfigError
from zeroscale.frontend.routing import Router, normalised

NAMED = [
    ("survival.example.org", "survival"),
    ("*.mc.example.org", "many"),
    ("*.deep.mc.example.org", "deep"),
    ("exact.mc.example.org", "exact"),
    ("2001:db8::1", "by address"),
]


@pytest.mark.parametrize(
    ("host", "meant"),
    [
        ("survival.example.org", "survival"),
        ("x.survival.example.org", "default"),
        ("a.mc.example.org", "many"),
        ("a.b.mc.example.org", "many"),
        ("a.deep.mc.example.org", "deep"),
        ("deep.mc.example.org", "many"),
        ("exact.mc.example.org", "exact"),
        ("mc.example.org", "default"),
        ("2001:db8::1", "by address"),
        ("example.org", "default"),
        ("", "default"),
        ("203.0.113.7", "default"),
    ],
)
def test_exact_before_the_longest_domain_before_the_default(host: str, meant: str) -> None:
    assert Router(NAMED, "default").route(host) == meant
    assert Router(NAMED, None).route(host) == (None if meant == "default" else meant)


@pytest.mark.parametrize(
    ("written", "compared"),
    [
        ("Survival.Example.ORG", "survival.example.org"),
        ("survival.example.org.", "survival.example.org"),
        (" survival.example.org ", "survival.example.org"),
        ("*.Example.org", "*.example.org"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("203.0.113.7", "203.0.113.7"),
        ("localhost", "localhost"),
        ("under_score.example.org", "under_score.example.org"),
    ],
)
def test_hosts_are_compared_as_clients_send_them(written: str, compared: str) -> None:
    assert normalised(written) == compared


@pytest.mark.parametrize(
    "host",
    ["", ".", "a..b", "*", "*.", "a.*.b", "**.b", "-a.b", "a-.b", "a b", "http://a.b", "a" * 64, "a." * 127 + "b"],
)
def test_what_no_client_can_send_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match="is not a host: write a name such as"):
        normalised(host)


@given(st.text())
def test_any_host_can_be_routed(host: str) -> None:
    assert Router(NAMED, "default").route(host) in {"default", *(target for _, target in NAMED)}
