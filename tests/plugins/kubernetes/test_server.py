"""The kubernetes plugin with a fake API server over real HTTP."""

from __future__ import annotations

import asyncio
import inspect
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from plugins.kubernetes.fake_cluster import EXPIRED, Cluster, quicken, status
from plugins.process_fixture import until
from ports import free_port
from processes import Program, python

from zeroscale.daemon.options import parse
from zeroscale.errors import PluginError
from zeroscale.plugins.kubernetes import server as kubernetes
from zeroscale.plugins.kubernetes.annotations import SPECIAL_KEYS
from zeroscale.plugins.kubernetes.server import Server
from zeroscale.plugins.support.labels import settable
from zeroscale.plugins.testing import (
    AdoptableTests,
    ApiTests,
    PermissionTests,
    PluginDriver,
    PluginTests,
    RecordedOutput,
    RemovableTests,
    ReportsStartsTests,
    ServerUnderTest,
    WaitableTests,
    driving,
    error_of,
)
from zeroscale.status import Status


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes, "POD_POLL_INTERVAL", 0.01)
    quicken(monkeypatch)


class InCluster(ServerUnderTest):
    """A StatefulSet or Deployment `mc`."""

    def __init__(self, directory: Path, plural: str) -> None:
        self.directory = directory
        self.plural = plural

    async def set_up(self) -> None:
        self.cluster = Cluster()
        await self.cluster.open()
        self.cluster.create("mc", plural=self.plural)
        self.cluster.create("other", plural=self.plural, replicas=1)
        self.kubeconfig = self.cluster.kubeconfig(self.directory)

    async def tear_down(self) -> None:
        await self.cluster.shut()

    def make_plugin(self) -> Server:
        resource = f"{self.plural.removesuffix('s')}/mc"
        return Server(resource, state_directory=self.directory, kubeconfig=str(self.kubeconfig))

    async def is_running(self) -> bool:
        return any(pod.owner == "mc" for pod in self.cluster.pods)

    async def start(self) -> None:
        self.cluster.scale("mc", 1, plural=self.plural)

    async def stop(self) -> None:
        self.cluster.scale("mc", 0, plural=self.plural)

    async def crash(self) -> None:
        """The kubelet restarts a container that crashes, in the same pod, which is not ready during the restart."""
        for pod in self.cluster.pods:
            pod.ready = False
        self.cluster.work()

    async def block_stop(self) -> None:
        self.cluster.holds_pods = True

    async def stop_requested(self) -> None:
        await self.cluster.until(lambda: any(pod.terminating for pod in self.cluster.pods))

    async def unblock_stop(self) -> None:
        self.cluster.let_pods_end()

    async def remove(self) -> None:
        self.cluster.delete("mc", plural=self.plural)

    async def forbid(self) -> None:
        self.cluster.forbidden.add(("update", f"{self.plural}/scale"))

    async def break_api(self) -> None:
        await self.cluster.shut()

    async def stall_api(self) -> None:
        self.cluster.be_slow()
        self.cluster.asked.clear()

    async def restore_api(self) -> None:
        self.cluster.be_quick()
        if not self.cluster.is_open:
            await self.cluster.open()

    async def api_requested(self) -> None:
        await self.cluster.until(lambda: self.cluster.asked)


@pytest.fixture(params=["statefulsets", pytest.param("deployments", marks=pytest.mark.slow)])
def plural(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.slow
class TestBehaviour(
    PluginTests, WaitableTests, AdoptableTests, ReportsStartsTests, RemovableTests, PermissionTests, ApiTests
):
    """The tests of the plugin contract, except that a pod that crashes is not the end of its server."""

    @pytest.fixture
    def subject(self, tmp_path: Path, plural: str) -> ServerUnderTest:
        return InCluster(tmp_path, plural)

    async def test_a_crash_is_noticed(self, subject: ServerUnderTest) -> None:
        assert isinstance(subject, InCluster)
        async with driving(subject) as driven:
            await driven.start()
            await subject.crash()
            subject.cluster.get_ready()
            assert driven.exit is not None
            assert not driven.exit.done(), "the cluster restarts it, under whoever plays"
            await driven.stop()

    async def test_a_crash_is_noticed_after_the_api_was_unreachable(self, subject: ServerUnderTest) -> None:
        async with driving(subject) as driven:
            await driven.start()
            await subject.break_api()
            await subject.restore_api()
            await subject.stop()
            assert driven.exit is not None
            assert (await driven.exit).is_clean


@pytest.fixture
def subject(tmp_path: Path, request: pytest.FixtureRequest) -> InCluster:
    return InCluster(tmp_path, getattr(request, "param", "statefulsets"))


both = pytest.mark.parametrize("subject", ["statefulsets", "deployments"], indirect=True)


@asynccontextmanager
async def started(subject: InCluster) -> AsyncIterator[PluginDriver]:
    async with driving(subject) as driven:
        await driven.start()
        yield driven


async def turns(count: int = 50) -> None:
    """Let pending work run; for tests that nothing happens afterwards."""
    for _ in range(count):
        await asyncio.sleep(0)


async def nothing_happens(cluster: Cluster, work: asyncio.Future[Any]) -> None:
    """Wait until the plugin has all events, without running the controllers."""
    cluster.touch()
    asked = cluster.asked.total()
    cluster.end_watches()
    await cluster.until(lambda: cluster.asked.total() > asked and cluster.watches)
    await turns()
    assert not work.done()


# Scaling


async def test_only_the_verbs_of_the_role_are_asked(subject: InCluster) -> None:
    async with started(subject) as driven:
        await driven.stop()
    assert set(subject.cluster.asked) == {
        ("list", "statefulsets"),
        ("watch", "statefulsets"),
        ("get", "statefulsets/scale"),
        ("update", "statefulsets/scale"),
    }
    assert subject.cluster.asked["update", "statefulsets/scale"] == 2
    named = [query.get("fieldSelector") for verb, _, query in subject.cluster.queries if verb in ("list", "watch")]
    assert set(named) == {"metadata.name=mc"}, "a Role's resourceNames allows no other list"
    assert [body["spec"] for body in subject.cluster.bodies] == [{"replicas": 1}, {"replicas": 0}]
    assert all(body["metadata"]["resourceVersion"] for body in subject.cluster.bodies)
    [user] = subject.cluster.users
    assert user.startswith("zeroscale/")


@pytest.mark.parametrize("subject", ["deployments"], indirect=True)
async def test_a_deployments_pods_are_listed_too(subject: InCluster) -> None:
    async with started(subject) as driven:
        await driven.stop()
    assert ("list", "pods") in subject.cluster.asked
    assert {verb for verb, _ in subject.cluster.asked} == {"list", "watch", "get", "update"}


async def test_it_is_ready_when_a_pod_is(subject: InCluster) -> None:
    subject.cluster.auto_ready = False
    async with driving(subject) as driven:
        output = RecordedOutput()
        driven.plugin.on_output = output
        starting = asyncio.ensure_future(driven.start())
        await output.line_with("waiting for a pod that is ready")
        await nothing_happens(subject.cluster, starting)
        subject.cluster.get_ready()
        await starting
        assert driven.plugin.status is Status.running


async def test_a_count_of_an_earlier_generation_is_not_believed(subject: InCluster) -> None:
    async with driving(subject) as driven:
        await driven.adopt()
        subject.cluster.objects["statefulsets", "games", "mc"]["status"]["readyReplicas"] = 1
        subject.cluster.paused = True
        starting = asyncio.ensure_future(driven.plugin.start())
        await subject.cluster.until(lambda: subject.cluster.asked["update", "statefulsets/scale"])
        await nothing_happens(subject.cluster, starting)
        subject.cluster.paused = False
        subject.cluster.work()
        await starting


async def test_after_a_conflict_the_object_is_read_again(subject: InCluster) -> None:
    subject.cluster.before_update += [subject.cluster.touch, lambda: subject.cluster.scale("mc", 1)]
    async with started(subject):
        assert subject.cluster.asked["update", "statefulsets/scale"] == 2, "the second found that it is at one already"
        assert subject.cluster.asked["get", "statefulsets/scale"] == 3


async def test_a_conflict_that_never_ends_is_an_error(subject: InCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes, "TRIES", 1)
    subject.cluster.before_update += [subject.cluster.touch] * 1000
    async with driving(subject) as driven:
        assert "is changed again and again by another client" in await error_of(driven.start())


@pytest.mark.parametrize("replicas", [2, 3])
async def test_more_than_one_replica_is_left_alone(subject: InCluster, replicas: int) -> None:
    async with driving(subject) as driven:
        await driven.adopt()
        subject.cluster.scale("mc", replicas)
        await driven.found.wait()
        assert await driven.adopt()
        with pytest.raises(PluginError, match=f"has {replicas} replicas; more than one is never stopped"):
            await driven.plugin.players()
        driven.found.clear()
        await driven.stop()
        await driven.found.wait()
        assert subject.cluster.objects["statefulsets", "games", "mc"]["spec"]["replicas"] == replicas
        assert not subject.cluster.bodies
        driven.found.clear()
        await driven.stop()
        await driven.found.wait()


async def test_one_replica_says_nothing_of_players(subject: InCluster) -> None:
    async with started(subject) as driven:
        assert await driven.plugin.players() is None


async def test_scaled_up_by_others_while_it_stops_it_is_left_running(subject: InCluster) -> None:
    async with started(subject) as driven:
        subject.cluster.holds_pods = True
        stopping = asyncio.ensure_future(driven.stop())
        await subject.stop_requested()
        subject.cluster.scale("mc", 1)
        await stopping
        await driven.found.wait()
        subject.cluster.let_pods_end()
        await driven.start()
        assert [body["spec"]["replicas"] for body in subject.cluster.bodies] == [1, 0], "it was left alone"


async def test_scaled_up_by_others_right_after_its_reported_end_it_is_found(subject: InCluster) -> None:
    async with started(subject) as driven:
        lists = subject.cluster.asked["list", "statefulsets"]
        held = asyncio.Event()
        subject.cluster.hold[("list", "statefulsets")] = held
        stopping = asyncio.ensure_future(driven.plugin.stop())
        assert driven.exit is not None
        assert (await driven.exit).is_clean
        await subject.cluster.until(lambda: subject.cluster.asked["list", "statefulsets"] > lists)
        subject.cluster.scale("mc", 1)
        await driven.found.wait()
        waiting = asyncio.ensure_future(driven.plugin.wait())
        held.set()
        await stopping
        await nothing_happens(subject.cluster, waiting)
        waiting.cancel()


async def test_what_others_scale_up_after_the_end_of_the_stopped_run_is_left_running(subject: InCluster) -> None:
    async with started(subject) as driven:
        asked = subject.cluster.asked["get", "statefulsets/scale"]
        held = subject.cluster.hold["get", "statefulsets/scale"] = asyncio.Event()
        stopping = asyncio.ensure_future(driven.plugin.stop())
        await subject.cluster.until(lambda: subject.cluster.asked["get", "statefulsets/scale"] > asked)
        await subject.stop()
        assert driven.exit is not None
        assert (await driven.exit).is_clean
        await subject.start()
        await driven.found.wait()
        held.set()
        await stopping
        assert await subject.is_running()
        assert [body["spec"]["replicas"] for body in subject.cluster.bodies] == [1]


async def test_a_watch_that_lags_behind_takes_no_run_for_over(subject: InCluster) -> None:
    cluster = subject.cluster
    async with driving(subject) as driven:
        await driven.adopt()
        cluster.send_up_to(cluster.version)
        cluster.touch()
        before_the_start = cluster.version
        await driven.start()
        cluster.send_up_to(before_the_start)
        cluster.send_to_watches({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "1"}}})
        await until(lambda: driven.plugin._watch._version == "1")
        assert driven.exit is not None
        await asyncio.wait([driven.exit], timeout=0.05)
        assert not driven.exit.done()


async def test_an_adopted_one_is_not_reported_as_found(subject: InCluster) -> None:
    await subject.start()
    async with driving(subject) as driven:
        assert await driven.adopt()
        subject.cluster.touch()
        assert driven.exit is not None
        await nothing_happens(subject.cluster, driven.exit)
        assert not driven.found.is_set()


async def test_what_ran_while_the_api_was_away_is_found_when_it_is_back(subject: InCluster) -> None:
    await subject.break_api()
    async with driving(subject) as driven:
        assert "does not answer" in await error_of(driven.adopt())
        await subject.start()
        await subject.restore_api()
        await driven.found.wait()
        assert await driven.adopt()


# Ending


@both
async def test_a_pod_that_is_terminating_still_counts(subject: InCluster) -> None:
    async with started(subject) as driven:
        subject.cluster.holds_pods = True
        await subject.stop()
        async with driving(subject) as second:
            starting = asyncio.ensure_future(second.plugin.start())
            assert driven.exit is not None
            await asyncio.wait([driven.exit, starting], timeout=0.05)
            assert not driven.exit.done(), "it saves"
            assert not starting.done(), "no second server on the same world"
            assert not subject.cluster.bodies[1:]
            starting.cancel()
            subject.cluster.let_pods_end()
            assert (await driven.exit).is_clean
            await second.start()


@both
async def test_a_run_that_is_still_ending_is_taken_over_until_its_end(subject: InCluster) -> None:
    await subject.start()
    await subject.block_stop()
    await subject.stop()
    async with driving(subject) as driven:
        assert await driven.adopt() is Status.stopping, "who joins now is held until it has saved"
        await subject.unblock_stop()
        assert driven.exit is not None
        assert (await driven.exit).is_clean
        assert not driven.found.is_set()
        assert not await driven.adopt()


@pytest.mark.parametrize("changed", [False, True])
async def test_a_stop_that_did_not_reach_the_api_is_requested_again_unless_others_have_scaled_it(
    subject: InCluster, changed: bool
) -> None:
    async with started(subject) as first:
        update = ("update", "statefulsets/scale")
        subject.cluster.asked.clear()
        subject.cluster.hold[update] = asyncio.Event()
        stopping = asyncio.ensure_future(first.plugin.stop())
        await subject.cluster.until(lambda: subject.cluster.asked[update])
        stopping.cancel()
        await asyncio.wait([stopping])
    subject.cluster.hold.clear()
    assert await subject.is_running()
    if changed:
        await subject.stop()
        await subject.start()
    async with driving(subject) as second:
        assert await second.adopt() is (True if changed else Status.stopping)
        await second.stop()
        assert not await subject.is_running()
        assert not second.found.is_set()


@both
async def test_a_stop_ends_a_start_that_never_gets_ready(subject: InCluster) -> None:
    subject.cluster.auto_ready = False
    async with driving(subject) as driven:
        assert driven.plugin.interruptible_start
        output = RecordedOutput()
        driven.plugin.on_output = output
        starting = asyncio.ensure_future(driven.start())
        await output.line_with("waiting for a pod that is ready")
        await driven.stop()
        assert "was scaled to zero while it started" in await error_of(starting)
        assert not await subject.is_running()


async def test_a_stop_overtakes_a_start_that_has_not_asked_yet(subject: InCluster) -> None:
    async with driving(subject) as driven:
        await driven.adopt()
        subject.cluster.be_slow()
        starting = asyncio.ensure_future(driven.plugin.start())
        await subject.cluster.until(lambda: subject.cluster.asked["get", "statefulsets/scale"])
        stopping = asyncio.ensure_future(driven.plugin.stop())
        await turns()
        subject.cluster.be_quick()
        await stopping
        await error_of(starting)
        assert not await subject.is_running()
        assert not driven.found.is_set()


@pytest.mark.parametrize(("others", "what"), [("stop", "scaled to zero"), ("remove", "deleted")])
async def test_what_others_end_while_it_starts_has_not_started(subject: InCluster, others: str, what: str) -> None:
    subject.cluster.auto_ready = False
    async with driving(subject) as driven:
        output = RecordedOutput()
        driven.plugin.on_output = output
        starting = asyncio.ensure_future(driven.start())
        await output.line_with("waiting for a pod that is ready")
        await getattr(subject, others)()
        assert f"statefulset/mc was {what} while it started" in await error_of(starting)


async def test_a_stop_waits_for_an_api_that_is_away(subject: InCluster, caplog: pytest.LogCaptureFixture) -> None:
    async with started(subject) as driven:
        await subject.break_api()
        stopping = asyncio.ensure_future(driven.stop())
        await asyncio.wait([stopping], timeout=0.1)
        assert not stopping.done()
        [answer] = [message for message in caplog.messages if "trying again until it answers" in message]
        assert "does not answer" in answer
        await subject.restore_api()
        await stopping
        assert not await subject.is_running()


async def test_a_pod_that_still_terminates_is_no_sign_of_the_next_one(subject: InCluster) -> None:
    """A StatefulSet's `readyReplicas` counts it, as seen with Kubernetes 1.36."""
    cluster = subject.cluster
    await subject.start()
    await subject.block_stop()
    await subject.stop()
    await subject.start()
    assert cluster.objects["statefulsets", "games", "mc"]["status"]["readyReplicas"] == 1
    async with driving(subject) as driven:
        output = RecordedOutput()
        driven.plugin.on_output = output
        assert not await driven.adopt()
        starting = asyncio.ensure_future(driven.start())
        await output.line_with("waiting for a pod that is ready")
        await nothing_happens(cluster, starting)
        await subject.unblock_stop()
        await starting
        assert await driven.adopt()
        await driven.stop()


async def test_the_pod_after_one_that_terminates_is_found(subject: InCluster) -> None:
    await subject.start()
    await subject.block_stop()
    await subject.stop()
    await subject.start()
    async with driving(subject) as driven:
        assert not await driven.adopt()
        await subject.unblock_stop()
        await driven.found.wait()
        assert await driven.adopt()


async def test_counts_without_a_generation_are_believed(subject: InCluster) -> None:
    """A status that is maintained without a controller has only the counts."""
    cluster = subject.cluster
    cluster.paused = True
    found = cluster.objects["statefulsets", "games", "mc"]
    found["status"] = {"replicas": 0}
    cluster.touch()
    async with driving(subject) as driven:
        starting = asyncio.ensure_future(driven.start())
        await cluster.until(lambda: found["spec"]["replicas"] == 1)
        found["status"] = {"replicas": 1, "readyReplicas": 1}
        cluster.touch()
        await starting
        stopping = asyncio.ensure_future(driven.stop())
        await cluster.until(lambda: found["spec"]["replicas"] == 0)
        await nothing_happens(cluster, stopping)
        found["status"] = {"replicas": 0}
        cluster.touch()
        await stopping


async def test_a_stop_of_what_was_deleted_is_done(subject: InCluster) -> None:
    async with started(subject) as driven:
        await subject.remove()
        await driven.stop()


async def test_a_plugin_that_is_closed_waits_for_nothing(subject: InCluster) -> None:
    subject.cluster.auto_ready = False
    async with driving(subject) as driven:
        output = RecordedOutput()
        driven.plugin.on_output = output
        starting = asyncio.ensure_future(driven.start())
        await output.line_with("waiting for a pod that is ready")
    assert "is not watched any more" in await error_of(starting)
    assert await subject.is_running(), "it is left, and the next zeroscale finds it"


async def test_a_watch_that_fails_by_itself_ends_all_waits(
    subject: InCluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with started(subject) as driven:
        monkeypatch.setattr(driven.plugin, "_update", None)
        driven.plugin._watch._on_event = None
        subject.cluster.touch()
        assert driven.exit is not None
        assert (await driven.exit).reason == "statefulset/mc is not watched any more"
        assert "A fault in zeroscale itself" in caplog.text


# What is missing


async def test_a_missing_object_is_reported_with_what_to_do(subject: InCluster) -> None:
    await subject.remove()
    async with driving(subject) as driven:
        answer = await error_of(driven.start())
        assert answer == (
            "there is no statefulset/mc in namespace 'games': correct resource= or namespace=; "
            "kubectl get statefulsets --all-namespaces lists what there is"
        )


@pytest.mark.parametrize(
    ("verb", "resource", "when"),
    [
        ("list", "statefulsets", "start"),
        ("watch", "statefulsets", "start"),
        ("get", "statefulsets/scale", "start"),
        ("update", "statefulsets/scale", "start"),
        ("update", "statefulsets/scale", "stop"),
        ("get", "statefulsets/scale", "stop"),
    ],
)
async def test_a_verb_that_is_missing_is_named(subject: InCluster, verb: str, resource: str, when: str) -> None:
    async with driving(subject) as driven:
        if when == "stop":
            await driven.start()
        subject.cluster.forbidden.add((verb, resource))
        answer = await error_of(driven.start() if when == "start" else driven.plugin.stop())
        assert answer.startswith(f"not allowed to {verb} {resource}")
        assert f'the Role needs the verb "{verb}"' in answer
        assert f"cannot {verb} resource" in answer, "and the server's own words"
        assert await subject.is_running() == (when == "stop")


@pytest.mark.parametrize("subject", ["deployments"], indirect=True)
async def test_a_deployment_needs_to_list_pods_before_it_is_started(subject: InCluster) -> None:
    subject.cluster.forbidden.add(("list", "pods"))
    async with driving(subject) as driven:
        assert "not allowed to list pods in namespace 'games'" in await error_of(driven.start())
        assert not await subject.is_running()


async def test_an_api_that_is_overloaded_is_asked_again(subject: InCluster) -> None:
    busy = status(429, "TooManyRequests", "the server has received too many requests")
    broken = status(500, "InternalError", "etcdserver: leader changed")
    subject.cluster.answer_next["get", "statefulsets/scale"] = [busy]
    subject.cluster.answer_next["update", "statefulsets/scale"] = [broken]
    subject.cluster.answer_next["list", "statefulsets"] = [busy]
    subject.cluster.answer_next["watch", "statefulsets"] = [broken]
    async with started(subject) as driven:
        await driven.stop()


# The watch, as the server of it sees it


@pytest.mark.parametrize("break_it", ["drop_watches", "end_watches", "expire", "expire_in_watch"])
async def test_whatever_becomes_of_a_watch_the_end_is_seen(subject: InCluster, break_it: str) -> None:
    cluster = subject.cluster
    async with started(subject) as driven:
        if break_it == "expire":
            cluster.forget_history()
            cluster.end_watches()
        elif break_it == "expire_in_watch":
            cluster.forget_history()
            cluster.send_to_watches({"type": "ERROR", "object": EXPIRED})
        else:
            getattr(cluster, break_it)()
        cluster.paused = True
        cluster.scale("mc", 0)
        cluster.paused = False
        cluster.work()
        assert driven.exit is not None
        assert (await driven.exit).is_clean


# All of zeroscale before it


@asynccontextmanager
async def kubelet(cluster: Cluster, port: int) -> AsyncIterator[None]:
    """Run an echo server on the port while `mc` has a pod."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while answer := await reader.read(1000):
            writer.write(answer)
        writer.close()

    async def work() -> None:
        while True:
            await cluster.until(lambda: cluster.pods)
            async with await asyncio.start_server(echo, "127.0.0.1", port):
                await cluster.until(lambda: not cluster.pods)

    working = asyncio.ensure_future(work())
    try:
        yield
    finally:
        working.cancel()
        await asyncio.wait([working])


async def echoed(port: int) -> bytes:
    """Return the answer to a client's hello; waits until zeroscale listens."""
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.05)
            continue
        writer.write(b"hello")
        answer = await reader.read(1000)
        writer.close()
        await writer.wait_closed()
        return answer


@pytest.mark.slow
async def test_zeroscale_starts_it_stops_it_and_respects_scaling_by_hand(subject: InCluster, tmp_path: Path) -> None:
    cluster = subject.cluster
    cluster.delete("other")
    listen, backend = free_port(), free_port()
    words = [
        *("-m", "zeroscale", "kubernetes", str(listen), str(backend), "-a", "statefulset/mc"),
        *("-a", f"kubeconfig={subject.kubeconfig}", "--idle_shutdown", "0.2", "--state_directory", str(tmp_path)),
    ]

    async with kubelet(cluster, backend):
        with Program(python(*words, "--info")) as program:

            async def says(text: str) -> None:
                await asyncio.to_thread(program.wait_for, text)

            assert await echoed(listen) == b"hello"
            await says(": ready")
            await says(": stopped")
            assert not cluster.pods
            cluster.scale("mc", 1)
            await says(": ready: it ran already")
            await says(": stopped")
            assert [body["spec"]["replicas"] for body in cluster.bodies] == [1, 0, 0]
            cluster.scale("mc", 2)
            await says(
                "not stopped: it does not say who is on (statefulset/mc has 2 replicas; more than one is never stopped)"
            )
            cluster.scale("mc", 0)
            await says(": stopped")
            await cluster.shut()
            await cluster.open()
            assert await echoed(listen) == b"hello"
            program.signal(signal.SIGTERM)
            assert await asyncio.to_thread(program.wait) == 0
            assert not cluster.pods
            assert "Traceback" not in program.output


# The manifests of docs/kubernetes.md

DOCS = Path(__file__).parent.parents[2] / "docs"


def manifests(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DOCS / "kubernetes" / name).read_text()))


def rules(name: str) -> list[dict[str, Any]]:
    [role] = [each for each in manifests(name) if each["kind"] == "Role"]
    [binding] = [each for each in manifests(name) if each["kind"] == "RoleBinding"]
    [account] = [each for each in manifests(name) if each["kind"] == "ServiceAccount"]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", **account["metadata"]}]
    found: list[dict[str, Any]] = role["rules"]
    return found


@both
async def test_the_role_allows_what_is_asked_and_nothing_else(subject: InCluster) -> None:
    role = rules(f"rbac-{subject.plural.removesuffix('s')}.yaml")

    def allows(verb: str, group: str, resource: str, name: str) -> bool:
        return any(
            verb in rule["verbs"]
            and group in rule["apiGroups"]
            and resource in rule["resources"]
            and name in rule.get("resourceNames", [name])
            for rule in role
        )

    subject.cluster.allows = allows
    async with started(subject) as driven:
        await driven.stop()
        await driven.start()
        await driven.stop()
    allowed = {(verb, resource) for rule in role for verb in rule["verbs"] for resource in rule["resources"]}
    assert set(subject.cluster.asked) == allowed
    assert all(rule.get("resourceNames") == ["mc"] for rule in role if rule["resources"] != ["pods"])


def test_the_role_for_discovery_is_that_of_both_kinds_without_names() -> None:
    def verbs(name: str) -> set[tuple[str, str]]:
        return {(verb, what) for rule in rules(name) for verb in rule["verbs"] for what in rule["resources"]}

    assert verbs("rbac-discovery.yaml") == verbs("rbac-statefulset.yaml") | verbs("rbac-deployment.yaml")
    assert not any("resourceNames" in rule for rule in rules("rbac-discovery.yaml"))


def test_the_manifests_fit_each_other_and_our_options(subject: InCluster, tmp_path: Path) -> None:
    [server, inner] = manifests("minecraft.yaml")
    [proxy, outer] = manifests("zeroscale.yaml")
    [account, *_] = manifests("rbac-statefulset.yaml")
    assert proxy["spec"]["template"]["spec"]["serviceAccountName"] == account["metadata"]["name"]
    assert {each["metadata"]["namespace"] for each in (server, inner, proxy, outer, account)} == {"games"}
    [container] = proxy["spec"]["template"]["spec"]["containers"]
    [reports] = parse(container["args"], directory=tmp_path).config.servers
    assert reports.plugin_keywords == {"resource": "statefulset/mc", "protocol": "minecraft"}
    assert f"statefulset/{server['metadata']['name']}" == reports.plugin_keywords["resource"]
    assert reports.server_host == f"{inner['metadata']['name']}.{inner['metadata']['namespace']}.svc"
    assert [reports.server_port] == [port["port"] for port in inner["spec"]["ports"]]
    assert reports.listen == (str(outer["spec"]["ports"][0]["port"]),)
    for workload, service in ((server, inner), (proxy, outer)):
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert workload["spec"]["selector"]["matchLabels"] == labels == service["spec"]["selector"]
        names = [port["name"] for port in workload["spec"]["template"]["spec"]["containers"][0]["ports"]]
        assert [port["targetPort"] for port in service["spec"]["ports"]] == names
    assert "replicas" not in server["spec"], "applying it again must not scale it"
    assert inner["spec"].get("clusterIP") != "None"
    assert server["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] <= reports.stop_timeout


def test_the_page_names_every_manifest_and_every_argument() -> None:
    page = (DOCS / "kubernetes.md").read_text()
    for path in (DOCS / "kubernetes").iterdir():
        assert f"(kubernetes/{path.name})" in page
    for argument in inspect.signature(Server).parameters.keys() - {"state_directory"}:
        assert f"| `{argument}` |" in page
    for key in (*SPECIAL_KEYS, *sorted(settable().keys() - {"texts", "admission"})):
        assert f"`zeroscale/{key}`" in page or f"`{key}`" in page


# Arguments


@pytest.mark.parametrize(
    ("resource", "keywords", "expected"),
    [
        ("mc", {}, "resource='mc' is not understood: give statefulset/NAME or deployment/NAME"),
        ("pod/mc", {}, "resource='pod/mc' is not understood"),
        ("statefulset/", {}, "'' is not the name of a Kubernetes object"),
        ("statefulset/My_Server", {}, "'My_Server' is not the name of a Kubernetes object"),
        ("sts/mc", {"namespace": "Games!"}, "namespace='Games!' is not the name of a namespace"),
        ("sts/mc", {"protocol": "bedrock"}, "protocol='bedrock': zeroscale speaks minecraft, http; leave it out"),
        ("sts/mc", {"kubeconfig": "/no/such"}, "kubeconfig='/no/such' does not exist"),
        ("sts/mc", {"context": "elsewhere"}, "context='elsewhere' is not in"),
    ],
)
async def test_values_that_cannot_be_understood(
    subject: InCluster, resource: str, keywords: dict[str, str], expected: str
) -> None:
    with pytest.raises(PluginError) as raised:
        Server(resource, state_directory=".", **{"kubeconfig": str(subject.kubeconfig), **keywords})
    assert expected in str(raised.value)
    assert "\n" not in str(raised.value)


async def test_its_protocol_is_as_it_was_given(subject: InCluster) -> None:
    make = partial(Server, "sts/mc", state_directory=".", kubeconfig=str(subject.kubeconfig))
    assert make(protocol="minecraft").protocol == "minecraft"
    assert make().protocol is None
    assert make().fake_status() == b""


@pytest.mark.parametrize(
    ("resource", "namespace", "same"),
    [
        ("sts/mc", None, True),
        ("StatefulSet/mc", "games", True),
        ("statefulsets/mc", "games", True),
        ("deployment/mc", None, False),
        ("sts/mc2", None, False),
        ("sts/mc", "elsewhere", False),
    ],
)
async def test_what_it_controls_has_one_spelling(
    subject: InCluster, resource: str, namespace: str | None, same: bool
) -> None:
    make = partial(Server, state_directory=".", kubeconfig=str(subject.kubeconfig))
    assert (make(resource, namespace=namespace).controls == make("statefulset/mc").controls) == same


async def test_a_workload_by_two_addresses_of_a_cluster_belongs_to_one_server(
    subject: InCluster, tmp_path: Path
) -> None:
    (tmp_path / "two").mkdir()
    other = tmp_path / "two" / "kubeconfig"
    other.write_text(subject.kubeconfig.read_text().replace("127.0.0.1", "localhost"))
    one = subject.make_plugin()
    two = Server(f"{subject.plural}/mc", state_directory=tmp_path / "two", kubeconfig=str(other))
    found: list[str] = []
    two.on_found = lambda: found.append("found")
    message = f"/mc is what the server {subject.directory.name!r} starts and stops, by another name"
    try:
        assert not await one.adopt()
        with pytest.raises(PluginError, match=message):
            await two.adopt()
        await one.start()
        with pytest.raises(PluginError, match=message):
            await two.start()
        await two.stop()
        assert (await one.adopt(), found) == (True, [])
        await one.stop()
        await one.close()
        assert not await two.adopt()
        await two.start()
        await two.stop()
    finally:
        await one.close()
        await two.close()


async def test_another_namespace(subject: InCluster) -> None:
    subject.cluster.create("mc", namespace="elsewhere")
    server = Server("sts/mc", state_directory=".", kubeconfig=str(subject.kubeconfig), namespace="elsewhere")
    await server.start()
    assert subject.cluster.objects["statefulsets", "elsewhere", "mc"]["spec"]["replicas"] == 1
    assert subject.cluster.objects["statefulsets", "games", "mc"]["spec"]["replicas"] == 0
    await server.close()
