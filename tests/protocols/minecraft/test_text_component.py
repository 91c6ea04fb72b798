"""Text with colour codes into components, and components into text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.protocols.conversation import Component
from zeroscale.protocols.minecraft.text_component import (
    DEEPEST,
    LONGEST,
    Style,
    clean,
    parse,
    plain,
    runs,
    section_text,
    with_fallbacks,
)

S = "\u00a7"
GOLD, RED = Style(color="gold"), Style(color="red")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("Salt & Pepper", "Salt & Pepper"),
        ("&&6 is gold", "&6 is gold"),
        ("&&&6x", {"text": "", "extra": [{"text": "&"}, {"text": "x", "color": "gold"}]}),
        ("&6Gold", {"text": "", "extra": [{"text": "Gold", "color": "gold"}]}),
        (f"{S}6Gold", {"text": "", "extra": [{"text": "Gold", "color": "gold"}]}),
        ("&#FF8000x", {"text": "", "extra": [{"text": "x", "color": "#ff8000"}]}),
        ("&#FF80x", "&#FF80x"),
        (
            "&l&6a&Lb&rc",  # a colour ends the formats before it
            {
                "text": "",
                "extra": [{"text": "a", "color": "gold"}, {"text": "b", "color": "gold", "bold": True}, {"text": "c"}],
            },
        ),
        ("x&", "x&"),
        ("&6", ""),
    ],
)
def test_codes_become_a_component(text: str, expected: Component) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("component", "expected"),
    [
        ("plain", [("plain", Style())]),
        (f"{S}6Gold{S}rplain", [("Gold", GOLD), ("plain", Style())]),
        (
            {"text": "a", "color": "gold", "extra": ["b", {"text": "c", "color": "red"}]},
            [("a", GOLD), ("b", GOLD), ("c", RED)],
        ),
        ([{"text": "a", "color": "gold"}, "b"], [("a", GOLD), ("b", GOLD)]),
        ({"text": f"a{S}cb{S}rc", "color": "gold"}, [("a", GOLD), ("b", RED), ("c", GOLD)]),
        (
            {"text": "a", "bold": True, "extra": [{"text": "b", "bold": False}]},
            [("a", Style(bold=True)), ("b", Style())],
        ),
        ({"text": "a", "color": "#12aBcD"}, [("a", Style(color="#12abcd"))]),
        ({"text": "a", "color": "gold", "extra": [{"text": "b", "color": "reset"}]}, [("a", GOLD), ("b", Style())]),
        ({"text": "a", "color": "nonsense", "bold": "yes"}, [("a", Style())]),
        ({"text": 5, "extra": [True, 1.5, None]}, [("5", Style()), ("true", Style()), ("1.5", Style())]),
        ({"keybind": "key.jump"}, [("key.jump", Style())]),
        ([], []),
        ({}, []),
        ("a\x1b[31mb\x07\nc\x9b", [("a[31mb\nc", Style())]),
    ],
)
def test_runs_show_what_the_client_would(component: Component, expected: list[tuple[str, Style]]) -> None:
    assert runs(component) == expected


@pytest.mark.parametrize(
    ("component", "expected"),
    [
        ({"translate": "disconnect.timeout"}, "disconnect.timeout"),
        ({"translate": "a.b", "with": ["x", {"text": "y"}]}, "a.b (x, y)"),
        ({"translate": "a.b", "fallback": "%s of %s%%, %1$s", "with": ["1", 2]}, "1 of 2%, 1"),
        ({"translate": "a.b", "fallback": "%5$s and %s", "with": []}, " and "),
        ({"translate": "a.b", "fallback": "Gone", "extra": ["!"]}, "Gone!"),
    ],
)
def test_translations_are_shown_as_fallback_or_key(component: Component, expected: str) -> None:
    assert plain(component) == expected


@pytest.mark.parametrize(
    ("component", "expected"),
    [
        ("plain", "plain"),
        (parse("&6Gold &lbold&r plain"), f"{S}6Gold {S}6{S}lbold{S}r plain"),
        (parse("&#ffaa01x"), f"{S}6x"),
        (parse("&#000001x"), f"{S}0x"),
        ({"text": "x", "bold": True, "italic": True}, f"{S}r{S}l{S}ox"),
    ],
)
def test_section_sign_text(component: Component, expected: str) -> None:
    assert section_text(component) == expected


def test_clean_drops_what_clients_refuse() -> None:
    component = {"text": "a", "extra": [], "with": [], "hover": [], "next": {"extra": []}}
    assert clean(component) == {"text": "a", "hover": [], "next": {"extra": []}}
    assert clean({"text": "a", "extra": [{"text": "b", "extra": []}, []]}) == {
        "text": "a",
        "extra": [{"text": "b"}, ""],
    }
    assert clean({"text": "a", "extra": 5}) == {"text": "a"}
    assert clean([]) == ""


def nested(depth: int) -> Component:
    """A component that is as deep as that."""
    component: Component = {"text": "bottom"}
    for _ in range(depth):
        component = {"text": "x", "extra": [component]}
    return component


def test_depth_is_bounded() -> None:
    assert plain(nested(DEEPEST - 1)).endswith("bottom")
    for depth in (DEEPEST + 1, 900, 20_000):
        assert plain(nested(depth)) == "x" * (DEEPEST + 1)
        json.dumps(clean(nested(depth)))


ANY_COMPONENT = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["text", "extra", "with", "translate", "fallback", "color", "bold"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


def laughs(part: Component, uses: int, levels: int) -> Component:
    """A small component that stands for `uses ** levels` times its innermost part."""
    for _ in range(levels):
        part = {"translate": "x", "fallback": "%1$s" * uses, "with": [part]}
    return part


@pytest.mark.parametrize(
    "component",
    [
        laughs("ha", 10, 30),
        laughs("", 10, 30),
        laughs({"translate": "x", "fallback": "%9$s" * 20_000}, 20_000, 1),
        laughs(f"{S}z" * 20_000, 20_000, 1),
        laughs("ha" * 20_000, 20_000, 1),
        laughs(["ha"] * 20_000, 20_000, 1),
        laughs([""] * 20_000, 20_000, 1),
        laughs([[]] * 20_000, 20_000, 1),
    ],
)
def test_a_text_without_end_is_cut(component: Component) -> None:
    shown = plain(component)
    assert len(shown) <= LONGEST
    assert shown in "ha" * LONGEST
    assert section_text(component) == shown


@pytest.mark.parametrize(
    ("component", "shown"),
    [
        ("a" * 32_765, "a" * 32_765),
        (["a"] * 8_191, "a" * 8_191),
        ([""] * 10_900 + ["a"], "a"),
        ([[]] * 10_900 + ["a"], "a"),
        ({"text": "", "extra": [{"text": "a"}] * 2_400}, "a" * 2_400),
        ({"text": f"{S}aX" * 10_900}, "X" * 10_900),
        ({"text": f"{S}a" * 16_300 + "X"}, "X"),
        ({"translate": "x", "with": ["a"] * 5_400}, f"x ({', '.join(['a'] * 5_400)})"),
        ({"translate": "x", "fallback": "%s" * 5_400, "with": ["a"] * 5_400}, "a" * 5_400),
    ],
)
def test_what_fits_a_status_is_not_cut(component: Component, shown: str) -> None:
    assert len(json.dumps(component, ensure_ascii=False, separators=(",", ":"))) <= LONGEST
    assert plain(component) == shown


@given(ANY_COMPONENT)
def test_any_json_is_accepted(component: Any) -> None:
    for function in (plain, section_text, clean, runs):
        function(component)


@given(st.text(alphabet="ab&#0f6lLrR \n" + S, max_size=30))
def test_section_sign_text_shows_the_same_runs(text: str) -> None:
    component = parse(text)
    shown = "".join(part for part, _ in runs(component))
    assert plain(parse(section_text(component).replace("&", "&&"))) == shown


def test_fallbacks_replace_translations() -> None:
    banned = {
        "translate": "multiplayer.disconnect.banned.reason",
        "fallback": "You are banned.\nReason: %s",
        "with": [{"text": "Griefing", "color": "red"}],
        "bold": True,
        "extra": [{"translate": "multiplayer.disconnect.banned.expiration", "fallback": "\nUntil %s", "with": ["May"]}],
    }
    spelled = with_fallbacks(banned)
    assert "translate" not in str(spelled)
    assert runs(spelled) == runs(banned)
    assert spelled == {
        "text": "",
        "bold": True,
        "extra": [
            {"text": "You are banned.\nReason: "},
            {"text": "Griefing", "color": "red"},
            {"text": "", "extra": [{"text": "\nUntil "}, {"text": "May"}]},
        ],
    }


@pytest.mark.parametrize(
    "component",
    ["plain", {"text": "a", "extra": ["b"]}, {"translate": "no.fallback", "with": ["x"]}, ["a", {"text": "b"}]],
)
def test_components_without_fallback_are_unchanged(component: Component) -> None:
    assert with_fallbacks(component) == component


def test_too_deep_components_are_left_out() -> None:
    deep: Component = "end"
    for _ in range(1000):
        deep = {"translate": "key", "fallback": "%s", "with": [deep], "extra": [deep]} if _ % 100 == 0 else [deep]
    with_fallbacks(deep)
