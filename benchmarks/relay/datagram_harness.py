"""A proxy that only relays datagrams: python -m benchmarks.relay.datagram_harness LISTEN SERVER [--host HOST].

It also listens for connections on the same port, which tells that it has started.
"""

from __future__ import annotations

import argparse
import logging
from typing import Any

from twisted.internet import asyncioreactor
from twisted.internet.protocol import Factory


class Observer:
    """Opens a session for each client."""

    port: Any = None

    def __init__(self, server: int) -> None:
        self.server = server

    def arrived(self, client: Any, datagrams: list[bytes]) -> None:
        self.port.open_session(client, ("127.0.0.1", self.server), datagrams)

    def session_ended(self, session: Any, end: Any) -> None:
        logging.info("%s: %s", session.client, end)


def main() -> None:
    """Relay until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("listen", type=int)
    parser.add_argument("server", type=int)
    parser.add_argument("--host", default="0.0.0.0")
    options = parser.parse_args()
    asyncioreactor.install()
    from twisted.internet import reactor as installed

    from zeroscale.relay.datagram_relay import DatagramRelay
    from zeroscale.sockets.datagram_socket import listen_datagrams

    reactor: Any = installed
    relay = DatagramRelay(reactor, lambda failure: reactor.stop())
    observer = Observer(options.server)
    observer.port = relay.listen(listen_datagrams(options.host, options.listen), observer)
    reactor.listenTCP(options.listen, Factory(), interface="127.0.0.1")
    reactor.addSystemEventTrigger("before", "shutdown", relay.stop)
    reactor.run()


if __name__ == "__main__":
    main()
