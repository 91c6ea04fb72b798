"""The conversation of a port on which servers are queried, perhaps beside another protocol over UDP. Sans-I/O.

A query never wakes the server, and its client is none that plays. What is no query is left to the conversation of the
other protocol, if there is one: many games answer Source queries on the port that is played on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from zeroscale.errors import ProtocolError
from zeroscale.protocols.conversation import Component
from zeroscale.protocols.datagrams import NO_REPLY, Answer, ClientReply, DatagramConversation, Reply
from zeroscale.protocols.udp import UdpConversation, WakeRule

AnswerQuery = Callable[[bytes, str, float], Answer]
"""Returns the answer to a datagram of an address, which is given without its port, at a time.

It raises `ProtocolError` if the datagram is no query.
"""


PLAYING = WakeRule(30, 10.0)
"""By so many datagrams a client of the running server shows that it does more than query it: a browser sends some ten
to show one server, a player's client that many in a second."""


class QueryConversation(UdpConversation):
    """The conversation of a port for queries, and perhaps of another protocol.

    :param answer: answers queries while the server does not run.
    :param other: takes everything else; None: that breaks the protocol.
    """

    def __init__(self, answer: AnswerQuery, other: DatagramConversation | None = None) -> None:
        super().__init__(PLAYING)
        self._answer = answer
        self._other = other

    @property
    def next_timeout(self) -> float:
        """See `DatagramConversation.next_timeout`."""
        return math.inf if self._other is None else self._other.next_timeout

    def receive(self, datagram: bytes, host: str, port: int, now: float) -> Reply:
        """Answer a query; leave another datagram to the other protocol."""
        try:
            answer = self._answer(datagram, host, now)
        except ProtocolError:
            if self._other is None:
                raise
            return self._other.receive(datagram, host, port, now)
        return Reply(answer.datagrams, answer.proved)

    def tick(self, now: float) -> Sequence[ClientReply]:
        """Do what is due for the other protocol."""
        return () if self._other is None else self._other.tick(now)

    def server_ready(self, now: float) -> Sequence[ClientReply]:
        """Return what is for clients of the other protocol."""
        return () if self._other is None else self._other.server_ready(now)

    def refuse(self, host: str, port: int, message: Component, now: float) -> Reply:
        """Tell a client of the other protocol."""
        return NO_REPLY if self._other is None else self._other.refuse(host, port, message, now)

    def opens_session(self, datagram: bytes) -> bool:
        """Return True for a query: a running server answers it itself."""
        return self._other is None or self._other.opens_session(datagram)

    def answer_running(self, datagram: bytes, host: str, port: int, now: float) -> Reply:
        """Leave a datagram that opens no session to the other protocol."""
        return NO_REPLY if self._other is None else self._other.answer_running(datagram, host, port, now)
