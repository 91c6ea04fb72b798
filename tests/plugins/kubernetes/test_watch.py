"""A watch of a cluster's objects, through failures of the connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from plugins.kubernetes.fake_cluster import EXPIRED, Cluster, quicken, status
from plugins.process_fixture import until

from zeroscale.backoff import Backoff
from zeroscale.plugins.kubernetes.api import WATCH_SECONDS, Api
from zeroscale.plugins.kubernetes.credentials import Credentials
from zeroscale.plugins.kubernetes.watch import Watch
from zeroscale.plugins.kubernetes.workload import replicas_of
from zeroscale.plugins.support.json_object import JsonObject, text_at


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken(monkeypatch)


class Seen:
    """Records what a watch has reported."""

    def __init__(self, cluster: Cluster, directory: Path, namespace: str | None = "games") -> None:
        self.replicas: dict[str, int] = {}
        self.lists = 0
        self.kinds: list[str] = []
        self.api = Api(Credentials(str(cluster.kubeconfig(directory))))
        self.watch = Watch(self.api, "statefulsets", namespace, on_list=self.listed, on_event=self.changed)

    def listed(self, items: Sequence[JsonObject]) -> None:
        self.lists += 1
        self.replicas = {text_at(item, "metadata", "name"): replicas_of(item) for item in items}

    def changed(self, kind: str, item: JsonObject) -> None:
        self.kinds.append(kind)
        self.replicas[text_at(item, "metadata", "name")] = replicas_of(item)


@asynccontextmanager
async def watching(directory: Path) -> AsyncIterator[tuple[Cluster, Seen]]:
    cluster = Cluster()
    await cluster.open()
    cluster.create("mc")
    seen = Seen(cluster, directory)
    task = asyncio.ensure_future(seen.watch.run())
    try:
        await until(lambda: seen.watch.fresh)
        yield cluster, seen
    finally:
        task.cancel()
        await asyncio.wait([task])
        await seen.api.close()
        await cluster.shut()


async def test_objects_are_listed_and_their_changes_reported(tmp_path: Path) -> None:
    async with watching(tmp_path) as (cluster, seen):
        assert seen.replicas == {"mc": 0}
        cluster.scale("mc", 1)
        await until(lambda: seen.replicas["mc"] == 1)
        cluster.create("two")
        cluster.delete("two")
        await until(lambda: "DELETED" in seen.kinds)
        assert "ADDED" in seen.kinds
        assert seen.lists == 1
        [query] = [query for verb, _, query in cluster.queries if verb == "watch"]
        assert query["allowWatchBookmarks"] == "true"
        assert int(query["timeoutSeconds"]) == WATCH_SECONDS


@pytest.mark.parametrize("end", ["end_watches", "drop_watches"])
async def test_a_watch_that_ends_is_continued(tmp_path: Path, end: str) -> None:
    async with watching(tmp_path) as (cluster, seen):
        cluster.scale("mc", 1)
        await until(lambda: seen.replicas["mc"] == 1)
        getattr(cluster, end)()
        cluster.scale("mc", 0)
        await until(lambda: seen.replicas["mc"] == 0)
        assert seen.lists == 1, "nothing was missed, and nothing listed again"


async def test_a_bookmark_moves_on(tmp_path: Path) -> None:
    async with watching(tmp_path) as (cluster, seen):
        reports = len(seen.kinds)
        bookmark = {"kind": "StatefulSet", "metadata": {"resourceVersion": "5000"}}
        cluster.send_to_watches({"type": "BOOKMARK", "object": bookmark})
        cluster.version = 5000
        cluster.end_watches()
        await cluster.until(lambda: cluster.asked["watch", "statefulsets"] == 2)
        assert cluster.queries[-1][2]["resourceVersion"] == "5000"
        assert len(seen.kinds) == reports


@pytest.mark.parametrize("how", ["as an event", "as an answer"])
async def test_a_version_that_is_gone_has_all_listed_again(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with watching(tmp_path) as (cluster, seen):
        cluster.paused = True
        cluster.scale("mc", 3)
        cluster.events.clear()
        cluster.forget_history()
        if how == "as an event":
            cluster.send_to_watches({"type": "ERROR", "object": EXPIRED})
        else:
            cluster.end_watches()
        await until(lambda: seen.lists == 2 and seen.watch.fresh)
        assert seen.replicas == {"mc": 3}
        assert not caplog.records, "that is ordinary"


async def test_an_api_that_is_away_is_reported_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with watching(tmp_path) as (cluster, seen):
        await cluster.shut()
        await until(lambda: seen.watch.failures > 3)
        assert not seen.watch.fresh
        assert seen.watch.problem is not None
        await cluster.open()
        await until(lambda: seen.watch.fresh)
        cluster.scale("mc", 1)
        await until(lambda: seen.replicas["mc"] == 1)
        warnings = [record for record in caplog.records if record.levelname == "WARNING"]
        assert len(warnings) == 1


def long_delays() -> Backoff:
    """Delays that are longer than any test, until they are reset."""
    delays = Backoff(0.01, 10_000.0)
    while next(delays) < 10_000.0:
        pass
    return delays


async def test_it_can_be_made_to_retry_now(tmp_path: Path) -> None:
    async with watching(tmp_path) as (cluster, seen):
        seen.watch._delays = long_delays()
        await cluster.shut()
        await until(lambda: seen.watch.failures)
        await cluster.open()
        seen.watch.retry_now()
        await until(lambda: seen.watch.fresh)


async def test_an_error_event_of_another_kind_has_all_listed_again(tmp_path: Path) -> None:
    async with watching(tmp_path) as (cluster, seen):
        broken = status(500, "InternalError", "etcd event received with PrevKv=nil")
        cluster.send_to_watches({"type": "ERROR", "object": broken})
        await until(lambda: seen.lists == 2 and seen.watch.fresh)


async def test_a_version_from_the_future_is_not_asked_for_again(tmp_path: Path) -> None:
    async with watching(tmp_path) as (cluster, seen):
        future = status(504, "Timeout", "Too large resource version: 1005, current: 7")
        cluster.answer_next["watch", "statefulsets"] = [future]
        cluster.end_watches()
        await until(lambda: seen.lists == 2 and seen.watch.fresh)


async def test_a_server_that_ends_every_watch_at_once_causes_no_busy_loop(tmp_path: Path) -> None:
    async with watching(tmp_path) as (cluster, seen):
        seen.watch._delays = long_delays()
        cluster.end_watches()
        await cluster.until(lambda: not cluster.watches)
        asked = cluster.asked.total()
        for _ in range(100):
            await asyncio.sleep(0)
        assert cluster.asked.total() == asked


async def test_a_long_list_is_read_page_by_page(tmp_path: Path) -> None:
    cluster = Cluster(page=2)
    await cluster.open()
    for number in range(5):
        cluster.create(f"mc-{number}")
    seen = Seen(cluster, tmp_path)
    task = asyncio.ensure_future(seen.watch.run())
    await until(lambda: seen.watch.fresh)
    assert sorted(seen.replicas) == [f"mc-{number}" for number in range(5)]
    assert cluster.asked["list", "statefulsets"] == 3
    task.cancel()
    await asyncio.wait([task])
    await seen.api.close()
    await cluster.shut()
