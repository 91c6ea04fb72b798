"""A proxy that only relays, to measure the relay without the rest of zeroscale.

python -m benchmarks.relay.harness LISTEN SERVER [--relay splice|transport]
"""

from __future__ import annotations

import argparse
import logging
from typing import Any

from twisted.internet import asyncioreactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

logger = logging.getLogger(__name__)


class Backend(Protocol):
    """Pauses when it is connected, as the relay requires."""

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.pauseProducing()


class Client(Protocol):
    """Connects to the server when it is accepted, and hands both over to the relay."""

    factory: Clients

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.pauseProducing()
        self.relaying = Deferred.fromCoroutine(self._relay())
        self.relaying.addErrback(self._failed)

    async def _relay(self) -> None:
        from twisted.internet import reactor
        from twisted.internet.endpoints import TCP4ClientEndpoint

        backend: Any = await TCP4ClientEndpoint(reactor, "127.0.0.1", self.factory.server).connect(
            Factory.forProtocol(Backend)
        )
        await self.factory.relays.hand_over(self.transport, backend.transport, b"")

    def _failed(self, failure: Failure) -> None:
        logger.error("%s", failure.getErrorMessage())
        transport: Any = self.transport
        transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.relaying.cancel()


class Clients(Factory[Client]):
    """Makes a `Client` for each connection."""

    protocol = Client

    def __init__(self, relays: Any, server: int) -> None:
        self.relays = relays
        self.server = server


def main() -> None:
    """Listen until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("listen", type=int)
    parser.add_argument("server", type=int)
    parser.add_argument("--relay", default="auto")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    asyncioreactor.install()
    from twisted.internet import reactor as installed

    from zeroscale.relay import Relays, raise_descriptor_limit

    reactor: Any = installed
    raise_descriptor_limit()
    relays = Relays(reactor, options.relay)
    relays.start()
    reactor.listenTCP(options.listen, Clients(relays, options.server), backlog=1024, interface="127.0.0.1")
    reactor.addSystemEventTrigger("before", "shutdown", relays.stop, 0)
    reactor.run()


if __name__ == "__main__":
    main()
