"""A description whose `text` says all that it can."""

from __future__ import annotations

import itertools
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.protocols.conversation import Component
from zeroscale.protocols.minecraft.description import with_text_first
from zeroscale.protocols.minecraft.text_component import DEEPEST, SECTION, Style, parse, runs, section_text

S = SECTION
RGB_PART = {"text": "rgb", "color": "#ff8000"}


@pytest.mark.parametrize(
    ("component", "rgb", "expected"),
    [
        ("", True, {"text": ""}),
        (f"{S}4a{S}zb\x00", True, {"text": f"{S}4a{S}zb\x00"}),
        ({"text": "a"}, True, {"text": "a"}),
        ({"extra": ["a", "b"], "color": "red"}, True, {"text": "ab", "color": "red"}),
        ({"extra": [f"{S}4a", "b"], "color": "red"}, True, {"text": f"{S}4a{S}cb"}),
        ([RGB_PART, RGB_PART], True, RGB_PART | {"text": "rgbrgb"}),
        ([RGB_PART, RGB_PART], False, {"text": f"{S}6rgbrgb"}),
        ({"text": "a", "font": "x", "extra": ["b"]}, True, {"text": "ab", "font": "x"}),
        ([], True, {"text": ""}),
        (["a", {"text": "b", "bold": True}, "c"], True, {"text": f"a{S}r{S}lb{S}rc"}),
        ([{"text": "a", "color": "red"}, "b", {"text": "c", "color": "reset"}], True, {"text": f"{S}cab{S}rc"}),
        ({"text": f"a{S}rb", "color": "red", "extra": [f"{S}lc", "d"]}, True, {"text": f"{S}cab{S}c{S}lc{S}cd"}),
        ({"text": "a", "hoverEvent": {"value": "x"}, "clickEvent": {}}, True, {"text": "a"}),
        (
            [RGB_PART, {"text": "b", "bold": True}],
            True,
            {"text": "", "extra": [RGB_PART, RGB_PART | {"text": "b", "bold": True}]},
        ),
        ([RGB_PART, {"text": "b", "bold": True}], False, {"text": f"{S}6rgb{S}6{S}lb"}),
        (["", "a", RGB_PART, "b"], True, {"text": "a", "extra": [RGB_PART, {"text": "b"}]}),
        (
            {"text": "a", "bold": True, "extra": [{"translate": "k", "with": ["x"], "italic": True, "extra": ["b"]}]},
            False,
            {
                "text": f"{S}r{S}la",
                "extra": [
                    {"translate": "k", "with": ["x"], "bold": True, "italic": True},
                    {"text": "b", "bold": True, "italic": True},
                ],
            },
        ),
        (
            {"text": "a", "font": "x", "extra": [{"text": "b", "font": "y", "extra": []}]},
            False,
            {"text": "", "extra": [{"text": "a", "font": "x"}, {"text": "b", "font": "y"}]},
        ),
    ],
)
def test_the_text_has_what_section_signs_can_express(component: Component, rgb: bool, expected: Component) -> None:
    assert with_text_first(component, rgb=rgb) == expected
    assert merged(with_text_first(component, rgb=rgb), rgb=rgb) == merged(component, rgb=rgb)


def merged(component: Component, *, rgb: bool) -> list[tuple[str, Style]]:
    """The runs that a client shows; without `rgb` in the sixteen colours."""
    styled = runs(component) if rgb else runs(parse(section_text(component).replace("&", "&&")))
    return [
        ("".join(text for text, _ in group), style)
        for style, group in itertools.groupby(styled, key=lambda run: run[1])
    ]


STYLED = st.recursive(
    st.text(alphabet=f"ab \n{S}4lr", max_size=6),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.fixed_dictionaries(
            {"text": st.text(alphabet=f"ab{S}4lr", max_size=4)},
            optional={
                "color": st.sampled_from(["red", "#ff8000", "reset", "white"]),
                "bold": st.booleans(),
                "italic": st.booleans(),
                "font": st.just("x"),
                "extra": st.lists(inner, min_size=1, max_size=3),
            },
        )
        | st.fixed_dictionaries(
            {"translate": st.just("k")}, optional={"extra": st.lists(inner, min_size=1, max_size=2)}
        )
    ),
    max_leaves=10,
)


@given(STYLED, st.booleans())
def test_the_same_is_shown_with_the_text_first(component: Component, rgb: bool) -> None:
    first = with_text_first(component, rgb=rgb)
    assert merged(first, rgb=rgb) == merged(component, rgb=rgb)
    assert "text" in first
    if not re.search("font|translate" + ("|#" if rgb else ""), str(component)):
        assert "extra" not in first


def test_depth_is_bounded() -> None:
    for depth in (DEEPEST + 1, 20_000):
        component: Component = {"text": "bottom"}
        for _ in range(depth):
            component = {"text": "x", "extra": [component]}
        assert with_text_first(component, rgb=True) == {"text": "x" * (DEEPEST + 1)}


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["text", "extra", "with", "translate", "fallback", "color", "bold", "font"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(ANY_JSON)
def test_any_json_is_accepted(component: Component) -> None:
    assert isinstance(with_text_first(component, rgb=True)["text"], str)
    json.dumps(with_text_first(component, rgb=False))
