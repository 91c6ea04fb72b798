"""A Bedrock client's join: recorded ones of real clients, the proof before the join, and the end."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from protocols.bedrock.joins import (
    CONNECTION_REQUEST,
    GUID,
    HOST,
    JOIN_NAMES,
    JOINS,
    KEY,
    PORT,
    datagrams,
    incoming,
    opening,
    reliable,
    request_settings,
    sent,
    unreliable,
)

from zeroscale.errors import ProtocolError
from zeroscale.protocols.bedrock.connected import AddressProved, ClientLeft
from zeroscale.protocols.bedrock.conversation import BedrockConversation, BedrockEvent, JoinRequested
from zeroscale.protocols.bedrock.disconnect import encode
from zeroscale.protocols.bedrock.offline import Opening, RakNetListener, is_offline

TEXT = "Waking up: join again in about 30 s"


def conversation(*, cookie: bool = True) -> BedrockConversation:
    return BedrockConversation(opening(cookie=cookie), HOST, PORT, 0.0)


def replayed(join: dict[str, Any]) -> tuple[list[BedrockEvent], bytes]:
    """Play a recorded client; return all events, and all bytes sent to it in its connection."""
    listener = RakNetListener(KEY, GUID, cookie=join["cookie"])
    found: BedrockConversation | None = None
    events: list[BedrockEvent] = []
    sent_bytes = b""
    told = False
    for now, datagram in datagrams(join):
        if is_offline(datagram):
            answer = listener.answer(datagram, HOST, join["port"], now, b"")
            if isinstance(answer, Opening) and found is None:
                found = BedrockConversation(answer, HOST, join["port"], now)
            continue
        assert found is not None
        if now >= join["told_at"] and not told:
            told = True
            output = found.disconnect(TEXT, join["told_at"])
            sent_bytes += b"".join(output.datagrams)
        output = found.receive(datagram, now)
        events += output.events
        sent_bytes += b"".join(output.datagrams)
    assert found is not None
    while (timeout := found.next_timeout) < math.inf:  # jsp-raknet acknowledges nothing when it is told
        events += found.tick(timeout).events
    return events, sent_bytes


@pytest.mark.parametrize("join", JOINS, ids=JOIN_NAMES)
def test_real_clients_join_and_are_told_to_come_again(join: dict[str, Any]) -> None:
    events, sent_bytes = replayed(join)
    assert [repr(event) for event in events] == join["events"]
    assert TEXT in join["understood"]
    [protocol] = [event.protocol for event in events if isinstance(event, JoinRequested)]
    assert encode(protocol, TEXT) in sent_bytes


def test_what_the_recorded_clients_were() -> None:
    joined = {
        event.protocol: event.name for join in JOINS for event in replayed(join)[0] if isinstance(event, JoinRequested)
    }
    assert joined == {422: "Steve", 503: "Steve", 686: "", 2193: "", 2225: ""}


def test_a_join_without_a_proof_wakes_nothing() -> None:
    tested = conversation(cookie=False)
    output = tested.receive(sent(0, unreliable(CONNECTION_REQUEST), reliable(request_settings(2225))), 1.0)
    assert (output.events, output.proved) == ((), False)
    accepted = max(output.datagrams, key=len)
    proof = incoming(*struct.unpack(">qq", accepted[-16:]))
    output = tested.receive(sent(1, reliable(proof)), 1.1)
    assert output.events == (AddressProved(), JoinRequested(2225, ""))


def test_a_proof_without_a_join_wakes_nothing() -> None:
    tested = conversation()
    assert tested.receive(sent(0, unreliable(CONNECTION_REQUEST)), 1.0).events == (AddressProved(),)
    assert tested.receive(sent(1, reliable(b"\xfe\x05nothing")), 1.1).events == ()
    assert tested.receive(sent(2, reliable(request_settings(800))), 1.2).events == (JoinRequested(800, ""),)
    assert tested.receive(sent(3, reliable(request_settings(622))), 1.3).events == ()
    [datagram] = tested.disconnect(TEXT, 2.0).datagrams
    assert datagram.endswith(encode(800, TEXT)), "the first one counts"


def test_a_client_that_joins_and_leaves_in_one_datagram() -> None:
    output = conversation().receive(sent(0, reliable(request_settings(800)), reliable(b"\x15", 1)), 1.0)
    assert output.events == (AddressProved(), JoinRequested(800, ""), ClientLeft("left"))


def test_a_client_is_told_in_the_layout_of_its_protocol() -> None:
    tested = conversation()
    tested.receive(sent(0, reliable(request_settings(622))), 1.0)
    [datagram] = tested.disconnect(TEXT, 2.0).datagrams
    assert datagram.endswith(encode(622, TEXT))
    assert tested.next_timeout == 2.5


def test_a_client_that_has_not_asked_to_join_is_told_nothing() -> None:
    output = conversation().disconnect(TEXT, 2.0)
    assert output.events == (AddressProved(), ClientLeft("closed"))


def test_an_error_ends_nothing() -> None:
    tested = conversation()
    with pytest.raises(ProtocolError):
        tested.receive(b"\x84", 1.0)
    assert tested.receive(sent(0, reliable(request_settings(622))), 1.0).events[1:] == (JoinRequested(622, ""),)
    assert tested.client_guid == 99
    assert tested.tick(11.0).events == (ClientLeft("silent"),)
