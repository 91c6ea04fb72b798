"""Follow the changes of a cluster's objects of one kind: list them, then watch, again and again.

By Kubernetes's documentation ("API concepts", Efficient detection of changes): a watch continues from the last
resourceVersion seen; that a server ends it is normal; 410 means that the version is too old, and all is listed again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Sequence

from zeroscale.backoff import Backoff
from zeroscale.errors import PluginError
from zeroscale.plugins.kubernetes.api import Api, ApiRefused, ApiRequest, ApiUnavailable
from zeroscale.plugins.support.json_object import JsonObject, list_at, object_at, text_at

logger = logging.getLogger("zeroscale.plugin.kubernetes")

FIRST_DELAY = 0.2
"""Seconds before the first retry."""

LONGEST_DELAY = 15.0
"""Seconds between retries, at most: the API server of a small cluster is back within a minute."""

SHORTEST_WATCH = 1.0
"""Seconds: after a watch that the server ends sooner there is a delay, or both would spin."""

GONE = 410
PAGE = 500
"""Objects in one page of a list, as with kubectl."""


class Watch:
    """The objects of one kind in one namespace, or in all.

    :ivar fresh: whether a watch is open, so that what was reported is the present state.
    :ivar problem: why no watch is open; None: no problem.
    :ivar failures: how many attempts have failed, ever.
    """

    def __init__(
        self,
        api: Api,
        resource: str,
        namespace: str | None,
        *,
        name: str | None = None,
        on_list: Callable[[Sequence[JsonObject]], None],
        on_event: Callable[[str, JsonObject], None],
        on_state: Callable[[], None] = lambda: None,
    ) -> None:
        """Make no request yet.

        :param resource: `statefulsets` or `deployments`.
        :param namespace: None: all.
        :param name: of the only object to watch. (A Role's `resourceNames` allows just this selector.)
        :param on_list: called with all objects, each time they have been listed.
        :param on_event: called with each later event's type, `ADDED`, `MODIFIED` or `DELETED`, and its object.
        :param on_state: called when `fresh` or `problem` has changed.
        """
        self.fresh = False
        self.problem: PluginError | None = None
        self.failures = 0
        self._api = api
        self._list_request = ApiRequest("list", resource, "apps", namespace)
        self._watch_request = ApiRequest("watch", resource, "apps", namespace)
        self._selector = [] if name is None else [("fieldSelector", f"metadata.name={name}")]
        self._on_list = on_list
        self._on_event = on_event
        self._on_state = on_state
        self._version: str | None = None
        self._is_open = False
        self._delays = retry_delays()
        self._retry_now = asyncio.Event()

    def retry_now(self) -> None:
        """Retry at once, and then begin again with the shortest delay."""
        self._is_open = False
        self._delays.reset()
        self._retry_now.set()

    async def run(self) -> None:
        """Follow the changes until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            self._is_open = False
            try:
                if self._version is None:
                    items, self._version = await list_all(self._api, self._list_request, self._selector)
                    self._on_list(items)
                query = [*self._selector, ("resourceVersion", self._version)]
                await self._api.watch(self._watch_request, query, self._opened, self._take_event)
            except ApiUnavailable as error:
                if not self._is_open:  # the server may be unable to serve this version, as after a restore of etcd
                    self._version = None
                self._failed(error)
            except ApiRefused as error:
                # After a watch that is refused, or ends with an error, the version is of no use.
                self._version = None
                self._failed(None if error.status == GONE else error)
            except PluginError as error:
                self._failed(error)
            if loop.time() - began < SHORTEST_WATCH or self.problem is not None:
                await self._pause()

    async def _pause(self) -> None:
        self._retry_now.clear()
        with contextlib.suppress(TimeoutError):
            # Jitter: not all clients at once.
            async with asyncio.timeout(next(self._delays) * random.uniform(0.75, 1.25)):
                await self._retry_now.wait()

    def _opened(self) -> None:
        if self.problem is not None:
            logger.info("The Kubernetes API answers again: %s", self._watch_request)
        self.problem = None
        self.fresh = self._is_open = True
        self._on_state()

    def _take_event(self, kind: str, item: JsonObject) -> None:
        self._version = text_at(item, "metadata", "resourceVersion") or self._version
        self._delays.reset()
        if kind != "BOOKMARK":
            self._on_event(kind, item)

    def _failed(self, problem: PluginError | None) -> None:
        if problem is not None and self.problem is None:
            logger.warning("%s; trying again", problem)
        self.failures += problem is not None
        self.fresh = False
        self.problem = problem
        self._on_state()


def retry_delays() -> Backoff:
    """Return the delays between attempts to reach an API server."""
    return Backoff(FIRST_DELAY, LONGEST_DELAY)


async def list_all(api: Api, request: ApiRequest, selector: Sequence[tuple[str, str]]) -> tuple[list[JsonObject], str]:
    """Return all objects, read page by page, and the resourceVersion of the list.

    :raises PluginError: see `Api.send`. 410 means that reading the pages took too long.
    """
    items: list[JsonObject] = []
    more = ""
    while True:
        query = [*selector, ("limit", str(PAGE)), *([("continue", more)] if more else [])]
        answer = await api.send(request, query)
        items += [object_at(item) for item in list_at(answer, "items")]
        more = text_at(answer, "metadata", "continue")
        if not more:
            return items, text_at(answer, "metadata", "resourceVersion")
