"""The last wake of a server and its last stop, with the cause of each: from events, for the record of the server. Pure.

A player's name is kept, and no address.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec.structs import replace

from zeroscale.events import Cause, Failed, ServerEvent, Stopped, Stopping, Woken

LONGEST_NAME = 100
LONGEST_DETAIL = 300
"""Characters."""

FAILED = "failed"
"""The kind of a stop that was a failure, besides those of `events.CauseKind`."""

Name = Annotated[str, msgspec.Meta(max_length=LONGEST_NAME)]
Detail = Annotated[str, msgspec.Meta(max_length=LONGEST_DETAIL)]


class CausedEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A wake or a stop.

    :ivar at: when, in seconds since 1970.
    :ivar kind: why, in one word: of `events.CauseKind`, or `FAILED`.
    :ivar player: the name of the player who caused it; "": none did, or its protocol has no names.
    :ivar operator: the account of the operator who caused it; "": none did, or it is not known.
    :ivar detail: the rest, in words.
    :ivar pause: it was paused, or resumed.
    """

    at: float
    kind: Name
    player: Name = ""
    operator: Name = ""
    detail: Detail = ""
    pause: bool = False


class LastEvents(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The last wake and the last stop; None: not known."""

    wake: CausedEvent | None = None
    stop: CausedEvent | None = None

    def after(self, event: ServerEvent) -> LastEvents:
        """Return the last events after one more; the same object if it is neither a wake nor a stop."""
        match event:
            case Woken():
                return replace(self, wake=_caused(event.at, event.cause, event.resumed))
            case Stopping():
                return replace(self, stop=_caused(event.at, event.cause, event.pause))
            case Stopped():
                return replace(self, stop=_caused(event.at, event.cause, False))
            case Failed() if event.during != "start":  # else it has not run, or was stopped before
                return replace(self, stop=CausedEvent(at=event.at, kind=FAILED, detail=_cut(event.reason)))
        return self


def _caused(at: float, cause: Cause, pause: bool) -> CausedEvent:
    return CausedEvent(
        at=at,
        kind=cause.kind.value,
        player=_cut(cause.client.name, LONGEST_NAME),
        operator=_cut(cause.operator, LONGEST_NAME),
        detail=_cut(cause.detail),
        pause=pause,
    )


def _cut(text: str, length: int = LONGEST_DETAIL) -> str:
    """Return a text as the file can hold it: cut, and without lone surrogates."""
    return text[:length].encode("utf-8", "replace").decode()
