"""The conversation of any Minecraft client: its first bytes select `modern` (1.7 and later) or `legacy`.

Source: docs/protocol.md, "Before 1.7".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zeroscale.protocols.conversation import Component, Conversation, Event, MinecraftOptions, StatusReply
from zeroscale.protocols.minecraft import legacy
from zeroscale.protocols.minecraft.modern import ModernConversation
from zeroscale.protocols.proxy_protocol import reject_header

_LEGACY_LOGIN = bytes([legacy.LOGIN])
_LEGACY_PING = legacy.PING_HOST[:3]


class MinecraftConversation:
    """A Minecraft client of any version since Beta 1.8. Implements `Conversation`.

    :param forwarding: accept handshakes as long as BungeeCord's IP forwarding makes them.
    :param minecraft_options: how the server that a host means is to be treated; asked once, and for a login only.
    :param hold_channel: the channel of the Login Plugin Requests.
    """

    def __init__(
        self,
        *,
        forwarding: bool = False,
        minecraft_options: Callable[[str], MinecraftOptions] = lambda _: MinecraftOptions(),
        hold_channel: str = "zeroscale:hold",
    ) -> None:
        self._forwarding = forwarding
        self._minecraft_options = minecraft_options
        self._hold_channel = hold_channel
        self._inner: Conversation | None = None
        self._undecided = b""

    def opened(self) -> Sequence[Event]:
        """Return no event: the client sends first."""
        return ()

    def receive(self, data: bytes) -> Sequence[Event]:
        """See `Conversation.receive`.

        :raises ProtocolError: this is no client of ours, or one that breaks the rules; whatever comes later is refused.
        """
        if self._inner is None:
            data = self._undecided + data
            reject_header(data)  # as a handshake it would be refused with a misleading error
            self._inner = self._choose(data)
            self._undecided = data if self._inner is None else b""
        return () if self._inner is None else self._inner.receive(data)

    @property
    def idle_timeout(self) -> float | None:
        """Set after a lone `FE` or `FE 01`, which is a ping, or the beginning of a longer packet."""
        if self._inner is not None:
            return self._inner.idle_timeout
        return legacy.IDLE_TIMEOUT if self._undecided else None

    def on_idle(self) -> Sequence[Event]:
        """Take the bytes so far as a whole ping, if they can be one."""
        if self._inner is None and self._undecided:
            self._inner = legacy.LegacyConversation()
            self._inner.receive(self._undecided)
        return () if self._inner is None else self._inner.on_idle()

    @property
    def replay_bytes(self) -> bytes:
        """See `Conversation.replay_bytes`."""
        return self._undecided if self._inner is None else self._inner.replay_bytes

    @property
    def full(self) -> bool:
        """See `Conversation.full`."""
        return self._inner is not None and self._inner.full

    def status(self, reply: StatusReply) -> bytes:
        """See `Conversation.status`."""
        return b"" if self._inner is None else self._inner.status(reply)

    @property
    def closes_after_status(self) -> bool:
        """See `Conversation.closes_after_status`: true before 1.7."""
        return self._inner is not None and self._inner.closes_after_status

    def pong(self) -> bytes:
        """See `Conversation.pong`."""
        return b"" if self._inner is None else self._inner.pong()

    def kick(self, reason: Component) -> bytes:
        """See `Conversation.kick`; nothing before a login."""
        return b"" if self._inner is None else self._inner.kick(reason)

    def hold(self) -> Sequence[Event]:
        """See `Conversation.hold`.

        :raises ProtocolError: the client sent more than its login.
        """
        return () if self._inner is None else self._inner.hold()

    def keepalive(self) -> bytes:
        """See `Conversation.keepalive`."""
        return b"" if self._inner is None else self._inner.keepalive()

    @property
    def unanswered(self) -> int:
        """See `Conversation.unanswered`."""
        return 0 if self._inner is None else self._inner.unanswered

    def _choose(self, data: bytes) -> Conversation | None:
        """Select by the first bytes: a modern handshake may begin with `FE 01 00`, but not with `02` or `FE 01 FA`."""
        if data[:1] == _LEGACY_LOGIN or data.startswith(_LEGACY_PING):
            return legacy.LegacyConversation()
        if _LEGACY_PING.startswith(data):
            return None
        return ModernConversation(
            forwarding=self._forwarding,
            minecraft_options=self._minecraft_options,
            hold_channel=self._hold_channel,
        )
