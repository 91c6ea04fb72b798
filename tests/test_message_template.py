"""The template language of the messages."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.errors import ConfigError
from zeroscale.message_template import LONGEST_TEXT, ComponentTemplate, Template
from zeroscale.protocols.minecraft.text_component import plain

ALLOWED = frozenset({"name", "estimate", "waiting"})
VALUES = {"name": "survival", "estimate": "about 40 s", "waiting": "2"}
NOTHING = {"name": "", "estimate": "", "waiting": "0"}
UNKNOWN = {"estimate": "a while"}


def filled(text: str, values: dict[str, str] = VALUES) -> str:
    return Template(text, "sleeping", ALLOWED).line(values, UNKNOWN)


@pytest.mark.parametrize(
    ("text", "full", "empty"),
    [
        ("plain", "plain", "plain"),
        ("", "", ""),
        ("{name}!", "survival!", "!"),
        ("takes {estimate}", "takes about 40 s", "takes a while"),
        ("wait[ for {estimate}].", "wait for about 40 s.", "wait."),
        ("wait[ for {estimate}][, {waiting} do].", "wait for about 40 s, 2 do.", "wait."),
        ("[{waiting} of {name}]", "2 of survival", ""),
        ("{waiting}", "2", "0"),
        ("[Asleep]", "[Asleep]", "[Asleep]"),
        ("[[{name}]]", "[survival]", "[]"),
        ("[[[{name}]]]", "[survival]", "["),
        ("{{name}}", "{name}", "{name}"),
        ("a [b [{name}] c] d", "a [b survival c] d", "a [b  c] d"),
        ("open [{name}", "open [survival", "open ["),
        ("closed {name}]", "closed survival]", "closed ]"),
        ("{ and }", None, None),
        ("} alone", "} alone", "} alone"),
        ("{ alone", "{ alone", "{ alone"),
    ],
)
def test_placeholders_and_groups(text: str, full: str | None, empty: str | None) -> None:
    if full is None or empty is None:
        with pytest.raises(ConfigError):
            filled(text)
    else:
        assert (filled(text), filled(text, NOTHING)) == (full, empty)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("&agreen", "\u00a7agreen"),
        ("\u00a7cred", "\u00a7cred"),
        ("&Lbold", "\u00a7r\u00a7lbold"),
        ("Tom & Jerry", "Tom & Jerry"),
        ("R&&D", "R&D"),
        ("&{estimate}", "&about 40 s"),
        ("&&{name}", "&survival"),
    ],
)
def test_codes(text: str, shown: str) -> None:
    assert filled(text) == shown


def test_a_colour_of_any_kind_is_a_component_s() -> None:
    component = Template("&#12aBfFrgb", "sleeping", ALLOWED).fill(VALUES, UNKNOWN)
    assert component == {"text": "", "extra": [{"text": "rgb", "color": "#12abff"}]}


@given(st.text(alphabet="&abcl#0123456789[]{}"))
def test_values_are_never_read_as_codes_or_placeholders(value: str) -> None:
    template = Template("<{name}>[ {estimate}]", "sleeping", ALLOWED)
    shown = template.fill({"name": value, "estimate": value, "waiting": ""}, {})
    assert shown == (f"<{value}> {value}" if value not in ("", "0") else f"<{value}>")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{estimat}", r"texts.sleeping has no variable {estimat}: did you mean {estimate}\?"),
        ("{}", "no variable {}: it has {estimate} {name} {waiting}"),
        ("[{player}]", "no variable {player}"),
        ("{name!r}", "no variable"),
        ("x" * (LONGEST_TEXT + 1), "has 2001 characters: at most 2000"),
    ],
)
def test_mistakes_name_the_text(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        Template(text, "sleeping", ALLOWED)


@given(st.text(alphabet="ab&[]{}\\n \u00a7"))
def test_any_text_is_a_template_or_a_mistake(text: str) -> None:
    try:
        template = Template(text, "sleeping", ALLOWED)
    except ConfigError:
        return
    template.fill(VALUES, UNKNOWN)


def test_a_component_is_filled_where_it_speaks() -> None:
    component: dict[str, Any] = {
        "text": "{name}: ",
        "color": "gold",
        "hoverEvent": {"action": "show_text", "value": "{not ours}"},
        "extra": ["[{estimate}]", {"translate": "{key}", "fallback": "{waiting}", "with": ["{name}"]}],
    }
    template = ComponentTemplate(component, "sleeping", ALLOWED)
    assert template.fill(VALUES, UNKNOWN) == {
        "text": "survival: ",
        "color": "gold",
        "hoverEvent": {"action": "show_text", "value": "{not ours}"},
        "extra": ["about 40 s", {"translate": "{key}", "fallback": "2", "with": ["survival"]}],
    }
    assert plain(template.fill(NOTHING, UNKNOWN)) == ": 0"


def test_a_component_has_no_ampersand_codes() -> None:
    assert ComponentTemplate(["&a & {name}"], "sleeping", ALLOWED).fill(VALUES, UNKNOWN) == ["&a & survival"]


DEEP: Any = "x"
for _ in range(100):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("component", "complaint"),
    [
        ([], "must not be empty"),
        ({"text": "x", "extra": []}, "must not be empty"),
        ({"text": "x", "extra": "y"}, "'extra' must be an array"),
        ([1], "1 is not a component"),
        ([None], "None is not a component"),
        (["{nme}"], "did you mean {name}"),
        ([{"text": "{nme}"}], "did you mean {name}"),
        (DEEP, "nested more than"),
    ],
)
def test_mistakes_in_a_component_name_the_text(component: Any, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as mistake:
        ComponentTemplate(component, "sleeping", ALLOWED)
    assert str(mistake.value).startswith("texts.sleeping")
