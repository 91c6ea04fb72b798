"""Protocols for the parts of the proxy that the frontend uses, and `Backend`: one server as the frontend sees it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from msgspec import Struct, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IPushProducer, ITCPTransport

from zeroscale.events import Cause
from zeroscale.frontend.decision import JoinPolicy, Refusal
from zeroscale.protocols.conversation import ClientRecognised, Component, LoginRequested, MinecraftOptions, StatusReply
from zeroscale.protocols.proxy_protocol import Version
from zeroscale.relay import Report
from zeroscale.relay.base import ReportDeferred
from zeroscale.sockets.transport import SocketTransport
from zeroscale.status import ClientInfo, PlayerSign, ServerSnapshot, Status


class IStreamTransport(ITCPTransport, IPushProducer):
    """The transport of a TCP, TLS or Unix connection. A type only: Twisted's classes do not declare it."""


class PlayerSession(Protocol):
    """One client's time on the server; while it counts as a player's, the server is not stopped for being idle.

    :ivar moved: set by the frontend: returns the bytes that the client has sent so far, and those that it was sent.
    :ivar announced: there was an event `Joined` for it; final once it has ended.
    """

    moved: Callable[[], tuple[int, int]]
    announced: bool

    def end(self, at: float | None = None) -> None:
        """End the session.

        :param at: since when the player has been away, by the monotonic clock; None: since now.
        """
        ...


class UncountedSession:
    """The session of a client that does not keep the server running; see `PlayerSession`."""

    def __init__(self) -> None:
        self.moved: Callable[[], tuple[int, int]] = lambda: (0, 0)
        self.announced = True

    def end(self, at: float | None = None) -> None:
        """Do nothing."""


class Server(Protocol):
    """The lifecycle of one server, as far as the frontend uses it."""

    @property
    def view(self) -> ServerSnapshot:
        """The server's state now."""
        ...

    def wake(self, cause: Cause, /) -> None:
        """Start the server for a client; does nothing if it runs already, or may not be started.

        :param cause: the client, and whether it logs in or only connects.
        """
        ...

    def refused(self, client: ClientInfo, reason: str, detail: str, /) -> None:
        """Note that a rule has refused a login.

        :param reason: the rule, in one word.
        :param detail: the same in words; "" if there are none.
        """
        ...

    def admit(self, client: ClientInfo, /) -> Deferred[Any]:
        """Wait until the server is ready, and count one more player from then on.

        :returns: fires in the order of the calls, with a `PlayerSession` that the caller has to end. Fails with
            `ServerUnavailable`. May be cancelled.
        """
        ...

    def unreachable(self, reason: str, /) -> None:
        """Report that the server, which should be running, did not take a connection."""
        ...

    def fake_status(self) -> bytes | None:
        """Return the plugin's own reply to clients while the server does not run; None: it has none."""
        ...


class Messages(Protocol):
    """The texts for players. `now` is the time of the monotonic clock that the snapshot's times are of."""

    def status(self, view: ServerSnapshot, now: float) -> StatusReply:
        """Return the status for the server list."""
        ...

    def kick(self, view: ServerSnapshot, now: float, player: str) -> Component:
        """Return the kick message for a player that cannot join in the server's present state."""
        ...

    def refusal(
        self, name: str, view: ServerSnapshot, now: float, player: str, values: Mapping[str, str] = ...
    ) -> Component:
        """Return the kick message for a refused player.

        :param name: the message's name, without `_kick`.
        :param values: further variables of that message.
        """
        ...

    def join_again(self, view: ServerSnapshot, now: float) -> Component:
        """Return the kick message for a player that cannot be handed to the server, and has to join again."""
        ...

    def entry(self, view: ServerSnapshot, now: float) -> Component:
        """Return the text of the server's state in the server list, without anything of the real server's."""
        ...

    def held_too_long(self, view: ServerSnapshot, now: float, player: str) -> Component:
        """Return the kick message for a player that was held as long as possible or allowed."""
        ...

    def keep_asleep_reason(self, until: str) -> str:
        """Return the reason of a lockout by a schedule, until a time in words; "": it does not end."""
        ...

    @property
    def lockout_reason(self) -> str:
        """The reason of a lockout without a text."""
        ...

    def stop_warning(self, seconds: float, *, restart: bool) -> str:
        """Return what players are told of a stop in so many seconds, or of a restart then."""
        ...

    @property
    def page_note(self) -> str:
        """The last paragraph of the page that browsers get."""
        ...

    def unknown_host_status(self, host: str) -> StatusReply:
        """Return the status for a host that matches no server."""
        ...

    def unknown_host_kick(self, host: str, player: str) -> Component:
        """Return the kick message for a player whose host matches no server."""
        ...


class AdmissionPolicy(Protocol):
    """Checks which clients may join a server.

    `address` is a client's, as `connection_limits.normalised` returns it; `now` is of the monotonic clock.
    """

    def allows_status(self, address: str, now: float) -> bool:
        """Count a status request of this address; return whether to answer it."""
        ...

    def check_login(
        self, event: LoginRequested | ClientRecognised, address: str, view: ServerSnapshot, now: float
    ) -> Refusal | None:
        """Return why a new client may not join or wake the server; None: it may."""
        ...

    def check_wake(
        self, event: LoginRequested | ClientRecognised, address: str, view: ServerSnapshot, now: float
    ) -> Refusal | None:
        """Return the same for an admitted client that has to wake the server again."""
        ...

    def check_address(self, address: str, name: str, view: ServerSnapshot, now: float) -> Refusal | None:
        """Return why a client without a login, which may have claimed a name, may not wake the server."""
        ...

    def knows_name(self, name: str) -> bool:
        """Return whether the server's own lists contain a player of this name."""
        ...


class ClientStats(Protocol):
    """Counts what a server's clients do."""

    def ended(self, outcome: str, /) -> None:
        """Count a connection that has ended, by its outcome."""
        ...

    def refused(self, reason: str, /) -> None:
        """Count a refused login, by its reason's one word."""
        ...

    def pinged(self) -> None:
        """Count a status request, whether we or the server answer it."""
        ...

    def login(self) -> None:
        """Count a joining client."""
        ...

    def relaying(self, moved: Callable[[], tuple[int, int]], /) -> Callable[[], None]:
        """Count one more relayed client.

        :param moved: returns the bytes relayed so far, to the server and to the client.
        :returns: a function to call when the client is not relayed any more.
        """
        ...

    def relayed(self, to_backend: int, to_client: int, /) -> None:
        """Add the bytes of a client that is no longer relayed."""
        ...


class RelayService(Protocol):
    """Relays bytes between a client and its server."""

    def hand_over(
        self,
        client: IStreamTransport,
        backend: IStreamTransport,
        early: bytes,
        *,
        client_finished: bool = False,
        on_started: Callable[[Callable[[], tuple[int, int]]], object] = ...,
    ) -> Deferred[Report]:
        """See `relay.Relays.hand_over`, also for what the caller may do with the transports until it has ended."""
        ...

    def relay_socket(
        self, client: SocketTransport, backend: socket.socket, early: bytes, *, client_finished: bool = False
    ) -> ReportDeferred:
        """See `relay.Relays.relay_socket`."""
        ...


class Backend(Struct):
    """One server as the frontend sees it. The address may be known only while the server runs, and change.

    :ivar server: its lifecycle.
    :ivar messages: the texts for its players.
    :ivar policy: how joining clients are treated.
    :ivar admission: checks which clients may join.
    :ivar host: the address where it listens, or the absolute path of its Unix socket.
    :ivar port: the port there.
    :ivar stats: counts what its clients do.
    :ivar minecraft_options: how conversations with its Minecraft clients are held.
    :ivar proxy_version: the version of the PROXY protocol header that it is sent; None: it is sent none.
    :ivar note_protocol: called with the protocol number of each Minecraft client that may join.
    :ivar listen: where clients of a further port connect, for the log; "": it is the main port.
    :ivar counts: whether clients keep the server running.
    :ivar clients: how many clients are relayed now.
    :ivar sign: from when on a client counts as a player; None: as of clients of the server's main port.
    """

    server: Server
    messages: Messages
    policy: JoinPolicy
    admission: AdmissionPolicy
    host: str
    port: int
    stats: ClientStats
    minecraft_options: MinecraftOptions = field(default_factory=MinecraftOptions)
    proxy_version: Version | None = None
    note_protocol: Callable[[int], object] = lambda protocol: None
    listen: str = ""
    counts: bool = True
    sign: PlayerSign | None = None
    clients: int = 0

    @property
    def is_main(self) -> bool:
        """Whether it is the server's main port, whose state shows whether the server runs."""
        return not self.listen

    def relaying(self, moved: Callable[[], tuple[int, int]]) -> Callable[[], None]:
        """Count one more relayed client until the returned function is called; see `ClientStats.relaying`."""
        self.clients += 1
        end = self.stats.relaying(moved)

        def ended() -> None:
            self.clients -= 1
            end()

        return ended

    def unreachable(self, reason: str) -> None:
        """Report that the server, which should be running, did not take a connection; see `Server.unreachable`.

        A further port may be opened after the main port, or not at all.
        """
        if self.is_main:
            self.server.unreachable(reason)

    def fake_status(self) -> bytes | None:
        """Return the plugin's own reply to clients while the server does not run; it is for the main port's clients."""
        return self.server.fake_status() if self.is_main else None

    def admit(self, client: ClientInfo) -> Deferred[Any]:
        """Wait until the server is ready; see `Server.admit`. A session that does not count is ended at once."""
        if self.counts:
            return self.server.admit(client)
        if self.server.view.status is Status.running:
            return succeed(UncountedSession())
        return self.server.admit(client).addCallback(_uncounted)


def _uncounted(session: PlayerSession) -> UncountedSession:
    session.end()
    return UncountedSession()
