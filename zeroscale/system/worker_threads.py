"""The threads for blocking calls: lookups of host names, and `asyncio.to_thread()` in plugins.

One thread is started at the start, so that lookups go on when no further thread can be had later. Uses no reactor.
"""

from __future__ import annotations

import errno
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from zeroscale.errors import PROCESS_LIMIT

logger = logging.getLogger("zeroscale.system")

P = ParamSpec("P")
T = TypeVar("T")

MOST_THREADS = 10
"""As many as in Twisted's own pool; a name server that does not answer occupies one for each lookup."""

LONGEST_IDLE = 30.0
"""Seconds after which a further thread without work ends."""


class WorkerThreads(ThreadPoolExecutor):
    """An executor for asyncio's loop, in place of its own.

    Its threads do not delay the end of the process. Where there is no thread and none can be started, `submit` raises
    `BlockingIOError`, which is logged once, and the start is tried again at the next call.
    """

    def __init__(self) -> None:
        super().__init__(MOST_THREADS)  # makes no thread: `submit` and `shutdown` are replaced
        self._changed = threading.Condition()
        self._calls: deque[Callable[[], None]] = deque()
        self._running: set[threading.Thread] = set()
        self._idle = 0
        self._closed = False
        self._reported = False

    def start(self) -> None:
        """Start the first thread. A failure is logged."""
        with self._changed:
            if not self._running and not self._start_thread():
                self._report()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call `fn` in a thread.

        :raises BlockingIOError: there may be no more threads.
        :raises RuntimeError: it is shut down.
        """
        future: Future[T] = Future()

        def call() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # whatever it is, it is raised where the result is awaited
                future.set_exception(error)
            else:
                future.set_result(result)

        with self._changed:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if self._idle <= len(self._calls) and len(self._running) < MOST_THREADS:
                started = self._start_thread()
                if not started and not self._running:
                    self._report()
                    raise BlockingIOError(errno.EAGAIN, PROCESS_LIMIT)
            self._calls.append(call)
            self._changed.notify()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the threads after the calls that wait.

        :param wait: wait until they have ended.
        :param cancel_futures: drop the calls that wait.
        """
        with self._changed:
            self._closed = True
            if cancel_futures:
                self._calls.clear()
            running = list(self._running)
            self._changed.notify_all()
        for thread in running if wait else ():
            thread.join()

    def _start_thread(self) -> bool:
        stays = not self._running
        thread = threading.Thread(target=self._run, args=(stays,), name="zeroscale-worker", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return False
        self._running.add(thread)
        if self._reported:
            self._reported = False
            logger.info("Host names can be looked up again")
        return True

    def _report(self) -> None:
        if not self._reported:
            self._reported = True
            logger.error("Host names cannot be looked up now: %s", PROCESS_LIMIT)

    def _run(self, stays: bool) -> None:
        while (call := self._next(stays)) is not None:
            call()
            del call  # with the result, which may be large

    def _next(self, stays: bool) -> Callable[[], None] | None:
        """Return the next call; None: the thread is to end."""
        with self._changed:
            self._idle += 1
            try:
                self._changed.wait_for(lambda: self._calls or self._closed, None if stays else LONGEST_IDLE)
                if self._calls:
                    return self._calls.popleft()
                self._running.discard(threading.current_thread())
                return None
            finally:
                self._idle -= 1
