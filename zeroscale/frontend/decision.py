"""What to do with a client: (event, server view, policy, now, verdict) -> a decision. Pure.

Nothing is sent, started or awaited here; `connection` and `joining` do what is decided.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from zeroscale.protocols.conversation import (
    ClientRecognised,
    Component,
    Connected,
    LoginRequested,
    PingRequested,
    StatusRequested,
)
from zeroscale.status import ServerSnapshot, Status

Waiting = Literal["auto", "hold", "answer", "page"]


@dataclass(frozen=True, slots=True)
class JoinPolicy:
    """What the operator wants for those who join.

    :ivar holds: a joining player waits for the server; else it is told to come again.
    :ivar hold_limit: seconds that a player is held at most.
    :ivar wake_on_answer: wake only once a held client has answered a request of ours, where it can.
    :ivar waiting: what a client gets whose protocol we do not speak: `auto` and `answer`: what the plugin has for it,
        and a close; `auto`, where the plugin has nothing, and `hold`: it is held; `page`: its Conversation knows.
    """

    holds: bool
    hold_limit: float
    wake_on_answer: bool = False
    waiting: Waiting = "auto"


LOCKOUT = "lockout"
"""The one word for a login that is refused because the operator lets nobody in."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The verdict on somebody who may not come in.

    :ivar word: why, in the one word that it is counted by.
    :ivar detail: more for the log.
    :ivar words: what the player reads, in the game's own words; None: what our text for this reason says.
    """

    word: str
    detail: str
    words: Component | None = None


@dataclass(frozen=True, slots=True)
class AnswerStatus:
    """Answer the server list ourselves."""


@dataclass(frozen=True, slots=True)
class AnswerPing:
    """Answer a ping ourselves."""


@dataclass(frozen=True, slots=True)
class PassStatus:
    """Let the real server answer; nobody counts as a player for it."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Read on: it has not shown yet that it is a client."""


@dataclass(frozen=True, slots=True)
class RelayDecision:
    """Let the player through."""


@dataclass(frozen=True, slots=True)
class HoldDecision:
    """Wake the server, and have the client wait until it is ready.

    :ivar limit: after how many seconds it is told to come again.
    :ivar once_answered: wake only once the client has answered a request of ours, if it is one that can be asked.
    """

    limit: float
    once_answered: bool = False


@dataclass(frozen=True, slots=True)
class RefuseDecision:
    """Tell the client why it cannot come in, and close.

    :ivar wakes: wake the server all the same.
    :ivar once_answered: as in `HoldDecision`; the client is told then, too.
    :ivar word: the refusal's one word, where it is somebody's wish and not only a matter of time; else "".
    :ivar verdict: who it is that may not come in, and what he is told; None: what the server's state says.
    """

    wakes: bool
    once_answered: bool = False
    word: str = ""
    verdict: Refusal | None = None


WakeEvent = LoginRequested | ClientRecognised | Connected
ClientEvent = StatusRequested | PingRequested | WakeEvent
AdmitDecision = RelayDecision | HoldDecision | RefuseDecision
Decision = AnswerStatus | AnswerPing | PassStatus | Wait | AdmitDecision


def decide(
    event: ClientEvent, view: ServerSnapshot, policy: JoinPolicy, now: float, verdict: Refusal | None = None
) -> Decision:
    """What to do about `event`, with the server as in `view` at the monotonic time `now`, in seconds.

    :param verdict: why who wants in may not; see `admission`.
    """
    match event:
        case StatusRequested():
            return PassStatus() if view.status is Status.running else AnswerStatus()
        case PingRequested():
            return AnswerPing()
        case Connected():
            # A running server may be the one to speak first.
            return decide_admission(event, view, policy, now) if view.status is Status.running else Wait()
        case LoginRequested() | ClientRecognised():
            return decide_admission(event, view, policy, now, verdict)


def decide_admission(
    event: WakeEvent, view: ServerSnapshot, policy: JoinPolicy, now: float, verdict: Refusal | None = None
) -> AdmitDecision:
    """`decide()`, for who wants in."""
    if verdict is not None:
        return RefuseDecision(wakes=False, word=verdict.word, verdict=verdict)
    if view.lockout is not None:  # whatever the server does: who is on it stays, and nobody comes
        return RefuseDecision(wakes=False, word=LOCKOUT)
    if view.status is Status.running:
        return RelayDecision()
    if isinstance(event, Connected) or (view.status is Status.failed and not may_retry(view, now)):
        return RefuseDecision(wakes=False)
    max_hold = event.max_hold
    # Only a Minecraft client without a max_hold, because requests keep it alive, has any to answer.
    once_answered = policy.wake_on_answer and isinstance(event, LoginRequested) and max_hold is None
    if view.stop_timed_out or not policy.holds or max_hold == 0:
        return RefuseDecision(wakes=True, once_answered=once_answered)
    limit = policy.hold_limit if max_hold is None else min(policy.hold_limit, max_hold)
    return HoldDecision(limit, once_answered)


def would_wake(view: ServerSnapshot, now: float) -> bool:
    """Whether somebody who is let in wakes the server, which would otherwise stay or go down."""
    if view.status in (Status.running, Status.starting) or view.lockout is not None:
        return False
    return view.status is not Status.failed or may_retry(view, now)


def may_retry(view: ServerSnapshot, now: float) -> bool:
    """Whether a failed server may be started again."""
    return view.retry_at is not None and now >= view.retry_at
