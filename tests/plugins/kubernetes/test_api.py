"""Requests to an API server, its answers and refusals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from plugins.kubernetes.fake_cluster import Cluster, quicken, status

from zeroscale.plugins.kubernetes import api as kubernetes_api
from zeroscale.plugins.kubernetes.api import Api, ApiRefused, ApiRequest, ApiUnavailable
from zeroscale.plugins.kubernetes.credentials import Credentials

LIST = ApiRequest("list", "statefulsets", "apps", "games")
WATCH = ApiRequest("watch", "statefulsets", "apps", "games")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken(monkeypatch)


@asynccontextmanager
async def answering(directory: Path, answer: web.StreamResponse | None) -> AsyncIterator[Api]:
    """Run an API server that answers every request with this; with None, none."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if answer is None:
            await asyncio.Event().wait()
        assert answer is not None
        return answer

    cluster = Cluster()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.0, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    cluster.port = runner.addresses[0][1]
    api = Api(Credentials(str(cluster.kubeconfig(directory)), environment={}))
    try:
        yield api
    finally:
        await api.close()
        await runner.cleanup()


@pytest.mark.parametrize(
    ("call", "path"),
    [
        (ApiRequest("list", "pods", "", "games"), "/api/v1/namespaces/games/pods"),
        (LIST, "/apis/apps/v1/namespaces/games/statefulsets"),
        (ApiRequest("watch", "deployments", "apps", None), "/apis/apps/v1/deployments"),
        (
            ApiRequest("update", "deployments/scale", "apps", "games", "mc"),
            "/apis/apps/v1/namespaces/games/deployments/mc/scale",
        ),
    ],
)
def test_the_path_of_a_request(call: ApiRequest, path: str) -> None:
    assert call.path == path


def test_a_request_as_text() -> None:
    assert str(ApiRequest("get", "statefulsets/scale", "apps", "games", "mc")) == (
        "get statefulsets/scale 'mc' in namespace 'games'"
    )
    assert str(ApiRequest("list", "statefulsets", "apps", None)) == "list statefulsets in all namespaces"


@pytest.mark.parametrize(("code", "kind"), [(429, ApiUnavailable), (500, ApiUnavailable), (503, ApiUnavailable)])
async def test_what_may_be_asked_again(tmp_path: Path, code: int, kind: type[Exception]) -> None:
    async with answering(tmp_path, web.json_response(status(code, "Why", "for\nthis reason"), status=code)) as api:
        with pytest.raises(kind, match="cannot list statefulsets in namespace 'games' now: for this reason"):
            await api.send(LIST)


@pytest.mark.parametrize("code", [400, 404, 409, 410, 422])
async def test_what_is_refused(tmp_path: Path, code: int) -> None:
    async with answering(tmp_path, web.json_response(status(code, "Why", "this reason"), status=code)) as api:
        with pytest.raises(
            ApiRefused, match="refuses to list statefulsets in namespace 'games': this reason"
        ) as message:
            await api.send(LIST)
        assert message.value.status == code


async def test_a_forbidden_verb_is_named(tmp_path: Path) -> None:
    message = status(403, "Forbidden", 'statefulsets.apps is forbidden: User "u" cannot list resource "statefulsets"')
    async with answering(tmp_path, web.json_response(message, status=403)) as api:
        with pytest.raises(ApiRefused) as raised:
            await api.send(LIST)
        assert str(raised.value) == (
            "not allowed to list statefulsets in namespace 'games': the Role needs the verb \"list\" "
            '(docs/kubernetes.md); statefulsets.apps is forbidden: User "u" cannot list resource "statefulsets"'
        )


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (web.Response(text="<html>a proxy's page</html>", status=502), "HTTP status 502"),
        (web.Response(text="<html>a portal</html>"), "is not JSON"),
        (web.json_response([1]), "is not a JSON object"),
    ],
)
async def test_an_answer_that_no_api_server_gives(tmp_path: Path, answer: web.Response, message: str) -> None:
    async with answering(tmp_path, answer) as api:
        with pytest.raises(ApiUnavailable, match=message):
            await api.send(LIST)


async def test_a_message_without_end_is_cut(tmp_path: Path) -> None:
    async with answering(tmp_path, web.json_response(status(422, "Invalid", "x" * 10_000), status=422)) as api:
        with pytest.raises(ApiRefused) as raised:
            await api.send(LIST)
        assert len(str(raised.value)) < 500


async def test_an_answer_without_end_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes_api, "LARGEST_ANSWER", 100)
    async with answering(tmp_path, web.json_response({"items": ["x" * 200]})) as api:
        with pytest.raises(ApiUnavailable, match="is too long"):
            await api.send(LIST)


@pytest.mark.parametrize("call", [LIST, WATCH])
async def test_an_api_that_never_answers_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: ApiRequest
) -> None:
    monkeypatch.setattr(kubernetes_api, "REQUEST_TIMEOUT", 0.05)
    monkeypatch.setattr(kubernetes_api, "WATCH_SECONDS", 0)
    monkeypatch.setattr(kubernetes_api, "WATCH_GRACE", 0.05)
    opened: list[bool] = []

    def take(kind: str, found: Mapping[str, object]) -> None:
        raise AssertionError

    async with answering(tmp_path, None) as api:
        with pytest.raises(ApiUnavailable, match="does not answer"):
            await (api.send(LIST) if call is LIST else api.watch(WATCH, [], lambda: opened.append(True), take))
        assert not opened


async def test_a_watch_that_is_never_opened_is_not_waited_for_as_long_as_one_that_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes_api, "REQUEST_TIMEOUT", 0.05)
    async with answering(tmp_path, None) as api, asyncio.timeout(kubernetes_api.WATCH_GRACE):
        with pytest.raises(ApiUnavailable, match="does not answer"):
            await api.watch(WATCH, [], lambda: None, lambda kind, found: None)


async def test_what_is_not_there_does_not_answer(tmp_path: Path) -> None:
    cluster = Cluster(port=1)
    api = Api(Credentials(str(cluster.kubeconfig(tmp_path)), environment={}))
    with pytest.raises(ApiUnavailable, match=r"the Kubernetes API at http://127\.0\.0\.1:1 does not answer"):
        await api.send(LIST)
    await api.close()
    await api.close()
