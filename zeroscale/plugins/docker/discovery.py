"""Discover the servers that containers' labels describe; `labels` defines what they mean.

The receiver checks the tables as if they stood in a configuration file.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

from aiodocker import Docker

from zeroscale.plugins.docker.container import LOOPBACK
from zeroscale.plugins.docker.engine import Engine
from zeroscale.plugins.docker.labels import MINECRAFT_PORT, is_described, tables_of
from zeroscale.plugins.support.change_feed import ChangeFeed
from zeroscale.plugins.support.json_object import JsonObject

logger = logging.getLogger("zeroscale.plugin.docker")

CHANGES = ("create", "destroy", "remove", "rename")
"""Events that change the set of containers. A container's labels never change."""


class Discovery:
    """The servers that one engine's containers describe."""

    def __init__(
        self,
        changed: Callable[[Mapping[str, Mapping[str, object]]], None],
        *,
        base_url: str | None = None,
        listen: Sequence[str] = (str(MINECRAFT_PORT),),
    ) -> None:
        """Make no request yet.

        :param changed: called with all tables by server name, once they are known and whenever they change.
        :param base_url: the engine's address; None: from DOCKER_HOST, else the usual socket.
        :param listen: where servers listen without a label for it.
        :raises PluginError: the address is not valid.
        """
        self._engine = Engine(base_url)
        self._feed = ChangeFeed(changed, logger.warning)
        self._listen = listen
        self._extra = {"base_url": base_url} if base_url else {}

    async def run(self) -> None:
        """Discover until cancelled; while the engine cannot be reached, nothing changes and it is tried again."""
        try:
            await self._engine.watch(self._on_event)
        finally:
            await self._engine.close()

    async def _on_event(self, event: JsonObject | None) -> None:
        if event is not None and event.get("Action") not in CHANGES:
            return
        found = [
            inspection
            for name in await self._engine.request("GET /containers/json", _labelled_containers)
            if (inspection := await self._engine.inspection(name)) is not None
        ]
        self._feed.update(*tables_of(found, self._listen, self._extra, self._host()))

    def _host(self) -> str:
        """Return the host at which published ports are reached."""
        host = None if self._engine.url.startswith("unix:") else urlsplit(self._engine.url).hostname
        if not host:
            return LOOPBACK
        return f"[{host}]" if ":" in host else host


async def _labelled_containers(client: Docker) -> list[str]:
    return [each.id for each in await client.containers.list(all=True) if is_described(each["Labels"])]
