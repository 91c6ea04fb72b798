"""The configuration keys that a container's labels or a workload's annotations may set.

Permission to label a server must not give more than control of that server: a plugin, a file, a command or another
server's address cannot be set. The keys' metadata says which keys can. Values are plain texts here; the
configuration's reader converts them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from msgspec import Struct

from zeroscale.config.keys import Key, aliases_of, keys_of
from zeroscale.config.model import HIGHEST_PORT, PortConfig, ServerConfig
from zeroscale.errors import suggest

Table = dict[str, object]
"""A server's table, as in the configuration file, with plain texts for values."""

NUMBER = re.compile(r"[0-9]{1,9}")

UDP = "udp:"
"""How a port for datagrams begins."""

FURTHER_PORTS = "ports."
"""How keys of further ports begin: `ports.NAME.KEY`. The name only tells them apart."""

PORT_KEYS = ("listen", "port", "host")
"""Keys of a further port that are no configuration keys, or mean something else here."""


class DescribedPort(Struct, frozen=True):
    """A further port of a server, as labels describe it.

    :ivar table: its table, without the address of the real port.
    :ivar port: the real port, inside the container or of the Service: it cannot be on another machine, or a socket.
    :ivar is_udp: it is for datagrams.
    :ivar where: what its labels are called, for a message.
    """

    table: Table
    port: int
    is_udp: bool
    where: str


@cache
def settable(struct: type[Struct] = ServerConfig) -> dict[str, Key]:
    """Return the keys that may be set, by their names; inside a table such as `texts` every key may."""
    return {name: key for name, key in keys_of(struct).items() if key.labels}


def further_ports(labels: Mapping[str, str], where: str, wrong: list[str]) -> Iterator[DescribedPort]:
    """Return the further ports that labels describe.

    :param labels: all labels, by their keys without our prefix.
    :param where: what a label is called before its key, for a message.
    :param wrong: gets a line for each label that cannot be used.
    """
    given: dict[str, dict[str, str]] = {}
    for key, text in sorted(labels.items()):
        if key.startswith(FURTHER_PORTS):
            name, _, inner = key.removeprefix(FURTHER_PORTS).partition(".")
            given.setdefault(name, {})[inner] = text
    for name, texts in given.items():
        at = f"{where}{FURTHER_PORTS}{name}."
        listen, port = texts.pop("listen", ""), texts.pop("port", "")
        listens = listen_values(listen)
        if listens is None:
            wrong.append(f"{at}listen={listen!r} is not a port, such as 8123 or udp:19132")
        elif not NUMBER.fullmatch(port) or not 1 <= int(port) <= HIGHEST_PORT:
            wrong.append(f"{at}port={port!r} is not a port, such as 8123")
        else:
            is_udp = listens[0].startswith(UDP)
            table: Table = {"listen": listens}
            if host := texts.pop("host", ""):
                table["hosts"] = hosts(host)
            for key, text in texts.items():
                put(table, key, text, at + key, PORT_KEYS, wrong, PortConfig)
            yield DescribedPort(table, int(port), is_udp, at)


def put(
    table: Table,
    key: str,
    text: str,
    where: str,
    special_keys: Sequence[str],
    wrong: list[str],
    struct: type[Struct] = ServerConfig,
) -> None:
    """Write one key into a table.

    :param key: as `idle_shutdown` or `texts.sleeping`.
    :param where: what the label is called, for a message.
    :param special_keys: further keys of labels, which are no configuration keys.
    :param wrong: gets a line if the key may not be set.
    :param struct: what the table becomes.
    """
    parent, dot, inner = key.partition(".")
    known = settable(struct).get(parent.replace("-", "_"))
    if known is not None and known.is_table == bool(dot and inner) == bool(dot):
        if not dot:
            table[key] = text
            return
        inside = table.setdefault(known.name, {})
        assert isinstance(inside, dict)
        inside[inner] = text
        return
    plain = [name for name, each in settable(struct).items() if not each.is_table]
    aliases = {alias: each.name for alias, each in aliases_of(struct).items() if each.labels}
    suggestion = (
        "" if parent.replace("-", "_") in keys_of(struct) else suggest(key, [*special_keys, *plain], aliases, show=str)
    )
    wrong.append(f"{where} is not known: {suggestion}" if suggestion else f"{where} may not be set here")


def listen_values(text: str) -> list[str] | None:
    """Return the ports of a label where zeroscale listens, all of TCP, or all of UDP as `udp:PORT`; see `ports`."""
    if not text.startswith(UDP):
        return ports(text)
    found = hosts(text)
    is_udp = all(each.startswith(UDP) and NUMBER.fullmatch(each.removeprefix(UDP)) for each in found)
    return found if is_udp else None


def ports(text: str) -> list[str] | None:
    """Return the ports of a label; None where it has anything else. An endpoint string could name any file of ours."""
    found = hosts(text.strip("[]"))
    return found if found and all(NUMBER.fullmatch(each) for each in found) else None


def hosts(text: str) -> list[str]:
    """Return names that are separated by commas or blanks."""
    return [host for host in re.split(r"[\s,]+", text) if host]
