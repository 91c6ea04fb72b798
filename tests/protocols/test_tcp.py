"""TCP and HTTP clients: how they are recognised, and that all their bytes are stored."""

from __future__ import annotations

from typing import Any

import pytest

from zeroscale.errors import ProtocolError
from zeroscale.protocols import client_hello, sniffing
from zeroscale.protocols.conversation import ClientRecognised, Connected, HealthCheckRequested, StatusReply
from zeroscale.protocols.http import LONGEST_HEAD
from zeroscale.protocols.tcp import CAPACITY, HttpConversation, PageFor, TcpConversation


def test_a_connection_is_a_client() -> None:
    assert list(TcpConversation().opened()) == [ClientRecognised()]


def test_bytes_are_stored_and_full_stops_reading() -> None:
    conversation = TcpConversation(capacity=4)
    assert not conversation.receive(b"abc")
    before = conversation.full
    conversation.hold()
    conversation.receive(b"d")
    assert (before, conversation.full) == (False, True)
    conversation.receive(b"efg")  # one more read is not dropped either
    assert conversation.replay_bytes == b"abcdefg"


def test_a_single_read_is_not_copied() -> None:
    data = bytes(CAPACITY)
    for conversation in (TcpConversation(), TcpConversation(sniffer=sniffing.any_byte)):
        conversation.receive(data)
        assert conversation.replay_bytes is data


def test_it_has_no_replies() -> None:
    conversation = TcpConversation()
    conversation.receive(b"x")
    assert (conversation.idle_timeout, conversation.unanswered, conversation.closes_after_status) == (None, 0, False)
    assert [*conversation.on_idle(), *conversation.hold()] == []
    reply = StatusReply(description="", online=0, maximum=0, version_name="")
    assert conversation.status(reply) + conversation.pong() + conversation.kick("x") + conversation.keepalive() == b""


def test_a_client_is_recognised_by_its_bytes() -> None:
    conversation = TcpConversation(sniffer=sniffing.ssh)
    assert list(conversation.opened()) == [Connected()]
    assert [list(conversation.receive(data)) for data in (b"SSH-2.0-", b"x\r\nmore", b"and more")] == [
        [],
        [ClientRecognised()],
        [],
    ]
    assert conversation.replay_bytes == b"SSH-2.0-x\r\nmoreand more"


def test_bytes_of_no_client_are_stored_nevertheless() -> None:
    """A running server is to receive them."""
    conversation = TcpConversation(sniffer=sniffing.ssh)
    for data in (b"GET /", b" HTTP/1.1"):
        with pytest.raises(ProtocolError):
            conversation.receive(data)
    assert conversation.replay_bytes == b"GET / HTTP/1.1"


def test_sniffers_decide_before_reading_stops() -> None:
    bounds = (LONGEST_HEAD, client_hello.LONGEST_HELLO + 5 * client_hello.MOST_RECORDS, sniffing.LONGEST_MATCHED)
    assert max(bounds) < CAPACITY


BROWSER = b"Host: a\r\nAccept: text/html\r\n\r\n"
SCRIPT = b"Host: a\r\nAccept: */*\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "outcome", "page_for"),
    [
        (b"GET / HTTP/1.1\r\n" + BROWSER, "page", {"browsers", "everyone"}),
        (b"HEAD / HTTP/1.1\r\n" + BROWSER, "page", {"everyone"}),
        (b"POST / HTTP/1.1\r\n" + BROWSER, "page", set()),  # a page that reloads itself would lose the form
        (b"GET / HTTP/1.1\r\n" + SCRIPT, "unavailable", {"everyone"}),
        (b"POST / HTTP/1.1\r\n" + SCRIPT, "unavailable", {"everyone"}),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "kicked", set()),  # no HTTP/1 reply would be understood
    ],
)
@pytest.mark.parametrize("page", ["nobody", "browsers", "everyone"])
def test_which_requests_get_the_page_at_once(data: bytes, outcome: str, page_for: set[str], page: PageFor) -> None:
    conversation = HttpConversation(page=page, retry_after=lambda: 7.0)
    assert list(conversation.opened()) == [Connected()]
    max_hold = 0.0 if page in page_for else None
    assert list(conversation.receive(data)) == [ClientRecognised(max_hold, outcome)]
    assert conversation.replay_bytes == data


HEALTH_CHECK = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"


def checked() -> HttpConversation:
    return HttpConversation(retry_after=lambda: 7.0, health_path="/healthz")


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_health_check_is_the_only_event(feed: Any, size: int) -> None:
    conversation = checked()
    assert list(conversation.opened()) == [Connected(may_be_check=True)]
    [event] = feed(conversation, HEALTH_CHECK[:-4], size)
    assert isinstance(event, HealthCheckRequested) and event.reply.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("data", [b"GET /health HTTP/1.1\r\n" + SCRIPT, b"POST /healthz HTTP/1.1\r\n" + SCRIPT])
def test_any_other_request_is_a_clients_and_stored(feed: Any, data: bytes, size: int) -> None:
    conversation = checked()
    assert feed(conversation, data, size) == [Connected(), ClientRecognised(None, "unavailable")]
    assert feed(conversation, HEALTH_CHECK) == [], "only the first request counts"
    assert conversation.replay_bytes == data + HEALTH_CHECK


def test_what_is_no_request_is_decided_with_its_first_byte() -> None:
    conversation = checked()
    with pytest.raises(ProtocolError):
        conversation.receive(b"\x16")
    assert conversation.replay_bytes == b"\x16"


def test_a_line_that_may_become_a_check_is_waited_for(feed: Any) -> None:
    conversation = checked()
    assert feed(conversation, b"GET /heal") == []
    assert feed(conversation, b"ing") == [Connected()]
    assert feed(conversation, b" HTTP/1.1\r\n\r\n") == [ClientRecognised(None, "unavailable")]


def test_an_http_refusal_contains_the_reason() -> None:
    conversation = HttpConversation(retry_after=lambda: 7.0, page_note=lambda: "It reloads itself.")
    assert conversation.kick("too soon") == b""
    conversation.receive(b"GET / HTTP/1.1\r\n" + SCRIPT)
    reply = conversation.kick({"text": "\u00a7cOut of order", "extra": ["\nSorry."]})
    assert reply.startswith(b"HTTP/1.1 503 ") and b"Retry-After: 7\r\n" in reply
    assert reply.endswith(b"\r\n\r\nOut of order\nSorry.\n")
    browser = HttpConversation(retry_after=lambda: 7.0, page_note=lambda: "It reloads itself.")
    browser.receive(b"GET / HTTP/1.1\r\n" + BROWSER)
    assert b"<p>Sorry.</p>\n<p>It reloads itself.</p>\n" in browser.kick("Out of order\nSorry.")
