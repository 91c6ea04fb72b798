"""Decide what to do with a client, by its event, the server's snapshot, the policy and the time. Pure.

Nothing is sent, started or awaited here; `connection` and `join` carry the decisions out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

from zeroscale.protocols.conversation import (
    ClientRecognised,
    Connected,
    HostNamed,
    LoginRequested,
    PingRequested,
    StatusRequested,
)
from zeroscale.status import ServerSnapshot, Status

Waiting = Literal["auto", "hold", "answer", "page", "page-only"]


class JoinPolicy(Struct, frozen=True):
    """How one server's joining clients are treated, as configured.

    :ivar holds: a joining player is held until the server is ready; otherwise it is kicked and joins again later.
    :ivar hold_limit: the longest hold, in seconds.
    :ivar wake_on_answer: wake only after a held client has answered a request of ours, where it can be sent one.
    :ivar waiting: what clients of protocols other than Minecraft get while the server does not run. `answer`: the
        plugin's own reply, then the connection is closed. `hold`: they are held. `auto`: the reply if the plugin has
        one, else they are held. `page` and `page-only`: a page or a hold, as the HTTP conversation decides.
    :ivar wakes: clients of the port may wake the server; otherwise they are refused unless it runs.
    :ivar explains: a client that may not wake it is refused only once its request is known, with a reply to that.
    :ivar for_players: a lockout is for clients of the port.
    """

    holds: bool
    hold_limit: float
    wake_on_answer: bool = False
    waiting: Waiting = "auto"
    wakes: bool = True
    explains: bool = False
    for_players: bool = True


LOCKOUT = "lockout"
"""The refusal's reason during a lockout."""


class Refusal(Struct, frozen=True):
    """Why a client may not join.

    :ivar reason: one word, by which the refusal is counted.
    :ivar detail: more for the log.
    :ivar message: the name of the message that the player reads, without `_kick`; "": it is `reason`.
    :ivar values: further variables of that message.
    """

    reason: str
    detail: str
    message: str = ""
    values: Mapping[str, str] = field(default_factory=dict)


class AnswerStatus(Struct, frozen=True):
    """Answer the status request ourselves."""


class AnswerPing(Struct, frozen=True):
    """Answer the ping ourselves."""


class PassStatus(Struct, frozen=True):
    """Relay the connection, so that the real server answers its status; it does not count as a player."""


class Wait(Struct, frozen=True):
    """Read on: nothing shows yet that the connection is a client's."""


class RelayDecision(Struct, frozen=True):
    """Connect the client to the running server."""


class HoldDecision(Struct, frozen=True):
    """Wake the server, and hold the client until it is ready.

    :ivar limit: seconds after which the client is kicked.
    :ivar once_answered: wake only after the client has answered a request of ours.
    """

    limit: float
    once_answered: bool = False


class RefuseDecision(Struct, frozen=True):
    """Kick the client with the reason why it cannot join now.

    :ivar wakes: wake the server all the same.
    :ivar once_answered: wake and kick only after the client has answered a request of ours.
    :ivar reason: the refusal's one word if a rule refuses the client; "" if it only has to wait.
    :ivar refusal: the admission's refusal; None: the message depends on the server's state.
    """

    wakes: bool
    once_answered: bool = False
    reason: str = ""
    refusal: Refusal | None = None


WakeEvent = LoginRequested | ClientRecognised | Connected
"""Events of clients that are to be connected to the server."""

ClientEvent = StatusRequested | PingRequested | WakeEvent
RoutedEvent = ClientEvent | HostNamed
"""Events that show which server a client wants."""

AdmitDecision = RelayDecision | HoldDecision | RefuseDecision
Decision = AnswerStatus | AnswerPing | PassStatus | Wait | AdmitDecision


def decide(
    event: ClientEvent, view: ServerSnapshot, policy: JoinPolicy, now: float, refusal: Refusal | None = None
) -> Decision:
    """Return what to do about an event.

    :param now: seconds of the monotonic clock that the snapshot's times are of.
    :param refusal: the result of the server's admission check.
    """
    match event:
        case StatusRequested():
            return PassStatus() if view.status is Status.running else AnswerStatus()
        case PingRequested():
            return AnswerPing()
        case Connected(may_be_check):
            # A running server may send first; a client that may not wake it need not send anything to be refused.
            is_clear = view.status is Status.running or not (policy.wakes or policy.explains)
            return decide_admission(event, view, policy, now) if is_clear and not may_be_check else Wait()
        case LoginRequested() | ClientRecognised():
            return decide_admission(event, view, policy, now, refusal)


def decide_admission(
    event: WakeEvent, view: ServerSnapshot, policy: JoinPolicy, now: float, refusal: Refusal | None = None
) -> AdmitDecision:
    """Return what to do with a joining client; the parameters are those of `decide`."""
    if refusal is not None:
        return RefuseDecision(wakes=False, reason=refusal.reason, refusal=refusal)
    if view.lockout is not None and policy.for_players:  # in every state: connected players stay
        return RefuseDecision(wakes=False, reason=LOCKOUT)
    if view.status is Status.running:
        return RelayDecision()
    if not policy.wakes or isinstance(event, Connected) or (view.status is Status.failed and not may_retry(view, now)):
        return RefuseDecision(wakes=False)
    max_hold = event.max_hold
    # A Minecraft client with max_hold None is kept alive by our requests, so it has some to answer.
    once_answered = policy.wake_on_answer and isinstance(event, LoginRequested) and max_hold is None
    if view.stop_timed_out or not policy.holds or max_hold == 0:
        return RefuseDecision(wakes=True, once_answered=once_answered)
    limit = policy.hold_limit if max_hold is None else min(policy.hold_limit, max_hold)
    return HoldDecision(limit, once_answered)


def would_wake(view: ServerSnapshot, now: float) -> bool:
    """Return whether admitting a client now starts the server, or prevents its stop."""
    if view.status in (Status.running, Status.starting) or view.lockout is not None:
        return False
    return view.status is not Status.failed or may_retry(view, now)


def may_retry(view: ServerSnapshot, now: float) -> bool:
    """Return whether a failed server may be started again."""
    return view.retry_at is not None and now >= view.retry_at
