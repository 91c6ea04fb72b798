"""The events of a client's connection before the relay, and the interface of every conversation.

A conversation parses one client's bytes from the first one until the connection is relayed or closed. It returns events
and reply bytes; it has no transport, no clock and no server. Its caller decides what to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct, field

Component = str | Mapping[str, object] | Sequence[object]
"""A Minecraft text component as decoded JSON: a string (section-sign codes allowed), an object, or an array."""

KICKED = "kicked"
"""The access log's word for the end of a refused client."""


class Connected(Struct, frozen=True):
    """TCP and HTTP: a connection is open; nothing shows yet that it is a client's.

    :ivar may_be_check: it may be a health check of ours, so that it is not relayed to a running server either. The
        same event without it, or another one, follows as soon as this is decided.
    """

    may_be_check: bool = False


class HealthCheckRequested(Struct, frozen=True):
    """HTTP: the first request is a health check: send the reply, then close. It never wakes the server.

    :ivar reply: the whole reply.
    """

    reply: bytes


class HostNamed(Struct, frozen=True):
    """TCP and HTTP, where several servers share a port: the client has named the host that it wants.

    The events after it are of the conversation with the host's server.

    :ivar host: lower case, without a trailing dot; "" where the client names none.
    """

    host: str


class BadRequest(Struct, frozen=True):
    """HTTP, where several servers share a port: the host of the first request is missing or malformed.

    Send the reply, then close. It belongs to no server.

    :ivar reply: the whole reply.
    :ivar problem: what the client did, for the log.
    """

    reply: bytes
    problem: str


class ClientRecognised(Struct, frozen=True):
    """TCP and HTTP: the connection is a client's, by what it has sent so far.

    :ivar max_hold: as `LoginRequested.max_hold`; 0: refuse it at once, with a page.
    :ivar kick_outcome: the word for the access log if it is refused.
    """

    max_hold: float | None = None
    kick_outcome: str = KICKED


class StatusRequested(Struct, frozen=True):
    """The server list asks for the status.

    :ivar protocol: the client's protocol number; -1 where its dialect sends none.
    :ivar host: the host as the client typed it, undecorated (see `LoginRequested.host`).
    :ivar port: the port the client believes it is connected to; 0 where its dialect sends none.
    """

    protocol: int
    host: str
    port: int


class PingRequested(Struct, frozen=True):
    """The client measures latency: answer with `Conversation.pong()`, then close."""


class LoginRequested(Struct, frozen=True):
    """A player joins.

    :ivar protocol: the client's protocol number; before 1.7 in a number space of its own.
    :ivar host: the host for routing: cut at the first NUL, at the first `///`, trailing dots off, lower case.
    :ivar port: the port the client believes it is connected to; 0 where its dialect sends none.
    :ivar name: the name the client claims, of any characters; if it is too long, the beginning that shows it
        (`access_lists.is_player_name`).
    :ivar uuid: the UUID the client claims, 32 lower-case hexadecimal digits; None where it sends none.
    :ivar transfer: the handshake's intent was 3 (transfer), not 2.
    :ivar max_hold: seconds that the client waits without a byte, less a margin; 0: it cannot be held; None: no limit,
        because `keepalive()` resets the client's timer.
    """

    protocol: int
    host: str
    port: int
    name: str
    uuid: str | None
    transfer: bool
    max_hold: float | None


class HoldAnswered(Struct, frozen=True):
    """A held client answered a keep-alive request: it is a real client, and still connected."""


class Violation(Struct, frozen=True):
    """Minecraft: the client broke the protocol after an event: answer that, then close. The last event.

    Later bytes are not parsed. They are stored for a running server, which judges them itself.

    :ivar problem: what the client did, for the log.
    """

    problem: str


Event = (
    Connected
    | HostNamed
    | BadRequest
    | ClientRecognised
    | HealthCheckRequested
    | StatusRequested
    | PingRequested
    | LoginRequested
    | HoldAnswered
    | Violation
)


class StatusReply(Struct, frozen=True, eq=False):
    """What the server list shows, independent of the client's dialect. It must not change in place.

    It is compared by identity, since its encoded bytes are looked up for every request.

    :ivar description: the MOTD.
    :ivar online: players online.
    :ivar maximum: the player limit.
    :ivar version_name: the version's text.
    :ivar sample: lines of the tooltip, one plain string (section-sign codes allowed) each.
    :ivar protocol: the protocol number to show; None: the asking client's own, so that it looks compatible.
    :ivar favicon: a `data:image/png;base64,` URL, or None.
    :ivar extra: further keys of the JSON reply, sent as they are (forgeData, modinfo, ...).
    """

    description: Component
    online: int
    maximum: int
    version_name: str
    sample: Sequence[str] = ()
    protocol: int | None = None
    favicon: str | None = None
    extra: Mapping[str, object] = field(default_factory=dict)


class MinecraftOptions(Struct, frozen=True):
    """Options of one server that its clients' conversations follow.

    :ivar legacy_hold: keep held clients of 1.7-1.12 alive with empty frames.
    :ivar transfer_as_login: replay a transfer to the real server as an ordinary login.
    """

    legacy_hold: bool = False
    transfer_as_login: bool = False


class Conversation(Protocol):
    """One client before it is relayed.

    Methods that take bytes raise `ProtocolError` and no other exception: the client is none of ours, and nothing that
    it has sent is to be answered.
    """

    def opened(self) -> Sequence[Event]:
        """Return the events of the accepted connection, before its first byte."""
        ...

    def receive(self, data: bytes) -> Sequence[Event]:
        """Take the client's next bytes, however they are cut; return their events, often none yet.

        After `LoginRequested` or `ClientRecognised`, and until `hold()`, bytes are only stored for the replay.
        """
        ...

    @property
    def idle_timeout(self) -> float | None:
        """Seconds from now after which `on_idle()` is to be called if no byte comes; None: never."""
        ...

    def on_idle(self) -> Sequence[Event]:
        """Return the events of a client that has sent nothing for `idle_timeout` seconds."""
        ...

    @property
    def replay_bytes(self) -> bytes:
        """The bytes to send to the real server first: all of the client's, without the answers to `keepalive()`."""
        ...

    @property
    def full(self) -> bool:
        """Whether the stored bytes have reached their limit: stop reading until the relay."""
        ...

    def status(self, reply: StatusReply) -> bytes:
        """Return the reply to `StatusRequested`, in the client's dialect."""
        ...

    @property
    def closes_after_status(self) -> bool:
        """Whether the connection is to be closed after the status reply (before 1.7)."""
        ...

    def pong(self) -> bytes:
        """Return the reply to the latest `PingRequested`, with the client's token."""
        ...

    def kick(self, reason: Component) -> bytes:
        """Return the refusal of a login, in the client's dialect; `b""` if it has none. Close after it."""
        ...

    def hold(self) -> Sequence[Event]:
        """Hold the client: from now on only answers to `keepalive()` are accepted.

        :raises ProtocolError: more than the login is stored.
        """
        ...

    def keepalive(self) -> bytes:
        """Return a request that resets a held client's timer; `b""` where the client is held without bytes."""
        ...

    @property
    def unanswered(self) -> int:
        """How many `keepalive()` requests the client has not answered; relay only at 0."""
        ...
