"""Requests about one StatefulSet or Deployment: its scale, the object itself, its pods.

When to make them, and what to do with the answers, is decided by `server`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from zeroscale.errors import PluginError
from zeroscale.plugins.kubernetes.api import Api, ApiRefused, ApiRequest, ApiUnavailable
from zeroscale.plugins.kubernetes.watch import list_all, retry_delays
from zeroscale.plugins.kubernetes.workload import Reference, Workload, is_alive, replicas_of, scaled

logger = logging.getLogger("zeroscale.plugin.kubernetes")

MOST_CONFLICTS = 10
"""Retries because others change the object between our read and our update: a controller makes a few changes a second
at most."""

TRIES = 6
"""How often a start tries to reach an API server that is away, within six seconds: one that restarts is back then."""

RETRY_TIME = 10.0
"""Seconds after which a start tries no more, since each of the tries may take long."""

T = TypeVar("T")


class Scaler:
    """One object of a cluster.

    :param api: the cluster's.
    :param reference: which object.
    :param namespace: its namespace.
    """

    def __init__(self, api: Api, reference: Reference, namespace: str) -> None:
        self._api = api
        self._reference = reference
        scale = f"{reference.plural}/scale"
        self._get = ApiRequest("get", scale, "apps", namespace, reference.name)
        self._update = ApiRequest("update", scale, "apps", namespace, reference.name)
        self._list = ApiRequest("list", reference.plural, "apps", namespace)
        self._pods = ApiRequest("list", "pods", "", namespace)

    async def scale_to(self, wanted: int, still_wanted: Callable[[], None] = lambda: None) -> int:
        """Scale it to `wanted`, 0 or 1, if it has 1 or 0 replicas.

        :param still_wanted: called right before the update; an exception that it raises prevents the update.
        :returns: the number of replicas now; 0 if there is no such object and `wanted` is 0.
        :raises PluginError: there is no such object, or the API refuses or does not answer.
        """
        conflict: ApiRefused | None = None
        for _ in range(MOST_CONFLICTS):
            try:
                scale = await self._api.send(self._get)
                replicas = replicas_of(scale)
                if replicas == wanted or replicas > 1:
                    return replicas
                still_wanted()
                logger.debug("Scaling %s from %d to %d", self._reference, replicas, wanted)
                return replicas_of(await self._api.send(self._update, body=scaled(scale, wanted)))
            except ApiRefused as error:
                if error.status == 404 and wanted == 0:
                    return 0
                if error.status == 404:
                    raise PluginError(self.missing) from None
                if error.status != 409:
                    raise
                conflict = error
        raise ApiUnavailable(f"{self._reference} is changed again and again by another client: {conflict}")

    async def read(self) -> Workload | None:
        """Read the object, which a watch may report later; None: there is no such object."""
        items, _ = await list_all(self._api, self._list, [("fieldSelector", f"metadata.name={self._reference.name}")])
        return Workload.parse(items[0]) if items else None

    async def has_living_pods(self, selector: str) -> bool:
        """Return whether any of its pods may still have a running container.

        :param selector: the labels of its pods.
        """
        pods, _ = await list_all(self._api, self._pods, [("labelSelector", selector)])
        return any(is_alive(pod) for pod in pods)

    @property
    def missing(self) -> str:
        """The message where there is no such object."""
        plural = self._reference.plural
        return (
            f"there is no {self._reference} in namespace {self._list.namespace!r}: correct resource= or namespace=; "
            f"kubectl get {plural} --all-namespaces lists what there is"
        )


async def retry_while_unavailable(
    request: Callable[[], Awaitable[T]], tries: int | None = None, cancelled: Callable[[], bool] = lambda: False
) -> T:
    """Repeat a request with growing delays while the API is unavailable; log it where the retries have no limit.

    :param tries: how many attempts; None: no limit.
    :param cancelled: whether the result is no longer needed.
    :raises ApiUnavailable: all attempts have failed, or it was cancelled.
    """
    began, tried = asyncio.get_running_loop().time(), 0
    for delay in retry_delays():
        try:
            return await request()
        except ApiUnavailable as error:
            tried += 1
            if cancelled() or (tries is not None and tries_exhausted(tried, tries, began)):
                raise
            if tried == 1 and tries is None:
                logger.warning("%s; trying again until it answers", error)
            else:
                logger.debug("%s; trying again in %.1f s", error, delay)
        await asyncio.sleep(delay)
    raise AssertionError("there is always one more delay")


def tries_exhausted(tried: int, tries: int, began: float) -> bool:
    """Return whether there may be no further try.

    :param began: the loop's time at the first try.
    """
    return tried >= tries or asyncio.get_running_loop().time() - began > RETRY_TIME
