"""Protocols through which the control socket and the metrics use the running proxy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec
from twisted.internet.defer import Deferred

from zeroscale.reports import NotificationReport, ProxyReport, ServerReport


class ServerControl(Protocol):
    """One server, as the operator controls it.

    What is impossible now raises `ControlError`, or fails the Deferred with it; the message says why.
    """

    @property
    def name(self) -> str:
        """The server's name."""
        ...

    @property
    def former_name(self) -> str:
        """A name that it had in earlier versions, and that commands may still use; "": none."""
        ...

    def report(self) -> ServerReport:
        """Return the current state of the server."""
        ...

    def wake(self, *, force: bool = False, operator: str = "") -> Deferred[None]:
        """Start the server, regardless of its admission rules; failures of earlier starts are cleared first.

        :param force: even while something keeps it asleep: a flag file, a lockout, a time of the configuration.
        :param operator: name of the operator's account; "" if it is not known.
        :returns: fires when the server is ready; fails with `ServerUnavailable`. Cancelling it only stops waiting.
        :raises ControlError: something keeps it asleep and `force` is false; the message names it.
        """
        ...

    def sleep(self, *, now: bool, operator: str = "") -> None:
        """Stop the server without waiting for its idle time.

        :param now: stop it even while players are on it.
        :param operator: name of the operator's account; "" if it is not known.
        :raises ControlError: it does not run, or players are on it and `now` is false.
        """
        ...

    def plan_stop(self, *, after: float | None = None, at: str | None = None, operator: str = "") -> None:
        """Stop the server at a time to come, also with players on it, who are warned before.

        This takes the place of an earlier plan.

        :param after: in so many seconds; or
        :param at: at this time of day, such as `22:30`.
        :param operator: name of the operator's account; "" if it is not known.
        """
        ...

    def cancel_stop(self) -> None:
        """Cancel what `plan_stop` has planned, or else the next restart.

        :raises ControlError: there is neither.
        """
        ...

    def keep_awake(self, seconds: float | None, *, operator: str = "") -> None:
        """Keep the server from being stopped when idle. This does not start it.

        :param seconds: for how long; None: until `release()`.
        :param operator: name of the operator's account; "" if it is not known.
        """
        ...

    def release(self) -> None:
        """Clear keep-awake, the lockout, a stop of `plan_stop`, and the count of failures."""
        ...

    def lock_out(self, message: str, *, operator: str = "") -> None:
        """Refuse all new players until `release()`; players on the server stay.

        :param message: the text for refused players; "" for the default text.
        :param operator: name of the operator's account; "" if it is not known.
        """
        ...

    def console(self, line: str) -> Deferred[str | None]:
        """Send one line to the server's console.

        :returns: the answer, if its console returns one (RCON); fails with `ZeroscaleError`.
        """
        ...

    def recent_output(self) -> Sequence[str]:
        """Return the last lines of the server's output, oldest first; bounded."""
        ...

    def subscribe_output(self, receive: Callable[[str], None]) -> Callable[[], None]:
        """Call `receive` with each new line of the server's output.

        :returns: ends the subscription; may be called more than once.
        """
        ...


class ProxyControl(Protocol):
    """The whole proxy, as the operator controls it."""

    @property
    def servers(self) -> Mapping[str, ServerControl]:
        """All servers by name."""
        ...

    def report(self) -> ProxyReport:
        """Return the current state of the proxy."""
        ...

    def reload(self) -> Deferred[Sequence[str]]:
        """Read the configuration again and apply it.

        :returns: the changes, one line each; fails with `ConfigError`, with one line for each mistake: then nothing
            has changed.
        """
        ...

    def history(self, names: Sequence[str], seconds: float, limit: int) -> Deferred[msgspec.Raw]:
        """Read the newest entries of the history; this does not block.

        :param names: the servers.
        :param seconds: how far to look back.
        :param limit: the most entries.
        :returns: fires with an encoded `history.values.HistoryPage`; fails with `ControlError`.
        :raises ControlError: no history is kept.
        """
        ...

    def history_stats(self, names: Sequence[str], seconds: float) -> Deferred[msgspec.Raw]:
        """Read the sums of the history, as an encoded list of `history.values.HistoryStats`; see `history`."""
        ...

    def test_notifications(self, name: str | None) -> Deferred[Sequence[NotificationReport]]:
        """Send a test to targets of notifications, and wait for the outcomes.

        :param name: of which one; None: of all.
        :raises ControlError: there is none, or none of this name.
        """
        ...

    def watch(self, changed: Callable[[str], None]) -> Callable[[], None]:
        """Call `changed` with a server's name whenever its report has changed noticeably.

        :returns: ends the subscription; may be called more than once.
        """
        ...
