"""Values are read out of JSON objects; what is missing or of another type is empty."""

from __future__ import annotations

import pytest

from zeroscale.plugins.support.json_object import integer_at, list_at, member, object_at, text_at

DATA = {"metadata": {"name": "mc", "generation": 3, "labels": {"app": "mc"}, "owners": ["a"]}, "spec": None}


def test_values_at_a_path() -> None:
    assert member(DATA, "metadata", "generation") == 3
    assert object_at(DATA, "metadata", "labels") == {"app": "mc"}
    assert list_at(DATA, "metadata", "owners") == ["a"]
    assert text_at(DATA, "metadata", "name") == "mc"
    assert integer_at(DATA, "metadata", "generation") == 3


@pytest.mark.parametrize("path", [("spec", "replicas"), ("status",), ("metadata", "name", "more")])
def test_what_is_missing_is_empty(path: tuple[str, ...]) -> None:
    values = [read(DATA, *path) for read in (member, object_at, list_at, text_at, integer_at)]
    assert values == [None, {}, [], "", 0]


def test_a_value_of_another_type_is_taken_for_missing() -> None:
    values = [read(DATA, "metadata") for read in (list_at, text_at, integer_at)]
    assert values == [[], "", 0]
    assert object_at(DATA, "metadata", "name") == {}
