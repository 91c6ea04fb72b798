"""Any protocol over UDP, which is not parsed: what of its datagrams wakes a server, and is never answered. Sans-I/O.

A source address can be forged, and nothing of an unknown protocol proves it. So a rule only keeps away what is not a
client's: scanners send one datagram, or two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from zeroscale.errors import ProtocolError
from zeroscale.protocols.conversation import Component
from zeroscale.protocols.datagrams import NO_REPLY, ClientReply, Reply, WakeRequested
from zeroscale.protocols.sniffing import LONGEST_MATCHED, LONGEST_MATCHING

if TYPE_CHECKING:
    import regex

MOST_ADDRESSES = 8192
"""Addresses that are counted at once, for one port: 2 MiB. A client whose address is crowded out by a flood of others
has to send its second datagram before so many others have sent their first."""

SHARE = 10
"""Matching takes one part of so many of the time: a bad pattern would let strangers use all of the CPU."""

PAUSE = SHARE * LONGEST_MATCHING
"""Seconds without a match after one that took too long; the longest one, and shorter ones of that time together, may be
made at once."""

WAKES = Reply(wake=WakeRequested())


class WakeRule(Struct, frozen=True):
    """So many datagrams of one address wake a server.

    :ivar count: how many.
    :ivar seconds: within which time.
    """

    count: int = 3
    seconds: float = 10.0

    def is_met_by(self, datagrams: int, over: float) -> bool:
        """Return whether a client that is no longer watched must have met the rule; False: it may not have.

        :param datagrams: how many it has sent.
        :param over: seconds from the first of them to the last.
        """
        periods = int(max(0.0, over) // self.seconds) + 1  # below 0: the two were read in the other order
        return datagrams > (self.count - 1) * periods


class AddressCounts:
    """Counts the datagrams of each address, bounded in number.

    An address that has sent one datagram gives its place to a newcomer, one that has sent more keeps it until the
    time of the rule is over.
    """

    def __init__(self, rule: WakeRule, most: int = MOST_ADDRESSES) -> None:
        self._rule = rule
        self._most = most
        # Both in the order of the last datagram, so that what is over is at the beginning.
        self._once: dict[str, float] = {}
        self._often: dict[str, tuple[float, ...]] = {}

    def __len__(self) -> int:
        """Return the number of addresses."""
        return len(self._once) + len(self._often)

    def count(self, host: str, now: float) -> bool:
        """Count a datagram; return whether the rule is met, after which the address is forgotten.

        :raises ProtocolError: there are too many addresses.
        """
        since = now - self._rule.seconds
        self._forget(since)
        before = self._often.pop(host, None)
        if before is None:
            once = self._once.pop(host, None)
            before = () if once is None else (once,)
        times = (*(time for time in before if time > since), now)
        if len(times) >= self._rule.count:
            return True
        if len(times) > 1:
            self._often[host] = times
            return False
        if len(self) >= self._most:
            if not self._once:
                raise ProtocolError(f"datagrams of more than {self._most} addresses within {self._rule.seconds:g} s")
            del self._once[next(iter(self._once))]
        self._once[host] = now
        return False

    def _forget(self, since: float) -> None:
        while self._once and self._once[oldest := next(iter(self._once))] <= since:
            del self._once[oldest]
        while self._often and self._often[oldest := next(iter(self._often))][-1] <= since:
            del self._often[oldest]


class UdpConversation:
    """The conversation of a port whose protocol is not known. Implements `datagrams.DatagramConversation`.

    Protocols that answer some datagrams themselves, and relay all others, are derived from it.

    :param rule: what wakes the server.
    :ivar rule: by how many datagrams a client of the running server shows itself; None: its first one has to wake.
    """

    def __init__(self, rule: WakeRule) -> None:
        self.rule: WakeRule | None = rule
        self._counts = AddressCounts(rule)

    @property
    def next_timeout(self) -> float:
        """Never."""
        return math.inf

    def receive(self, datagram: bytes, host: str, port: int, now: float) -> Reply:
        """Count a datagram; the last one of the rule wakes."""
        return WAKES if self._counts.count(host, now) else NO_REPLY

    def tick(self, now: float) -> Sequence[ClientReply]:
        """Return nothing: no client is answered."""
        return ()

    def server_ready(self, now: float) -> Sequence[ClientReply]:
        """Return nothing."""
        return ()

    def refuse(self, host: str, port: int, message: Component, now: float) -> Reply:
        """Return nothing."""
        return NO_REPLY

    def opens_session(self, datagram: bytes) -> bool:
        """Return True: the server has to know its clients itself."""
        return True

    def answer_running(self, datagram: bytes, host: str, port: int, now: float) -> Reply:
        """Return nothing."""
        return NO_REPLY


class PatternConversation(UdpConversation):
    """The same, where a pattern wakes the server: each client's first datagram has to match it, from its first byte on.

    It may be sent again: a client that has no session has sent no other before.

    :param cpu: returns the seconds of CPU that the thread has used.
    """

    def __init__(self, pattern: regex.Pattern[bytes], cpu: Callable[[], float]) -> None:
        super().__init__(WakeRule())
        self.rule = None
        self._pattern = pattern
        self._cpu = cpu
        self._paid_until = -math.inf

    def receive(self, datagram: bytes, host: str, port: int, now: float) -> Reply:
        """Match a datagram.

        :raises ProtocolError: that takes too long, or has just done so.
        """
        if self._paid_until > now + PAUSE:
            raise ProtocolError("wake_on's pattern took too long on another datagram")
        began = self._cpu()
        try:
            found = self._pattern.match(datagram[:LONGEST_MATCHED], timeout=LONGEST_MATCHING)
        except TimeoutError:
            self._paid_until = now + 2 * PAUSE
            raise ProtocolError("wake_on's pattern takes too long on what it sent; make the pattern simpler") from None
        self._paid_until = max(self._paid_until, now) + SHARE * (self._cpu() - began)
        return WAKES if found else NO_REPLY
