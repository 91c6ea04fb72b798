"""The texts that clients of a sleeping HTTP server get, as a page or as plain text, and when to try again. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from zeroscale.status import ServerSnapshot, Status

TEXTS: Mapping[str, str] = {
    "sleeping_kick": "Waking up[, {estimate}]",
    "no_wake_kick": "Asleep\nThe server does not run now, and a visit here does not wake it.",
    "starting_kick": "Waking up[, {remaining}]",
    "stopping_kick": "Starting again\nThe server was just going to sleep.",
    "stuck_kick": "Shutting down for a long time\nThe server's operator has to fix it.",
    "failed_kick": "Something went wrong\n[Reason: {reason}. ]Another try is possible[ in {remaining}].",
    "given_up_kick": "Out of order\n[Reason: {reason}. ]The server's operator has to fix it.",
    "paused_kick": "Waking up",
    "locked_out_kick": "Down for now\n{reason}",
    "unreachable_kick": "Not answering right now",
    "denied_kick": "Not for you\nYou may not wake this server.",
    "nobody_kick": "Asleep\nOnly its operator can wake it.",
    "rate_kick": "Too many requests\nPlease try again in a minute.",
    "hold_full_kick": "Too many are waiting\nPlease try again in a minute.",
    "proxy_full_kick": "Too many connections\nPlease try again in a minute.",
    "unavailable_kick": "Not available\n{reason}.",
    "unknown_host_kick": "Not here\nNo site of this name is served here. Please check the address.",
    "hold_kick": "Waking up[, {remaining}]\nThe server takes longer than expected.",
}
"""The defaults of the messages for such clients. (Checks of known players, bans, whitelist and operators apply to
players only.) That the page reloads itself is said by `page_note`, which only the page has."""

SOON = 5.0
"""Seconds until another try, if the server's state gives no time."""

LATER = 60.0
"""Seconds until another try, if the operator has to act first."""


def will_be_there(view: ServerSnapshot, *, wakes: bool) -> bool:
    """Return whether the server will answer soon, without more than another try.

    :param wakes: clients wake it.
    """
    return wakes or view.status in (Status.starting, Status.running)


def try_again_in(view: ServerSnapshot, now: float, *, wakes: bool = True) -> float:
    """Return the seconds after which a client is to try again.

    :param now: the time of the clock that the snapshot's times are of.
    :param wakes: clients wake the server.
    """
    if view.lockout is not None or view.stop_timed_out or not will_be_there(view, wakes=wakes):
        return LATER
    match view.status:
        case Status.failed:
            return LATER if view.retry_at is None else max(1.0, view.retry_at - now)
        case Status.stopped:
            return view.estimate or SOON
        case Status.starting if view.estimate is not None:
            return max(1.0, view.since + view.estimate - now)
    return SOON
