"""JSON as Gson reads it in its lenient mode; the cases follow the rules of `JsonReader.setLenient`."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.minecraft.gson import DEEPEST, MOST_TOKENS, decode


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        (" // nothing\n", None),
        ("\ufeff[]", []),
        (")]}'\n[]", []),
        ("\ufeff)]}'\n[]", []),
        ("[true, FALSE, Null, trues]", [True, False, None, "trues"]),
        ("[1, -2.5e3, NaN, 007]", ["1", "-2.5e3", "NaN", "007"]),
        ("[a, 'b', \"c\", d'e\"f]", ["a", "b", "c", "d'e\"f"]),
        ("[1; 2]", ["1", "2"]),
        ("[1, ]", ["1", None]),
        ("[,]", [None, None]),
        ("[, 1]", [None, "1"]),
        ("[1,,2]", ["1", None, "2"]),
        ("{a: 1, 'b' = 2; \"c\" => 3}", {"a": "1", "b": "2", "c": "3"}),
        ('{"a": 1,}', {"a": "1"}),
        ('{"a": 1, "a": 2}', {"a": "2"}),
        ("[1 // one\r, 2 # two\n, /* three\n, 3 **/ 4]", ["1", "2", "4"]),
        ('["// no comment", \'# nor this\', "/* nor */ this"]', ["// no comment", "# nor this", "/* nor */ this"]),
        ("[http/**/]", ["http"]),
        (r'["\"\\\/\b\f\n\r\t\'"]', ["\"\\/\b\f\n\r\t'"]),
        (r'["\u00e9\ud83d\ude00"]', ["\u00e9\U0001f600"]),
        (r'["\ud83d"]', ["\ufffd"]),
        ('["two\nlines", "continued\\\nhere"]', ["two\nlines", "continued\nhere"]),
        ("[[], {}, [{}]]", [[], {}, [{}]]),
    ],
)
def test_what_is_taken(text: str, expected: object) -> None:
    assert decode(text.encode()) == expected


def test_bytes_that_are_no_utf_8_are_replaced() -> None:
    assert decode(b'["M\xfcller"]') == ["M\ufffdller"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[", "line 1 has the end, not a text or a word"),
        ("[1 2]", "line 1 has a word, not ',' or ']'"),
        ("\n[\n1: 2]", "line 3 has ':', not ',' or ']'"),
        ("[] []", r"line 1 has '\[', not the end"),
        ("{,}", "line 1 has ',', not a text or a word"),
        ('{"a"}', "line 1 has '}', not ':'"),
        ('{"a": }', "line 1 has '}', not a text or a word"),
        ('{"a": 1 "b": 2}', "line 1 has a text, not ','"),
        ("{[]: 1}", r"line 1 has '\[', not a text or a word"),
        ('["a', "in line 1 or later, a text or comment has no end"),
        ("['a\\'", "in line 1 or later, a text or comment has no end"),
        ("[1 /* 2]", "in line 1 or later, a text or comment has no end"),
        ("[1 / 2]", "in line 1 or later, .* a character is stray"),
        (r'["\x"]', r"\\x is no escape sequence"),
        (r'["\u12"]', r"\\u is no escape sequence"),
        ("[" * 100_000, f"more than {DEEPEST} levels"),
        ('{"a":' * 100_000, f"more than {DEEPEST} levels"),
        ("[" + "," * 4_000_000 + "]", f"more than {MOST_TOKENS} texts, words and marks"),
    ],
)
def test_what_is_refused(text: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        decode(text.encode())


VALUES = st.recursive(
    st.none() | st.booleans() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES, st.booleans(), st.sampled_from([None, 2]))
def test_all_json_is_taken(value: object, ascii_only: bool, indent: int | None) -> None:
    assert decode(json.dumps([value], ensure_ascii=ascii_only, indent=indent).encode()) == [value]


@given(st.text(st.sampled_from("[]{}:,;=>\"'\\/*#\n au0")))
def test_any_text_is_decoded_or_refused(text: str) -> None:
    try:
        decode(text.encode())
    except ValueError as error:
        assert len(str(error)) < 200
