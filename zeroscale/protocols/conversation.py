"""The events of a conversation before login, and the contract that every Conversation keeps.

A Conversation is one client's connection as its protocol sees it, from the first byte until it is relayed
or closed. It is fed bytes and returns events; it makes bytes and sends none. It knows no transport, no
clock and no server: who feeds it decides what to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

Component = str | Mapping[str, object] | Sequence[object]
"""A Minecraft text component as JSON has it: a string (section-sign codes allowed), an object, or an array."""


@dataclass(frozen=True, slots=True)
class Connected:
    """Generic protocols: a connection is there, and has yet to show that a client is at its other end."""


@dataclass(frozen=True, slots=True)
class ClientRecognised:
    """Generic protocols: what this connection has shown so far counts as "a client is here".

    :ivar max_hold: as `LoginRequested.max_hold`: 0: it is to be told at once, and not held.
    """

    max_hold: float | None = None


@dataclass(frozen=True, slots=True)
class StatusRequested:
    """The server list asks.

    :ivar protocol: the client's protocol number; -1 where its dialect sends none.
    :ivar host: the host as the client typed it, undecorated (see `LoginRequested.host`).
    :ivar port: the port it believes it talks to; 0 where its dialect sends none.
    """

    protocol: int
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class PingRequested:
    """The client measures latency: answer with `Conversation.pong()`, then close."""


@dataclass(frozen=True, slots=True)
class LoginRequested:
    """A player joins.

    :ivar protocol: the client's protocol number (its own number space for legacy dialects).
    :ivar host: the host for routing: cut at the first NUL, at the first `///`, trailing dots off, lower case.
    :ivar port: the port it believes it talks to; 0 where its dialect sends none.
    :ivar name: the name it claims, unchecked beyond its characters.
    :ivar uuid: the UUID it claims, 32 lower-case hexadecimal digits; None where it sends none.
    :ivar transfer: the handshake's intent was 3 (transfer), not 2.
    :ivar max_hold: how many seconds a silent hold may last before the client itself gives up, with a margin;
        0: it cannot be held at all; None: any length, because `keepalive()` keeps it alive.
    """

    protocol: int
    host: str
    port: int
    name: str
    uuid: str | None
    transfer: bool
    max_hold: float | None


@dataclass(frozen=True, slots=True)
class HoldAnswered:
    """A held client answered one of our requests: it is a real client, and it is still there."""


Event = Connected | ClientRecognised | StatusRequested | PingRequested | LoginRequested | HoldAnswered


@dataclass(frozen=True, slots=True)
class StatusReply:
    """What the server list is to show, in no dialect yet.

    :ivar description: the MOTD.
    :ivar online: players online.
    :ivar maximum: the most players there may be.
    :ivar sample: hover lines, one plain string (section-sign codes allowed) each.
    :ivar version_name: the version's text.
    :ivar protocol: the protocol number to show; None: the asking client's own, so that it looks compatible.
    :ivar favicon: a `data:image/png;base64,` URL, or None.
    :ivar extra: further keys of the JSON reply, replayed as they are (forgeData, modinfo, ...).
    """

    description: Component
    online: int
    maximum: int
    version_name: str
    sample: Sequence[str] = ()
    protocol: int | None = None
    favicon: str | None = None
    extra: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MinecraftOptions:
    """How one server's operator wants its clients' conversations to be.

    :ivar legacy_hold: keep held clients of 1.7-1.12 alive with empty frames.
    :ivar transfer_as_login: show the real server a transfer as an ordinary login.
    """

    legacy_hold: bool = False
    transfer_as_login: bool = False


class Conversation(Protocol):
    """One client before it is relayed. Methods that take bytes raise `ProtocolError`, and nothing else."""

    def opened(self) -> Sequence[Event]:
        """The connection was accepted; some protocols already know enough."""
        ...

    def receive(self, data: bytes) -> Sequence[Event]:
        """Takes the next bytes of the client, however they were cut; returns what they mean, often nothing yet.

        After `LoginRequested` (or `ClientRecognised`) and until `hold()`, bytes are only kept.
        """
        ...

    @property
    def idle_timeout(self) -> float | None:
        """When not None: call `silence()` if the client sends nothing for so many seconds from now."""
        ...

    def on_idle(self) -> Sequence[Event]:
        """The client has sent nothing for `idle_timeout` seconds; returns what that means."""
        ...

    @property
    def replay_bytes(self) -> bytes:
        """What the real server has to be sent first: all that the client sent, less the answers to `keepalive()`."""
        ...

    @property
    def full(self) -> bool:
        """As much is kept as may be: stop reading until the hand-over."""
        ...

    def status(self, reply: StatusReply) -> bytes:
        """The reply to `StatusRequested`, in the client's dialect."""
        ...

    @property
    def closes_after_status(self) -> bool:
        """Whether the status reply is the last thing in this dialect (legacy), so that we close after it."""
        ...

    def pong(self) -> bytes:
        """The reply to the latest `PingRequested`: the client's own token."""
        ...

    def kick(self, reason: Component) -> bytes:
        """A login refused, in the client's dialect; `b""` where the dialect has no words. Close after it."""
        ...

    def hold(self) -> Sequence[Event]:
        """From now on the client is held: what it sends is judged (and what was kept beyond its login, at once)."""
        ...

    def keepalive(self) -> bytes:
        """A request that keeps a held client alive; `b""` where this client is held in silence."""
        ...

    @property
    def unanswered(self) -> int:
        """How many of the `keepalive()` requests the client still has to answer; hand over only at 0."""
        ...
