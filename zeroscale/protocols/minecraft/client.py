"""The client's side of status and login since 1.7, sans-I/O: probes, `zeroscalectl ping` and `join` use it.

Source: docs/protocol.md, "Frames and handshake", "Status", "Login". All that a server sends is bounded and checked.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from msgspec import Struct

from zeroscale.access_lists import offline_uuid
from zeroscale.errors import ProtocolError
from zeroscale.protocols.conversation import Component
from zeroscale.protocols.minecraft import packets, status_json, versions

LARGEST_STATUS = 1 << 18
"""Bytes of a status's JSON: 32767 UTF-16 units (docs/protocol.md, "Status") are at most 98301 bytes; the rest is
slack for mods. A longer one is unreadable, as long as its frame is valid."""

LARGEST_LOGIN = 3 * 262144 + 1024
"""Bytes of a login frame: the longest is a Disconnect of 262144 UTF-16 units (docs/protocol.md, "Login")."""

LONGEST_REASON = 262144
LONGEST_IDENTIFIER = 32767
STATUS, LOGIN = 1, 2


class StatusReceived(Struct, frozen=True):
    """The Status Response.

    :ivar status: the decoded JSON object; see `status_json` for what is put up with.
    :ivar raw: the JSON text: as sent where that is valid, else encoded again.
    """

    status: dict[str, object]
    raw: str


class StatusUnreadable(Struct, frozen=True):
    """A Status Response whose document cannot be read: the server is up, and says nothing of itself.

    :ivar reason: why it cannot be read.
    """

    reason: str


class PongReceived(Struct, frozen=True):
    """The Pong.

    :ivar token: the Ping's 64 bits, signed.
    """

    token: int


class Disconnected(Struct, frozen=True):
    """The server refused the login; it closes the connection.

    :ivar reason: a text component.
    """

    reason: Component


class EncryptionRequested(Struct, frozen=True):
    """The server is in online mode; an offline login ends here."""


class CompressionSet(Struct, frozen=True):
    """The server set compression.

    :ivar threshold: frames of this many bytes and more are compressed from now on; below 0: none.
    """

    threshold: int


class PluginRequested(Struct, frozen=True):
    """A Login Plugin Request.

    :ivar answer: the reply to send: "not understood".
    """

    message_id: int
    channel: str
    answer: bytes


class CookieRequested(Struct, frozen=True):
    """A Cookie Request (1.20.5 and later).

    :ivar answer: the reply to send: no such cookie.
    """

    key: str
    answer: bytes


class LoginSucceeded(Struct, frozen=True):
    """The server accepted the login; nothing after it is parsed.

    :ivar name: the player's name, as the server returned it.
    """

    name: str


StatusEvent = StatusReceived | StatusUnreadable | PongReceived
LoginEvent = Disconnected | EncryptionRequested | CompressionSet | PluginRequested | CookieRequested | LoginSucceeded


class StatusClient:
    """Requests a server's status, then pings it.

    :param host: the host in the handshake.
    :param port: the port in the handshake.
    :param protocol: the protocol number in the handshake.
    """

    def __init__(self, host: str, port: int, protocol: int = 47) -> None:
        self._handshake = handshake(host, port, protocol, STATUS)
        self._received = bytearray()
        self._error: ProtocolError | None = None

    def request(self) -> bytes:
        """Return the first bytes to send: Handshake and Status Request."""
        return self._handshake + packets.frame(0x00)

    def ping(self, token: int) -> bytes:
        """Return a Ping, to be sent after the status has come.

        :param token: 64 bits, signed.
        """
        return packets.frame(0x01, token.to_bytes(8, "big", signed=True))

    def receive(self, data: bytes) -> Sequence[StatusEvent]:
        """Take the server's next bytes, however they are cut; return the events in them.

        :raises ProtocolError: they break the protocol or exceed a limit. If events came before that, it is the next
            call that raises it.
        """
        if self._error is not None:
            raise self._error
        self._received += data
        events: list[StatusEvent] = []
        try:
            while (cut := packets.take_frame(self._received, 0, packets.LARGEST_FRAME)) is not None:
                body, end = cut
                del self._received[:end]
                events.append(self._event(packets.Fields(body)))
        except ProtocolError as error:
            if not events:
                raise
            self._error = error
        return events

    def _event(self, fields: packets.Fields) -> StatusEvent:
        packet_id = fields.varint()
        if packet_id == 0x00:
            return _status_event(fields)
        if packet_id == 0x01:
            token = fields.long()
            fields.finish("a pong")
            return PongReceived(token)
        raise ProtocolError(f"packet {packet_id:#04x} in place of a status reply")


class LoginClient:
    """Tries an offline login, until the server accepts or refuses it, or requests encryption.

    :param host: the host in the handshake.
    :param port: the port in the handshake.
    :param protocol: the protocol number in the handshake; it decides the packets' layout.
    :param name: the player's name.
    :param uuid: the player's UUID, 32 hexadecimal digits; None: the one that a server in offline mode derives from
        the name.
    """

    def __init__(self, host: str, port: int, protocol: int, name: str, uuid: str | None = None) -> None:
        self._layout = versions.layout_of(protocol)
        self._request = handshake(host, port, protocol, LOGIN) + login_start(self._layout, name, uuid)
        self._received = bytearray()
        self._threshold = -1
        self._finished = False

    def request(self) -> bytes:
        """Return the first bytes to send: Handshake and Login Start."""
        return self._request

    def receive(self, data: bytes) -> Sequence[LoginEvent]:
        """Take the server's next bytes, however they are cut; return the events in them.

        Nothing after `Disconnected`, `EncryptionRequested` or `LoginSucceeded` is parsed.

        :raises ProtocolError: they break the protocol or exceed a limit.
        """
        self._received += data
        events: list[LoginEvent] = []
        while (body := self._next_body()) is not None:
            events.append(self._event(packets.Fields(self._inflate(body))))
        return events

    def _next_body(self) -> bytes | None:
        if self._finished:
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
            inflated = inflater.decompress(fields.rest(), size + 1)  # one byte more shows a wrong size
        except zlib.error as error:
            raise ProtocolError(f"an invalid compressed frame: {error}") from None
        if len(inflated) != size:
            raise ProtocolError("a compressed frame is not as long as its size")
        return inflated

    def _event(self, fields: packets.Fields) -> LoginEvent:
        packet_id = fields.varint()
        match packet_id:
            case 0x00:
                self._finished = True
                return Disconnected(_reason(fields.string(LONGEST_REASON)))
            case 0x01:
                self._finished = True
                return EncryptionRequested()
            case 0x02:
                self._finished = True
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
    """Return a Handshake frame (docs/protocol.md, "Frames and handshake").

    :param intent: `STATUS` or `LOGIN`.
    """
    return packets.frame(
        0x00, packets.varint(protocol), packets.string(host), port.to_bytes(2, "big"), packets.varint(intent)
    )


def login_start(layout: int, name: str, uuid: str | None = None) -> bytes:
    """Return a Login Start frame (docs/protocol.md, "Login").

    :param layout: the protocol number of the layout to use; see `versions.layout_of`.
    :param uuid: 32 hexadecimal digits; None: the one derived from the name.
    """
    fields = [packets.string(name)]
    if versions.SIGNATURE <= layout < versions.NO_SIGNATURE:
        fields.append(b"\x00")
    if versions.OPTIONAL_UUID <= layout < versions.UUID:
        fields.append(b"\x01")
    if layout >= versions.OPTIONAL_UUID:
        fields.append(bytes.fromhex(uuid or offline_uuid(name)))
    return packets.frame(0x00, *fields)


def _status_event(fields: packets.Fields) -> StatusReceived | StatusUnreadable:
    """Read the first string of a Status Response; mods append more to it (BetterCompatibilityChecker a second string).

    Invalid UTF-8 is replaced, as the client does.
    """
    try:
        raw = fields.byte_array(LARGEST_STATUS).decode(errors="replace")
        status = status_json.decode(raw)
    except (ProtocolError, ValueError) as error:
        return StatusUnreadable(str(error))
    if not isinstance(status, dict):
        return StatusUnreadable("it is no JSON object")
    return StatusReceived(status, raw if status_json.is_strict(raw) else status_json.encode(status))


def _reason(raw: str) -> Component:
    """Return the component of a Disconnect; invalid JSON is taken as plain text, so that it can be shown."""
    try:
        reason = status_json.decode(raw)
    except ValueError:
        return raw
    return reason if isinstance(reason, str | dict | list) else raw
