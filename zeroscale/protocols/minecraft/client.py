"""The client's half of Minecraft since 1.7, as far as status and login need it, sans-I/O.

For whoever asks a server: is it there, who is on, would it let me in? Bytes to send are returned, bytes received are
fed in; there is no transport and no clock here. What a server sends is trusted no more than what a client sends.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from zeroscale.access_lists import offline_uuid
from zeroscale.errors import ProtocolError
from zeroscale.protocols.conversation import Component
from zeroscale.protocols.minecraft import packets, versions

LARGEST_STATUS = 1 << 18
"""Bytes of a status frame: 32767 UTF-16 units (docs/protocol.md, "Status") are at most 98301 bytes; the rest is
slack for mods."""

LARGEST_LOGIN = 3 * 262144 + 1024
"""Bytes of a login frame: the longest is a Disconnect of 262144 UTF-16 units (docs/protocol.md, "Login")."""

LONGEST_REASON = 262144
LONGEST_IDENTIFIER = 32767
STATUS, LOGIN = 1, 2


@dataclass(frozen=True, slots=True)
class StatusReceived:
    """The server's status.

    :ivar status: the JSON object, decoded.
    :ivar raw: the JSON as it was sent.
    """

    status: dict[str, object]
    raw: str


@dataclass(frozen=True, slots=True)
class PongReceived:
    """The server's answer to a ping, with the token that it echoes."""

    token: int


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The login was refused. The server closes."""

    reason: Component


@dataclass(frozen=True, slots=True)
class EncryptionRequested:
    """The server is in online mode: it would have asked Mojang about us next. As far as a login goes here."""


@dataclass(frozen=True, slots=True)
class CompressionSet:
    """Frames of `threshold` bytes and more are compressed from now on; below 0: none is."""

    threshold: int


@dataclass(frozen=True, slots=True)
class PluginRequested:
    """The server asked a question of its own; send `answer` ("not understood")."""

    message_id: int
    channel: str
    answer: bytes


@dataclass(frozen=True, slots=True)
class CookieRequested:
    """The server asked for a cookie (1.20.5 and later); send `answer` ("I have none")."""

    key: str
    answer: bytes


@dataclass(frozen=True, slots=True)
class LoginSucceeded:
    """We are in, under this name. Whatever follows is not read."""

    name: str


StatusEvent = StatusReceived | PongReceived
LoginEvent = Disconnected | EncryptionRequested | CompressionSet | PluginRequested | CookieRequested | LoginSucceeded


class StatusClient:
    """Asks for a server's status, then for its latency.

    :param host: the host to name in the handshake.
    :param port: the port to name there.
    :param protocol: the protocol number to claim.
    """

    def __init__(self, host: str, port: int, protocol: int = 47) -> None:
        self._handshake = handshake(host, port, protocol, STATUS)
        self._received = bytearray()

    def request(self) -> bytes:
        """Handshake and status request: the first bytes to send."""
        return self._handshake + packets.frame(0x00)

    def ping(self, token: int) -> bytes:
        """A ping; send it once the status has come.

        :param token: 64 bits, signed.
        """
        return packets.frame(0x01, token.to_bytes(8, "big", signed=True))

    def receive(self, data: bytes) -> Sequence[StatusEvent]:
        """Takes the next bytes of the server, however they were cut.

        :raises ProtocolError: it does not speak Minecraft, or too much of it.
        """
        self._received += data
        events: list[StatusEvent] = []
        while (cut := packets.take_frame(self._received, 0, LARGEST_STATUS)) is not None:
            body, end = cut
            del self._received[:end]
            events.append(self._event(packets.Fields(body)))
        return events

    def _event(self, fields: packets.Fields) -> StatusEvent:
        packet_id = fields.varint()
        if packet_id == 0x00:
            raw = fields.string(LARGEST_STATUS)
            fields.finish("a status reply")
            status = _json(raw)
            if not isinstance(status, dict):
                raise ProtocolError("the status reply is no JSON object")
            return StatusReceived(status, raw)
        if packet_id == 0x01:
            token = fields.long()
            fields.finish("a pong")
            return PongReceived(token)
        raise ProtocolError(f"packet {packet_id:#04x} in place of a status reply")


class LoginClient:
    """Tries an offline login, up to the point where it is known how the server takes it.

    :param host: the host to name in the handshake.
    :param port: the port to name there.
    :param protocol: the protocol number to claim; it decides the packets' layout.
    :param name: the player's name.
    :param uuid: the player's UUID, 32 hexadecimal digits; None is the one that offline servers give to the name.
    """

    def __init__(self, host: str, port: int, protocol: int, name: str, uuid: str | None = None) -> None:
        self._layout = versions.layout_of(protocol)
        self._request = handshake(host, port, protocol, LOGIN) + login_start(self._layout, name, uuid)
        self._received = bytearray()
        self._threshold = -1
        self._over = False

    def request(self) -> bytes:
        """Handshake and login start: the first bytes to send."""
        return self._request

    def receive(self, data: bytes) -> Sequence[LoginEvent]:
        """Takes the next bytes of the server, however they were cut.

        Nothing is read any more after `Disconnected`, `EncryptionRequested` or `LoginSucceeded`.

        :raises ProtocolError: it does not speak Minecraft, or too much of it.
        """
        self._received += data
        events: list[LoginEvent] = []
        while (body := self._next_body()) is not None:
            events.append(self._event(packets.Fields(self._inflate(body))))
        return events

    def _next_body(self) -> bytes | None:
        if self._over:
            self._received.clear()
            return None
        if self._layout < versions.LOGIN_PLUGIN_REQUEST:  # empty frames (docs/protocol.md, "Holding a client")
            empty = len(self._received) - len(self._received.lstrip(b"\x00"))
            del self._received[:empty]
        cut = packets.take_frame(self._received, 0, LARGEST_LOGIN)
        if cut is None:
            return None
        body, end = cut
        del self._received[:end]
        return body

    def _inflate(self, body: bytes) -> bytes:
        if self._threshold < 0:
            return body
        fields = packets.Fields(body)
        size = fields.varint()
        if size == 0:
            return fields.rest()
        if not 0 < size <= LARGEST_LOGIN:
            raise ProtocolError(f"a compressed frame of {size} bytes where at most {LARGEST_LOGIN} are allowed")
        inflater = zlib.decompressobj()
        try:
            inflated = inflater.decompress(fields.rest(), size + 1)  # one more would show that it lied
        except zlib.error as error:
            raise ProtocolError(f"a compressed frame that is none: {error}") from None
        if len(inflated) != size:
            raise ProtocolError("a compressed frame is not as long as it says")
        return inflated

    def _event(self, fields: packets.Fields) -> LoginEvent:
        packet_id = fields.varint()
        match packet_id:
            case 0x00:
                self._over = True
                return Disconnected(_reason(fields.string(LONGEST_REASON)))
            case 0x01:
                self._over = True
                return EncryptionRequested()
            case 0x02:
                self._over = True
                if self._layout < versions.BINARY_UUID:
                    fields.string(36)
                else:
                    fields.uuid()
                return LoginSucceeded(fields.string(LONGEST_IDENTIFIER))
            case 0x03:
                self._threshold = fields.varint()
                return CompressionSet(self._threshold)
            case 0x04:
                message_id = fields.varint()
                channel = fields.string(LONGEST_IDENTIFIER)
                return PluginRequested(message_id, channel, self._frame(0x02, packets.varint(message_id), b"\x00"))
            case 0x05:
                key = fields.string(LONGEST_IDENTIFIER)
                return CookieRequested(key, self._frame(0x04, packets.string(key), b"\x00"))
        raise ProtocolError(f"packet {packet_id:#04x} during the login")

    def _frame(self, packet_id: int, *fields: bytes) -> bytes:
        packed = packets.frame(packet_id, *fields)
        if self._threshold < 0:
            return packed
        body, _ = packets.take_frame(packed, 0, packets.LARGEST_FRAME) or (b"", 0)
        if len(body) < self._threshold:
            return packets.varint(len(body) + 1) + b"\x00" + body
        deflated = packets.varint(len(body)) + zlib.compress(body)
        return packets.varint(len(deflated)) + deflated


def handshake(host: str, port: int, protocol: int, intent: int) -> bytes:
    """The handshake's frame (docs/protocol.md, "Frames and handshake")."""
    return packets.frame(
        0x00, packets.varint(protocol), packets.string(host), port.to_bytes(2, "big"), packets.varint(intent)
    )


def login_start(layout: int, name: str, uuid: str | None = None) -> bytes:
    """The login start's frame, in the layout of that protocol number (docs/protocol.md, "Login")."""
    fields = [packets.string(name)]
    if versions.SIGNATURE <= layout < versions.NO_SIGNATURE:
        fields.append(b"\x00")
    if versions.OPTIONAL_UUID <= layout < versions.UUID:
        fields.append(b"\x01")
    if layout >= versions.OPTIONAL_UUID:
        fields.append(bytes.fromhex(uuid or offline_uuid(name)))
    return packets.frame(0x00, *fields)


def _json(raw: str) -> object:
    try:
        decoded: object = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"JSON that is none: {error}") from None
    return decoded


def _reason(raw: str) -> Component:
    """A kick's component. What is no JSON is taken as the text itself: the player ought to see it anyway."""
    try:
        reason = _json(raw)
    except ProtocolError:
        return raw
    return reason if isinstance(reason, str | dict | list) else raw
