"""Follow a server that is not a child process of ours, but a unit, a machine or the like.

`ExternalServer` converts the plugin's observations into `wait()`, `on_found` and `on_paused`; `Poller` repeats them.
The plugin itself observes the server.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from zeroscale.backoff import Backoff
from zeroscale.errors import PluginError

LONGEST_INTERVAL = 300.0
"""Seconds between two polls while they fail: a daemon that is back is noticed within minutes."""


class ExternalServer:
    """Whether one server runs.

    :ivar on_found: called when the server runs though this plugin has neither started nor resumed it.
    :ivar on_paused: called when the server is paused though this plugin has not paused it.
    """

    def __init__(self) -> None:
        self.on_found: Callable[[], None] | None = None
        self.on_paused: Callable[[], None] | None = None
        self._paused = False
        self._end: asyncio.Future[int | None] | None = None
        self._changing = False

    @property
    def running(self) -> bool:
        """Whether it runs, by the last observation."""
        return self._end is not None and not self._end.done()

    def begin_change(self) -> None:
        """Ignore observations that it runs until `mark_running` or `abort_change`: we start, pause or resume it."""
        self._changing = True

    def abort_change(self) -> None:
        """Take observations again: the change that was begun has failed."""
        self._changing = False

    def mark_running(self, *, paused: bool = False) -> None:
        """Record that we have started, adopted, resumed or (`paused`) paused it."""
        self._changing = False
        self._paused = paused
        if not self.running:
            self._end = asyncio.get_running_loop().create_future()

    def observe_running(self, *, paused: bool = False) -> None:
        """Record an observation that it runs, or (`paused`) is paused."""
        if self._changing or (self.running and paused == self._paused):
            return
        found = not (self.running and paused)
        self.mark_running(paused=paused)
        if found and self.on_found is not None:
            self.on_found()
        if paused and self.on_paused is not None:
            self.on_paused()

    def observe_stopped(self, exit_code: int | None = None, failure: str | None = None) -> None:
        """Record an observation that it does not run.

        :param exit_code: its exit code, where that is known.
        :param failure: why it failed; None: it did not.
        """
        if self._end is None or self._end.done():
            return
        if failure is None:
            self._end.set_result(exit_code)
        else:
            self._end.set_exception(PluginError(failure))
            self._end.exception()  # marks it as retrieved: there need not be a waiter

    async def wait(self) -> int | None:
        """Wait until it has stopped.

        :returns: its exit code; None where that is not known.
        :raises PluginError: it has failed; the message says why.
        """
        return None if self._end is None else await asyncio.shield(self._end)

    def close(self) -> None:
        """Cancel all `wait()`."""
        if self._end is not None and not self._end.done():
            self._end.cancel()


class Poller:
    """Poll at an interval; at growing intervals while the polls fail.

    :param poll: one poll; a `PluginError` that it raises is logged once.
    :param interval: seconds.
    :param logger: where failures are logged.
    """

    def __init__(self, poll: Callable[[], Awaitable[None]], interval: float, logger: logging.Logger) -> None:
        self._poll = poll
        self._interval = interval
        self._logger = logger
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Poll from now on, the first time after one interval; does nothing if it polls already."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """Stop polling; a poll may call it."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """Stop polling, and wait until a poll that is running has ended."""
        task = self._task
        self.stop()
        if task is not None:
            await asyncio.wait([task])

    async def _run(self) -> None:
        longest = max(LONGEST_INTERVAL, self._interval)
        delays, problem = Backoff(self._interval, longest), ""
        while True:
            await asyncio.sleep(next(delays))
            try:
                await self._poll()
            except PluginError as error:
                if str(error) != problem:
                    problem = str(error)
                    self._logger.warning("Cannot see whether the server runs, trying again: %s", problem)
            except Exception:
                self._logger.exception("A fault while polling whether the server runs")
                delays = Backoff(longest, longest)
            else:
                if problem:
                    self._logger.info("The server can be seen again")
                delays, problem = Backoff(self._interval, longest), ""
