"""RakNet's connection: acknowledgements, proof of address, fragments, repetition, and bounds."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocols.bedrock.joins import (
    CONNECTION_REQUEST,
    HOST,
    PORT,
    acknowledge,
    fragment,
    incoming,
    opening,
    reliable,
    request_settings,
    sent,
    unreliable,
)

from zeroscale.errors import ProtocolError
from zeroscale.protocols.bedrock.connected import (
    KEPT_FRAGMENTS,
    LARGEST_MESSAGE,
    LEAVE_AFTER,
    MOST_SENDINGS,
    SILENCE,
    AddressProved,
    ClientLeft,
    MessageReceived,
    RakNetConnection,
    RakNetOutput,
)

SETTINGS = request_settings(2225)
NOTIFICATION = b"\x15"


def connection(*, cookie: bool = True, host: str = HOST) -> RakNetConnection:
    return RakNetConnection(opening(cookie=cookie, host=host), host, PORT, 0.0)


def frames(output: RakNetOutput) -> list[bytes]:
    """Return the content of each datagram that is no acknowledgement."""
    found = []
    for datagram in output.datagrams:
        if datagram[0] == 0x84:
            header = 10 if datagram[4] == 0x60 else 3
            assert len(datagram) - 4 - header == struct.unpack(">H", datagram[5:7])[0] // 8
            found.append(datagram[4 + header :])
    return found


def acknowledgements(output: RakNetOutput) -> list[bytes]:
    return [datagram for datagram in output.datagrams if datagram[0] != 0x84]


@pytest.mark.parametrize(("host", "size"), [(HOST, 7), ("2001:db8::1", 29)])
def test_a_connection_request_is_accepted(host: str, size: int) -> None:
    output = connection(host=host).receive(sent(0, unreliable(CONNECTION_REQUEST)), 1.0)
    assert output.events == (AddressProved(),)
    assert output.proved
    assert acknowledgements(output) == [acknowledge(0)]
    [accepted] = frames(output)
    assert accepted[0] == 0x10
    assert len(accepted) == 1 + size + 2 + 20 * 7 + 16 <= LARGEST_MESSAGE
    assert struct.unpack(">q", accepted[-16:-8]) == (123456,)


@pytest.mark.parametrize("place", ["first", "second", "a client of 10 addresses"])
def test_the_time_that_comes_back_proves_the_address(place: str) -> None:
    tested = connection(cookie=False)
    output = tested.receive(sent(0, unreliable(CONNECTION_REQUEST)), 1.0)
    assert not output.proved and output.events == ()
    [accepted] = frames(output)
    time_sent = accepted[-8:]
    if place == "a client of 10 addresses":
        time_sent = accepted[1 + 7 + 2 + 10 * 7 :][8:16]
    (number,) = struct.unpack(">q", time_sent)
    times = (5, number) if place == "second" else (number, 5)
    output = tested.receive(sent(1, reliable(incoming(*times))), 1.1)
    assert output.events == (AddressProved(),)
    assert tested.receive(sent(2, reliable(incoming(*times), 1)), 1.1).events == ()


def test_a_wrong_time_proves_nothing() -> None:
    tested = connection(cookie=False)
    tested.receive(sent(0, unreliable(CONNECTION_REQUEST)), 1.0)
    for number, message in enumerate((incoming(1, 2), incoming(0, 0), b"\x13", b"\x13" + bytes(7))):
        assert not tested.receive(sent(number + 1, reliable(message)), 1.1).proved


def test_messages_come_in_any_order_and_number() -> None:
    tested = connection()
    events = tested.receive(sent(3, reliable(SETTINGS, 3), reliable(b"\x13"), unreliable(b"")), 1.0).events
    assert events == (AddressProved(), MessageReceived(SETTINGS))
    assert tested.receive(sent(3, reliable(SETTINGS, 3)), 1.0).events == (MessageReceived(SETTINGS),)


def test_missing_datagrams_are_asked_for() -> None:
    tested = connection()
    assert acknowledgements(tested.receive(sent(1, unreliable(b"\x13")), 1.0)) == [
        acknowledge(1),
        b"\xa0\x00\x01\x01" + bytes(3),
    ]
    assert acknowledgements(tested.receive(sent(4, unreliable(b"\x13")), 1.0)) == [
        acknowledge(4),
        b"\xa0\x00\x01\x00\x02\x00\x00\x03\x00\x00",
    ]
    assert acknowledgements(tested.receive(sent(2, unreliable(b"\x13")), 1.0)) == [acknowledge(2)]
    assert acknowledgements(tested.receive(sent(0xFFFFFF, unreliable(b"\x13")), 1.0)) == [acknowledge(0xFFFFFF)]


def test_one_ping_of_a_datagram_is_answered() -> None:
    ping = unreliable(b"\x00" + struct.pack(">q", 77))
    output = connection().receive(sent(0, *[ping] * 50), 12.5)
    assert frames(output) == [b"\x03" + struct.pack(">qq", 77, 12500)]


def test_a_message_is_sent_again_until_it_is_acknowledged() -> None:
    tested = connection()
    [accepted] = frames(tested.receive(sent(0, unreliable(CONNECTION_REQUEST)), 0.0))
    times = []
    output = RakNetOutput()
    for each in range(1, 70):
        tested.receive(sent(each, unreliable(b"\x13")), each / 2)
        output = tested.tick(each / 2)
        if output.events:
            break
        if output.datagrams:
            assert frames(output) == [accepted]
            times.append(each / 2)
    assert times == [0.5, 1.5, 3.5, 7.5, 15.5]
    assert len(times) == MOST_SENDINGS - 1
    assert (frames(output), output.events) == ([NOTIFICATION], (ClientLeft("lost"),))
    assert tested.next_timeout == math.inf


def test_an_acknowledged_message_is_not_sent_again() -> None:
    tested = connection()
    output = tested.receive(sent(0, unreliable(CONNECTION_REQUEST)), 0.0)
    tested.receive(b"\xc0\x00\x02\x01\x09\x00\x00\x00\x00\x00\x00\x05\x00\x00", 0.1)
    assert tested.next_timeout == 0.1 + SILENCE
    assert tested.tick(1.0).datagrams == ()
    assert frames(output)


def test_a_message_is_sent_again_when_asked_for() -> None:
    tested = connection()
    first = tested.receive(sent(0, unreliable(CONNECTION_REQUEST)), 0.0)
    again = tested.receive(b"\xa0\x00\x01\x01\x00\x00\x00", 0.1)
    assert frames(again) == frames(first)
    assert [each[1] for each in (*first.datagrams, *again.datagrams) if each[0] == 0x84] == [0, 1]
    assert frames(tested.receive(sent(1, unreliable(CONNECTION_REQUEST)), 0.2)) == frames(first), "no second one"


def test_an_unproved_client_is_sent_nothing_by_itself() -> None:
    tested = connection(cookie=False)
    tested.receive(sent(0, unreliable(CONNECTION_REQUEST)), 0.0)
    assert tested.next_timeout == SILENCE
    assert tested.tick(5.0).datagrams == ()
    assert tested.tick(SILENCE) == RakNetOutput((), (ClientLeft("silent"),))


def test_a_silent_client_is_gone() -> None:
    tested = connection()
    tested.receive(sent(0, unreliable(b"\x13")), 3.0)
    assert tested.next_timeout == 3.0 + SILENCE
    assert tested.tick(12.9).events == ()
    output = tested.tick(13.0)
    assert output.events == (ClientLeft("silent"),)
    assert frames(output) == [NOTIFICATION]
    assert tested.receive(sent(1, reliable(SETTINGS)), 13.1) == RakNetOutput()
    assert tested.tick(20.0) == RakNetOutput()


def test_a_client_that_leaves() -> None:
    output = connection().receive(sent(0, reliable(NOTIFICATION), reliable(SETTINGS)), 1.0)
    assert output.events == (AddressProved(), ClientLeft("left"))
    assert output.datagrams == ()


@pytest.mark.parametrize("is_acknowledged", [True, False])
def test_the_last_message_ends_the_connection(is_acknowledged: bool) -> None:
    tested = connection()
    tested.receive(sent(0, unreliable(b"\x13")), 0.0)
    assert frames(tested.send_last(b"\xfebye", 1.0)) == [b"\xfebye"]
    assert tested.send_last(b"\xfeagain", 1.1) == RakNetOutput((), (), True)
    if is_acknowledged:
        output = tested.receive(acknowledge(0), 1.2)
    else:
        assert frames(tested.tick(1.5)) == [b"\xfebye"]
        assert tested.next_timeout == 2.5
        assert frames(tested.tick(2.5)) == [b"\xfebye"]
        assert tested.next_timeout == 1.0 + LEAVE_AFTER
        output = tested.tick(3.0)
    assert (frames(output), output.events) == ([NOTIFICATION], (ClientLeft("told"),))


def test_close_ends_it_at_once() -> None:
    output = connection().close()
    assert (frames(output), output.events) == ([NOTIFICATION], (AddressProved(), ClientLeft("closed")))
    assert connection(cookie=False).close() == RakNetOutput((), (ClientLeft("closed"),))


def test_a_message_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="at most"):
        connection().send(bytes(LARGEST_MESSAGE + 1), 0.0)
    [datagram] = connection().send(bytes(LARGEST_MESSAGE), 0.0).datagrams
    assert len(datagram) + 48 == 400


def test_fragments_are_joined_in_any_order() -> None:
    tested = connection()
    parts = [b"\xfe" + b"a" * 9, b"b" * 10, b"c"]
    output = [
        tested.receive(sent(n, fragment(parts[i], 3, i)), 1.0).events for n, i in enumerate((2, 0, 0, 1, 0, 1, 2))
    ]
    assert output[3] == (MessageReceived(b"".join(parts)),)
    assert [events for events in output if any(isinstance(each, MessageReceived) for each in events)] == [output[3]]


def test_fragments_of_another_message_begin_it_anew() -> None:
    tested = connection()
    tested.receive(sent(0, fragment(b"\xfea", 2, 0, message=1)), 1.0)
    assert MessageReceived(b"\xfeab") not in tested.receive(sent(1, fragment(b"b", 2, 1, message=2)), 1.0).events
    assert tested.receive(sent(2, fragment(b"\xfec", 2, 0, message=2)), 1.0).events == (MessageReceived(b"\xfecb"),)


def test_a_fragment_that_contradicts_the_count_begins_the_message_anew() -> None:
    tested = connection()
    tested.receive(sent(0, fragment(b"z", 3, 2)), 1.0)
    assert MessageReceived(b"\xfeb") not in tested.receive(sent(1, fragment(b"\xfea", 2, 0)), 1.0).events
    assert MessageReceived(b"\xfeab") in tested.receive(sent(2, fragment(b"b", 2, 1)), 1.0).events


def test_the_beginning_of_a_long_message_suffices() -> None:
    tested = connection()
    received = []
    for number in range(200):
        output = tested.receive(sent(number, fragment(b"\xfe" * 1000, 200, number)), 1.0)
        assert acknowledge(number) in output.datagrams
        received += [each for each in output.events if isinstance(each, MessageReceived)]
    assert received == [MessageReceived(b"\xfe" * 1000 * KEPT_FRAGMENTS)]


def test_nothing_is_kept_for_an_unproved_address() -> None:
    tested = connection(cookie=False)
    [accepted] = frames(tested.receive(sent(0, unreliable(CONNECTION_REQUEST)), 1.0))
    both = sent(1, fragment(b"\xfea", 1, 0))
    assert tested.receive(both, 1.0) == RakNetOutput(), "not acknowledged, so that it is sent again"
    proof = incoming(*struct.unpack(">qq", accepted[-16:]))
    output = tested.receive(sent(2, reliable(proof), fragment(b"\xfea", 1, 0)), 1.0)
    assert output.events == (AddressProved(), MessageReceived(b"\xfea"))


@pytest.mark.parametrize(("count", "index"), [(0, 0), (3, 3), (5000, 0), (2**32 - 1, 0)])
def test_impossible_fragments(count: int, index: int) -> None:
    with pytest.raises(ProtocolError, match="fragment"):
        connection().receive(sent(0, fragment(b"x", count, index)), 1.0)


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"\x05",
        b"\x84",
        b"\x84\x00\x00",
        sent(0, b"\x60"),
        sent(0, unreliable(SETTINGS))[:-1],
        b"\x84" + bytes(1500),
        b"\xc0\x00",
        b"\xc0\x00\x01",
        b"\xa0\xff\xff\x00",
    ],
)
def test_what_is_no_datagram_of_a_connection(datagram: bytes) -> None:
    tested = connection()
    with pytest.raises(ProtocolError):
        tested.receive(datagram, 1.0)
    assert tested.receive(sent(0, reliable(SETTINGS)), 1.0).events[1:] == (MessageReceived(SETTINGS),)


@pytest.mark.parametrize("frame", [reliable(SETTINGS), fragment(b"\xfeabc", 1, 0), unreliable(CONNECTION_REQUEST)])
def test_truncated_at_every_byte(frame: bytes) -> None:
    for size in range(1, len(frame)):
        with pytest.raises(ProtocolError):
            connection().receive(sent(0, frame[:size]), 1.0)


PIECES = st.one_of(
    st.binary(max_size=60),
    st.binary(max_size=60).map(lambda data: b"\x84" + data),
    st.binary(max_size=60).map(lambda data: b"\xc0\x00\x02" + data),
    st.binary(max_size=60).map(lambda data: b"\xa0\x00\x02" + data),
    st.binary(max_size=60).map(lambda data: sent(1, reliable(data))),
    st.builds(
        lambda data, count, index: sent(2, fragment(data, count, index)),
        st.binary(max_size=30),
        st.integers(0, 9),
        st.integers(0, 9),
    ),
    st.just(sent(0, unreliable(CONNECTION_REQUEST))),
)


@given(st.lists(PIECES, max_size=30), st.booleans())
def test_any_datagrams_raise_nothing_else(datagrams: list[bytes], cookie: bool) -> None:
    tested = connection(cookie=cookie)
    now = 0.0
    for datagram in datagrams:
        now += 0.3
        try:
            output = tested.receive(datagram, now)
        except ProtocolError:
            continue
        assert sum(map(len, output.datagrams)) <= 4 * LARGEST_MESSAGE
        if not cookie:
            assert not output.proved
        tested.tick(now)
