"""A StatefulSet or Deployment, scaled from zero to one and back.

    zeroscale kubernetes 25565 25565 --server_host mc.games.svc -a statefulset/mc -a protocol=minecraft

Only 0 to 1 and 1 to 0 is ever asked, through the `scale` subresource and only of the very version that was looked at,
so that nobody else's change is overwritten. More than one replica is somebody else's wish: it counts as running and is
left alone. A pod that crashes is the cluster's to restart, and no end of the server. An API that is away or slow says
nothing about the server; it is asked again.

What a server needs in its cluster, and the least rights for us, are in docs/kubernetes.md.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from zeroscale.errors import PluginError
from zeroscale.plugins.kubernetes.api import Api, ApiUnavailable
from zeroscale.plugins.kubernetes.credentials import Credentials
from zeroscale.plugins.kubernetes.scale import TRIES, Scaler, is_enough, patiently
from zeroscale.plugins.kubernetes.watch import Watch
from zeroscale.plugins.kubernetes.workload import NAMESPACE, Reference, Workload
from zeroscale.status import Status

logger = logging.getLogger("zeroscale.plugins.kubernetes")

LOOK_AGAIN = 1.0
"""Seconds between two looks at the pods of a Deployment that end. A StatefulSet's are in its status, and watched."""

T = TypeVar("T")


class Server:
    """One StatefulSet or Deployment.

    :ivar status: where this plugin believes it to be.
    :ivar on_found: set by the core; called when somebody else has scaled it up.
    :ivar on_output: set by the core; called with what is waited for.
    :cvar interruptible_start: `stop()` may be called while `start()` waits for a pod that never gets ready.
    """

    interruptible_start = True

    remote = True

    load_balanced = True

    def __init__(
        self,
        resource: str,
        *,
        namespace: str | None = None,
        kubeconfig: str | None = None,
        context: str | None = None,
        protocol: str | None = None,
    ) -> None:
        """Asks nothing of the cluster yet.

        :param resource: `statefulset/NAME` or `deployment/NAME`; `sts/` and `deploy/` for short.
        :param namespace: its namespace; None: the context's, or the pod's own.
        :param kubeconfig: the path of a kubeconfig; None: `$KUBECONFIG`, or the service account of the pod we run
            in, or `~/.kube/config`.
        :param context: a context of the kubeconfig; None: its current one.
        :param protocol: `minecraft` where its clients speak that; None: a TCP connection wakes it.
        :raises PluginError: a value cannot be understood, or there are no credentials.
        """
        self.status = Status.stopped
        self.on_found: Callable[[], None] | None = None
        self.on_output: Callable[[str], None] | None = None
        self._reference = Reference.parse(resource)
        if protocol not in (None, "minecraft"):
            raise PluginError(f"protocol={protocol!r} is unknown: give protocol=minecraft, or leave it out")
        self.protocol = protocol
        if namespace is not None and not NAMESPACE.fullmatch(namespace):
            raise PluginError(f"namespace={namespace!r} is no name of a namespace, like games")
        credentials = Credentials(kubeconfig, context)
        self._namespace = namespace or credentials.namespace
        self._api = Api(credentials)
        self._scaler = Scaler(self._api, self._reference, self._namespace)
        self._workload: Workload | None = None
        self._watch = Watch(
            self._api,
            self._reference.plural,
            self._namespace,
            name=self._reference.name,
            listed=self._take_list,
            changed=self._take_event,
            state_changed=self._tell,
        )
        self._watching: asyncio.Task[None] | None = None
        self._closed = False
        self._news = asyncio.Event()
        self._ours = False
        self._told = False
        self._left_alone = False
        self._waiters = 0
        self._ends = 0
        self._stop_asked = False
        self._scaling = asyncio.Lock()

    async def start(self) -> None:
        """Scales it to one, where it is at zero, and waits until a pod is ready.

        :raises PluginError: there is no such object, it was not allowed, or somebody else scaled it down meanwhile.
        """
        self.status = Status.starting
        self._ours = True
        self._told = self._left_alone = self._stop_asked = False
        try:
            await self._look()
            await self._end_of_last_run()
            await self._patiently(lambda: self._ask_for(1), TRIES)
            await self._patiently(self._read, TRIES)
            self._say(f"{self._reference} is scaled up; waiting for a pod that is ready")
            await self._until(lambda: not self._is_wanted or (self._workload is not None and self._workload.is_ready))
            if not self._is_wanted:
                await self._pods_ended()
                what = "deleted" if self._workload is None or self._workload.going else "scaled to zero"
                raise PluginError(f"{self._reference} was {what} while it started")
        except BaseException:
            self.status = Status.stopped
            self._ours = False
            self._notice()
            raise
        self.status = Status.running

    async def stop(self) -> None:
        """Scales it from one to zero, and waits until its pods have ended, and so have saved.

        More than one replica, or somebody who scales it up again meanwhile: it is left alone, and found again.

        :raises PluginError: it was not allowed.
        """
        self.status = Status.stopping
        self._stop_asked = True
        ended = self._ends

        def is_over() -> bool:
            return self._ends != ended

        self._begin()
        replicas = await self._patiently(lambda: self._ask_for(0))
        await self._patiently(self._read)
        if not replicas:
            await self._until(lambda: is_over() or self._is_gone or self._is_wanted)
            if not is_over():
                await self._pods_ended()
        if is_over():
            return  # wait() has told of the end already, and what is there now is somebody's next run
        if self._is_wanted:
            logger.warning(
                "%s is left running: somebody wants %d of it",
                self._reference,
                self._workload.replicas if self._workload else 0,
            )
            self._told = False
            if self._waiters:
                self._left_alone = True
                self._tell()
                return
        self._ours = False
        self.status = Status.stopped
        self._notice()

    async def wait(self) -> int | None:
        """Waits until it has been scaled to zero and its pods have ended, or it was deleted, or is left alone.

        :returns: None: there is no exit code to be had.
        :raises PluginError: it cannot be seen any more whether its pods have ended.
        """
        self._waiters += 1
        try:
            while True:
                await self._until(lambda: self._left_alone or self._is_gone)
                if self._left_alone or await self._pods_ended():
                    break
        finally:
            self._waiters -= 1
        self._ends += 1
        self._left_alone = False
        self._ours = False
        self.status = Status.stopped
        self._notice()
        return None

    async def adopt(self) -> bool:
        """Whether it runs, whoever has scaled it up, or pods of its last run are still ending. It is watched then.

        Where it is to run again and only pods of its last run are there, it does not yet: that is for `start()` to wait
        for, lest a server that is about to end is taken for the one that comes.

        :raises PluginError: the API cannot be asked.
        """
        runs = False
        self._ours = True  # what is found now need not be told as well
        try:
            await self._look()
            runs = not self._workload.only_ending if self._workload and self._is_wanted else await self._is_ending()
        finally:
            self._ours = runs
        if runs:
            self.status = Status.running
        return runs

    async def players(self) -> int | None:
        """None: the server itself is to be asked.

        :raises PluginError: it is not ours to stop, whoever is on.
        """
        if self._workload is not None and self._workload.replicas > 1:
            raise PluginError(f"{self._reference} has {self._workload.replicas} replicas, which is left alone")
        return None

    async def close(self) -> None:
        """Stops watching, and closes the connections."""
        self._closed = True
        self._tell()
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.wait([watching])
        await self._api.close()

    def fake_status(self) -> bytes:
        """Nothing: a client is held."""
        return b""

    # What is asked

    async def _ask_for(self, wanted: int) -> int:
        async with self._scaling:  # a stop that overtakes a start comes after all that it has asked
            return await self._scaler.scale_to(wanted, self._check_start if wanted else lambda: None)

    def _check_start(self) -> None:
        if self._stop_asked:
            raise PluginError(f"{self._reference} was stopped while it started")

    async def _read(self) -> None:
        """Looks at it now; until then the watch may lag behind what we have asked ourselves."""
        self._take(await self._scaler.read())

    async def _end_of_last_run(self) -> None:
        """Waits for the pods that are left of the last run: never a second server on the same world."""
        if self._workload is None:
            raise PluginError(self._scaler.missing)
        if self._workload.replicas == 0 and not self._workload.is_settled_at_zero:
            self._say(f"{self._reference} is still ending its last run")
        await self._until(lambda: self._is_gone or self._is_wanted)
        await self._pods_ended()

    async def _is_ending(self) -> bool:
        """Whether pods are left of a run that somebody has ended: who comes now has to wait for their end."""
        if self._workload is None or self._reference.plural != "deployments":
            return self._workload is not None and self._workload.existing > 0
        selector = self._workload.selector
        return await self._patiently(lambda: self._scaler.has_living_pods(selector), TRIES)

    async def _pods_ended(self) -> bool:
        """Waits until no pod of a Deployment at zero is alive; its status does not count those that are terminating.

        :returns: whether it is at zero still.
        """
        if self._workload is None or self._reference.plural != "deployments":
            return not self._is_wanted
        selector = self._workload.selector
        while not self._is_wanted:
            if not await self._patiently(lambda: self._scaler.has_living_pods(selector)):
                break
            await asyncio.sleep(LOOK_AGAIN)
        return not self._is_wanted

    async def _patiently(self, ask: Callable[[], Awaitable[T]], tries: int | None = None) -> T:
        return await patiently(ask, tries, lambda: self._closed)

    # What is seen

    @property
    def _is_wanted(self) -> bool:
        return self._workload is not None and self._workload.wanted

    @property
    def _is_gone(self) -> bool:
        return self._workload is None or self._workload.is_settled_at_zero

    def _begin(self) -> None:
        if self._watching is None and not self._closed:
            self._watching = asyncio.get_running_loop().create_task(self._watch.run())
            self._watching.add_done_callback(self._watch_ended)

    def _watch_ended(self, watching: asyncio.Task[None]) -> None:
        if not watching.cancelled():
            logger.error("A fault in zeroscale itself: %r", watching.exception(), exc_info=watching.exception())
            self._closed = True
            self._tell()

    async def _look(self) -> None:
        """Returns once it is known how things are.

        :raises PluginError: that cannot be known now.
        """
        self._begin()
        watch, began, failures = self._watch, asyncio.get_running_loop().time(), self._watch.failures
        if not watch.fresh:
            watch.hurry()

        def hopeless() -> bool:
            tried = watch.failures - failures
            return tried > 0 and (not isinstance(watch.problem, ApiUnavailable) or is_enough(tried, TRIES, began))

        await self._until(lambda: watch.fresh or hopeless())
        if not watch.fresh and watch.problem is not None:
            raise watch.problem

    async def _until(self, true: Callable[[], bool]) -> None:
        while not true():
            if self._closed:
                raise PluginError(f"{self._reference} is not looked at any more")
            await self._news.wait()

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _take_list(self, items: Sequence[dict[str, Any]]) -> None:
        found = [Workload.of(item) for item in items]
        self._take(found[0] if found else None)

    def _take_event(self, kind: str, found: dict[str, Any]) -> None:
        self._take(None if kind == "DELETED" else Workload.of(found))

    def _take(self, workload: Workload | None) -> None:
        known = self._workload
        if workload and known and workload.uid == known.uid and workload.generation < known.generation:
            return  # the watch lags behind what we have read since
        self._workload = workload
        self._tell()
        self._notice()

    def _notice(self) -> None:
        """Tells the core, once, that it runs though we have not started it."""
        if not self._is_wanted:
            self._told = False
        elif not self._ours and not self._told:
            self._told = True
            if self.on_found is not None:
                self.on_found()

    def _say(self, line: str) -> None:
        logger.debug("%s", line)
        if self.on_output is not None:
            self.on_output(line)
