"""Keeping up with the servers that containers' labels describe; `docker_tables` says what they mean.

It knows no configuration and no server: whoever is told judges the tables as if they stood in a file.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from aiodocker import Docker

from zeroscale.plugins.docker.container import LOOPBACK
from zeroscale.plugins.docker.engine import Engine
from zeroscale.plugins.docker.labels import MINECRAFT_PORT, is_described, tables_of
from zeroscale.plugins.support.change_feed import ChangeFeed

logger = logging.getLogger(__name__)

CHANGES = ("create", "destroy", "remove", "rename")
"""Events after which another set of containers may be there. A container's labels never change."""


class Discovery:
    """The servers that one engine's containers describe."""

    def __init__(
        self,
        changed: Callable[[Mapping[str, Mapping[str, object]]], None],
        *,
        base_url: str | None = None,
        listen: object = MINECRAFT_PORT,
    ) -> None:
        """Asks nothing yet.

        :param changed: called with all tables by their servers' names, once they are known and whenever they change.
        :param base_url: the engine's address; None: by DOCKER_HOST, else the usual socket.
        :param listen: where servers listen whose labels do not say.
        :raises PluginError: there is no such address.
        """
        self._engine = Engine(base_url)
        self._feed = ChangeFeed(changed, logger.warning)
        self._listen = listen
        self._extra = {"base_url": base_url} if base_url else {}

    async def run(self) -> None:
        """Keeps up until it is cancelled; an engine that is away is tried again, and changes nothing."""
        try:
            await self._engine.follow(self._happened)
        finally:
            await self._engine.close()

    async def _happened(self, event: Mapping[str, Any] | None) -> None:
        if event is not None and event.get("Action") not in CHANGES:
            return
        found = [
            inspection
            for name in await self._engine.ask(_described)
            if (inspection := await self._engine.inspection(name)) is not None
        ]
        self._feed.update(*tables_of(found, self._listen, self._extra, self._host()))

    def _host(self) -> str:
        """Where ports are reached that containers publish."""
        host = None if self._engine.where.startswith("unix:") else urlsplit(self._engine.where).hostname
        if not host:
            return LOOPBACK
        return f"[{host}]" if ":" in host else host


async def _described(client: Docker) -> list[str]:
    return [each.id for each in await client.containers.list(all=True) if is_described(each["Labels"])]
