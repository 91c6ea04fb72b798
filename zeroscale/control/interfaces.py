"""What control asks of the running proxy. Contracts only; `service` keeps them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from zeroscale.reports import ProxyReport, ServerReport


class Server(Protocol):
    """One server, as its operator commands it.

    What cannot be done now raises `ControlError`, or is its Deferred's failure; the message says why.
    """

    @property
    def name(self) -> str:
        """Its name."""
        ...

    def report(self) -> ServerReport:
        """The server as it is now."""
        ...

    def wake(self) -> Deferred[None]:
        """Starts it, whoever may wake it; a failed one is forgiven first.

        :returns: fires when it is ready; fails with `ServerUnavailable`. Cancelling it leaves off waiting.
        """
        ...

    def sleep(self, *, now: bool) -> None:
        """Lets it stop, without its idle time.

        :param now: though players are on it.
        :raises ControlError: players are on it, or it does not run.
        """
        ...

    def keep_awake(self, seconds: float | None) -> None:
        """Keeps it up though it is idle. It is not woken by that.

        :param seconds: for how long; None: until `release()`.
        """
        ...

    def release(self) -> None:
        """Takes back what the operator said: keep-awake, lockout, and that a server has failed too often."""
        ...

    def lock_out(self, message: str) -> None:
        """Lets nobody in, nor wake it, until `release()`; whoever is on it stays.

        :param message: what players read; "" for words of ours.
        """
        ...

    def console(self, line: str) -> Deferred[str | None]:
        """One line for its console.

        :returns: its answer, where its console gives one (RCON); fails with `ZeroscaleError`.
        """
        ...

    def lines(self) -> Sequence[str]:
        """The last lines of its output, oldest first; bounded."""
        ...

    def follow(self, take_line: Callable[[str], None]) -> Callable[[], None]:
        """Has each new line of its output given to `take_line`.

        :returns: ends that; more than once does nothing.
        """
        ...


class Proxy(Protocol):
    """The whole of it, as its operator commands it."""

    @property
    def servers(self) -> Mapping[str, Server]:
        """The servers there are, by name."""
        ...

    def report(self) -> ProxyReport:
        """All of it as it is now."""
        ...

    def reload(self) -> Deferred[Sequence[str]]:
        """Reads the configuration again, and does what it says now.

        :returns: what has changed, a line each; fails with `ConfigError`, whose lines are all the mistakes: then
            nothing has changed.
        """
        ...

    def watch(self, changed: Callable[[str], None]) -> Callable[[], None]:
        """Has `changed` called with a server's name whenever its report has changed noticeably.

        :returns: ends that; more than once does nothing.
        """
        ...
