"""Every block of the pages has a language; a block of commands names the test that runs it, or why none does."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from pages import PAGES, ROOT, Block, blocks

LANGUAGES = {
    *("console", "cpp", "haproxy", "ini", "java", "js", "json", "mermaid", "nginx", "promql", "properties", "python"),
    *("sh", "text", "toml", "yaml"),
}
MARK = re.compile(r"run: (tests/[\w/]+\.py)|not run: \S.+|file: \S+")
"""What stands in the comment before commands."""


def has_commands(block: Block) -> bool:
    return block.language == "sh" or (block.language == "console" and block.commands != "")


def literals(file: Path) -> set[str]:
    """The strings of a test file."""
    nodes = ast.walk(ast.parse(file.read_text()))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def mistake(block: Block) -> str:
    """Return what is wrong with a block; "": nothing."""
    if block.language not in LANGUAGES:
        return f"{block.language!r} is not a language of blocks"
    if not has_commands(block):
        return ""
    marked = MARK.fullmatch(block.mark)
    if marked is None:
        return "no comment on the line before says which test runs it: <!-- run: tests/FILE.py -->"
    if marked[1] is None:
        return ""
    file = ROOT / marked[1]
    if not file.exists():
        return f"there is no {marked[1]}"
    found = literals(file)
    if block.page not in found:
        return f"{marked[1]} does not read {block.page}"
    if not any(len(each.split()) > 1 and block.text.startswith(each) for each in found):
        return f'{marked[1]} has no block("{block.page}", ...) with its first words'
    return ""


@pytest.mark.parametrize("page", PAGES)
def test_blocks_have_a_language_and_commands_a_test(page: str) -> None:
    mistakes = [f"line {block.line}: {found}" for block in blocks(page) if (found := mistake(block))]
    assert mistakes == []


@pytest.mark.parametrize("page", PAGES)
def test_every_fence_is_read(page: str) -> None:
    fences = re.findall(r"^ *```", (ROOT / page).read_text(), re.MULTILINE)
    assert len(fences) == 2 * len(blocks(page))


@pytest.mark.parametrize("page", PAGES)
def test_test_files_in_comments_exist(page: str) -> None:
    named = {name for block in blocks(page) for name in re.findall(r"tests/[\w/.]+", block.mark)}
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_mistakes_are_found() -> None:
    this = Block("docs/x.md", "sh", "zeroscalectl frobnicate\n", "run: tests/test_pages.py", 1)
    assert mistake(this) == ""  # its page and first words stand here
    assert "tests/test_pages.py does not read docs/y" in mistake(this._replace(page="docs" + "/y.md"))
    assert "with its first words" in mistake(this._replace(text="zeroscale"))
    assert "there is no tests/no.py" in mistake(this._replace(mark="run: tests/no.py"))
    assert "no comment" in mistake(this._replace(mark=""))
    assert "no comment" in mistake(this._replace(mark="not run: "))
    assert "is not a language" in mistake(this._replace(language="", mark=""))
    assert mistake(this._replace(mark="not run: an editor waits for its user")) == ""
    assert mistake(this._replace(language="toml", mark="")) == ""
    assert mistake(this._replace(language="console", text="INFO: a line of the log\n", mark="")) == ""
    assert "no comment" in mistake(this._replace(language="console", text="$ zeroscale\nINFO\n", mark=""))


def test_commands_and_output_of_a_session() -> None:
    session = Block("docs/x.md", "console", "$ one \\\n    more\nsaid\n$ two\nsaid $ too\n", "", 1)
    assert session.commands == "one \\\n    more\ntwo\n"
    assert session.output == ["said", "said $ too"]
