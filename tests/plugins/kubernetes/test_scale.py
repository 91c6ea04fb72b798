"""Requests about one object: its scale, itself and its pods."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from plugins.kubernetes.fake_cluster import Cluster, quicken

from zeroscale.errors import PluginError
from zeroscale.plugins.kubernetes.api import Api, ApiUnavailable
from zeroscale.plugins.kubernetes.credentials import Credentials
from zeroscale.plugins.kubernetes.scale import Scaler, retry_while_unavailable, tries_exhausted
from zeroscale.plugins.kubernetes.workload import Reference


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken(monkeypatch)


@asynccontextmanager
async def scaling(directory: Path, text: str = "sts/mc") -> AsyncIterator[tuple[Cluster, Scaler]]:
    cluster = Cluster()
    await cluster.open()
    api = Api(Credentials(str(cluster.kubeconfig(directory)), environment={}))
    try:
        yield cluster, Scaler(api, Reference.parse(text), "games")
    finally:
        await api.close()
        await cluster.shut()


@pytest.mark.parametrize(
    ("there", "wanted", "then", "asked"),
    [(0, 1, 1, [1]), (1, 0, 0, [0]), (0, 0, 0, []), (1, 1, 1, []), (2, 0, 2, []), (2, 1, 2, []), (5, 0, 5, [])],
)
async def test_only_from_zero_to_one_and_back(
    tmp_path: Path, there: int, wanted: int, then: int, asked: list[int]
) -> None:
    async with scaling(tmp_path) as (cluster, scaler):
        cluster.create("mc", replicas=there)
        assert await scaler.scale_to(wanted) == then
        assert [body["spec"]["replicas"] for body in cluster.bodies] == asked
        workload = await scaler.read()
        assert workload is not None
        assert workload.replicas == then


async def test_what_is_not_wanted_any_more_is_not_asked(tmp_path: Path) -> None:
    async with scaling(tmp_path) as (cluster, scaler):
        cluster.create("mc")

        def not_any_more() -> None:
            raise PluginError("no more")

        with pytest.raises(PluginError, match="no more"):
            await scaler.scale_to(1, not_any_more)
        assert not cluster.bodies


@pytest.mark.parametrize("change", ["touched", "made anew"])
async def test_an_update_is_of_the_version_that_was_read(tmp_path: Path, change: str) -> None:
    async with scaling(tmp_path) as (cluster, scaler):
        cluster.create("mc")

        def other_client() -> None:
            if change == "made anew":
                cluster.delete("mc")
                cluster.create("mc")
            cluster.touch()

        cluster.before_update.append(other_client)
        assert await scaler.scale_to(1) == 1
        first, second = cluster.bodies
        assert (first["metadata"]["uid"] == second["metadata"]["uid"]) == (change == "touched")
        assert first["metadata"]["resourceVersion"] != second["metadata"]["resourceVersion"]


async def test_what_is_not_there(tmp_path: Path) -> None:
    async with scaling(tmp_path, "deploy/mc") as (_, scaler):
        assert await scaler.read() is None
        assert await scaler.scale_to(0) == 0
        with pytest.raises(PluginError, match="there is no deployment/mc in namespace 'games'"):
            await scaler.scale_to(1)


async def test_pods_that_are_terminating_live(tmp_path: Path) -> None:
    async with scaling(tmp_path, "deploy/mc") as (cluster, scaler):
        cluster.create("mc", plural="deployments", replicas=1)
        cluster.create("other", plural="deployments", replicas=1)
        cluster.holds_pods = True
        cluster.scale("mc", 0, plural="deployments")
        assert await scaler.has_living_pods("app=mc")
        cluster.pods[0].phase = "Succeeded"
        assert not await scaler.has_living_pods("app=mc")


async def test_tries_come_to_an_end_where_they_are_counted() -> None:
    asked = 0

    async def away() -> int:
        nonlocal asked
        asked += 1
        raise ApiUnavailable("away")

    with pytest.raises(ApiUnavailable):
        await retry_while_unavailable(away, 3)
    assert asked == 3
    with pytest.raises(ApiUnavailable):
        await retry_while_unavailable(away, None, lambda: asked == 7)
    assert asked == 7


async def test_slow_tries_are_fewer() -> None:
    assert tries_exhausted(1, 3, began=-1e9)
    assert not tries_exhausted(1, 3, began=1e12)
