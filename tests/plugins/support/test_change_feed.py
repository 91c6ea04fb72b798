"""Who serves described servers is told what is new, and the operator what is wrong."""

from __future__ import annotations

from collections.abc import Mapping

from zeroscale.plugins.support.change_feed import ChangeFeed
from zeroscale.plugins.support.labels import Table


def test_what_is_new_is_told_and_what_is_wrong_once_for_as_long_as_it_is() -> None:
    told: list[Mapping[str, Table]] = []
    complaints: list[str] = []
    announcements = ChangeFeed(told.append, complaints.append)
    announcements.update({}, [])
    announcements.update({}, ["a"])
    announcements.update({"survival": {"join": "kick"}}, ["a", "b"])
    announcements.update({"survival": {"join": "kick"}}, ["b"])
    announcements.update({"survival": {"join": "hold"}}, ["a"])
    assert told == [{}, {"survival": {"join": "kick"}}, {"survival": {"join": "hold"}}]
    assert complaints == ["a", "b", "a"]
