"""A held client: how long, with which keep-alive, and what it may send."""

from __future__ import annotations

import pytest
from quarry.types.buffer import Buffer1_7

from zeroscale.errors import ProtocolError
from zeroscale.protocols.conversation import HoldAnswered
from zeroscale.protocols.minecraft.login_hold import MOST_OUTSTANDING, LoginPluginHold


def request_id(request: bytes) -> int:
    """The id of a Login Plugin Request."""
    buffer = Buffer1_7(request).unpack_packet(Buffer1_7)
    assert buffer.unpack_varint() == 4
    number: int = buffer.unpack_varint()
    return number


def answer(number: int, after: bytes = b"\x00", packet_id: int = 2) -> bytes:
    """A Login Plugin Response."""
    packed: bytes = Buffer1_7.pack_packet(Buffer1_7.pack_varint(packet_id) + Buffer1_7.pack_varint(number) + after)
    return packed


def modern() -> LoginPluginHold:
    """A held client of 1.21.4."""
    return LoginPluginHold(769, legacy_hold=False, channel="zeroscale:hold")


@pytest.mark.parametrize(
    ("protocol", "legacy_hold", "max_hold", "keepalive"),
    [
        (4, False, 17.0, b""),
        (5, True, None, b"\x00"),
        (47, False, 27.0, b""),
        (340, True, None, b"\x00"),
        (350, True, 27.0, b""),  # a snapshot of 1.13: neither empty frames nor requests are certain to work
        (385, False, 27.0, b""),
    ],
)
def test_a_client_held_without_requests(
    protocol: int, legacy_hold: bool, max_hold: float | None, keepalive: bytes
) -> None:
    hold = LoginPluginHold(protocol, legacy_hold=legacy_hold, channel="a:b")
    assert (hold.max_hold, hold.keepalive(), hold.unanswered) == (max_hold, keepalive, 0)
    with pytest.raises(ProtocolError):
        hold.receive(answer(0))


@pytest.mark.parametrize("protocol", [393, 769, 777, 5000, -1])
def test_a_client_held_with_requests_has_no_limit(protocol: int) -> None:
    hold = LoginPluginHold(protocol, legacy_hold=True, channel="a:b")
    assert hold.max_hold is None
    hold.receive(answer(request_id(hold.keepalive())))


def test_answers_in_any_order_and_pieces() -> None:
    hold = modern()
    ids = [request_id(hold.keepalive()) for _ in range(5)]
    assert len(set(ids)) == 5
    assert hold.unanswered == 5
    data = b"".join(answer(number) for number in reversed(ids))
    events = [event for index in range(len(data)) for event in hold.receive(data[index : index + 1])]
    assert events == [HoldAnswered()] * 5
    assert hold.unanswered == 0


def test_an_answer_with_data_is_accepted() -> None:
    hold = modern()
    assert list(hold.receive(answer(request_id(hold.keepalive()), b"\x01data"))) == [HoldAnswered()]


@pytest.mark.parametrize(
    ("after", "packet_id"),
    [(b"\x00x", 2), (b"", 2), (b"\x02", 2), (b"\x00", 0), (b"\x00", 3), (b"\x01" + bytes(2000), 2)],
)
def test_invalid_answers(after: bytes, packet_id: int) -> None:
    hold = modern()
    with pytest.raises(ProtocolError):
        hold.receive(answer(request_id(hold.keepalive()), after, packet_id))


def test_an_answer_to_an_unknown_request() -> None:
    hold = modern()
    number = request_id(hold.keepalive())
    with pytest.raises(ProtocolError, match="no open request"):
        hold.receive(answer(number + 1))


def test_a_second_answer_to_one_request() -> None:
    hold = modern()
    number = request_id(hold.keepalive())
    hold.keepalive()
    hold.receive(answer(number))
    with pytest.raises(ProtocolError, match="no open request"):
        hold.receive(answer(number))


def test_a_byte_after_the_last_answer() -> None:
    hold = modern()
    with pytest.raises(ProtocolError, match="without being asked"):
        hold.receive(answer(request_id(hold.keepalive())) + b"\x05")


def test_a_byte_before_the_first_request() -> None:
    with pytest.raises(ProtocolError, match="without being asked"):
        modern().receive(b"\x07")


def test_unanswered_requests_are_limited() -> None:
    hold = modern()
    for _ in range(MOST_OUTSTANDING):
        assert hold.keepalive()
    assert hold.keepalive() == b""
    assert hold.unanswered == MOST_OUTSTANDING
