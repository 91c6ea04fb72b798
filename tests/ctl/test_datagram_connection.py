"""The blocking exchange of datagrams."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from datagram_server import INFO, every_other, serving, silent, source
from ports import free_port

from zeroscale.ctl.datagram_connection import DatagramConnection
from zeroscale.ctl.game_connection import Address
from zeroscale.errors import BackendError
from zeroscale.protocols.source_query import InfoReceived, Question, SourceQuery


def asked_info(host: str, port: int, seconds: float = 10) -> bytes:
    with DatagramConnection(Address(host, port)) as connection:
        answer, latency = connection.ask(SourceQuery(Question.info), time.monotonic() + seconds)
    assert isinstance(answer, InfoReceived)
    assert 0 < latency < seconds
    return answer.raw


def test_an_answer_after_a_challenge() -> None:
    with serving(source()) as server:
        assert asked_info("127.0.0.1", server.port) == INFO
    assert len(server.received) == 2


def test_the_time_of_an_answer_that_comes_while_the_request_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    send = socket.socket.send
    longer = 0.05

    def send_slowly(sock: socket.socket, request: bytes) -> int:
        until = time.monotonic() + longer
        sent = send(sock, request)
        while time.monotonic() < until:  # as a process that another one has taken the CPU from
            pass
        return sent

    monkeypatch.setattr(socket.socket, "send", send_slowly)
    with serving(source()) as server, DatagramConnection(Address("127.0.0.1", server.port)) as connection:
        _, latency = connection.ask(SourceQuery(Question.info), time.monotonic() + 10)
    assert latency >= longer


def test_a_lost_request_is_sent_again() -> None:
    with serving(every_other(source())) as server:
        assert asked_info("127.0.0.1", server.port) == INFO
    assert len(server.received) == 4


def test_a_server_that_is_silent() -> None:
    with serving(silent) as server, pytest.raises(BackendError, match=r"^127\.0\.0\.1:\d+: no answer in time$"):
        asked_info("127.0.0.1", server.port, 0.2)


def test_a_server_that_sends_something_else() -> None:
    with serving(lambda _: [b"hello"] * 3) as server, pytest.raises(BackendError, match="no answer in time, but a dat"):
        asked_info("127.0.0.1", server.port, 0.2)


def test_a_server_that_never_stops_sending_something_else_is_given_up_in_time() -> None:
    ended = threading.Event()

    def endless(_: bytes) -> Iterator[bytes]:
        while not ended.is_set():
            yield b"hello"

    with serving(endless) as server:
        try:
            with pytest.raises(BackendError, match="no answer in time, but a datagram"):
                asked_info("127.0.0.1", server.port, 0.3)
        finally:
            ended.set()


def test_a_port_that_nothing_has() -> None:
    with pytest.raises(BackendError, match=r"^127\.0\.0\.1:\d+: Connection refused$"):
        asked_info("127.0.0.1", free_port())


def test_of_several_addresses_the_first_that_does_not_refuse_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def addresses(host: str, port: int, type: int) -> list[object]:
        return [(socket.AF_INET, type, 0, "", ("127.0.0.1", each)) for each in (free_port(), port)]

    monkeypatch.setattr(socket, "getaddrinfo", addresses)
    with serving(source()) as server:
        assert asked_info("game.example.org", server.port) == INFO


@pytest.mark.parametrize("host", ["a" * 64 + ".invalid", "."])
def test_a_name_without_an_address(host: str) -> None:
    with pytest.raises(BackendError):
        DatagramConnection(Address(host, 1))
