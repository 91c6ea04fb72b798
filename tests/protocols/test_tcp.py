"""Any TCP client: a connection is enough, and nothing it says is lost."""

from __future__ import annotations

import pytest

from zeroscale.errors import ProtocolError
from zeroscale.protocols import sniffing
from zeroscale.protocols.conversation import ClientRecognised, Connected, StatusReply
from zeroscale.protocols.http import LONGEST_HEAD
from zeroscale.protocols.tcp import CAPACITY, HttpConversation, TcpConversation


def test_a_connection_is_a_client() -> None:
    assert list(TcpConversation().opened()) == [ClientRecognised()]


def test_all_is_kept_and_it_says_when_to_stop_reading() -> None:
    conversation = TcpConversation(capacity=4)
    assert not conversation.receive(b"abc")
    before = conversation.full
    conversation.hold()
    conversation.receive(b"d")
    assert (before, conversation.full) == (False, True)
    conversation.receive(b"efg")  # what one more read had brought is not dropped either
    assert conversation.replay_bytes == b"abcdefg"


def test_it_has_no_words() -> None:
    conversation = TcpConversation()
    conversation.receive(b"x")
    assert (conversation.idle_timeout, conversation.unanswered, conversation.closes_after_status) == (None, 0, False)
    assert [*conversation.on_idle(), *conversation.hold()] == []
    reply = StatusReply(description="", online=0, maximum=0, version_name="")
    assert conversation.status(reply) + conversation.pong() + conversation.kick("x") + conversation.keepalive() == b""


def test_a_client_that_has_to_show_itself() -> None:
    conversation = TcpConversation(sniffer=sniffing.ssh)
    assert list(conversation.opened()) == [Connected()]
    assert [list(conversation.receive(said)) for said in (b"SSH-2.0-", b"x\r\nmore", b"and more")] == [
        [],
        [ClientRecognised()],
        [],
    ]
    assert conversation.replay_bytes == b"SSH-2.0-x\r\nmoreand more"


def test_what_is_no_clients_is_kept_all_the_same() -> None:
    """A server that runs is to have it, whatever it is."""
    conversation = TcpConversation(sniffer=sniffing.ssh)
    for said in (b"GET /", b" HTTP/1.1"):
        with pytest.raises(ProtocolError):
            conversation.receive(said)
    assert conversation.replay_bytes == b"GET / HTTP/1.1"


def test_it_is_known_what_a_client_is_before_reading_stops() -> None:
    bounds = (LONGEST_HEAD, sniffing.LONGEST_HELLO + 5 * sniffing.MOST_RECORDS, sniffing.LONGEST_MATCHED)
    assert max(bounds) < CAPACITY


BROWSER = b"Host: a\r\nAccept: text/html\r\n\r\n"
SCRIPT = b"Host: a\r\nAccept: */*\r\n\r\n"


@pytest.mark.parametrize(
    ("said", "told_at_once"),
    [
        (b"GET / HTTP/1.1\r\n" + BROWSER, True),
        (b"HEAD / HTTP/1.1\r\n" + BROWSER, True),
        (b"POST / HTTP/1.1\r\n" + BROWSER, False),  # a page that reloads itself would lose what was typed
        (b"GET / HTTP/1.1\r\n" + SCRIPT, True),
        (b"POST / HTTP/1.1\r\n" + SCRIPT, True),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", False),  # nothing of ours would be understood
    ],
)
def test_who_is_told_at_once_that_the_server_wakes(said: bytes, told_at_once: bool) -> None:
    conversation = HttpConversation(page=True, again=lambda: 7.0)
    assert list(conversation.opened()) == [Connected()]
    assert list(conversation.receive(said)) == [ClientRecognised(max_hold=0.0 if told_at_once else None)]
    held = HttpConversation(page=False, again=lambda: 7.0)
    assert list(held.receive(said)) == [ClientRecognised()]
    assert conversation.replay_bytes == held.replay_bytes == said


def test_who_speaks_http_is_told_why_it_is_refused() -> None:
    conversation = HttpConversation(page=False, again=lambda: 7.0)
    assert conversation.kick("too soon") == b""
    conversation.receive(b"GET / HTTP/1.1\r\n" + SCRIPT)
    told = conversation.kick({"text": "\u00a7cOut of order", "extra": ["\nSorry."]})
    assert told.startswith(b"HTTP/1.1 503 ") and b"Retry-After: 7\r\n" in told
    assert told.endswith(b"\r\n\r\nOut of order\nSorry.\n")
