"""Every section of docs/protocol.md that the code cites exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SECTIONS = set(re.findall(r"^## \d+\. (.+)$", (ROOT / "docs" / "protocol.md").read_text(), re.MULTILINE))
CITATION = re.compile(r'docs/protocol\.md,\s+((?:"[^"]+"(?:,\s+|\s+and\s+)?)+)')


def test_every_cited_section_exists() -> None:
    cited = {
        (section, path.relative_to(ROOT))
        for folder in ("zeroscale", "tests", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        for sections in CITATION.findall(re.sub(r"\n\s*(?:# )?", " ", path.read_text()))
        for section in re.findall('"([^"]+)"', sections)
    }
    assert len(cited) > 20
    assert sorted((section, str(path)) for section, path in cited if section not in SECTIONS) == []


def test_sections_are_numbered_in_order() -> None:
    numbers = re.findall(r"^## (\d+)\.", (ROOT / "docs" / "protocol.md").read_text(), re.MULTILINE)
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
