"""RakNet before a connection: pings, requests, cookies, and what is dropped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocols.bedrock.joins import (
    GUID,
    HOST,
    JOIN_NAMES,
    JOINS,
    KEY,
    PORT,
    datagrams,
    first_request,
    opening,
    second_request,
)

from zeroscale.errors import ProtocolError
from zeroscale.protocols.bedrock.offline import LARGEST_MTU, MAGIC, Opening, RakNetListener, is_offline
from zeroscale.protocols.bedrock.status import ping, read_pong
from zeroscale.protocols.datagrams import Answer

LISTENER = RakNetListener(KEY, GUID)
STATUS = b"MCPE;Asleep;2193;1.26.51;0;7;4711;second;Survival;1;19132;19133;0;"


def answer(
    datagram: bytes, listener: RakNetListener = LISTENER, host: str = HOST, now: float = 0.0
) -> Answer | Opening:
    return listener.answer(datagram, host, PORT, now, STATUS)


def datagram_of(found: Answer | Opening) -> bytes:
    assert isinstance(found, Answer)
    [datagram] = found.datagrams
    return datagram


@pytest.mark.parametrize("kind", [1, 2])
def test_pings_are_answered_with_the_status(kind: int) -> None:
    found = answer(bytes((kind,)) + ping(b"\x01234567\xff")[1:])
    assert isinstance(found, Answer)
    assert not found.proved
    assert read_pong(datagram_of(found), b"\x01234567\xff") == STATUS
    assert datagram_of(found)[9:17] == GUID.to_bytes(8)


@pytest.mark.parametrize(("size", "mtu"), [(372, 400), (1000, 1028), (1464, LARGEST_MTU), (2000, LARGEST_MTU)])
def test_the_mtu_is_that_of_the_request_within_bounds(size: int, mtu: int) -> None:
    reply = datagram_of(answer(first_request(size)))
    assert len(reply) == 32
    assert reply[:26] == b"\x06" + MAGIC + GUID.to_bytes(8) + b"\x01"
    assert int.from_bytes(reply[30:]) == mtu
    assert int.from_bytes(datagram_of(answer(first_request(size), host="::1"))[30:]) == min(mtu + 20, LARGEST_MTU)


@pytest.mark.parametrize("protocol", [10, 11])
def test_bedrocks_protocols(protocol: int) -> None:
    assert datagram_of(answer(first_request(protocol=protocol)))[0] == 0x06


@pytest.mark.parametrize("protocol", [0, 9, 12, 255])
def test_other_protocols_are_told_so(protocol: int) -> None:
    assert datagram_of(answer(first_request(protocol=protocol))) == b"\x19\x0b" + MAGIC + GUID.to_bytes(8)


def test_a_request_with_its_cookie_opens_a_connection() -> None:
    opened = opening()
    assert opened.proved
    assert (opened.client_guid, opened.mtu) == (99, LARGEST_MTU)
    assert opened.reply == b"\x08" + MAGIC + GUID.to_bytes(8) + b"\x04\x80\xff\xff\xfe\xc3\x50" + b"\x05\x78\x00"


def test_a_cookie_is_of_one_address_port_and_time() -> None:
    cookie = datagram_of(answer(first_request()))[26:30]
    request = second_request(cookie)
    assert isinstance(answer(request, now=60.0), Opening)
    assert answer(request, now=200.0) == Answer()
    assert answer(request, host="192.0.2.1") == Answer()
    assert LISTENER.answer(request, HOST, PORT + 1, 0.0, STATUS) == Answer()
    assert answer(second_request(bytes(4))) == Answer()


def test_without_cookies_the_address_is_not_proved() -> None:
    listener = RakNetListener(KEY, GUID, cookie=False)
    assert len(datagram_of(answer(first_request(), listener))) == 28
    opened = answer(second_request(), listener)
    assert isinstance(opened, Opening)
    assert not opened.proved
    other = answer(second_request(), listener, host="192.0.2.1")
    assert isinstance(other, Opening)
    assert opened.proof != other.proof


@pytest.mark.parametrize(("asked", "mtu"), [(0, 400), (576, 576), (65535, LARGEST_MTU)])
def test_the_mtu_of_a_connection_is_bounded(asked: int, mtu: int) -> None:
    opened = answer(second_request(mtu=asked), RakNetListener(KEY, GUID, cookie=False))
    assert isinstance(opened, Opening)
    assert opened.mtu == mtu


@pytest.mark.parametrize("join", JOINS, ids=JOIN_NAMES)
def test_real_clients_open_a_connection(join: dict[str, object]) -> None:
    listener = RakNetListener(KEY, GUID, cookie=bool(join["cookie"]))
    port = join["port"]
    assert isinstance(port, int)
    found = [listener.answer(each, HOST, port, now, b"") for now, each in datagrams(join) if is_offline(each)]
    assert isinstance(found[-1], Opening)
    assert [type(each) for each in found[:-1]] == [Answer] * (len(found) - 1)


@pytest.mark.parametrize("cookie", [True, False])
@pytest.mark.parametrize("request_", [ping(bytes(8)), first_request()[:18], second_request(b"abcd")])
def test_truncated_at_every_byte(request_: bytes, cookie: bool) -> None:
    listener = RakNetListener(KEY, GUID, cookie=cookie)
    for size in range(len(request_) - 5 if request_[0] == 7 else len(request_)):
        if not cookie and size >= 34:
            break  # the request without a cookie ends there
        with_error = False
        try:
            found = answer(request_[:size], listener)
        except ProtocolError:
            with_error = True
        assert with_error or found == Answer()


@pytest.mark.parametrize(
    "datagram", [b"", b"\x00" * 40, b"\x1c" * 40, b"\x01" * 40, b"\x05" * 1400, b"\x07" * 40, first_request(371)]
)
def test_what_is_none_of_its_messages(datagram: bytes) -> None:
    with pytest.raises(ProtocolError):
        answer(datagram)


@given(
    st.binary(max_size=80),
    st.sampled_from([b"", b"\x01" + bytes(8) + MAGIC, b"\x05" + MAGIC, b"\x07" + MAGIC]),
    st.booleans(),
)
def test_any_datagram_raises_nothing_else(data: bytes, start: bytes, cookie: bool) -> None:
    try:
        found = answer(start + data, RakNetListener(KEY, GUID, cookie=cookie))
    except ProtocolError:
        return
    assert not cookie or isinstance(found, Answer), "a cookie was guessed"


def test_which_datagrams_are_outside_of_a_connection() -> None:
    assert [is_offline(each) for each in (b"", b"\x01", b"\x7f", b"\x80", b"\xc0")] == [False, True, True, False, False]
