"""The pages for users, and their fenced blocks. machine.py has a machine to run them in, as printed."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in [*ROOT.glob("*.md"), ROOT / "benchmarks" / "README.md", *(ROOT / "docs").rglob("*.md")]
    if path.name != "CHANGELOG.md"
)
"""Every page with commands or files for users, by its path from the top directory."""

_FENCED = re.compile(
    r"""^(?P<indent>[ ]*)
    (?:<!--[ ](?P<mark>[^\n]*?)[ ]-->\n(?P=indent))?
    ```(?P<language>[^\n]*)\n
    (?P<text>.*?)
    ^(?P=indent)```[ ]*$""",
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)
_TYPED = re.compile(r"^\$ ((?:.*\\\n)*.*\n)", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block of a page.

    :ivar mark: the HTML comment on the line before it, without its brackets; "": there is none.
    :ivar line: where it begins, from 1.
    """

    page: str
    language: str
    text: str
    mark: str
    line: int

    @property
    def commands(self) -> str:
        """What the reader types: all of a block `sh`; of a block `console` what follows the prompts."""
        return self.text if self.language == "sh" else "".join(_TYPED.findall(self.text))

    @property
    def output(self) -> list[str]:
        """The lines of a block `console` that a program prints."""
        return _TYPED.sub("", self.text).splitlines()


def blocks(page: str, language: str | None = None) -> list[Block]:
    """Return the fenced blocks of a page, without the indent of a list.

    :param page: as in `PAGES`.
    :param language: only the blocks in this one.
    """
    text = (ROOT / page).read_text()
    return [
        Block(
            page,
            each["language"],
            textwrap.dedent(each["text"]),
            each["mark"] or "",
            text[: each.start()].count("\n") + 1,
        )
        for each in _FENCED.finditer(text)
        if language in (None, each["language"])
    ]


def block(page: str, first_words: str) -> Block:
    """Return the one block of a page whose text begins so. Each test that runs a marked block reads it by this."""
    found = [each for each in blocks(page) if each.text.startswith(first_words)]
    assert len(found) == 1, f"{page} has {len(found)} blocks that begin with {first_words!r}"
    return found[0]
