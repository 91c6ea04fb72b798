"""quarry's own server, which answers only the protocol numbers that it knows: `python quarry_server.py PORT`."""

from __future__ import annotations

import sys

from quarry.net.server import ServerFactory
from twisted.internet import reactor
from twisted.internet.interfaces import IReactorCore

factory = ServerFactory()
factory.online_mode = False
factory.listen("127.0.0.1", int(sys.argv[1]))
IReactorCore(reactor).run()
