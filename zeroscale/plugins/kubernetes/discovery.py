"""Discover the servers that a cluster's annotations describe; `annotations` defines what they mean.

The receiver checks the tables as if they stood in a configuration file.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from zeroscale.plugins.kubernetes.annotations import MINECRAFT_PORT, tables_of
from zeroscale.plugins.kubernetes.api import Api
from zeroscale.plugins.kubernetes.credentials import Credentials
from zeroscale.plugins.kubernetes.watch import Watch
from zeroscale.plugins.support.change_feed import ChangeFeed
from zeroscale.plugins.support.json_object import JsonObject, text_at

logger = logging.getLogger("zeroscale.plugin.kubernetes")

KINDS = {"statefulsets": "statefulset", "deployments": "deployment"}


class Discovery:
    """The servers described in one namespace, or in all."""

    def __init__(
        self,
        changed: Callable[[Mapping[str, Mapping[str, object]]], None],
        *,
        namespace: str | None = None,
        kubeconfig: str | None = None,
        context: str | None = None,
        listen: Sequence[str] = (str(MINECRAFT_PORT),),
    ) -> None:
        """Make no request yet.

        :param changed: called with all tables by server name, once they are known and whenever they change.
        :param namespace: None: the context's, or the pod's own; `*`: all.
        :param kubeconfig: as the plugin's.
        :param context: as the plugin's.
        :param listen: where servers listen without an annotation for it.
        :raises PluginError: there are no credentials.
        """
        credentials = Credentials(kubeconfig, context)
        watched = None if namespace == "*" else namespace or credentials.namespace
        self._api = Api(credentials)
        self._feed = ChangeFeed(changed, logger.warning)
        self._listen = listen
        self._extra = {key: value for key, value in (("kubeconfig", kubeconfig), ("context", context)) if value}
        self._qualified = watched is None
        self._items: dict[str, dict[tuple[str, str], JsonObject]] = {}
        self._watches = [self._watch(plural, watched) for plural in KINDS]

    async def run(self) -> None:
        """Discover until cancelled; while the API cannot be reached, nothing changes and it is tried again."""
        try:
            async with asyncio.TaskGroup() as group:
                for watch in self._watches:
                    group.create_task(watch.run())
        finally:
            await self._api.close()

    def _watch(self, plural: str, namespace: str | None) -> Watch:
        def on_list(items: Sequence[JsonObject]) -> None:
            self._items[plural] = {_key(item): item for item in items}
            self._update()

        def on_event(kind: str, item: JsonObject) -> None:
            if kind == "DELETED":
                self._items[plural].pop(_key(item), None)
            else:
                self._items[plural][_key(item)] = item
            self._update()

        return Watch(self._api, plural, namespace, on_list=on_list, on_event=on_event)

    def _update(self) -> None:
        if len(self._items) < len(KINDS):
            return
        items = [(KINDS[plural], item) for plural, each in self._items.items() for item in each.values()]
        self._feed.update(*tables_of(items, self._listen, self._extra, qualified=self._qualified))


def _key(item: JsonObject) -> tuple[str, str]:
    return text_at(item, "metadata", "namespace"), text_at(item, "metadata", "name")
