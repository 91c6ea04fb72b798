"""Hold a client of 1.7 or later in the login state: the requests to it, and its answers.

Source: docs/protocol.md, "Holding a client".
"""

from __future__ import annotations

from collections.abc import Sequence

from zeroscale.errors import ProtocolError
from zeroscale.protocols.conversation import HoldAnswered
from zeroscale.protocols.minecraft import packets, versions

LARGEST_ANSWER = 1024
"""Bytes of a Login Plugin Response. "Not understood" has 7; a mod may answer with data."""

MOST_OUTSTANDING = 64
"""Unanswered requests: more than five minutes of them; no more are sent."""

FIRST_REQUEST_ID = 0x7A730000
"""Recognisable in a packet capture: servers count from 0, Velocity's ids are random."""

MAX_HOLD_1_7 = 17.0
"""Seconds; the client's timer is 20 s."""

MAX_HOLD_1_8 = 27.0
"""Seconds; the client's timer is 30 s."""

EMPTY_FRAME = b"\x00"
"""Resets the timer of clients before 1.13, which skip it; newer clients disconnect at it."""


class LoginPluginHold:
    """One held client.

    :param protocol: the client's protocol number.
    :param legacy_hold: keep clients of 1.7-1.12 alive with empty frames.
    :param channel: the channel of the Login Plugin Requests, which keep newer clients alive.
    :ivar max_hold: see `LoginRequested.max_hold`.
    """

    def __init__(self, protocol: int, *, legacy_hold: bool, channel: str) -> None:
        layout = versions.layout_of(protocol)
        self._asks = layout >= versions.LOGIN_PLUGIN_REQUEST
        self._skips_empty_frames = legacy_hold and layout <= versions.LAST_1_12
        self._channel = channel
        self._next_id = FIRST_REQUEST_ID
        self._outstanding: set[int] = set()
        self._received = b""
        if self._asks or self._skips_empty_frames:
            self.max_hold: float | None = None
        else:
            self.max_hold = MAX_HOLD_1_7 if layout <= versions.LAST_1_7 else MAX_HOLD_1_8

    @property
    def unanswered(self) -> int:
        """How many requests the client has not answered."""
        return len(self._outstanding)

    def keepalive(self) -> bytes:
        """Return a request, an empty frame, or nothing: where neither helps, or too many are unanswered."""
        if not self._asks:
            return EMPTY_FRAME if self._skips_empty_frames else b""
        if len(self._outstanding) == MOST_OUTSTANDING:
            return b""
        request_id = self._next_id
        self._next_id += 1
        self._outstanding.add(request_id)
        return packets.frame(0x04, packets.varint(request_id), packets.string(self._channel))

    def receive(self, data: bytes) -> Sequence[HoldAnswered]:
        """Take the client's next bytes, however they are cut: answers to the requests.

        :raises ProtocolError: they are anything else.
        """
        self._received += data
        events: list[HoldAnswered] = []
        while self._received:
            if not self._outstanding:
                raise ProtocolError("a held client sends without being asked")
            cut = packets.take_frame(self._received, 0, LARGEST_ANSWER)
            if cut is None:
                break
            body, end = cut
            self._received = self._received[end:]
            self._check_answer(packets.Fields(body))
            events.append(HoldAnswered())
        return events

    def _check_answer(self, fields: packets.Fields) -> None:
        packet_id = fields.varint()
        if packet_id != 0x02:
            raise ProtocolError(f"packet {packet_id:#04x} from a held client")
        request_id = fields.varint()
        if request_id not in self._outstanding:
            raise ProtocolError("an answer to no open request")
        if not fields.boolean():
            fields.finish("an answer without data")
        self._outstanding.remove(request_id)
