"""How often a starting server is asked: often at first, and less the longer its start takes.

A server is found to be ready half an interval late, on average. An interval that is a share of the time that has passed
keeps this small beside the start itself, and costs a number of questions that hardly grows with that time. Does no I/O.
"""

from __future__ import annotations

from msgspec import Struct


class Pace(Struct, frozen=True):
    """How often one kind of question is asked.

    :ivar shortest: seconds between two questions at first.
    :ivar share: the interval as a share of the time that has passed, between the two bounds.
    :ivar longest: seconds between two questions at most.
    """

    shortest: float
    share: float
    longest: float

    def interval(self, elapsed: float) -> float:
        """Return the seconds until the next question.

        :param elapsed: seconds since the wait began.
        """
        return min(max(self.shortest, self.share * elapsed), self.longest)


LOCAL_CONNECTION = Pace(0.02, 0.01, 0.25)
"""Connections to a port of this machine that is not open yet. The kernel refuses them, and the server sees none."""

REMOTE_CONNECTION = Pace(0.1, 0.01, 0.25)
"""The same to other addresses, where each is a packet for the network and for another machine."""

STATUS = Pace(0.25, 0.1, 5.0)
"""Status requests: Forge logs a line for each (lazymc issue 103)."""

REQUEST = Pace(0.1, 0.1, 1.0)
"""Requests of a few bytes, which a web server may log."""

COMMAND = Pace(0.25, 0.1, 1.0)
"""Commands, each of which starts processes while the server needs the processor itself."""
