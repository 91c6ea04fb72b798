"""Texts without IP addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.hidden_addresses import without_addresses


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("Steve (203.0.113.7:51234): left", "Steve ([address]): left"),
        ("203.0.113.7: 5 more", "[address]: 5 more"),
        ("from 203.0.113.7.", "from [address]."),
        ("IPv4Address(type='TCP', host='203.0.113.7', port=1)", "IPv4Address(type='TCP', host='[address]', port=1)"),
        ("Alex ([2001:db8::7]:51234): left", "Alex ([address]): left"),
        ("2001:db8::/64: 5 more", "[address]/64: 5 more"),
        ("2001:db8::7: left", "[address]: left"),
        ("2001:DB8:1:2:3:4:5:6 left", "[address] left"),
        ("fe80::1%eth0 left", "[address] left"),
        ("::ffff:203.0.113.7 left", "[address] left"),
        ("/203.0.113.7:51234 lost connection", "/[address] lost connection"),
        ("Woken by Steve (10.0.0.8:4)", "Woken by Steve ([address])"),
        ("Listening on ('0.0.0.0', 25565)", "Listening on ('0.0.0.0', 25565)"),
        ("Listening on ('::', 25565, 0, 0)", "Listening on ('::', 25565, 0, 0)"),
        (
            "127.0.0.1:25575 does not answer, nor does [::1]:25575",
            "127.0.0.1:25575 does not answer, nor does [::1]:25575",
        ),
        ("\x1b[31m2001:db8::7\x1b[m2001:db8::7", "\x1b[31m[address]\x1b[m[address]"),
        ("\u00a7c2001:db8::7", "\u00a7c[address]"),
        ("ip:2001:db8::7 for_2001:db8::7", "ip:[address] for_[address]"),
        ("at 12:34:56, version 1.21.11, std::string, 999.1.1.1", None),
        ("uuid 069a79f4-44e9-4726-a5be-fca90e38aaf5 ab:cd:ef:01:02:03", None),
    ],
)
def test_addresses_are_kept_out(text: str, without: str | None) -> None:
    assert without_addresses(text) == (text if without is None else without)


@given(st.ip_addresses(), st.sampled_from(["%s", "x (%s)", "host='%s'", "%s.", "/%s "]))
def test_no_address_whatever_is_shown(address: object, form: str) -> None:
    shown = without_addresses(form % address)
    assert str(address) not in shown or getattr(address, "is_loopback", False) or str(address) in ("0.0.0.0", "::")
