"""Keeping up with the servers that a cluster's annotations describe; `kubernetes_tables` says what they mean.

It knows no configuration and no server: whoever is told judges the tables as if they stood in a file.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zeroscale.plugins.kubernetes.annotations import MINECRAFT_PORT, tables_of
from zeroscale.plugins.kubernetes.api import Api
from zeroscale.plugins.kubernetes.credentials import Credentials
from zeroscale.plugins.kubernetes.watch import Watch
from zeroscale.plugins.support.change_feed import ChangeFeed

logger = logging.getLogger(__name__)

KINDS = {"statefulsets": "statefulset", "deployments": "deployment"}


class Discovery:
    """The servers described in one namespace, or all."""

    def __init__(
        self,
        changed: Callable[[Mapping[str, Mapping[str, object]]], None],
        *,
        namespace: str | None = None,
        kubeconfig: str | None = None,
        context: str | None = None,
        listen: object = MINECRAFT_PORT,
    ) -> None:
        """Asks nothing yet.

        :param changed: called with all tables by their servers' names, once they are known and whenever they change.
        :param namespace: where to look; None: the context's, or the pod's own; `*`: everywhere.
        :param kubeconfig: as the plugin's.
        :param context: as the plugin's.
        :param listen: where servers listen whose annotations do not say.
        :raises PluginError: there are no credentials.
        """
        credentials = Credentials(kubeconfig, context)
        where = None if namespace == "*" else namespace or credentials.namespace
        self._api = Api(credentials)
        self._feed = ChangeFeed(changed, logger.warning)
        self._listen = listen
        self._extra = {key: value for key, value in (("kubeconfig", kubeconfig), ("context", context)) if value}
        self._qualified = where is None
        self._found: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
        self._watches = [self._watch(plural, where) for plural in KINDS]

    async def run(self) -> None:
        """Keeps up until it is cancelled; an API that is away is tried again, and changes nothing."""
        try:
            async with asyncio.TaskGroup() as group:
                for watch in self._watches:
                    group.create_task(watch.run())
        finally:
            await self._api.close()

    def _watch(self, plural: str, namespace: str | None) -> Watch:
        def listed(items: Sequence[dict[str, Any]]) -> None:
            self._found[plural] = {_key(item): item for item in items}
            self._look()

        def changed(kind: str, found: dict[str, Any]) -> None:
            if kind == "DELETED":
                self._found[plural].pop(_key(found), None)
            else:
                self._found[plural][_key(found)] = found
            self._look()

        return Watch(self._api, plural, namespace, listed=listed, changed=changed)

    def _look(self) -> None:
        if len(self._found) < len(KINDS):
            return
        objects = [(KINDS[plural], found) for plural, each in self._found.items() for found in each.values()]
        self._feed.update(*tables_of(objects, self._listen, self._extra, qualified=self._qualified))


def _key(found: Mapping[str, Any]) -> tuple[str, str]:
    return found["metadata"]["namespace"], found["metadata"]["name"]
