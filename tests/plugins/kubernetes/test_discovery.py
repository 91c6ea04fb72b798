"""Discovery of annotated objects, with a fake API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from plugins.kubernetes.fake_cluster import Cluster, quicken
from plugins.process_fixture import until

from zeroscale.plugins.kubernetes.discovery import Discovery


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken(monkeypatch)


@asynccontextmanager
async def discovering(directory: Path, **keywords: Any) -> AsyncIterator[tuple[Cluster, list[Mapping[str, Any]]]]:
    cluster = Cluster()
    await cluster.open()
    cluster.create("mc", annotations={"zeroscale/host": "mc.example.org"})
    cluster.create("web", plural="deployments")
    updates: list[Mapping[str, Any]] = []
    discovery = Discovery(updates.append, kubeconfig=str(cluster.kubeconfig(directory)), **keywords)
    task = asyncio.ensure_future(discovery.run())
    try:
        await until(lambda: updates)
        yield cluster, updates
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await cluster.shut()


async def test_annotated_objects_and_their_changes_are_reported(tmp_path: Path) -> None:
    async with discovering(tmp_path) as (cluster, updates):
        assert list(updates[0]) == ["mc"]
        assert updates[0]["mc"]["plugin_arguments"]["kubeconfig"].endswith("kubeconfig")
        cluster.create("two", plural="deployments", annotations={"zeroscale/listen": "25570"})
        await until(lambda: len(updates) == 2)
        assert updates[1]["two"]["listen"] == ["25570"]
        cluster.annotate("mc", {"zeroscale/host": "other.example.org"})
        await until(lambda: len(updates) == 3)
        assert updates[2]["mc"]["hosts"] == ["other.example.org"]
        cluster.annotate("mc", {})
        await until(lambda: len(updates) == 4)
        assert list(updates[3]) == ["two"]
        cluster.delete("two", plural="deployments")
        await until(lambda: len(updates) == 5)
        assert updates[4] == {}
    assert {resource for _, resource in cluster.asked} == {"statefulsets", "deployments"}
    assert {verb for verb, _ in cluster.asked} == {"list", "watch"}


async def test_events_that_change_no_table_are_not_reported(tmp_path: Path) -> None:
    async with discovering(tmp_path) as (cluster, updates):
        cluster.scale("mc", 1)
        cluster.scale("mc", 0)
        cluster.create("two", annotations={"zeroscale/host": "two.example.org"})
        await until(lambda: len(updates) > 1)
        assert len(updates) == 2
        assert list(updates[1]) == ["mc", "two"]


async def test_an_api_that_is_away_takes_no_server_away(tmp_path: Path) -> None:
    async with discovering(tmp_path) as (cluster, updates):
        await cluster.shut()
        await cluster.open()
        cluster.create("two", annotations={"zeroscale/host": "two.example.org"})
        await until(lambda: len(updates) > 1)
        assert [list(each) for each in updates] == [["mc"], ["mc", "two"]]


async def test_all_namespaces(tmp_path: Path) -> None:
    async with discovering(tmp_path, namespace="*") as (cluster, updates):
        cluster.create("mc", namespace="more", annotations={"zeroscale/host": "more.example.org"})
        await until(lambda: len(updates) > 1)
        assert list(updates[1]) == ["games.mc", "more.mc"]


async def test_a_mistake_is_warned_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with discovering(tmp_path) as (cluster, updates):
        cluster.annotate("mc", {"zeroscale/host": "mc.example.org", "zeroscale/plugin": "command"})
        cluster.touch()
        cluster.create("two", annotations={"zeroscale/host": "two.example.org"})
        await until(lambda: len(updates) > 1)
        assert caplog.text.count("zeroscale/plugin may not be set here") == 1
        assert updates[1]["mc"]["plugin"] == "kubernetes"
