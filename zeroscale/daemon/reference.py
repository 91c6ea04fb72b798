"""The tables of keys, options and metrics in the documentation, written from the code that defines them.

`python -m zeroscale.daemon.reference`, in a checkout, writes them anew between their marks: `<!-- keys: log -->`,
`<!-- options: the proxy -->`, `<!-- labels: keys -->`, `<!-- labels: ports -->`,
`<!-- metrics: all -->` and `<!-- end -->`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import NODEFAULT, inspect

from zeroscale.config.fields import brief
from zeroscale.config.keys import Key, keys_of, struct_of
from zeroscale.config.model import Config, PortConfig, ServerConfig
from zeroscale.control import metrics
from zeroscale.daemon.parser import build_parser, default_of, options

ROOT = Path(__file__).parent.parent.parent
PAGES = ("docs/command-line.md", "docs/configuration.md", "docs/docker.md", "docs/kubernetes.md", "docs/metrics.md")

TOP = "top"
"""The mark's name for the keys above all tables."""

_MARKED = re.compile(r"(<!-- (keys|options|labels|metrics): (.+?) -->).*?(<!-- end -->)", re.DOTALL)


def structs() -> dict[str, type[msgspec.Struct]]:
    """Return the structs of all tables by their paths in the file: `log`, `servers.NAME`, `[notify]`."""
    return dict(_structs("", Config))


def rewrite(text: str, page: str) -> str:
    """Return the text of a page with its tables written anew.

    :param page: the path of the page in the checkout, from which its links start.
    """

    def table(found: re.Match[str]) -> str:
        if found[2] == "labels":
            return f"{found[1]}{_label_keys(PortConfig if found[3] == 'ports' else ServerConfig)}{found[4]}"
        match found[2]:
            case "keys":
                rows = _key_rows(structs()[found[3]])
            case "options":
                rows = _option_rows(found[3])
            case _:
                rows = _metric_rows()
        lines = "\n".join(_linked(row, page) for row in rows)
        return f"{found[1]}\n\n{lines}\n\n{found[4]}"

    return _MARKED.sub(table, text)


def main() -> None:
    """Write all pages."""
    for page in PAGES:
        path = ROOT / page
        path.write_text(rewrite(path.read_text(), page))


def _structs(path: str, struct: type[msgspec.Struct]) -> Iterator[tuple[str, type[msgspec.Struct]]]:
    yield path or TOP, struct
    for name, key in keys_of(struct).items():
        below = f"{path}.{name}" if path else name
        inner = struct_of(key.type)
        if inner is not None:
            yield from _structs(below, inner)
        elif isinstance(key.type, inspect.Metadata) and isinstance(key.type.type, inspect.VarTupleType):
            item = struct_of(key.type.type.item_type)
            if item is not None:
                named = (key.type.extra or {}).get("kind") == "servers"
                yield from _structs(f"{below}.NAME" if named else f"[{below}]", item)


def _key_rows(struct: type[msgspec.Struct]) -> Iterator[str]:
    yield "| key | value | default | |"
    yield "|---|---|---|---|"
    for name, key in keys_of(struct).items():
        text = "; ".join(part for part in (key.help, key.details) if part)
        yield f"| `{name}` | {brief(key.type)} | {_default(key)} | {text} |"


def _default(key: Key) -> str:
    if isinstance(key.field.default, bool):
        return str(key.field.default).lower()
    if key.field.required and not key.default:
        return "" if key.name == "servers" else "must be given"
    return "" if key.field.default is NODEFAULT and not key.default else default_of(key)


def _label_keys(struct: type[msgspec.Struct]) -> str:
    """Return the keys of a table that labels may set; tables in it are described on the pages."""
    keys = keys_of(struct).items()
    return ", ".join(f"`{name}`" for name, key in keys if key.labels and not key.is_table)


def _option_rows(title: str) -> Iterator[str]:
    known = {option.dest: option for option in options()}
    [group] = [group for group in build_parser("zeroscale")._action_groups if group.title == title]
    yield f"| {title} | default | |"
    yield "|---|---|---|"
    for action in group._group_actions:
        option = known.get(action.dest)
        names = ", ".join(f"`{name}`" for name in action.option_strings)
        metavar = str(action.metavar or "")
        if metavar.startswith("{"):
            *words, last = metavar.strip("{}").split(",")
            metavar = f"{', '.join(words)} or {last}"
        help_text = (action.help or "").replace("%%", "%") if option is None else option.key.help
        if option is not None and option.is_repeatable:
            help_text += "; may be given several times"
        yield (
            f"| {names} {metavar}".rstrip()
            + f" | {option.default if option and not option.is_repeatable else ''} | {help_text} |"
        )


def _metric_rows() -> Iterator[str]:
    yield "| metric | type | labels | value |"
    yield "|---|---|---|---|"
    for metric in metrics.describe():
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        yield f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |"


def _linked(row: str, page: str) -> str:
    """Return a row with links in place of the paths of pages."""

    def link(found: re.Match[str]) -> str:
        target = found[0] if "/" not in page else found[1]
        return f"[{target}]({target})"

    return re.sub(r"docs/([a-z_]+\.md)", link, row)


if __name__ == "__main__":
    main()
