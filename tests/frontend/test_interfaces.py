"""Which clients keep a server running: those of ports that count."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred, succeed

from zeroscale.frontend.decision import JoinPolicy
from zeroscale.frontend.interfaces import Backend, UncountedSession
from zeroscale.status import ClientInfo, ServerSnapshot, Status


class Session:
    ended = 0

    def end(self, at: float | None = None) -> None:
        self.ended += 1


class Server:
    def __init__(self, status: Status) -> None:
        self.view = ServerSnapshot(name="game", status=status, since=0.0)
        self.session = Session()
        self.admitted: list[ClientInfo] = []

    def admit(self, client: ClientInfo) -> Deferred[Any]:
        self.admitted.append(client)
        return succeed(self.session)


def backend(server: Server, *, counts: bool) -> Backend:
    nothing = cast("Any", None)
    policy = JoinPolicy(holds=True, hold_limit=1.0)
    return Backend(cast("Any", server), nothing, policy, nothing, "127.0.0.1", 1, nothing, counts=counts)


def admitted(server: Server, *, counts: bool) -> Any:
    found: list[Any] = []
    backend(server, counts=counts).admit(ClientInfo("Ada")).addCallback(found.append)
    [session] = found
    return session


def test_a_client_that_counts_has_a_session_of_the_lifecycle() -> None:
    server = Server(Status.running)
    assert admitted(server, counts=True) is server.session
    assert (server.admitted, server.session.ended) == ([ClientInfo("Ada")], 0)


def test_one_that_does_not_count_is_not_noticed_by_a_running_server() -> None:
    server = Server(Status.running)
    session = admitted(server, counts=False)
    assert isinstance(session, UncountedSession)
    session.end()
    assert server.admitted == []


def test_one_that_has_woken_the_server_counts_until_it_is_ready() -> None:
    server = Server(Status.starting)
    session = admitted(server, counts=False)
    assert isinstance(session, UncountedSession)
    assert (server.admitted, server.session.ended) == ([ClientInfo("Ada")], 1)


def test_the_plugins_own_reply_is_not_in_the_protocol_of_further_ports() -> None:
    server = Server(Status.stopped)
    server.fake_status = lambda: b"reply"  # type: ignore[attr-defined]  # what no other test needs
    port = backend(server, counts=True)
    assert port.fake_status() == b"reply"
    port.listen = "8123"
    assert port.fake_status() is None
