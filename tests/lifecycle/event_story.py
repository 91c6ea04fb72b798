"""Checks that the events of one server tell a story without gaps: each begins where the former one ended."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from zeroscale.events import (
    Cause,
    CauseKind,
    Failed,
    GivenUp,
    Joined,
    Left,
    Ready,
    ServerEvent,
    Stopped,
    Stopping,
    Woken,
)
from zeroscale.status import ClientInfo


class EventStory:
    """What an operator knows of a server who reads nothing but its events.

    :ivar state: `down`, `starting`, `running`, `paused` or `stopping`.
    :ivar players: those who have joined and not left.
    :ivar errors: what was wrong.
    :ivar asked_by: what is happening to the server, for the causes that only the test can know.
    """

    def __init__(self) -> None:
        self.state = "down"
        self.players: list[ClientInfo] = []
        self.asked_by: CauseKind | None = None
        self.is_retired = False
        self._is_resumed = False
        self._stop_cause: Cause | None = None
        self._last: ServerEvent | None = None
        self.errors: list[AssertionError | ValueError] = []

    @contextlib.contextmanager
    def asking(self, kind: CauseKind) -> Iterator[None]:
        """Expect events of this cause."""
        self.asked_by = kind
        yield
        self.asked_by = None

    def observe(self, event: ServerEvent) -> None:
        """Check an event against those before it; what is wrong is kept, as an observer may not raise."""
        try:
            self._check(event)
        except (AssertionError, ValueError) as error:
            self.errors.append(error)

    def _check(self, event: ServerEvent) -> None:
        match event:
            case Woken(resumed=resumed):
                assert self.state == ("paused" if resumed else "down"), event
                self.state, self._is_resumed = "starting", resumed
            case Ready(found=found):
                # The start of a server that was found is no event.
                assert self.state == "starting" or (found and self.state == "down"), event
                self.state, self._is_resumed = "running", False
            case Joined(client=client, players=players):
                assert self.state in ("running", "stopping", "paused") or self._is_resumed, event
                self.players.append(client)
                assert players == len(self.players), event
            case Left(client=client, players=players, seconds=seconds):
                self.players.remove(client)
                assert players == len(self.players), event
                assert seconds >= 0
            case Stopping(cause=cause, pause=pause):
                self._check_stop(cause, event)
                assert self.state in (("running",) if pause else ("down", "starting", "running", "paused")), event
                self.state = "paused" if pause else "stopping"
                self._stop_cause = cause
            case Stopped(cause=cause):
                assert not self.players, event
                if self.state == "stopping":
                    assert cause == self._stop_cause, event
                else:
                    assert cause.kind is CauseKind.exited, event
                self.state = "down"
            case Failed(during=during):
                assert not self.players, event
                given_up = self._stop_cause is not None and self._stop_cause.kind is CauseKind.start_failed
                known = {"starting": "start", "stopping": "start" if given_up else "stop"}
                # A server that was found has no event before its failure.
                assert during == known.get(self.state, "run") or (self.state == "down" and during == "start"), event
                self.state = "down"
            case GivenUp():
                assert isinstance(self._last, Failed) and self._last.retry_in is None, event
        if self.state in ("down", "starting", "running"):
            self._stop_cause = None
        self._is_resumed = self._is_resumed and self.state == "starting"
        self._last = event

    def _check_stop(self, cause: Cause, event: Stopping) -> None:
        if cause.kind in (CauseKind.operator, CauseKind.restart):
            assert self.asked_by is cause.kind, event
        elif cause.kind is CauseKind.removed:
            assert self.is_retired, event
        elif cause.kind is CauseKind.idle:
            # One that another program has paused with players on is stopped all the same.
            assert not self.is_retired and (not self.players or self.state == "paused"), event
        elif cause.kind is CauseKind.start_failed:
            # A server that was found running has no event of its start.
            assert self.state in ("starting", "down"), event
