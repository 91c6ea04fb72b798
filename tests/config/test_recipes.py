"""The configuration files on the pages for users are valid, and the keys that other programs' options become exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from zeroscale.config import loader

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [*(DOCS / "recipes").glob("*.md"), DOCS / "bedrock.md"]
WHOLE_FILES = [
    pytest.param(text, id=f"{page.stem}-{number}")
    for page in sorted(PAGES)
    for number, text in enumerate(re.findall(r"(?<!-->\n)```toml\n(.*?)```", page.read_text(), re.DOTALL))
]


@pytest.mark.parametrize("text", WHOLE_FILES)
def test_a_file_that_is_shown_has_no_mistakes(text: str, tmp_path: Path) -> None:
    assert loader.parse(text, tmp_path, {}, 1000).servers


def test_keys_that_replace_other_programs_options_exist() -> None:
    page = (DOCS / "coming-from.md").read_text()
    ours = " ".join(row.split(" | ", 1)[1] for row in page.splitlines() if row.startswith("| `"))
    keys = set(re.findall(r"`([a-z]+_[a-z_]+)(?: = [^`]*)?`", ours))
    texts = {key for key in keys if key.endswith("_kick")}
    described = (DOCS / "configuration.md").read_text()
    assert len(keys) > 15
    assert [key for key in keys - texts if f"| `{key}` |" not in described] == []
    assert [key for key in texts if f"`{key}`" not in (DOCS / "messages.md").read_text()] == []
