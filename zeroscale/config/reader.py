"""Convert a table from TOML, a command line or labels into the configuration's structs, and keep all mistakes.

It reads by the fields' types and uses no key by name: a field that is added to a struct can be written in the file. In
text mode every value is plain text, as on a command line and in labels.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final, TypeVar, cast

import msgspec
from msgspec import inspect

from zeroscale.config import secret_refs
from zeroscale.config.fields import FieldValues, Kind, bounds, expected, kind_of, within
from zeroscale.config.keys import Key, aliases_of, all_keys, keys_of
from zeroscale.config.messages import Mistake, Mistakes, join, show
from zeroscale.errors import ConfigError, suggest

T = TypeVar("T", bound=msgspec.Struct)

BAD: Final = object()
"""A value that could not be read; its mistake has been kept."""

_COMMAND = 'a command: a program and its arguments, such as ["./start.sh", "--nogui"]'
_WORDS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


class TableReader:
    """Reads one configuration, or one table of it.

    :ivar base: the directory that relative paths start from.
    :ivar mistakes: the mistakes so far, in the order of reading.
    :ivar secret_variables: the environment variables that were named by `{ env = ... }`.

    :param base: the directory that relative paths start from.
    :param environment: where `{ env = ... }` is looked up.
    :param text: whether all values are plain text.
    :param name_of: how a key is called where it was written; None: as in the file.
    :param mistakes: earlier mistakes, to which more are added.
    """

    def __init__(
        self,
        base: Path,
        environment: Mapping[str, str],
        *,
        text: bool = False,
        name_of: Callable[[Key], str] | None = None,
        mistakes: Mistakes | None = None,
    ) -> None:
        self.mistakes = Mistakes() if mistakes is None else mistakes
        self.secret_variables: set[str] = set()
        self.base = base
        self._environment = environment
        self._is_text = text
        self._name_of = name_of

    def mistake(self, path: str, text: str) -> None:
        """Keep a mistake."""
        self.mistakes.add(Mistake(path, text))

    def wrong(self, path: str, value: object, what: str, suggestion: str = "") -> None:
        """Keep the mistake that a value is not what was expected there."""
        self.mistake(path, f"{show(value)} is not {what}{suggestion}")

    # Structs, which are tables.

    def struct(self, table: object, struct: type[T], path: str) -> T | None:
        """Return a struct, without what is wrong in its table; None where it is no table."""
        values = self.values(table, struct, path)
        return self.made(struct, values, path) if values is not None else None

    def values(
        self, table: object, struct: type[msgspec.Struct], path: str, *, provided: Collection[str] = ()
    ) -> dict[str, object] | None:
        """Return the values that a table gives, by the struct's fields, without the bad ones; None: it is no table.

        :param provided: keys that the table may lack though they have no default.
        """
        if not isinstance(table, dict):
            self.wrong(path, table, "a table")
            return None
        keys = keys_of(struct)
        values: dict[str, object] = {}
        written: dict[str, str] = {}
        for name, given in table.items():
            key = keys.get(name) or keys.get(name.replace("-", "_"))
            if key is None:
                self.mistake(join(path, name), f"there is no such key; {_meant(name, struct)}")
            elif key.name in written:
                self.mistake(join(path, key.name), f"is there twice, also as {written[key.name]}; leave out {name}")
            else:
                written[key.name] = name
                value = self.value(given, key.type, join(path, key.name))
                if isinstance(value, FieldValues):
                    values.update(value)
                elif value is not BAD:
                    values[key.field.name] = value
        for name, key in keys.items():
            if key.field.required and name not in written and name not in provided:
                self.mistake(join(path, name), f"is missing; it must be {expected(key.type, self._is_text)}")
        return values

    def made(self, struct: type[T], values: Mapping[str, object], path: str) -> T:
        """Return the struct of these values; what is missing is None, and its mistake has been kept.

        Rules of the struct that are broken are kept as mistakes.
        """
        keys = {key.field.name: key for key in all_keys(struct)}
        made = struct(**{**{name: None for name, key in keys.items() if key.field.required}, **values})
        for rule in getattr(struct, "RULES", ()):
            involved = [keys[name] for name in rule.keys]
            paths = [join(path, key.part_of or key.name) for key in involved]
            given = [getattr(made, name) for name in rule.keys]
            if not any(map(self.mistakes.is_bad, paths)) and rule.is_broken(*given):
                names = [self._name_of(key) if self._name_of else key.part_of or key.name for key in involved]
                text = rule.text.format(*names, values=[show(value) for value in given])
                self.mistakes.add(Mistake(paths[0], text, where=names[0] if self._name_of else None))
        return made

    # Single values.

    def value(self, given: object, kind: inspect.Type, path: str) -> object:
        """Return one value, or BAD."""
        if self._is_text and isinstance(given, str):
            given = _from_text(given, kind)
        match kind:
            case inspect.Metadata():
                if (kind.extra or {}).get("kind") == "plugin_arguments":
                    return self._plugin_arguments(given, path)
                special = kind_of(kind)
                return self._special(given, special, kind, path) if special else self.value(given, kind.type, path)
            case inspect.UnionType():
                return self._one_of(given, kind, path)
            case inspect.StructType():
                made = self.struct(given, kind.cls, path)
                return BAD if made is None else made
            case inspect.VarTupleType():
                return self._list(given, kind, path)
            case inspect.DictType():
                return self._table(given, kind, path)
            case inspect.AnyType():
                return self._anything(given, path)
            case inspect.StrType():
                return self.text(given, path, self._expected(kind))
            case inspect.CustomType() if kind.cls is Path:
                return self._path(given, path)
            case inspect.BoolType():
                good = isinstance(given, bool)
            case inspect.IntType():
                good = isinstance(given, int) and not isinstance(given, bool) and within(given, kind)
            case inspect.FloatType():
                good = isinstance(given, int | float) and not isinstance(given, bool) and within(given, kind)
                given = float(cast(float, given)) if good else given
            case inspect.LiteralType():
                return self._literal(given, kind, path)
            case _:
                raise TypeError(f"{path}: no file can have a {kind}")
        if good:
            return given
        self.wrong(path, given, self._expected(kind))
        return BAD

    def text(self, given: object, path: str, what: str) -> object:
        """Return a text, or the text that a reference names, or BAD."""
        if isinstance(given, str):
            return given
        if self._is_reference(given):
            reference = cast(dict[str, object], given)
            try:
                secret = secret_refs.resolve(reference, self.base, self._environment)
            except ConfigError as error:
                self.mistake(path, str(error))
            else:
                if "env" in reference:
                    self.secret_variables.add(str(reference["env"]))
                return secret
        else:
            self.wrong(path, given, what)
        return BAD

    def _is_reference(self, given: object) -> bool:
        """Return whether a value refers to a secret: plain texts do not, since labels may be others'."""
        return not self._is_text and secret_refs.is_reference(given)

    def _one_of(self, given: object, kind: inspect.UnionType, path: str) -> object:
        """Read a value of one of several types. TOML has no null: a key that may be None is left out."""
        kinds = [each for each in kind.types if not isinstance(each, inspect.NoneType)]
        if len(kinds) == 1:
            return self.value(given, kinds[0], path)
        for each in kinds:
            trial = TableReader(self.base, self._environment, text=self._is_text)
            value = trial.value(given, each, path)
            if not trial.mistakes:
                self.secret_variables |= trial.secret_variables
                return value
        self.wrong(path, given, self._expected(kind))
        return BAD

    def _list(self, given: object, kind: inspect.VarTupleType, path: str) -> object:
        """Read a list; a value that is none stands for a list of one."""
        if not isinstance(given, list):
            value = self.value(given, kind.item_type, path)
            return BAD if value is BAD else (value,)
        if kind.min_length and len(given) < kind.min_length:
            self.wrong(path, given, self._expected(kind))
            return BAD
        if kind.max_length is not None and len(given) > kind.max_length:
            self.mistake(path, f"has {len(given)} items; at most {kind.max_length} are possible")
            return BAD
        values = [self.value(each, kind.item_type, f"{path}[{index}]") for index, each in enumerate(given)]
        return BAD if BAD in values else tuple(values)

    def _table(self, given: object, kind: inspect.DictType, path: str) -> object:
        if not isinstance(given, dict):
            self.wrong(path, given, "a table")
            return BAD
        values = {key: self.value(each, kind.value_type, join(path, key)) for key, each in given.items()}
        return BAD if BAD in values.values() else values

    def _anything(self, given: object, path: str) -> object:
        if self._is_reference(given):
            return self.text(given, path, "")
        match given:
            case dict():
                return self._members(given, path)
            case list():
                items = [self._anything(each, f"{path}[{index}]") for index, each in enumerate(given)]
                return BAD if BAD in items else items
        return given

    def _members(self, table: Mapping[str, object], path: str) -> object:
        values = {key: self._anything(each, join(path, key)) for key, each in table.items()}
        return BAD if BAD in values.values() else values

    def _path(self, given: object, path: str) -> object:
        text = self.text(given, path, "a path" if self._is_text else "a path in quotes")
        if not isinstance(text, str):
            return BAD
        if not text or "\0" in text:
            self.wrong(path, text, "a path")
            return BAD
        return self.base / text

    def _literal(self, given: object, kind: inspect.LiteralType, path: str) -> object:
        # 1 == True, and both are hashable; a list is not
        if any(given == value and type(given) is type(value) for value in kind.values):
            return given
        words = [value for value in kind.values if isinstance(value, str)]
        suggestion = suggest(given, words, show=show) if isinstance(given, str) else ""
        self.wrong(path, given, self._expected(kind), suggestion and f"; {suggestion}")
        return BAD

    def _special(self, given: object, special: Kind, kind: inspect.Metadata, path: str) -> object:
        """Read a value of a `Kind`."""
        if self._is_reference(given):
            given = self.text(given, path, "")
            if given is BAD:
                return BAD
        try:
            value = special.read(given, self.base)
        except ValueError as error:
            self.wrong(path, given, special.expected, str(error))
            return BAD
        if isinstance(kind.type, inspect.FloatType) and not within(cast(float, value), kind.type):
            self.wrong(path, given, f"a duration{bounds(kind.type)} seconds")
            return BAD
        return value

    def _plugin_arguments(self, given: object, path: str) -> object:
        """Read a plugin's arguments: in a file `command` has the positional ones, every other key is a keyword."""
        if not isinstance(given, dict):
            self.wrong(path, given, "a table")
            return BAD
        keywords = dict(given)
        values = FieldValues()
        if "command" in keywords:
            command = self._anything(keywords.pop("command"), join(path, "command"))
            if command is not BAD:
                values["plugin_positional"] = self._words(command, join(path, "command"))
        arguments = self._members(keywords, path)  # an argument may be named `file`
        return values if arguments is BAD else FieldValues({**values, "plugin_keywords": arguments})

    def _words(self, command: object, path: str) -> tuple[str, ...]:
        if isinstance(command, str):
            try:
                words = tuple(shlex.split(command))
            except ValueError as error:
                self.wrong(path, command, "a command that can be split into words", f": {str(error).lower()}")
                return ()
            if not words:
                self.wrong(path, command, _COMMAND)
            return words
        if isinstance(command, list) and command:
            for index, word in enumerate(command):
                if not isinstance(word, str | int) or isinstance(word, bool):
                    self.wrong(f"{path}[{index}]", word, "text in quotes")
            return tuple(word if isinstance(word, str) else show(word) for word in command)
        self.wrong(path, command, _COMMAND)
        return ()

    def _expected(self, kind: inspect.Type) -> str:
        return expected(kind, self._is_text)


def _meant(name: str, struct: type[msgspec.Struct]) -> str:
    """Return a suggestion for an unknown key."""
    aliases = aliases_of(struct)
    key = aliases.get(name.replace("-", "_"))
    if key is not None and key.hint:
        return key.hint
    known = keys_of(struct)
    targets = {alias: each.name for alias, each in aliases.items() if each.is_written}
    return suggest(name, known, targets, show=show) or f"there are {', '.join(sorted(known))}"


def _from_text(text: str, kind: inspect.Type) -> object:
    """Return what a plain text means where a value of this type is expected; the text itself where it means none."""
    match kind:
        case inspect.BoolType():
            return _WORDS.get(text.lower(), text)
        case inspect.IntType() if re.fullmatch("-?[0-9]{1,18}", text):
            return int(text)
        case inspect.FloatType() if re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]{1,18})?", text):
            return float(text)
        case inspect.LiteralType():
            return next((value for value in kind.values if str(value) == text), text)
        case inspect.VarTupleType(item_type=inspect.Metadata() as item) if (special := kind_of(item)) is not None:
            return _items(text, special.separator)
        case inspect.VarTupleType():
            return _items(text)
    return text


def _items(text: str, separator: str = r"[\s,]+") -> list[str]:
    """Return the items of a list: as TOML in brackets, or with a separator between them."""
    if text.startswith("["):
        import tomllib

        try:
            items = tomllib.loads(f"items = {text}")["items"]
        except tomllib.TOMLDecodeError:
            return [text]
        # A table could name a variable of our environment, or a file.
        good = isinstance(items, list) and all(isinstance(each, str | int | float) for each in items)
        return [str(each) for each in items] if good else [text]
    return [item for item in re.split(separator, text.strip()) if item]
