"""Values in messages."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.config.messages import Mistake, Mistakes, join, show
from zeroscale.config.secret_refs import Secret


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("hold", '"hold"'),
        ("zwölf\n", '"zwölf\\n"'),
        ("\x1b[31m\x9b\u202e", '"\\u001b[31m\\u009b\\u202e"'),
        ("x" * 70, '"' + "x" * 60 + '..."'),
        (True, "true"),
        (15, "15"),
        (1 << 4000, "a number of 4001 bits"),
        (0.25, "0.25"),
        (1e20, "1e+20"),
        (float("nan"), "nan"),
        ([], "an empty list"),
        (["a"], "a list"),
        ({"a": 1}, "a table"),
        (datetime.date(2026, 7, 1), "2026-07-01"),
        (Secret("hunter2", "from /run/secrets/x"), "the text from /run/secrets/x"),
    ],
)
def test_show(value: object, shown: str) -> None:
    assert show(value) == shown


@given(st.text())
def test_any_text_is_shown_on_one_bounded_line(text: str) -> None:
    assert show(text).isprintable()
    assert len(show(text)) <= 60 * len("\\U00010000") + len('"..."')


@pytest.mark.parametrize(
    ("path", "key", "whole"),
    [("", "servers", "servers"), ("servers", "a-b_1", "servers.a-b_1"), ("servers", "a b", 'servers."a b"')],
)
def test_join(path: str, key: str, whole: str) -> None:
    assert join(path, key) == whole


def test_a_mistake_at_a_path_or_below_it() -> None:
    mistakes = Mistakes([Mistake("servers.a.hosts[1]", "is wrong"), Mistake("relay", "is wrong", where="--relay")])
    assert [str(mistake) for mistake in mistakes] == ["servers.a.hosts[1]: is wrong", "--relay: is wrong"]
    for path in ("servers.a", "servers.a.hosts", "servers.a.hosts[1]", "relay"):
        assert mistakes.is_bad(path)
    for path in ("servers.b", "servers.a.host", "servers.a.hosts[0]", "relay.x"):
        assert not mistakes.is_bad(path)
    assert str(Mistake("relay", "is wrong", where="")) == "is wrong"
