"""docs/configuration.md has every table and no other, and the files that it shows can be read."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from pages import blocks

from zeroscale.config.loader import parse
from zeroscale.daemon.reference import TOP, structs

PAGE = (Path(__file__).parent.parent.parent / "docs" / "configuration.md").read_text()


def test_every_table_is_on_the_page() -> None:
    assert re.findall(r"^<!-- keys: (.*) -->$", PAGE, re.MULTILINE) == list(structs())


def test_no_other_table_is_on_the_page() -> None:
    headings = set(re.findall(r"^##+ `\[(.*)\]`$", PAGE, re.MULTILINE))
    assert headings == {
        *structs(),
        "servers.NAME.environment",
        "servers.NAME.plugin_arguments",
        "servers.NAME.texts",
    } - {TOP}


def test_the_file_shown_can_be_read() -> None:
    whole, *others = [block.text for block in blocks("docs/configuration.md", "toml")]
    assert [server.name for server in parse(whole, Path("/etc"), {}, 0).servers] == ["survival", "creative"]
    for text in others:
        assert tomllib.loads(re.sub(r"(?s)\ncommand.*", "", text)), text
