"""A further port in one text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.config.port_text import EXAMPLE, parse_port


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("8123=8100", {"listen": "8123", "server": "8100"}),
        (EXAMPLE, {"listen": "8123", "server": "8100", "protocol": "http", "wakes": "yes"}),
        ("8123 8124 = a.internal:81", {"listen": "8123 8124", "server": "a.internal:81"}),
        ("tcp:8123:interface=::1=unix:/run/a", {"listen": "tcp:8123:interface=::1", "server": "unix:/run/a"}),
        (
            r"1=2,keeps-awake=no,wake_on=regex:a{1\,2}=b",
            {"listen": "1", "server": "2", "keeps_awake": "no", "wake_on": "regex:a{1,2}=b"},
        ),
    ],
)
def test_a_port(text: str, table: dict[str, str]) -> None:
    assert parse_port(text) == table


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("8123", "is not LISTEN=SERVER"),
        ("", "is not LISTEN=SERVER"),
        ("8123=", "is not LISTEN=SERVER"),
        ("=8123", "is not LISTEN=SERVER"),
        ("1=2,", "has a comma with no key behind it"),
        ("1=2,,wakes", "has a comma with no key behind it"),
        ("1=2,wakes,wakes=no", "has wakes twice"),
        ("1=2,server=3", "has server twice"),
    ],
)
def test_no_port(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_port(text)


@given(st.text())
def test_any_text_is_a_table_or_a_mistake(text: str) -> None:
    try:
        table = parse_port(text)
    except ValueError:
        return
    assert all(isinstance(each, str) for each in table.values())
    assert table["listen"] and table["server"]
