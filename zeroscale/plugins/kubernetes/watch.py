"""Keeping up with what a cluster has of one kind: list, then watch, for as long as it takes.

As Kubernetes's documentation has it ("API concepts", Efficient detection of changes): a watch goes on from the last
resourceVersion seen; a server that ends it is ordinary; 410 means that version is forgotten, and all is listed again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Sequence
from typing import Any

from zeroscale.backoff import Backoff
from zeroscale.errors import PluginError
from zeroscale.plugins.kubernetes.api import Api, ApiRefused, ApiUnavailable, Call

logger = logging.getLogger(__name__)

FIRST_DELAY = 0.2
"""Seconds before the first new try."""

LONGEST_DELAY = 15.0
"""Seconds between tries, at most: the API server of a small cluster is back within a minute, and then we are too."""

SHORTEST_WATCH = 1.0
"""Seconds: a watch that the server ends sooner is not followed by the next at once, or both would spin."""

GONE = 410
PAGE = 500
"""Objects of one page of a list, as kubectl asks for."""


class Watch:
    """One kind of object in one namespace, or all.

    :ivar fresh: whether a watch is open now, so that what has been told is how it is.
    :ivar problem: why there is none, or None.
    :ivar failures: how often it could not be had, ever.
    """

    def __init__(
        self,
        api: Api,
        resource: str,
        namespace: str | None,
        *,
        name: str | None = None,
        listed: Callable[[Sequence[dict[str, Any]]], None],
        changed: Callable[[str, dict[str, Any]], None],
        state_changed: Callable[[], None] = lambda: None,
    ) -> None:
        """Asks nothing yet.

        :param resource: `statefulsets` or `deployments`.
        :param namespace: theirs; None: all.
        :param name: of the only object that is looked at. (A Role's `resourceNames` allows just this selector.)
        :param listed: called with all of them, each time they have been listed.
        :param changed: called with each later event's type, `ADDED`, `MODIFIED` or `DELETED`, and its object.
        :param state_changed: called when `fresh` or `problem` has changed.
        """
        self.fresh = False
        self.problem: PluginError | None = None
        self.failures = 0
        self._api = api
        self._list = Call("list", resource, "apps", namespace)
        self._watch = Call("watch", resource, "apps", namespace)
        self._selector = [] if name is None else [("fieldSelector", f"metadata.name={name}")]
        self._listed = listed
        self._changed = changed
        self._state_changed = state_changed
        self._version: str | None = None
        self._is_open = False
        self._delays = retry_delays()
        self._hurried = asyncio.Event()

    def hurry(self) -> None:
        """Somebody waits: tries at once, and then often again."""
        self._is_open = False
        self._delays.reset()
        self._hurried.set()

    async def run(self) -> None:
        """Keeps up until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            self._is_open = False
            try:
                if self._version is None:
                    items, self._version = await list_all(self._api, self._list, self._selector)
                    self._listed(items)
                query = [*self._selector, ("resourceVersion", self._version)]
                await self._api.follow(self._watch, query, self._opened, self._take)
            except ApiUnavailable as error:
                if not self._is_open:  # its version may be what the server cannot serve, as after etcd was restored
                    self._version = None
                self._lost(error)
            except ApiRefused as error:
                # Of a watch that is refused, or ends with an error, nothing is known to go on from.
                self._version = None
                self._lost(None if error.status == GONE else error)
            except PluginError as error:
                self._lost(error)
            if loop.time() - began < SHORTEST_WATCH or self.problem is not None:
                await self._pause()

    async def _pause(self) -> None:
        self._hurried.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(next(self._delays) * random.uniform(0.75, 1.25)):  # not all of us at once
                await self._hurried.wait()

    def _opened(self) -> None:
        if self.problem is not None:
            logger.info("The Kubernetes API answers again: %s", self._watch)
        self.problem = None
        self.fresh = self._is_open = True
        self._state_changed()

    def _take(self, kind: str, found: dict[str, Any]) -> None:
        self._version = found.get("metadata", {}).get("resourceVersion") or self._version
        self._delays.reset()
        if kind != "BOOKMARK":
            self._changed(kind, found)

    def _lost(self, problem: PluginError | None) -> None:
        if problem is not None and self.problem is None:
            logger.warning("%s; trying again", problem)
        self.failures += problem is not None
        self.fresh = False
        self.problem = problem
        self._state_changed()


def retry_delays() -> Backoff:
    """Return the delays between attempts to reach an API server."""
    return Backoff(FIRST_DELAY, LONGEST_DELAY)


async def list_all(api: Api, call: Call, selector: Sequence[tuple[str, str]]) -> tuple[list[dict[str, Any]], str]:
    """All that there are, page by page, and the resourceVersion at which that is so.

    :raises PluginError: see `Api.ask`. 410 means that reading the pages has taken too long.
    """
    items: list[dict[str, Any]] = []
    more = ""
    while True:
        query = [*selector, ("limit", str(PAGE)), *([("continue", more)] if more else [])]
        answer = await api.ask(call, query)
        items += answer.get("items") or []
        metadata = answer.get("metadata") or {}
        more = metadata.get("continue") or ""
        if not more:
            return items, str(metadata.get("resourceVersion") or "")
