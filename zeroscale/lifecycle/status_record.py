"""The status of one server, with its time and reason. Only the methods change what a snapshot has."""

from __future__ import annotations

from collections.abc import Callable

from zeroscale.events import Cause
from zeroscale.status import Status

DOWN = (Status.stopped, Status.failed)


class StatusRecord:
    """The mutable side of `status.ServerSnapshot`. A new server is stopped.

    :param clock: the monotonic clock's reading, in seconds.
    :param changed: called after each change.
    :ivar status: the status.
    :ivar since: when the server entered it.
    :ivar reason: why it has failed or does not stop, for players; None in any other status.
    :ivar detail: why it has failed, for the operator.
    :ivar retry_at: when a failed server may be started again; None: not before the operator allows it.
    :ivar stop_timed_out: it has not reacted to SIGTERM in time.
    :ivar start_wanted: why it is to be started as soon as that is possible; None: it is not.
    :ivar last_start: how many seconds the last start took; None before there was one.
    :ivar last_error: why it failed last, for the operator, and when; None: it has not failed.
    """

    def __init__(self, clock: Callable[[], float], changed: Callable[[], None] = lambda: None) -> None:
        self._clock = clock
        self._changed = changed
        self.last_start: float | None = None
        self.last_error: tuple[str, float] | None = None
        self.enter(Status.stopped)

    @property
    def is_down(self) -> bool:
        """Whether there is no server process."""
        return self.status in DOWN

    @property
    def may_be_retried(self) -> bool:
        """Whether a failed server may be started again."""
        return self.retry_at is not None and self._clock() >= self.retry_at

    def enter(self, status: Status) -> None:
        """Change the status, and forget everything that belonged to the former one."""
        self.status = status
        self.since = self._clock()
        self.reason: str | None = None
        self.detail: str | None = None
        self.retry_at: float | None = None
        self.stop_timed_out = False
        self.start_wanted: Cause | None = None
        self._changed()

    def note_stop_timed_out(self, reason: str) -> None:
        """Note that a server does not stop.

        :param reason: the same, for players.
        """
        self.stop_timed_out = True
        self.reason = reason
        self._changed()

    def explain_failure(self, reason: str, detail: str, retry_after: float | None) -> None:
        """Note why a server has failed that has just entered that status.

        :param reason: why, for players.
        :param detail: why, for the operator.
        :param retry_after: in how many seconds it may be started again; None: not before the operator allows it.
        """
        now = self._clock()
        self.reason = reason
        self.detail = detail
        self.retry_at = None if retry_after is None else now + retry_after
        self.last_error = (detail, now)
        self._changed()
