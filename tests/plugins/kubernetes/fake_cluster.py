"""A fake Kubernetes API server with what the plugin uses, over real HTTP, with small controllers.

Shapes are those of a real server: a Scale leaves out `spec.replicas` at zero (`autoscaling/v1` has it `omitempty`), a
StatefulSet does not (there it is a pointer), counts of zero are left out of a status, errors are `Status` objects, each
write has a new resourceVersion, and only a change of the spec a new generation. A StatefulSet's `status.replicas`
and its `readyReplicas` count terminating pods, its `currentReplicas` and `updatedReplicas` and a Deployment's counts do
not. Requests are recorded in the terms of a Role.
"""

from __future__ import annotations

import asyncio
import json
import math
import ssl
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from zeroscale.plugins.kubernetes import watch

USER = "system:serviceaccount:games:zeroscale"
KINDS = {"statefulsets": "StatefulSet", "deployments": "Deployment"}


def status(code: int, reason: str, message: str) -> dict[str, Any]:
    """Make a Status, the API's error object."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }


def update_error(body: dict[str, Any], content_type: str, plural: str, found: dict[str, Any]) -> dict[str, Any] | None:
    """Return kube-apiserver 1.36's error for an update of a Scale that is invalid, or of another version or object."""
    name, metadata = found["metadata"]["name"], body["metadata"]
    if content_type != "application/json":
        return status(415, "UnsupportedMediaType", "the body of the request was in an unknown format")
    if (body["apiVersion"], body["kind"]) != ("autoscaling/v1", "Scale"):
        kind, version = body["kind"], body["apiVersion"]
        message = f'{kind} cannot be handled as a Scale: no kind "{kind}" is registered for version "{version}"'
        return status(400, "BadRequest", message)
    if metadata.get("name") != name:
        message = f"the name of the object ({metadata.get('name')}) does not match the name on the URL ({name})"
        return status(400, "BadRequest", message)
    cannot = f'Operation cannot be fulfilled on {plural}.apps "{name}": '
    if metadata.get("uid") not in (None, found["metadata"]["uid"]):
        return status(409, "Conflict", f"{cannot}Precondition failed: UID in precondition: {metadata['uid']}")
    if metadata.get("resourceVersion") not in (None, found["metadata"]["resourceVersion"]):
        return status(
            409,
            "Conflict",
            f"{cannot}the object has been modified; please apply your changes to the latest version and try again",
        )
    return None


_context: list[ssl.SSLContext] = []


def quicken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the delays between tries, and read the system's certificate authorities only once."""
    monkeypatch.setattr(watch, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(watch, "LONGEST_DELAY", 0.02)
    if not _context:
        _context.append(ssl.create_default_context())
    monkeypatch.setattr(ssl, "create_default_context", lambda **_: _context[0])


EXPIRED = status(410, "Expired", "too old resource version: 7 (1200)")


@dataclass
class Pod:
    """One pod.

    :ivar owner: the name of its StatefulSet or Deployment.
    :ivar terminating: whether its containers are ending.
    :ivar ready: whether its readiness probe succeeds.
    """

    owner: str
    labels: dict[str, str]
    terminating: bool = False
    ready: bool = False
    phase: str = "Running"


@dataclass
class Cluster:
    """The server and its controllers.

    :ivar asked: number of requests for each (verb, resource).
    :ivar forbidden: (verb, resource) that are refused with 403.
    :ivar allows: whether a Role allows (verb, group, resource, name); a list or watch has a name by its selector.
    :ivar auto_ready: whether pods become ready by themselves.
    :ivar holds_pods: whether terminating pods end only with `let_pods_end`.
    :ivar paused: whether the controllers run only with `work`.
    :ivar answer_next: the answers to the next requests of a (verb, resource).
    :ivar sends_up_to: the last version that watches get; see `send_up_to`.
    :ivar hold: requests of a (verb, resource) are answered once these events are set.
    :ivar before_update: called before the next update is processed, to make a conflicting change.
    :ivar token: the bearer token of requests; None: none is needed.
    """

    objects: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    pods: list[Pod] = field(default_factory=list)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    queries: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    users: set[str] = field(default_factory=set)
    forbidden: set[tuple[str, str]] = field(default_factory=set)
    allows: Callable[[str, str, str, str], bool] = lambda *_: True
    auto_ready: bool = True
    holds_pods: bool = False
    paused: bool = False
    token: str | None = None
    page: int = 500
    port: int = 0
    answer_next: dict[tuple[str, str], list[dict[str, Any] | Callable[[], None]]] = field(default_factory=dict)
    sends_up_to: float = math.inf
    hold: dict[tuple[str, str], asyncio.Event] = field(default_factory=dict)
    before_update: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.version = 1000
        self.events: list[tuple[int, str, str, dict[str, Any]]] = []
        self.oldest = 0
        self._news = asyncio.Event()
        self._answers = asyncio.Event()
        self._answers.set()
        self._watches: dict[asyncio.Queue[Any], None] = {}
        self._runner: web.AppRunner | None = None

    # Serving

    async def open(self, tls: ssl.SSLContext | None = None) -> None:
        """Start serving, on the same port as before."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.0, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True, ssl_context=tls)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def shut(self) -> None:
        """Stop serving, and close all connections."""
        self._answers.set()
        runner, self._runner = self._runner, None
        if runner is not None:
            server = runner.server
            assert server is not None
            for connection in server.connections:
                if connection.transport is not None:
                    connection.transport.abort()
            await runner.cleanup()

    @property
    def is_open(self) -> bool:
        """Whether it serves."""
        return self._runner is not None

    def be_slow(self) -> None:
        """Answer no request before `be_quick`."""
        self._answers.clear()

    def be_quick(self) -> None:
        """End `be_slow`."""
        self._answers.set()

    def kubeconfig(self, directory: Path, *, namespace: str | None = "games", **user: Any) -> Path:
        """Write a kubeconfig for it."""
        path = directory / "kubeconfig"
        context: dict[str, Any] = {"cluster": "fake", "user": "us"}
        if namespace is not None:
            context["namespace"] = namespace
        path.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "fake",
                    "clusters": [{"name": "fake", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
                    "contexts": [{"name": "fake", "context": context}],
                    "users": [{"name": "us", "user": user or {}}],
                }
            )
        )
        return path

    # What others do

    def create(
        self,
        name: str,
        *,
        plural: str = "statefulsets",
        replicas: int = 0,
        namespace: str = "games",
        annotations: dict[str, str] | None = None,
        **spec: Any,
    ) -> None:
        """Create an object, as an operator who applies a manifest."""
        found: dict[str, Any] = {
            "kind": KINDS[plural],
            "apiVersion": "apps/v1",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": f"uid-{self.version}",
                "generation": 1,
                "creationTimestamp": "2026-01-01T00:00:00Z",
            },
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {
                        "containers": [{"name": "server", "ports": [{"containerPort": 25565, "protocol": "TCP"}]}]
                    },
                },
                **spec,
            },
            "status": {"replicas": 0} if plural == "statefulsets" else {},
        }
        if annotations:
            found["metadata"]["annotations"] = annotations
        self.objects[plural, namespace, name] = found
        self._wrote("ADDED", plural, found)
        self.work()

    def scale(self, name: str, replicas: int, *, plural: str = "statefulsets", namespace: str = "games") -> None:
        """Scale an object, as `kubectl scale` does."""
        found = self.objects[plural, namespace, name]
        if found["spec"]["replicas"] != replicas:
            found["spec"]["replicas"] = replicas
            found["metadata"]["generation"] += 1
            self._wrote("MODIFIED", plural, found)
        self.work()

    def annotate(self, name: str, annotations: dict[str, str], *, plural: str = "statefulsets") -> None:
        """Set annotations, as `kubectl annotate --overwrite` does."""
        found = self.objects[plural, "games", name]
        found["metadata"]["annotations"] = annotations
        self._wrote("MODIFIED", plural, found)

    def touch(self, name: str = "mc", *, plural: str = "statefulsets") -> None:
        """Change an object in a way that does not matter to us."""
        self._wrote("MODIFIED", plural, self.objects[plural, "games", name])

    def delete(self, name: str, *, plural: str = "statefulsets", namespace: str = "games") -> None:
        """Delete an object and its pods, as `kubectl delete` does."""
        found = self.objects.pop((plural, namespace, name))
        self.pods = [pod for pod in self.pods if pod.owner != name]
        self._wrote("DELETED", plural, found)

    def let_pods_end(self) -> None:
        """Let terminating pods end."""
        self.holds_pods = False
        self.work()

    def get_ready(self) -> None:
        """Let the readiness probes of all pods succeed."""
        for pod in self.pods:
            pod.ready = True
        self.work()

    def forget_history(self) -> None:
        """Refuse watches from old versions with 410, as after etcd's compaction."""
        self.version += 1
        self.oldest = self.version

    def drop_watches(self) -> None:
        """Break all watch connections, in the middle of a line."""
        for queue in self._watches:
            queue.put_nowait(b'{"type":"MODI')

    def end_watches(self) -> None:
        """End all watches normally."""
        for queue in self._watches:
            queue.put_nowait(None)

    def send_up_to(self, version: float) -> None:
        """Have watches lag behind: send them no version after this one."""
        self.sends_up_to = version
        for queue in self._watches:
            queue.put_nowait("news")

    def send_to_watches(self, event: dict[str, Any]) -> None:
        """Send one event to all watches."""
        for queue in self._watches:
            queue.put_nowait(json.dumps(event).encode() + b"\n")

    @property
    def watches(self) -> int:
        """Number of open watches."""
        return len(self._watches)

    async def until(self, true: Callable[[], object]) -> None:
        """Wait until a condition is true, which is checked after each request and each write."""
        while not true():
            await self._news.wait()

    # Controllers

    def work(self) -> None:
        """Run the controllers once: pods, then statuses."""
        if self.paused:
            return
        for (plural, _, name), found in list(self.objects.items()):
            mine = [pod for pod in self.pods if pod.owner == name]
            wanted = found["spec"]["replicas"]
            living = [pod for pod in mine if not pod.terminating]
            blocked = plural == "statefulsets" and len(mine) > len(living)
            if len(living) < wanted and not blocked:
                for _ in range(wanted - len(living)):
                    self.pods.append(Pod(name, {"app": name}, ready=self.auto_ready))
            for pod in living[wanted:]:
                pod.terminating = True
            if not self.holds_pods:
                self.pods = [pod for pod in self.pods if not pod.terminating]
            mine = [pod for pod in self.pods if pod.owner == name]
            counted = [pod for pod in mine if plural == "statefulsets" or not pod.terminating]
            counts = {
                "replicas": len(counted),
                "readyReplicas": sum(pod.ready for pod in counted),
                "updatedReplicas": sum(not pod.terminating for pod in counted),
            }
            if plural == "statefulsets":
                counts["currentReplicas"] = counts["updatedReplicas"]
            now: dict[str, Any] = {key: count for key, count in counts.items() if count}
            now["observedGeneration"] = found["metadata"]["generation"]
            if plural == "statefulsets":
                now.setdefault("replicas", 0)
                now["currentRevision"] = now["updateRevision"] = f"{name}-6b979bdfd5"
            if now != found["status"]:
                found["status"] = now
                self._wrote("MODIFIED", plural, found)
                if not self.holds_pods:
                    self.work()

    def _wrote(self, kind: str, plural: str, found: dict[str, Any]) -> None:
        self.version += 1
        found["metadata"]["resourceVersion"] = str(self.version)
        self.events.append((self.version, kind, plural, deepcopy(found)))
        for queue in self._watches:
            queue.put_nowait("news")
        self._send_events()

    def _send_events(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    # Requests

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        segments = request.path.strip("/").split("/")
        group = segments[1] if segments[0] == "apis" else ""
        rest = segments[3:] if group else segments[2:]
        namespace = None
        if rest[0] == "namespaces":
            namespace, rest = rest[1], rest[2:]
        plural, name, subresource = (*rest, "", "")[:3]
        resource = f"{plural}/{subresource}" if subresource else plural
        if request.method == "GET":
            verb = "get" if name else "watch" if request.query.get("watch") in ("1", "true") else "list"
        else:
            verb = {"PUT": "update", "PATCH": "patch", "POST": "create", "DELETE": "delete"}[request.method]
        self.asked[verb, resource] += 1
        self.queries.append((verb, resource, dict(request.query)))
        self.users.add(request.headers.get("User-Agent", ""))
        self._send_events()
        await self._answers.wait()
        if (held := self.hold.get((verb, resource))) is not None:
            await held.wait()
        if self.token is not None and request.headers.get("Authorization") != f"Bearer {self.token}":
            return self._error(status(401, "Unauthorized", "Unauthorized"))
        selected = name or request.query.get("fieldSelector", "").removeprefix("metadata.name=")
        if (verb, resource) in self.forbidden or not self.allows(verb, group, resource, selected):
            what = f'{plural}.{group} "{name}"' if group else f"{plural}"
            message = (
                f'{what} is forbidden: User "{USER}" cannot {verb} resource "{resource}" in API group "{group}" in the '
                f'namespace "{namespace}"'
            )
            return self._error(status(403, "Forbidden", message))
        for canned in self.answer_next.get((verb, resource), [])[:1]:
            self.answer_next[verb, resource].pop(0)
            if callable(canned):
                canned()
            else:
                return self._error(canned)
        if plural == "pods":
            return self._list_pods(request)
        if verb == "list":
            return self._list(request, plural, namespace)
        if verb == "watch":
            return await self._watch(request, plural, namespace)
        return await self._scale(request, plural, namespace or "", name)

    def _error(self, content: dict[str, Any]) -> web.Response:
        return web.json_response(content, status=content["code"])

    def _select(self, request: web.Request, plural: str, namespace: str | None) -> Callable[[dict[str, Any]], bool]:
        name = request.query.get("fieldSelector", "").removeprefix("metadata.name=")

        def selected(found: dict[str, Any]) -> bool:
            metadata = found["metadata"]
            return (not name or metadata["name"] == name) and namespace in (None, metadata["namespace"])

        return selected

    def _list(self, request: web.Request, plural: str, namespace: str | None) -> web.Response:
        selected = self._select(request, plural, namespace)
        items = [found for (kind, _, _), found in self.objects.items() if kind == plural and selected(found)]
        first = int(request.query.get("continue", "0"))
        metadata = {"resourceVersion": str(self.version)}
        if first + self.page < len(items):
            metadata["continue"] = str(first + self.page)
        # Items of a list have no kind and no apiVersion.
        shown = [
            {key: value for key, value in found.items() if key not in ("kind", "apiVersion")}
            for found in items[first : first + self.page]
        ]
        return web.json_response(
            {"kind": f"{KINDS[plural]}List", "apiVersion": "apps/v1", "metadata": metadata, "items": shown}
        )

    def _list_pods(self, request: web.Request) -> web.Response:
        terms = dict(term.split("=") for term in request.query["labelSelector"].split(","))
        items = [
            {
                "metadata": {
                    "labels": pod.labels,
                    **({"deletionTimestamp": "2026-01-01T00:00:00Z"} if pod.terminating else {}),
                },
                "status": {"phase": pod.phase},
            }
            for pod in self.pods
            if terms.items() <= pod.labels.items()
        ]
        metadata = {"resourceVersion": str(self.version)}
        return web.json_response({"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": items})

    async def _watch(self, request: web.Request, plural: str, namespace: str | None) -> web.StreamResponse:
        version = int(request.query["resourceVersion"])
        if version < self.oldest:
            return self._error(EXPIRED)
        selected = self._select(request, plural, namespace)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        queue: asyncio.Queue[Any] = asyncio.Queue()
        self._watches[queue] = None
        self._send_events()
        queue.put_nowait("news")
        try:
            while (event := await queue.get()) is not None:
                if isinstance(event, bytes):
                    await response.write(event)
                    if not event.endswith(b"\n"):
                        assert request.transport is not None
                        request.transport.abort()
                        return response
                    continue
                for at, kind, of, found in self.events:
                    if at > version and of == plural and at <= self.sends_up_to:
                        version = at
                        if selected(found):
                            await response.write(json.dumps({"type": kind, "object": found}).encode() + b"\n")
        except (ConnectionError, asyncio.CancelledError):
            return response
        finally:
            self._watches.pop(queue, None)
            self._send_events()
        await response.write_eof()
        return response

    async def _scale(self, request: web.Request, plural: str, namespace: str, name: str) -> web.Response:
        if request.method == "PUT":
            for other_client in self.before_update[:1]:
                self.before_update.pop(0)
                other_client()
        found = self.objects.get((plural, namespace, name))
        if found is None:
            return self._error(status(404, "NotFound", f'{plural}.apps "{name}" not found'))
        if request.method == "PUT":
            body = await request.json()
            self.bodies.append(body)
            if (error := update_error(body, request.content_type, plural, found)) is not None:
                return self._error(error)
            self.scale(name, body["spec"].get("replicas", 0), plural=plural, namespace=namespace)
        metadata = {key: found["metadata"][key] for key in ("name", "namespace", "uid", "resourceVersion")}
        metadata["creationTimestamp"] = found["metadata"]["creationTimestamp"]
        replicas = found["spec"]["replicas"]
        return web.json_response(
            {
                "kind": "Scale",
                "apiVersion": "autoscaling/v1",
                "metadata": metadata,
                "spec": {"replicas": replicas} if replicas else {},
                "status": {"replicas": found["status"].get("replicas", 0), "selector": f"app={name}"},
            }
        )
