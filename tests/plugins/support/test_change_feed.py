"""Changes of the tables are reported, and each mistake once."""

from __future__ import annotations

from collections.abc import Mapping

from zeroscale.plugins.support.change_feed import ChangeFeed
from zeroscale.plugins.support.labels import Table


def test_changes_are_reported_and_each_mistake_once() -> None:
    reports: list[Mapping[str, Table]] = []
    complaints: list[str] = []
    announcements = ChangeFeed(reports.append, complaints.append)
    announcements.update({}, [])
    announcements.update({}, ["a"])
    announcements.update({"survival": {"join": "kick"}}, ["a", "b"])
    announcements.update({"survival": {"join": "kick"}}, ["b"])
    announcements.update({"survival": {"join": "hold"}}, ["a"])
    assert reports == [{}, {"survival": {"join": "kick"}}, {"survival": {"join": "hold"}}]
    assert complaints == ["a", "b", "a"]
