"""One client of the admin socket, on a fake transport and a fake clock."""

from __future__ import annotations

import json
import logging
import os
import pwd
import socket
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from control.fake_proxy import FakeProxy
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from zeroscale.control import protocol
from zeroscale.control.connection import (
    CLOSE_TIMEOUT,
    IDLE_TIMEOUT,
    STALL_TIMEOUT,
    ControlConnection,
    PeerCredentials,
    peer_credentials,
)
from zeroscale.control.handlers import CommandHandler
from zeroscale.control.protocol import MAX_PENDING_REQUESTS
from zeroscale.errors import ConfigError, ConfigMistakes, ControlError, ServerUnavailable

LOGGER = "zeroscale.control"


class Transport(StringTransport):
    """Records what is written; aborting it loses the connection."""

    def __init__(self, lost: Callable[[], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._lost = lost
        self.closed = False
        self.aborted = False

    def getHandle(self) -> None:
        return None

    def loseConnection(self) -> None:
        self.closed = True

    def abortConnection(self) -> None:
        self.aborted = True
        self._lost()


class Client:
    """A client connection, and its responses."""

    def __init__(self, perform: Any = None, refusal: str | None = None) -> None:
        self.clock = Clock()
        self.proxy = FakeProxy("a", "b")
        self.gone: list[ControlConnection] = []
        self.connection = ControlConnection(
            perform or CommandHandler(self.proxy, self.clock).perform, self.clock, self.gone.append
        )
        self.connection.refusal = refusal
        self.transport = Transport(self.lose)
        self.connection.makeConnection(self.transport)  # type: ignore[no-untyped-call]

    def lose(self) -> None:
        self.connection.connectionLost(Failure(ConnectionResetError()))

    def say(self, *requests: Mapping[str, object]) -> None:
        lines = [json.dumps({"version": 1, "id": number, **each}) for number, each in enumerate(requests)]
        self.connection.dataReceived("".join(line + "\n" for line in lines).encode())

    @property
    def sent(self) -> bytes:
        return bytes(self.transport.value())  # type: ignore[no-untyped-call]

    @property
    def answers(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.sent.splitlines()]


def raises(error: Exception) -> Any:
    async def perform(*_: object) -> object:
        raise error

    return perform


async def never(*_: object) -> object:
    return await Deferred()


def test_answers_carry_the_id_of_their_request() -> None:
    client = Client()
    client.connection.dataReceived(b'{"version":1,"id":"x","command":"logs","server":"a"}\n\n  \n{"version":1,')
    client.connection.dataReceived(b'"id":2,"command":"release","server":"c"}\n')
    first, second = client.answers
    assert first == {"id": "x", "result": {"lines": ["first", "second"], "skipped": 0}}
    assert second["id"] == 2 and second["error"]["code"] == "unknown_server"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ControlError("no"), "refused"),
        (ConfigError("no"), "environment"),
        (ConfigMistakes(["no"]), "configuration"),
        (ConfigMistakes(["no"], usage=False), "environment"),
        (ServerUnavailable("no"), "failed"),
        (protocol.RequestError("which_server", "no"), "which_server"),
    ],
)
def test_an_error_has_a_code_and_a_message(error: Exception, code: str) -> None:
    client = Client(raises(error))
    client.say({"command": "reload"})
    assert client.answers == [{"id": 0, "error": {"code": code, "message": "no"}}]


def test_an_unexpected_exception_is_logged_and_the_connection_stays(caplog: pytest.LogCaptureFixture) -> None:
    client = Client(raises(ZeroDivisionError("secret")))
    client.say({"command": "reload"}, {"command": "reload"})
    assert [each["error"]["code"] for each in client.answers] == ["internal", "internal"]
    assert "secret" not in client.sent.decode()
    assert "ZeroDivisionError" in caplog.text


def test_commands_that_change_something_are_logged_with_the_user(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    client = Client()
    client.say(
        {"command": "status"},
        {"command": "sleep", "server": "a\n", "now": True},
        {"command": "wake", "server": "a", "force": True},
        {"command": "console", "server": "a", "line": "login hunter2"},
    )
    assert caplog.messages == [
        "unknown user: sleep 'a\\n' now",
        "unknown user: wake 'a' by force",
        "unknown user: console 'a'",
    ]


def test_peer_credentials() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peer = peer_credentials(ours)
    if hasattr(socket, "SO_PEERCRED"):
        assert peer == PeerCredentials(os.getuid(), os.getpid())
        assert str(peer) == f"user {pwd.getpwuid(os.getuid()).pw_name} (process {os.getpid()})"


def test_a_line_that_is_too_long_is_an_error_and_closes() -> None:
    client = Client()
    for _ in range(100):
        client.connection.dataReceived(b"a" * 1024)
    assert [each["error"]["code"] for each in client.answers] == ["malformed"]
    assert client.transport.closed


def test_the_number_of_pending_requests_is_limited() -> None:
    client = Client(never)
    client.say(*[{"command": "reload"}] * (MAX_PENDING_REQUESTS + 1))
    assert [(each["id"], each["error"]["code"]) for each in client.answers] == [(MAX_PENDING_REQUESTS, "busy")]
    client.lose()


def test_a_refused_client_gets_an_error() -> None:
    client = Client(refusal="32 clients are connected already")
    client.say({"command": "reload"})
    assert client.answers == [{"id": None, "error": {"code": "busy", "message": "32 clients are connected already"}}]
    assert client.transport.closed


def test_a_client_that_does_not_read_is_neither_read_nor_sent_more() -> None:
    client = Client()
    client.say({"command": "status", "watch": True})
    client.connection.pauseProducing()
    assert client.transport.producerState == "paused"
    client.say({"command": "logs", "server": "a"}, {"command": "logs", "server": "b"})
    sent_before = len(client.answers)
    assert not any("result" in each for each in client.answers)
    for _ in range(20):
        client.proxy.changed("a")
        client.clock.advance(1)
    assert len(client.answers) - sent_before <= 1, "what was on its way when the buffer filled"
    client.connection.resumeProducing()
    assert client.transport.producerState == "producing"
    assert [each["id"] for each in client.answers if "result" in each] == [0, 1]
    client.lose()
    assert client.clock.getDelayedCalls() == []


def test_a_client_that_never_reads_is_disconnected() -> None:
    client = Client()
    client.say({"command": "status", "watch": True})
    client.connection.pauseProducing()
    client.clock.pump([1.0] * int(STALL_TIMEOUT - 1))
    assert not client.transport.aborted
    client.clock.pump([1.0])
    assert client.gone == [client.connection]
    assert client.proxy.observers == [] and client.clock.getDelayedCalls() == []


def test_an_idle_client_is_disconnected() -> None:
    client = Client()
    client.clock.advance(IDLE_TIMEOUT - 1)
    client.say({"command": "logs", "server": "a"})
    client.clock.advance(IDLE_TIMEOUT - 1)
    assert not client.transport.aborted
    client.clock.advance(1)
    assert client.transport.aborted


def test_a_client_with_a_pending_request_is_not_idle() -> None:
    client = Client(never)
    client.say({"command": "reload"})
    client.clock.advance(10 * IDLE_TIMEOUT)
    assert not client.transport.aborted
    client.lose()


def test_a_lost_connection_ends_its_streams() -> None:
    client = Client()
    client.say({"command": "wake", "server": "a", "wait": True}, {"command": "logs", "server": "b", "follow": True})
    client.lose()
    assert client.proxy.servers["a"].asked == ["wake", "waits no more"]
    assert client.proxy.servers["b"].subscribers == [] and client.proxy.observers == []
    assert client.gone == [client.connection] and client.clock.getDelayedCalls() == []


def test_a_client_that_closes_its_sending_side_gets_its_answers() -> None:
    waiting: Deferred[object] = Deferred()

    async def perform(*_: object) -> object:
        return await waiting

    client = Client(perform)
    client.say({"command": "reload"})
    client.connection.readConnectionLost()
    assert not client.transport.closed
    waiting.callback("done")
    client.clock.advance(0)
    assert client.answers == [{"id": 0, "result": "done"}]
    assert client.transport.closed


def test_streams_end_when_the_client_closes_its_sending_side() -> None:
    client = Client()
    client.say({"command": "status", "watch": True})
    client.connection.pauseProducing()
    client.say({"command": "logs", "server": "a", "follow": True})
    client.connection.readConnectionLost()
    client.connection.resumeProducing()
    client.clock.advance(0)
    assert [each["error"]["code"] for each in client.answers if "error" in each] == ["refused", "refused"]
    assert client.transport.closed and client.proxy.observers == []


def test_an_incomplete_last_line_is_an_error() -> None:
    client = Client()
    client.connection.dataReceived(b'{"version":1,"id":1,"command":"reload"}')
    client.connection.readConnectionLost()
    [answer] = client.answers
    assert "cut off" in answer["error"]["message"]
    assert client.transport.closed


def test_closing_waits_briefly_for_the_last_answers() -> None:
    client = Client()
    client.say({"command": "logs", "server": "a", "follow": True})
    client.connection.close()
    client.connection.close()
    assert client.answers[-1]["error"]["message"].startswith("cancelled: ")
    assert client.transport.closed and client.proxy.servers["a"].subscribers == []
    client.say({"command": "logs", "server": "a"})
    client.clock.advance(CLOSE_TIMEOUT)
    assert client.transport.aborted and client.clock.getDelayedCalls() == []


def test_a_client_that_cannot_receive_is_disconnected() -> None:
    client = Client()
    client.connection.writeConnectionLost()
    assert client.transport.aborted


WORDS = st.sampled_from(
    [
        b'{"version":1,"id":1,"command":"status","server":"a"}\n',
        b'{"version":1,"id":2,"command":"status","watch":true}\n',
        b'{"version":1,"id":3,"command":"logs","server":"a","follow":true}\n',
        b'{"version":1,"id":4,"command":"wake","server":"b","wait":true}\n',
        b'{"version":1,"id":5,"command":"console","server":"a","line":"x"}\n',
        b'{"version":9,"id":5}\n',
        b"[" * 100,
        b'{"version":1,',
        b"\n",
    ]
)
STEPS = st.lists(
    (WORDS | st.binary(max_size=40))
    | st.sampled_from(["pause", "resume", "advance", "change", "log", "end of input", "close"]),
    max_size=15,
)


@given(STEPS)
def test_no_input_leaves_anything_behind(steps: list[bytes | str]) -> None:
    client = Client()
    connection, ended = client.connection, False
    for step in steps:
        if client.gone:
            break
        match step:
            case "pause":
                connection.pauseProducing()
            case "resume":
                connection.resumeProducing()
            case "advance":
                client.clock.advance(0.5)
            case "change":
                client.proxy.changed("a")
            case "log":
                client.proxy.servers["a"].says("a line")
            case "end of input":
                ended = True
                connection.readConnectionLost()
            case "close":
                connection.close()
            case bytes() if not ended:
                connection.dataReceived(step)
    for answer in client.answers:
        assert len(answer.keys() & {"event", "result", "error"}) == 1
        assert answer.get("error", {}).get("code") != "internal"
    if not client.gone:
        client.lose()
    assert client.proxy.observers == [] and client.proxy.servers["a"].subscribers == []
    assert client.clock.getDelayedCalls() == []


def test_no_event_waits_while_the_client_reads() -> None:
    rooms: list[Deferred[None]] = []

    async def perform(request: protocol.AnyRequest, send: Callable[[object], Deferred[None]], _: str) -> object:
        rooms.append(send("one"))
        await succeed(None)
        return None

    client = Client(perform)
    client.say({"command": "reload"})
    assert rooms[0].called
