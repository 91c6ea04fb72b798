"""The metadata of a configuration key: help, command-line option, aliases, whether labels may set it.

It stands once, in the metadata of the struct's field in `config.model`: `key()` writes it there and `keys_of()` reads
it. The reader, the command line, labels and the reference pages take it from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import msgspec
from msgspec import Struct, inspect


class Key(Struct, frozen=True, kw_only=True):
    """One key of a table of the configuration.

    :ivar field: the struct's field with its type and default.
    :ivar name: the key in the file, with underscores.
    :ivar help: what it does, for `--help` and the reference pages; `docs/...` in it becomes a link there.
    :ivar details: more of it, for the page of the configuration file only.
    :ivar default: the default in words, if the value itself does not say it.
    :ivar group: the title of its option's group in `--help`; "": it has no option.
    :ivar option: the option's name, with underscores; "": the field's name.
    :ivar short: the option's letter.
    :ivar metavar: the word for the option's value; "": taken from the type.
    :ivar aliases: names that people type for it by mistake.
    :ivar hint: what to write instead of an alias, if the key's name alone is not enough.
    :ivar labels: whether a container's labels or a workload's annotations may set it; of a table: all keys in it.
    :ivar part_of: the key that this field is a part of; it is no key of its own then.
    :ivar internal: it cannot be written in a file.
    """

    field: inspect.Field
    name: str
    help: str = ""
    details: str = ""
    default: str = ""
    group: str = ""
    option: str = ""
    short: str = ""
    metavar: str = ""
    aliases: tuple[str, ...] = ()
    hint: str = ""
    labels: bool = False
    part_of: str = ""
    internal: bool = False

    @property
    def type(self) -> inspect.Type:
        """The type of its values."""
        return self.field.type

    @property
    def option_name(self) -> str:
        """The name of its option, without the dashes before it."""
        return (self.option or self.field.name).replace("_", "-")

    @property
    def is_table(self) -> bool:
        """Whether it has keys of its own in a file."""
        return struct_of(self.type) is not None or self.field.default_factory is dict

    @property
    def is_written(self) -> bool:
        """Whether a file can have it."""
        return not self.internal and not self.part_of


def key(help: str = "", *, kind: str = "", **extra: object) -> msgspec.Meta:
    """Return the metadata of a field.

    :param help: see `Key`.
    :param kind: how its values are read, if the type alone is not enough; see `config.fields`.
    :param extra: more attributes of `Key`.
    """
    return msgspec.Meta(description=help, extra={"key": extra, **({"kind": kind} if kind else {})})


@cache
def all_keys(struct: type[msgspec.Struct]) -> tuple[Key, ...]:
    """Return a key for each field of a struct, also for fields that no file can have."""
    kind = inspect.type_info(struct)
    assert isinstance(kind, inspect.StructType)
    return tuple(_key(field) for field in kind.fields)


@cache
def keys_of(struct: type[msgspec.Struct]) -> Mapping[str, Key]:
    """Return the keys of a struct's table, by their names in the file."""
    return {each.name: each for each in all_keys(struct) if each.is_written}


@cache
def aliases_of(struct: type[msgspec.Struct]) -> Mapping[str, Key]:
    """Return the keys by their aliases."""
    found = {alias: each for each in all_keys(struct) for alias in each.aliases}
    return found | {each.name: each for each in all_keys(struct) if not each.is_written and each.hint}


def struct_of(kind: inspect.Type) -> type[msgspec.Struct] | None:
    """Return the struct that a type is, or None."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind.cls if isinstance(kind, inspect.StructType) else None


def _key(field: inspect.Field) -> Key:
    kind = field.type
    if not isinstance(kind, inspect.Metadata):
        return Key(field=field, name=field.name)
    text = (kind.extra_json_schema or {}).get("description", "")
    return Key(**{"field": field, "name": field.name, "help": text, **(kind.extra or {}).get("key", {})})
