"""A further port in one text, as on the command line: LISTEN=SERVER[,KEY=VALUE...]. Pure."""

from __future__ import annotations

import re

EXAMPLE = "8123=8100,protocol=http,wakes"


def parse_port(text: str) -> dict[str, object]:
    r"""Return the table of a further port, with plain texts for values.

    A key without a value is true. LISTEN may have a `=` in it. A comma within a value is written as `\,`.

    :raises ValueError: it is no such text; the message is to be appended to it.
    """
    first, *rest = (item.replace("\\,", ",") for item in re.split(r"(?<!\\),", text))
    listen, _, server = first.rpartition("=")
    if not listen.strip() or not server.strip():
        raise ValueError(f"is not LISTEN=SERVER[,KEY=VALUE...], such as {EXAMPLE}")
    table: dict[str, object] = {"listen": listen.strip(), "server": server.strip()}
    for item in rest:
        name, equals, value = item.partition("=")
        name = name.strip().replace("-", "_")
        if not name:
            raise ValueError("has a comma with no key behind it")
        if name in table:
            raise ValueError(f"has {name} twice")
        table[name] = value.strip() if equals else "yes"
    return table
