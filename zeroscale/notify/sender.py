"""Delivers the notifications of one target in a thread of its own, one after the other, until each is accepted."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from zeroscale.notify.delivery import Delivery
from zeroscale.notify.queue import TargetQueue, Waiting
from zeroscale.notify.target import DeliveryOutcome, Target

logger = logging.getLogger("zeroscale.notify")


class Sender:
    """The queue of one target, and the thread that works on it.

    All methods but `join` must be called with the condition's lock held.

    :param changed: notified by the caller after each call that gives the thread something to do.
    :param may_begin: returns whether the notifications of an earlier run are in the queue, so that the order is right.
    :param discard: called with the files of notifications that do not wait any more.
    :ivar target: where they go.
    :ivar delivery: how they get there.
    """

    def __init__(
        self,
        target: Target,
        delivery: Delivery,
        changed: threading.Condition,
        may_begin: Callable[[], bool],
        discard: Callable[[Path], None],
    ) -> None:
        self.target = target
        self.delivery = delivery
        self._changed = changed
        self._may_begin = may_begin
        self._discard = discard
        self._queue = TargetQueue()
        self._thread: threading.Thread | None = None
        self._finishing = self._ended = False
        self._delayed = False
        self._lost = 0
        # The age is counted from here on by the monotonic clock: a clock that is set forward must not drop everything.
        self._wall_offset = time.time() - time.monotonic()

    def start(self) -> None:
        """Start the thread, unless it runs.

        :raises RuntimeError: no thread can be started.
        """
        if self._thread is None and not self._finishing:
            thread = threading.Thread(target=self._run, name=f"zeroscale-notify-{self.target.name}", daemon=True)
            thread.start()
            self._thread = thread

    def reconfigure(self, target: Target, delivery: Delivery) -> None:
        """Use other settings from the next attempt on, which is due at once if they have changed."""
        if target != self.target:
            self.target, self.delivery = target, delivery
            self._queue.retry_now()

    def add(self, new: Waiting) -> None:
        """Queue a notification."""
        self._lose(self._queue.add(new), "too many wait")

    def restore(self, older: Iterable[Waiting]) -> None:
        """Put the notifications of an earlier run before all others."""
        self._lose(self._queue.restore(older), "too many wait")

    def first_unsaved(self) -> Waiting | None:
        """Return the oldest one that has no file."""
        return self._queue.first_unsaved()

    def finish(self) -> None:
        """End the thread once nothing can be delivered at once."""
        self._finishing = True

    def end(self) -> None:
        """End the thread after the attempt that it makes now."""
        self._finishing = self._ended = True

    def join(self, limit: float) -> None:
        """Wait until the thread has ended, up to this many seconds; without the lock."""
        if self._thread is not None:
            self._thread.join(limit)

    def _run(self) -> None:
        while (due := self._wait()) is not None:
            waiting, delivery = due
            try:
                outcome = delivery.attempt(waiting.id, waiting.event, time.time())
            except Exception:  # a fault of ours must not stop all later notifications
                logger.exception("A fault in zeroscale itself: notification %s", self.target.name)
                outcome = DeliveryOutcome("a fault in zeroscale itself", final=True)
            with self._changed:
                if delivery is self.delivery or not outcome.problem:  # other settings may have another outcome
                    self._take(waiting, outcome)
                self._changed.notify_all()

    def _wait(self) -> tuple[Waiting, Delivery] | None:
        """Wait for the next attempt; None: there will be none."""
        with self._changed:
            while not self._ended:
                self._lose(self._queue.expire(time.monotonic() + self._wall_offset), "too old")
                began = self._may_begin()
                waiting = self._queue.next() if began else None
                delay = self._queue.delay(time.monotonic())
                if waiting is not None and delay == 0:
                    return waiting, self.delivery
                if self._finishing and began:
                    return None
                self._changed.wait(None if waiting is None else delay)
            return None

    def _take(self, waiting: Waiting, outcome: DeliveryOutcome) -> None:
        """Take the outcome of an attempt."""
        name, problem = self.target.name, outcome.problem
        if problem and not outcome.final:
            self._queue.failed(time.monotonic(), outcome.retry_after)
            if not self._delayed:
                self._delayed = True
                logger.warning("Notification %s is not delivered: %s; it is tried again", name, problem)
            return
        was_dropped = waiting.gone
        self._queue.delivered(waiting)
        if was_dropped:
            return
        if problem:
            self._lose([waiting], problem)
            return
        if waiting.path is not None:
            self._discard(waiting.path)
        if self._delayed or self._lost:
            lost = f"; {self._lost} were dropped" if self._lost else ""
            logger.warning("Notification %s is delivered again%s", name, lost)
            self._delayed, self._lost = False, 0

    def _lose(self, dropped: Sequence[Waiting], reason: str) -> None:
        """Count what is dropped, and log the first one."""
        if not dropped:
            return
        for each in dropped:
            if each.path is not None:
                self._discard(each.path)
        if not self._lost:
            logger.warning("Notification %s is dropped: %s", self.target.name, reason)
        self._lost += len(dropped)
