"""The walk along a struct's types, with structs that are no configuration of ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import inspect

from zeroscale.config import model
from zeroscale.config.reader import BAD, Walk, fields_of
from zeroscale.errors import ConfigError

BASE = Path("/etc/zeroscale")


class Inner(msgspec.Struct, frozen=True, kw_only=True):
    low: int = 0
    high: int = 10

    def __post_init__(self) -> None:
        if self.low < 0:
            raise ConfigError(f"low {self.low} is below 0")
        if self.low > self.high:
            raise ConfigError("low is above high")


class Outer(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    wait: Annotated[float, msgspec.Meta(ge=0, le=100, extra={"kind": "duration"})] | None = None
    ratio: float = 0.5
    inner: Inner = Inner()
    many: tuple[Inner, ...] = ()
    by_name: Mapping[str, int] = {}
    either: int | bool | None = None
    anything: Mapping[str, Any] = {}
    path: Path | None = None
    mode: Literal["a", "b", 1] = "a"


def walked(table: object) -> tuple[Outer | None, list[str]]:
    walk = Walk(BASE, {"NAME": "from outside"})
    return walk.struct(table, Outer, ""), walk.mistakes


def test_every_shape() -> None:
    table = {
        "name": "x",
        "wait": "1m30s",
        "ratio": 1,
        "inner": {"low": 3},
        "many": [{"low": 1}, {}],
        "by_name": {"a b": 1},
        "either": True,
        "anything": {"a": [1, {"env": "NAME"}], "b": {"c": {"env": "NAME"}}},
        "path": "x/y",
        "mode": 1,
    }
    assert walked(table) == (
        Outer(
            name="x",
            wait=90.0,
            ratio=1.0,
            inner=Inner(low=3),
            many=(Inner(low=1), Inner()),
            by_name={"a b": 1},
            either=True,
            anything={"a": [1, "from outside"], "b": {"c": "from outside"}},
            path=BASE / "x/y",
            mode=1,
        ),
        [],
    )


def test_what_is_no_list_stands_for_a_list_of_one() -> None:
    made, _ = walked({"name": "x", "many": {"low": 2}})
    assert made is not None and made.many == (Inner(low=2),)


@pytest.mark.parametrize(
    ("table", "mistakes"),
    [
        (5, ["5 is not a table"]),
        ({}, ["name: is missing; it must be text in quotes"]),
        ({"name": "x", "inner": {"lwo": 1}}, ['inner.lwo: there is no such key; did you mean "low"?']),
        ({"name": "x", "inner": {"low": -1}}, ["inner.low: -1 is below 0"]),
        ({"name": "x", "inner": {"low": 11}}, ["inner.low: is above high"]),
        ({"name": "x", "inner": {"low": 5, "high": 4}}, ["inner: low is above high"]),
        ({"name": "x", "many": [{}, {"low": "1"}]}, ['many[1].low: "1" is not a whole number']),
        ({"name": "x", "by_name": {"a b": "c"}}, ['by_name."a b": "c" is not a whole number']),
        ({"name": "x", "by_name": [1]}, ["by_name: a list is not a table"]),
        ({"name": "x", "either": 1.5}, ["either: 1.5 is not a whole number or true or false"]),
        ({"name": "x", "ratio": float("inf")}, ["ratio: inf is not a number"]),
        ({"name": "x", "ratio": 10**400}, ["ratio: a number of 1329 bits is not a number"]),
        ({"name": "x", "ratio": True}, ["ratio: true is not a number"]),
        ({"name": "x", "wait": "101s"}, ['wait: "101s" is not a duration from 0 to 100 seconds']),
        ({"name": "x", "wait": {"env": "NAME"}}, ["wait: the text from the environment's NAME is not a duration: a"]),
        ({"name": "x", "mode": True}, ['mode: true is not 1, "a" or "b"']),
        ({"name": "x", "path": "a\0b"}, ['path: "a\\u0000b" is not a path']),
        (
            {"name": 1, "ratio": "x", "inner": {"low": -1}},
            ["name: 1 is not text in quotes", 'ratio: "x" is not a number', "inner.low: -1 is below 0"],
        ),
    ],
)
def test_each_mistake_has_its_path(table: object, mistakes: list[str]) -> None:
    _, found = walked(table)
    assert len(found) == len(mistakes)
    assert all(said.startswith(start) for said, start in zip(found, mistakes, strict=True)), found


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    one: int
    two: int = 0
    three: int = 0

    def __post_init__(self) -> None:
        if self.one < 0:
            raise ConfigError("one is negative")
        if self.three and not self.two:
            raise ConfigError("three needs two")


@pytest.mark.parametrize(
    ("table", "stand_in", "mistakes"),
    [
        ({"one": 1, "two": 1, "three": 1}, {}, []),
        ({"one": 1, "three": 1}, {}, ["pair.three: needs two"]),
        ({"one": -1, "three": 1}, {}, ["pair: one is negative"]),
        ({"one": -1, "three": 1}, {"one": 1}, ["pair.one: is negative", "pair.three: needs two"]),
        ({"two": 1, "three": 1}, {"one": 1}, ["pair.one: is missing; it must be a whole number"]),
        ({"three": 1}, {"one": 1}, ["pair.one: is missing; it must be a whole number", "pair.three: needs two"]),
        ({"three": 1}, {}, ["pair.one: is missing; it must be a whole number"]),
    ],
)
def test_what_a_struct_says_of_itself(table: object, stand_in: dict[str, Any], mistakes: list[str]) -> None:
    walk = Walk(BASE, {})
    values = walk.values(table, Pair, "pair")
    assert values is not None
    assert (walk.made(Pair, values, "pair", stand_in) is None) is bool(mistakes)
    assert walk.mistakes == mistakes


def structs() -> list[type[msgspec.Struct]]:
    found: list[type[msgspec.Struct]] = []
    todo: list[type[msgspec.Struct]] = [model.Config]
    while todo:
        struct = todo.pop()
        found.append(struct)
        todo.extend(
            kind.cls
            for field in fields_of(struct).values()
            for kind in (field.type, getattr(field.type, "item_type", None))
            if isinstance(kind, inspect.StructType)
        )
    return found


@pytest.mark.parametrize("struct", structs())
def test_every_field_of_our_configuration_can_be_walked(struct: type[msgspec.Struct]) -> None:
    """Whoever adds a field of a new shape learns here, and not from an operator, that no file can say it."""
    for name, field in fields_of(struct).items():
        for given in ("x", 1, 1.5, True, [], ["x"], {}, {"env": "X"}):
            Walk(BASE, {}).value(given, field.type, name)


def test_a_shape_that_no_file_can_say_is_a_defect() -> None:
    with pytest.raises(TypeError, match="no file can say"):
        Walk(BASE, {}).value("x", inspect.type_info(bytes), "x")


def test_bad_is_no_value() -> None:
    assert Walk(BASE, {}).value([1, "x"], inspect.type_info(tuple[int, ...]), "x") is BAD
