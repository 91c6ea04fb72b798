"""What two servers of a configuration cannot both have; tests/proxy/test_preflight.py has worlds and ports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from harness import stub_config

from zeroscale.proxy.exclusive_use import ExclusiveUse, shared


@dataclass
class Facts:
    speaks_minecraft: bool = False
    controls: Mapping[str, bool] = field(default_factory=dict)


def mistakes(use: ExclusiveUse, name: str, controls: Mapping[str, bool]) -> list[str]:
    server = stub_config(name, name, 1, Path("/srv"))
    return [f"{each.path}: {each.text}" for each in use.add(server, Facts(controls=controls), Path("/srv") / name)]


def test_two_servers_with_one_container() -> None:
    use = ExclusiveUse()
    assert mistakes(use, "a", {"container mc": True}) == []
    assert mistakes(use, "b", {"container b": True}) == []
    assert mistakes(use, "c", {"container mc": True}) == [
        "servers.c.plugin_arguments: container mc is servers.a's as well, and would be stopped under the clients of "
        "one when the other is idle; name another one here, or make one server of them, whose listen can be a list"
    ]


@pytest.mark.parametrize(
    ("stops", "other_stops", "refused"),
    [(True, True, True), (True, False, True), (False, True, True), (False, False, False)],
)
def test_what_neither_stops_both_may_start(stops: bool, other_stops: bool, refused: bool) -> None:
    use = ExclusiveUse()
    assert mistakes(use, "a", {"machine x": stops}) == []
    assert bool(mistakes(use, "b", {"machine x": other_stops})) == refused
    assert shared({"machine x": stops}, {"machine y": True, "machine x": other_stops}) == (
        "machine x" if refused else None
    )


def test_two_names_in_common_are_one_mistake() -> None:
    use = ExclusiveUse()
    both = {"machine 00:11:22:33:44:55": True, "machine 192.168.1.20": True}
    assert mistakes(use, "a", both) == []
    assert len(mistakes(use, "b", both)) == 1


def test_a_copy_has_the_same_servers_and_changes_by_itself() -> None:
    use = ExclusiveUse()
    mistakes(use, "a", {"container a": True})
    copy = use.copy()
    mistakes(copy, "b", {"container b": True})
    assert len(mistakes(copy, "c", {"container a": True, "container b": True})) == 2
    assert len(mistakes(use, "c", {"container a": True, "container b": True})) == 1
