"""mkdocs.yml has all pages; the pictures are those of their scripts; the site needs nothing from other hosts."""

from __future__ import annotations

import os
import re
import runpy
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
import yaml
from ports import free_ports

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SITE: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
LOADED = re.compile(r"""<(?:script|img|iframe|source)[^>]+src=["']?(?:https?:)?//|<link[^>]+href=["']?(?:https?:)?//""")
"""What a browser fetches from another host."""

SVG = "http://www.w3.org/2000/svg"
CHARACTER = 0.61
"""Width of a character of the pictures' fonts, as a share of their size."""


def entries(nav: Any) -> list[str]:
    """The pages of a navigation, at any depth."""
    if isinstance(nav, str):
        return [nav]
    return [page for each in (nav.values() if isinstance(nav, dict) else nav) for page in entries(each)]


def test_each_page_is_in_the_navigation_once() -> None:
    assert sorted(entries(SITE["nav"])) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


def test_pictures_of_pages_are_there() -> None:
    for page in DOCS.rglob("*.md"):
        for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text()):
            assert (page.parent / picture).is_file(), (page, picture)


def test_the_drawings_are_those_of_their_script() -> None:
    drawings: dict[str, str] = runpy.run_path(str(DOCS / "pictures" / "draw.py"))["drawings"]()
    for name, drawing in drawings.items():
        assert (DOCS / "pictures" / name).read_text() == drawing, "run docs/pictures/draw.py"


def content(picture: str) -> tuple[list[str], str]:
    """The icons of a picture, and its texts, without what is another number or breaks another line in each run."""
    words = " ".join("".join(text.itertext()) for text in ElementTree.fromstring(picture).iter(f"{{{SVG}}}text"))
    return re.findall(r'href="([^"]+)"', picture), re.sub(r"[0-9.]*[0-9]", "#", " ".join(words.split()))


@pytest.mark.slow
def test_the_pictures_of_a_run_are_those_of_a_run_today() -> None:
    made = runpy.run_path(str(DOCS / "pictures" / "make.py"))["record"](*free_ports(2), seconds=4)
    for name, picture in zip(("server-list.svg", "terminal.svg"), made, strict=True):
        assert content((DOCS / "pictures" / name).read_text()) == content(picture), "run docs/pictures/make.py"


def test_texts_of_the_pictures_end_within_them() -> None:
    for path in (DOCS / "pictures").glob("*.svg"):
        picture = ElementTree.fromstring(path.read_text())
        size = float(picture.attrib["font-size"])
        for text in picture.iter(f"{{{SVG}}}text"):
            words, x = "".join(text.itertext()), float(text.attrib["x"])
            width = CHARACTER * float(text.get("font-size", size)) * len(words)
            left = {"middle": x - width / 2, "end": x - width}.get(text.get("text-anchor", ""), x)
            assert left >= 0, (path.name, words)
            assert left + width <= float(picture.attrib["width"]), (path.name, words)


def test_the_site_needs_no_fonts_and_no_other_plugin() -> None:
    assert SITE["theme"]["font"] is False
    assert SITE["plugins"] == ["search"]
    assert SITE["validation"]["links"]["anchors"] == "warn"


@pytest.mark.slow
def test_built_pages_load_nothing_from_other_hosts() -> None:
    site = os.environ.get("ZEROSCALE_SITE")
    if site is None:
        pytest.skip("ZEROSCALE_SITE does not name a built site; .ci/run builds it")
    pages = list(Path(site).rglob("*.html"))
    assert len(pages) > len(entries(SITE["nav"]))
    for page in pages:
        text = page.read_text()
        assert LOADED.search(re.sub(r'<link[^>]+rel="?canonical[^>]*>', "", text)) is None, page
        assert 'class="mermaid"' not in text, f"{page}: a diagram, for which a script is fetched"
