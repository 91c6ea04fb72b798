"""Whether a server that is no child of ours is there, as its plugin sees it: in terms of `wait()` and `on_found`.

For plugins whose server is a unit, a machine, whatever another program starts. Knows nothing of how it is looked at.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from zeroscale.errors import PluginError

LONGEST_INTERVAL = 300.0
"""Seconds between two looks while they fail: a daemon that is back is noticed within some minutes."""


class Presence:
    """One server's coming and going.

    :ivar on_found: called when it is seen to run though nobody here has started or resumed it; None: nobody asks.
    :ivar on_paused: called when it is seen to be frozen though nobody here has paused it; None: nobody asks.
    """

    def __init__(self) -> None:
        self.on_found: Callable[[], None] | None = None
        self.on_paused: Callable[[], None] | None = None
        self._frozen = False
        self._end: asyncio.Future[int | None] | None = None
        self._busy = False

    @property
    def there(self) -> bool:
        """It runs, as far as we have seen."""
        return self._end is not None and not self._end.done()

    def changing(self) -> None:
        """It is being started, paused or resumed by us: nothing that is seen meanwhile is a find."""
        self._busy = True

    def changed(self) -> None:
        """That could not be done."""
        self._busy = False

    def came(self, *, frozen: bool = False) -> None:
        """We have started it, taken it over, paused it (`frozen`) or resumed it."""
        self._busy = False
        self._frozen = frozen
        if not self.there:
            self._end = asyncio.get_running_loop().create_future()

    def seen(self, *, frozen: bool = False) -> None:
        """It was seen to run, `frozen` or not."""
        if self._busy or (self.there and frozen == self._frozen):
            return
        found = not (self.there and frozen)
        self.came(frozen=frozen)
        if found and self.on_found is not None:
            self.on_found()
        if frozen and self.on_paused is not None:
            self.on_paused()

    def gone(self, exit_code: int | None = None, reason: str | None = None) -> None:
        """It was seen not to run.

        :param exit_code: what it ended with, where that is known.
        :param reason: why it ended, which was a failure.
        """
        if self._end is None or self._end.done():
            return
        if reason is None:
            self._end.set_result(exit_code)
        else:
            self._end.set_exception(PluginError(reason))
            self._end.exception()  # it is no fault if nobody waits for it

    async def wait(self) -> int | None:
        """Waits until it is gone; returns its exit code where that is known.

        :raises PluginError: it has failed, and why.
        """
        return None if self._end is None else await asyncio.shield(self._end)

    def close(self) -> None:
        """Nobody waits any more."""
        if self._end is not None and not self._end.done():
            self._end.cancel()


class Looking:
    """Looks again and again.

    :param look: one look; what it says with `PluginError` is warned of once, and it is asked less often meanwhile.
    :param every: seconds between two.
    :param logger: where it is warned.
    """

    def __init__(self, look: Callable[[], Awaitable[None]], every: float, logger: logging.Logger) -> None:
        self._look = look
        self._every = every
        self._logger = logger
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Looks from now on, if it does not yet."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def end(self) -> None:
        """Looks no more; may be called by a look."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """Looks no more, and is not in the middle of a look."""
        task = self._task
        self.end()
        if task is not None:
            await asyncio.wait([task])

    async def _run(self) -> None:
        interval, said = self._every, ""
        while True:
            await asyncio.sleep(interval)
            try:
                await self._look()
            except PluginError as error:
                if str(error) != said:
                    said = str(error)
                    self._logger.warning("Cannot see whether the server runs, and will look again: %s", said)
                interval = min(2 * interval, max(LONGEST_INTERVAL, self._every))
            except Exception:
                self._logger.exception("A fault while looking whether the server runs")
                interval = max(LONGEST_INTERVAL, self._every)
            else:
                if said:
                    self._logger.info("The server can be seen again")
                interval, said = self._every, ""
