"""Keeping up with annotated objects, on a fake of the API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from plugins.kubernetes.fake_cluster import Cluster, quicken
from plugins.watching import until

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
    told: list[Mapping[str, Any]] = []
    discovery = Discovery(told.append, kubeconfig=str(cluster.kubeconfig(directory)), **keywords)
    task = asyncio.ensure_future(discovery.run())
    try:
        await until(lambda: told)
        yield cluster, told
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await cluster.shut()


async def test_what_is_annotated_is_told_and_what_changes_then(tmp_path: Path) -> None:
    async with discovering(tmp_path) as (cluster, told):
        assert list(told[0]) == ["mc"]
        assert told[0]["mc"]["plugin_arguments"]["kubeconfig"].endswith("kubeconfig")
        cluster.create("two", plural="deployments", annotations={"zeroscale/listen": "25570"})
        await until(lambda: len(told) == 2)
        assert told[1]["two"]["listen"] == ["25570"]
        cluster.annotate("mc", {"zeroscale/host": "other.example.org"})
        await until(lambda: len(told) == 3)
        assert told[2]["mc"]["hosts"] == ["other.example.org"]
        cluster.annotate("mc", {})
        await until(lambda: len(told) == 4)
        assert list(told[3]) == ["two"]
        cluster.delete("two", plural="deployments")
        await until(lambda: len(told) == 5)
        assert told[4] == {}
    assert {resource for _, resource in cluster.asked} == {"statefulsets", "deployments"}
    assert {verb for verb, _ in cluster.asked} == {"list", "watch"}


async def test_what_changes_no_table_is_not_told(tmp_path: Path) -> None:
    async with discovering(tmp_path) as (cluster, told):
        cluster.scale("mc", 1)
        cluster.scale("mc", 0)
        cluster.create("two", annotations={"zeroscale/host": "two.example.org"})
        await until(lambda: len(told) > 1)
        assert len(told) == 2
        assert list(told[1]) == ["mc", "two"]


async def test_an_api_that_is_away_takes_no_server_away(tmp_path: Path) -> None:
    async with discovering(tmp_path) as (cluster, told):
        await cluster.shut()
        await cluster.open()
        cluster.create("two", annotations={"zeroscale/host": "two.example.org"})
        await until(lambda: len(told) > 1)
        assert [list(each) for each in told] == [["mc"], ["mc", "two"]]


async def test_all_namespaces(tmp_path: Path) -> None:
    async with discovering(tmp_path, namespace="*") as (cluster, told):
        cluster.create("mc", namespace="more", annotations={"zeroscale/host": "more.example.org"})
        await until(lambda: len(told) > 1)
        assert list(told[1]) == ["games.mc", "more.mc"]


async def test_a_mistake_is_warned_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with discovering(tmp_path) as (cluster, told):
        cluster.annotate("mc", {"zeroscale/host": "mc.example.org", "zeroscale/plugin": "command"})
        cluster.touch()
        cluster.create("two", annotations={"zeroscale/host": "two.example.org"})
        await until(lambda: len(told) > 1)
        assert caplog.text.count("zeroscale/plugin may not be set here") == 1
        assert told[1]["mc"]["plugin"] == "kubernetes"
