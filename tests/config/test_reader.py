"""The reader, with structs of the tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import msgspec
import pytest
from msgspec import inspect

from zeroscale.config import model
from zeroscale.config.fields import KINDS
from zeroscale.config.keys import key, keys_of
from zeroscale.config.model import Rule, ScheduleWindow
from zeroscale.config.reader import BAD, TableReader

BASE = Path("/etc/zeroscale")


class Inner(msgspec.Struct, frozen=True, kw_only=True):
    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(("low", "high"), lambda low, high: low > high, "{values[0]} is above {1}"),
    )

    low: Annotated[int, msgspec.Meta(ge=0), key(aliases=("bottom",))] = 0
    high: Annotated[int, key(aliases=("top",), hint="write high = 10")] = 10


class Outer(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    wait: Annotated[float, msgspec.Meta(ge=0, le=100, extra={"kind": "duration"})] | None = None
    ratio: float = 0.5
    inner: Inner = Inner()
    many: tuple[Inner, ...] = ()
    few: Annotated[tuple[int, ...], msgspec.Meta(max_length=2)] = ()
    by_name: Mapping[str, int] = {}
    either: int | bool | None = None
    anything: Mapping[str, Any] = {}
    path: Path | None = None
    mode: Literal["a", "b", 1] = "a"


def walked(table: object) -> tuple[Outer | None, list[str]]:
    reader = TableReader(BASE, {"NAME": "from outside"})
    return reader.struct(table, Outer, ""), [str(mistake) for mistake in reader.mistakes]


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
        ({"name": "x", "inner": {"bottom": 1}}, ['inner.bottom: there is no such key; did you mean "low"?']),
        ({"name": "x", "inner": {"top": 1}}, ["inner.top: there is no such key; write high = 10"]),
        ({"name": "x", "inner": {"low": -1}}, ["inner.low: -1 is not a whole number of at least 0"]),
        ({"name": "x", "inner": {"low": 11}}, ["inner.low: 11 is above high"]),
        ({"name": "x", "inner": {"low": 11, "high": "x"}}, ['inner.high: "x" is not a whole number']),
        (
            {"name": "x", "by-name": 1, "by_name": {}},
            ["by_name: 1 is not a table", "by_name: is there twice, also as by-name; leave out by_name"],
        ),
        ({"name": "x", "few": [1, 2, 3]}, ["few: has 3 items; at most 2 are possible"]),
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
            ["name: 1 is not text in quotes", 'ratio: "x" is not a number', "inner.low: -1 is not a whole"],
        ),
    ],
)
def test_each_mistake_has_its_path(table: object, mistakes: list[str]) -> None:
    _, found = walked(table)
    assert len(found) == len(mistakes)
    assert all(message.startswith(start) for message, start in zip(found, mistakes, strict=True)), found


def test_hyphens_stand_for_underscores() -> None:
    made, mistakes = walked({"name": "x", "by-name": {"a-b": 1}, "anything": {"c-d": 1}})
    assert made is not None and (made.by_name, made.anything, mistakes) == ({"a-b": 1}, {"c-d": 1}, [])


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (bool, "yes", True),
        (bool, "False", False),
        (int, "-5", -5),
        (float, "0.5", 0.5),
        (str, "5", "5"),
        (Path, "x/y", BASE / "x/y"),
        (Literal["a", 1], "1", 1),
        (int | None, "5", 5),
        (int | bool, "no", False),
        (tuple[int, ...], "1, 2 3", (1, 2, 3)),
        (tuple[int, ...], "[1, 2]", (1, 2)),
        (tuple[str, ...], '["a b", "c"]', ("a b", "c")),
        (tuple[str, ...], '[{env = "NAME"}]', ('[{env = "NAME"}]',)),
        (tuple[str, ...], "[broken", ("[broken",)),
        (tuple[ScheduleWindow, ...], "Mon,Tue 6:00-8:00", ("Mon,Tue 06:00-08:00",)),
        (tuple[ScheduleWindow, ...], "Mon 6:00-8:00; 9:00-10:00;", ("Mon 06:00-08:00", "09:00-10:00")),
        (tuple[ScheduleWindow, ...], '["Mon 6:00-8:00"]', ("Mon 06:00-08:00",)),
        (tuple[ScheduleWindow, ...], "", ()),
        (Mapping[str, Any], {"a": "{env}"}, {"a": "{env}"}),
    ],
)
def test_plain_texts(annotation: Any, text: object, value: object) -> None:
    reader = TableReader(BASE, {"NAME": "from outside"}, text=True)
    read = reader.value(text, inspect.type_info(annotation), "x")
    assert (read, type(read), len(reader.mistakes)) == (value, type(value), 0)


@pytest.mark.parametrize(
    ("annotation", "text", "mistake"),
    [
        (bool, "perhaps", 'x: "perhaps" is not yes or no'),
        (int, "many", 'x: "many" is not a whole number'),
        (float, "nan", 'x: "nan" is not a number'),
        (Path, "", 'x: "" is not a path'),
        (Literal["stop", "leave"], "stp", 'x: "stp" is not "leave" or "stop"; did you mean "stop"?'),
        (tuple[int, ...], "1 b", 'x[1]: "b" is not a whole number'),
        (
            tuple[ScheduleWindow, ...],
            "Mon 6:00-8:00; Mo 9:00-10:00",
            f'x[1]: "Mo 9:00-10:00" is not {KINDS["window"].expected}; a day is one of Mon, Tue, Wed, Thu, Fri, Sat, '
            "Sun, or daily",
        ),
    ],
)
def test_mistakes_in_plain_texts(annotation: Any, text: str, mistake: str) -> None:
    reader = TableReader(BASE, {}, text=True)
    assert reader.value(text, inspect.type_info(annotation), "x") is BAD
    assert [str(each) for each in reader.mistakes] == [mistake]


@pytest.mark.parametrize("annotation", [str, Path, Any, Annotated[float, msgspec.Meta(extra={"kind": "duration"})]])
@pytest.mark.parametrize("reference", [{"env": "NAME"}, {"file": "/proc/self/environ"}])
def test_labels_refer_to_nothing(annotation: Any, reference: dict[str, str]) -> None:
    """They may be written by users who may not read our environment and files."""
    reader = TableReader(BASE, {"NAME": "from outside"}, text=True)
    assert reader.value(reference, inspect.type_info(annotation), "x") in (BAD, reference)


def test_a_rule_names_keys_as_they_were_written() -> None:
    reader = TableReader(BASE, {}, text=True, name_of=lambda key: f"--{key.name}")
    reader.made(Inner, {"low": 11}, "inner")
    assert [str(mistake) for mistake in reader.mistakes] == ["--low: 11 is above --high"]


def plain(kind: inspect.Type) -> inspect.Type:
    return plain(kind.type) if isinstance(kind, inspect.Metadata) else kind


def structs() -> list[type[msgspec.Struct]]:
    found: list[type[msgspec.Struct]] = []
    todo: list[type[msgspec.Struct]] = [model.Config]
    while todo:
        struct = todo.pop()
        found.append(struct)
        todo.extend(
            kind.cls
            for each in keys_of(struct).values()
            for kind in (plain(each.type), getattr(plain(each.type), "item_type", None))
            if isinstance(kind, inspect.StructType)
        )
    return found


@pytest.mark.parametrize("struct", structs())
def test_every_field_of_our_configuration_can_be_walked(struct: type[msgspec.Struct]) -> None:
    """A field of a type that no file can have is found by this test, not by an operator."""
    for name, each in keys_of(struct).items():
        for given in ("x", 1, 1.5, True, [], ["x"], {}, {"env": "X"}):
            for text in (False, True) if name != "servers" else ():
                TableReader(BASE, {}, text=text).value(given, each.type, name)


def test_a_shape_that_no_file_can_say_is_a_defect() -> None:
    with pytest.raises(TypeError, match="no file can have"):
        TableReader(BASE, {}).value("x", inspect.type_info(bytes), "x")


def test_bad_is_no_value() -> None:
    assert TableReader(BASE, {}).value([1, "x"], inspect.type_info(tuple[int, ...]), "x") is BAD
