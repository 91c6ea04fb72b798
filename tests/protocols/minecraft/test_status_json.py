"""Reading JSON as the game's client does."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.protocols.minecraft import status_json


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}', {"a": 1}),
        ('\ufeff{"a": 1}', {"a": 1}),
        (' \r\n\t\ufeff {"a": 1}', {"a": 1}),
        ('{"a": "one\ntwo\x00\x1b"}', {"a": "one\ntwo\x00\x1b"}),
        ('{"a": 1}{"b": 2}', {"a": 1}),
        ('{"a": 1} \x00\x17{"required": true}', {"a": 1}),
        ('{"a": NaN, "b": 2}', {"b": 2}),
        ('{"a": Infinity, "b": -Infinity, "c": 1e999, "d": -1e999}', {}),
        ('{"a": [1, NaN, [Infinity, 2], {"b": NaN}]}', {"a": [1, [2], {}]}),
        ("[NaN, [NaN], 1]", [[], 1]),
        ('{"a": %s, "b": 2}' % ("1" * 5000), {"b": 2}),
        ('{"a": 18446744073709551615, "b": -9223372036854775808}', {"a": 2**64 - 1, "b": -(2**63)}),
        ('{"a": 18446744073709551616, "b": -9223372036854775809}', {}),
        ('{"a": "\\ud800"}', {"a": "\ud800"}),
        ('"text" and more', "text"),
        ("null", None),
    ],
)
def test_what_is_put_up_with(text: str, expected: object) -> None:
    assert status_json.decode(text) == expected


@pytest.mark.parametrize(
    "text", ["", "\ufeff", "{", '{"a": }', "NaN", "Infinity", "-1e999", "[" * 20000, '{"a":' * 20000, "Hello"]
)
def test_what_is_no_document(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        status_json.decode(text)


@pytest.mark.parametrize("text", ['{"a": 1.0}', ' {"a": "\\u0007"}\n', "1" * 5000])
def test_valid_json(text: str) -> None:
    assert status_json.is_strict(text)


@pytest.mark.parametrize("text", ["\ufeff{}", '{"a": "\n"}', '{"a": NaN}', "{} {}", "{}\x00", "[" * 20000, ""])
def test_json_that_is_not_valid(text: str) -> None:
    assert not status_json.is_strict(text)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    # st.text() has no surrogates
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(
    VALUES,
    st.sampled_from(["", "\ufeff", " \n"]),
    st.text().filter(lambda rest: rest[:1] not in tuple("0123456789.eE")),
)
def test_valid_json_is_read_as_it_is(value: object, before: str, after: str) -> None:
    text = json.dumps(value)
    assert status_json.is_strict(text)
    assert status_json.decode(before + text + after) == value


def strange(value: object) -> bool:
    """Whether a value contains what `encode` could not express."""
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, list):
        return any(map(strange, value))
    return isinstance(value, dict) and any(map(strange, value.values()))


@given(
    st.text('[]{},:"\\\x01\ufeff 0123456789.eE-NaInfityul')
    | st.recursive(
        st.sampled_from(["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" * 30, "1", '"\x02"', "null"]),
        lambda inner: (
            st.lists(inner, max_size=3).map(lambda texts: f"[{', '.join(texts)}]")
            | st.lists(inner, max_size=3).map(
                lambda texts: "{" + ", ".join(f'"{key}": {text}' for key, text in enumerate(texts)) + "}"
            )
        ),
    )
)
def test_any_text_is_a_document_that_can_be_written_or_an_error(text: str) -> None:
    try:
        value = status_json.decode(text)
    except ValueError:
        return
    assert not strange(value)
    assert json.loads(status_json.encode(value)) == value
