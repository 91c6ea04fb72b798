"""One server as its clients reach it, and what the front asks of the rest of the context. Contracts only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from zeroscale.frontend.decision import JoinPolicy, Refusal
from zeroscale.protocols.conversation import ClientRecognised, Component, LoginRequested, MinecraftOptions, StatusReply
from zeroscale.protocols.proxy_protocol import Version
from zeroscale.relay import Report
from zeroscale.status import ClientInfo, ServerSnapshot


class PlayerSession(Protocol):
    """One player's stay, which keeps the server up."""

    def end(self, *, silent: bool = False) -> None:
        """The player is gone.

        :param silent: it never said a word, though its protocol has it speak first.
        """
        ...


class Server(Protocol):
    """What the front asks of a server's life."""

    @property
    def view(self) -> ServerSnapshot:
        """The server as it is now."""
        ...

    def wake(self, who: str, reason: str = "login") -> None:
        """Somebody wants in. Does nothing where it runs already, or may not be started.

        :param who: for the log.
        :param reason: what it is counted as, in one word.
        """
        ...

    def admit(self, visitor: ClientInfo) -> Deferred[Any]:
        """Waits until it is ready, and counts one more player from then on.

        :param visitor: who it is.
        :returns: fires with a `PlayerSession`, in the order of the calls, whose end is the caller's to tell; fails with
            `ServerUnavailable`. May be cancelled.
        """
        ...

    def unreachable(self, reason: str) -> None:
        """It runs, as far as is known, and did not take a connection."""
        ...

    def fake_status(self) -> bytes | None:
        """What its plugin would have a client sent that comes while it does not run; None: nothing."""
        ...


class Messages(Protocol):
    """What players read. `now` is a reading of the clock that the view's times are of."""

    def status(self, view: ServerSnapshot, now: float) -> StatusReply:
        """What the server list shows."""
        ...

    def kick(self, view: ServerSnapshot, now: float, player: str) -> Component:
        """What a player reads who cannot join now."""
        ...

    def refusal(self, word: str, view: ServerSnapshot, now: float, player: str) -> Component:
        """What a player reads who may not come in, for a reason that the game has no words for: `word`."""
        ...

    def held_too_long(self, view: ServerSnapshot, now: float, player: str) -> Component:
        """What a player reads who has waited for as long as it can or may."""
        ...


class Admission(Protocol):
    """Who may join a server.

    `address` is a client's, as `connection_limits.normalised` returns it; `now` is of the monotonic clock.
    """

    def allows_status(self, address: str, now: float) -> bool:
        """Whether one more status question of this address is answered."""
        ...

    def check_login(
        self, event: LoginRequested | ClientRecognised, address: str, view: ServerSnapshot, now: float
    ) -> Refusal | None:
        """Why somebody who comes now may not come in, nor wake the server; None: he may."""
        ...

    def check_wake(
        self, event: LoginRequested | ClientRecognised, address: str, view: ServerSnapshot, now: float
    ) -> Refusal | None:
        """The same for who has been let in already, and whose server has gone meanwhile."""
        ...


class ClientStats(Protocol):
    """What is counted of a server's clients."""

    def ended(self, outcome: str) -> None:
        """A connection is over; the log's one word for how."""
        ...

    def refused(self, word: str) -> None:
        """A login was refused; one word for why."""
        ...

    def pinged(self) -> None:
        """Its status was asked for, whoever answered."""
        ...

    def login(self) -> None:
        """Somebody wanted in."""
        ...

    def relaying(self, moved: Callable[[], tuple[int, int]]) -> Callable[[], None]:
        """Somebody is relayed; `moved` tells how many bytes, to the server and to him. What is returned ends that."""
        ...

    def relayed(self, to_backend: int, to_client: int) -> None:
        """So many bytes more were relayed."""
        ...


class Relays(Protocol):
    """Who moves the bytes once joined."""

    def hand_over(
        self,
        client: Any,
        backend: Any,
        early: bytes,
        *,
        client_finished: bool = False,
        taken: Callable[[Callable[[], tuple[int, int]]], object] = ...,
    ) -> Deferred[Report]:
        """See `relay.Relays.hand_over`: whose the two transports are, and what cancelling means."""
        ...


@dataclass(slots=True)
class Backend:
    """One server as clients reach it. Where it listens may be known only once it runs, and change with each start.

    :ivar server: its life.
    :ivar messages: what its players read.
    :ivar policy: how its players are treated.
    :ivar admission: who may come.
    :ivar host: where it listens.
    :ivar port: the port there.
    :ivar stats: what is counted of its clients.
    :ivar minecraft_options: how its conversations are to be.
    :ivar proxy_version: of which version is the PROXY header that it is sent; None: it is sent none.
    """

    server: Server
    messages: Messages
    policy: JoinPolicy
    admission: Admission
    host: str
    port: int
    stats: ClientStats
    minecraft_options: MinecraftOptions = field(default_factory=MinecraftOptions)
    proxy_version: Version | None = None
