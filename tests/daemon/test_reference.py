"""The tables in the documentation are those that the keys' metadata give."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from zeroscale.config.keys import keys_of
from zeroscale.daemon import reference
from zeroscale.daemon.parser import options

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("page", reference.PAGES)
def test_a_page_has_the_tables_that_the_keys_give(page: str) -> None:
    text = (ROOT / page).read_text()
    assert reference.rewrite(text, page) == text, "run: python -m zeroscale.daemon.reference"


def test_every_option_is_on_the_page() -> None:
    page = (ROOT / "docs" / "command-line.md").read_text()
    assert [option.name for option in options() if f"`--{option.name}`" not in page] == []


@pytest.mark.parametrize(("path", "struct"), reference.structs().items())
def test_every_key_has_a_help_text(path: str, struct: type) -> None:
    assert [name for name, key in keys_of(struct).items() if not key.help] == []


@pytest.mark.parametrize("path", ["README.md", "CHANGELOG.md", "Dockerfile", "docs", "systemd", "zeroscale"])
def test_options_are_written_with_hyphens(path: str) -> None:
    whole = ROOT / path
    files = [file for file in (whole.rglob("*") if whole.is_dir() else [whole]) if file.is_file()]
    texts = {file: file.read_text(errors="replace") for file in files if file.suffix != ".pyc"}
    underscored = re.compile("--(" + "|".join(option.dest for option in options() if "_" in option.dest) + ")")
    assert [f"{file}: {found[0]}" for file, text in texts.items() for found in underscored.finditer(text)] == []


def test_links_start_from_the_page() -> None:
    text = "<!-- keys: log -->\nold\n<!-- end -->"
    assert "([logging.md](logging.md))" in reference.rewrite(text, "docs/configuration.md")
    assert "([docs/logging.md](docs/logging.md))" in reference.rewrite(text, "README.md")
    assert "old" not in reference.rewrite(text, "README.md")
