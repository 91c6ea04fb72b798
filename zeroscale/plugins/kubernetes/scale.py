"""One StatefulSet or Deployment, asked for and asked of: its scale, itself, its pods. Each is one question, whole.

When to ask, and what to make of it, is `kubernetes`'s.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from zeroscale.errors import PluginError
from zeroscale.plugins.kubernetes.api import Api, ApiRefused, ApiUnavailable, Call
from zeroscale.plugins.kubernetes.watch import list_all, retry_delays
from zeroscale.plugins.kubernetes.workload import Reference, Workload, is_alive, replicas_of, scaled

logger = logging.getLogger(__name__)

CONFLICTS = 10
"""Changes of the object, by anybody, between our look and our wish: a controller makes a few a second at most."""

TRIES = 6
"""How often a start asks an API server that is away, with pauses that double: for six seconds; one restarts in them."""

PATIENCE = 10.0
"""Seconds after which a start has no tries left either, each of which may have taken long."""

T = TypeVar("T")


class Scaler:
    """One object of a cluster.

    :param api: the cluster's.
    :param reference: which it is.
    :param namespace: its namespace.
    """

    def __init__(self, api: Api, reference: Reference, namespace: str) -> None:
        self._api = api
        self._reference = reference
        scale = f"{reference.plural}/scale"
        self._get = Call("get", scale, "apps", namespace, reference.name)
        self._update = Call("update", scale, "apps", namespace, reference.name)
        self._list = Call("list", reference.plural, "apps", namespace)
        self._pods = Call("list", "pods", "", namespace)

    async def scale_to(self, wanted: int, still_wanted: Callable[[], None] = lambda: None) -> int:
        """Has it scaled to `wanted`, 0 or 1, where it is at the other one.

        :param still_wanted: called right before that is asked; what it raises prevents it.
        :returns: how many are wanted now; 0 where there is no such object and none is wanted.
        :raises PluginError: there is no such object, or it was refused, or the API does not answer.
        """
        conflict: ApiRefused | None = None
        for _ in range(CONFLICTS):
            try:
                scale = await self._api.ask(self._get)
                replicas = replicas_of(scale)
                if replicas == wanted or replicas > 1:
                    return replicas
                still_wanted()
                logger.debug("Scaling %s from %d to %d", self._reference, replicas, wanted)
                return replicas_of(await self._api.ask(self._update, body=scaled(scale, wanted)))
            except ApiRefused as error:
                if error.status == 404 and wanted == 0:
                    return 0
                if error.status == 404:
                    raise PluginError(self.missing) from None
                if error.status != 409:
                    raise
                conflict = error
        raise ApiUnavailable(f"{self._reference} is changed all the time by somebody else: {conflict}")

    async def read(self) -> Workload | None:
        """It as it is now, where a watch may lag behind; None: there is none."""
        items, _ = await list_all(self._api, self._list, [("fieldSelector", f"metadata.name={self._reference.name}")])
        return Workload.of(items[0]) if items else None

    async def has_living_pods(self, selector: str) -> bool:
        """Whether any of its pods may still have a container that runs.

        :param selector: the labels of its pods.
        """
        pods, _ = await list_all(self._api, self._pods, [("labelSelector", selector)])
        return any(is_alive(pod) for pod in pods)

    @property
    def missing(self) -> str:
        """What is said where there is no such object."""
        plural = self._reference.plural
        return (
            f"there is no {self._reference} in namespace {self._list.namespace!r}: correct resource= or namespace=; "
            f"kubectl get {plural} --all-namespaces lists what there is"
        )


async def patiently(
    ask: Callable[[], Awaitable[T]], tries: int | None = None, is_over: Callable[[], bool] = lambda: False
) -> T:
    """Asks again, with pauses that grow, for as long as the API is away; where that may be for ever, it is said.

    :param tries: after how many that is given up; None: never.
    :param is_over: whether nobody waits for it any more.
    :raises ApiUnavailable: it was given up.
    """
    began, tried = asyncio.get_running_loop().time(), 0
    for delay in retry_delays():
        try:
            return await ask()
        except ApiUnavailable as error:
            tried += 1
            if is_over() or (tries is not None and is_enough(tried, tries, began)):
                raise
            if tried == 1 and tries is None:
                logger.warning("%s; asking again until it does", error)
            else:
                logger.debug("%s; trying again in %.1f s", error, delay)
        await asyncio.sleep(delay)
    raise AssertionError("there is always one more delay")


def is_enough(tried: int, tries: int, began: float) -> bool:
    """Whether no tries are left.

    :param began: the loop's time at the first of them.
    """
    return tried >= tries or asyncio.get_running_loop().time() - began > PATIENCE
