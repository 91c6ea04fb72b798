"""Moving bytes between two connected sockets, once nobody needs to understand them any more.

`Relays` is the way in; `base` says what a relay is, `splice` and `transport` are the two there are.
"""

from zeroscale.relay.base import Counters, Outcome, Relay, Report
from zeroscale.relay.handover import Relays
from zeroscale.relay.socket_options import raise_descriptor_limit

__all__ = ["Counters", "Outcome", "Relay", "Relays", "Report", "raise_descriptor_limit"]
