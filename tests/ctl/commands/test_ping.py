"""`zeroscalectl ping`."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable

import pytest
from datagram_server import INFO, bedrock, minecraft, quake, serving, source
from msgspec.structs import replace

from zeroscale.ctl.commands.ping import PingResult, PingTarget, ask, parse_target, show
from zeroscale.ctl.game_connection import Address
from zeroscale.ctl.main import main
from zeroscale.errors import BackendError, ProtocolError
from zeroscale.protocols.conversation import StatusReply
from zeroscale.protocols.minecraft import packets
from zeroscale.protocols.minecraft.responses import encode_status

Serve = Callable[..., Address]

STATUS: dict[str, object] = {
    "version": {"name": "Paper 1.21.4", "protocol": 769},
    "players": {"max": 20, "online": 2, "sample": [{"name": "\u00a7aSteve", "id": ""}, {"name": "Alex", "id": ""}]},
    "description": {"text": "Asleep", "color": "gold", "extra": [{"text": "\nJoin to wake it"}]},
}


def receive(connection: socket.socket, ending: bytes) -> bytes:
    data = b""
    while not data.endswith(ending):
        data += connection.recv(1000)
    return data


def status(raw: str) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        asked = receive(connection, b"\x01\x00")
        assert asked.endswith(b"\x01\x01\x00"), "a handshake with intent 1, then the request"
        connection.sendall(packets.frame(0, packets.string(raw)))

    return answer


def status_and_pong(raw: str) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        status(raw)(connection)
        connection.sendall(connection.recv(10, socket.MSG_WAITALL))

    return answer


def test_asked_and_answered(serve: Serve) -> None:
    raw = json.dumps(STATUS)
    answer = ask(serve(status_and_pong(raw)), 769, 5)
    assert (answer.status, answer.raw) == (STATUS, raw)
    assert answer.latency is not None and 0 < answer.latency < 5


def test_a_server_that_answers_no_ping_is_shown_all_the_same(serve: Serve) -> None:
    answer = ask(serve(status(json.dumps(STATUS))), 769, 5)
    assert (answer.status, answer.latency) == (STATUS, None)


def test_one_that_says_nothing(serve: Serve) -> None:
    def silent(connection: socket.socket) -> None:
        while connection.recv(100):
            pass

    with pytest.raises(BackendError, match="no answer in time"):
        ask(serve(silent), 769, 0.1)


def test_one_that_drips(serve: Serve) -> None:
    """The time-out is for all of it, so that a byte now and then does not keep us."""

    def drip(connection: socket.socket) -> None:
        connection.settimeout(0.02)
        data: bytes | None = b"-"
        connection.sendall(b"\xff\xff\x01")
        while data != b"":
            connection.sendall(b"\x00")
            try:
                data = connection.recv(100)
            except TimeoutError:
                data = None
            except ConnectionError:
                return

    with pytest.raises(BackendError, match="no answer in time"):
        ask(serve(drip), 769, 0.3)


def test_one_that_closes(serve: Serve) -> None:
    with pytest.raises(BackendError, match="closed the connection without an answer"):
        ask(serve(lambda connection: receive(connection, b"\x01\x00") and None), 769, 5)


def reset(connection: socket.socket) -> None:
    receive(connection, b"\x01\x00")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_one_that_resets_names_the_host(serve: Serve) -> None:
    address = replace(serve(reset), other_name="survival.example.org")
    with pytest.raises(BackendError, match=r"none of its servers has the host 'survival\.example\.org'"):
        ask(address, 769, 5)


def test_one_that_speaks_something_else(serve: Serve) -> None:
    with pytest.raises(ProtocolError):
        ask(serve(lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n" * 20)), 769, 5)


def test_one_whose_status_cannot_be_read(serve: Serve) -> None:
    with pytest.raises(ProtocolError, match=r"127\.0\.0\.1:\d+: its status reply cannot be read: it is no JSON object"):
        ask(serve(status("[]")), 769, 5)


def test_shown_as_text() -> None:
    assert list(show(PingResult(STATUS, "", 0.0123), colour=False)) == [
        "Asleep\nJoin to wake it",
        "",
        "Version  Paper 1.21.4 (protocol 769)",
        "Players  2 of 20",
        "         Steve",
        "         Alex",
        "Latency  12.3 ms",
    ]


def test_shown_in_colour() -> None:
    shown = "\n".join(show(PingResult(STATUS, "", 0.0123), colour=True))
    assert "\033[38;2;255;170;0mAsleep\033[0m" in shown
    assert "\033[38;2;85;255;85mSteve\033[0m" in shown


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"version": None, "players": [], "description": None},
        {"version": {"name": 7, "protocol": "\033[2J"}, "players": {"online": {}, "sample": "no list"}},
        {"players": {"sample": [None, {"name": ["\033[2J"]}]}},
    ],
)
def test_an_odd_status_is_shown_as_far_as_it_goes(odd: dict[str, object]) -> None:
    shown = "\n".join(show(PingResult(odd, "", None), colour=True))
    assert "Latency  none" in shown
    assert "\033[2J" not in shown


def test_the_command(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ping", str(serve(status_and_pong(json.dumps(STATUS))))]) == 0
    assert "Join to wake it" in capsys.readouterr().out


def test_json_is_the_reply_as_it_came(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    raw = '{"description" : "\u009b2J",\t"unknown": [1.0]}'
    assert main(["ping", "--json", str(serve(status_and_pong(raw)))]) == 0
    printed = capsys.readouterr().out
    assert printed == raw.replace("\u009b", "\\u009b") + "\n"
    assert json.loads(printed) == json.loads(raw)


def test_the_host_that_is_named(serve: Serve) -> None:
    asked: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        asked.append(receive(connection, b"\x01\x00"))
        connection.sendall(packets.frame(0, packets.string(json.dumps(STATUS))))

    assert main(["ping", str(serve(answer)), "--host", "survival.example.org"]) == 0
    assert b"\x14survival.example.org" in asked[0] and b"127.0.0.1" not in asked[0]


@pytest.mark.parametrize(("text", "more"), [("", ""), ("Nothing here", "Nothing here\n")])
def test_no_server_of_this_name(serve: Serve, capsys: pytest.CaptureFixture[str], text: str, more: str) -> None:
    reply = encode_status(StatusReply(description=text, online=0, maximum=0, version_name=""), 769)

    def answer(connection: socket.socket) -> None:
        receive(connection, b"\x01\x00")
        connection.sendall(reply)

    assert main(["ping", str(serve(answer)), "--host", "creative.example.org"]) == 1
    assert capsys.readouterr().out == f"no server of this name: creative.example.org\n{more}"
    assert main(["ping", str(serve(answer)), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["players"]["max"] == 0


@pytest.mark.parametrize("host", ["", "a b", "a" * 256, "a\n"])
def test_no_host(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["ping", "localhost", "--host", host])
    assert raised.value.code == 2
    assert "is not a host's name" in capsys.readouterr().err


def test_nobody_there(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ping", str(serve(lambda _: None))]) == 3
    error = capsys.readouterr().err
    assert error.startswith("zeroscalectl: error: 127.0.0.1:") and error.count("\n") == 1


def test_json_that_is_not_valid_is_printed_as_it_was_read(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ping", "--json", str(serve(status_and_pong('\ufeff{"tps": NaN, "a": "\x01"}{"b": 2}')))]) == 0
    assert json.loads(capsys.readouterr().out) == {"a": "\x01"}


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port"),
    [
        ("play.example.org", "", "play.example.org", 25565),
        ("a2s://play.example.org", "a2s", "play.example.org", 27015),
        ("a2s://[::1]:2457/", "a2s", "::1", 2457),
        ("quake://::1", "quake", "::1", 27960),
        ("query://play.example.org", "query", "play.example.org", 25565),
        ("bedrock://play.example.org", "bedrock", "play.example.org", 19132),
    ],
)
def test_target(text: str, scheme: str, host: str, port: int) -> None:
    assert parse_target(text) == PingTarget(scheme, Address(host, port))


@pytest.mark.parametrize("text", ["a2s://", "://host", "steam://host", "a2s://host:0"])
def test_no_target(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["ping", text])
    assert raised.value.code == 2
    assert "is not a" in capsys.readouterr().err


def test_a_source_query(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(source(INFO.replace(b"Meadows", b"Mead\x1b[2J\xc2\x9bows"))) as server:
        assert main(["ping", f"a2s://127.0.0.1:{server.port}"]) == 0
    *lines, latency = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "ows" not in line] == [
        "",
        "Version  1.2.3",
        "Map      Midgard",
        "Players  2 of 32",
        "         Ada",
        "         Bob\ufffd",
    ]
    assert lines[0].startswith("Mead") and "\x1b" not in lines[0] and "\x9b" not in lines[0]
    assert latency.startswith("Latency  ") and latency.endswith(" ms")


def test_a_quake_query_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(quake) as server:
        assert main(["ping", "--json", f"quake://127.0.0.1:{server.port}"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["name"], document["players"]) == ("Red Arena", {"online": 0, "max": 8, "names": ["Sarge"]})


def test_minecrafts_query(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(minecraft) as server:
        assert main(["ping", f"query://127.0.0.1:{server.port}"]) == 0
    assert capsys.readouterr().out.startswith("A Minecraft Server\n\nVersion  1.21.4\n")


def test_bedrocks_ping(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(bedrock) as server:
        assert main(["ping", f"bedrock://127.0.0.1:{server.port}"]) == 0
    shown = "A Bedrock server\na level\n\nVersion  1.26.51 (protocol 2193)\nPlayers  3 of 7\n"
    assert capsys.readouterr().out.startswith(shown)


@pytest.mark.parametrize("option", [("--host", "example.org"), ("--protocol", "769")])
def test_an_option_of_the_server_list(option: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ping", "a2s://127.0.0.1", *option]) == 2
    assert "--host and --protocol are for" in capsys.readouterr().err


def test_no_answer_to_a_query(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(lambda _: ()) as server:
        assert main(["ping", f"a2s://127.0.0.1:{server.port}", "--timeout", "0.2"]) == 3
    assert capsys.readouterr().err.endswith(": no answer in time\n")
