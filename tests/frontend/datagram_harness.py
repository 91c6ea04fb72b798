"""One UDP port with real sockets and the real relay, in front of a fake lifecycle; the clock stands still."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any, cast

from frontend.harness import FakeMessages, Server
from relay.datagram_fixture import Relaying, datagram_socket, relaying

from zeroscale.frontend.admission import Admission
from zeroscale.frontend.connection_limits import PendingConnections
from zeroscale.frontend.context import FrontendContext
from zeroscale.frontend.datagram_limits import AnswerLimits
from zeroscale.frontend.datagram_listener import DatagramListener, DatagramSettings, ListeningSocket
from zeroscale.frontend.decision import JoinPolicy
from zeroscale.frontend.interfaces import Backend
from zeroscale.frontend.waiting_places import WaitingPlaces
from zeroscale.lifecycle.stats import StatsRecorder
from zeroscale.protocols.datagrams import DatagramConversation
from zeroscale.protocols.udp import UdpConversation, WakeRule
from zeroscale.sockets.datagram_socket import listen_datagrams
from zeroscale.status import PlayerSign, Status


class DatagramHarness:
    """A port of a server that is stopped.

    :ivar game: the real server's socket; None: nothing receives datagrams at its port.
    :ivar server: the fake lifecycle.
    :ivar client: a client's socket, connected to the port.
    """

    def __init__(
        self, relaying: Relaying, stack: contextlib.ExitStack, conversation: DatagramConversation | None, hold: bool
    ) -> None:
        self.relaying = relaying
        self._stack = stack
        self.clock = relaying.clock
        self.game = stack.enter_context(datagram_socket())
        self.server = Server()
        self.stats = StatsRecorder(Status.stopped, 0.0)
        self.context = FrontendContext(
            reactor=cast(Any, self.clock),
            relays=cast(Any, None),
            pending_connections=PendingConnections(64, 1000),
            waiting_places=WaitingPlaces(64),
            handshake_timeout=5.0,
        )
        self.backend = Backend(
            self.server,
            FakeMessages(),
            JoinPolicy(holds=True, hold_limit=60.0),
            Admission(),
            host="127.0.0.1",
            port=self.game.getsockname()[1],
            stats=self.stats,
            sign=PlayerSign.client_bytes,
        )
        self.socket = ListeningSocket()
        self.socket.port = relaying.relay.listen(listen_datagrams("127.0.0.1", 0), self.socket)
        self.listener = DatagramListener(
            self.context,
            self.backend,
            conversation or UdpConversation(WakeRule(3, 10.0)),
            DatagramSettings(hold),
            [self.socket],
            AnswerLimits(),
        )
        self.client = self.new_client()

    def new_client(self, host: str = "127.0.0.1") -> socket.socket:
        """Return a client's socket."""
        sock = self._stack.enter_context(datagram_socket(host))
        sock.connect(self.socket.port.address)
        return sock

    def until(self, condition: Callable[[], object]) -> None:
        self.relaying.until(condition)

    def set_status(self, status: Status) -> None:
        """Let the server enter a status, and tell the listener as the lifecycle does."""
        self.server.status = status
        self.listener.status_changed(self.server.view)
        self.server.set_status(status)
        self.clock.advance(0)

    def receive(self, sock: socket.socket) -> bytes:
        return self.relaying.receive(sock)

    def receive_from(self, sock: socket.socket) -> tuple[bytes, Any]:
        return self.relaying.receive_from(sock)

    def dropped(self, reason: str) -> int:
        return self.listener.report().dropped.get(reason, 0)


@contextlib.contextmanager
def datagram_harness(conversation: DatagramConversation | None = None, hold: bool = False) -> Iterator[DatagramHarness]:
    """Run a port, and see that it ends in order."""
    with relaying() as relay, contextlib.ExitStack() as stack:
        harness = DatagramHarness(relay, stack, conversation, hold)
        yield harness
        harness.listener.close()
        assert relay.crashes == []
