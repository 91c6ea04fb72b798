"""Twisted's port forwarder as a program: python -m benchmarks.relay.portforward LISTEN SERVER."""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.protocols.portforward import ProxyFactory


def main() -> None:
    """Forward until killed."""
    reactor: Any = global_reactor
    listen, server = map(int, sys.argv[1:])
    reactor.listenTCP(listen, ProxyFactory("127.0.0.1", server), backlog=4096, interface="127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main()
