"""Answers to clients whose addresses may be forged, and to which socket a later one goes."""

from __future__ import annotations

import pytest

from zeroscale.frontend import datagram_answers
from zeroscale.frontend.datagram_answers import DatagramAnswers
from zeroscale.frontend.datagram_limits import AnswerLimits
from zeroscale.protocols.datagrams import NO_REPLY, Reply
from zeroscale.relay.datagram_session import DatagramClient


class Socket:
    """Takes what is sent; `port` is itself."""

    def __init__(self) -> None:
        self.sent: list[tuple[DatagramClient, bytes]] = []
        self.takes = True

    @property
    def port(self) -> Socket:
        return self

    def send(self, client: DatagramClient, datagram: bytes) -> bool:
        self.sent.append((client, datagram))
        return self.takes


def client(host: str = "192.0.2.1", port: int = 7) -> DatagramClient:
    return DatagramClient((host, port), b"")


def test_what_is_not_longer_than_the_question_is_always_sent() -> None:
    answers: DatagramAnswers[Socket] = DatagramAnswers(AnswerLimits())
    sock = Socket()
    for _ in range(100):
        answers.send(sock, client(), Reply((b"ab", b"c")), 3, 0.0)
    assert (answers.sent, answers.limited) == (200, 0)


def test_longer_ones_are_limited_unless_the_address_is_proved() -> None:
    answers: DatagramAnswers[Socket] = DatagramAnswers(AnswerLimits())
    sock = Socket()
    for _ in range(15):
        answers.send(sock, client(), Reply((b"abcd",)), 3, 0.0)
    assert (answers.sent, answers.limited) == (10, 5)
    answers.send(sock, client(), Reply((b"abcd",), proved=True), 0, 0.0)
    assert (answers.sent, answers.limited) == (11, 5)
    answers.send(sock, client(), NO_REPLY, 0, 0.0)
    assert (answers.sent, answers.limited) == (11, 5)


def test_ports_share_their_limits() -> None:
    limits, sock = AnswerLimits(per_network=3), Socket()
    for answers in (DatagramAnswers[Socket](limits), DatagramAnswers[Socket](limits)):
        answers.send(sock, client(), Reply((b"a",)), 0, 0.0)
        answers.send(sock, client(), Reply((b"a",)), 0, 0.0)
    assert len(sock.sent) == 3


def test_what_the_kernel_does_not_take_is_not_counted() -> None:
    answers: DatagramAnswers[Socket] = DatagramAnswers(AnswerLimits())
    sock = Socket()
    sock.takes = False
    answers.send(sock, client(), Reply((b"a",)), 3, 0.0)
    assert answers.sent == 0


def test_clients_that_were_answered_are_found_again_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datagram_answers, "MOST_CLIENTS", 2)
    answers: DatagramAnswers[Socket] = DatagramAnswers(AnswerLimits())
    sock = Socket()
    assert answers.find("192.0.2.1", 7) is None
    for host in ("192.0.2.1", "192.0.2.2", "192.0.2.1", "fe80::3%eth0"):
        answers.send(sock, client(host), Reply((b"a",)), 3, 0.0)
    assert answers.find("192.0.2.1", 7) == (sock, client())
    assert answers.find("fe80::3", 7) == (sock, client("fe80::3%eth0"))
    assert answers.find("192.0.2.2", 7) is None
