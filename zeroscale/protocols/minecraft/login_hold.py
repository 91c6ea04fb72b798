"""Keep a client of 1.7 or later in the login state: requests to it, and the answers it may send.

Source: docs/protocol.md, "Holding a client".
"""

from __future__ import annotations

from collections.abc import Sequence

from zeroscale.errors import ProtocolError
from zeroscale.protocols.conversation import HoldAnswered
from zeroscale.protocols.minecraft import packets, versions

LARGEST_ANSWER = 1024
"""Bytes of a Login Plugin Response. "Not understood" is 7; a mod that thinks it understood us may say a little."""

MOST_OUTSTANDING = 64
"""Requests that may be unanswered: more than five minutes of them, and nothing of ours grows beyond it."""

FIRST_REQUEST_ID = 0x7A730000
"""So that a log or a capture shows whose request it was: servers count from 0, Velocity's are random."""

PATIENCE_1_7 = 17.0
"""Seconds: the client gives up after 20."""

PATIENCE_1_8 = 27.0
"""Seconds: the client gives up after 30."""

EMPTY_FRAME = b"\x00"
"""What clients before 1.13 skip, but count as a sign of life; newer ones disconnect at it."""


class LoginPluginHold:
    """One client being held.

    :param protocol: its protocol number.
    :param legacy_hold: keep clients of 1.7-1.12 alive with empty frames.
    :param channel: the channel of the Login Plugin Requests that keep newer ones alive.
    """

    def __init__(self, protocol: int, *, legacy_hold: bool, channel: str) -> None:
        layout = versions.layout_of(protocol)
        self._asks = layout >= versions.LOGIN_PLUGIN_REQUEST
        self._skips_empty_frames = legacy_hold and layout <= versions.LAST_1_12
        self._channel = channel
        self._next_id = FIRST_REQUEST_ID
        self._outstanding: set[int] = set()
        self._received = bytearray()
        if self._asks or self._skips_empty_frames:
            self.max_hold: float | None = None
        else:
            self.max_hold = PATIENCE_1_7 if layout <= versions.LAST_1_7 else PATIENCE_1_8

    @property
    def unanswered(self) -> int:
        """How many requests are still to be answered."""
        return len(self._outstanding)

    def keepalive(self) -> bytes:
        """What to send next: a request, an empty frame, or nothing where nothing helps or too much is unanswered."""
        if not self._asks:
            return EMPTY_FRAME if self._skips_empty_frames else b""
        if len(self._outstanding) == MOST_OUTSTANDING:
            return b""
        request_id = self._next_id
        self._next_id += 1
        self._outstanding.add(request_id)
        return packets.frame(0x04, packets.varint(request_id), packets.string(self._channel))

    def receive(self, data: bytes) -> Sequence[HoldAnswered]:
        """Takes what the client sends: answers to our requests, however they were cut.

        :raises ProtocolError: anything else.
        """
        self._received += data
        events: list[HoldAnswered] = []
        while self._received:
            if not self._outstanding:
                raise ProtocolError("a held client sends what it was not asked for")
            cut = packets.take_frame(self._received, 0, LARGEST_ANSWER)
            if cut is None:
                break
            body, end = cut
            del self._received[:end]
            self._check_answer(packets.Fields(body))
            events.append(HoldAnswered())
        return events

    def _check_answer(self, fields: packets.Fields) -> None:
        packet_id = fields.varint()
        if packet_id != 0x02:
            raise ProtocolError(f"packet {packet_id:#04x} from a held client")
        request_id = fields.varint()
        if request_id not in self._outstanding:
            raise ProtocolError("an answer to a request that is not open")
        if not fields.boolean():
            fields.finish("an answer without data")
        self._outstanding.remove(request_id)
