"""What to do with a client: (event, server view, policy, now) -> a decision. Pure.

Nothing is sent, started or awaited here; `connection` does what is decided.
"""

from __future__ import annotations

from dataclasses import dataclass

from zeroscale.protocols.base import Event, HoldAnswered, LoginRequested, Opened, PingRequested, StatusRequested
from zeroscale.status import ServerView, Status


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator wants for those who join.

    :ivar holds: a joining player waits for the server; else it is told to come again.
    :ivar hold_limit: seconds that a player is held at most.
    :ivar wake_on_answer: wake only once a held client has answered a request of ours, where it can.
    """

    holds: bool
    hold_limit: float
    wake_on_answer: bool = False


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
class Relay:
    """Let the player through."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Have the client wait until the server is ready.

    :ivar wakes: wake the server now.
    :ivar limit: after how many seconds it is told to come again.
    """

    wakes: bool
    limit: float


@dataclass(frozen=True, slots=True)
class Wake:
    """Wake the server; the client is held already."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Tell the client why it cannot come in, and close.

    :ivar wakes: wake the server all the same.
    """

    wakes: bool


@dataclass(frozen=True, slots=True)
class Ignore:
    """Nothing to do."""


Decision = AnswerStatus | AnswerPing | PassStatus | Relay | Hold | Wake | Refuse | Ignore


def decide(event: Event, view: ServerView, policy: Policy, now: float) -> Decision:
    """What to do about `event`, with the server as in `view` at the monotonic time `now`, in seconds."""
    match event:
        case StatusRequested():
            return PassStatus() if view.status is Status.running else AnswerStatus()
        case PingRequested():
            return AnswerPing()
        case HoldAnswered():
            return Wake() if policy.wake_on_answer else Ignore()
        case LoginRequested():
            return _let_in(view, policy, now, event.patience)
        case Opened():
            return _let_in(view, policy, now, patience=None, answers=False)


def _let_in(
    view: ServerView, policy: Policy, now: float, patience: float | None, *, answers: bool = True
) -> Relay | Hold | Refuse:
    """A client that wants in.

    :param patience: how long its protocol lets it be held in silence; None: as long as we like.
    :param answers: a client with no `patience` answers the requests that keep it alive.
    """
    if view.status is Status.running:
        return Relay()
    if view.status is Status.failed and not may_retry(view, now):
        return Refuse(wakes=False)
    if view.unstoppable:
        return Refuse(wakes=True)
    if not policy.holds or patience == 0:
        return Refuse(wakes=True)
    limit = policy.hold_limit if patience is None else min(policy.hold_limit, patience)
    answers = answers and patience is None
    return Hold(wakes=not (policy.wake_on_answer and answers), limit=limit)


def may_retry(view: ServerView, now: float) -> bool:
    """Whether a failed server may be started again."""
    return view.retry_at is not None and now >= view.retry_at
