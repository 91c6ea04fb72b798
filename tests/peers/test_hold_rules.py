"""Held clients that break the rules: kicked with words, one line in the log, and nothing of theirs reaches the server.

They are written here, byte by byte, because no real client does such things.
"""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from peers.harness import PeerHarness, Proxy, Record
from peers.programs import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.peers("node"), pytest.mark.usefixtures("npm_packages")]

VERSION, PROTOCOL_NUMBER = "1.20.1", 763
START_DELAY = 35.0
"""Seconds; longer than it takes until a client that answers nothing is given up."""

AT_ONCE = 4.0
"""Seconds in which a misdeed must be noticed: fewer than there are between two requests."""


class HeldClient:
    """A client of our own in the login state, with the protocol's framing and nothing else.

    :ivar local: its address as the proxy's log has it.
    """

    def __init__(self, port: int, name: str):
        self._socket = socket.create_connection(("127.0.0.1", port), START_DELAY + 15)
        self.local = f"127.0.0.1:{self._socket.getsockname()[1]}"
        address = b"localhost"
        handshake = (
            b"\x00" + varint(PROTOCOL_NUMBER) + varint(len(address)) + address + struct.pack(">H", port) + b"\x02"
        )
        login_start = b"\x00" + varint(len(name)) + name.encode() + b"\x00"
        self.send(handshake, login_start)

    def send(self, *frames: bytes) -> None:
        """Sends frames in one piece."""
        self._socket.sendall(b"".join(varint(len(frame)) + frame for frame in frames))

    def next_request(self) -> int:
        """Reads a Login Plugin Request; returns its message id."""
        frame = self._frame()
        assert frame[0] == 0x04, f"not a Login Plugin Request: {frame.hex()}"
        message, at = 0, 1
        while True:
            byte = frame[at]
            message |= (byte & 0x7F) << (7 * (at - 1))
            at += 1
            if byte < 0x80:
                return message

    def answer(self, message: int) -> None:
        """Answers as the game does: not understood."""
        self.send(b"\x02" + varint(message) + b"\x00")

    def kicked(self) -> tuple[str, float]:
        """Reads until the kick, and the orderly end after it; returns its JSON, and how many seconds that took."""
        began = time.monotonic()
        while (frame := self._frame())[0] == 0x04:
            pass
        assert frame[0] == 0x00, f"not a Disconnect: {frame.hex()}"
        assert self._socket.recv(4096) == b"", "more after the kick"
        self.close()
        return frame[frame.index(b"{") :].decode(), time.monotonic() - began

    def close(self) -> None:
        """Leaves."""
        self._socket.close()

    def _frame(self) -> bytes:
        length = shift = 0
        while True:
            byte = self._exactly(1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self._socket.recv(count - len(data))
            assert more, "closed too early"
            data += more
        return data


def never_answers(client: HeldClient) -> None:
    client.next_request()


def answers_twice(client: HeldClient) -> None:
    message = client.next_request()
    client.answer(message)
    client.answer(message)


def answers_with_another_id(client: HeldClient) -> None:
    client.answer(client.next_request() + 1)


def answers_unasked(client: HeldClient) -> None:
    client.answer(0)


def sends_play_packets_early(client: HeldClient) -> None:
    client.answer(client.next_request())
    client.send(b"\x14" + struct.pack(">ddd?", 0.0, 64.0, 0.0, True))


def sends_play_packets_at_once(client: HeldClient) -> None:
    client.send(b"\x14" + struct.pack(">ddd?", 0.0, 64.0, 0.0, True))


def logs_in_again(client: HeldClient) -> None:
    client.next_request()
    client.send(b"\x00" + varint(4) + b"Eve2" + b"\x00")


def sends_an_encryption_response(client: HeldClient) -> None:
    client.next_request()
    client.send(b"\x01" + varint(128) + bytes(128) + varint(128) + bytes(128))


MISDEEDS: tuple[Callable[[HeldClient], None], ...] = (
    never_answers,
    answers_twice,
    answers_with_another_id,
    answers_unasked,
    sends_play_packets_early,
    sends_play_packets_at_once,
    logs_in_again,
    sends_an_encryption_response,
)


@pytest.fixture(scope="module")
def rules_server(harness: PeerHarness) -> tuple[Proxy, Record]:
    """One server that is about to take its time, for all of them."""
    return harness.minecraft("minecraft-protocol", VERSION, "rules", start_delay=START_DELAY, idle_shutdown=30)


@pytest.fixture(scope="module")
def misdeeds(rules_server: tuple[Proxy, Record]) -> Iterator[dict[str, Future[str]]]:
    """All of them at once, each in a connection of its own; a result is the client's address and port."""
    proxy, _ = rules_server

    def commit(misdeed: Callable[[HeldClient], None]) -> str:
        client = HeldClient(proxy.port, misdeed.__name__[:16])
        misdeed(client)
        words, seconds = client.kicked()
        if misdeed is never_answers:
            assert "did not answer in time" in words
        else:  # so it was not for its silence that it was kicked
            assert "not part of a login" in words
            assert seconds < AT_ONCE, f"kicked after {seconds:.1f} s"
        return client.local

    with ThreadPoolExecutor(len(MISDEEDS)) as pool:
        yield {misdeed.__name__: pool.submit(commit, misdeed) for misdeed in MISDEEDS}


@pytest.mark.parametrize("misdeed", [misdeed.__name__ for misdeed in MISDEEDS])
def test_it_is_kicked_with_one_line(
    misdeed: str, misdeeds: dict[str, Future[str]], rules_server: tuple[Proxy, Record]
) -> None:
    proxy, record = rules_server
    local = misdeeds[misdeed].result(timeout=60)
    assert record.logins() == [], "it was handed over to the server"
    proxy.wait_for(rf"^\S+ (INFO|WARNING):\S+:.*{re.escape(local)}", 5)
    lines = [line for line in proxy.lines if local in line and " DEBUG:" not in line]
    assert len([line for line in lines if re.search(r" after [0-9.]+ s", line)]) == 1, lines


def test_a_real_player_gets_in_after_them(
    misdeeds: dict[str, Future[str]], rules_server: tuple[Proxy, Record], harness: PeerHarness
) -> None:
    proxy, record = rules_server
    for misdeed in misdeeds.values():
        misdeed.result(timeout=60)
    player = harness.player(VERSION, proxy.port)
    player.wait_for_event("joined", START_DELAY + 30)
    (login,) = record.logins()
    assert login.frames() == 2
    player.leave()
    proxy.end(60)


def test_an_answer_that_comes_too_late_is_a_kick_with_words(harness: PeerHarness) -> None:
    proxy, record = harness.minecraft("minecraft-protocol", VERSION, "late", start_delay=7.5)
    client = HeldClient(proxy.port, "Late")
    client.next_request()
    words, seconds = client.kicked()
    assert "did not answer in time" in words
    assert seconds > 5
    assert record.logins() == []
    client = HeldClient(proxy.port, "Late")
    wait_until(lambda: len(record.logins()) == 1, "the running server has it", 30, proxy)
    client.close()
    proxy.end()


def varint(number: int) -> bytes:
    """A VarInt, of a number that is not negative."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def test_this_files_client_is_held_and_relayed_when_it_behaves(harness: PeerHarness) -> None:
    """Without this, the tests above could pass for a client that is refused for its first bytes."""
    proxy, record = harness.minecraft("minecraft-protocol", VERSION, "behaves", start_delay=10)
    client = HeldClient(proxy.port, "Behaves")
    client.answer(client.next_request())
    wait_until(lambda: any("login_start" in login.packets for login in record.logins()), "it is in", 30, proxy)
    (login,) = record.logins()
    assert login.packets == ["set_protocol", "login_start"]
    assert login.frames() == 2
    client.close()
    proxy.end()
