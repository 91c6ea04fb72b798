"""The conversation of a client since 1.7: handshake, status, ping, login, hold.

Source: docs/protocol.md, "Frames and handshake", "Status", "Login", "Holding a client".
Parses only what is needed, and stores every byte for the real server.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from zeroscale.errors import ProtocolError
from zeroscale.protocols.conversation import (
    Component,
    Event,
    LoginRequested,
    MinecraftOptions,
    PingRequested,
    StatusReply,
    StatusRequested,
    Violation,
)
from zeroscale.protocols.minecraft import packets, text_component, versions
from zeroscale.protocols.minecraft.identity import bounded_name, guess_protocol, routing_host
from zeroscale.protocols.minecraft.login_hold import LoginPluginHold
from zeroscale.protocols.minecraft.responses import encode_kick, encode_status

LARGEST_HANDSHAKE = 1024
"""Bytes: 255 characters of 3 bytes each and a mod's marker are about 800 (docs/protocol.md, "Limits")."""

LARGEST_FORWARDING_HANDSHAKE = 32768 + 1024
"""Bytes: with BungeeCord's IP forwarding the host contains the player's properties (the skin)."""

LARGEST_STATUS_FRAME = 9
"""Bytes: a ping has an id and 64 bits."""

LARGEST_LOGIN_START = 2048
"""Bytes: name, UUID, and key and signature of 1.19-1.19.2, about 820 together (docs/protocol.md, "Login")."""

LONGEST_TAIL = 4096
"""Bytes stored after the login start until reading stops; a real client sends none before it is answered."""

STATUS, LOGIN, TRANSFER = 1, 2, 3


_State = Literal["handshake", "status", "login start", "tail", "nothing", "violated"]
"""The packet that is expected next; `tail`: any bytes after the login; `violated`: bytes that are not parsed."""

_PINGED = PingRequested()
_PONG = bytes([LARGEST_STATUS_FRAME, 0x01])
"""Length and id of a pong, which the token follows."""

_NO_OPTIONS = MinecraftOptions()


class ModernConversation:
    """A client of 1.7 or later. Implements `Conversation`.

    :param forwarding: accept handshakes as long as BungeeCord's IP forwarding makes them.
    :param minecraft_options: returns the options for a host; called once, and for a login only.
    :param hold_channel: the channel of the Login Plugin Requests.
    """

    idle_timeout: float | None = None
    closes_after_status = False

    def __init__(
        self,
        *,
        forwarding: bool = False,
        minecraft_options: Callable[[str], MinecraftOptions] = lambda _: _NO_OPTIONS,
        hold_channel: str = "zeroscale:hold",
    ) -> None:
        self._handshake_bound = LARGEST_FORWARDING_HANDSHAKE if forwarding else LARGEST_HANDSHAKE
        self._find_minecraft_options = minecraft_options
        self._minecraft_options = _NO_OPTIONS
        self._hold_channel = hold_channel
        self._state: _State = "handshake"
        self._received = b""
        self._read = 0
        self._protocol = -1
        self._host = ""
        self._port = 0
        self._intent_at = 0
        self._transfer = False
        self._status_seen = False
        self._has_events = False
        self._is_held = False
        self._token = b""
        self._hold: LoginPluginHold | None = None

    def opened(self) -> Sequence[Event]:
        """Return no event: the client sends first."""
        return ()

    def receive(self, data: bytes) -> Sequence[Event]:
        """See `Conversation.receive`.

        :raises ProtocolError: this is no client of ours, or one that breaks the rules; whatever comes later is refused.
        """
        if self._hold is not None and self._is_held:
            return self._take_answers(self._hold, data)
        self._received += data
        events: list[Event] = []
        try:
            self._take_packets(events)
        except ProtocolError as error:
            if events or self._has_events:
                self._state = "violated"
                return [*events, Violation(str(error))]
            guess = guess_protocol(self._received) if self._state == "handshake" else None
            self._state = "nothing"
            self._received = b""
            self._read = 0
            self._transfer = False
            if guess is None:
                raise
            raise ProtocolError(f"this is {guess}, not Minecraft ({error})") from None
        if events:
            self._has_events = True
        return events

    def on_idle(self) -> Sequence[Event]:
        """Return no event: an incomplete frame is left to the caller's handshake timeout."""
        return ()

    @property
    def full(self) -> bool:
        """Whether to stop reading until the relay: after a violation, and at `LONGEST_TAIL`."""
        stored = len(self._received) - self._read
        return self._state == "violated" or (self._state == "tail" and stored >= LONGEST_TAIL)

    @property
    def replay_bytes(self) -> bytes:
        """What the client sent before the hold, unchanged except the intent under `transfer_as_login`."""
        if not (self._transfer and self._minecraft_options.transfer_as_login):
            return self._received
        return self._received[: self._intent_at] + bytes([LOGIN]) + self._received[self._intent_at + 1 :]

    def status(self, reply: StatusReply) -> bytes:
        """Return the Status Response; see `responses.encode_status`."""
        return encode_status(reply, self._protocol)

    def pong(self) -> bytes:
        """Return the Pong with the client's token."""
        return _PONG + self._token

    def kick(self, reason: Component) -> bytes:
        """Return the login's Disconnect; nothing before a login."""
        if self._hold is None:
            return b""
        translates = versions.layout_of(self._protocol) >= versions.REFUSAL_TRANSLATIONS
        return encode_kick(reason if translates else text_component.with_fallbacks(reason))

    def hold(self) -> Sequence[Event]:
        """Accept only answers to `keepalive()` from now on.

        :raises ProtocolError: the client sent more than its login.
        """
        if len(self._received) > self._read:
            raise ProtocolError("a packet after the login start, before it was answered")
        self._is_held = True
        return ()

    def keepalive(self) -> bytes:
        """Return a Login Plugin Request (since 1.13), an empty frame (before, with `legacy_hold`) or nothing."""
        return b"" if self._hold is None else self._hold.keepalive()

    @property
    def unanswered(self) -> int:
        """How many Login Plugin Requests the client has not answered."""
        return 0 if self._hold is None else self._hold.unanswered

    def _take_answers(self, hold: LoginPluginHold, data: bytes) -> Sequence[Event]:
        if self._state == "violated":
            return ()
        try:
            return hold.receive(data)
        except ProtocolError as error:
            self._state = "violated"
            return (Violation(str(error)),)

    def _take_packets(self, events: list[Event]) -> None:
        while len(self._received) > self._read:
            match self._state:
                case "handshake":
                    progress = self._take_handshake()
                case "status":
                    progress = self._take_status_packet(events)
                case "login start":
                    progress = self._take_login_start(events)
                case "tail" | "violated":
                    return
                case "nothing":
                    raise ProtocolError("more after the last packet that may come")
            if not progress:
                return

    def _take_frame(self, bound: int) -> bytes | None:
        cut = packets.take_frame(self._received, self._read, bound)
        if cut is None:
            return None
        body, self._read = cut
        return body

    def _take_handshake(self) -> bool:
        body = self._take_frame(self._handshake_bound)
        if body is None:
            self._refuse_early()
            return False
        fields = packets.Fields(body)
        packet_id = fields.varint()
        if packet_id != 0:
            raise ProtocolError(f"packet {packet_id:#04x} in place of a handshake")
        self._protocol = fields.varint()
        host = fields.string(self._handshake_bound)
        self._port = fields.unsigned_short()
        if len(fields) != 1:  # the intent is one byte, which transfer_as_login replaces
            raise ProtocolError(f"a handshake that ends in {len(fields)} bytes, not in one")
        intent = fields.varint()
        if intent not in (STATUS, LOGIN, TRANSFER):
            raise ProtocolError(f"a handshake with intent {intent}")
        self._intent_at = self._read - 1
        self._transfer = intent == TRANSFER
        self._state = "status" if intent == STATUS else "login start"
        self._host = routing_host(host)
        if intent != STATUS:
            self._minecraft_options = self._find_minecraft_options(self._host)
        return True

    def _refuse_early(self) -> None:
        """Refuse an incomplete frame by its packet id: other protocols' bytes may announce a frame that never ends."""
        prefix = next((index for index, byte in enumerate(self._received) if byte < 0x80), len(self._received))
        if len(self._received) > prefix + 1 and self._received[prefix + 1] != 0:
            raise ProtocolError(f"packet {self._received[prefix + 1]:#04x} in place of a handshake")

    def _take_status_packet(self, events: list[Event]) -> bool:
        body = self._take_frame(LARGEST_STATUS_FRAME)
        if body is None:
            return False
        if body == b"\x00":
            if self._status_seen:
                raise ProtocolError("a second status request")
            self._status_seen = True
            events.append(StatusRequested(self._protocol, self._host, self._port))
        elif len(body) == LARGEST_STATUS_FRAME and body[0] == 0x01:
            self._token = body[1:]
            self._state = "nothing"
            events.append(_PINGED)
        else:
            raise ProtocolError(f"packet {body[0]:#04x} of {len(body)} bytes in place of a status request or a ping")
        return True

    def _take_login_start(self, events: list[Event]) -> bool:
        body = self._take_frame(LARGEST_LOGIN_START)
        if body is None:
            return False
        fields = packets.Fields(body)
        packet_id = fields.varint()
        if packet_id != 0:
            raise ProtocolError(f"packet {packet_id:#04x} in place of a login start")
        name = bounded_name(fields.string(LARGEST_LOGIN_START))
        self._hold = LoginPluginHold(
            self._protocol, legacy_hold=self._minecraft_options.legacy_hold, channel=self._hold_channel
        )
        self._state = "tail"
        events.append(
            LoginRequested(
                protocol=self._protocol,
                host=self._host,
                port=self._port,
                name=name,
                uuid=_claimed_uuid(fields, versions.layout_of(self._protocol)),
                transfer=self._transfer,
                max_hold=self._hold.max_hold,
            )
        )
        return True


def _claimed_uuid(fields: packets.Fields, layout: int) -> str | None:
    """Return the UUID in the rest of a Login Start (docs/protocol.md, "Login").

    None also if the rest does not fit the version: the real server checks that.
    """
    try:
        if layout in (versions.SIGNATURE, versions.OPTIONAL_UUID) and fields.boolean():
            fields.long()
            fields.byte_array(LARGEST_LOGIN_START)
            fields.byte_array(LARGEST_LOGIN_START)
        if layout >= versions.UUID or (layout >= versions.OPTIONAL_UUID and fields.boolean()):
            return fields.uuid()
    except ProtocolError:
        return None
    return None
