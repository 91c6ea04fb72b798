"""`zeroscalectl join`."""

from __future__ import annotations

import io
import json
import re
import socket
from collections.abc import Callable

import pytest

from zeroscale.ctl.commands.join import HoldProgress, attempt, player_name
from zeroscale.ctl.game_connection import Address
from zeroscale.ctl.main import main
from zeroscale.errors import BackendError, ProtocolError
from zeroscale.protocols.minecraft import packets
from zeroscale.protocols.minecraft.client import Disconnected, EncryptionRequested, LoginSucceeded

Serve = Callable[..., Address]
ConnectionHandler = Callable[[socket.socket], None]

SUCCESS = packets.frame(2, bytes(16), packets.string("Steve"), b"\x00")
KICK = packets.frame(0, packets.string('{"text": "Come again", "color": "red"}'))
GREETING = packets.frame(0, packets.string(json.dumps({"text": "Hello Steve!", "insertion": "zeroscale:greeting"})))
ENCRYPTION = packets.frame(1, packets.string(""), b"\x00", b"\x00")


def says(*frames: bytes) -> ConnectionHandler:
    def answer(connection: socket.socket) -> None:
        login = connection.recv(1000)
        assert b"Steve" in login or connection.recv(1000)
        for frame in frames:
            connection.sendall(frame)

    return answer


def ignored(now: float) -> None:
    pass


def try_to_join(address: Address, timeout: float = 5.0) -> object:
    return attempt(address, 769, "Steve", timeout, ignored)


@pytest.mark.parametrize(
    ("frame", "outcome"),
    [
        (SUCCESS, LoginSucceeded("Steve")),
        (KICK, Disconnected({"text": "Come again", "color": "red"})),
        (ENCRYPTION, EncryptionRequested()),
    ],
)
def test_the_outcome(serve: Serve, frame: bytes, outcome: object) -> None:
    assert try_to_join(serve(says(frame))) == outcome
    assert try_to_join(serve(says(*(frame[index : index + 1] for index in range(len(frame)))))) == outcome


def test_questions_of_a_hold_are_answered(serve: Serve) -> None:
    answers: list[bytes] = []

    def hold(connection: socket.socket) -> None:
        connection.recv(1000)
        for number in (1, 2, 3):
            connection.sendall(packets.frame(4, packets.varint(number), packets.string("zeroscale:hold"), b""))
            answers.append(connection.recv(4, socket.MSG_WAITALL))
        connection.sendall(SUCCESS)

    assert try_to_join(serve(hold)) == LoginSucceeded("Steve")
    assert answers == [b"\x03\x02\x01\x00", b"\x03\x02\x02\x00", b"\x03\x02\x03\x00"]


def test_compression_is_understood(serve: Serve) -> None:
    uncompressed = packets.varint(len(SUCCESS)) + b"\x00" + SUCCESS[1:]
    assert try_to_join(serve(says(packets.frame(3, packets.varint(256)), uncompressed))) == LoginSucceeded("Steve")


def test_silence_ends_as_it_would_for_the_game(serve: Serve) -> None:
    def silent(connection: socket.socket) -> None:
        while connection.recv(100):
            pass

    with pytest.raises(BackendError, match=r"no data for 0\.1 s"):
        try_to_join(serve(silent), timeout=0.1)


def test_closed_without_a_word(serve: Serve) -> None:
    with pytest.raises(BackendError, match="without an answer"):
        try_to_join(serve(says()))


def test_closed_while_it_was_held(serve: Serve) -> None:
    question = packets.frame(4, packets.varint(1), packets.string("zeroscale:hold"), b"")
    with pytest.raises(BackendError, match=r":\d+: closed the connection$"):
        try_to_join(serve(says(question)))


def test_no_minecraft_at_all(serve: Serve) -> None:
    with pytest.raises(ProtocolError):
        try_to_join(serve(lambda connection: connection.sendall(b"220 mail.example.org ESMTP\r\n" * 20)))


@pytest.mark.parametrize(
    ("frame", "code", "text"),
    [
        (SUCCESS, 0, r"let in after \d\.\d s as Steve\n"),
        (KICK, 1, r"kicked after \d\.\d s: Come again\n"),
        (GREETING, 0, r"greeted after \d\.\d s: Hello Steve!\n"),
        (ENCRYPTION, 0, r"the real server answered after \d\.\d s: it checks accounts"),
    ],
)
def test_the_command(serve: Serve, capsys: pytest.CaptureFixture[str], frame: bytes, code: int, text: str) -> None:
    assert main(["join", str(serve(says(frame))), "--name", "Steve", "--protocol", "1.21.4"]) == code
    assert re.match(text, capsys.readouterr().out)


def test_the_host_that_is_named(serve: Serve) -> None:
    logins: list[bytes] = []

    def login(connection: socket.socket) -> None:
        logins.append(connection.recv(1000))
        connection.sendall(SUCCESS)

    words = ["join", str(serve(login)), "--protocol", "1.21.4", "--host", "survival.example.org"]
    assert main(words) == 0
    assert b"\x14survival.example.org" in logins[0]


def test_it_speaks_the_version_that_the_status_names(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    logins: list[bytes] = []

    def status(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(packets.frame(0, packets.string(json.dumps({"version": {"protocol": 47}}))))

    def login(connection: socket.socket) -> None:
        logins.append(connection.recv(1000))
        connection.sendall(packets.frame(2, packets.string("0" * 36), packets.string("Steve")))

    assert main(["join", str(serve(status, login))]) == 0
    assert logins[0][1:3] == b"\x00\x2f", "a handshake of protocol 47"


def test_nobody_there(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["join", str(serve(lambda _: None)), "--protocol", "47"]) == 3
    assert capsys.readouterr().err.startswith("zeroscalectl: error: ")


@pytest.mark.parametrize("name", ["", "a" * 17, "\U0001f600" * 9, "\udcff"])
def test_names_that_no_server_takes(name: str) -> None:
    with pytest.raises(ValueError, match="not a player's name"):
        player_name(name)


@pytest.mark.parametrize("name", ["Steve_16letters_", "two words", "\u00e9lan", "名" * 16])
def test_names_that_a_server_may_take(name: str) -> None:
    assert player_name(name) == name


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal_is_one_line() -> None:
    stream = Terminal()
    progress = HoldProgress(stream, 100.0)
    for now in (100.5, 101.0, 101.2, 102.0):
        progress.at(now)
    progress.end()
    assert stream.getvalue() == "\rheld for 1 s\rheld for 2 s\n"


def test_progress_in_a_file_is_a_line_now_and_then() -> None:
    stream = io.StringIO()
    progress = HoldProgress(stream, 100.0)
    for now in range(100, 125):
        progress.at(float(now))
    progress.end()
    assert stream.getvalue() == "held for 10 s\nheld for 20 s\n"


def test_no_progress_no_line() -> None:
    stream = Terminal()
    HoldProgress(stream, 100.0).end()
    assert stream.getvalue() == ""
