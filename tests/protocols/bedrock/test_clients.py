"""All Bedrock clients of a port: bounds, who may take whose place, holding and telling."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest
from protocols.bedrock.joins import (
    CONNECTION_REQUEST,
    GUID,
    HOST,
    KEY,
    acknowledge,
    first_request,
    incoming,
    reliable,
    request_settings,
    second_request,
    sent,
    unreliable,
)

from zeroscale.errors import ProtocolError
from zeroscale.protocols.bedrock.clients import MOST_CLIENTS, MOST_OF_A_HOST, MOST_UNPROVED, NOTHING, BedrockClients
from zeroscale.protocols.bedrock.connected import AddressProved, ClientLeft
from zeroscale.protocols.bedrock.conversation import BedrockOutput, JoinRequested
from zeroscale.protocols.bedrock.disconnect import encode
from zeroscale.protocols.bedrock.offline import RakNetListener
from zeroscale.protocols.bedrock.status import ping, read_pong

TEXT = "Waking up"
HOLD = 8.0


def clients(*, cookie: bool = True) -> BedrockClients:
    return BedrockClients(RakNetListener(KEY, GUID, cookie=cookie), HOLD)


def opened(tested: BedrockClients, host: str = HOST, port: int = 1, guid: int = 99, now: float = 0.0) -> BedrockOutput:
    reply = tested.receive(first_request(), host, port, now, b"").datagrams[0]
    cookie = reply[26:30] if reply[25] else b""
    return tested.receive(second_request(cookie, guid=guid), host, port, now, b"")


def joined(tested: BedrockClients, host: str = HOST, port: int = 1, now: float = 0.0) -> BedrockOutput:
    assert opened(tested, host, port, now=now).datagrams
    return tested.receive(sent(0, reliable(request_settings(2225))), host, port, now, b"")


def prove(tested: BedrockClients) -> None:
    """Prove the address of a client that has sent no cookie."""
    accepted = max(tested.receive(sent(0, unreliable(CONNECTION_REQUEST)), HOST, 1, 0.0, b"").datagrams, key=len)
    proof = incoming(0, int.from_bytes(accepted[-8:], signed=True))
    assert tested.receive(sent(1, reliable(proof)), HOST, 1, 0.0, b"").events == (AddressProved(),)


def hosts(count: int) -> Iterable[str]:
    return (f"10.0.{number >> 8}.{number & 255}" for number in range(count))


def test_pings_are_answered_and_nothing_is_stored() -> None:
    tested = clients()
    output = tested.receive(ping(b"12345678"), HOST, 1, 0.0, b"MCPE;x")
    assert read_pong(output.datagrams[0], b"12345678") == b"MCPE;x"
    assert not output.proved
    tested.receive(first_request(), HOST, 1, 0.0, b"")
    assert (len(tested), tested.next_timeout) == (0, math.inf)


def test_a_join_is_held_and_then_told() -> None:
    tested = clients()
    assert joined(tested).events == (AddressProved(), JoinRequested(2225, ""))
    tested.receive(sent(1, unreliable(b"\x00" + bytes(8))), HOST, 1, 4.0, b"")
    assert tested.next_timeout == HOLD
    assert tested.tick(7.9, TEXT) == []
    [told] = tested.tick(HOLD, TEXT)
    assert (told.host, told.port) == (HOST, 1)
    assert told.output.datagrams[0].endswith(encode(2225, TEXT))
    assert tested.next_timeout == HOLD + 0.5
    assert tested.receive(acknowledge(1), HOST, 1, 8.1, b"").events == (ClientLeft("told"),)
    assert len(tested) == 0
    assert tested.receive(acknowledge(2), HOST, 1, 8.2, b"") == NOTHING


def test_all_are_told_when_the_server_is_ready() -> None:
    tested = clients()
    joined(tested, "192.0.2.1")
    opened(tested, "192.0.2.2")
    told = tested.tell_all(TEXT, 1.0)
    assert [each.host for each in told] == ["192.0.2.1", "192.0.2.2"]
    assert encode(2225, TEXT) in told[0].output.datagrams[0]
    assert told[1].output.events == (AddressProved(), ClientLeft("closed"))
    assert len(tested) == 1
    assert [each.output.events for each in tested.tick(3.0, TEXT)] == [(ClientLeft("told"),)]
    assert len(tested) == 0


def test_silent_clients_are_dropped() -> None:
    tested = clients()
    opened(tested)
    assert tested.next_timeout == 10.0
    assert [each.output.events[-1] for each in tested.tick(10.0, TEXT)] == [ClientLeft("silent")]
    assert len(tested) == 0


def test_a_repeated_request_is_no_new_client() -> None:
    tested = clients()
    joined(tested)
    again = opened(tested)
    assert again.datagrams and again.events == ()
    assert tested.receive(sent(1, reliable(request_settings(2225))), HOST, 1, 0.0, b"").events == ()


@pytest.mark.parametrize("cookie", [True, False])
def test_only_a_proved_address_takes_the_place_of_its_former_client(cookie: bool) -> None:
    tested = clients(cookie=cookie)
    opened(tested)
    if not cookie:
        prove(tested)
    output = opened(tested, guid=100)
    assert output.events == ((ClientLeft("replaced"),) if cookie else ())
    assert bool(output.datagrams) == cookie
    assert len(tested) == 1


def test_an_unproved_one_is_replaced_by_another() -> None:
    tested = clients(cookie=False)
    opened(tested)
    assert opened(tested, guid=100).events == (ClientLeft("replaced"),)
    assert len(tested) == 1


def test_the_clients_of_a_host_are_bounded() -> None:
    tested = clients()
    for port in range(MOST_OF_A_HOST + 5):
        assert bool(opened(tested, port=port).datagrams) == (port < MOST_OF_A_HOST)
    assert len(tested) == MOST_OF_A_HOST
    assert opened(tested, "192.0.2.1").datagrams
    tested.tick(10.0, TEXT)
    assert opened(tested, port=99, now=10.0).datagrams, "there is place again"


def test_newcomers_do_not_take_the_places_of_proved_clients() -> None:
    tested = clients()
    for host in hosts(MOST_CLIENTS):
        assert opened(tested, host).datagrams
    assert opened(tested, "192.0.2.1").datagrams == ()
    assert len(tested) == MOST_CLIENTS
    assert tested.receive(sent(0, unreliable(CONNECTION_REQUEST)), "10.0.0.0", 1, 0.0, b"").datagrams


def test_unproved_clients_are_bounded_and_the_oldest_goes() -> None:
    tested = clients(cookie=False)
    for host in hosts(MOST_UNPROVED + 1):
        assert not opened(tested, host).proved
    assert len(tested) == MOST_UNPROVED
    request = sent(0, unreliable(CONNECTION_REQUEST))
    assert tested.receive(request, "10.0.0.0", 1, 0.0, b"") == NOTHING
    assert tested.receive(request, "10.0.0.1", 1, 0.0, b"").datagrams


def test_unproved_clients_do_not_take_the_place_of_a_proved_one() -> None:
    tested = clients(cookie=False)
    opened(tested)
    prove(tested)
    for host in hosts(2 * MOST_UNPROVED):
        opened(tested, host)
    assert len(tested) == MOST_UNPROVED + 1
    assert tested.receive(sent(2, reliable(request_settings(800))), HOST, 1, 0.0, b"").events == (
        JoinRequested(800, ""),
    )


def test_silent_unproved_clients_leave_their_places() -> None:
    tested = clients(cookie=False)
    for host in hosts(MOST_UNPROVED):
        opened(tested, host)
    assert len(tested.tick(10.0, TEXT)) == MOST_UNPROVED
    for host in hosts(MOST_UNPROVED + 1):
        opened(tested, host, now=10.0)
    assert len(tested) == MOST_UNPROVED


def test_what_is_no_raknet() -> None:
    with pytest.raises(ProtocolError):
        clients().receive(b"\x1c", HOST, 1, 0.0, b"")
    assert clients().receive(b"", HOST, 1, 0.0, b"") == NOTHING
