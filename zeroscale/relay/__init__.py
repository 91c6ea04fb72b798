"""Moves bytes between a connected client and its server. Uses no protocol.

`Relays` is what other packages use. `base` defines what a relay is; `splice` and `transport` are the two there are.
"""

from zeroscale.relay.base import Counters, Outcome, Relay, Report
from zeroscale.relay.handover import Relays
from zeroscale.sockets.options import raise_descriptor_limit

__all__ = ["Counters", "Outcome", "Relay", "Relays", "Report", "raise_descriptor_limit"]
