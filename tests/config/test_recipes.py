"""The configuration files on all pages are valid, and the keys that other programs' options become exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages import PAGES, ROOT, Block, blocks

from zeroscale.config import loader
from zeroscale.errors import ConfigError

DOCS = ROOT / "docs"
SHOWN = [
    pytest.param(block, id=f"{page}:{block.line}")
    for page in PAGES
    for block in blocks(page, "toml")
    if not block.mark.startswith("not run: ")
]
"""All of them but those of other programs."""

LEFT_OUT = re.compile(
    r": is missing; |^servers: there is none; |: cannot read /(etc|run/secrets)/|: there is no [A-Z_]+ in the env"
)
"""A mistake in a part of a file: the rest is not there, or a file or variable with a secret."""


@pytest.mark.parametrize("block", SHOWN)
def test_a_file_that_is_shown_has_no_mistakes(block: Block, tmp_path: Path) -> None:
    part = block.mark == "a part of a file"
    try:
        config = loader.parse(block.text, tmp_path, {}, 1000)
    except ConfigError as error:
        assert part, f"{error}\nIs it <!-- a part of a file -->?"
        assert [line for line in str(error).splitlines() if not LEFT_OUT.search(line)] == []
    else:
        assert config.servers or part


def test_keys_that_replace_other_programs_options_exist() -> None:
    page = (DOCS / "coming-from.md").read_text()
    ours = " ".join(row.split(" | ", 1)[1] for row in page.splitlines() if row.startswith("| `"))
    keys = set(re.findall(r"`([a-z]+_[a-z_]+)(?: = [^`]*)?`", ours))
    texts = {key for key in keys if key.endswith("_kick")}
    described = (DOCS / "configuration.md").read_text()
    assert len(keys) > 15
    assert [key for key in keys - texts if f"| `{key}` |" not in described] == []
    assert [key for key in texts if f"`{key}`" not in (DOCS / "messages.md").read_text()] == []
