"""A parsed TOML table, walked along the types that it is to become. All mistakes are kept, with their paths.

It knows the types' shapes and no field by its name: a field that is added to a struct can be written in the file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import msgspec
from msgspec import inspect

from zeroscale.config import secret_refs
from zeroscale.config.fields import Kind, bounds, expected, kind_of, within
from zeroscale.config.messages import join, perhaps, show
from zeroscale.errors import ConfigError

T = TypeVar("T", bound=msgspec.Struct)

MOST_MISTAKES = 100
"""As many are told; who makes more is not helped by more."""

BAD: Final = object()
"""Stands for a value that is none; its mistake has been kept."""


@cache
def fields_of(struct: type[msgspec.Struct]) -> Mapping[str, inspect.Field]:
    """A struct's fields, by their names in the file."""
    kind = inspect.type_info(struct)
    assert isinstance(kind, inspect.StructType)
    return {field.encode_name: field for field in kind.fields}


def _required(struct: type[msgspec.Struct]) -> list[str]:
    return [field.name for field in fields_of(struct).values() if field.required]


class Walk:
    """One reading of one file.

    :ivar base: what relative paths start from.
    :ivar mistakes: what is wrong so far, one line each, in the file's order where that can be.

    :param base: what relative paths start from.
    :param environment: where `{ env = ... }` is looked up.
    """

    def __init__(self, base: Path, environment: Mapping[str, str]) -> None:
        self.mistakes: list[str] = []
        self.base = base
        self._environment = environment

    def mistake(self, path: str, text: str) -> None:
        """Keeps a mistake."""
        self.mistakes.append(f"{path}: {text}" if path else text)

    def wrong(self, path: str, value: object, what: str, near: str = "") -> None:
        """Keeps the mistake that a value is not what was expected there."""
        self.mistake(path, f"{show(value)} is not {what}{near}")

    # Structs, which are tables.

    def struct(self, table: object, struct: type[T], path: str) -> T | None:
        """A struct, without what is wrong in its table; None where there can be none."""
        values = self.values(table, struct, path)
        return self.made(struct, values, path) if values is not None else None

    def values(
        self,
        table: object,
        struct: type[msgspec.Struct],
        path: str,
        *,
        spelled: Collection[str] = (),
        hidden: Collection[str] = (),
        hints: Mapping[str, str] = {},
    ) -> dict[str, Any] | None:
        """The values of a struct's fields that a table gives, the bad ones left out.

        :param spelled: further keys, that the caller reads.
        :param hidden: fields that are spelled otherwise, and so may not be written.
        :param hints: what to say of keys that are not there.
        :returns: by field; None where it is no table.
        """
        if not isinstance(table, dict):
            self.wrong(path, table, "a table")
            return None
        known = {key: field for key, field in fields_of(struct).items() if key not in hidden}
        values = {}
        for key, given in table.items():
            if key in known:
                value = self.value(given, known[key].type, join(path, key))
                if value is not BAD:
                    values[known[key].name] = value
            elif key not in spelled:
                keys = sorted({*known, *spelled})
                hint = hints.get(key) or perhaps(key, keys).removeprefix("; ") or f"there are {', '.join(keys)}"
                self.mistake(join(path, key), f"there is no such key; {hint}")
        for key, field in known.items():
            if field.required and key not in spelled and key not in table:
                self.mistake(join(path, key), f"is missing; it must be {expected(field.type)}")
        return values

    def made(self, struct: type[T], values: Mapping[str, Any], path: str, stand_in: Mapping[str, Any] = {}) -> T | None:
        """The struct of these values.

        What it says of itself is laid to the field that it says it of: the one that it refuses without the others.

        :param stand_in: values of required fields that nobody could refuse.
        :returns: None where it refuses them, or lacks one.
        """
        try:
            made = struct(**{**stand_in, **values})
        except ConfigError as error:
            if not self._refused_alone(struct, values, path, stand_in):
                self.mistake(path, str(error))
            return None
        except TypeError:  # a required field is missing that has no stand-in: there is nothing to be judged
            return None
        return made if all(name in values for name in _required(struct)) else None

    def _refused_alone(
        self, struct: type[msgspec.Struct], values: Mapping[str, Any], path: str, stand_in: Mapping[str, Any]
    ) -> bool:
        base = {**{name: values[name] for name in _required(struct) if name in values}, **stand_in}
        try:
            struct(**base)
        except ConfigError:  # what must be there is refused already
            return False
        refused = False
        for key, field in fields_of(struct).items():
            if field.name in values:
                try:
                    struct(**{**base, field.name: values[field.name]})
                except ConfigError as error:
                    message = re.sub(rf"^(\w+\.)?{field.name}:? ", "", str(error))  # which the path says
                    self.mistake(join(path, key), message)
                    refused = True
        return refused

    # Single values.

    def value(self, given: object, kind: inspect.Type, path: str) -> Any:
        """One value, or BAD."""
        match kind:
            case inspect.Metadata():
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
                return self.text(given, path, expected(kind))
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
                raise TypeError(f"{path}: no file can say a {kind}")
        if good:
            return given
        self.wrong(path, given, expected(kind))
        return BAD

    def text(self, given: object, path: str, what: str) -> Any:
        """A text, or what a reference to one means; or BAD."""
        if isinstance(given, str):
            return given
        if secret_refs.is_reference(given):
            try:
                return secret_refs.resolve(cast(dict[str, object], given), self.base, self._environment)
            except ConfigError as error:
                self.mistake(path, str(error))
        else:
            self.wrong(path, given, what)
        return BAD

    def _one_of(self, given: object, kind: inspect.UnionType, path: str) -> Any:
        """TOML has no null: what may be None is left out."""
        kinds = [each for each in kind.types if not isinstance(each, inspect.NoneType)]
        if len(kinds) == 1:
            return self.value(given, kinds[0], path)
        for each in kinds:
            trial = Walk(self.base, self._environment)
            value = trial.value(given, each, path)
            if not trial.mistakes:
                return value
        self.wrong(path, given, expected(kind))
        return BAD

    def _list(self, given: object, kind: inspect.VarTupleType, path: str) -> Any:
        """A list; what is none stands for a list of one."""
        if not isinstance(given, list):
            value = self.value(given, kind.item_type, path)
            return BAD if value is BAD else (value,)
        values = [self.value(each, kind.item_type, f"{path}[{index}]") for index, each in enumerate(given)]
        return BAD if BAD in values else tuple(values)

    def _table(self, given: object, kind: inspect.DictType, path: str) -> Any:
        if not isinstance(given, dict):
            self.wrong(path, given, "a table")
            return BAD
        values = {key: self.value(each, kind.value_type, join(path, key)) for key, each in given.items()}
        return BAD if BAD in values.values() else values

    def _anything(self, given: object, path: str) -> Any:
        if secret_refs.is_reference(given):
            return self.text(given, path, "")
        match given:
            case dict():
                values = {key: self._anything(each, join(path, key)) for key, each in given.items()}
                return BAD if BAD in values.values() else values
            case list():
                items = [self._anything(each, f"{path}[{index}]") for index, each in enumerate(given)]
                return BAD if BAD in items else items
        return given

    def _path(self, given: object, path: str) -> Any:
        text = self.text(given, path, "a path in quotes")
        if text is BAD:
            return BAD
        if not text or "\0" in text:
            self.wrong(path, text, "a path")
            return BAD
        return self.base / text

    def _literal(self, given: object, kind: inspect.LiteralType, path: str) -> Any:
        # 1 == True, and both are hashable; a list is not
        if any(given == value and type(given) is type(value) for value in kind.values):
            return given
        words = [value for value in kind.values if isinstance(value, str)]
        self.wrong(path, given, expected(kind), perhaps(given, words) if isinstance(given, str) else "")
        return BAD

    def _special(self, given: object, special: Kind, kind: inspect.Metadata, path: str) -> Any:
        """A value that is more than its type says."""
        if secret_refs.is_reference(given):
            given = self.text(given, path, "")
            if given is BAD:
                return BAD
        try:
            value = special.read(given, self.base)
        except ValueError as error:
            self.wrong(path, given, special.expected, str(error))
            return BAD
        if isinstance(kind.type, inspect.FloatType) and not within(value, kind.type):
            self.wrong(path, given, f"a duration{bounds(kind.type)} seconds")
            return BAD
        return value
