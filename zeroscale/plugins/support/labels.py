"""The configuration keys that a container's labels or a workload's annotations may set.

Permission to label a server must not give more than control of that server: a plugin, a file, a command or another
server's address cannot be set. The keys' metadata says which keys can. Values are plain texts here; the
configuration's reader converts them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from zeroscale.config.keys import Key, aliases_of, keys_of
from zeroscale.config.model import ServerConfig
from zeroscale.errors import suggest

Table = dict[str, object]
"""A server's table, as in the configuration file, with plain texts for values."""

NUMBER = re.compile(r"[0-9]{1,9}")


@cache
def settable() -> dict[str, Key]:
    """Return the keys that may be set, by their names; inside a table such as `texts` every key may."""
    return {name: key for name, key in keys_of(ServerConfig).items() if key.labels}


def put(table: Table, key: str, text: str, where: str, special_keys: Sequence[str], wrong: list[str]) -> None:
    """Write one key into a table.

    :param key: as `idle_shutdown` or `texts.sleeping`.
    :param where: what the label is called, for a message.
    :param special_keys: further keys of labels, which are no configuration keys.
    :param wrong: gets a line if the key may not be set.
    """
    parent, dot, inner = key.partition(".")
    known = settable().get(parent.replace("-", "_"))
    if known is not None and known.is_table == bool(dot and inner) == bool(dot):
        if not dot:
            table[key] = text
            return
        inside = table.setdefault(known.name, {})
        assert isinstance(inside, dict)
        inside[inner] = text
        return
    plain = [name for name, each in settable().items() if not each.is_table]
    aliases = {alias: each.name for alias, each in aliases_of(ServerConfig).items() if each.labels}
    suggestion = (
        ""
        if parent.replace("-", "_") in keys_of(ServerConfig)
        else suggest(key, [*special_keys, *plain], aliases, show=str)
    )
    wrong.append(f"{where} is not known: {suggestion}" if suggestion else f"{where} may not be set here")


def ports(text: str) -> list[str] | None:
    """Return the ports of a label; None where it has anything else. An endpoint string could name any file of ours."""
    found = hosts(text.strip("[]"))
    return found if found and all(NUMBER.fullmatch(each) for each in found) else None


def hosts(text: str) -> list[str]:
    """Return names that are separated by commas or blanks."""
    return [host for host in re.split(r"[\s,]+", text) if host]
