"""docs/configuration.md tells the truth: every key, its default, and no other; and what it shows can be read."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec import NODEFAULT, inspect

from zeroscale.config.loader import HIDDEN, SPELLED, parse
from zeroscale.config.model import Config
from zeroscale.config.reader import fields_of

PAGE = (Path(__file__).parent.parent.parent / "docs" / "configuration.md").read_text()
TOP = "Above all tables"
ROW = re.compile(r"^\| `(\w+)` \| [^|]+ \|([^|]*)\|", re.MULTILINE)


def tables() -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """Every struct, by its table's heading."""
    todo: list[tuple[str, type[msgspec.Struct]]] = [("", Config)]
    while todo:
        path, struct = todo.pop()
        yield path, struct
        for name, field in fields_of(struct).items():
            below = f"{path}.{name}".lstrip(".")
            for kind, deeper in ((field.type, below), (getattr(field.type, "item_type", None), f"{below}.NAME")):
                if isinstance(kind, inspect.StructType):
                    todo.append((deeper, kind.cls))


TABLES = dict(tables())


def rows(path: str) -> dict[str, str]:
    """The defaults by their keys, as the page has them."""
    heading = rf"`\[{re.escape(path)}\]`" if path else TOP
    [section] = re.findall(rf"^##+ {heading}\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return {key: default.strip() for key, default in ROW.findall(section)}


@pytest.mark.parametrize("path", TABLES)
def test_every_key_is_told_and_no_other(path: str) -> None:
    keys = set(fields_of(TABLES[path]))
    if path == "servers.NAME":
        keys = keys - {*HIDDEN} | {*SPELLED}
    assert set(rows(path)) == keys


@pytest.mark.parametrize("path", TABLES)
def test_every_default_is_the_real_one(path: str) -> None:
    told = rows(path)
    for name, field in fields_of(TABLES[path]).items():
        if name not in told or isinstance(field.type, inspect.StructType | inspect.DictType):
            continue
        match field.default:
            case None | () | inspect.NoneType():
                assert not re.match(r"[0-9]|true|false", told[name]), name
            case bool() as default:
                assert told[name] == str(default).lower(), name
            case int() | float() as default:
                assert told[name] == f"{default:g}", name
            case str() as default:
                assert told[name] == default, name
            case (str() as default,):
                assert told[name] == default, name
            case _:
                assert field.default is NODEFAULT, name


def test_no_other_table_is_told() -> None:
    told = set(re.findall(r"^##+ `\[(.*)\]`$", PAGE, re.MULTILINE))
    assert told == {*TABLES, "servers.NAME.plugin_arguments", "servers.NAME.texts"} - {""}


def test_the_file_shown_can_be_read() -> None:
    whole, *others = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert [server.name for server in parse(whole, Path("/etc"), {}, 0).servers] == ["survival", "creative"]
    for text in others:
        assert tomllib.loads(re.sub(r"(?s)\ncommand.*", "", text)), text


def test_the_readmes_file_can_be_read() -> None:
    readme = (Path(__file__).parent.parent.parent / "README.md").read_text()
    [text] = re.findall(r"```toml\n(\[servers.*?)```", readme, re.DOTALL)
    assert [server.name for server in parse(text, Path("/etc"), {}, 0).servers] == ["survival"]
