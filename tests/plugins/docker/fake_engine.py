"""A fake container engine on a Unix socket, with the part of the Docker Engine's API that the plugin uses.

Its containers behave as the real ones of the tests (`containers.SCRIPT`): each ends on SIGTERM, but after a SIGUSR1
not before a SIGUSR2. Answers and statuses are those of Docker 20.10, recorded by hand.
"""

from __future__ import annotations

import asyncio
import json
import struct
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

FILTERED = "<html><body><h1>403 Forbidden</h1>\nRequest forbidden by administrative rules.\n</body></html>\n"
"""What HAProxy answers to a request that its rules deny."""

NEVER = "0001-01-01T00:00:00Z"
CODES = {"SIGTERM": 143, "SIGINT": 130, "SIGKILL": 137}


class FakeContainer:
    """One container.

    :ivar config: its Config, as inspected.
    :ivar state: its State, as inspected.
    :ivar lines: its output.
    """

    def __init__(self, name: str, config: dict[str, Any], host: dict[str, Any], networks: dict[str, str]) -> None:
        self.id = (name.encode().hex() + "0" * 64)[:64]
        self.name = name
        self.config = {"Labels": {}, "Tty": False, "OpenStdin": False, "StdinOnce": False, **config}
        self.host = {"NetworkMode": "bridge", "PortBindings": {}, **host}
        self.addresses = networks
        self.state: dict[str, Any] = {"Running": False, "Paused": False, "Restarting": False, "OOMKilled": False}
        self.state |= {"ExitCode": 0, "StartedAt": NEVER}
        self.lines: list[str] = []
        self.has_output = asyncio.Event()
        self.ended = asyncio.Event()
        self.holds = False
        self.asked = False
        self.stop_timeout: str | None = None

    def inspection(self) -> dict[str, Any]:
        """Return the inspection, as `docker inspect` prints it."""
        networks = {
            name: {"IPAddress": address if self.state["Running"] else ""} for name, address in self.addresses.items()
        }
        return {
            "Id": self.id,
            "Name": f"/{self.name}",
            "State": dict(self.state),
            "Config": dict(self.config),
            "HostConfig": dict(self.host),
            "NetworkSettings": {"Networks": networks},
        }


class FakeEngine:
    """The engine.

    :ivar containers: by name.
    :ivar requests: what was asked, method and path, but for events.
    :ivar refuses: paths of requests that it refuses, as a proxy does that filters them; for events as well.
    :ivar dates: whether its answers have a date.
    :ivar delays_stops: whether it has not begun a stop yet that is requested.
    :ivar forestalls: whether somebody else pauses or resumes a container just before it is asked to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.containers: dict[str, FakeContainer] = {}
        self.requests: list[str] = []
        self.refuses: set[str] = set()
        self.dates = True
        self.delays_stops = False
        self.forestalls = False
        self.stats: dict[str, Any] = {}
        self._events: list[dict[str, Any]] = []
        self._listeners: list[asyncio.Queue[dict[str, Any]]] = []
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"unix://{self.path}"

    @property
    def is_watched(self) -> bool:
        """Whether a client watches its events."""
        return bool(self._listeners)

    def create(
        self,
        name: str,
        config: dict[str, Any] | None = None,
        host: dict[str, Any] | None = None,
        networks: dict[str, str] | None = None,
    ) -> FakeContainer:
        """Create a container, not started."""
        container = self.containers[name] = FakeContainer(name, config or {}, host or {}, networks or {})
        self._emit(container, "create")
        return container

    async def begin(self) -> None:
        """Start listening."""
        app = web.Application(middlewares=[self._note])
        every = (
            web.get("/{v}/version", self._version),
            web.get("/version", self._version),
            web.get("/{v}/events", self._follow),
            web.get("/events", self._follow),
            web.get("/{v}/containers/json", self._list),
            web.get("/{v}/containers/{id}/json", self._inspect),
            web.get("/{v}/containers/{id}/logs", self._logs),
            web.get("/{v}/containers/{id}/stats", self._stats),
            web.post("/{v}/containers/create", self._create),
            web.delete("/{v}/containers/{id}", self._delete),
            web.post("/{v}/containers/{id}/wait", self._wait),
            web.post("/{v}/containers/{id}/start", self._start),
            web.post("/{v}/containers/{id}/stop", self._stop),
            web.post("/{v}/containers/{id}/kill", self._kill),
            web.post("/{v}/containers/{id}/pause", self._pause),
            web.post("/{v}/containers/{id}/unpause", self._unpause),
        )
        app.add_routes(every)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01, handler_cancellation=True)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self.path)).start()

    async def clear(self) -> None:
        """Stop the engine and its containers."""
        for container in list(self.containers.values()):
            if container.state["Running"]:
                self.end(container, 137)
        if self._runner is not None:
            await self._runner.cleanup()

    def end(self, container: FakeContainer, code: int, *, out_of_memory: bool = False) -> None:
        """Let a container's first process end."""
        container.state |= {"Running": False, "Paused": False, "ExitCode": code, "OOMKilled": out_of_memory}
        container.ended.set()
        container.has_output.set()
        self._emit(container, "die", exitCode=str(code))

    def run(self, container: FakeContainer) -> None:
        """Start a container."""
        started = datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
        container.state |= {"Running": True, "OOMKilled": False, "ExitCode": 0, "StartedAt": started}
        container.ended = asyncio.Event()
        container.holds = container.asked = False
        container.lines = []
        self.say(container, "ready")
        self._emit(container, "start")

    def say(self, container: FakeContainer, line: str) -> None:
        """Write a line to a container's output."""
        container.lines.append(line)
        container.has_output.set()

    def health(self, container: FakeContainer, health: str) -> None:
        """Set the result of a container's HEALTHCHECK."""
        container.state["Health"] = {"Status": health}
        self._emit(container, f"health_status: {health}")

    def remove(self, container: FakeContainer) -> None:
        """Remove a container."""
        if container.state["Running"]:
            self.end(container, 137)
        del self.containers[container.name]
        self._emit(container, "destroy")

    def _emit(self, container: FakeContainer, action: str, **attributes: str) -> None:
        event = {
            "Type": "container",
            "Action": action,
            "Actor": {"ID": container.id, "Attributes": {"name": container.name, **attributes}},
            "time": int(time.time()),
        }
        self._events.append(event)
        for listener in self._listeners:
            listener.put_nowait(event)

    @web.middleware
    async def _note(self, request: web.Request, handler: Any) -> web.StreamResponse:
        path = request.path.removeprefix("/v1.41")
        if path != "/events":
            self.requests.append(f"{request.method} {path}")
        if path in self.refuses:
            return web.Response(status=403, text=FILTERED, content_type="text/html")
        answer: web.StreamResponse = await handler(request)
        if not self.dates and not answer.prepared:
            answer.headers["Date"] = ""
        return answer

    def _find(self, request: web.Request) -> FakeContainer:
        wanted = request.match_info["id"]
        for container in self.containers.values():
            if container.name == wanted or container.id.startswith(wanted):
                return container
        raise web.HTTPNotFound(
            text=json.dumps({"message": f"No such container: {wanted}"}), content_type="application/json"
        )

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({"ApiVersion": "1.41"})

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response(
            [
                {"Id": each.id, "Names": [f"/{each.name}"], "Labels": each.config["Labels"]}
                for each in self.containers.values()
            ]
        )

    async def _inspect(self, request: web.Request) -> web.Response:
        return web.json_response(self._find(request).inspection())

    async def _stats(self, request: web.Request) -> web.Response:
        self._find(request)
        assert request.query["stream"] == "0"
        return web.json_response(self.stats)

    async def _create(self, request: web.Request) -> web.Response:
        created = self.create(request.query["name"], {"Labels": {}})
        return web.json_response({"Id": created.id}, status=201)

    async def _delete(self, request: web.Request) -> web.Response:
        self.remove(self._find(request))
        return web.Response(status=204)

    async def _wait(self, request: web.Request) -> web.Response:
        container = self._find(request)
        await container.ended.wait()
        return web.json_response({"StatusCode": container.state["ExitCode"]})

    async def _start(self, request: web.Request) -> web.Response:
        container = self._find(request)
        if container.state["Running"]:
            return web.Response(status=304)
        self.run(container)
        return web.Response(status=204)

    async def _stop(self, request: web.Request) -> web.Response:
        container = self._find(request)
        if not container.state["Running"]:
            return web.Response(status=304)
        if self.delays_stops:
            await asyncio.Event().wait()
        container.stop_timeout = request.query.get("t")
        self._signal(container, "SIGTERM")
        await container.ended.wait()
        return web.Response(status=204)

    async def _kill(self, request: web.Request) -> web.Response:
        container = self._find(request)
        if not container.state["Running"]:
            return _refusal(409, f"Container {container.id} is not running")
        self._signal(container, request.query.get("signal", "SIGKILL"))
        return web.Response(status=204)

    def _signal(self, container: FakeContainer, name: str) -> None:
        self._emit(container, "kill", signal=name)
        if name == "SIGUSR1":
            container.holds = True
            self.say(container, "holding")
        elif name == "SIGUSR2":
            container.holds = False
            if container.asked:
                self.end(container, 0)
        elif name == "SIGTERM":
            container.asked = True
            self.say(container, "asked")
            if not container.holds:
                self.end(container, 0)
        else:
            self.end(container, CODES[name])

    async def _pause(self, request: web.Request) -> web.Response:
        container = self._find(request)
        container.state["Paused"] |= self.forestalls
        if not container.state["Running"] or container.state["Paused"]:
            return _refusal(409, f"Container {container.id} is already paused")
        container.state["Paused"] = True
        self._emit(container, "pause")
        return web.Response(status=204)

    async def _unpause(self, request: web.Request) -> web.Response:
        container = self._find(request)
        container.state["Paused"] &= not self.forestalls
        if not container.state["Paused"]:
            return _refusal(500, f"Container {container.id} is not paused")
        container.state["Paused"] = False
        self._emit(container, "unpause")
        return web.Response(status=204)

    async def _follow(self, request: web.Request) -> web.StreamResponse:
        since = int(request.query.get("since", time.time()))
        listener: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        for event in self._events:
            if event["time"] >= since:
                listener.put_nowait(event)
        self._listeners.append(listener)
        answer = web.StreamResponse()
        try:
            await answer.prepare(request)
            while True:
                await answer.write(json.dumps(await listener.get()).encode() + b"\n")
        except ConnectionError:
            return answer
        finally:
            self._listeners.remove(listener)

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        container = self._find(request)
        tail = request.query.get("tail", "all")
        sent = 0 if tail == "all" else max(0, len(container.lines) - int(tail))
        ended, lines = container.ended, container.lines
        follows = request.query.get("follow", "").lower() in ("1", "true")
        answer = web.StreamResponse()
        try:
            await answer.prepare(request)
            while True:
                for line in lines[sent:]:
                    data = line.encode() + b"\n"
                    await answer.write(struct.pack(">BxxxL", 1, len(data)) + data)
                sent = len(lines)
                if not follows or ended.is_set() or container.state["StartedAt"] == NEVER:
                    return answer
                container.has_output.clear()
                await container.has_output.wait()
        except ConnectionError:
            return answer


def _refusal(status: int, message: str) -> web.Response:
    return web.json_response({"message": message}, status=status)
