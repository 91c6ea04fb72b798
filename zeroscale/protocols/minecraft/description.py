"""The description of a status, for programs that read only its `text`.

Source: docs/protocol.md, "Status".
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from zeroscale.protocols.conversation import Component
from zeroscale.protocols.minecraft.text_component import FORMATS, SECTION, clean, literal, section_text

_STYLE_KEYS = frozenset({"color", *FORMATS.values(), "font", "shadow_color"})
_SECTION_KEYS = frozenset({"text", "color", *FORMATS.values()})
_UNSEEN_KEYS = frozenset({"insertion", "clickEvent", "hoverEvent", "click_event", "hover_event"})
"""Keys that change nothing in the server list."""


def with_text_first(component: Component, *, rgb: bool) -> dict[str, object]:
    """Return an object that shows the same, with as much of it as possible in its `text`.

    A component of one style keeps it. Else `text` is section-sign text, and what follows the first part that such text
    cannot express (a font, a translation, a colour other than the sixteen) stays in `extra`.

    :param rgb: keep colours other than the sixteen; otherwise the nearest of these replaces them.
    """
    if isinstance(component, str):
        return {"text": component}
    parts = list(_parts(clean(component), {}))
    of_one_style = _joined(parts)
    if of_one_style is not None and (rgb or not _is_rgb(of_one_style)):
        return of_one_style
    begin = list(itertools.takewhile(lambda part: _is_section_text(part, rgb=rgb), parts))
    text: dict[str, object] = {"text": section_text(["", *begin])}
    return text | ({"extra": parts[len(begin) :]} if len(begin) < len(parts) else {})


def _parts(component: object, inherited: Mapping[str, object]) -> Iterator[dict[str, object]]:
    """Yield the parts of a clean component that show something, each with its whole style and without children."""
    first, *siblings = component if isinstance(component, list) else (component,)
    if isinstance(first, list):
        yield from _parts(first, inherited)
        style = inherited
    elif isinstance(first, Mapping):
        own = {key: value for key, value in first.items() if key != "extra" and key not in _UNSEEN_KEYS}
        style = {**inherited, **{key: value for key, value in own.items() if key in _STYLE_KEYS}}
        if own.keys() - _STYLE_KEYS - {"text"} or own.get("text", "") != "":
            yield style | own
        children = first.get("extra")
        siblings = [*(children if isinstance(children, list) else ()), *siblings]
    else:
        if first != "":
            yield {**inherited, "text": first}
        style = inherited
    for sibling in siblings:
        yield from _parts(sibling, style)


def _joined(parts: Sequence[Mapping[str, object]]) -> dict[str, object] | None:
    """Return parts of one style as one; None where they differ, or are not all literal texts."""
    texts = [literal(part.get("text")) for part in parts]
    styles = [{key: value for key, value in part.items() if key != "text"} for part in parts]
    if not all(texts) or any(style != styles[0] or style.keys() - _STYLE_KEYS for style in styles):
        return None
    if len(texts) > 1 and any(SECTION in text for text in texts):  # a code ends with its part
        return None
    return {"text": "".join(texts), **(styles[0] if styles else {})}


def _is_section_text(part: Mapping[str, object], *, rgb: bool) -> bool:
    return "text" in part and part.keys() <= _SECTION_KEYS and not (rgb and _is_rgb(part))


def _is_rgb(part: Mapping[str, object]) -> bool:
    color = part.get("color")
    return isinstance(color, str) and color.startswith("#")
