"""Notifies targets of events: a thread for each target delivers, one queues, and one writes what waits to the disk.

Events come from the reactor's thread, which only hands them over: it never waits for a lock that these threads hold.
The queues in memory count; the disk has a copy for the next start. A notification is delivered at least once, and those
of one target in their order. The threads are daemon threads, so that an address or a disk that does not answer does not
keep the interpreter from exiting.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from zeroscale.backoff import Backoff
from zeroscale.errors import StateError
from zeroscale.events import ServerEvent
from zeroscale.notify.delivery import Delivery
from zeroscale.notify.payload import NotificationTest, sendable
from zeroscale.notify.queue import MOST_WAITING, Waiting
from zeroscale.notify.sender import Sender
from zeroscale.notify.spool import Spool
from zeroscale.notify.target import DeliveryOutcome, Target

logger = logging.getLogger("zeroscale.notify")

FIRST_DISK_RETRY = 2.0
LONGEST_DISK_RETRY = 60.0
"""Seconds until a disk that has failed is tried again: at first, and at most."""

LONGEST_CLOSE = 3.0
"""Seconds that the end of zeroscale waits for deliveries, and then for the disk."""


class Notifier:
    """Delivers events to targets. Its methods never wait, except `close`, and may be called from any thread.

    :param directory: the state directory.
    """

    def __init__(self, directory: Path) -> None:
        self._changed = threading.Condition()
        self._senders: dict[str, Sender] = {}
        self._removed: list[str] = []
        self._discarded: list[Path] = []
        self._spool = Spool(directory)
        self._events: queue.SimpleQueue[ServerEvent | None] = queue.SimpleQueue()
        self._distributor: threading.Thread | None = None
        self._writer: threading.Thread | None = None
        self._restored = False
        self._finishing = self._ended = False

    def configure(self, targets: Iterable[Target]) -> None:
        """Replace the targets. What waits for one that stays is delivered as it is configured now.

        :raises ConfigError: a text of one cannot be used; then nothing has changed.
        """
        wanted = {target.name: (target, Delivery(target)) for target in targets}
        with self._changed:
            for name in self._senders.keys() - wanted.keys():
                self._senders.pop(name).end()
                self._removed.append(name)
            for name, (target, delivery) in wanted.items():
                if name in self._senders:
                    self._senders[name].reconfigure(target, delivery)
                else:
                    self._senders[name] = Sender(
                        target, delivery, self._changed, lambda: self._restored, self._discarded.append
                    )
            self._start()

    def observe(self, event: ServerEvent) -> None:
        """Send an event to each target that wants it."""
        if self._events.qsize() < MOST_WAITING:  # else the thread that takes them was never started
            self._events.put(event)
        if self._distributor is None:
            with self._changed:
                self._start()

    def test(self, name: str, done: Callable[[DeliveryOutcome], None]) -> None:
        """Deliver a test to a target at once, whatever waits for it.

        :param done: called with the outcome, in another thread.
        :raises KeyError: there is no such target.
        :raises RuntimeError: no thread can be started.
        """
        with self._changed:
            delivery = self._senders[name].delivery
        event = NotificationTest(server=name, at=time.time())

        def attempt() -> None:
            done(delivery.attempt(os.urandom(16).hex(), event, time.time()))

        threading.Thread(target=attempt, name="zeroscale-notify-test", daemon=True).start()

    def close(self) -> None:
        """Deliver what can be delivered soon, write the rest to the disk, and end the threads."""
        self._events.put(None)
        if self._distributor is not None:
            self._distributor.join(LONGEST_CLOSE)
        with self._changed:
            self._finishing = True
            senders = list(self._senders.values())
            for sender in senders:
                sender.finish()
            self._changed.notify_all()
        deadline = time.monotonic() + LONGEST_CLOSE
        for sender in senders:
            sender.join(max(0.0, deadline - time.monotonic()))
        with self._changed:
            self._ended = True
            for sender in senders:
                sender.end()
            self._changed.notify_all()
        if self._writer is not None:
            self._writer.join(LONGEST_CLOSE)
            if self._writer.is_alive():
                logger.error("Notifications that wait may be lost: the disk does not answer")

    def _start(self) -> None:
        """Start the threads that do not run yet, and wake the others."""
        try:
            if not self._finishing:
                self._distributor = self._distributor or _started("zeroscale-notify", self._distribute)
                self._writer = self._writer or _started("zeroscale-notify-files", self._write)
            for sender in self._senders.values():
                sender.start()
        except RuntimeError as error:
            logger.warning("Notifications wait for the next event: no thread can be started (%s)", error)
        self._changed.notify_all()

    # The thread that queues

    def _distribute(self) -> None:
        while (event := self._events.get()) is not None:
            try:
                self._add(event)
            except Exception:  # a fault of ours must not stop all later notifications
                logger.exception("A fault in zeroscale itself: an event is lost")

    def _add(self, event: ServerEvent) -> None:
        with self._changed:
            wanting = [each for each in self._senders.values() if each.target.wants(event.server, event.event)]
            for sender in wanting:
                sent = sendable(event, addresses=sender.target.addresses)
                sender.add(Waiting(os.urandom(16).hex(), sent))
            if wanting:
                self._start()

    # The thread that writes

    def _write(self) -> None:
        backoff = Backoff(FIRST_DISK_RETRY, LONGEST_DISK_RETRY)
        failed = False
        while True:
            with self._changed:
                if failed:
                    self._changed.wait_for(lambda: self._ended, next(backoff))
                ended = self._ended
            try:
                if not self._spool.is_open:
                    self._spool.open()
                    self._restore()
                busy = self._write_next(wait=not (ended or failed))
            except (OSError, StateError) as error:
                if not failed:
                    reason = getattr(error, "strerror", None) or error
                    logger.warning("Notifications that wait are kept in memory only: %s", reason)
                failed, busy = True, False
                self._begin()
            else:
                if failed:
                    logger.warning("Notifications that wait are written to the disk again")
                    failed = False
                    backoff.reset()
            if ended and not busy:
                self._spool.close()
                return

    def _restore(self) -> None:
        """Queue what an earlier run has left, except for targets that are not configured any more."""
        for name in self._spool.targets():
            older = self._spool.load(name)
            with self._changed:
                if name in self._senders:
                    self._senders[name].restore(older)
                else:
                    self._removed.append(name)
        self._begin()

    def _begin(self) -> None:
        """Let deliveries begin."""
        with self._changed:
            self._restored = True
            self._changed.notify_all()

    def _write_next(self, *, wait: bool) -> bool:
        """Do the next thing that is to be done on the disk; False: there is nothing.

        :param wait: wait for it, until the notifier is closed.
        """
        with self._changed:
            while True:
                removed = self._removed[-1] if self._removed else None
                unsaved = None if removed else self._next_unsaved()
                if removed or unsaved or self._discarded:
                    break
                if not wait or self._ended:
                    return False
                self._changed.wait()
            discarded = self._discarded[:]
        self._spool.remove(discarded)
        if removed is not None:
            number = self._spool.forget(removed)
            if number:
                logger.warning("Notification %s is not configured any more: %d are dropped", removed, number)
        path = None if unsaved is None else self._spool.save(*unsaved)
        with self._changed:
            del self._discarded[: len(discarded)]
            if removed is not None:
                self._removed.remove(removed)
            if unsaved is not None and path is not None:
                waiting = unsaved[1]
                waiting.path = path
                if waiting.gone:
                    self._discarded.append(path)
        return True

    def _next_unsaved(self) -> tuple[str, Waiting] | None:
        for name, sender in self._senders.items():
            waiting = sender.first_unsaved()
            if waiting is not None:
                return name, waiting
        return None


def _started(name: str, run: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread
