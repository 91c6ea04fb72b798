"""What the proxy answers itself, and how each answer ends the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from twisted.internet.testing import StringTransport

from zeroscale.frontend.answers import Answers
from zeroscale.frontend.client_address import ClientAddress
from zeroscale.frontend.connection_record import ConnectionRecord
from zeroscale.frontend.decision import HoldDecision, JoinPolicy, Refusal, RefuseDecision, Waiting
from zeroscale.frontend.timer import Timer
from zeroscale.protocols.conversation import (
    BadRequest,
    Component,
    HealthCheckRequested,
    HostNamed,
    LoginRequested,
    PingRequested,
    StatusReply,
    StatusRequested,
)
from zeroscale.protocols.proxy_protocol import Endpoint
from zeroscale.protocols.tcp import TcpConversation

if TYPE_CHECKING:
    from frontend.harness import FrontendHarness

STATUS = StatusRequested(protocol=769, host="play.example.org", port=25565)
LOGIN = LoginRequested(769, "play.example.org", 25565, "Steve", None, transfer=False, max_hold=None)


class Conversation(TcpConversation):
    """Writes what it is asked to say."""

    closes_after_status = False

    def status(self, reply: StatusReply) -> bytes:
        return f"<{reply.description}>".encode()

    def pong(self) -> bytes:
        return b"<pong>"

    def kick(self, reason: Component) -> bytes:
        return f"<{reason}>".encode()


class Closer:
    """Notes how the connection is closed."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []

    def close(self, outcome: str) -> None:
        self.calls.append(("close", outcome))

    def close_lingering(self, outcome: str, detail: str = "", *, warn: bool = False) -> None:
        self.calls.append(("linger", outcome, detail))

    def abort(self, outcome: str, detail: str = "") -> None:
        self.calls.append(("abort", outcome, detail))


class Answering:
    def __init__(self, harness: FrontendHarness) -> None:
        self.harness = harness
        self.transport = StringTransport()
        self.conversation = Conversation()
        self.closer = Closer()
        self.record = ConnectionRecord(harness.context, ClientAddress(Endpoint("203.0.113.7", 40000)))
        self.answers = Answers(
            self.transport,  # type: ignore[arg-type]  # as much of a transport as is used
            self.conversation,
            self.record,
            self.closer,  # type: ignore[arg-type]  # as much of a closer as is used
            harness.listener,
            Timer(harness.context.deadlines),
        )

    @property
    def written(self) -> bytes:
        return bytes(self.transport.value())


@pytest.fixture
def answering(harness: FrontendHarness) -> Answering:
    return Answering(harness)


def test_after_a_status_the_ping_has_its_time(answering: Answering) -> None:
    answering.answers.status(answering.harness.backend)
    assert answering.written == b"<MOTD stopped>"
    assert answering.closer.calls == []
    answering.harness.advance(answering.harness.context.handshake_timeout)
    assert answering.closer.calls == [("linger", "status", "")]


def test_a_legacy_status_is_the_last_answer(answering: Answering) -> None:
    answering.conversation.closes_after_status = True
    answering.answers.status(answering.harness.backend)
    assert answering.closer.calls == [("linger", "status", "")]


def test_a_health_check_may_still_be_sending(answering: Answering) -> None:
    answering.answers.reply_at_once(HealthCheckRequested(b"HTTP/1.1 200 OK\r\n\r\n"))
    assert answering.written == b"HTTP/1.1 200 OK\r\n\r\n"
    assert answering.closer.calls == [("linger", "health-check", "")]


def test_a_bad_request_may_still_be_sending(answering: Answering) -> None:
    answering.answers.reply_at_once(BadRequest(b"HTTP/1.1 400 Bad Request\r\n\r\n", "two hosts"))
    assert answering.written == b"HTTP/1.1 400 Bad Request\r\n\r\n"
    assert answering.closer.calls == [("linger", "refused", "two hosts")]


def test_a_web_client_whose_host_is_unknown_is_always_answered(answering: Answering) -> None:
    answering.answers.unrouted(HostNamed("x" * 300), "x" * 300)
    assert answering.written == f"<unknown host {'x' * 300} >".encode()
    assert answering.closer.calls == [("linger", "unknown-host", repr("x" * 100))]


@pytest.mark.parametrize("asked", [True, False])
def test_a_ping_closes_at_once(answering: Answering, asked: bool) -> None:
    answering.answers.answered_status = asked
    answering.answers.ping()
    assert answering.written == b"<pong>"
    assert answering.closer.calls == [("close", "status" if asked else "ping")]


@pytest.mark.parametrize("event", [STATUS, LOGIN, PingRequested()])
def test_an_unknown_host_is_closed_unless_configured_otherwise(
    answering: Answering, event: StatusRequested | LoginRequested | PingRequested
) -> None:
    answering.answers.unrouted(event, "x" * 300)
    assert answering.written == b""
    assert answering.closer.calls == [("abort", "unknown-host", repr("x" * 100))]


def test_an_unknown_host_that_is_answered(answering: Answering) -> None:
    answering.harness.context.answer_unknown_host = True
    answering.answers.unrouted(STATUS, "a.example.org")
    answering.answers.unrouted(PingRequested(), "")
    answering.answers.unrouted(LOGIN, "a.example.org")
    assert answering.written == b"<unknown host a.example.org><pong><unknown host a.example.org Steve>"
    assert answering.record.player == "Steve"
    assert answering.closer.calls == [("close", "status"), ("linger", "unknown-host", "'a.example.org'")]


@pytest.mark.parametrize(
    ("waiting", "fake", "expected"),
    [
        ("auto", b"come again", b"come again"),
        ("auto", None, None),
        ("answer", b"come again", b"come again"),
        ("answer", None, b""),
        ("hold", b"come again", None),
        ("page", b"come again", None),
    ],
)
def test_the_plugins_reply(answering: Answering, waiting: Waiting, fake: bytes | None, expected: bytes | None) -> None:
    backend = answering.harness.backend
    backend.policy = JoinPolicy(holds=True, hold_limit=300.0, waiting=waiting)
    answering.harness.server.fake = fake
    assert answering.answers.plugin_reply(backend, HoldDecision(300.0)) == (expected is not None)
    assert answering.written == (expected or b"")
    assert answering.harness.server.wakes == ([] if expected is None else ["connection:  (203.0.113.7:40000)"])
    assert answering.closer.calls == ([] if expected is None else [("linger", "answered", "")])


def test_a_refused_client_gets_no_reply_of_the_plugin(answering: Answering) -> None:
    answering.harness.server.fake = b"come again"
    decision = RefuseDecision(wakes=False, reason="denied", refusal=Refusal("denied", "in deny"))
    assert not answering.answers.plugin_reply(answering.harness.backend, decision)


def test_a_lockout_is_answered_and_counted_without_a_wake(answering: Answering) -> None:
    answering.harness.server.fake = b"come again"
    answering.record.backend = answering.harness.backend
    assert answering.answers.plugin_reply(answering.harness.backend, RefuseDecision(wakes=False, reason="lockout"))
    assert answering.harness.counts.snapshot(0.0).refusals == {"lockout": 1}
    assert answering.harness.server.wakes == []
