"""A StatefulSet or Deployment, scaled from zero to one and back.

    zeroscale kubernetes 25565 25565 --server-host mc.games.svc -a statefulset/mc -a protocol=minecraft

It is only scaled from 0 to 1 and from 1 to 0, through the `scale` subresource and with the resourceVersion that was
read, so that no change by others is overwritten. More than one replica was chosen by others: it counts as running and
is not changed. A pod that crashes is restarted by the cluster, and is not the end of the server. While the API is
unavailable, the server's state does not change and requests are repeated.

docs/kubernetes.md has what a server needs in its cluster, and the permissions that zeroscale needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from zeroscale.errors import PluginError
from zeroscale.plugins.kubernetes.api import Api, ApiUnavailable
from zeroscale.plugins.kubernetes.credentials import Credentials
from zeroscale.plugins.kubernetes.scale import TRIES, Scaler, retry_while_unavailable, tries_exhausted
from zeroscale.plugins.kubernetes.watch import Watch
from zeroscale.plugins.kubernetes.workload import NAMESPACE, Reference, Workload
from zeroscale.plugins.support import arguments
from zeroscale.plugins.support.claim import Claim
from zeroscale.plugins.support.json_object import JsonObject
from zeroscale.plugins.support.stop_note import StopNote
from zeroscale.status import Status

logger = logging.getLogger("zeroscale.plugin.kubernetes")

POD_POLL_INTERVAL = 1.0
"""Seconds between two reads of the pods of a Deployment that terminate. Those of a StatefulSet are in its status."""

T = TypeVar("T")


class _RunEnded(Exception):
    """The run that was to be stopped has ended; the next one may be in use."""


class Server:
    """One StatefulSet or Deployment.

    :ivar status: the state as seen by this plugin.
    :ivar on_found: set by the core; called when others have scaled it up.
    :ivar on_output: set by the core; called with the progress of a start.
    :cvar interruptible_start: `stop()` may be called while `start()` waits for a pod that never becomes ready.
    """

    interruptible_start = True

    remote = True

    load_balanced = True

    def __init__(
        self,
        resource: str,
        *,
        state_directory: str | Path,
        namespace: str | None = None,
        kubeconfig: str | None = None,
        context: str | None = None,
        protocol: str | None = None,
    ) -> None:
        """Make no request yet.

        :param resource: `statefulset/NAME` or `deployment/NAME`; `sts/` and `deploy/` for short.
        :param state_directory: this server's own directory.
        :param namespace: its namespace; None: the context's, or the pod's own.
        :param kubeconfig: the path of a kubeconfig; None: `$KUBECONFIG`, or the service account of the pod we run
            in, or `~/.kube/config`.
        :param context: a context of the kubeconfig; None: its current one.
        :param protocol: `minecraft` or `http`, if its clients speak that; None: any TCP connection wakes it.
        :raises PluginError: a value is not valid, or there are no credentials.
        """
        self.status = Status.stopped
        self.on_found: Callable[[], None] | None = None
        self.on_output: Callable[[str], None] | None = None
        with arguments.collect_mistakes() as mistakes:
            self._reference = mistakes.read(Reference.parse, resource)
            self.protocol = mistakes.read(arguments.protocol, protocol)
            if namespace is not None and not NAMESPACE.fullmatch(namespace):
                mistakes.add(f"namespace={namespace!r} is not the name of a namespace, such as games")
        credentials = Credentials(kubeconfig, context)
        self._namespace = namespace or credentials.namespace
        self._cluster = credentials.cluster
        self._api = Api(credentials)
        self._scaler = Scaler(self._api, self._reference, self._namespace)
        self._claim = Claim(Path(state_directory))
        self._workload: Workload | None = None
        self._watch = Watch(
            self._api,
            self._reference.plural,
            self._namespace,
            name=self._reference.name,
            on_list=self._on_list,
            on_event=self._on_event,
            on_state=self._notify,
        )
        self._watch_task: asyncio.Task[None] | None = None
        self._closed = False
        self._changed = asyncio.Event()
        self._started_here = False
        self._found_reported = False
        self._left_running = False
        self._waiters = 0
        self._ended_runs = 0
        self._stop_requested = False
        self._scaling = asyncio.Lock()
        self._stop_note = StopNote(Path(state_directory))

    @property
    def controls(self) -> Mapping[str, bool]:
        """The object, by its cluster, namespace, kind and name."""
        return {f"{self._reference} in namespace {self._namespace} of {self._cluster}": True}

    async def start(self) -> None:
        """Scale it to one if it is at zero, and wait until a pod is ready.

        :raises PluginError: there is no such object, the API refuses, or others scaled it down during the start.
        """
        self.status = Status.starting
        self._started_here = True
        self._found_reported = self._left_running = self._stop_requested = False
        try:
            await self._refresh()
            await self._check_claim()
            await self._wait_for_last_run()
            await self._retry(lambda: self._scale_to(1, self._check_start), TRIES)
            await self._retry(self._read, TRIES)
            self._report_line(f"{self._reference} is scaled up; waiting for a pod that is ready")
            await self._wait_until(
                lambda: not self._is_wanted or (self._workload is not None and self._workload.is_ready)
            )
            if not self._is_wanted:
                await self._wait_for_pods()
                what = "deleted" if self._workload is None or self._workload.deleted else "scaled to zero"
                raise PluginError(f"{self._reference} was {what} while it started")
        except BaseException:
            self.status = Status.stopped
            self._started_here = False
            self._report_if_found()
            raise
        self.status = Status.running

    async def stop(self) -> None:
        """Scale it from one to zero, and wait until its pods have ended, and so have saved.

        If it has more than one replica, or others scale it up again, it is left running and found again.

        :raises PluginError: the API refuses.
        """
        if self._claim.is_refused:
            return
        self.status = Status.stopping
        self._stop_requested = True
        ended = self._ended_runs

        def run_ended() -> bool:
            return self._ended_runs != ended

        def check_stop() -> None:
            if run_ended():
                raise _RunEnded

        self._begin_watch()
        with self._stop_note.kept(self._run), contextlib.suppress(_RunEnded):
            replicas = await self._retry(lambda: self._scale_to(0, check_stop))
            await self._retry(self._read)
            if not replicas:
                await self._wait_until(lambda: run_ended() or self._is_stopped or self._is_wanted)
                if not run_ended():
                    await self._wait_for_pods()
        if run_ended():
            return  # wait() has reported the end, and the present state belongs to the next run
        if self._is_wanted:
            logger.warning(
                "%s is left running: others have scaled it to %d",
                self._reference,
                self._workload.replicas if self._workload else 0,
            )
            self._found_reported = False
            if self._waiters:
                self._left_running = True
                self._notify()
                return
        self._started_here = False
        self.status = Status.stopped
        self._report_if_found()

    async def wait(self) -> int | None:
        """Wait until it was scaled to zero and its pods have ended, or it was deleted, or is left running.

        :returns: None: there is no exit code.
        :raises PluginError: whether its pods have ended cannot be read any more.
        """
        self._waiters += 1
        try:
            while True:
                await self._wait_until(lambda: self._left_running or self._is_stopped)
                if self._left_running or await self._wait_for_pods():
                    break
        finally:
            self._waiters -= 1
        self._ended_runs += 1
        self._left_running = False
        self._started_here = False
        self.status = Status.stopped
        self._report_if_found()
        return None

    async def adopt(self) -> bool | Status:
        """Take it over if it runs, or pods of its last run are still terminating; if so it is watched.

        If it is scaled up again and has only terminating pods of its last run, it does not run: `start()` waits for
        their end, so that a server that is about to end is not taken for the next one.

        :returns: whether it runs; `Status.stopping`: it is scaled to zero and has terminating pods, or an earlier
            zeroscale was killed before it could scale it to zero.
        :raises PluginError: the API refuses or does not answer.
        """
        runs = False
        self._started_here = True  # what is found now is returned, and need not be reported as well
        try:
            await self._refresh()
            await self._check_claim()
            runs = (
                not self._workload.all_terminating
                if self._workload and self._is_wanted
                else await self._has_living_pods()
            )
        finally:
            self._started_here = runs
        if not runs:
            self._stop_note.remove()
            return False
        asked = self._stop_note.find(self._run) is not None
        self.status = Status.running if self._is_wanted and not asked else Status.stopping
        return self.status is Status.running or self.status

    async def players(self) -> int | None:
        """Return None, so that the core queries the server itself.

        :raises PluginError: others have scaled it to several replicas, so that it must not be stopped when idle.
        """
        if self._workload is not None and self._workload.replicas > 1:
            raise PluginError(
                f"{self._reference} has {self._workload.replicas} replicas; more than one is never stopped"
            )
        return None

    async def close(self) -> None:
        """Stop watching, and close the connections."""
        self._stop_note.leave()
        self._claim.release()
        self._closed = True
        self._notify()
        task, self._watch_task = self._watch_task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        await self._api.close()

    def fake_status(self) -> bytes:
        """Return nothing: clients are held."""
        return b""

    # Requests

    async def _scale_to(self, wanted: int, still_wanted: Callable[[], None]) -> int:
        async with self._scaling:  # a stop during a start comes after the start's requests
            return await self._scaler.scale_to(wanted, still_wanted)

    def _check_start(self) -> None:
        if self._stop_requested:
            raise PluginError(f"{self._reference} was stopped while it started")

    async def _read(self) -> None:
        """Read it now: the watch may lag behind our own requests."""
        self._update(await self._scaler.read())

    async def _check_claim(self) -> None:
        """Check that no other server has it.

        :raises PluginError: one has.
        """
        if self._claim.is_refused:
            await self._retry(self._read, TRIES)  # the other one may have been closed since
        self._claim.check(str(self._reference))

    async def _wait_for_last_run(self) -> None:
        """Wait until the pods of the last run have ended: two servers must never use the same world."""
        if self._workload is None:
            raise PluginError(self._scaler.missing)
        if self._workload.replicas == 0 and not self._workload.is_settled_at_zero:
            self._report_line(f"{self._reference} is still ending its last run")
        await self._wait_until(lambda: self._is_stopped or self._is_wanted)
        await self._wait_for_pods()

    async def _has_living_pods(self) -> bool:
        """Return whether pods of a run that others have ended are still terminating."""
        if self._workload is None or self._reference.plural != "deployments":
            return self._workload is not None and self._workload.existing > 0
        selector = self._workload.selector
        return await self._retry(lambda: self._scaler.has_living_pods(selector), TRIES)

    async def _wait_for_pods(self) -> bool:
        """Wait until no pod of a Deployment at zero is alive; its status does not count those that are terminating.

        :returns: whether it is still at zero.
        """
        if self._workload is None or self._reference.plural != "deployments":
            return not self._is_wanted
        selector = self._workload.selector
        while not self._is_wanted:
            if not await self._retry(lambda: self._scaler.has_living_pods(selector)):
                break
            await asyncio.sleep(POD_POLL_INTERVAL)
        return not self._is_wanted

    async def _retry(self, request: Callable[[], Awaitable[T]], tries: int | None = None) -> T:
        return await retry_while_unavailable(request, tries, lambda: self._closed)

    # The watch

    @property
    def _run(self) -> str:
        """What identifies the present run in the note of a stop: a change of its scale makes it another one."""
        return "" if self._workload is None else f"{self._workload.uid} {self._workload.generation}"

    @property
    def _is_wanted(self) -> bool:
        return self._workload is not None and self._workload.wanted

    @property
    def _is_stopped(self) -> bool:
        return self._workload is None or self._workload.is_settled_at_zero

    def _begin_watch(self) -> None:
        if self._watch_task is None and not self._closed:
            self._watch_task = asyncio.get_running_loop().create_task(self._watch.run())
            self._watch_task.add_done_callback(self._watch_failed)

    def _watch_failed(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            logger.error("A fault in zeroscale itself: %r", task.exception(), exc_info=task.exception())
            self._closed = True
            self._notify()

    async def _refresh(self) -> None:
        """Wait until the watch has the present state.

        :raises PluginError: the API refuses or does not answer.
        """
        self._begin_watch()
        watch, began, failures = self._watch, asyncio.get_running_loop().time(), self._watch.failures
        if not watch.fresh:
            watch.retry_now()

        def failed() -> bool:
            tried = watch.failures - failures
            return tried > 0 and (not isinstance(watch.problem, ApiUnavailable) or tries_exhausted(tried, TRIES, began))

        await self._wait_until(lambda: watch.fresh or failed())
        if not watch.fresh and watch.problem is not None:
            raise watch.problem

    async def _wait_until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            if self._closed:
                raise PluginError(f"{self._reference} is not watched any more")
            await self._changed.wait()

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _on_list(self, items: Sequence[JsonObject]) -> None:
        self._update(Workload.parse(items[0]) if items else None)

    def _on_event(self, kind: str, item: JsonObject) -> None:
        self._update(None if kind == "DELETED" else Workload.parse(item))

    def _update(self, workload: Workload | None) -> None:
        known = self._workload
        if workload and known and workload.uid == known.uid and workload.generation < known.generation:
            return  # the watch lags behind what was read since
        if workload is not None and not self._claim.take(workload.uid):
            workload = None  # for us it is missing
        self._workload = workload
        self._notify()
        self._report_if_found()

    def _report_if_found(self) -> None:
        """Report to the core, once, that it runs though we have not started it."""
        if not self._is_wanted:
            self._found_reported = False
        elif not self._started_here and not self._found_reported:
            self._found_reported = True
            if self.on_found is not None:
                self.on_found()

    def _report_line(self, line: str) -> None:
        logger.debug("%s", line)
        if self.on_output is not None:
            self.on_output(line)
